/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A timeline's file alone, whatever the names and the disk; and ronde-timeline, whose path is this
 * program's argument, with files that are not as they should be.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "coordinator/timeline_file.h"
#include "tests/ranks.h"
#include "tests/sizes.h"
#include "tests/suite.h"
#include "tests/timeline_tool.h"

/* ---- names ---- */

START_TEST(quoting)
{
	static const struct {
		const char *bytes, *json;
	} cases[] = {
		{"layer1", "\"layer1\""},
		{"a\"b\\", "\"a\\\"b\\u005c\""},
		{"\n\t\x01\x7f", "\"\\u000a\\u0009\\u0001\\u007f\""},
		{"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
		 "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
		{"\xff\xc3", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
		{"\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\""},                 /* overlong */
		{"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* surrogate */
		{"\xf4\x90\x80\x80",
		 "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* beyond U+10FFFF */
		{"\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\""},             /* cut */
		{"", "\"\""},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char text[200];
		*ronde_timeline_quote(text, cases[i].bytes, strlen(cases[i].bytes)) = '\0';
		ck_assert_str_eq(text, cases[i].json);
	}
}
END_TEST

/* ---- the file alone ---- */

static struct ronde_timeline_head plain_head(void)
{
	return (struct ronde_timeline_head){
		.size = 1, .host = "host", .run = 7, .start = 1000, .clock = "clock"};
}

static bool put_record(struct ronde_recording *rec, const char *name, uint64_t begin, uint64_t end)
{
	size_t n = strlen(name);
	struct ronde_timeline_record *r =
		ronde_recording_reserve(rec, ronde_timeline_record_bytes(0, 0, n));
	if (!r)
		return false;
	*r = (struct ronde_timeline_record){
		.type = RONDE_TIMELINE_EXECUTED, .slowest = -1, .begin = begin, .end = end};
	r->key = (struct ronde_key_head){.named = 1, .name_bytes = (uint16_t)n};
	memcpy(ronde_timeline_name(r), name, n);
	ronde_recording_publish(rec);
	return true;
}

START_TEST(events)
{
	char path[PATH_MAX];
	struct ronde_recording *rec;
	struct ronde_timeline_head head = plain_head();
	must(ronde_recording_start(&rec, in_folder(path, "events.json"), &head, 1 << 18, false,
				   NULL),
	     "start");
	ck_assert(put_record(rec, "a\"", 2500, 4001));
	ronde_recording_destroy(rec);
	expect_in("events.json",
		  ",{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":0,\"tid\":2,\"args\":{\"name\":"
		  "\"a\\\"\"}}\n"
		  ",{\"name\":\"ALLREDUCE\",\"ph\":\"X\",\"pid\":0,\"tid\":2,\"ts\":1.500,\"dur\":"
		  "1.501,\"args\":{\"entry\":0,\"status\":\"RONDE_OK\",\"path\":\"carried\","
		  "\"bytes\":0,\"tensors\":0}}\n");
	expect_in("events.json", "\"args\":{\"recorded\":1,\"dropped\":0}}\n]\n");
	expect_tool("check events.json", 0, "1 timeline(s), 1 operations: all is well");
}
END_TEST

/* More names than rows: those in front have one each, the others share, 40 at a time. */
START_TEST(many_names)
{
	enum { SHARED = 40, TENSORS = RONDE_TIMELINE_ROWS + 3 * SHARED };
	char path[PATH_MAX], name[32];
	struct ronde_recording *rec;
	struct ronde_timeline_head head = plain_head();
	must(ronde_recording_start(&rec, in_folder(path, "names.json"), &head, 1 << 26, false,
				   NULL),
	     "start");
	for (uint64_t i = 0; i < TENSORS; i++) {
		uint64_t third = i < RONDE_TIMELINE_ROWS ? 0 : (i - RONDE_TIMELINE_ROWS) / SHARED;
		snprintf(name, sizeof name, "t%d", (int)i);
		ck_assert(put_record(rec, name, 1000000 * third, 1000000 * third + 900000 + i));
	}
	ronde_recording_destroy(rec);
	expect_tool("check names.json", 0, ": all is well");
	expect_python("cat names.json",
		      "print(sorted(e[\"args\"][\"tensor\"] for e in s if \"tensor\" in "
		      "e.get(\"args\", ())) == [\"t%d\" % i for i in range(16384, 16384 + 120)])",
		      "True\n");
	expect_rows("names.json", RONDE_TIMELINE_ROWS + SHARED);
}
END_TEST

/* A disk that is full after `limit` bytes: in a child, for the limit is the process's. */
static void fill_disk(const char *path, rlim_t limit)
{
	struct rlimit size = {limit, limit};
	struct ronde_recording *rec;
	struct ronde_timeline_head head = plain_head();
	char name[32];
	signal(SIGXFSZ, SIG_DFL); /* the writing thread must block it */
	setrlimit(RLIMIT_FSIZE, &size);
	if (ronde_recording_start(&rec, path, &head, 1 << 22, false, NULL))
		_exit(2);
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof name, "t%d", i % 50);
		if (!put_record(rec, name, 2000 + (uint64_t)i * 10, 2005 + (uint64_t)i * 10))
			_exit(3);
	}
	ronde_recording_destroy(rec);
	_exit(0);
}

START_TEST(full_disk)
{
	static const rlim_t limits[] = {1200, 70000, 200000, 600000};
	char path[PATH_MAX], arguments[64], name[32];
	int status;
	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
		snprintf(name, sizeof name, "full%zu.json", i);
		in_folder(path, name);
		pid_t child = fork();
		if (child == 0)
			fill_disk(path, limits[i]);
		ck_assert_int_eq(waitpid(child, &status, 0), child);
		ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "limit %lu: status %d",
			      (unsigned long)limits[i], status);
		struct stat file;
		ck_assert_int_eq(stat(path, &file), 0);
		ck_assert_uint_le((unsigned long)file.st_size, limits[i]);
		snprintf(arguments, sizeof arguments, "check %s", name);
		expect_tool(arguments, 1, " of 5000 records, dropped when written");
	}
}
END_TEST

START_TEST(no_room_at_all)
{
	struct ronde_recording *rec;
	struct ronde_timeline_head head = plain_head();
	ck_assert_int_eq(ronde_recording_start(&rec, "/dev/full", &head, 1 << 18, false, NULL),
			 RONDE_ERR_SYSTEM);
	ck_assert_str_eq(ronde_error_message(), "cannot write to the timeline \"/dev/full\": No "
						"space left on device");
}
END_TEST

START_TEST(full_queue)
{
	char path[PATH_MAX];
	struct ronde_recording *rec;
	struct ronde_timeline_head head = plain_head();
	unsigned dropped = 0, taken = 0;
	must(ronde_recording_start(&rec, in_folder(path, "queue.json"), &head, 1 << 18, false,
				   NULL),
	     "start");
	while (dropped < 1000)
		if (put_record(rec, "tensor", 2000, 2001))
			taken++;
		else
			dropped++;
	ronde_recording_destroy(rec);
	char *text = read_all(path), end[100];
	snprintf(end, sizeof end, "{\"recorded\":%u,\"dropped\":%u}}\n]\n", taken, dropped);
	if (strlen(text) < (1 << 22) - 1) /* else the file is longer than what was read */
		ck_assert_msg(strstr(text, end) != NULL, "no %s", end);
	free(text);
}
END_TEST

/* ---- the tool ---- */

static void write_file(const char *name, const char *text)
{
	char path[PATH_MAX];
	FILE *file = fopen(in_folder(path, name), "we");
	fputs(text, file);
	fclose(file);
}

#define HEAD(rank, run)                                                                            \
	"[\n{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":0,\"tid\":1,\"args\":{\"rank\":" rank  \
	",\"size\":2,\"run\":\"" run "\",\"clock\":\"" rank "\",\"start_monotonic_in_micros\":0,"  \
	"\"start_time_since_epoch_in_micros\":100" rank "}}\n"
#define OPERATION(ts, dur)                                                                         \
	",{\"name\":\"ALLREDUCE\",\"ph\":\"X\",\"pid\":0,\"tid\":2,\"ts\":" ts ",\"dur\":" dur     \
	",\"args\":{\"entry\":5,\"status\":\"RONDE_OK\",\"path\":\"staged\",\"bytes\":1}}\n"
#define TAIL                                                                                       \
	",{\"name\":\"TIMELINE_END\",\"ph\":\"i\",\"pid\":0,\"tid\":1,\"ts\":9,\"s\":\"p\","       \
	"\"args\":{"                                                                               \
	"\"recorded\":1,\"dropped\":0}}\n]\n"

START_TEST(tool_refuses)
{
	write_file("text.json", "hello\n");
	write_file("object.json", "{}");
	write_file("empty.json", "");
	write_file("other.json", "[{\"name\":\"x\",\"ph\":\"X\",\"pid\":1,\"tid\":1}]");
	write_file("zero.json", HEAD("0", "aa") TAIL);
	write_file("zero2.json", HEAD("0", "aa") TAIL);
	write_file("one.json", HEAD("1", "bb") TAIL);
	write_file("kind.json",
		   HEAD("1", "aa") ",{\"name\":\"x\",\"ph\":\"Q\",\"pid\":0,\"tid\":0}\n" TAIL);
	write_file("time.json",
		   HEAD("1", "aa") ",{\"name\":\"x\",\"ph\":\"i\",\"pid\":0,\"tid\":0}\n" TAIL);
	write_file("cut.json", HEAD("1", "aa") OPERATION("1", "2") ",{\"name\":\"ALLR");
	write_file("nested.json", HEAD("1", "aa") OPERATION("1", "5") OPERATION("3", "9") TAIL);
	expect_tool("check no.json", 2, "ronde-timeline: no.json: No such file or directory\n");
	expect_tool("check text.json", 2,
		    "ronde-timeline: text.json: is not JSON: Expecting value");
	expect_tool("check object.json", 2,
		    "ronde-timeline: object.json: is not a timeline of Ronde: it holds no array of "
		    "events\n");
	expect_tool("check empty.json", 2,
		    "ronde-timeline: empty.json: is not a timeline of Ronde: it is empty\n");
	expect_tool(
		"summary other.json", 2,
		"ronde-timeline: other.json: is not a timeline of Ronde: its first event has no "
		"rank of the right kind\n");
	expect_tool(
		"merge -o m.json zero.json zero2.json", 2,
		"ronde-timeline: zero.json and zero2.json are both of rank 0: give one file for "
		"each rank\n");
	expect_tool("check zero.json one.json", 2,
		    "ronde-timeline: zero.json and one.json are of different runs (aa, bb)\n");
	expect_tool("check cut.json", 1,
		    "cut.json: is cut: its end is missing; the rest is used\n");
	expect_tool("check kind.json", 1, "kind.json: event 1, \"x\": its kind (ph) is \"Q\"\n");
	expect_tool("check time.json", 1,
		    "time.json: event 1, \"x\": its ts is not a time from 0 on\n");
	expect_tool("check nested.json", 1,
		    "nested.json: \"?\": ALLREDUCE at 3.000 µs reaches out of ALLREDUCE\n");
	expect_tool("merge -o /nowhere/m zero.json", 2,
		    "ronde-timeline: /nowhere/m: No such file or directory\n");
}
END_TEST

/* Events that others have made or damaged are told, and left out; the rest counts. */
START_TEST(tool_leaves_out)
{
	static const struct {
		const char *event, *why;
	} wrong[] = {
		{"\"name\":\"ALLREDUCE\",\"ph\":\"X\",\"tid\":1,\"dur\":1,\"args\":{\"entry\":7,"
		 "\"status\":\"RONDE_OK\",\"path\":\"staged\",\"bytes\":1}",
		 "\"ALLREDUCE\": its ts is not a time from 0 on"},
		{"\"name\":\"ALLREDUCE\",\"ph\":\"X\",\"tid\":1,\"ts\":1,\"dur\":Infinity",
		 "\"ALLREDUCE\": its dur is not a time from 0 on"},
		{"\"name\":\"ALLREDUCE\",\"ph\":\"X\",\"tid\":1,\"ts\":1,\"dur\":1,\"args\":{"
		 "\"path\":"
		 "\"staged\",\"status\":\"RONDE_OK\",\"bytes\":1}",
		 "\"ALLREDUCE\": its args have no entry"},
		{"\"name\":\"ALLREDUCE\",\"ph\":\"X\",\"tid\":1,\"ts\":1,\"dur\":1,\"args\":{"
		 "\"path\":"
		 "\"staged\",\"entry\":[],\"status\":\"RONDE_OK\",\"bytes\":1}",
		 "\"ALLREDUCE\": the entry of its args is of the wrong kind"},
		{"\"name\":\"NEGOTIATE_ALLREDUCE\",\"ph\":\"X\",\"tid\":1,\"ts\":1,\"dur\":1",
		 "\"NEGOTIATE_ALLREDUCE\": its args have no status"},
		{"\"name\":\"thread_name\",\"ph\":\"M\",\"tid\":1",
		 "\"thread_name\": its args have no name"},
		{"\"name\":\"thread_name\",\"ph\":\"M\",\"tid\":[]",
		 "\"thread_name\": its pid or tid is no number"},
		{"\"name\":\"0\",\"ph\":[],\"tid\":1", "\"0\": its kind (ph) is \"[]\""},
	};
	char text[2000];
	write_file("left.json", HEAD("0", "aa") OPERATION("1", "2") TAIL);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		snprintf(text, sizeof text,
			 HEAD("1", "aa") ",{\"pid\":1,%s}\n" OPERATION("1", "2") TAIL,
			 wrong[i].event);
		write_file("wrong.json", text);
		snprintf(text, sizeof text, "wrong.json: event 1, %s\n", wrong[i].why);
		expect_tool("check left.json wrong.json", 1, text);
		expect_summary("left.json wrong.json",
			       "print(s[\"wrong\"], [t[\"count\"] for t in s[\"tensors\"]])",
			       "1 [2]\n");
	}
	expect_tool("summary left.json wrong.json", 0,
		    "1 events are wrong and left out: ronde-timeline check says which\n");
	expect_tool("merge -o m.json left.json wrong.json", 0,
		    "m.json: 6 events of 2 rank(s)\n1 events are wrong and left out: ");
}
END_TEST

/* Clocks that have nothing in common: the operation both executed must overlap. */
START_TEST(tool_aligns)
{
	write_file("left.json", HEAD("0", "aa") OPERATION("100", "10") TAIL);
	write_file("right.json", HEAD("1", "aa") OPERATION("7000", "10") TAIL);
	expect_tool("merge -o aligned.json left.json right.json", 0, "6 events of 2 rank(s)");
	/* The later clock by 6900 µs is rank 1's, so rank 0's times grow. */
	expect_in("aligned.json", "\"ts\":7000.0,\"dur\":10");
	expect_tool("check left.json right.json", 0, "all is well");
}
END_TEST

static Suite *timeline_file_suite(void)
{
	const struct suite_test file[] = {
		{quoting, ONCE},   {events, ONCE},         {many_names, ONCE},
		{full_disk, ONCE}, {no_room_at_all, ONCE}, {full_queue, ONCE},
	};
	/* The tool is Python, the same in every build. */
	const bool program = SIZES_DIVISOR == 1 || test_is_long();
	const struct suite_test tools[] = {
		{tool_refuses, 0, program},
		{tool_leaves_out, 0, program},
		{tool_aligns, 0, program},
	};
	Suite *suite = suite_create("timeline_file");
	SUITE_ADD(suite, "file", 60, file);
	SUITE_ADD(suite, "tool", 100, tools);
	return suite;
}

int main(int argc, char **argv)
{
	return timeline_tool_main(argc, argv, timeline_file_suite);
}

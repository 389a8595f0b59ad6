/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timeline: what is written is well-formed and true, whatever the names, the disk and the
 * moment. Files are judged by ronde-timeline, whose path is this program's argument.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
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
#include "tests/timeline_tool.h"

/* ---- names ---- */

START_TEST(quoting)
{
	static const struct {
		const char *bytes, *json;
	} cases[] = {
		{"layer1", "\"layer1\""},
		{"a\"b\\c", "\"a\\\"b\\\\c\""},
		{"\n\t\x01\x7f", "\"\\u000a\\u0009\\u0001\\u007f\""},
		{"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
		 "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
		{"\xff\xc3", "\"\\ufffd\\ufffd\""},
		{"\xc0\xaf", "\"\\ufffd\\ufffd\""},                       /* overlong */
		{"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},            /* surrogate */
		{"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""}, /* beyond U+10FFFF */
		{"\xe2\x82", "\"\\ufffd\\ufffd\""},                       /* cut */
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
		  ",{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":0,\"tid\":1,\"args\":{\"name\":"
		  "\"a\\\"\"}}\n"
		  ",{\"name\":\"ALLREDUCE\",\"ph\":\"X\",\"pid\":0,\"tid\":1,\"ts\":1.500,\"dur\":"
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

/* ---- ranks ---- */

#define LARGE 60000
#define STEPS 4

static void open_timeline(struct rank *r, const char *name)
{
	char path[PATH_MAX];
	must(ronde_timeline_open(r->context, in_folder(path, name), true, true, 1), "open");
}

/* Carried, staged, zero-copy and unnamed ones; rank 2 comes late. */
static void work(struct rank *r)
{
	static const char *const names[] = {"a \"quoted\\\n\xff name", "b", "", "c"};
	float *heap = ronde_heap_alloc(r->heap, LARGE * sizeof(float));
	float *memory = calloc(LARGE, sizeof *memory);
	for (int step = 0; step < STEPS; step++) {
		ronde_handle handles[5];
		if (r->rank == 2)
			usleep(20000);
		for (int i = 0; i < 4; i++)
			must(submit_allreduce(r, i == 2 ? NULL : names[i],
					      i == 3 ? heap : memory + 100 * i,
					      i == 3 ? heap : memory + 100 * i, i ? 20000 : 4,
					      RONDE_FLOAT32, RONDE_SUM, &handles[i]),
			     "submit");
		for (int i = 0; i < 4; i++)
			must(wait_for(r, handles[i]), "wait");
	}
	must(barrier(r), "barrier");
	ronde_heap_free(r->heap, heap);
	free(memory);
}

static void recorded_work(struct rank *r)
{
	open_timeline(r, "ranks.json");
	must(barrier(r), "all record");
	work(r);
	must(barrier(r), "nobody stops before");
	ronde_timeline_close(r->context);
}

START_TEST(ranks_agree)
{
	run_ranks(3, NULL, recorded_work, NULL);
	expect_tool("check ranks.0.json ranks.1.json ranks.2.json", 0, ": all is well");
	expect_tool("merge -o merged.json ranks.0.json ranks.1.json ranks.2.json", 0,
		    "events of 3 rank(s)");
	/* From the leader's file alone, and from all: rank 2 is the last, by nearly 20 ms. */
	const char *const files[] = {"ranks.0.json", "ranks.2.json ranks.0.json ranks.1.json"};
	for (int i = 0; i < 2; i++) {
		expect_summary(
			files[i],
			"t = [x for x in s[\"tensors\"] if x[\"tensor\"] in (\"b\", \"c\")]\n"
			"print([(x[\"last\"], x[\"late_us\"] > 4 * 10000) for x in t],"
			" [t[0][p + \"_us\"] > 0 for p in (\"pack\", \"reduce\", \"unpack\")])",
			"[({'2': 4}, True), ({'2': 4}, True)] [True, True, True]\n");
		/* The step's tensors are late at once: together no longer than the step. */
		expect_summary(
			files[i],
			"print({(x[\"rank\"], x[\"step\"]) for x in s[\"steps\"]} == {(r, n) "
			"for r in s[\"ranks\"] for n in range(1, 5)},"
			" [x for x in s[\"steps\"] if x[\"tensors\"] != 3"
			" or x[\"last\"] != {\"2\": 3} or x[\"late_us\"] < 10000"
			" or not 0 < x[\"negotiate_us\"]"
			" or x[\"rank\"] == 0 and x[\"negotiate_us\"] < x[\"late_us\"]"
			" or x[\"late_us\"] > max(t[\"late_us\"] for t in s[\"tensors\"])])",
			"True []\n");
	}
	/* The table has them too. */
	expect_tool("summary ranks.0.json", 0, "  2 (3×)\n");
	expect_in("ranks.0.json", "{\"name\":\"CYCLE_START\",\"ph\":\"i\"");
	expect_in("ranks.1.json", "\"path\":\"zero-copy\"");
	expect_in("ranks.1.json", "\"path\":\"staged\"");
	expect_in("ranks.2.json", "{\"name\":\"MEMCPY_IN_FUSION_BUFFER\",\"ph\":\"X\"");
	expect_in("ranks.2.json", "\"name\":\"a \\\"quoted\\\\\\u000a\\ufffd name\"");
}
END_TEST

static _Atomic bool stop_toggling;

static void *toggle(void *arg)
{
	struct rank *r = arg;
	while (!atomic_load(&stop_toggling)) {
		char path[PATH_MAX];
		int status = ronde_timeline_open(r->context, in_folder(path, "toggle.json"), true,
						 false, 1);
		if (status && status != RONDE_ERR_BUSY)
			abort();
		usleep(500);
		ronde_timeline_close(r->context);
	}
	return NULL;
}

static void toggled_work(struct rank *r)
{
	pthread_t threads[2];
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, toggle, r);
	for (int i = 0; i < 3; i++)
		work(r);
	atomic_store(&stop_toggling, true);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

START_TEST(start_and_stop_under_load)
{
	run_ranks(3, NULL, toggled_work, NULL);
	for (int rank = 0; rank < 3; rank++) {
		char arguments[64];
		snprintf(arguments, sizeof arguments, "check toggle.%d.json", rank);
		expect_tool(arguments, 0, ": all is well");
	}
}
END_TEST

/* What is pending when the recording, or the runtime, ends. */
static void leave_pending(struct rank *r)
{
	static _Atomic bool submitted;
	float x[4] = {0};
	ronde_handle handle;
	open_timeline(r, "pending.json");
	if (r->rank == 0) {
		must(submit_allreduce(r, "alone", x, x, 4, RONDE_FLOAT32, RONDE_SUM, &handle),
		     "submit");
		ronde_timeline_close(r->context);
		open_timeline(r, "ended.json");
		must(submit_allreduce(r, "late", x, x, 4, RONDE_FLOAT32, RONDE_SUM, &handle),
		     "submit");
		atomic_store(&submitted, true);
	}
	while (!atomic_load(&submitted))
		usleep(100);
	ronde_context_stop(r->context);
}

START_TEST(pending)
{
	run_ranks(2, NULL, leave_pending, NULL);
	expect_in("pending.0.json", "\"args\":{\"status\":\"pending\"}");
	expect_in("ended.0.json", "\"args\":{\"status\":\"RONDE_ERR_SHUTDOWN\"}");
	expect_tool("check pending.1.json ", 0, "all is well");
	expect_tool("check ended.0.json ", 0, "all is well");
}
END_TEST

/* Unnamed operations in flight at once, one of them a group, have numbers of their own. */
static void unnamed_group(struct rank *r)
{
	float x[6] = {0};
	struct ronde_submission members[4];
	ronde_handle handles[4];
	for (int i = 0; i < 4; i++)
		members[i] = (struct ronde_submission){.input = x + i,
						       .output = x + i,
						       .count = 1,
						       .desc = {.kind = RONDE_KIND_ALLREDUCE,
								.dtype = RONDE_FLOAT32,
								.reduction = RONDE_SUM,
								.prescale = 1,
								.postscale = 1}};
	open_timeline(r, "groups.json");
	must(barrier(r), "all record");
	for (int i = 0; i < 3; i += 2)
		must(submit_allreduce(r, NULL, x + 4 + i / 2, x + 4 + i / 2, 1, RONDE_FLOAT32,
				      RONDE_SUM, &handles[i]),
		     "single");
	must(ronde_submit_group(r->context, NULL, members, 2, &handles[1]), "group");
	must(ronde_submit_group(r->context, "g", members + 2, 2, &handles[3]), "group");
	for (int i = 0; i < 4; i++)
		must(wait_for(r, handles[i]), "wait");
	must(barrier(r), "nobody stops before");
	ronde_timeline_close(r->context);
}

START_TEST(groups)
{
	run_ranks(2, NULL, unnamed_group, NULL);
	for (int rank = 0; rank < 2; rank++) {
		char name[40];
		snprintf(name, sizeof name, "groups.%d.json", rank);
		expect_in(name, "\"number\":0,\"status\"");
		expect_in(name, "\"number\":1,\"status\"");
		expect_in(name, "\"number\":2,\"member\":1,");
		expect_in(name, "\"args\":{\"name\":\"g_2of2\"}");
		expect_in(name, "\"number\":2,\"member\":2,");
	}
	expect_tool("check groups.0.json groups.1.json", 0, ": all is well");
	expect_tool("merge -o merged.json groups.0.json groups.1.json", 0, "events of 2 rank(s)");
}
END_TEST

#define IN_FLIGHT 200

/* All of them wait for rank 1, so they are negotiated, and some executed, at the same time. */
static void unnamed_work(struct rank *r)
{
	static _Atomic int submitted;
	ronde_handle handles[IN_FLIGHT];
	float *memory = calloc(IN_FLIGHT, 300 * sizeof *memory);
	open_timeline(r, "unnamed.json");
	must(barrier(r), "all record");
	for (int round = 0; round < 3; round++) {
		while (r->rank == 1 && atomic_load(&submitted) <= round)
			usleep(100);
		for (int i = 0; i < IN_FLIGHT; i++) {
			float *x = memory + (size_t)i * 300;
			must(submit_allreduce(r, NULL, x, x, i % 3 ? 300 : 1, RONDE_FLOAT32,
					      RONDE_SUM, &handles[i]),
			     "submit");
		}
		if (r->rank == 0)
			atomic_fetch_add(&submitted, 1);
		for (int i = 0; i < IN_FLIGHT; i++)
			must(wait_for(r, handles[i]), "wait");
	}
	must(barrier(r), "nobody stops before");
	ronde_timeline_close(r->context);
	free(memory);
}

/* Spans of a row never overlap, and no more rows are used than that takes. */
START_TEST(unnamed)
{
	run_ranks(2, NULL, unnamed_work, NULL);
	expect_tool("check unnamed.0.json unnamed.1.json", 0, ": all is well");
	expect_in("unnamed.0.json", "\"args\":{\"name\":\"unnamed 200\"}");
	expect_rows("unnamed.0.json", IN_FLIGHT);
	expect_summary("unnamed.0.json unnamed.1.json",
		       "print([(x[\"tensor\"], x[\"count\"]) for x in s[\"tensors\"]"
		       " if x[\"operation\"] == \"ALLREDUCE\"])",
		       "[('allreduce.noname', 1200)]\n");
}
END_TEST

static void wrong_calls(struct rank *r)
{
	char path[PATH_MAX], text[PATH_MAX + 100];
	open_timeline(r, "busy.json");
	snprintf(text, sizeof text, "a timeline is being recorded to \"%s\"; stop it first",
		 in_folder(path, "busy.0.json"));
	ck_assert_int_eq(ronde_timeline_open(r->context, "x", false, false, 1), RONDE_ERR_BUSY);
	ck_assert_str_eq(ronde_error_message(), text);
	ronde_timeline_close(r->context);
	ronde_timeline_close(r->context);
	ck_assert_int_eq(ronde_timeline_open(r->context, "/nowhere/x", false, false, 1),
			 RONDE_ERR_SYSTEM);
	ck_assert_str_eq(ronde_error_message(),
			 "cannot open the timeline \"/nowhere/x\": No such file or directory; the "
			 "folder must exist and be writable");
	ck_assert_int_eq(ronde_timeline_open(r->context, "%q", false, false, 1),
			 RONDE_ERR_INVALID_ARGUMENT);
	ck_assert_str_eq(ronde_error_message(), "the timeline's path is \"%q\": a % may only be "
						"followed by r (rank), h (host) or another %");
	must(ronde_timeline_open(r->context, in_folder(path, "r%r.x"), true, false, 2), "life 2");
	ronde_timeline_close(r->context);
	ck_assert_int_eq(access(in_folder(path, "r0.l2.x"), R_OK), 0);
}

START_TEST(errors)
{
	run_ranks(1, NULL, wrong_calls, NULL);
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
	"[\n{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":0,\"tid\":0,\"args\":{\"rank\":" rank  \
	",\"size\":2,\"run\":\"" run "\",\"clock\":\"" rank "\",\"start_monotonic_in_micros\":0,"  \
	"\"start_time_since_epoch_in_micros\":100" rank "}}\n"
#define OPERATION(ts, dur)                                                                         \
	",{\"name\":\"ALLREDUCE\",\"ph\":\"X\",\"pid\":0,\"tid\":1,\"ts\":" ts ",\"dur\":" dur     \
	",\"args\":{\"entry\":5,\"status\":\"RONDE_OK\",\"path\":\"staged\",\"bytes\":1}}\n"
#define TAIL                                                                                       \
	",{\"name\":\"TIMELINE_END\",\"ph\":\"i\",\"pid\":0,\"tid\":0,\"ts\":9,\"s\":\"p\","       \
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
		"start_time_since_epoch_in_micros and run\n");
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

static Suite *timeline_suite(void)
{
	Suite *suite = suite_create("timeline");
	TCase *file = tcase_create("file"), *ranks = tcase_create("ranks"),
	      *tools = tcase_create("tool");
	tcase_set_timeout(file, 60);
	tcase_add_test(file, quoting);
	tcase_add_test(file, events);
	tcase_add_test(file, many_names);
	tcase_add_test(file, full_disk);
	tcase_add_test(file, no_room_at_all);
	tcase_add_test(file, full_queue);
	tcase_set_timeout(ranks, 120);
	tcase_add_test(ranks, ranks_agree);
	tcase_add_test(ranks, start_and_stop_under_load);
	tcase_add_test(ranks, pending);
	tcase_add_test(ranks, groups);
	tcase_add_test(ranks, unnamed);
	tcase_add_test(ranks, errors);
	tcase_set_timeout(tools, 60);
	tcase_add_test(tools, tool_refuses);
	tcase_add_test(tools, tool_aligns);
	suite_add_tcase(suite, file);
	suite_add_tcase(suite, ranks);
	suite_add_tcase(suite, tools);
	return suite;
}

int main(int argc, char **argv)
{
	return timeline_tool_main(argc, argv, timeline_suite);
}

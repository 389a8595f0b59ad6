/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timeline of ranks: what is written is well-formed and true, whatever the moment. Files are
 * judged by ronde-timeline, whose path is this program's argument.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/ranks.h"
#include "tests/suite.h"
#include "tests/timeline_tool.h"

#define LARGE 60000
#define STEPS 4

static void open_timeline(struct rank *r, const char *name)
{
	char path[PATH_MAX];
	must(ronde_timeline_open(r->context, in_folder(path, name), true, true, 1), "open");
}

/* Steps that ranks 0 and 1 have submitted. */
static _Atomic int others_submitted;

/* The others are there, however busy the machine is, and have waited for 20 ms. */
static void come_late(int steps)
{
	while (atomic_load(&others_submitted) < 2 * steps)
		usleep(100);
	usleep(20000);
}

/* Carried, staged, zero-copy and unnamed ones; rank 2 comes late. */
static void work(struct rank *r)
{
	static int steps; /* of rank 2 */
	static const char *const names[] = {"a \"quoted\\\n\xff name", "b", "", "c"};
	float *heap = ronde_heap_alloc(r->heap, LARGE * sizeof(float));
	float *memory = calloc(LARGE, sizeof *memory);
	for (int step = 0; step < STEPS; step++) {
		ronde_handle handles[5];
		if (r->rank == 2)
			come_late(++steps);
		for (int i = 0; i < 4; i++)
			must(submit_allreduce(r, i == 2 ? NULL : names[i],
					      i == 3 ? heap : memory + 100 * i,
					      i == 3 ? heap : memory + 100 * i, i ? 20000 : 4,
					      RONDE_FLOAT32, RONDE_SUM, &handles[i]),
			     "submit");
		if (r->rank != 2)
			atomic_fetch_add(&others_submitted, 1);
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
	/* From the leader's file alone, and from all: rank 2 is the last, by 20 ms. */
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
	expect_in("ranks.2.json", "\"name\":\"a \\\"quoted\\u005c\\u000a\xef\xbf\xbd name\"");
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

static void wait_until(const struct rank *r, _Atomic int *count, int wanted)
{
	while (r->rank == 1 && atomic_load(count) < wanted)
		usleep(100);
}

/* All of them wait for rank 1, so they are negotiated, and some executed, at the same time. */
static void unnamed_work(struct rank *r)
{
	static _Atomic int submitted;
	ronde_handle handles[IN_FLIGHT];
	float *memory = calloc(IN_FLIGHT, 300 * sizeof *memory);
	open_timeline(r, "unnamed.json");
	must(barrier(r), "all record");
	for (int round = 0; round < 3; round++) {
		wait_until(r, &submitted, round + 1);
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
	/* What rank 1 submits begins after what rank 0 still executes. */
	if (r->rank == 0)
		atomic_fetch_add(&submitted, 1);
	wait_until(r, &submitted, 4);
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

static Suite *timeline_suite(void)
{
	const struct suite_test tests[] = {
		{ranks_agree, ONCE}, {start_and_stop_under_load, ONCE},
		{pending, ONCE},     {groups, ONCE},
		{unnamed, ONCE},     {errors, ONCE},
	};
	Suite *suite = suite_create("timeline");
	SUITE_ADD(suite, "timeline", 120, tests);
	return suite;
}

int main(int argc, char **argv)
{
	return timeline_tool_main(argc, argv, timeline_suite);
}

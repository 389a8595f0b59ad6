/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stall inspector looks while ranks work at full speed: what a rank wrote on its board is over
 * by the time the leader reads it, and the leader has not yet heard what a rank has just said. None
 * of that is a deadlock. Ranks are threads, for the race checker.
 *
 * Two ranks of each job stall, so that there is something to report, again and again; the others
 * work. The late one reads every report, and lets the others go when it has seen enough of them.
 */
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/control.h"
#include "coordinator/stall.h"
#include "tests/ranks.h"
#include "tests/sizes.h"

#define REPORTS test_turns(300)
#define COUNT 3000

/* Nanoseconds; the setting may not be that short. */
#define WARN 5000000
#define TICK 1000000

static const char *const settings[] = {"log", "error", NULL};

static _Atomic bool enough;
static char wrong[RONDE_BOARD_TEXT]; /* a report that names a deadlock */

static void look_often(struct rank *r)
{
	pthread_mutex_lock(&r->context->engine.lock);
	r->context->stall.warn = WARN;
	r->context->stall.interval = TICK;
	pthread_mutex_unlock(&r->context->engine.lock);
}

static int add_set(struct rank *r, int first, int second)
{
	int set;
	ronde_handle h;
	must(ronde_control_change_sets(r->context, RONDE_SET_ADD, (int[]){first, second}, 2, 0,
				       &set, &h),
	     "a set");
	must(wait_for(r, h), "a set");
	return set;
}

static ronde_handle submit_to(struct rank *r, int set, const char *name, float *m, uint64_t count)
{
	ronde_handle h;
	struct ronde_submission s = {.name = name, .input = m, .output = m, .count = count};
	s.desc = (struct ronde_desc){.kind = RONDE_KIND_ALLREDUCE,
				     .dtype = RONDE_FLOAT32,
				     .reduction = RONDE_SUM,
				     .ndim = 1,
				     .set = (uint32_t)set,
				     .prescale = 1,
				     .postscale = 1,
				     .dims = {(int64_t)count}};
	must(ronde_submit(r->context, &s, &h), "submit");
	return h;
}

static void sum(struct rank *r, int set, const char *name, float *m, uint64_t count)
{
	must(wait_for(r, submit_to(r, set, name, m, count)), "sum");
}

/* The late rank: reads all reports it can. Only the leader, local rank 0, writes some. */
static void read_reports(struct rank *r)
{
	static char now[RONDE_BOARD_TEXT];
	const _Atomic uint64_t *version = &r->context->node->arena.boards[0].version;
	uint64_t last = 0;
	for (int seen = 0; seen < REPORTS && !wrong[0];) {
		usleep(500);
		uint64_t is = atomic_load(version);
		if (is == last)
			continue;
		last = is;
		seen++;
		ronde_stall_last_report(r->context, now);
		if (strstr(now, "none of them can go on") || strstr(now, "skipped"))
			memcpy(wrong, now, sizeof wrong);
	}
	atomic_store(&enough, true);
}

/* Whether to go on, agreed by the two. */
static bool goes_on(struct rank *r, int set)
{
	float stop = atomic_load(&enough);
	sum(r, set, "stop", &stop, 1);
	return stop == 0;
}

typedef void (*work_fn)(struct rank *r, int set, float *m);

static void pairs_body(struct rank *r)
{
	float m[COUNT] = {0};
	look_often(r);
	int works = add_set(r, 0, 1), stalls = add_set(r, 2, 3);
	work_fn work = *(const work_fn *)r->arg;
	if (r->rank == 3)
		read_reports(r);
	if (r->rank >= 2)
		sum(r, stalls, "late", m, 1);
	else
		do
			work(r, works, m);
		while (goes_on(r, works));
	must(barrier(r), "the end");
}

/* ---- what the working pair does ---- */

static void work_named(struct rank *r, int set, float *m)
{
	for (int i = 0; i < 5; i++) {
		sum(r, set, "x", m, 8);
		sum(r, set, "y", m, COUNT);
	}
}

static void work_unnamed(struct rank *r, int set, float *m)
{
	for (int i = 0; i < 5; i++) {
		sum(r, set, NULL, m, 8);
		sum(r, set, "y", m, 1);
	}
}

/* In opposite orders, several in flight. */
static void work_crossing(struct rank *r, int set, float *m)
{
	static const char *const names[] = {"x", "y"};
	float n[8] = {0};
	for (int i = 0; i < 5; i++) {
		int first = (r->rank + i) % 2;
		ronde_handle a = submit_to(r, set, names[first], m, 8);
		ronde_handle b = submit_to(r, set, names[!first], n, 8);
		must(wait_for(r, i % 3 ? a : b), "a sum");
		must(wait_for(r, i % 3 ? b : a), "another");
	}
}

static const work_fn works[] = {work_named, work_unnamed, work_crossing};

START_TEST(no_deadlock_is_seen)
{
	atomic_store(&enough, false);
	wrong[0] = 0;
	run_ranks(4, settings, pairs_body, (void *)&works[_i]);
	ck_assert_msg(!wrong[0], "%s", wrong);
}
END_TEST

static Suite *stall_race_suite(void)
{
	Suite *suite = suite_create("stall_race");
	TCase *tests = tcase_create("stall_race");
	tcase_set_timeout(tests, 100);
	tcase_add_loop_test(tests, no_deadlock_is_seen, 0, 3);
	suite_add_tcase(suite, tests);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(stall_race_suite());
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}

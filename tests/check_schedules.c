/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random schedules: ranks that submit the same tensors, each in an order of its own, under random
 * configurations; every byte of every result is checked (see schedules/play.h). The same program is
 * played under several configurations and has to give the same bits.
 *
 * RONDE_TEST_SEED=n plays what a failure printed; RONDE_TEST_ROUNDS=n plays n programs a test and
 * size; RONDE_TEST_LONG plays more of them than usual.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "coordinator/ballot.h"
#include "tests/fork_ranks.h"
#include "tests/ranks.h"
#include "tests/schedules/threads.h"
#include "tests/sizes.h"

static const int worlds[] = {1, 2, 3, 4, 5, 8};
#define WORLDS ((int)(sizeof worlds / sizeof *worlds))

/* Of each program; and how long a test may take, when not all others use the machine as well. */
#ifdef __SANITIZE_THREAD__
#define CONFIGURATIONS 1
#define SECONDS 300
#else
#define CONFIGURATIONS 2
#define SECONDS 120
#endif

static int rounds(int usual)
{
	const char *text = getenv("RONDE_TEST_ROUNDS");
	if (text)
		return (int)strtol(text, NULL, 10);
	return test_is_long() ? 4 * usual : test_turns(usual);
}

/* ---- ranks as threads ---- */

START_TEST(threads)
{
	play_programs("threads", worlds[_i], rounds(5), CONFIGURATIONS, NULL);
}
END_TEST

/* Hundreds of announcements wait for a ring of 16 KiB. */
static void tune_full_rings(uint64_t *state, struct program_style *style, struct settings *settings)
{
	if (settings) {
		set(settings, "ring_bytes", "16K");
		set(settings, "carry_bytes", once_in(state, 2) ? "4K" : "64");
		return;
	}
	style->steps = 2;
	style->ops = 500;
	style->bytes = once_in(state, 2) ? 64 : 2048;
	style->names = 64;
	style->unnamed_percent = 70;
	style->long_names = true;
}

START_TEST(full_rings)
{
	play_programs("full_rings", worlds[_i], rounds(1), CONFIGURATIONS, tune_full_rings);
}
END_TEST

/* More shapes of unnamed tensors in flight than there are slots for them. */
static void tune_shapes(uint64_t *state, struct program_style *style, struct settings *settings)
{
	if (settings) {
		set(settings, "cache_capacity", once_in(state, 4) ? "1" : "1024");
		return;
	}
	style->steps = 2;
	style->ops = RONDE_PATTERN_SLOTS + (int)below(state, 100);
	style->bytes = 2048;
	style->names = once_in(state, 2) ? 20 : 0;
	style->unnamed_percent = 90;
	style->distinct = true;
}

START_TEST(unnamed_shapes)
{
	play_programs("unnamed_shapes", worlds[_i], rounds(1), CONFIGURATIONS, tune_shapes);
}
END_TEST

/* Names that fight for one to three slots, each announced while others evict it. */
static void tune_evictions(uint64_t *state, struct program_style *style, struct settings *settings)
{
	if (settings) {
		set(settings, "cache_capacity", once_in(state, 2) ? "1" : "3");
		set(settings, "fusion_threshold", once_in(state, 2) ? "0" : "1K");
		set(settings, "batch_delay_us", "0");
		return;
	}
	style->steps = 60;
	style->ops = 6;
	style->bytes = 2048;
	style->names = 5 + (int)below(state, 8);
	style->unnamed_percent = 5;
	style->overlap = !once_in(state, 4);
	style->holds = 2;
}

START_TEST(evictions)
{
	play_programs("evictions", worlds[_i], rounds(2), CONFIGURATIONS, tune_evictions);
}
END_TEST

/* ---- announcements by a slot that is gone ---- */

struct stale {
	bool named;
	_Atomic int others_done;
};

static int submit_first(struct rank *r, bool named, float *data, ronde_handle *handle)
{
	*data = (float)r->rank;
	return submit_allreduce(r, named ? "first" : NULL, data, data, 1, RONDE_FLOAT32, RONDE_SUM,
				handle);
}

static uint64_t announcements_repeated(const struct rank *r)
{
	const struct ronde_counters_atomic *c = &r->context->counters;
	return c->descriptions_sent + c->ready_sent - c->submitted;
}

/*
 * The last rank is kept from hearing that the first tensor's slot has gone to others, and announces
 * by it. It has to notice and announce again.
 */
static void stale_body(struct rank *r)
{
	enum { OTHERS = RONDE_PATTERN_SLOTS + 1 };
	static float many[RANKS_MAX][OTHERS][OTHERS + 1];
	struct stale *stale = r->arg;
	const int others = stale->named ? 1 : OTHERS;
	const bool held = r->rank == r->size - 1;
	const int sum = r->size * (r->size - 1) / 2;
	ronde_handle first, handles[OTHERS];
	float data;
	must(submit_first(r, stale->named, &data, &first), "first");
	must(wait_for(r, first), "first");
	while (held && !port_context.hold(r))
		usleep(100);
	for (int i = 0; i < others; i++)
		must(submit_allreduce(r, stale->named ? "other" : NULL, many[r->rank][i],
				      many[r->rank][i], (uint64_t)i + 2, RONDE_FLOAT32, RONDE_MAX,
				      &handles[i]),
		     "other");
	if (held)
		while (atomic_load(&stale->others_done) < r->size - 1)
			usleep(100);
	for (int i = 0; i < others && !held; i++)
		must(wait_for(r, handles[i]), "other");
	atomic_fetch_add(&stale->others_done, 1);
	must(submit_first(r, stale->named, &data, &first), "again");
	if (held)
		port_context.let_go(r);
	for (int i = 0; i < others && held; i++)
		must(wait_for(r, handles[i]), "other");
	must(wait_for(r, first), "again");
	ck_assert(data == (float)sum);
	ck_assert_uint_eq(announcements_repeated(r), held);
}

static void test_stale(int ranks, bool named)
{
	static const char *const settings[] = {"cache_capacity", "1",  "carry_bytes", "64K",
					       "ring_bytes",     "1M", NULL};
	struct stale stale = {.named = named};
	run_ranks(ranks, settings, stale_body, &stale);
}

START_TEST(stale_name)
{
	if (worlds[_i] > 1)
		test_stale(worlds[_i], true);
}
END_TEST

START_TEST(stale_pattern)
{
	if (worlds[_i] > 1)
		test_stale(worlds[_i], false);
}
END_TEST

/* ---- shutdown in the middle ---- */

static void quit(void *to)
{
	ronde_context_stop(((struct rank *)to)->context);
}

static bool has_result(const struct job *job)
{
	return atomic_load(&job->state) == JOB_DONE && job->status != RONDE_ERR_SHUTDOWN;
}

/* An operation completes on all ranks or on none. */
static void compare_ranks(struct run *run)
{
	const struct program *program = run->program;
	for (int i = 0; i < program->nops; i++) {
		int with = -1, without = -1;
		for (int r = 0; r < program->style.ranks; r++) {
			if (!op_is_submitted(&program->ops[i], r))
				continue;
			if (has_result(&run->players[r].jobs[i]))
				with = r;
			else
				without = r;
		}
		if (with >= 0 && without >= 0)
			run_failed(run, "%s has completed on rank %d, not on rank %d",
				   op_text(&program->ops[i]), with, without);
	}
}

START_TEST(shutdown_in_the_middle)
{
	int ranks = worlds[_i];
	uint64_t seed = first_seed("shutdown", ranks);
	for (int i = 0; i < rounds(4); i++, seed++) {
		uint64_t state = seed ^ (uint64_t)ranks << 56;
		struct program_style style = random_style(&state, ranks);
		style.groups = 0; /* of several entries, one may end between two of them */
		struct program *program = make_program(random_bits(&state), &style);
		struct settings settings;
		struct run run = {
			.test = "shutdown", .seed = seed, .program = program, .quit = quit};
		run.quitter = (int)below(&state, (uint64_t)ranks);
		run.quits_in = (int)below(&state, (uint64_t)style.steps);
		random_settings(&state, program->most_bytes, &settings);
		random_rank_settings(&state, &settings);
		style_settings(&style, &settings);
		play_on_threads(&run, &settings);
		compare_ranks(&run);
		run_end(&run);
		free_program(program);
	}
	print_reached();
}
END_TEST

/* ---- ranks as processes, by ronde.h ---- */

struct process_plan {
	const struct program *program;
	struct settings settings[CONFIGURATIONS];
	uint64_t seed;
};

/* Every configuration in a runtime of its own; what is a rank's own differs between ranks. */
static void process_body(int rank, int size, const void *arg)
{
	const struct process_plan *plan = arg;
	(void)size;
	for (int k = 0; k < CONFIGURATIONS; k++) {
		struct settings settings = plan->settings[k];
		uint64_t state = plan->seed + (uint64_t)(rank + 8 * k);
		ronde_init_options options = RONDE_INIT_OPTIONS_INIT;
		random_rank_settings(&state, &settings);
		options.settings = settings.pairs;
		require_ok(ronde_barrier());
		require_ok(ronde_shutdown());
		require_ok(ronde_init(&options));
		struct run run = {.test = "processes",
				  .seed = plan->seed,
				  .program = plan->program,
				  .settings = &settings,
				  .port = &port_public,
				  .quitter = -1};
		run_begin(&run);
		play(&run, rank, NULL);
		run_end(&run);
	}
}

START_TEST(processes)
{
	int ranks = worlds[_i];
	struct process_plan plan = {.seed = first_seed("processes", ranks)};
	for (int i = 0; i < rounds(2); i++, plan.seed++) {
		uint64_t state = plan.seed ^ (uint64_t)ranks << 56;
		struct program_style style = random_style(&state, ranks);
		struct program *program = make_program(random_bits(&state), &style);
		plan.program = program;
		for (int k = 0; k < CONFIGURATIONS; k++) {
			random_settings(&state, program->most_bytes, &plan.settings[k]);
			style_settings(&style, &plan.settings[k]);
		}
		int bad = fork_ranks(ranks, process_body, &plan);
		ck_assert_msg(bad == 0,
			      "%d of %d ranks failed: RONDE_TEST_SEED=%llu RONDE_TEST_ROUNDS=1 "
			      "CK_RUN_CASE=processes",
			      bad, ranks, (unsigned long long)plan.seed);
		free_program(program);
	}
}
END_TEST

static void add_case(Suite *suite, const char *name, const TTest *test)
{
	TCase *tests = tcase_create(name);
	tcase_set_timeout(tests, test_is_long() || getenv("RONDE_TEST_ROUNDS") ? 0 : SECONDS);
	tcase_add_loop_test(tests, test, 0, WORLDS);
	suite_add_tcase(suite, tests);
}

int main(void)
{
	Suite *suite = suite_create("schedules");
	add_case(suite, "threads", threads);
	add_case(suite, "full_rings", full_rings);
	add_case(suite, "unnamed_shapes", unnamed_shapes);
	add_case(suite, "evictions", evictions);
	add_case(suite, "stale_name", stale_name);
	add_case(suite, "stale_pattern", stale_pattern);
	add_case(suite, "shutdown", shutdown_in_the_middle);
	/* The threads of these processes race as those of "threads" do. */
	if (!test_of_races() || test_is_long())
		add_case(suite, "processes", processes);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

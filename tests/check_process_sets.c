/* SPDX-License-Identifier: Apache-2.0 */
/* Process sets by the public header, ranks as processes: static ones, and ranks that are stopped.
 */
#include <check.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "tests/fork_ranks.h"
#include "tests/sizes.h"

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Average of rank + 1 over the members, `count` times; in a set. */
static void average(int set, const char *name, int64_t count, float expected)
{
	ronde_options o = RONDE_OPTIONS_INIT;
	ronde_handle handle;
	float *x = malloc(((size_t)count + 1) * sizeof *x);
	o.process_set = set;
	for (int64_t i = 0; i < count; i++)
		x[i] = (float)(ronde_rank() + 1);
	require_ok(ronde_allreduce_async(name, x, x, count, RONDE_FLOAT32, RONDE_AVERAGE, &o,
					 &handle));
	require_ok(ronde_wait(handle));
	for (int64_t i = 0; i < count; i++)
		require(x[i] == expected, "element %lld is %g, not %g", (long long)i, (double)x[i],
			(double)expected);
	free(x);
}

/* ---- questions and operations ---- */

#define P "ronde_process_set_"

static void questions(int rank, int size, const void *arg)
{
	(void)size, (void)arg;
	int set = 77, other, ids[4] = {0}, ranks[4] = {9, 9, 9, 9};
	require_ok(ronde_process_set_add((int[]){3, 1, 0}, 3, &set));
	require_ok(ronde_process_set_add((int[]){2}, 1, &other));
	require(set == 1 && other == 2, "sets %d and %d", set, other);
	require(ronde_process_set_size(set) == 3 && ronde_process_set_size(0) == 4, "sizes");
	require(ronde_process_set_included(set) == (rank != 2), "included");
	require(ronde_process_set_ids(ids, 2) == 3 && ids[1] == 1 && ids[2] == 0, "ids");
	require(ronde_process_set_ranks(set, ranks, 4) == 3, "number of ranks");
	require(ranks[0] == 0 && ranks[1] == 1 && ranks[2] == 3 && ranks[3] == 9, "ranks");
	if (rank == 2)
		require_error(ronde_process_set_rank(set), RONDE_ERR_INVALID_ARGUMENT,
			      P "rank: rank 2 is not in process set 1 (ranks 0-1, 3)");
	else
		require(ronde_process_set_rank(set) == (rank == 3 ? 2 : rank), "rank");
	require_error(ronde_process_set_size(9), RONDE_ERR_INVALID_ARGUMENT,
		      P "size: process set 9 does not exist");
	require_error(ronde_process_set_ids(NULL, 3), RONDE_ERR_INVALID_ARGUMENT,
		      P "ids: sets is NULL, but room is 3");
	require_error(ronde_process_set_add(NULL, 3, &set), RONDE_ERR_INVALID_ARGUMENT,
		      P "add: ranks is NULL");
	require_error(ronde_process_set_add((int[]){2}, 1, &set), RONDE_ERR_INVALID_ARGUMENT,
		      P "add: process set of ranks 2: process set 2 has the same ranks");
	require_error(ronde_process_set_remove(0), RONDE_ERR_INVALID_ARGUMENT,
		      P "remove: process set 0 is the set of all ranks and cannot be removed");
	require(set == 1, "a failed add has set %d", set);
	require_ok(ronde_process_set_remove(other));
	require(ronde_process_set_ids(ids, 4) == 2, "ids after a removal");
}

static void operations(int rank, int size, const void *arg)
{
	(void)size, (void)arg;
	static const int64_t counts[] = {1, 3000, 300000};
	int set;
	float x[2] = {(float)rank, 1};
	ronde_options o = RONDE_OPTIONS_INIT;
	ronde_handle handle;
	require_ok(ronde_process_set_add((int[]){1, 3}, 2, &set));
	o.process_set = set;
	if (rank % 2 == 0) {
		char text[100];
		snprintf(text, sizeof text,
			 "ronde_broadcast_async: tensor \"b\": rank %d is not in process set 1 "
			 "(ranks 1, 3)",
			 rank);
		require_error(ronde_broadcast_async("b", x, x, 2, RONDE_FLOAT32, 3, &o, &handle),
			      RONDE_ERR_INVALID_ARGUMENT, text);
		return;
	}
	for (int k = 0; k < 3; k++)
		average(set, "a", counts[k], 3);
	require_error(ronde_broadcast_async("b", x, x, 2, RONDE_FLOAT32, 2, &o, &handle),
		      RONDE_ERR_INVALID_ARGUMENT,
		      "ronde_broadcast_async: tensor \"b\": root 2 is not in process set 1");
	for (int k = 0; k < 3; k++) {
		float *in = malloc((size_t)counts[k] * 4), *out = malloc((size_t)counts[k] * 8);
		for (int64_t i = 0; i < counts[k]; i++)
			in[i] = (float)(rank * 10 + i % 7);
		require_ok(ronde_broadcast_async("b", in, out, counts[k], RONDE_FLOAT32, 3, &o,
						 &handle));
		require_ok(ronde_wait(handle));
		for (int64_t i = 0; i < counts[k]; i++)
			require(out[i] == (float)(30 + i % 7), "broadcast");
		int64_t each[2], shape[] = {rank == 1 ? counts[k] / 3 : counts[k]};
		ronde_gathered g = {.data = out,
				    .capacity_bytes = (size_t)counts[k] * 8,
				    .rows_per_rank = each};
		require_ok(
			ronde_allgather_async("g", in, shape, 1, RONDE_FLOAT32, &g, &o, &handle));
		require_ok(ronde_wait(handle));
		require(g.rows == each[0] + each[1] && each[0] == counts[k] / 3, "rows");
		for (int64_t i = 0; i < g.rows; i++)
			require(out[i] == (i < each[0] ? (float)(10 + i % 7)
						       : (float)(30 + (i - each[0]) % 7)),
				"allgather");
		free(in);
		free(out);
	}
	require_ok(ronde_barrier_async(&o, &handle));
	require_ok(ronde_wait(handle));
}

START_TEST(by_the_header)
{
	ck_assert_int_eq(fork_ranks(4, questions, NULL), 0);
	ck_assert_int_eq(fork_ranks(4, operations, NULL), 0);
}
END_TEST

/* ---- sets given to ronde_init() ---- */

static void again(const ronde_ranks *lists, size_t n, int status, const char *text)
{
	ronde_init_options o = RONDE_INIT_OPTIONS_INIT;
	require_ok(ronde_barrier());
	require_ok(ronde_shutdown());
	o.process_sets = lists;
	o.process_set_count = n;
	/* The socket's old name may not be free yet: the second life has one of its own. */
	char address[64];
	static int life;
	snprintf(address, sizeof address, "%s-%d", getenv("RONDE_ADDRESS"), life++);
	setenv("RONDE_ADDRESS", address, 1);
	int got = ronde_init(&o);
	require(got == status && (!status || strcmp(ronde_error_message(), text) == 0),
		"init: %s: %s", ronde_status_name(got), ronde_error_message());
	require(ronde_is_initialized() == !status, "initialised");
	if (status)
		require_ok(ronde_init(NULL));
}

#define SAME ". All ranks must make the same changes in the same order"

static void given(int rank, int size, const void *arg)
{
	(void)size, (void)arg;
	const ronde_ranks lists[] = {{(int[]){2, 0}, 2}, {(int[]){1}, 1}, {(int[]){1, 2}, 2}};
	again(lists, 3, RONDE_OK, NULL);
	require(ronde_process_set_ids(NULL, 0) == 4, "4 sets");
	require(ronde_process_set_size(1) == 2 && ronde_process_set_included(2) == (rank == 1),
		"sets");
	if (rank != 1)
		average(1, "x", 5, 2);
	again(lists, rank == 2 ? 2 : 3, RONDE_ERR_MISMATCH,
	      "process sets: ranks 0-1 adds a process set of ranks 1-2; rank 2 has given "
	      "ronde_init() no more process sets" SAME);
	again(rank == 0 ? lists : lists + 1, 1, RONDE_ERR_MISMATCH,
	      "process sets: rank 0 adds a process set of ranks 0, 2; ranks 1-2 adds a process "
	      "set of ranks 1" SAME);
	const ronde_ranks same[] = {{(int[]){1, 2}, 2}, {(int[]){2, 1}, 2}};
	again(same, 2, RONDE_ERR_INVALID_ARGUMENT,
	      "process set of ranks 1-2: process set 1 has the same ranks");
	require(ronde_process_set_ids(NULL, 0) == 1, "1 set");
}

START_TEST(static_sets)
{
	ck_assert_int_eq(fork_ranks(3, given, NULL), 0);
}
END_TEST

/* ---- a rank is stopped ---- */

#define LARGE (200000 / SIZES_DIVISOR)
#define SANITIZED (SIZES_DIVISOR > 3)
#define STOP_SECONDS (SANITIZED ? 3.0 : 1.0)
#define MOST_TIMES 10000

/* How long rounds took, one after the other. */
struct times {
	int n;
	double seconds[MOST_TIMES];
};

struct shared {
	_Atomic int pid, done, stopped;
	_Atomic long rounds[5];
	struct times free_pair[2]; /* rank 1's: while nobody is stopped, while rank 4 is */
};

static int compare_seconds(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* In order of their length from here on. */
static double median(struct times *t)
{
	qsort(t->seconds, (size_t)t->n, sizeof *t->seconds, compare_seconds);
	return t->seconds[t->n / 2];
}

/* A round that belongs to one of the two; not one in which the rank was stopped or went on. */
static void note_round(struct shared *s, int stopped, double took)
{
	struct times *t = &s->free_pair[stopped];
	if (atomic_load(&s->stopped) == stopped && t->n < MOST_TIMES)
		t->seconds[t->n++] = took;
}

/* Waits until it is so; nothing of Ronde runs meanwhile on this thread. */
#define AWAIT(condition)                                                                           \
	for (double since_ = seconds(); !(condition); usleep(100))                                 \
	require(seconds() < since_ + 50, "never: %s", #condition)

/*
 * Ranks 1 and 2 are one pair, 3 and 4 the other; rank 0 leads, is in neither and calls nothing.
 * Rank 4 is stopped in the middle; sizes ride, and go through staging and heap.
 */
static void pairs(int rank, int size, const void *arg)
{
	struct shared *s = *(struct shared *const *)arg;
	static const int64_t counts[] = {4, 3000, LARGE};
	int sets[2];
	(void)size;
	require_ok(ronde_process_set_add((int[]){1, 2}, 2, &sets[0]));
	require_ok(ronde_process_set_add((int[]){3, 4}, 2, &sets[1]));
	float *heap = ronde_alloc(LARGE * sizeof *heap);
	ronde_options o = RONDE_OPTIONS_INIT;
	ronde_handle handles[64];
	if (rank == 4)
		atomic_store(&s->pid, getpid());
	require_ok(ronde_barrier());
	if (rank == 0) {
		/* Both pairs run; stop rank 4, and see the others go on. */
		AWAIT(atomic_load(&s->rounds[1]) > 5 && atomic_load(&s->rounds[4]) > 5);
		require(kill(atomic_load(&s->pid), SIGSTOP) == 0, "stop");
		atomic_store(&s->stopped, 1);
		usleep((useconds_t)(STOP_SECONDS / 2 * 1e6));
		/* It ends no round, and the free pair any number: on a busy machine they take long.
		 */
		long before = atomic_load(&s->rounds[1]), held = atomic_load(&s->rounds[4]);
		usleep((useconds_t)(STOP_SECONDS / 2 * 1e6));
		AWAIT(atomic_load(&s->rounds[1]) > before + 3);
		require(atomic_load(&s->rounds[4]) == held, "it was not stopped");
		atomic_store(&s->stopped, 0);
		require(kill(atomic_load(&s->pid), SIGCONT) == 0, "continue");
		AWAIT(atomic_load(&s->rounds[4]) > held + 5);
		atomic_store(&s->done, 1);
	}
	o.process_set = sets[rank > 2];
	/* What is in flight there when the rank is stopped: lanes and rings full of it. */
	int64_t stop = 0;
	while (rank && !stop) {
		int stopped = atomic_load(&s->stopped);
		double start = seconds();
		for (int k = 0; k < 64; k++) {
			static float x[64][LARGE];
			float *at = k % 4 == 3 ? heap : x[k];
			require_ok(ronde_allreduce_async(NULL, at, x[k], counts[k % 3],
							 RONDE_FLOAT32, RONDE_MAX, &o,
							 &handles[k]));
		}
		for (int k = 0; k < 64; k++)
			require_ok(ronde_wait(handles[k]));
		atomic_fetch_add(&s->rounds[rank], 1);
		int64_t mine = atomic_load(&s->done);
		require_ok(ronde_allreduce_async("stop", &mine, &stop, 1, RONDE_INT64, RONDE_MAX,
						 &o, &handles[0]));
		require_ok(ronde_wait(handles[0]));
		if (rank == 1)
			note_round(s, stopped, seconds() - start);
	}
	require_ok(ronde_barrier());
	require_ok(ronde_free(heap));
}

START_TEST(stopped_pair)
{
	struct shared *s =
		mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	setenv("RONDE_LANES", _i ? "4" : "8", 1);
	ck_assert_int_eq(fork_ranks(5, pairs, &s), 0);
	unsetenv("RONDE_LANES");
	/* Nothing of the free pair waits for the stopped rank, neither once nor on the whole. */
	struct times *running = &s->free_pair[0], *stopped = &s->free_pair[1];
	ck_assert(running->n > 3 && stopped->n > 3);
	double usual = median(running), meanwhile = median(stopped);
	double longest = stopped->seconds[stopped->n - 1];
	ck_assert_msg(longest < STOP_SECONDS / 2 && (meanwhile < 3 * usual || SANITIZED),
		      "while the other pair was stopped for %g s or more a round took %.4f s (the "
		      "median of %d) and at most %.4f s; else %.4f s (of %d)",
		      STOP_SECONDS, meanwhile, stopped->n, longest, usual, running->n);
	munmap(s, sizeof *s);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("process-sets");
	TCase *tests = tcase_create("process-sets");
	tcase_set_timeout(tests, 100);
	tcase_add_test(tests, by_the_header);
	tcase_add_test(tests, static_sets);
	tcase_add_loop_test(tests, stopped_pair, 0, 2);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

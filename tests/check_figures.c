/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machinery is real: shown by counters and contents, on ranks as processes. Where an answer
 * hangs on the machine having time for it, the test is tried again before it fails.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fork_ranks.h"
#include "tests/suite.h"

#define TRIES 5

/* Bytes of what is to be complete after 300 ms, and of what others gather behind. Where every
 * access is checked, as many as take a similar time. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define OVERLAP_BYTES (1 << 20)
#define BUSY_BYTES (24 << 20)
#else
#define OVERLAP_BYTES (16 << 20)
#define BUSY_BYTES (256 << 20)
#endif

static ronde_handle sum(const char *name, float *x, int64_t count)
{
	ronde_handle h;
	require_ok(ronde_allreduce_async(name, x, x, count, RONDE_FLOAT32, RONDE_SUM, NULL, &h));
	return h;
}

static ronde_counters counters(void)
{
	ronde_counters c = {.size = sizeof c};
	require_ok(ronde_get_counters(&c));
	return c;
}

static double seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int test(ronde_handle h)
{
	int done;
	require_ok(ronde_test(h, &done));
	return done;
}

/* All ranks do the same next: if one saw it, all did. */
static bool seen_by_all(bool seen)
{
	float x = seen;
	require_ok(ronde_allreduce("seen", &x, &x, 1, RONDE_FLOAT32, RONDE_MIN));
	return x == 1;
}

/* ---- progress beside a computation ---- */

static void fill(float *x, int64_t n, float value)
{
	for (int64_t i = 0; i < n; i++)
		x[i] = value;
}

/* 300 ms in which this thread has work and calls nothing. */
static void compute(void)
{
	volatile double x = 1;
	for (double end = seconds() + 0.3; seconds() < end;)
		for (int i = 0; i < 10000; i++)
			x = x * 1.0000001 + 1e-9;
}

static void overlap(int rank, int size, const void *arg)
{
	(void)rank;
	const int64_t n = OVERLAP_BYTES / sizeof(float);
	bool heap = arg != NULL, done = false;
	float *x = heap ? ronde_alloc((size_t)n * sizeof *x) : malloc((size_t)n * sizeof *x);
	require(x != NULL, "no memory");
	for (int i = 0; i < TRIES && !done; i++) {
		fill(x, n, 1);
		require_ok(ronde_barrier());
		ronde_handle h = sum("t", x, n);
		compute();
		done = test(h);
		require_ok(ronde_wait(h));
		for (int64_t k = 0; k < n; k++)
			require(x[k] == (float)size, "element %d", (int)k);
		done = seen_by_all(done);
	}
	require(done, "%d bytes are not complete after 300 ms of computation, %d times",
		OVERLAP_BYTES, TRIES);
	if (heap)
		require_ok(ronde_free(x));
	else
		free(x);
}

START_TEST(progress_beside_a_computation)
{
	static const int heap = 1;
	ck_assert_int_eq(fork_ranks(2, overlap, _i ? &heap : NULL), 0);
}
END_TEST

/* ---- idleness ---- */

/* Turns are counted, so this hangs on no clock: a runtime that polls makes thousands. */
static void idle(int rank, int size, const void *arg)
{
	(void)rank, (void)size, (void)arg;
	require_ok(ronde_barrier());
	usleep(100000); /* until the last one has gone to sleep */
	uint64_t before = counters().turns;
	usleep(500000);
	uint64_t turns = counters().turns - before;
	require(turns < 10, "%d turns in half a second without an operation", (int)turns);
}

START_TEST(an_idle_runtime_does_not_poll)
{
	for (int n = 1; n <= 3; n++)
		ck_assert_int_eq(fork_ranks(n, idle, NULL), 0);
}
END_TEST

/* ---- batching ---- */

#define SMALLS 100

/*
 * Many small tensors submitted while a large operation runs leave together. Until the large one is
 * complete nothing small starts, so what counts is that all were submitted before.
 */
static bool submit_beside(float *large, int64_t n, float (*small)[256], uint64_t *entries)
{
	ronde_handle h[SMALLS];
	char name[16];
	for (int i = 0; i < SMALLS; i++)
		fill(small[i], 256, (float)i);
	require_ok(ronde_barrier());
	ronde_counters before = counters();
	ronde_handle busy = sum("large", large, n);
	while (counters().entries == before.entries)
		sched_yield();
	for (int i = 0; i < SMALLS; i++) {
		snprintf(name, sizeof name, "small %d", i);
		h[i] = sum(name, small[i], 256);
	}
	bool in_time = !test(busy);
	require_ok(ronde_wait(busy));
	for (int i = 0; i < SMALLS; i++)
		require_ok(ronde_wait(h[i]));
	*entries = counters().entries - before.entries - 1;
	return in_time;
}

static void batching(int rank, int size, const void *arg)
{
	(void)rank, (void)arg;
	const int64_t n = BUSY_BYTES / sizeof(float);
	static float small[SMALLS][256];
	float *large = malloc((size_t)n * sizeof *large);
	require(large != NULL, "no memory");
	memset(large, 0, (size_t)n * sizeof *large);
	bool in_time = false;
	uint64_t entries = 0;
	for (int i = 0; i < TRIES && !in_time; i++)
		in_time = seen_by_all(submit_beside(large, n, small, &entries));
	require(in_time, "%d bytes were done before 100 tensors were submitted, %d times",
		BUSY_BYTES, TRIES);
	require(entries <= 4, "%d tensors of 1 KiB left in %d entries", SMALLS, (int)entries);
	for (int i = 0; i < SMALLS; i++)
		require(small[i][0] == (float)(size * i) && small[i][255] == small[i][0],
			"small %d", i);
	free(large);
}

START_TEST(small_ones_leave_together)
{
	if (_i) /* not riding along, but fused in the arena */
		setenv("RONDE_CARRY_BYTES", "0", 1);
	ck_assert_int_eq(fork_ranks(2, batching, NULL), 0);
}
END_TEST

/* What is ready waits for company: even tensors submitted one after the other with pauses. */
static void delayed(int rank, int size, const void *arg)
{
	(void)rank, (void)arg;
	float x[4] = {1, 1, 1, 1};
	ronde_handle h[4];
	bool together = false;
	for (int round = 0; round < TRIES && !together; round++) {
		require_ok(ronde_barrier());
		ronde_counters before = counters();
		double start = seconds();
		for (int i = 0; i < 4; i++) {
			char name[8];
			snprintf(name, sizeof name, "t%d", i);
			h[i] = sum(name, &x[i], 1);
			usleep(2000);
		}
		for (int i = 0; i < 4; i++)
			require_ok(ronde_wait(h[i]));
		require(seconds() - start >= 0.1, "nothing was held back for 0.1 s");
		together = seen_by_all(counters().entries - before.entries == 1);
	}
	require(together, "tensors 2 ms apart do not share an entry with a delay of 0.1 s");
	require(x[3] >= (float)size, "%g", (double)x[3]);
}

START_TEST(batch_delay)
{
	setenv("RONDE_BATCH_DELAY_US", "100000", 1);
	ck_assert_int_eq(fork_ranks(2, delayed, NULL), 0);
}
END_TEST

/* ---- descriptions ---- */

/* In full as often as `described`, by slot as often as `ready`, since `before`. */
static void announced(const char *what, ronde_counters *before, unsigned described, unsigned ready)
{
	ronde_counters now = counters();
	require(now.descriptions_sent - before->descriptions_sent == described &&
			now.ready_sent - before->ready_sent == ready,
		"%s: %d in full and %d by slot", what,
		(int)(now.descriptions_sent - before->descriptions_sent),
		(int)(now.ready_sent - before->ready_sent));
	*before = now;
}

static void descriptions(int rank, int size, const void *arg)
{
	(void)rank, (void)size, (void)arg;
	static float x[50000];
	ronde_counters c = counters();
	static const int64_t counts[] = {10, 50000};
	for (int k = 0; k < 2; k++) {
		const char *name = k ? "large" : "small";
		require_ok(ronde_wait(sum(name, x, counts[k])));
		announced("new", &c, 1, 0);
		for (int i = 0; i < 50; i++)
			require_ok(ronde_wait(sum(name, x, counts[k])));
		announced("known", &c, 0, 50);
		require_ok(ronde_wait(sum(name, x, counts[k] - 1)));
		announced("another shape", &c, 1, 0);
		require_ok(ronde_wait(sum(name, x, counts[k] - 1)));
		announced("the new shape", &c, 0, 1);
		require_ok(ronde_allreduce(name, x, x, counts[k] - 1, RONDE_FLOAT32, RONDE_MAX));
		announced("another reduction", &c, 1, 0);
		require_ok(ronde_allreduce(name, x, x, counts[k] - 1, RONDE_INT32, RONDE_MAX));
		announced("another type", &c, 1, 0);
	}
	for (int i = 0; i < 50; i++)
		require_ok(ronde_wait(sum(NULL, x, 77)));
	announced("unnamed ones of one shape", &c, 1, 49);
}

static void no_cache(int rank, int size, const void *arg)
{
	(void)rank, (void)size, (void)arg;
	float x[8] = {0};
	ronde_counters c = counters();
	for (int i = 0; i < 20; i++)
		require_ok(ronde_wait(sum(i % 2 ? "t" : NULL, x, 8)));
	announced("without a cache", &c, 20, 0);
}

START_TEST(known_tensors_are_not_described)
{
	ck_assert_int_eq(fork_ranks(2, descriptions, NULL), 0);
	ck_assert_int_eq(fork_ranks(1, descriptions, NULL), 0);
	setenv("RONDE_CACHE_CAPACITY", "0", 1);
	ck_assert_int_eq(fork_ranks(2, no_cache, NULL), 0);
}
END_TEST

/* ---- orders ---- */

static void opposite_orders(int rank, int size, const void *arg)
{
	(void)size, (void)arg;
	enum { N = 60 };
	static float x[N][20000];
	ronde_handle h[N];
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < N; i++) {
			int t = rank % 2 ? N - 1 - i : i;
			char name[16];
			snprintf(name, sizeof name, "t%d", t);
			int64_t n = t % 3 ? t + 1 : 20000;
			fill(x[t], n, (float)t);
			h[t] = sum(name, x[t], n);
		}
		for (int i = 0; i < N; i++) /* waits in yet another order */
			require_ok(ronde_wait(h[(i * 7 + round) % N]));
		for (int t = 0; t < N; t++)
			require(x[t][0] == (float)(size * t), "tensor %d", t);
	}
}

struct caller {
	pthread_t thread;
	const char *name;
	int64_t count;
};

static void *call(void *arg)
{
	struct caller *c = arg;
	float *x = calloc((size_t)c->count, sizeof *x);
	for (int i = 0; i < 100; i++)
		require_ok(ronde_allreduce(c->name, x, x, c->count, RONDE_FLOAT32, RONDE_SUM));
	free(x);
	return NULL;
}

/* Two threads block in two operations, which rank 0 starts in one order and rank 1 in the other. */
static void opposite_blocking(int rank, int size, const void *arg)
{
	(void)size, (void)arg;
	struct caller callers[] = {{.name = "a", .count = 5}, {.name = "b", .count = 30000}};
	for (int i = 0; i < 2; i++) {
		struct caller *c = &callers[(i + rank) % 2];
		require(!pthread_create(&c->thread, NULL, call, c), "thread");
		usleep(3000);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(callers[i].thread, NULL);
}

START_TEST(any_order)
{
	ck_assert_int_eq(fork_ranks(2, opposite_orders, NULL), 0);
	ck_assert_int_eq(fork_ranks(3, opposite_orders, NULL), 0);
	ck_assert_int_eq(fork_ranks(2, opposite_blocking, NULL), 0);
	ck_assert_int_eq(fork_ranks(3, opposite_blocking, NULL), 0);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{progress_beside_a_computation, 0, 2},   {an_idle_runtime_does_not_poll, ONCE},
		{small_ones_leave_together, 0, 2},       {batch_delay, ONCE},
		{known_tensors_are_not_described, ONCE}, {any_order, ONCE},
	};
	return SUITE_RUN("figures", 120, tests);
}

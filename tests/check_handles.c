/* SPDX-License-Identifier: Apache-2.0 */
/* Handles through the public functions: names in flight, waiting, threads, counters. */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fork_ranks.h"
#include "tests/sizes.h"
#include "tests/suite.h"

static ronde_handle sum(const char *name, float *x, int64_t count)
{
	ronde_handle h;
	require_ok(ronde_allreduce_async(name, x, x, count, RONDE_FLOAT32, RONDE_SUM, NULL, &h));
	return h;
}

/* Something for both ranks to meet at, without a barrier's ordinal. */
static void meet(const char *name)
{
	float x = 1;
	require_ok(ronde_wait(sum(name, &x, 1)));
}

static void until_done(ronde_handle h)
{
	int done = 0;
	while (!done) {
		require_ok(ronde_test(h, &done));
		sched_yield();
	}
}

/* ---- names ---- */

static void duplicate_names(int rank, int size, const void *arg)
{
	(void)arg;
	float x[2] = {1, 2}, y = 7, z = (float)rank;
	ronde_handle first = 0, other = 0, h = 4711;
	if (rank == 0) { /* in flight until the others have submitted it too */
		int done = 7;
		first = sum("dup", x, 2);
		require_ok(ronde_test(first, &done));
		require(done == 0, "what others have not submitted is complete: %d", done);
		for (int i = 0; i < 3; i++)
			require_error(ronde_allreduce_async("dup", &y, &y, 1, RONDE_FLOAT32,
							    RONDE_SUM, NULL, &h),
				      RONDE_ERR_DUPLICATE_NAME,
				      "tensor \"dup\": its previous allreduce is still in flight "
				      "on this rank; wait for it, or give this one another name");
		require(h == 4711 && y == 7, "an output was set");
		/* Another operation of the same name is another tensor. */
		require_ok(ronde_broadcast_async("dup", &z, &z, 1, RONDE_FLOAT32, size - 1, NULL,
						 &other));
		require_error(ronde_broadcast("dup", &y, &y, 1, RONDE_FLOAT32, 0),
			      RONDE_ERR_DUPLICATE_NAME,
			      "tensor \"dup\": its previous broadcast is still in flight on this "
			      "rank; wait for it, or give this one another name");
	}
	meet("go on");
	if (rank) {
		first = sum("dup", x, 2);
		require_ok(ronde_broadcast_async("dup", &z, &z, 1, RONDE_FLOAT32, size - 1, NULL,
						 &other));
	}
	until_done(first);
	/* Complete is not in flight, waited for or not. */
	ronde_handle again = sum("dup", &y, 1);
	require_ok(ronde_wait(first));
	require_ok(ronde_wait(other));
	require_ok(ronde_wait(again));
	require(x[0] == (float)size && x[1] == (float)(2 * size), "the one in flight was harmed");
	require(y == (float)(7 * size) && z == (float)(size - 1), "the others were harmed");
}

/* ---- waiting ---- */

static void test_and_wait(int rank, int size, const void *arg)
{
	(void)rank, (void)size, (void)arg;
	enum { MANY = 400 };
	static float x[MANY];
	ronde_handle h[MANY];
	int done;
	for (int i = 0; i < MANY; i++) {
		h[i] = sum(NULL, &x[i], 1);
		require(h[i] != 0, "a handle is 0");
		for (int k = 0; k < i; k++)
			require(h[k] != h[i], "handles %d and %d are the same", k, i);
		if (i % 3 == 0)
			require_ok(ronde_wait(h[i]));
	}
	for (int i = MANY - 1; i >= 0; i--) {
		if (i % 3) {
			until_done(h[i]);
			require_ok(ronde_test(h[i], &done)); /* testing does not release */
			require_ok(ronde_wait(h[i]));
		}
		done = 7;
		require(ronde_test(h[i], &done) == RONDE_ERR_UNKNOWN_HANDLE && done == 7,
			"test after wait");
		require(ronde_wait(h[i]) == RONDE_ERR_UNKNOWN_HANDLE, "double wait");
	}
	meet("still works");
}

struct waiter {
	pthread_t thread;
	ronde_handle handle;
	pthread_barrier_t *start;
	int status;
};

static void *wait_main(void *arg)
{
	struct waiter *w = arg;
	pthread_barrier_wait(w->start);
	w->status = ronde_wait(w->handle);
	return NULL;
}

/* Of the threads that wait for one handle at once exactly one gets the result. */
static void wait_from_threads(int rank, int size, const void *arg)
{
	(void)rank, (void)size, (void)arg;
	enum { WAITERS = 3 };
	static float x[300000];
	pthread_barrier_t start;
	pthread_barrier_init(&start, NULL, WAITERS);
	for (int round = 0; round < 2 + test_turns(48); round++) {
		struct waiter w[WAITERS];
		ronde_handle h = sum("x", x, round % 2 ? 300000 : 1);
		for (int i = 0; i < WAITERS; i++) {
			w[i] = (struct waiter){.handle = h, .start = &start};
			require(!pthread_create(&w[i].thread, NULL, wait_main, &w[i]), "thread");
		}
		int good = 0, unknown = 0;
		for (int i = 0; i < WAITERS; i++) {
			pthread_join(w[i].thread, NULL);
			good += w[i].status == RONDE_OK;
			unknown += w[i].status == RONDE_ERR_UNKNOWN_HANDLE;
		}
		require(good == 1 && unknown == WAITERS - 1, "%d got it, %d did not know it", good,
			unknown);
	}
	pthread_barrier_destroy(&start);
}

/* ---- many threads ---- */

#define THREADS 8
#define ROUNDS (8 * test_turns(5)) /* every eighth is large */

struct worker {
	pthread_t thread;
	int number, size;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	float *x = malloc(100000 * sizeof *x);
	char name[32];
	snprintf(name, sizeof name, "worker %d", w->number);
	for (int round = 0; round < ROUNDS; round++) {
		int64_t n = round % 8 == 7 ? 100000 : 1 + round;
		for (int64_t i = 0; i < n; i++)
			x[i] = (float)(w->number + i % 100);
		require_ok(ronde_wait(sum(name, x, n)));
		for (int64_t i = 0; i < n; i++)
			require(x[i] == (float)(w->size * (int)(w->number + i % 100)),
				"%s: element %d is %g", name, (int)i, (double)x[i]);
	}
	free(x);
	return NULL;
}

static void many_threads(int rank, int size, const void *arg)
{
	(void)rank, (void)arg;
	struct worker w[THREADS];
	for (int i = 0; i < THREADS; i++) {
		w[i] = (struct worker){.number = i, .size = size};
		require(!pthread_create(&w[i].thread, NULL, work, &w[i]), "thread");
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(w[i].thread, NULL);
	ronde_counters c = {.size = sizeof c};
	require_ok(ronde_get_counters(&c));
	require(c.submitted == (uint64_t)(THREADS * ROUNDS) && c.completed == c.submitted, "%d, %d",
		(int)c.submitted, (int)c.completed);
}

/* ---- counters ---- */

static void counters(int rank, int size, const void *arg)
{
	(void)arg;
	static float x[100000];
	float *heap = ronde_alloc(sizeof x);
	require(heap != NULL, "%s", ronde_error_message());
	for (int i = 0; i < 3; i++) {
		require_ok(ronde_wait(sum("carried", x, 10)));
		require_ok(ronde_wait(sum("staged", x, 100000)));
		require_ok(ronde_wait(sum("zero-copy", heap, 100000)));
	}
	require_ok(ronde_barrier());
	if (size > 1)
		require(ronde_wait(sum("differs", x, 1 + rank)) == RONDE_ERR_MISMATCH, "%s",
			ronde_error_message());
	ronde_counters c = {.size = sizeof c};
	require_ok(ronde_get_counters(&c));
	uint64_t errors = size > 1;
	require(c.size == sizeof c && c.submitted == 10 + errors && c.completed == c.submitted,
		"%d of %d", (int)c.completed, (int)c.submitted);
	require(c.entries == 10 && c.tensors == 10 && c.entries_carried == 4 &&
			c.entries_staged == 3 && c.entries_zero_copy == 3,
		"%d entries: %d, %d, %d", (int)c.entries, (int)c.entries_carried,
		(int)c.entries_staged, (int)c.entries_zero_copy);
	require(c.bytes == 3 * (40 + 2 * sizeof x), "%d bytes", (int)c.bytes);
	require(c.descriptions_sent == 4 + errors && c.ready_sent == 6, "%d in full, %d ready",
		(int)c.descriptions_sent, (int)c.ready_sent);
	require(c.errors == errors && c.evictions == 0 && c.turns > 0, "errors, evictions, turns");

	/* A struct of an earlier or a later header. */
	ronde_counters part;
	memset(&part, 0xab, sizeof part);
	part.size = 2 * sizeof(uint64_t);
	require_ok(ronde_get_counters(&part));
	require(part.size == 2 * sizeof(uint64_t) && part.submitted == c.submitted, "part");
	require(part.completed == 0xababababababababu, "written behind the struct");
	struct {
		ronde_counters now;
		uint64_t later;
	} more = {.now.size = sizeof more, .later = 4711};
	require_ok(ronde_get_counters(&more.now));
	require(more.now.size == sizeof c && more.now.submitted == c.submitted &&
			more.later == 4711,
		"later");
	require_ok(ronde_free(heap));
}

/* ---- allgather's own errors ---- */

static void *no_memory(size_t bytes, void *arg)
{
	*(size_t *)arg = bytes;
	return NULL;
}

/* One rank has no room: only that one fails. */
static void gathered_memory(int rank, int size, const void *arg)
{
	(void)arg;
	float x[3] = {1, 2, 3}, all[3 * FORK_RANKS_MAX];
	int64_t shape[1] = {3};
	size_t asked = 0;
	char text[200];
	ronde_gathered g = {.data = all, .capacity_bytes = rank == 0 ? 11 : sizeof all};
	int status = ronde_allgather("short", x, shape, 1, RONDE_FLOAT32, &g);
	snprintf(text, sizeof text,
		 "tensor \"short\": the allgather's result has %d bytes (%d rows of 4), the memory "
		 "given for it 11",
		 12 * size, 3 * size);
	require(status == (rank == 0 ? RONDE_ERR_TRUNCATED : RONDE_OK), "%s",
		ronde_error_message());
	require(rank || strcmp(ronde_error_message(), text) == 0, "%s", ronde_error_message());
	require(rank == 0 || all[3 * size - 1] == 3, "the other ranks' result");

	g = (ronde_gathered){.alloc_arg = &asked};
	if (rank == size - 1)
		g.alloc = no_memory;
	status = ronde_allgather(NULL, x, shape, 1, RONDE_FLOAT32, &g);
	snprintf(text, sizeof text,
		 "tensor \"allgather.noname.0\": no memory for the allgather's result of %d bytes",
		 12 * size);
	require(status == (g.alloc ? RONDE_ERR_OUT_OF_MEMORY : RONDE_OK), "%s",
		ronde_error_message());
	if (g.alloc)
		require(asked == (size_t)(12 * size) && strcmp(ronde_error_message(), text) == 0,
			"%s", ronde_error_message());
	else
		require(((float *)g.data)[3 * size - 1] == 3, "the other ranks' result");
	free(g.data);
	g = (ronde_gathered){.data = all, .capacity_bytes = sizeof all};
	require_ok(ronde_allgather("short", x, shape, 1, RONDE_FLOAT32, &g));
	require(g.rows == 3 * size, "next operation");
}

static const fork_ranks_fn bodies[] = {duplicate_names, test_and_wait, wait_from_threads,
				       many_threads,    counters,      gathered_memory};
#define BODIES ((int)(sizeof bodies / sizeof *bodies))

START_TEST(alone)
{
	ck_assert_int_eq(fork_ranks(1, bodies[_i], NULL), 0);
}
END_TEST

START_TEST(together)
{
	ck_assert_int_eq(fork_ranks(2, bodies[_i], NULL), 0);
	ck_assert_int_eq(fork_ranks(3, bodies[_i], NULL), 0);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{alone, 1, BODIES},
		{together, 0, BODIES},
	};
	return SUITE_RUN("handles", 130, tests);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Functions called when an operation is complete. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fork_ranks.h"
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

struct called {
	_Atomic int times;
	int status, wait_status;
	bool waits;
	ronde_handle handle;
	pthread_t thread;
	char text[300];
	_Atomic bool may_go;
};

static void note(ronde_handle handle, int status, const char *message, void *arg)
{
	struct called *c = arg;
	c->handle = handle;
	c->status = status;
	c->thread = pthread_self();
	snprintf(c->text, sizeof c->text, "%s", message);
	if (c->waits)
		c->wait_status = ronde_wait(handle);
	atomic_fetch_add(&c->times, 1);
}

static void until_called(struct called *c)
{
	while (!atomic_load(&c->times))
		sched_yield();
}

static void on_done(int rank, int size, const void *arg)
{
	(void)arg;
	float x = 1, y = 1, z = 1;
	struct called before = {0}, after = {0}, waits = {.waits = true};
	ronde_handle h = sum("before", &x, 1);
	require_ok(ronde_handle_on_done(h, note, &before));
	require_error(ronde_handle_on_done(h, note, &before), RONDE_ERR_INVALID_ARGUMENT,
		      "ronde_handle_on_done: this handle has a function already");
	require_ok(ronde_wait(h));
	until_called(&before);
	require(before.handle == h && before.status == RONDE_OK && !before.text[0], "%s",
		before.text);
	require(!pthread_equal(before.thread, pthread_self()), "called on the submitter's thread");
	require(ronde_handle_on_done(h, note, &before) == RONDE_ERR_UNKNOWN_HANDLE, "after wait");

	h = sum("after", &y, 1);
	until_done(h);
	require_ok(ronde_handle_on_done(h, note, &after));
	require(ronde_handle_on_done(h, note, &after) == RONDE_ERR_INVALID_ARGUMENT, "twice");
	until_called(&after);
	require(ronde_handle_on_done(h, note, &after) == RONDE_ERR_INVALID_ARGUMENT, "again");
	require(pthread_equal(before.thread, after.thread), "called on two threads");
	require_ok(ronde_wait(h));

	h = sum("waits itself", &z, 1);
	require_ok(ronde_handle_on_done(h, note, &waits));
	until_called(&waits);
	require(waits.wait_status == RONDE_OK && ronde_wait(h) == RONDE_ERR_UNKNOWN_HANDLE,
		"waiting in the function");

	/* An error comes with its text. */
	struct called fails = {0};
	if (size > 1) {
		h = sum("differs", &x, rank == 0);
		require_ok(ronde_handle_on_done(h, note, &fails));
		require(ronde_wait(h) == RONDE_ERR_MISMATCH, "%s", ronde_error_message());
		until_called(&fails);
		require(fails.status == RONDE_ERR_MISMATCH &&
				strcmp(fails.text, ronde_error_message()) == 0,
			"%s", fails.text);
	}
	meet("still works");
	require(before.times == 1 && after.times == 1 && waits.times == 1 && fails.times <= 1,
		"called more than once");
}

/* Each completion starts the next operation, without any other thread of the application. */
struct chain {
	float x;
	int left;
	_Atomic bool done;
};

static void next_of_chain(ronde_handle handle, int status, const char *message, void *arg)
{
	struct chain *c = arg;
	require(status == RONDE_OK, "%s", message);
	require_ok(ronde_wait(handle));
	if (--c->left == 0) {
		atomic_store(&c->done, true);
		return;
	}
	ronde_handle h = sum("chain", &c->x, 1);
	require_ok(ronde_handle_on_done(h, next_of_chain, c));
}

static void chain(int rank, int size, const void *arg)
{
	(void)rank, (void)arg;
	struct chain c = {.x = 1, .left = 12};
	ronde_handle h = sum("chain", &c.x, 1);
	require_ok(ronde_handle_on_done(h, next_of_chain, &c));
	while (!atomic_load(&c.done))
		usleep(100);
	float expected = 1;
	for (int i = 0; i < 12; i++)
		expected *= (float)size;
	require(c.x == expected, "%g", (double)c.x);
}

/* Shutdown completes what nobody will answer, and its function is called. */
static void called_at_shutdown(int rank, int size, const void *arg)
{
	(void)arg;
	struct called c = {0};
	float x = 1;
	if (size > 1 && rank == 0) {
		ronde_handle h = sum("alone", &x, 1);
		require_ok(ronde_handle_on_done(h, note, &c));
	}
	meet("all there");
	require_ok(ronde_shutdown());
	if (size > 1 && rank == 0)
		require(c.times == 1 && c.status == RONDE_ERR_SHUTDOWN &&
				strstr(c.text, "has shut Ronde down"),
			"%d times: %s", c.times, c.text);
}

static void stay(ronde_handle handle, int status, const char *message, void *arg)
{
	struct called *c = arg;
	(void)handle, (void)status, (void)message;
	atomic_fetch_add(&c->times, 1);
	while (!atomic_load(&c->may_go))
		usleep(100);
	atomic_fetch_add(&c->times, 1);
}

static uint64_t staged(void)
{
	ronde_counters c = {.size = sizeof c};
	require_ok(ronde_get_counters(&c));
	return c.entries_staged;
}

/* A waiter helps: while the coordinator threads of all ranks are held, nobody else can do it. */
static void waiters_help(int rank, int size, const void *arg)
{
	(void)arg;
	enum { COUNT = 300000 };
	struct called held = {0};
	float one = 1, *x = malloc(COUNT * sizeof *x);
	int wrong = 0;
	for (int i = 0; i < COUNT; i++)
		x[i] = (float)(rank + 1);
	ronde_handle h = sum("held", &one, 1);
	require_ok(ronde_handle_on_done(h, stay, &held));
	until_called(&held);
	uint64_t before = staged();
	require_ok(ronde_allreduce("by waiters", x, x, COUNT, RONDE_FLOAT32, RONDE_SUM));
	require(staged() == before + 1, "%d staged", (int)(staged() - before));
	const int sum = size * (size + 1) / 2;
	for (int i = 0; i < COUNT; i++)
		wrong += x[i] != (float)sum;
	require(!wrong, "%d elements are wrong", wrong);
	require(atomic_load(&held.times) == 1, "called %d times", held.times);
	atomic_store(&held.may_go, true);
	require_ok(ronde_wait(h));
	while (atomic_load(&held.times) < 2)
		sched_yield();
	free(x);
}

static const fork_ranks_fn bodies[] = {on_done, chain, called_at_shutdown, waiters_help};
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
		{alone, 0, BODIES},
		{together, 0, BODIES},
	};
	return SUITE_RUN("callbacks", 130, tests);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Who runs turns and completion functions, and who is woken for what; ranks as threads. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "collectives/bootstrap/wait.h"
#include "tests/ranks.h"
#include "tests/sizes.h"
#include "tests/suite.h"

static void remember(ronde_handle handle, int status, const char *message, void *arg)
{
	(void)handle, (void)status, (void)message;
	atomic_store((_Atomic bool *)arg, true);
}

static bool until(_Atomic bool *flag, double seconds)
{
	double deadline = ronde_seconds() + seconds;
	while (!atomic_load(flag) && ronde_seconds() < deadline)
		usleep(100);
	return atomic_load(flag);
}

static int spins(int wanted, double cores_per_rank)
{
	struct ronde_engine e;
	must(ronde_engine_init(&e, wanted, cores_per_rank), "engine");
	int n = e.spins;
	ronde_engine_finish(&e);
	return n;
}

/* Ranks that share cores hand them on soon: what they wait for may need the very core. */
START_TEST(spins_follow_cores)
{
	int alone = spins(-1, 1);
	ck_assert_int_eq(spins(-1, 8), alone);
	ck_assert_int_ge(alone, 10 * spins(-1, 0.99));
	ck_assert_int_eq(spins(-1, 0.1), spins(-1, 0.99));
	ck_assert_int_gt(spins(-1, 0.1), 1);
	ck_assert_int_eq(spins(7, 8), 7);
	ck_assert_int_eq(spins(7, 0.1), 7);
	ck_assert_int_eq(spins(0, 8), 1);
}
END_TEST

/*
 * Rank 0 waits for what rank 1 submits only once rank 0's completion function has been called: a
 * thread that waits must not keep the coordinator thread from calling it.
 */
static void called_while_waiting_body(struct rank *r)
{
	_Atomic bool *called = r->arg;
	float first = 1, second = 1;
	ronde_handle h;
	must(submit_allreduce(r, "first", &first, &first, 1, RONDE_FLOAT32, RONDE_SUM, &h),
	     "first");
	if (r->rank == 0) {
		must(ronde_submit_on_done(r->context, h, remember, called), "on_done");
		must(allreduce(r, "second", &second, &second, 1, RONDE_FLOAT32, RONDE_SUM),
		     "second");
		must(wait_for(r, h), "first");
	} else {
		/* Rank 0 sleeps in its wait by now. */
		usleep(20000);
		must(wait_for(r, h), "first");
		bool in_time = until(called, 10);
		must(allreduce(r, "second", &second, &second, 1, RONDE_FLOAT32, RONDE_SUM),
		     "second");
		ck_assert_msg(in_time, "the completion function was not called in 10 s");
	}
}

START_TEST(called_while_waiting)
{
	_Atomic bool called = false;
	run_ranks(2, NULL, called_while_waiting_body, &called);
}
END_TEST

/*
 * Rank 1 fills its announce ring with what rank 0 never submits, and shuts down, while no thread of
 * rank 0 polls or waits: its leader must hear the shutdown all the same.
 */
#define MANY 1000

static void full_ring_body(struct rank *r)
{
	_Atomic bool *ended = r->arg;
	static float data[MANY];
	if (r->rank == 0) {
		float x = 1;
		ck_assert_msg(until(ended, 4), "rank 1's shutdown has not been answered");
		int status = allreduce(r, "late", &x, &x, 1, RONDE_FLOAT32, RONDE_SUM);
		ck_assert_int_eq(status, RONDE_ERR_SHUTDOWN);
		return;
	}
	for (int i = 0; i < MANY; i++) {
		char name[300];
		ronde_handle h;
		snprintf(name, sizeof name, "%0200d", i);
		must(submit_allreduce(r, name, &data[i], &data[i], 1, RONDE_FLOAT32, RONDE_SUM, &h),
		     "submit");
	}
	ronde_context_stop(r->context);
	atomic_store(ended, true);
}

START_TEST(shutdown_behind_a_full_ring)
{
	const char *const settings[] = {"ring_bytes", "16384", "carry_bytes", "4096", NULL};
	_Atomic bool ended = false;
	run_ranks(2, settings, full_ring_body, &ended);
}
END_TEST

/*
 * Rank 0 hears nothing for longer than a shutdown waits for an answer, while rank 1's operations
 * get on, as one that takes minutes does: rank 1 goes on waiting.
 */
struct long_wait {
	_Atomic bool deaf, ended;
	struct ronde_context *context;
};

static void *get_on(void *arg)
{
	struct long_wait *w = arg;
	while (!atomic_load(&w->ended)) {
		atomic_fetch_add(&w->context->schedule.progress, 1);
		usleep(100000);
	}
	return NULL;
}

static void long_wait_body(struct rank *r)
{
	struct long_wait *w = r->arg;
	pthread_t thread;
	must(barrier(r), "barrier");
	if (r->rank == 0) {
		pthread_mutex_lock(&r->context->engine.lock);
		atomic_store(&w->deaf, true);
		usleep(6500000);
		pthread_mutex_unlock(&r->context->engine.lock);
		return;
	}
	ck_assert(until(&w->deaf, 10));
	w->context = r->context;
	ck_assert(!pthread_create(&thread, NULL, get_on, w));
	ronde_context_stop(r->context);
	atomic_store(&w->ended, true);
	pthread_join(thread, NULL);
	ck_assert_int_eq(r->context->submissions.ended, RONDE_ERR_SHUTDOWN);
}

START_TEST(a_shutdown_waits_while_something_gets_on)
{
	struct long_wait w = {.deaf = false};
	run_ranks(2, NULL, long_wait_body, &w);
}
END_TEST

/*
 * Threads that wait beside threads that only poll for their completion functions: whoever drops the
 * engine must not leave what the others have submitted to nobody.
 */
#define ROUNDS 400
#define THREADS 3
#define TENSORS 8

struct worker {
	struct rank *rank;
	int number, round;
	bool waits;
	pthread_t thread;
};

static void count_call(ronde_handle handle, int status, const char *message, void *arg)
{
	(void)handle, (void)status, (void)message;
	atomic_fetch_add((_Atomic int *)arg, 1);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	float data[TENSORS][64] = {{0}};
	ronde_handle handles[TENSORS];
	_Atomic int called = 0;
	int n = 1 + (w->round * 5 + w->number) % TENSORS;
	for (int i = 0; i < n; i++) {
		char name[32];
		snprintf(name, sizeof name, "%d.%d", w->number, i);
		must(submit_allreduce(w->rank, name, data[i], data[i], 64, RONDE_FLOAT32, RONDE_SUM,
				      &handles[i]),
		     "submit");
		if (!w->waits)
			must(ronde_submit_on_done(w->rank->context, handles[i], count_call,
						  &called),
			     "on_done");
	}
	double deadline = ronde_seconds() + 20;
	while (!w->waits && atomic_load(&called) < n) {
		ck_assert_msg(ronde_seconds() < deadline, "%d of %d operations after 20 s", called,
			      n);
		sched_yield();
	}
	for (int i = 0; i < n; i++)
		must(wait_for(w->rank, handles[i]), "wait");
	return NULL;
}

static void mixed_threads_body(struct rank *r)
{
	for (int round = 0; round < test_turns(ROUNDS); round++) {
		struct worker workers[THREADS];
		int n = 1 + round % THREADS;
		for (int i = 0; i < n; i++) {
			workers[i] = (struct worker){.rank = r,
						     .number = i,
						     .round = round,
						     .waits = (i + round / THREADS) % 2 != 0};
			if (i && pthread_create(&workers[i].thread, NULL, work, &workers[i]))
				abort();
		}
		work(&workers[0]);
		for (int i = 1; i < n; i++)
			pthread_join(workers[i].thread, NULL);
	}
}

START_TEST(threads_that_wait_and_threads_that_poll)
{
	const char *const settings[] = {"carry_bytes", _i % 2 ? "0" : "16384", NULL};
	run_ranks(1 + _i / 2, settings, mixed_threads_body, NULL);
}
END_TEST

struct ends {
	_Atomic bool called;
	int shutdown, init;
};

static void end_inside(ronde_handle handle, int status, const char *message, void *arg)
{
	struct ends *e = arg;
	(void)handle, (void)status, (void)message;
	e->shutdown = ronde_shutdown();
	e->init = ronde_init(NULL);
	atomic_store(&e->called, true);
}

/* The coordinator thread cannot end itself: an error, and everything goes on. */
START_TEST(no_end_inside_a_completion_function)
{
	struct ends ends = {.called = false};
	ronde_handle h;
	must(ronde_init(NULL), "init");
	must(ronde_barrier_async(NULL, &h), "barrier");
	must(ronde_handle_on_done(h, end_inside, &ends), "on_done");
	must(ronde_wait(h), "wait");
	ck_assert(until(&ends.called, 10));
	ck_assert_int_eq(ends.shutdown, RONDE_ERR_INVALID_ARGUMENT);
	ck_assert_int_eq(ends.init, RONDE_ERR_INVALID_ARGUMENT);
	must(ronde_barrier(), "barrier");
	must(ronde_shutdown(), "shutdown");
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{spins_follow_cores, ONCE},
		{called_while_waiting, ONCE},
		{shutdown_behind_a_full_ring, ONCE},
		{a_shutdown_waits_while_something_gets_on, ONCE},
		{threads_that_wait_and_threads_that_poll, 0, 6},
		{no_end_inside_a_completion_function, ONCE},
	};
	return SUITE_RUN("engine", 60, tests);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An operation that is completed not by whoever waits for it and runs turns, but beside it: the
 * runtime has ended while an allgather's alloc was being called, and the coordinator thread
 * completes the request when that returns. Here it does so at the last moment before the waiting
 * thread goes to sleep, after that has looked whether it is done.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "collectives/bootstrap/wait.h"
#include "tests/fault_ranks.h"
#include "tests/suite.h"

/* A waiting thread that has looked for 100 µs sleeps after its next yield (coordinator/engine.c).
 */
#define LOOKED 95e-6
/* A turn in which it slept before that shows nothing; it is woken by the answer then. */
#define ANSWER_MS 2000

enum phase { STARTED, CALLED };

static struct {
	_Atomic bool called, may_return;
	bool armed;
	double since; /* the waiting thread's first yield */
	pthread_t waits;
} late;

int __real_sched_yield(void);
int __wrap_sched_yield(void);

int __wrap_sched_yield(void)
{
	if (!late.armed || !pthread_equal(late.waits, pthread_self()))
		return __real_sched_yield();
	if (late.since == 0)
		late.since = ronde_seconds();
	if (ronde_seconds() - late.since > LOOKED) {
		late.armed = false;
		atomic_store(&late.may_return, true);
		sleep_ms(100); /* it has returned, and the bell has rung */
	}
	return __real_sched_yield();
}

static void *wait_for_word(size_t bytes, void *arg)
{
	(void)arg;
	atomic_store(&late.called, true);
	for (int ms = 0; ms < ANSWER_MS && !atomic_load(&late.may_return); ms++)
		sleep_ms(1);
	return malloc(bytes);
}

static void bereft(struct scene *scene, int rank)
{
	int64_t shape[] = {1};
	int32_t mine = rank;
	float x = 1;
	ronde_gathered gathered = {.alloc = rank == 0 ? wait_for_word : NULL};
	ronde_handle gather, h;
	require_ok(ronde_init(NULL));
	require_ok(ronde_allgather_async("gather", &mine, shape, 1, RONDE_INT32, &gathered, NULL,
					 &gather));
	if (rank == 1) /* it is killed */
		for (;;)
			sleep_ms(1000);
	while (!atomic_load(&late.called))
		sleep_ms(1);
	scene_reach(scene, rank, CALLED);
	while (!ronde_allreduce_async("x", &x, &x, 1, RONDE_FLOAT32, RONDE_SUM, NULL, &h))
		require(ronde_wait(h) == RONDE_ERR_PEER_LOST, "%s", ronde_error_message());
	late.waits = pthread_self();
	late.armed = true;
	require(ronde_wait(gather) == RONDE_ERR_PEER_LOST, "%s", ronde_error_message());
	late.armed = false;
	free(gathered.data);
	require_ok(ronde_shutdown());
	scene_told(scene, rank);
}

START_TEST(completed_before_it_sleeps)
{
	struct scene *scene = scene_open(2, bereft, NULL);
	scene_await(scene, 0, CALLED);
	scene_signal(scene, 1, SIGKILL);
	scene_slowest(scene, 1u << 1);
	scene_close(scene, 1u << 1);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {{completed_before_it_sleeps, 0, 5}};
	return SUITE_RUN("late_answer", 100, tests);
}

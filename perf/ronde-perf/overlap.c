/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ronde-perf overlap: does communication go on while the application computes, and do tensors that
 * wait for each other travel together? Counters and completion times answer:
 *
 *   1. a 16 MiB allreduce is submitted, then 300 ms of computation without a call into Ronde: is
 *      it complete at the first ronde_test(), and since when?
 *   2. 100 tensors of 1 KiB are submitted while a 64 MiB allreduce runs: in how many schedule
 *      entries do they leave? How many descriptions were sent the second time?
 *   3. the same tensors in opposite orders on even and odd ranks: do they complete?
 */
#include "perf/ronde-perf/report.h"

#include <sched.h>
#include <stdatomic.h>

enum { BIG = 16 << 20, SMALL = 1024, TENSORS = 100, ENTRIES = 4 };

static const double compute_seconds = 0.3;

static void note_time(ronde_handle handle, int status, const char *message, void *arg)
{
	(void)handle;
	(void)status;
	(void)message;
	atomic_store((_Atomic int64_t *)arg, perf_now());
}

static void compute(double seconds)
{
	int64_t end = perf_now() + (int64_t)(seconds * 1e9);
	volatile double x = 1;

	while (perf_now() < end)
		for (int i = 0; i < 1000; i++)
			x = x * 0.999 + 0.5;
}

static ronde_handle submit(const struct perf_world *world, const char *name, void *tensor,
			   size_t bytes)
{
	ronde_handle handle = 0;

	perf_check(world,
		   ronde_allreduce_async(name, tensor, tensor, (int64_t)(bytes / sizeof(float)),
					 RONDE_FLOAT32, RONDE_SUM, NULL, &handle),
		   name);
	return handle;
}

static size_t beside_computation(const struct perf_run *run, enum perf_memory memory)
{
	const struct perf_world *world = run->world;
	size_t bytes = run->options->max_bytes < BIG ? run->options->max_bytes : BIG;
	float *tensor = perf_memory_get(world, memory, bytes);
	_Atomic int64_t done_at = 0;
	int64_t begin, end;
	double took, failed;
	ronde_handle handle;
	int done = 0;

	for (int warm = 0; warm < 2; warm++)
		perf_check(world, ronde_wait(submit(world, "perf.overlap", tensor, bytes)),
			   "perf.overlap");
	perf_world_meet(world);
	begin = perf_now();
	handle = submit(world, "perf.overlap", tensor, bytes);
	perf_check(world, ronde_handle_on_done(handle, note_time, (void *)&done_at), "callback");
	compute(compute_seconds);
	perf_check(world, ronde_test(handle, &done), "test");
	end = perf_now();
	perf_check(world, ronde_wait(handle), "perf.overlap");
	/* The callback may come a moment after the wait. */
	while (atomic_load(&done_at) == 0)
		sched_yield();
	failed = !done;
	took = (double)(atomic_load(&done_at) - begin) * 1e-6;
	world->transport->sum(world, &failed, 1);
	world->transport->max(world, &took, 1);
	if (world->rank == 0)
		printf("# %g MiB (%s), then %.0f ms of computation: complete at the first test on "
		       "%d of %d ranks; complete %.1f ms after the submission on the last of them, "
		       "%.1f ms before the end\n",
		       (double)bytes / (1 << 20), perf_memory_name(memory), compute_seconds * 1e3,
		       world->size - (int)failed, world->size, took,
		       (double)(end - begin) * 1e-6 - took);
	perf_memory_put(memory, tensor);
	return (size_t)failed;
}

/* One time: counters of the small tensors alone. */
static ronde_counters behind_a_big_one(const struct perf_run *run, const char *memory, float *big,
				       float *small, bool opposite)
{
	const struct perf_world *world = run->world;
	ronde_counters before = {.size = sizeof(before)}, after = {.size = sizeof(after)};
	ronde_handle handles[TENSORS], big_handle;

	perf_world_meet(world);
	perf_check(world, ronde_get_counters(&before), "counters");
	big_handle = submit(world, "perf.overlap.big", big, run->options->max_bytes);
	for (int i = 0; i < TENSORS; i++) {
		int which = opposite && world->rank % 2 ? TENSORS - 1 - i : i;
		char name[48];

		snprintf(name, sizeof(name), "perf.overlap.%s.%d", memory, which);
		handles[i] = submit(world, name, small + which * SMALL / (int)sizeof(float), SMALL);
	}
	perf_check(world, ronde_wait(big_handle), "perf.overlap.big");
	for (int i = 0; i < TENSORS; i++)
		perf_check(world, ronde_wait(handles[i]), "perf.overlap.small");
	perf_check(world, ronde_get_counters(&after), "counters");
	after.entries -= before.entries + 1;
	after.descriptions_sent -= before.descriptions_sent;
	after.ready_sent -= before.ready_sent;
	return after;
}

static size_t fused(const struct perf_run *run, enum perf_memory memory)
{
	static const char *const ways[] = {"first time", "again", "in opposite orders"};
	const struct perf_world *world = run->world;
	float *big = perf_memory_get(world, memory, run->options->max_bytes);
	float *small = perf_memory_get(world, memory, TENSORS * SMALL);
	double failed = 0;

	for (int way = 0; way < 3; way++) {
		ronde_counters used =
			behind_a_big_one(run, perf_memory_name(memory), big, small, way == 2);

		failed += used.entries > ENTRIES || (way > 0 && used.descriptions_sent > 0);
		if (world->rank == 0)
			printf("# 100 tensors of 1 KiB behind one of %g MiB (%s), %s: %llu "
			       "entries; %llu full descriptions, %llu by slot\n",
			       (double)run->options->max_bytes / (1 << 20),
			       perf_memory_name(memory), ways[way],
			       (unsigned long long)used.entries,
			       (unsigned long long)used.descriptions_sent,
			       (unsigned long long)used.ready_sent);
	}
	world->transport->sum(world, &failed, 1);
	perf_memory_put(memory, small);
	perf_memory_put(memory, big);
	return (size_t)failed;
}

size_t perf_overlap(struct perf_run *run)
{
	size_t failed = 0;

	for (unsigned memory = PERF_HEAP; memory <= PERF_ORDINARY; memory++) {
		if (!(run->options->memories & memory))
			continue;
		failed += beside_computation(run, memory);
		failed += fused(run, memory);
	}
	if (run->world->rank == 0)
		printf("# %s\n", failed ? "NOT as it should be" : "as it should be");
	return failed;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Round r, contestants A and B:
 *
 *   A: prepare (not timed), meet (not timed), clock, run, clock
 *   B: prepare (not timed), meet (not timed), clock, run, clock
 *
 * The order is drawn anew for every round, the same on all ranks, so that nobody always runs on the
 * caches that the same neighbour left. Each rank
 * keeps its own times; at the end the maximum over the ranks of each round is taken, and the
 * figures from those. A time includes one reading of the clock (20–40 ns).
 */
#include "perf/ronde-perf/measure.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct perf_figures perf_figures_of(double *values, size_t count)
{
	double sum = 0;

	qsort(values, count, sizeof(*values), compare);
	for (size_t i = 0; i < count; i++)
		sum += values[i];
	return (struct perf_figures){
		.median = (values[(count - 1) / 2] + values[count / 2]) / 2,
		.p99 = values[(count - 1) * 99 / 100],
		.min = values[0],
		.max = values[count - 1],
		.mean = sum / (double)count,
	};
}

/* One contestant's round: repeat calls, their times and the first one's start. Times is NULL in the
 * warm-up. */
static void run_round(const struct perf_world *world, const struct perf_contestant *contestant,
		      int round, int repeat, double *times, double *start)
{
	if (contestant->prepare)
		contestant->prepare(contestant->arg, round);
	perf_world_meet(world);
	for (int i = 0; i < repeat; i++) {
		int64_t begin = perf_now(), end;

		contestant->run(contestant->arg);
		end = perf_now();
		if (!times)
			continue;
		times[i] = (double)(end - begin) * 1e-9;
		if (i == 0)
			*start = (double)begin * 1e-9;
	}
}

/* Puts the contestants into another order (Fisher and Yates; xorshift). */
static void shuffle(int *order, int count, uint64_t *state)
{
	for (int i = count - 1; i > 0; i--) {
		int other, held = order[i];

		*state ^= *state << 13;
		*state ^= *state >> 7;
		*state ^= *state << 17;
		other = (int)(*state % (uint64_t)(i + 1));
		order[i] = order[other];
		order[other] = held;
	}
}

/* Median over the rounds of: last rank's start − first rank's. */
static double median_skew(const struct perf_world *world, double *starts, size_t count)
{
	double *early = malloc(count * sizeof(*early));
	double skew;

	if (!early)
		perf_die(world, "out of memory for %zu times", count);
	for (size_t i = 0; i < count; i++)
		early[i] = -starts[i];
	world->transport->max(world, starts, count);
	world->transport->max(world, early, count);
	for (size_t i = 0; i < count; i++)
		starts[i] += early[i];
	skew = perf_figures_of(starts, count).median;
	free(early);
	return skew;
}

void perf_measure(const struct perf_world *world, const struct perf_contestant *contestants,
		  int count, const struct perf_rounds *rounds, struct perf_measurement *measurement)
{
	size_t calls = (size_t)rounds->rounds * (size_t)rounds->repeat;
	double *times = calloc((size_t)count * calls, sizeof(*times));
	double *starts = calloc((size_t)count * (size_t)rounds->rounds, sizeof(*starts));

	int order[PERF_MAX_CONTESTANTS];
	uint64_t state = 1;

	if (!times || !starts)
		perf_die(world, "out of memory for %zu times", (size_t)count * calls);
	for (int c = 0; c < count; c++)
		order[c] = c;
	for (int r = -rounds->warmup; r < rounds->rounds; r++) {
		shuffle(order, count, &state);
		for (int turn = 0; turn < count; turn++) {
			int c = order[turn];
			size_t slot = (size_t)(r < 0 ? 0 : r);

			run_round(world, &contestants[c], r, rounds->repeat,
				  r < 0 ? NULL
					: &times[(size_t)c * calls + slot * (size_t)rounds->repeat],
				  &starts[(size_t)c * (size_t)rounds->rounds + slot]);
		}
	}
	world->transport->max(world, times, (size_t)count * calls);
	if (rounds->times)
		memcpy(rounds->times, times, (size_t)count * calls * sizeof(*times));
	for (int c = 0; c < count; c++)
		measurement->figures[c] = perf_figures_of(&times[(size_t)c * calls], calls);
	measurement->skew =
		world->meeting ? median_skew(world, starts, (size_t)count * (size_t)rounds->rounds)
			       : 0;
	free(starts);
	free(times);
}

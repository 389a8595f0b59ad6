/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measuring: contestants take turns, round by round, so that a slow moment of the machine hits all
 * of them. The time of a round is the slowest rank's.
 */
#ifndef RONDE_PERF_MEASURE_H
#define RONDE_PERF_MEASURE_H

#include "perf/ronde-perf/world.h"

#define PERF_MAX_CONTESTANTS 16

/* One thing that is timed. */
struct perf_contestant {
	const char *name;
	/* Writes the inputs; before each round, not timed. May be NULL. */
	void (*prepare)(void *arg, int round);
	/* What is timed; ends the program on an error. */
	void (*run)(void *arg);
	void *arg;
};

/* Seconds. */
struct perf_figures {
	double median, p99, min, max, mean;
};

struct perf_measurement {
	struct perf_figures figures[PERF_MAX_CONTESTANTS];
	double skew; /* seconds between the first rank's start and the last's, median */
};

struct perf_rounds {
	int warmup; /* rounds that don't count */
	int rounds;
	int repeat;    /* timed calls between two meetings; 1: every call starts after a meeting */
	double *times; /* NULL, or room for [contestants][rounds × repeat] times, in their order */
};

/* Collective; the result is the same on every rank. */
void perf_measure(const struct perf_world *world, const struct perf_contestant *contestants,
		  int count, const struct perf_rounds *rounds,
		  struct perf_measurement *measurement);

/* Sorts values and takes figures from them; count ≥ 1. */
struct perf_figures perf_figures_of(double *values, size_t count);

#endif

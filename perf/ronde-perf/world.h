/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ranks that take part in a measurement, and the little they tell each other besides. Ronde
 * and the plain MPI peer bring a transport each; the measuring code is the same.
 */
#ifndef RONDE_PERF_WORLD_H
#define RONDE_PERF_WORLD_H

#include "perf/ronde-perf/meeting.h"

#include <stddef.h>

struct perf_world;

/* Each function is called by all ranks, blocks, and ends the program (perf_die) on an error. */
struct perf_transport {
	void (*broadcast)(const struct perf_world *world, void *data, size_t bytes); /* rank 0's */
	/* In place, over the ranks. */
	void (*max)(const struct perf_world *world, double *values, size_t count);
	void (*sum)(const struct perf_world *world, double *values, size_t count);
	void (*barrier)(const struct perf_world *world);
};

struct perf_world {
	int rank, size;
	const struct perf_transport *transport;
	struct perf_meeting *meeting; /* NULL: the ranks share no memory */
};

/* Collective: agrees on a meeting, or, where one can't be had on every rank, on none. */
void perf_world_open(struct perf_world *world, int rank, int size,
		     const struct perf_transport *transport);
void perf_world_close(struct perf_world *world);

/* Waits for all ranks; they continue at the same instant as far as the machine allows. */
void perf_world_meet(const struct perf_world *world);

/* Prints to stderr what is wrong, tells the other ranks, and ends the program with status 1. */
__attribute__((noreturn, format(printf, 2, 3))) void perf_die(const struct perf_world *world,
							      const char *format, ...);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of ronde-perf, and what all of them need. */
#ifndef RONDE_PERF_COMMANDS_H
#define RONDE_PERF_COMMANDS_H

#include "perf/ronde-perf/options.h"
#include "perf/ronde-perf/world.h"

#include <stdio.h>

struct perf_run {
	const struct perf_options *options;
	struct perf_world *world;
	bool mpi;  /* the MPI library is initialised and has the same ranks */
	FILE *csv; /* on rank 0, if wanted; else NULL */
};

/* Ends the program on an error; returns the number of wrong elements (or failed expectations). */
typedef size_t (*perf_command_fn)(struct perf_run *run);

size_t perf_collective(struct perf_run *run);
size_t perf_latency(struct perf_run *run);
size_t perf_step(struct perf_run *run);
size_t perf_idle(struct perf_run *run);
size_t perf_overlap(struct perf_run *run);

/* Each program's own: NULL if it has none of this name. */
perf_command_fn perf_command_find(const char *name);

/* The whole of a program but its commands; returns its status. */
int perf_main(int argc, char **argv);

/* Ends the program with Ronde's own text if status is an error. */
void perf_check(const struct perf_world *world, int status, const char *what);

/* Memory of one kind, written once. Ends the program if there is too little. */
void *perf_memory_get(const struct perf_world *world, enum perf_memory kind, size_t bytes);
void perf_memory_put(enum perf_memory kind, void *memory);

#endif

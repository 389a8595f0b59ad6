/* SPDX-License-Identifier: Apache-2.0 */
/* The operations that are measured. */
#ifndef RONDE_PERF_OPERATION_H
#define RONDE_PERF_OPERATION_H

#include "perf/ronde-perf/data.h"
#include "perf/ronde-perf/world.h"

#include <stdbool.h>

enum perf_kind {
	PERF_ALLREDUCE,
	PERF_BROADCAST,
	PERF_ALLGATHER,
	PERF_REDUCE_SCATTER,
	PERF_ALLTOALL,
	PERF_BARRIER
};

/* One operation with its arguments: everything that the timed call needs. */
struct perf_call {
	const struct perf_world *world;
	enum perf_kind kind;
	char name[64];
	void *input, *output; /* the same in place */
	int64_t count;        /* elements of this rank's input */
	int root;
	const struct perf_data *data; /* type, reduction, and what to write */
};

struct perf_operation {
	enum perf_kind kind;
	const char *name;
	bool reduces, rooted;
	bool in_place; /* may be done in place */
	bool gathers;  /* the result has as many inputs as there are ranks */
	bool scatters; /* the input has a part for each rank */
	bool has_data;
};

/* NULL if there is none of this name. */
const struct perf_operation *perf_operation_find(const char *name);

/* busbw / algbw */
double perf_operation_bus_factor(const struct perf_operation *operation, int size);

/* For struct perf_contestant: arg is a struct perf_call. */
void perf_call_fill(void *call, int round);
void perf_call_ronde(void *call);
/* memcpy of the input, or of the root's bytes, to the output: as many bytes as the larger of the
 * input and the result has. */
void perf_call_memcpy(void *call);

/* Wrong elements of this rank's output. */
size_t perf_call_wrong(const struct perf_call *call, int round);

#endif

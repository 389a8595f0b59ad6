/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the table of sizes (collective.c) and the table of percentiles (latency.c). */
#ifndef RONDE_PERF_COLLECTIVE_H
#define RONDE_PERF_COLLECTIVE_H

#include "perf/ronde-perf/report.h"

/* Tensors of the largest size. The ordinary ones are for memcpy and MPI. */
struct perf_buffers {
	enum perf_memory memory;
	void *input, *output;
	void *ordinary_input, *ordinary_output;
	void *copy; /* where memcpy puts it: no other rank reads that, as MPI's ranks do */
};

void perf_buffers_open(const struct perf_run *run, struct perf_buffers *buffers,
		       enum perf_memory memory, size_t bytes);
void perf_buffers_close(struct perf_buffers *buffers);

/* Everything but the buffers. */
void perf_call_init(struct perf_call *call, const struct perf_run *run,
		    const struct perf_operation *operation, const struct perf_data *data,
		    size_t bytes);

/* Ronde, and what it is compared with; returns how many. */
int perf_contestants(const struct perf_run *run, struct perf_contestant *list,
		     struct perf_call *ronde, struct perf_call *memcpy_call, struct perf_call *mpi);

/* Timed rounds for a size: enough to be sure of small ones, not too long for large ones. */
int perf_choose_rounds(const struct perf_options *options, size_t bytes);

/* The first size and the one after bytes: whole elements (on every rank of an allgather). */
size_t perf_first_size(const struct perf_run *run, const struct perf_operation *operation);
size_t perf_next_size(const struct perf_run *run, const struct perf_operation *operation,
		      size_t bytes);

#endif

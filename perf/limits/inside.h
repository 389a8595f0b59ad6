/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a rank of ronde-perf-limits sees of Ronde's inside: the tensors of all ranks in its heap,
 * and an arena of its own that lies in that heap too, shaped like the runtime's.
 */
#ifndef RONDE_PERF_LIMITS_INSIDE_H
#define RONDE_PERF_LIMITS_INSIDE_H

#include "perf/algorithms/rig.h"
#include "perf/limits/lines.h"
#include "perf/ronde-perf/commands.h"

struct perf_inside {
	struct options options;
	struct rank rank;           /* what moves and bare algorithms work with */
	struct ronde_stores stores; /* how bare algorithms pack */
	unsigned char *tensors[MAX_RANKS];
	struct perf_lines lines;
	unsigned char *heap;           /* own: input and output behind each other */
	unsigned char *input, *output; /* ordinary memory */
	unsigned char *copy; /* where memcpy puts it: no other rank reads that, as MPI's ranks do */
	void *shared;        /* rank 0: what arena and lines lie in */
};

/* Tensors of up to `bytes`; collective. Ends the program if the ranks are not all on one node. */
void perf_inside_open(struct perf_inside *inside, const struct perf_run *run, size_t bytes);
void perf_inside_close(struct perf_inside *inside);

/* The bare algorithm that the runtime picks for an allreduce of these bytes on this path. */
struct candidate perf_inside_bare(struct perf_inside *inside, enum ronde_path path, size_t bytes);

/* The program's command. */
size_t perf_limits(struct perf_run *run);

#endif

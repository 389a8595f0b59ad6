/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every alltoall begins with: each rank says to each other how many rows come for it, where in
 * its input they begin, how many it has at most for one rank, and for ranks that take no part.
 * These words fill a cell for each (cells.h) and take as many chunks as the cells of one block.
 */
#ifndef RONDE_ALGORITHMS_SPLITS_H
#define RONDE_ALGORITHMS_SPLITS_H

#include "collectives/algorithms/cells.h"

struct ronde_splits {
	struct ronde_cells cells;
	uint64_t chunks;      /* that the words take */
	uint64_t said, heard; /* of them, published in packed and unpacked */
	int64_t begin;        /* rows for the members before the next one */
	int64_t most;         /* rows of any member for another, as far as known */
};

void ronde_splits_start(const struct ronde_plan *plan, struct ronde_splits *splits);

/* Some of it; *worked is set if it got on. True once plan->received and plan->begins are known. */
bool ronde_splits_step(const struct ronde_plan *plan, struct ronde_splits *splits, bool *worked);

#endif

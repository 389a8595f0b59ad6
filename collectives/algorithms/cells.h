/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cells: what a rank has for each of the others, on its way through staging. All of it is cut into
 * blocks of equal size; block k for member j is cell k × n + j. A chunk is as many cells as fit
 * into an area: those of one block, or, with more ranks than grains in a chunk, some of them. So a
 * chunk of any size does for any number of ranks.
 *
 * 3 ranks, chunks of 256 bytes: cells of 64 bytes, 3 to a chunk:
 *
 *   for      0 1 2   0 1 2   0 1 2
 *   cell     0 1 2   3 4 5   6 7 8
 *   block    0 0 0   1 1 1   2 2 2
 *   chunk    0 0 0   1 1 1   2 2 2      with chunks of 128 bytes  0 0 1   1 2 2   3 3 4
 *
 * The cell of a rank for itself stays empty.
 */
#ifndef RONDE_ALGORITHMS_CELLS_H
#define RONDE_ALGORITHMS_CELLS_H

#include "collectives/algorithms/lane.h"
#include "collectives/algorithms/layout.h"

struct ronde_cells {
	uint64_t bytes; /* of a cell; a multiple of RONDE_GRAIN */
	uint64_t width; /* cells in a chunk, at most n */
};

static inline struct ronde_cells ronde_cells_fit(const struct ronde_plan *plan)
{
	uint64_t grains = plan->chunk_bytes / RONDE_GRAIN, n = (uint64_t)plan->n;
	return grains < n ? (struct ronde_cells){RONDE_GRAIN, grains}
			  : (struct ronde_cells){grains / n * RONDE_GRAIN, n};
}

/* Cells, and chunks, of what has `total` bytes for the member for whom it is most. */
static inline uint64_t ronde_cells_count(const struct ronde_plan *plan, struct ronde_cells cells,
					 uint64_t total)
{
	return ronde_chunk_count(total, cells.bytes) * (uint64_t)plan->n;
}

static inline uint64_t ronde_cells_chunks(const struct ronde_plan *plan, struct ronde_cells cells,
					  uint64_t total)
{
	return ronde_chunk_count(ronde_cells_count(plan, cells, total), cells.width);
}

/* Bytes of a cell's block, out of `total`. */
static inline struct ronde_range ronde_cell_block(const struct ronde_plan *plan,
						  struct ronde_cells cells, uint64_t cell,
						  uint64_t total)
{
	return ronde_layout_chunk(total, cells.bytes, cell / (uint64_t)plan->n);
}

/* Where member `from` has a cell, in slot `slot` of the staging. */
static inline unsigned char *ronde_cell_area(const struct ronde_plan *plan,
					     struct ronde_cells cells, uint64_t slot, int from,
					     uint64_t cell)
{
	return ronde_staging_area(plan, slot, from) + cell % cells.width * cells.bytes;
}

/* The first cell from `cell` on that is for this rank. */
static inline uint64_t ronde_cell_mine(const struct ronde_plan *plan, uint64_t cell)
{
	uint64_t n = (uint64_t)plan->n;
	return cell + ((uint64_t)plan->me + n - cell % n) % n;
}

#endif

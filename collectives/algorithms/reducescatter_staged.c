/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reducescatter through staging, for tensors in ordinary memory. Everybody copies the other ranks'
 * rows into its area, cell by cell (cells.h), and adds up its own: the own input from private
 * memory, the others' from their areas, straight into the output. Pairwise exchange (Thakur,
 * Rabenseifner and Gropp, "Optimization of Collective Communication Operations in MPICH", 2005,
 * section 4.2, long messages) with all n-1 steps of a chunk at once, so that the sum is the ordered
 * tree over the members. A rank copies (n-1)/n of a tensor in and reads as much.
 *
 * On 4 ranks with inputs a, b, c, d; a0 … a3 are the rows of ranks 0 … 3; one chunk, base 20:
 *
 *             area 0            area 1            area 2            area 3
 *   pack      .  a1 a2 a3       b0 .  b2 b3       c0 c1 .  c3       d0 d1 d2 .      packed   = 21
 *   reduce    rank 1: output = (a1 + b1) + (c1 + d1), b1 from its own input         unpacked = 21
 *   left = 22
 *
 * What must wait for what (c: chunk, S: slots; the counters are the others'):
 *   pack c     all unpacked c+1-S: nobody reads chunk c-S in my area any more
 *   reduce c   all packed c+1
 *
 * In place, where the own rows are: reduce c writes what it reads itself. In place, at the start of
 * the input: block k of the output takes the place of block k of rank 0's rows (at least as many as
 * mine), whose cell comes before mine, and pack c is done when reduce c begins. My own rows all lie
 * behind.
 */
#include "collectives/algorithms/algorithms.h"
#include "collectives/algorithms/cells.h"
#include "collectives/algorithms/packing.h"

struct staged_state {
	struct ronde_cells cells;
	uint64_t total; /* bytes of the layout */
	uint64_t last;  /* cells in all */
	uint64_t chunks;
	uint64_t packed, reduced; /* chunks done and published */
	uint64_t cell;            /* that is packed now … */
	struct ronde_walk block;  /* … where its block begins … */
	struct ronde_walk pack;   /* … and how far it is */
	struct ronde_walk reduce;
	struct ronde_packing packing;
};
RONDE_STATE_FITS(staged_state);

void ronde_reducescatter_staged_start(struct ronde_operation *operation)
{
	struct staged_state *state = RONDE_STATE(operation, staged_state);
	const struct ronde_plan *plan = &operation->plan;
	uint64_t total = ronde_layout_bytes(plan);

	ronde_staging_check(plan);
	*state = (struct staged_state){.cells = ronde_cells_fit(plan), .total = total};
	state->last = ronde_cells_count(plan, state->cells, total);
	state->chunks = ronde_cells_chunks(plan, state->cells, total);
	ronde_packing_start(&state->packing, plan, total * (uint64_t)plan->n);
}

/* One past the last cell of a chunk. */
static uint64_t cells_end(const struct staged_state *state, uint64_t chunk)
{
	uint64_t end = (chunk + 1) * state->cells.width;
	return end < state->last ? end : state->last;
}

/* Packs some of the current cell; how many bytes. */
static size_t pack_cell(const struct ronde_plan *plan, struct staged_state *state, size_t *budget)
{
	size_t bytes = 0;
	int to = (int)(state->cell % (uint64_t)plan->n);
	struct ronde_range block = ronde_cell_block(plan, state->cells, state->cell, state->total);

	if (to == plan->me) {
		ronde_walk_skip(&state->pack, plan, block.end);
	} else {
		uint64_t at = state->pack.at - block.begin;
		struct ronde_span span = ronde_walk_next(&state->pack, plan, block.end, *budget);
		struct ronde_share share = ronde_piece_share(plan, span.piece, to);
		bytes = ronde_share_span(share, span);
		if (bytes)
			ronde_pack(&state->packing, plan,
				   ronde_cell_area(plan, state->cells, state->packed, plan->me,
						   state->cell) +
					   at,
				   (const unsigned char *)span.piece->input + share.first +
					   span.offset,
				   bytes);
		ronde_spend(budget, bytes);
	}
	if (state->pack.at < block.end)
		return bytes;
	if (++state->cell % (uint64_t)plan->n)
		state->pack = state->block;
	else
		state->block = state->pack;
	return bytes;
}

static bool pack(const struct ronde_plan *plan, struct staged_state *state, size_t *budget)
{
	uint64_t c = state->packed;
	if (c == state->chunks)
		return false;
	if (c >= RONDE_STAGING_SLOTS &&
	    !ronde_lane_all_reached(plan, RONDE_UNPACKED, c + 1 - RONDE_STAGING_SLOTS))
		return false;

	ronde_phase_enter(plan->phases, RONDE_PHASE_PACK);
	uint64_t end = cells_end(state, c);
	uint64_t bytes = 0;
	ronde_packing_begin(&state->packing);
	while (state->cell < end && *budget)
		bytes += pack_cell(plan, state, budget);
	ronde_packing_end(&state->packing, bytes);
	if (state->cell == end)
		ronde_lane_publish(plan, RONDE_PACKED, ++state->packed);
	return true;
}

/* Reduces one span; `at` is its position in the cell. */
static void reduce_span(const struct ronde_plan *plan, const struct staged_state *state,
			uint64_t cell, uint64_t at, struct ronde_span span)
{
	const void *sources[RONDE_MAX_LOCAL_SIZE];
	void *destination = (unsigned char *)span.piece->output + span.offset;
	struct ronde_share mine = ronde_piece_share(plan, span.piece, plan->me);
	size_t bytes = ronde_share_span(mine, span);

	if (bytes == 0)
		return;
	for (int m = 0; m < plan->n; m++)
		sources[m] = ronde_cell_area(plan, state->cells, state->reduced, m, cell) + at;
	sources[plan->me] = (const unsigned char *)span.piece->input + mine.first + span.offset;
	ronde_reduce_members(plan, &plan->spec, &destination, 1, sources, bytes / plan->element);
}

static bool reduce(const struct ronde_plan *plan, struct staged_state *state, size_t *budget)
{
	uint64_t c = state->reduced;
	if (c == state->packed || !ronde_lane_all_reached(plan, RONDE_PACKED, c + 1))
		return false;

	ronde_phase_enter(plan->phases, RONDE_PHASE_REDUCE);
	size_t ranks = (size_t)plan->n;
	uint64_t cell = ronde_cell_mine(plan, c * state->cells.width);
	if (cell < cells_end(state, c)) {
		struct ronde_range block = ronde_cell_block(plan, state->cells, cell, state->total);
		while (state->reduce.at < block.end && *budget) {
			uint64_t at = state->reduce.at - block.begin;
			struct ronde_span span =
				ronde_walk_next(&state->reduce, plan, block.end, *budget / ranks);
			reduce_span(plan, state, cell, at, span);
			ronde_spend(budget, span.bytes * ranks);
		}
		if (state->reduce.at < block.end)
			return true;
	}
	ronde_lane_publish(plan, RONDE_UNPACKED, ++state->reduced);
	return true;
}

enum ronde_progress ronde_reducescatter_staged_step(struct ronde_operation *operation)
{
	struct staged_state *state = RONDE_STATE(operation, staged_state);
	const struct ronde_plan *plan = &operation->plan;
	size_t budget = RONDE_STEP_BYTES;
	bool worked = false;

	while (budget && (reduce(plan, state, &budget) || pack(plan, state, &budget)))
		worked = true;

	if (state->packed == state->chunks)
		ronde_packing_finish(&state->packing);
	if (state->reduced == state->chunks)
		return ronde_lane_leave(plan, state->chunks + 1);
	return worked ? RONDE_PROGRESS_SOME : RONDE_PROGRESS_NONE;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Alltoall through staging: once the splits are exchanged, each rank copies the other ranks' rows
 * into its area cell by cell (cells.h), and its own out of everybody's areas to where they belong
 * in its result; what it has for itself it copies directly. Pairwise exchange (Thakur, Rabenseifner
 * and Gropp, "Optimization of Collective Communication Operations in MPICH", 2005, section 3.4)
 * with all n-1 steps of a chunk at once. As many chunks are under way as the largest split takes;
 * who has less for a rank leaves its cells empty. A rank that got no memory only packs.
 *
 * On 3 ranks; ab: what rank a has for rank b, one cell each, but 02 two cells; base 20:
 *
 *             area 0            area 1            area 2
 *   splits    words             words             words            packed, unpacked = 21
 *   pack      .  01 02          10 .  12          20 21 .          packed   = 22
 *   unpack    rank 1: result 01 11 21, 11 from its own input       unpacked = 22
 *   pack      .  .  02'         .  .  .           .  .  .          packed   = 23
 *   unpack    rank 2: result 02 02' 12 22                          unpacked = 23
 *   left = 24
 *
 * What must wait for what (c: chunk, that of the words first, S: slots; the counters are the
 * others'):
 *   pack c    all unpacked c+1-S
 *   unpack c  the one that brings a cell in it packed c+1
 */
#include <string.h>

#include "collectives/algorithms/algorithms.h"
#include "collectives/algorithms/gather.h"
#include "collectives/algorithms/packing.h"
#include "collectives/algorithms/splits.h"

enum alltoall_phase { SPLIT, ALLOCATE, MOVE };

struct staged_state {
	enum alltoall_phase phase;
	struct ronde_splits splits;
	unsigned char *result;
	uint64_t last;             /* cells in all */
	uint64_t chunks;           /* of them */
	uint64_t packed, unpacked; /* chunks done and published */
	uint64_t cell;             /* that is packed now, … */
	uint64_t begin;            /* … where in the input what it is cut from begins … */
	uint64_t pack_at;          /* … and bytes of it that are done */
	int member;                /* whose cell is unpacked now, … */
	uint64_t before;           /* … the bytes of those before it … */
	uint64_t at;               /* … and bytes of it that are done */
	uint64_t own;              /* bytes for myself that are copied */
	struct ronde_packing packing;
};
RONDE_STATE_FITS(staged_state);

void ronde_alltoall_staged_start(struct ronde_operation *operation)
{
	struct staged_state *state = RONDE_STATE(operation, staged_state);
	*state = (struct staged_state){.phase = SPLIT};
	ronde_splits_start(&operation->plan, &state->splits);
}

static uint64_t sent_bytes(const struct ronde_plan *plan, int member)
{
	return (uint64_t)plan->splits[member] * plan->row_bytes;
}

static uint64_t received_bytes(const struct ronde_plan *plan, int member)
{
	return (uint64_t)plan->received[member] * plan->row_bytes;
}

/* The splits are known. */
static void begin_moving(const struct ronde_plan *plan, struct staged_state *state)
{
	struct ronde_cells cells = state->splits.cells;
	uint64_t most = (uint64_t)state->splits.most * plan->row_bytes;
	state->last = ronde_cells_count(plan, cells, most);
	state->chunks = ronde_cells_chunks(plan, cells, most);
	state->phase = ALLOCATE;
	uint64_t bytes = 0;
	for (int m = 0; m < plan->n; m++)
		bytes += sent_bytes(plan, m);
	ronde_packing_start(&state->packing, plan, bytes);
}

/* Others can read from this rank even while it has no memory, or if it gets none. */
static bool allocate(struct ronde_operation *operation, struct staged_state *state)
{
	const struct ronde_plan *plan = &operation->plan;
	if (state->phase != ALLOCATE ||
	    !ronde_gather_allocate(operation, plan->received, &state->result))
		return false;
	state->phase = MOVE;
	if (!state->result) {
		state->own = received_bytes(plan, plan->me);
		state->unpacked = state->chunks;
		ronde_lane_publish(plan, RONDE_UNPACKED, state->splits.chunks + state->chunks);
	}
	return true;
}

/* One past the last cell of a chunk. */
static uint64_t cells_end(const struct staged_state *state, uint64_t chunk)
{
	uint64_t end = (chunk + 1) * state->splits.cells.width;
	return end < state->last ? end : state->last;
}

/* The part of `bytes` bytes that is in a cell's block; empty behind their end. */
static struct ronde_range cell_part(const struct ronde_plan *plan, const struct staged_state *state,
				    uint64_t cell, uint64_t bytes)
{
	struct ronde_range part = ronde_cell_block(plan, state->splits.cells, cell, bytes);
	if (part.begin > part.end)
		part.begin = part.end;
	return part;
}

/* Packs some of the current cell; how many bytes. */
static size_t pack_cell(const struct ronde_plan *plan, struct staged_state *state, size_t *budget)
{
	int to = (int)(state->cell % (uint64_t)plan->n);
	uint64_t bytes = sent_bytes(plan, to), slot = state->splits.chunks + state->packed;
	struct ronde_range part = cell_part(plan, state, state->cell, to == plan->me ? 0 : bytes);
	uint64_t left = part.end - part.begin - state->pack_at;
	size_t now = (size_t)(left < *budget ? left : *budget);
	if (now)
		ronde_pack(&state->packing, plan,
			   ronde_cell_area(plan, state->splits.cells, slot, plan->me, state->cell) +
				   state->pack_at,
			   (const unsigned char *)plan->pieces[0].input + state->begin +
				   part.begin + state->pack_at,
			   now);
	state->pack_at += now;
	ronde_spend(budget, now);
	if (now < left)
		return now;
	state->pack_at = 0;
	state->begin = ++state->cell % (uint64_t)plan->n ? state->begin + bytes : 0;
	return now;
}

static bool pack(const struct ronde_plan *plan, struct staged_state *state, size_t *budget)
{
	uint64_t c = state->splits.chunks + state->packed;
	if (state->packed == state->chunks)
		return false;
	if (c >= RONDE_STAGING_SLOTS &&
	    !ronde_lane_all_reached(plan, RONDE_UNPACKED, c + 1 - RONDE_STAGING_SLOTS))
		return false;

	ronde_phase_enter(plan->phases, RONDE_PHASE_PACK);
	uint64_t end = cells_end(state, state->packed);
	uint64_t bytes = 0;
	ronde_packing_begin(&state->packing);
	while (state->cell < end && *budget)
		bytes += pack_cell(plan, state, budget);
	ronde_packing_end(&state->packing, bytes);
	if (state->cell == end) {
		state->packed++;
		ronde_lane_publish(plan, RONDE_PACKED, c + 1);
	}
	return true;
}

/* Unpacks some of the current member's cell for me; false: it is not there yet. */
static bool unpack_cell(const struct ronde_plan *plan, struct staged_state *state, uint64_t cell,
			size_t *budget)
{
	int m = state->member;
	uint64_t bytes = received_bytes(plan, m), slot = state->splits.chunks + state->unpacked;
	struct ronde_range part = cell_part(plan, state, cell, m == plan->me ? 0 : bytes);
	uint64_t left = part.end - part.begin - state->at;
	size_t now = (size_t)(left < *budget ? left : *budget);
	if (now && !ronde_lane_reached(plan, m, RONDE_PACKED, slot + 1))
		return false;
	ronde_phase_enter(plan->phases, RONDE_PHASE_UNPACK);
	if (now)
		memcpy(state->result + state->before + part.begin + state->at,
		       ronde_cell_area(plan, state->splits.cells, slot, m, cell) + state->at, now);
	state->at += now;
	ronde_spend(budget, now);
	if (now == left) {
		state->at = 0;
		state->before += bytes;
		state->member++;
	}
	return true;
}

static bool unpack(const struct ronde_plan *plan, struct staged_state *state, size_t *budget)
{
	bool worked = false;
	if (state->phase != MOVE || state->unpacked == state->chunks)
		return false;
	uint64_t cell = ronde_cell_mine(plan, state->unpacked * state->splits.cells.width);
	while (cell < cells_end(state, state->unpacked) && state->member < plan->n) {
		if (!*budget || !unpack_cell(plan, state, cell, budget))
			return worked;
		worked = true;
	}
	state->member = 0;
	state->before = 0;
	state->unpacked++;
	ronde_lane_publish(plan, RONDE_UNPACKED, state->splits.chunks + state->unpacked);
	return true;
}

static bool copy_own(const struct ronde_plan *plan, struct staged_state *state, size_t *budget)
{
	uint64_t left = received_bytes(plan, plan->me) - state->own, before = 0;
	if (state->phase != MOVE || left == 0)
		return false;
	for (int m = 0; m < plan->me; m++)
		before += received_bytes(plan, m);
	size_t now = (size_t)(left < *budget ? left : *budget);
	memcpy(state->result + before + state->own,
	       (const unsigned char *)plan->pieces[0].input +
		       (uint64_t)plan->begins[plan->me] * plan->row_bytes + state->own,
	       now);
	state->own += now;
	ronde_spend(budget, now);
	return true;
}

enum ronde_progress ronde_alltoall_staged_step(struct ronde_operation *operation)
{
	struct staged_state *state = RONDE_STATE(operation, staged_state);
	const struct ronde_plan *plan = &operation->plan;
	size_t budget = RONDE_STEP_BYTES;
	bool worked = false;

	if (state->phase == SPLIT) {
		if (!ronde_splits_step(plan, &state->splits, &worked))
			return worked ? RONDE_PROGRESS_SOME : RONDE_PROGRESS_NONE;
		begin_moving(plan, state);
	}
	while (budget && (allocate(operation, state) || unpack(plan, state, &budget) ||
			  pack(plan, state, &budget) || copy_own(plan, state, &budget)))
		worked = true;

	if (state->phase == MOVE && state->packed == state->chunks)
		ronde_packing_finish(&state->packing);
	if (state->phase == MOVE && state->packed == state->chunks &&
	    state->unpacked == state->chunks && state->own == received_bytes(plan, plan->me))
		return ronde_lane_leave(plan, state->splits.chunks + state->chunks + 1);
	return worked ? RONDE_PROGRESS_SOME : RONDE_PROGRESS_NONE;
}

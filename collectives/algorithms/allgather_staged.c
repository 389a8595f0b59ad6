/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allgather through staging: once everybody's number of rows is known, each rank copies its rows
 * into its area chunk by chunk, and everybody's chunks out of their areas to where they belong in
 * its result. In round k everybody's chunk k is under way; who has fewer chunks than others has
 * nothing to pack in the last rounds. A rank that got no memory only packs.
 *
 * On 3 ranks with 1, 0 and 2 chunks of rows: a0, –, c0 c1; base 20:
 *
 *   all      rows in staging                                              packed   = 21
 *   rank 0   area 0, slot 0 = a0                                          packed   = 22
 *   rank 2   area 2, slot 0 = c0, slot 1 = c1                             packed   = 22, 23
 *   rank 0   round 0: own a0, c0 from area 2, slot 0                      unpacked = 21
 *            round 1: c1 from area 2, slot 1; result a0 c0 c1             unpacked = 22
 *   rank 1   round 0: a0, c0; round 1: c1                                 unpacked = 21, 22
 *   all      2 rounds                                                     left     = 24
 *
 * What must wait for what (k: round, S: slots; the counters are the others'):
 *   pack k    all unpacked k+1-S
 *   unpack k  the one that brings a chunk k packed k+2 (one step more, for the rows)
 */
#include <string.h>

#include "collectives/algorithms/algorithms.h"
#include "collectives/algorithms/gather.h"
#include "collectives/algorithms/lane.h"
#include "collectives/algorithms/layout.h"
#include "collectives/algorithms/packing.h"

enum gather_phase { ANNOUNCE, ALLOCATE, MOVE };

struct staged_state {
	enum gather_phase phase;
	unsigned char *result;
	uint64_t rounds;      /* chunks of the one that brings most */
	uint64_t mine;        /* my chunks */
	uint64_t packed;      /* of them, packed and published */
	uint64_t unpacked;    /* rounds unpacked and published */
	int member;           /* the one that is unpacked now, … */
	uint64_t before;      /* … the bytes of those before it … */
	uint64_t pack_at, at; /* … and bytes of the chunk that are done */
	struct ronde_packing packing;
};
RONDE_STATE_FITS(staged_state);

void ronde_allgather_staged_start(struct ronde_operation *operation)
{
	struct staged_state *state = RONDE_STATE(operation, staged_state);
	const struct ronde_plan *plan = &operation->plan;

	ronde_staging_check(plan);
	*state = (struct staged_state){.phase = ANNOUNCE};
	ronde_packing_start(&state->packing, plan, (uint64_t)plan->rows * plan->row_bytes);
}

/* All rows are known. False: the memory for the result is not there yet. */
static bool begin(struct ronde_operation *operation, struct staged_state *state)
{
	const struct ronde_plan *plan = &operation->plan;
	if (!ronde_gather_allocate(operation, ronde_staging_rows(plan), &state->result))
		return false;
	for (int m = 0; m < plan->n; m++) {
		uint64_t chunks = ronde_chunk_count(ronde_gather_bytes(plan, m), plan->chunk_bytes);
		if (chunks > state->rounds)
			state->rounds = chunks;
		if (m == plan->me)
			state->mine = chunks;
	}
	state->phase = MOVE;
	if (!state->result && state->rounds) {
		state->unpacked = state->rounds;
		ronde_lane_publish(plan, RONDE_UNPACKED, state->rounds);
	}
	return true;
}

/* Bytes of a member's chunk k; 0 if it has fewer chunks. */
static uint64_t chunk_bytes(const struct ronde_plan *plan, int member, uint64_t k)
{
	uint64_t bytes = ronde_gather_bytes(plan, member);
	uint64_t begin = k * plan->chunk_bytes;
	if (begin >= bytes)
		return 0;
	return bytes - begin < plan->chunk_bytes ? bytes - begin : plan->chunk_bytes;
}

static bool pack(const struct ronde_plan *plan, struct staged_state *state, size_t *budget)
{
	uint64_t k = state->packed;
	if (k == state->mine)
		return false;
	if (k >= RONDE_STAGING_SLOTS &&
	    !ronde_lane_all_reached(plan, RONDE_UNPACKED, k + 1 - RONDE_STAGING_SLOTS))
		return false;

	ronde_phase_enter(plan->phases, RONDE_PHASE_PACK);
	uint64_t left = chunk_bytes(plan, plan->me, k) - state->pack_at;
	size_t now = (size_t)(left < *budget ? left : *budget);
	ronde_packing_begin(&state->packing);
	ronde_pack(&state->packing, plan, ronde_staging_area(plan, k, plan->me) + state->pack_at,
		   (const unsigned char *)plan->pieces[0].input + k * plan->chunk_bytes +
			   state->pack_at,
		   now);
	ronde_packing_end(&state->packing, now);
	state->pack_at += now;
	ronde_spend(budget, now);
	if (now == left) {
		state->pack_at = 0;
		state->packed++;
		ronde_lane_publish(plan, RONDE_PACKED, 1 + state->packed);
	}
	return true;
}

static void next_member(const struct ronde_plan *plan, struct staged_state *state)
{
	state->at = 0;
	state->before += ronde_gather_bytes(plan, state->member);
	if (++state->member < plan->n)
		return;
	state->member = 0;
	state->before = 0;
	state->unpacked++;
	ronde_lane_publish(plan, RONDE_UNPACKED, state->unpacked);
}

static bool unpack(const struct ronde_plan *plan, struct staged_state *state, size_t *budget)
{
	uint64_t k = state->unpacked;
	if (k == state->rounds)
		return false;

	int m = state->member;
	uint64_t left = chunk_bytes(plan, m, k) - state->at;
	size_t now = (size_t)(left < *budget ? left : *budget);
	if (now) {
		uint64_t at = k * plan->chunk_bytes + state->at;
		unsigned char *to = state->result + state->before + at;
		const unsigned char *from = ronde_staging_area(plan, k, m) + state->at;
		if (m == plan->me)
			from = (const unsigned char *)plan->pieces[0].input + at;
		else if (!ronde_lane_reached(plan, m, RONDE_PACKED, k + 2))
			return false;
		ronde_phase_enter(plan->phases, RONDE_PHASE_UNPACK);
		if (from != to)
			memcpy(to, from, now);
	}
	state->at += now;
	ronde_spend(budget, now);
	if (now == left)
		next_member(plan, state);
	return true;
}

enum ronde_progress ronde_allgather_staged_step(struct ronde_operation *operation)
{
	struct staged_state *state = RONDE_STATE(operation, staged_state);
	const struct ronde_plan *plan = &operation->plan;
	size_t budget = RONDE_STEP_BYTES;
	bool worked = false;

	if (state->phase == ANNOUNCE) {
		ronde_gather_announce(plan);
		state->phase = ALLOCATE;
		worked = true;
	}
	if (state->phase == ALLOCATE) {
		if (!ronde_gather_announced(plan) || !begin(operation, state))
			return worked ? RONDE_PROGRESS_SOME : RONDE_PROGRESS_NONE;
		worked = true;
	}
	while (budget && (unpack(plan, state, &budget) || pack(plan, state, &budget)))
		worked = true;

	if (state->packed == state->mine)
		ronde_packing_finish(&state->packing);
	if (state->packed == state->mine && state->unpacked == state->rounds)
		return ronde_lane_leave(plan, state->rounds + 2);
	return worked ? RONDE_PROGRESS_SOME : RONDE_PROGRESS_NONE;
}

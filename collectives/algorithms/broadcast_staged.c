/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broadcast through staging: the root copies its tensors into its area chunk by chunk, the others
 * copy them out. The root is as many chunks ahead as there are slots.
 *
 * On 4 ranks, root 2 with chunks c0, c1, c2, c3 and 3 slots, base 20:
 *
 *   rank 2        area 2, slot 0 = c0, slot 1 = c1, slot 2 = c2          packed   = 21, 22, 23
 *   ranks 0,1,3   copy slot 0 to their outputs as soon as they see 21    unpacked = 21
 *   rank 2        sees 21, 21, 21: slot 0 = c3                           packed   = 24, left = 25
 *   ranks 0,1,3   copy slots 1, 2, 0                                     unpacked = 24, left = 25
 */
#include <string.h>

#include "collectives/algorithms/algorithms.h"
#include "collectives/algorithms/lane.h"
#include "collectives/algorithms/layout.h"
#include "collectives/algorithms/packing.h"

struct staged_state {
	struct ronde_walk walk;
	uint64_t total;
	uint64_t chunks;
	uint64_t chunk;               /* chunks done and published */
	struct ronde_packing packing; /* of the root */
};
RONDE_STATE_FITS(staged_state);

void ronde_broadcast_staged_start(struct ronde_operation *operation)
{
	struct staged_state *state = RONDE_STATE(operation, staged_state);
	const struct ronde_plan *plan = &operation->plan;

	ronde_staging_check(plan);
	*state = (struct staged_state){.total = ronde_layout_bytes(plan)};
	state->chunks = ronde_chunk_count(state->total, plan->chunk_bytes);
	if (plan->me == plan->root)
		ronde_packing_start(&state->packing, plan, state->total);
}

static void pack_span(const struct ronde_plan *plan, struct ronde_packing *packing,
		      unsigned char *area, struct ronde_span span)
{
	const unsigned char *from = span.piece->input;
	unsigned char *to = span.piece->output;

	ronde_packing_begin(packing);
	ronde_pack(packing, plan, area, from + span.offset, span.bytes);
	ronde_packing_end(packing, span.bytes);
	if (to != from)
		memcpy(to + span.offset, from + span.offset, span.bytes);
}

static void unpack_span(const unsigned char *area, struct ronde_span span)
{
	memcpy((unsigned char *)span.piece->output + span.offset, area, span.bytes);
}

/* May I go on with chunk c? The root writes it, the others read it. */
static bool may_work(const struct ronde_plan *plan, uint64_t c)
{
	if (plan->me != plan->root)
		return ronde_lane_reached(plan, plan->root, RONDE_PACKED, c + 1);
	return c < RONDE_STAGING_SLOTS ||
	       ronde_lane_all_reached(plan, RONDE_UNPACKED, c + 1 - RONDE_STAGING_SLOTS);
}

static void work(const struct ronde_plan *plan, struct staged_state *state, size_t *budget)
{
	uint64_t c = state->chunk;
	bool root = plan->me == plan->root;
	struct ronde_range chunk = ronde_layout_chunk(state->total, plan->chunk_bytes, c);
	unsigned char *area = ronde_staging_area(plan, c, plan->root);

	ronde_phase_enter(plan->phases, root ? RONDE_PHASE_PACK : RONDE_PHASE_UNPACK);
	while (state->walk.at < chunk.end && *budget) {
		unsigned char *at = area + (state->walk.at - chunk.begin);
		struct ronde_span span = ronde_walk_next(&state->walk, plan, chunk.end, *budget);
		if (root)
			pack_span(plan, &state->packing, at, span);
		else
			unpack_span(at, span);
		ronde_spend(budget, span.bytes);
	}
	if (state->walk.at == chunk.end)
		ronde_lane_publish(plan, root ? RONDE_PACKED : RONDE_UNPACKED, ++state->chunk);
}

enum ronde_progress ronde_broadcast_staged_step(struct ronde_operation *operation)
{
	struct staged_state *state = RONDE_STATE(operation, staged_state);
	const struct ronde_plan *plan = &operation->plan;
	size_t budget = RONDE_STEP_BYTES;
	bool worked = false;

	while (budget && state->chunk < state->chunks && may_work(plan, state->chunk)) {
		work(plan, state, &budget);
		worked = true;
	}
	if (state->chunk < state->chunks)
		return worked ? RONDE_PROGRESS_SOME : RONDE_PROGRESS_NONE;
	ronde_packing_finish(&state->packing);
	return ronde_lane_leave(plan, state->chunks + 1);
}

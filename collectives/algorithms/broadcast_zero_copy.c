/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broadcast without staging: the root's tensors lie in memory that all ranks see, so every rank
 * copies them from there to its own output, wherever that is. The root waits until all have; the
 * others are done with their copy, because nobody touches their memory.
 *
 * On 4 ranks, root 2 with input c, base 7:
 *
 *   rank 0   A = c   unpacked = 8, left = 9
 *   rank 1   B = c   unpacked = 8, left = 9
 *   rank 2   C = c   (nothing to do in place), waits; sees 8, 8, 8; left = 9
 *   rank 3   D = c   unpacked = 8, left = 9
 */
#include <string.h>

#include "collectives/algorithms/algorithms.h"
#include "collectives/algorithms/lane.h"
#include "collectives/algorithms/layout.h"

struct zero_copy_state {
	struct ronde_walk walk;
	uint64_t total;
	bool said; /* that my copy is done */
};
RONDE_STATE_FITS(zero_copy_state);

void ronde_broadcast_zero_copy_start(struct ronde_operation *operation)
{
	*RONDE_STATE(operation, zero_copy_state) =
		(struct zero_copy_state){.total = ronde_layout_bytes(&operation->plan)};
}

static void copy(const struct ronde_plan *plan, struct zero_copy_state *state)
{
	size_t budget = RONDE_STEP_BYTES;

	ronde_phase_enter(plan->phases, RONDE_PHASE_COPY);
	while (state->walk.at < state->total && budget) {
		struct ronde_span span = ronde_walk_next(&state->walk, plan, state->total, budget);
		const unsigned char *from = span.piece->inputs[plan->root];
		unsigned char *to = span.piece->output;
		if (from != to)
			memcpy(to + span.offset, from + span.offset, span.bytes);
		ronde_spend(&budget, span.bytes);
	}
}

enum ronde_progress ronde_broadcast_zero_copy_step(struct ronde_operation *operation)
{
	struct zero_copy_state *state = RONDE_STATE(operation, zero_copy_state);
	const struct ronde_plan *plan = &operation->plan;

	if (!state->said) {
		copy(plan, state);
		if (state->walk.at < state->total)
			return RONDE_PROGRESS_SOME;
		ronde_lane_publish(plan, RONDE_UNPACKED, 1);
		state->said = true;
	}
	if (plan->me == plan->root && !ronde_lane_all_reached(plan, RONDE_UNPACKED, 1))
		return RONDE_PROGRESS_NONE;
	return ronde_lane_leave(plan, 2);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adasum without copies: all tensors lie in memory that all members see. A pass over the own blocks
 * for each level of the tree, then one that writes the own blocks of everybody's result. What is
 * computed, and in which order, stands in adasum.h.
 *
 * On 4 members, base 7:
 *
 *   all   level 0 over the own blocks, sums into the own row     packed   = 8
 *   all   see 8, 8, 8, 8; factors; level 1                       packed   = 9
 *   all   see 9, 9, 9, 9; factors; results                       unpacked = 8
 *   all   see 8, 8, 8, 8                                         left     = 10
 *
 * In place: a block is read and written by its owner only, and written in the last pass.
 */
#include "collectives/algorithms/adasum.h"
#include "collectives/algorithms/algorithms.h"
#include "collectives/algorithms/lane.h"

enum zero_copy_phase { BEGIN_PASS, PASS, WAIT, CLOSE };

struct zero_copy_state {
	enum zero_copy_phase phase;
	int level;      /* of this pass; levels: the last pass */
	uint64_t block; /* the next one of mine */
};
RONDE_STATE_FITS(zero_copy_state);

void ronde_adasum_zero_copy_start(struct ronde_operation *operation)
{
	*RONDE_STATE(operation, zero_copy_state) = (struct zero_copy_state){.phase = BEGIN_PASS};
}

static void do_block(const struct ronde_plan *plan, const struct zero_copy_state *state,
		     size_t count)
{
	const struct ronde_piece *piece = &plan->pieces[0];
	const void *inputs[RONDE_MAX_LOCAL_SIZE], *x[RONDE_MAX_LOCAL_SIZE];
	void *y[RONDE_MAX_LOCAL_SIZE];
	const int leaves = ronde_plan_leaves(plan);
	size_t offset = (size_t)state->block * RONDE_ORDERED_BLOCK * plan->element;
	for (int m = 0; m < plan->n; m++) {
		inputs[m] = (const unsigned char *)piece->inputs[m] + offset;
		y[m] = (unsigned char *)piece->outputs[m] + offset;
	}
	ronde_members_to_leaves(plan, x, inputs);
	if (state->level < ronde_adasum_levels(leaves))
		ronde_adasum_add_block(plan, state->level, state->block, x, count);
	else
		ronde_adasum_finish(
			plan->kernels, plan->spec.dtype, leaves, ronde_adasum_factors(plan),
			plan->spec.prescale * plan->spec.postscale, x, count, y, plan->n);
}

/* Some of the own blocks; true if it was the last of the pass. */
static bool do_blocks(const struct ronde_plan *plan, struct zero_copy_state *state)
{
	uint64_t count = plan->pieces[0].count;
	uint64_t blocks = ronde_chunk_count(count, RONDE_ORDERED_BLOCK);
	for (size_t done = 0; done < RONDE_STEP_BYTES;
	     done += RONDE_ORDERED_BLOCK * plan->element * (size_t)plan->n) {
		state->block = ronde_adasum_next_block(plan, state->block, blocks, true);
		if (state->block == blocks)
			return true;
		uint64_t left = count - state->block * RONDE_ORDERED_BLOCK;
		do_block(plan, state,
			 (size_t)(left < RONDE_ORDERED_BLOCK ? left : RONDE_ORDERED_BLOCK));
		state->block++;
	}
	return false;
}

enum ronde_progress ronde_adasum_zero_copy_step(struct ronde_operation *operation)
{
	struct zero_copy_state *state = RONDE_STATE(operation, zero_copy_state);
	const struct ronde_plan *plan = &operation->plan;
	const int levels = ronde_adasum_levels(ronde_plan_leaves(plan));

	switch (state->phase) {
	case BEGIN_PASS:
		ronde_phase_enter(plan->phases, RONDE_PHASE_REDUCE);
		state->block = 0;
		if (state->level < levels)
			ronde_adasum_begin_level(plan, state->level);
		state->phase = PASS;
		return RONDE_PROGRESS_SOME;
	case PASS:
		if (!do_blocks(plan, state))
			return RONDE_PROGRESS_SOME;
		if (state->level < levels)
			ronde_lane_publish(plan, RONDE_PACKED, (uint64_t)state->level + 1);
		else
			ronde_lane_publish(plan, RONDE_UNPACKED, 1);
		state->phase = state->level < levels ? WAIT : CLOSE;
		return RONDE_PROGRESS_SOME;
	case WAIT:
		if (!ronde_lane_all_reached(plan, RONDE_PACKED, (uint64_t)state->level + 1))
			return RONDE_PROGRESS_NONE;
		ronde_adasum_next(plan, state->level);
		state->level++;
		state->phase = BEGIN_PASS;
		return RONDE_PROGRESS_SOME;
	default:
		if (!ronde_lane_all_reached(plan, RONDE_UNPACKED, 1))
			return RONDE_PROGRESS_NONE;
		return ronde_lane_leave(plan, (uint64_t)levels + 2);
	}
}

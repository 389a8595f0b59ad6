/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allgather without staging: all inputs lie in memory that all ranks see. Once everybody's number
 * of rows is known, each rank copies all inputs behind each other into its own result, its own
 * first, then those of the ranks after it, so that not all read the same memory at once. At the end
 * it waits until nobody reads its input any more. A rank that got no memory only waits.
 *
 * On 4 ranks with 1, 0, 2, 1 rows a, –, b c, d; base 7:
 *
 *   all      rows = {1, 0, 2, 1} in staging      packed   = 8
 *   rank 2   result . b c . → . b c d → a b c d  unpacked = 8 (the others likewise)
 *   all      see 8, 8, 8, 8                      left     = 9
 */
#include "collectives/algorithms/algorithms.h"
#include "collectives/algorithms/gather.h"
#include "collectives/algorithms/lane.h"

enum gather_phase { ANNOUNCE, ALLOCATE, COPY, CLOSE };

struct zero_copy_state {
	enum gather_phase phase;
	unsigned char *result;
	struct ronde_gather_copy copy;
};
RONDE_STATE_FITS(zero_copy_state);

void ronde_allgather_zero_copy_start(struct ronde_operation *operation)
{
	*RONDE_STATE(operation, zero_copy_state) = (struct zero_copy_state){.phase = ANNOUNCE};
}

static struct ronde_source source(const struct ronde_plan *plan, int member)
{
	return (struct ronde_source){plan->pieces[0].inputs[member],
				     ronde_gather_bytes(plan, member)};
}

enum ronde_progress ronde_allgather_zero_copy_step(struct ronde_operation *operation)
{
	struct zero_copy_state *state = RONDE_STATE(operation, zero_copy_state);
	const struct ronde_plan *plan = &operation->plan;
	size_t budget = RONDE_STEP_BYTES;

	switch (state->phase) {
	case ANNOUNCE:
		ronde_gather_announce(plan);
		state->phase = ALLOCATE;
		return RONDE_PROGRESS_SOME;
	case ALLOCATE:
		if (!ronde_gather_announced(plan) ||
		    !ronde_gather_allocate(operation, ronde_staging_rows(plan), &state->result))
			return RONDE_PROGRESS_NONE;
		state->phase = COPY;
		return RONDE_PROGRESS_SOME;
	case COPY:
		ronde_phase_enter(plan->phases, RONDE_PHASE_COPY);
		if (!state->result ||
		    ronde_gather_copied(plan, &state->copy, source, state->result, &budget)) {
			ronde_lane_publish(plan, RONDE_UNPACKED, 1);
			state->phase = CLOSE;
		}
		return RONDE_PROGRESS_SOME;
	default:
		if (!ronde_lane_all_reached(plan, RONDE_UNPACKED, 1))
			return RONDE_PROGRESS_NONE;
		return ronde_lane_leave(plan, 2);
	}
}

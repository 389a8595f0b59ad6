/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Barrier: every rank says that it has come, and is done when all have.
 *
 * On 4 ranks with base 40: each sets its packed to 41 at once; the last one does so at time t; all
 * read 41, 41, 41, 41 after t and set left to 42.
 */
#include "collectives/algorithms/algorithms.h"
#include "collectives/algorithms/lane.h"

struct barrier_state {
	bool said;
};
RONDE_STATE_FITS(barrier_state);

void ronde_barrier_start(struct ronde_operation *operation)
{
	*RONDE_STATE(operation, barrier_state) = (struct barrier_state){false};
}

enum ronde_progress ronde_barrier_step(struct ronde_operation *operation)
{
	struct barrier_state *state = RONDE_STATE(operation, barrier_state);
	const struct ronde_plan *plan = &operation->plan;
	bool worked = false;

	if (!state->said) {
		ronde_lane_publish(plan, RONDE_PACKED, 1);
		state->said = true;
		worked = true;
	}
	if (ronde_lane_all_reached(plan, RONDE_PACKED, 1))
		return ronde_lane_leave(plan, 2);
	return worked ? RONDE_PROGRESS_SOME : RONDE_PROGRESS_NONE;
}

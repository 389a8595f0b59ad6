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
#include <string.h>

#include "collectives/algorithms/algorithms.h"
#include "collectives/algorithms/gather.h"
#include "collectives/algorithms/lane.h"

enum gather_phase { ANNOUNCE, ALLOCATE, COPY, CLOSE };

struct zero_copy_state {
	enum gather_phase phase;
	unsigned char *result;
	int copied;  /* members whose rows are in the result */
	uint64_t at; /* bytes of the next one's that are */
};
RONDE_STATE_FITS(zero_copy_state);

void ronde_allgather_zero_copy_start(struct ronde_operation *operation)
{
	*RONDE_STATE(operation, zero_copy_state) = (struct zero_copy_state){.phase = ANNOUNCE};
}

/* Copies some of the current member's rows. */
static void copy_rows(const struct ronde_plan *plan, struct zero_copy_state *state, size_t *budget)
{
	int member = (plan->me + state->copied) % plan->n;
	uint64_t bytes = ronde_gather_bytes(plan, member);
	uint64_t before = 0;
	for (int m = 0; m < member; m++)
		before += ronde_gather_bytes(plan, m);

	size_t now = (size_t)(bytes - state->at < *budget ? bytes - state->at : *budget);
	if (now) {
		const unsigned char *from =
			(const unsigned char *)plan->pieces[0].inputs[member] + state->at;
		unsigned char *to = state->result + before + state->at;
		if (from != to)
			memcpy(to, from, now);
	}
	state->at += now;
	ronde_spend(budget, now);
	if (state->at == bytes) {
		state->copied++;
		state->at = 0;
	}
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
		    !ronde_gather_allocate(operation, &state->result))
			return RONDE_PROGRESS_NONE;
		if (!state->result)
			state->copied = plan->n;
		state->phase = COPY;
		return RONDE_PROGRESS_SOME;
	case COPY:
		while (state->copied < plan->n && budget)
			copy_rows(plan, state, &budget);
		if (state->copied == plan->n) {
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

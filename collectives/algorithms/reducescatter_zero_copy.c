/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reducescatter without copies: all inputs lie in memory that all ranks see. Each rank reduces its
 * rows straight out of everybody's inputs into its own output, which may lie anywhere, also where
 * its rows lie in its own input: nobody else reads those. At the end it waits until nobody reads
 * its input any more. The direct form of "each owner reduces its block", the first half of
 * Rabenseifner's allreduce (Thakur, Rabenseifner and Gropp, "Optimization of Collective
 * Communication Operations in MPICH", 2005, section 4.2): with all memory in reach, halving in
 * log2 n steps would only move bytes more often.
 *
 * On 3 ranks, 7 rows, so that 3, 2 and 2 are a rank's own; inputs a, b, c, outputs A, B, C, base 7:
 *
 *   rank 0   A = (a + b) + c [0…3)     reduced = 8, waits
 *   rank 1   B = (a + b) + c [3…5)     reduced = 8, waits
 *   rank 2   C = (a + b) + c [5…7)     reduced = 8: all see 8, 8, 8
 *   all      left = 9
 */
#include "collectives/algorithms/algorithms.h"
#include "collectives/algorithms/lane.h"
#include "collectives/algorithms/layout.h"
#include "collectives/algorithms/packing.h"

struct zero_copy_state {
	struct ronde_walk walk;
	uint64_t end;
	bool said; /* that my rows are done */
	struct ronde_packing results;
};
RONDE_STATE_FITS(zero_copy_state);

void ronde_reducescatter_zero_copy_start(struct ronde_operation *operation)
{
	struct zero_copy_state *state = RONDE_STATE(operation, zero_copy_state);
	*state = (struct zero_copy_state){.end = ronde_layout_bytes(&operation->plan)};
	ronde_packing_start_results(&state->results, &operation->plan, state->end);
}

static void reduce_span(const struct ronde_plan *plan, struct ronde_span span, bool streaming)
{
	const void *sources[RONDE_MAX_LOCAL_SIZE];
	void *destination = (unsigned char *)span.piece->output + span.offset;
	struct ronde_share mine = ronde_piece_share(plan, span.piece, plan->me);
	size_t bytes = ronde_share_span(mine, span);

	if (bytes == 0)
		return;
	for (int m = 0; m < plan->n; m++)
		sources[m] =
			(const unsigned char *)span.piece->inputs[m] + mine.first + span.offset;
	struct ronde_reduce_spec spec = plan->spec;
	spec.streaming = streaming && sources[plan->me] != destination;
	ronde_reduce_members(plan, &spec, &destination, 1, sources, bytes / plan->element);
}

enum ronde_progress ronde_reducescatter_zero_copy_step(struct ronde_operation *operation)
{
	struct zero_copy_state *state = RONDE_STATE(operation, zero_copy_state);
	const struct ronde_plan *plan = &operation->plan;
	size_t ranks = (size_t)plan->n;
	size_t budget = RONDE_STEP_BYTES;

	if (state->said) {
		if (!ronde_lane_all_reached(plan, RONDE_REDUCED, 1))
			return RONDE_PROGRESS_NONE;
		return ronde_lane_leave(plan, 2);
	}
	const uint64_t before = state->walk.at;
	ronde_phase_enter(plan->phases, RONDE_PHASE_REDUCE);
	ronde_packing_begin(&state->results);
	while (state->walk.at < state->end && budget) {
		struct ronde_span span =
			ronde_walk_next(&state->walk, plan, state->end, budget / ranks);
		reduce_span(plan, span, state->results.way == RONDE_STORES_STREAMING);
		ronde_spend(&budget, span.bytes * ranks);
	}
	ronde_packing_end(&state->results, state->walk.at - before);
	if (state->walk.at == state->end) {
		ronde_packing_finish(&state->results);
		ronde_lane_publish(plan, RONDE_REDUCED, 1);
		state->said = true;
	}
	return RONDE_PROGRESS_SOME;
}

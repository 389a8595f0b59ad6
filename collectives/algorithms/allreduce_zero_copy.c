/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allreduce without copies: all tensors lie in memory that all ranks see. Each rank reduces one
 * slice of the layout straight out of everybody's inputs into everybody's outputs.
 *
 * The entry exists, so all inputs are written: no waiting at the start. In place is no special
 * case, as nobody but a slice's owner reads or writes it. At the end a rank waits until all are
 * done, because the others write its output and read its input.
 *
 * On 4 ranks, one tensor of 1024 bytes at a, b, c, d (inputs) and A, B, C, D (outputs), base 7:
 *
 *   rank 0   A,B,C,D[0…256)    = (a+b)+(c+d) [0…256)      reduced = 8, waits
 *   rank 1   A,B,C,D[256…512)  = (a+b)+(c+d) [256…512)    reduced = 8, waits
 *   rank 2   A,B,C,D[512…768)  = …                        reduced = 8, waits
 *   rank 3   A,B,C,D[768…1024) = …                        reduced = 8: all see 8, 8, 8, 8
 *   all      left = 9
 */
#include "collectives/algorithms/algorithms.h"
#include "collectives/algorithms/lane.h"
#include "collectives/algorithms/layout.h"
#include "collectives/algorithms/packing.h"
#include "collectives/algorithms/traffic.h"

struct zero_copy_state {
	struct ronde_walk walk;
	uint64_t end; /* of my slice */
	bool said;    /* that my slice is done */
	struct ronde_packing results;
};
RONDE_STATE_FITS(zero_copy_state);

void ronde_allreduce_zero_copy_start(struct ronde_operation *operation)
{
	struct zero_copy_state *state = RONDE_STATE(operation, zero_copy_state);
	const struct ronde_plan *plan = &operation->plan;
	struct ronde_range whole = {0, ronde_layout_bytes(plan)};
	struct ronde_range mine = ronde_slice(whole, plan->n, plan->me);

	*state = (struct zero_copy_state){.end = mine.end};
	ronde_packing_start_results(&state->results, plan, whole.end);
	ronde_walk_skip(&state->walk, plan, mine.begin);
}

/* True if a member's output is its input: it is in the cache when it is written. */
static bool in_place(const struct ronde_plan *plan, const struct ronde_piece *piece)
{
	for (int m = 0; m < plan->n; m++)
		if (piece->inputs[m] == piece->outputs[m])
			return true;
	return false;
}

static void reduce_span(const struct ronde_plan *plan, struct ronde_span span, bool streaming)
{
	const void *sources[RONDE_MAX_LOCAL_SIZE];
	void *destinations[RONDE_MAX_LOCAL_SIZE];

	for (int m = 0; m < plan->n; m++) {
		sources[m] = (const unsigned char *)span.piece->inputs[m] + span.offset;
		ronde_traffic_read(plan, m, span.bytes, false);
		destinations[m] = (unsigned char *)span.piece->outputs[m] + span.offset;
	}
	struct ronde_reduce_spec spec = plan->spec;
	spec.streaming = streaming && !in_place(plan, span.piece);
	ronde_reduce_members(plan, &spec, destinations, plan->n, sources,
			     span.bytes / plan->element);
}

enum ronde_progress ronde_allreduce_zero_copy_step(struct ronde_operation *operation)
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

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allreduce through staging with one synchronisation a chunk instead of two: everybody puts all of
 * its input into its area, and everybody adds up everything for itself. Costs n times the additions
 * of allreduce-staged. As many bytes cross between ranks if they are 2, more if more. It is for
 * small tensors, where waiting is what costs.
 *
 * On 4 ranks with inputs a, b, c, d; one chunk, base 20:
 *
 *             area 0   area 1   area 2   area 3
 *   pack      a        b        c        d         packed   = 21
 *   reduce    rank 1: B = (a + b) + (c + d), a, c, d from areas 0, 2, 3, b from its own input
 *                                                  unpacked = 21, left = 22
 *
 * What must wait for what (c: chunk, S: slots; the counters are the others'):
 *   pack c    all unpacked c+1-S: nobody reads chunk c-S in my area any more
 *   reduce c  all packed c+1
 * In place: reduce c overwrites the input that it reads itself and that pack c has put away.
 */
#include "collectives/algorithms/algorithms.h"
#include "collectives/algorithms/lane.h"
#include "collectives/algorithms/layout.h"
#include "collectives/algorithms/packing.h"
#include "collectives/algorithms/traffic.h"

struct direct_state {
	uint64_t total;
	uint64_t chunks;
	struct ronde_walk pack, reduce;
	uint64_t packed, reduced; /* chunks done and published */
	struct ronde_packing packing;
};
RONDE_STATE_FITS(direct_state);

void ronde_allreduce_direct_start(struct ronde_operation *operation)
{
	struct direct_state *state = RONDE_STATE(operation, direct_state);
	const struct ronde_plan *plan = &operation->plan;

	ronde_staging_check(plan);
	*state = (struct direct_state){.total = ronde_layout_bytes(plan)};
	state->chunks = ronde_chunk_count(state->total, plan->chunk_bytes);
	ronde_packing_start(&state->packing, plan, state->total);
}

static bool pack(const struct ronde_plan *plan, struct direct_state *state, size_t *budget)
{
	uint64_t c = state->packed;
	if (c == state->chunks)
		return false;
	if (c >= RONDE_STAGING_SLOTS &&
	    !ronde_lane_all_reached(plan, RONDE_UNPACKED, c + 1 - RONDE_STAGING_SLOTS))
		return false;

	ronde_phase_enter(plan->phases, RONDE_PHASE_PACK);
	struct ronde_range chunk = ronde_layout_chunk(state->total, plan->chunk_bytes, c);
	unsigned char *area = ronde_staging_area(plan, c, plan->me);
	uint64_t begin = state->pack.at;
	ronde_packing_begin(&state->packing);
	while (state->pack.at < chunk.end && *budget) {
		uint64_t at = state->pack.at - chunk.begin;
		struct ronde_span span = ronde_walk_next(&state->pack, plan, chunk.end, *budget);
		ronde_pack(&state->packing, plan, area + at,
			   (const unsigned char *)span.piece->input + span.offset, span.bytes);
		ronde_spend(budget, span.bytes);
	}
	ronde_packing_end(&state->packing, state->pack.at - begin);
	if (state->pack.at == chunk.end)
		ronde_lane_publish(plan, RONDE_PACKED, ++state->packed);
	return true;
}

/* Reduces one span; `at` is its position in the chunk. */
static void reduce_span(const struct ronde_plan *plan, uint64_t c, uint64_t at,
			struct ronde_span span)
{
	const void *sources[RONDE_MAX_LOCAL_SIZE];
	void *destination = (unsigned char *)span.piece->output + span.offset;

	for (int m = 0; m < plan->n; m++) {
		sources[m] = ronde_staging_area(plan, c, m) + at;
		ronde_traffic_read(plan, m, span.bytes, false);
	}
	sources[plan->me] = (const unsigned char *)span.piece->input + span.offset;
	ronde_reduce_members(plan, &plan->spec, &destination, 1, sources,
			     span.bytes / plan->element);
}

static bool reduce(const struct ronde_plan *plan, struct direct_state *state, size_t *budget)
{
	uint64_t c = state->reduced;
	if (c == state->packed || !ronde_lane_all_reached(plan, RONDE_PACKED, c + 1))
		return false;

	ronde_phase_enter(plan->phases, RONDE_PHASE_REDUCE);
	struct ronde_range chunk = ronde_layout_chunk(state->total, plan->chunk_bytes, c);
	size_t ranks = (size_t)plan->n;
	while (state->reduce.at < chunk.end && *budget) {
		uint64_t at = state->reduce.at - chunk.begin;
		struct ronde_span span =
			ronde_walk_next(&state->reduce, plan, chunk.end, *budget / ranks);
		reduce_span(plan, c, at, span);
		ronde_spend(budget, span.bytes * ranks);
	}
	if (state->reduce.at == chunk.end)
		ronde_lane_publish(plan, RONDE_UNPACKED, ++state->reduced);
	return true;
}

enum ronde_progress ronde_allreduce_direct_step(struct ronde_operation *operation)
{
	struct direct_state *state = RONDE_STATE(operation, direct_state);
	const struct ronde_plan *plan = &operation->plan;
	size_t budget = RONDE_STEP_BYTES;
	bool worked = false;

	while (budget && (reduce(plan, state, &budget) || pack(plan, state, &budget)))
		worked = true;

	if (state->packed == state->chunks)
		ronde_packing_finish(&state->packing);
	if (state->reduced == state->chunks)
		return ronde_lane_leave(plan, state->chunks + 1);
	return worked ? RONDE_PROGRESS_SOME : RONDE_PROGRESS_NONE;
}

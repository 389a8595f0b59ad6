/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/algorithms/lane.h"

#include <assert.h>
#include <string.h>

void ronde_lane_wake(const struct ronde_plan *plan)
{
	for (int m = 0; m < plan->n; m++) {
		if (m != plan->me)
			ronde_bell_touch(plan->arena, plan->members[m], RONDE_PARKED_ENTRY);
	}
}

bool ronde_lane_all_reached(const struct ronde_plan *plan, enum ronde_counter counter,
			    uint64_t steps)
{
	for (int m = 0; m < plan->n; m++) {
		if (m != plan->me && !ronde_lane_reached(plan, m, counter, steps))
			return false;
	}
	return true;
}

bool ronde_slot_is_free(const struct ronde_plan *plan, uint64_t chunk, uint64_t unpacked)
{
	if (chunk < RONDE_STAGING_SLOTS)
		return true;
	uint64_t needed = chunk + 1 - RONDE_STAGING_SLOTS;
	return unpacked >= needed && ronde_lane_all_reached(plan, RONDE_UNPACKED, needed);
}

enum ronde_progress ronde_lane_leave(const struct ronde_plan *plan, uint64_t steps)
{
	atomic_store_explicit(&ronde_member_cell(plan, plan->me)->left, plan->base + steps,
			      memory_order_seq_cst);
	ronde_lane_wake(plan);
	/* The leader as leader: another set may wait for the lane. */
	if (plan->members[plan->me] != 0)
		ronde_bell_touch(plan->arena, 0, RONDE_PARKED_OTHERS);
	return RONDE_PROGRESS_DONE;
}

void ronde_members_to_leaves(const struct ronde_plan *plan, const void **leaves,
			     const void *const *sources)
{
	memset(leaves, 0, (size_t)ronde_plan_leaves(plan) * sizeof *leaves);
	for (int m = 0; m < plan->n; m++)
		leaves[ronde_plan_leaf(plan, m)] = sources[m];
}

void ronde_reduce_members(const struct ronde_plan *plan, const struct ronde_reduce_spec *spec,
			  void *const *destinations, int ndestination, const void *const *sources,
			  size_t count)
{
	const void *leaves[RONDE_MAX_LOCAL_SIZE];
	if (!plan->leaf) {
		plan->kernels->reduce(spec, destinations, ndestination, sources, plan->n, count);
		return;
	}
	ronde_members_to_leaves(plan, leaves, sources);
	plan->kernels->reduce(spec, destinations, ndestination, leaves, plan->leaves, count);
}

size_t ronde_chunk_limit(size_t staging_bytes, int n)
{
	size_t rows = (size_t)ronde_grain_up(sizeof(int64_t) * (size_t)n);
	if (staging_bytes < rows)
		return 0;
	size_t area = (staging_bytes - rows) / ((size_t)n * RONDE_STAGING_SLOTS);
	return area & ~(size_t)(RONDE_GRAIN - 1);
}

void ronde_staging_check(const struct ronde_plan *plan)
{
	assert(plan->arena->shape.staging_bytes % RONDE_GRAIN == 0);
	assert(plan->chunk_bytes >= RONDE_GRAIN && plan->chunk_bytes % RONDE_GRAIN == 0);
	assert(plan->chunk_bytes <=
	       ronde_chunk_limit((size_t)plan->arena->shape.staging_bytes, plan->n));
}

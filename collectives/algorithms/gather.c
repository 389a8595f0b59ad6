/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/algorithms/gather.h"

#include <string.h>

#include "collectives/algorithms/lane.h"
#include "collectives/algorithms/layout.h"

void ronde_gather_announce(const struct ronde_plan *plan)
{
	ronde_staging_rows(plan)[plan->me] = plan->rows;
	ronde_lane_publish(plan, RONDE_PACKED, 1);
}

bool ronde_gather_announced(const struct ronde_plan *plan)
{
	return ronde_lane_all_reached(plan, RONDE_PACKED, 1);
}

uint64_t ronde_gather_bytes(const struct ronde_plan *plan, int member)
{
	return (uint64_t)ronde_staging_rows(plan)[member] * plan->row_bytes;
}

bool ronde_gather_allocate(struct ronde_operation *operation, const int64_t *rows,
			   unsigned char **result)
{
	const struct ronde_plan *plan = &operation->plan;
	void *memory = NULL;
	if (!plan->allocate(plan->allocate_arg, rows, &memory, &operation->status))
		return false;
	*result = memory;
	return true;
}

/* Copies some of the current member's bytes. */
static void copy_source(const struct ronde_plan *plan, struct ronde_gather_copy *copy,
			ronde_source_fn source, unsigned char *result, size_t *budget)
{
	int member = (plan->me + copy->copied) % plan->n;
	struct ronde_source from = source(plan, member);
	uint64_t before = 0;
	for (int m = 0; m < member; m++)
		before += source(plan, m).bytes;

	uint64_t left = from.bytes - copy->at;
	size_t now = (size_t)(left < *budget ? left : *budget);
	unsigned char *to = result + before + copy->at;
	if (now && from.from + copy->at != to)
		memcpy(to, from.from + copy->at, now);
	copy->at += now;
	ronde_spend(budget, now);
	if (now == left) {
		copy->copied++;
		copy->at = 0;
	}
}

bool ronde_gather_copied(const struct ronde_plan *plan, struct ronde_gather_copy *copy,
			 ronde_source_fn source, unsigned char *result, size_t *budget)
{
	while (copy->copied < plan->n && *budget)
		copy_source(plan, copy, source, result, budget);
	return copy->copied == plan->n;
}

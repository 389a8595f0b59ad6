/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/algorithms/gather.h"

#include "collectives/algorithms/lane.h"

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

bool ronde_gather_allocate(struct ronde_operation *operation, unsigned char **result)
{
	const struct ronde_plan *plan = &operation->plan;
	void *memory = NULL;
	if (!plan->allocate(plan->allocate_arg, ronde_staging_rows(plan), &memory,
			    &operation->status))
		return false;
	*result = memory;
	return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traffic: how many bytes a rank has read of what others left in memory, within its own domain
 * (package, or NUMA domain) and across. Counted where ranks are in several; where they are not,
 * nobody asks.
 */
#ifndef RONDE_ALGORITHMS_TRAFFIC_H
#define RONDE_ALGORITHMS_TRAFFIC_H

#include "collectives/operation.h"

/* The same for all where nobody's is known. */
static inline int ronde_member_domain(const struct ronde_plan *plan, int member)
{
	return plan->domains ? plan->domains[plan->members[member]] : 0;
}

/* This rank reads `bytes` bytes that a member has left: something to add, or a result. */
static inline void ronde_traffic_read(const struct ronde_plan *plan, int member, uint64_t bytes,
				      bool result)
{
	if (!plan->traffic || !plan->domains || member == plan->me)
		return;
	bool across = ronde_member_domain(plan, member) != ronde_member_domain(plan, plan->me);
	if (result)
		*(across ? &plan->traffic->results_across : &plan->traffic->results_within) +=
			bytes;
	else
		*(across ? &plan->traffic->sums_across : &plan->traffic->sums_within) += bytes;
}

#endif

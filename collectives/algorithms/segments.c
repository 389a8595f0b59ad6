/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/algorithms/segments.h"

#include "collectives/algorithms/traffic.h"

/* Members from `member` on whose leaves are before `end`; 0 if one is not in the domain. */
static int count_to(const struct ronde_plan *plan, int member, int end, int domain)
{
	int m = member;
	for (; m < plan->n && ronde_plan_leaf(plan, m) < end; m++)
		if (ronde_member_domain(plan, m) != domain)
			return 0;
	return m - member;
}

bool ronde_segment_next(const struct ronde_plan *plan, struct ronde_segment *s)
{
	int first = s->member + s->count;
	if (first >= plan->n)
		return false;
	int leaf = ronde_plan_leaf(plan, first), domain = ronde_member_domain(plan, first);
	/* The absent leaves in front may belong to it: it begins where the last one ended. */
	int from = s->leaf + s->width, width = 1, count = 1;
	while (width < ronde_plan_leaves(plan)) {
		int begin = leaf & ~(2 * width - 1);
		int more = begin < from ? 0 : count_to(plan, first, begin + 2 * width, domain);
		if (!more)
			break;
		width *= 2;
		count = more;
	}
	*s = (struct ronde_segment){leaf & ~(width - 1), width, first, count, domain};
	return true;
}

int ronde_segments(const struct ronde_plan *plan)
{
	struct ronde_segment s = {0};
	int n = 0;
	while (ronde_segment_next(plan, &s))
		n++;
	return n;
}

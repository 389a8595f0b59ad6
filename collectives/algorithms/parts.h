/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts: what a reduction over nodes does first, over the ranks of each node, and then over nodes.
 * What crosses are sums in the working type, and all comes to the bits of one reduction. With
 * plan->wire_16bit those of 16-bit floats cross as 16 bits: each node's sum, scaled first, is
 * rounded to nearest even, also where it is 1 rank's and where it does not travel; and the result
 * is rounded once more, after it was added up as float32 and scaled. So results do not depend on
 * who adds up what, but a float16 sum of a node beyond 65504 is infinite even if the average is
 * not.
 */
#ifndef RONDE_ALGORITHMS_PARTS_H
#define RONDE_ALGORITHMS_PARTS_H

#include "collectives/operation.h"

static inline bool ronde_parts_are_16bit(const struct ronde_plan *plan)
{
	return plan->wire_16bit &&
	       (plan->spec.dtype == RONDE_FLOAT16 || plan->spec.dtype == RONDE_BFLOAT16);
}

/* Bytes of a node's sum for each byte of a tensor's. */
static inline uint64_t ronde_parts_wide(const struct ronde_plan *plan)
{
	return ronde_parts_are_16bit(plan) ? 1 : ronde_partial_bytes(&plan->spec) / plan->element;
}

/* The reduction over a node's ranks. */
static inline struct ronde_reduce_spec ronde_parts_of_node(const struct ronde_plan *plan)
{
	struct ronde_reduce_spec spec = plan->spec;
	spec.part = RONDE_REDUCE_PARTIAL;
	if (ronde_parts_are_16bit(plan)) {
		spec.part = RONDE_REDUCE_WHOLE;
		spec.postscale = 1.0;
		if (spec.reduction == RONDE_AVERAGE)
			spec.reduction = RONDE_SUM;
	}
	return spec;
}

/* The reduction over those of nodes. */
static inline struct ronde_reduce_spec ronde_parts_of_all(const struct ronde_plan *plan)
{
	struct ronde_reduce_spec spec = plan->spec;
	spec.part = RONDE_REDUCE_FINISH;
	if (ronde_parts_are_16bit(plan)) {
		spec.part = RONDE_REDUCE_WHOLE;
		spec.prescale = 1.0;
	}
	return spec;
}

#endif

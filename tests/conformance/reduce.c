/* SPDX-License-Identifier: Apache-2.0 */
/* What reduces: allreduce and reducescatter. */
#include "tests/conformance/operation.h"
#include "tests/rounding.h"

const char *excludes_adasum_of_wholes(const struct situation *s)
{
	return s->reduction == RONDE_ADASUM && !is_real(s->dtype) ? "an adasum is of floats only"
								  : NULL;
}

const struct operation operation_allreduce = {
	.name = "allreduce",
	.kind = RONDE_KIND_ALLREDUCE,
	.reduces = true,
	.typed = true,
	.fuses = true,
	.groups = true,
	.excludes = excludes_adasum_of_wholes,
	.whole = count_all,
	.part = part_all,
	.refer = refer_reduction,
};

static const char *excludes_scattered(const struct situation *s)
{
	if (s->reduction == RONDE_ADASUM)
		return "there is no adasum of a reducescatter";
	return excludes_rowless(s);
}

static struct ronde_share share(const struct op *op, int ranks, int rank)
{
	uint64_t columns = op->dims[0] ? (uint64_t)(op->count / op->dims[0]) : 0;
	return ronde_share_bytes((uint64_t)op->dims[0], columns, ranks, rank);
}

static int64_t own_rows(const struct op *op, int ranks, int rank)
{
	return (int64_t)share(op, ranks, rank).first;
}

const struct operation operation_reducescatter = {
	.name = "reducescatter",
	.kind = RONDE_KIND_REDUCESCATTER,
	.reduces = true,
	.typed = true,
	.fuses = true,
	.groups = true,
	.rows_of = &operation_allreduce,
	.excludes = excludes_scattered,
	.whole = count_all,
	.part = share,
	.refer = refer_reduction,
	.in_place = own_rows,
};

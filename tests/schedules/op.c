/* SPDX-License-Identifier: Apache-2.0 */
/* What an operation is to each rank. */
#include <stdio.h>

#include "coordinator/tensor.h"
#include "tests/schedules/program.h"

bool op_has_own_rows(const struct op *op)
{
	return op->kind == RONDE_KIND_ALLGATHER || op->kind == RONDE_KIND_ALLTOALL;
}

int op_size(const struct op *op, int ranks)
{
	return op->set ? op->set->n : ranks;
}

int op_rank(const struct op *op, int member)
{
	return op->set ? op->set->ranks[member] : member;
}

int op_member(const struct op *op, int rank)
{
	for (int m = 0; op->set && m < op->set->n; m++)
		if (op->set->ranks[m] == rank)
			return m;
	return op->set ? -1 : rank;
}

bool op_is_submitted(const struct op *op, int rank)
{
	int member = op_member(op, rank);
	return member >= 0 && !(op->absent >> member & 1);
}

bool op_is_refused(const struct op *op)
{
	bool astray = false;
	for (int from = 0; op->kind == RONDE_KIND_ALLTOALL && from < RANKS_MAX; from++)
		for (int to = 0; to < RANKS_MAX; to++)
			astray |= (op->absent >> to & 1) && op->splits[from][to];
	bool rootless = op->kind == RONDE_KIND_BROADCAST && !op_is_submitted(op, op->root);
	return op->absent && (astray || rootless);
}

struct ronde_share op_result(const struct program *p, const struct op *op, int member)
{
	struct ronde_share share = {0, op_bytes(op, member)};
	if (op->kind != RONDE_KIND_REDUCESCATTER || op->count == 0)
		return share;
	return ronde_share_bytes((uint64_t)op->dims[0], share.count / (uint64_t)op->dims[0],
				 op_size(op, p->style.ranks), member);
}

uint64_t op_bytes(const struct op *op, int member)
{
	int64_t count = op_has_own_rows(op) ? op->rows[member] * op->columns : op->count;
	return (uint64_t)count * ronde_dtype_bytes(op->dtype);
}

const char *op_text(const struct op *op)
{
	static _Thread_local char text[400];
	int n = snprintf(text, sizeof text,
			 "%s %.40s %s ×%lld (%d dimensions) %s, scales %g %g, root %d%s%s",
			 ronde_kind_name(op->kind), op->name ? op->name : "(unnamed)",
			 ronde_dtype_name(op->dtype),
			 (long long)(op_has_own_rows(op) ? op->columns : op->count), op->ndim,
			 ronde_reduction_name(op->reduction), op->prescale, op->postscale, op->root,
			 op->in_place ? ", in place" : "", op->heap ? ", heap" : "");
	for (int m = 0; op->set && m < op->set->n; m++)
		n += snprintf(text + n, sizeof text - (size_t)n, "%s%d",
			      m ? " " : ", of a set: ranks ", op->set->ranks[m]);
	if (op->members > 1)
		n += snprintf(text + n, sizeof text - (size_t)n, ", first of a group of %d",
			      op->members);
	if (op->absent)
		snprintf(text + n, sizeof text - (size_t)n, ", without members %#x", op->absent);
	return text;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What moves bytes: broadcast, allgather, sparse allreduce and alltoall; and the barrier. */
#include "tests/conformance/operation.h"

/* ---- broadcast ---- */

static void choose_root(const struct situation *s, int number, struct op *op)
{
	(void)number; /* one root, or they are not fused */
	op->root = ((int)s->dtype + (int)s->form) % s->ranks;
}

static void refer_root(struct tensor *t, int ranks)
{
	(void)ranks;
	for (uint64_t i = 0; i < (uint64_t)t->op.count; i++)
		t->wanted[i] = exactly(t->op.dtype, t->given[t->op.root], i);
}

const struct operation operation_broadcast = {
	.name = "broadcast",
	.kind = RONDE_KIND_BROADCAST,
	.typed = true,
	.fuses = true,
	.shape = choose_root,
	.whole = count_all,
	.part = part_all,
	.refer = refer_root,
};

/* ---- allgather ---- */

/* Some rank at least. */
static bool is_without_bytes(const struct situation *s)
{
	return s->form == NO_ROWS || s->form == NO_COLUMNS || (s->form == FEW_ROWS && s->ranks > 1);
}

static const char *excludes_gathered(const struct situation *s)
{
	if (s->in_place)
		return "the result is larger than the input: there is no in place";
	if (s->path == RIDING)
		return "ranks' sizes are not known when they announce: nothing rides";
	if (s->path == ZERO_COPY && is_without_bytes(s))
		return "a rank without bytes has none in the heap: no zero-copy";
	return excludes_rowless(s);
}

/* Rows that differ between ranks; of few rows only one rank has some. */
static void choose_rows(const struct situation *s, int number, struct op *op)
{
	op->columns = op->dims[0] ? op->count / op->dims[0] : 1;
	for (int r = 0; r < s->ranks; r++) {
		op->rows[r] = op->dims[0] ? 1 + (op->dims[0] + 3 * r + number) % op->dims[0] : 0;
		if (s->form == FEW_ROWS && r != (int)s->dtype % s->ranks)
			op->rows[r] = 0;
	}
}

static uint64_t count_gathered(const struct op *op, int ranks)
{
	uint64_t count = 0;
	for (int r = 0; r < ranks; r++)
		count += (uint64_t)(op->rows[r] * op->columns);
	return count;
}

static struct ronde_share part_gathered(const struct op *op, int ranks, int rank)
{
	(void)rank;
	return all_of(count_gathered(op, ranks));
}

static void refer_gathered(struct tensor *t, int ranks)
{
	struct wanted *at = t->wanted;
	for (int r = 0; r < ranks; r++)
		for (uint64_t i = 0; i < (uint64_t)(t->op.rows[r] * t->op.columns); i++)
			*at++ = exactly(t->op.dtype, t->given[r], i);
}

const struct operation operation_allgather = {
	.name = "allgather",
	.kind = RONDE_KIND_ALLGATHER,
	.typed = true,
	.groups = true,
	.excludes = excludes_gathered,
	.shape = choose_rows,
	.whole = count_gathered,
	.part = part_gathered,
	.refer = refer_gathered,
};

/* ---- sparse allreduce: gathered, then each rank's rows are scaled ---- */

static const char *excludes_sparse(const struct situation *s)
{
	if (s->reduction != RONDE_SUM && s->reduction != RONDE_AVERAGE)
		return "of sparse tensors there are sums and averages";
	return excludes_gathered(s);
}

const struct operation operation_sparse = {
	.name = "sparse allreduce",
	.kind = RONDE_KIND_ALLGATHER,
	.reduces = true,
	.typed = true,
	.sparse = true,
	.excludes = excludes_sparse,
	.shape = choose_rows,
	.whole = count_gathered,
	.part = part_gathered,
	.refer = refer_scaled,
};

/* ---- alltoall: the whole is rank 0's result, then rank 1's, … ---- */

/* Rows that differ between pairs of ranks, none for some. */
static void choose_splits(const struct situation *s, int number, struct op *op)
{
	op->columns = op->dims[0] ? op->count / op->dims[0] : 1;
	for (int r = 0; r < s->ranks; r++)
		for (int m = 0; m < s->ranks; m++) {
			bool gives = op->dims[0] && (s->form != FEW_ROWS || r == m % 2);
			op->splits[r][m] = gives ? (r + 2 * m + number + 1) % 4 : 0;
			if (m == r && s->form != FEW_ROWS && op->dims[0])
				op->splits[r][m]++; /* or a rank has no bytes */
			op->rows[r] += op->splits[r][m];
		}
}

static struct ronde_share part_received(const struct op *op, int ranks, int rank)
{
	struct ronde_share part = {0, 0};
	for (int m = 0; m <= rank; m++) {
		part.first += part.count;
		part.count = 0;
		for (int r = 0; r < ranks; r++)
			part.count += (uint64_t)(op->splits[r][m] * op->columns);
	}
	return part;
}

static void refer_received(struct tensor *t, int ranks)
{
	struct wanted *at = t->wanted;
	int64_t given[RANKS_MAX] = {0};
	for (int m = 0; m < ranks; m++)
		for (int r = 0; r < ranks; r++) {
			int64_t n = t->op.splits[r][m] * t->op.columns;
			for (int64_t i = 0; i < n; i++)
				*at++ = exactly(t->op.dtype, t->given[r], (uint64_t)(given[r] + i));
			given[r] += n;
		}
}

const struct operation operation_alltoall = {
	.name = "alltoall",
	.kind = RONDE_KIND_ALLTOALL,
	.typed = true,
	.differs = true,
	.excludes = excludes_gathered,
	.shape = choose_splits,
	.whole = count_gathered,
	.part = part_received,
	.refer = refer_received,
};

/* ---- barrier ---- */

static const char *excludes_all_but_one(const struct situation *s)
{
	if (s->path != RIDING)
		return "a barrier has no bytes that travel";
	if (s->company || s->in_place || s->heap || s->form != SCALAR)
		return "a barrier has no tensor";
	return NULL;
}

static uint64_t count_nothing(const struct op *op, int ranks)
{
	(void)op;
	(void)ranks;
	return 0;
}

static struct ronde_share part_nothing(const struct op *op, int ranks, int rank)
{
	(void)op;
	(void)ranks;
	(void)rank;
	return all_of(0);
}

static void refer_nothing(struct tensor *t, int ranks)
{
	(void)t;
	(void)ranks;
}

/* perform.c sees to it that nobody leaves before all have entered. */
const struct operation operation_barrier = {
	.name = "barrier",
	.kind = RONDE_KIND_BARRIER,
	.excludes = excludes_all_but_one,
	.whole = count_nothing,
	.part = part_nothing,
	.refer = refer_nothing,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* What an operation's tensors hold, and what it has to make of them. */
#include <stdlib.h>
#include <string.h>

#include "tests/rounding.h"
#include "tests/schedules/program.h"
#include "tests/shape.h"

/* Who gets which of a rank's rows: many, one, or none. */
static void random_splits(uint64_t *state, struct op *op, int ranks)
{
	for (int from = 0; from < ranks; from++) {
		int64_t left = op->rows[from];
		for (int to = 0; to < ranks; to++) {
			int64_t rows =
				once_in(state, 3) ? 0 : (int64_t)below(state, (uint64_t)left + 1);
			op->splits[from][to] = to == ranks - 1 ? left : rows;
			left -= op->splits[from][to];
		}
	}
}

/* Members that have joined send no rows and mostly get none: the first of the others does. */
static void close_splits(uint64_t *state, struct op *op, int ranks)
{
	bool astray = once_in(state, 4);
	int first = 0;
	while (first < ranks - 1 && (op->absent >> first & 1))
		first++;
	for (int i = 0; i < ranks * ranks; i++) {
		int from = i / ranks, to = i % ranks;
		if (op->absent >> from & 1) {
			op->splits[from][to] = 0;
		} else if ((op->absent >> to & 1) && !astray) {
			op->splits[from][first] += op->splits[from][to];
			op->splits[from][to] = 0;
		}
	}
}

/* The sum, added up as docs/design.md promises for the nodes that the ranks are on. */
static void reduce_over_nodes(const struct program *p, struct op *op,
			      const struct ronde_reduce_spec *spec, int n)
{
	int node[RANKS_MAX], ranks[RANKS_MAX], leaf[RANKS_MAX];
	const void *periods[RANKS_MAX * RANKS_MAX] = {NULL};
	shape_nodes(test_shape(), p->style.ranks, node);
	for (int m = 0; m < n; m++)
		ranks[m] = op_rank(op, m);
	int leaves = shape_leaves(node, ranks, n, leaf);
	for (int m = 0; m < n; m++)
		periods[leaf[m]] = op->given[m];
	reduce_periods(spec, periods, leaves, op->wanted);
}

void make_contents(uint64_t *state, struct program *p, struct op *op)
{
	size_t bytes = PERIOD * ronde_dtype_bytes(op->dtype);
	bool adasum = op->kind == RONDE_KIND_ALLREDUCE && op->reduction == RONDE_ADASUM;
	bool specials = once_in(state, 6) && !adasum;
	op->in_place = once_in(state, 2);
	op->heap = once_in(state, 2);
	op->at_start = once_in(state, 2);
	int n = op_size(op, p->style.ranks), present = 0;
	if (op->kind == RONDE_KIND_ALLTOALL) {
		random_splits(state, op, n);
		if (op->absent)
			close_splits(state, op, n);
	}
	if (op->kind == RONDE_KIND_BARRIER)
		return;
	for (int m = 0; m < n; m++) {
		if (op->absent >> m & 1) {
			op->rows[m] = 0;
			continue;
		}
		present++;
		if (!(op->given[m] = malloc(bytes)))
			abort();
		make_period(state, op->dtype, specials, op->given[m]);
		uint64_t numbers = op->sparse ? (uint64_t)op->rows[m] * sizeof op->rows[m] : 0;
		if (op_bytes(op, m) > p->most_bytes)
			p->most_bytes = op_bytes(op, m);
		if (numbers > p->most_bytes)
			p->most_bytes = numbers;
	}
	if (adasum || present == 0 || op_is_refused(op))
		return;
	if (!(op->wanted = malloc(bytes)))
		abort();
	struct ronde_reduce_spec spec = {.dtype = op->dtype,
					 .reduction = op->reduction,
					 .prescale = op->prescale,
					 .postscale = op->postscale,
					 .divisor = p->style.active ? present : n};
	if (op->kind == RONDE_KIND_ALLREDUCE || op->kind == RONDE_KIND_REDUCESCATTER)
		reduce_over_nodes(p, op, &spec, n);
	else if (op->kind == RONDE_KIND_BROADCAST)
		memcpy(op->wanted, op->given[op_member(op, op->root)], bytes);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/disagreements/disagreement.h"

#include <stdio.h>
#include <string.h>

#include "coordinator/tensor.h"
#include "tests/rounding.h"

/* ---- what differs ---- */

static bool reduces(const struct op *op)
{
	return op->kind == RONDE_KIND_ALLREDUCE || op->kind == RONDE_KIND_REDUCESCATTER;
}

/* The first extent that all must agree on. */
static int first_common(const struct op *op)
{
	return op_has_own_rows(op);
}

static void count_elements(struct op *op)
{
	op->columns = 1;
	for (int i = 1; i < op->ndim; i++)
		op->columns *= op->dims[i];
	op->count = op->ndim ? op->dims[0] * op->columns : 1;
}

/* There is an adasum of some floats' allreduce only. */
static void be_valid(struct op *op)
{
	bool real = is_real(op->dtype);
	if (op->reduction == RONDE_ADASUM && (op->kind != RONDE_KIND_ALLREDUCE || !real))
		op->reduction = RONDE_SUM;
	count_elements(op);
}

/* One that has not joined: else that is what is wrong with it. */
static void choose_root(uint64_t *state, int ranks, int joins, struct op *op)
{
	int member = (int)below(state, (uint64_t)ranks);
	op->root = op_rank(op, member);
	if (op->root == joins)
		op->root = op_rank(op, (member + 1) % ranks);
}

/* Of an alltoall: they take all rows, and none go to who has joined. */
static void choose_splits(uint64_t *state, int ranks, int joins, struct op *op)
{
	for (int r = 0; r < ranks; r++)
		for (int m = 0; m < ranks; m++) {
			bool taken = joins < 0 || op_rank(op, m) != joins;
			op->splits[r][m] = taken ? (int64_t)below(state, 4) : 0;
			op->rows[r] += op->splits[r][m];
		}
}

static void make_first(uint64_t *state, int ranks, int joins, struct op *op)
{
	static const enum ronde_kind kinds[] = {RONDE_KIND_ALLREDUCE, RONDE_KIND_BROADCAST,
						RONDE_KIND_ALLGATHER, RONDE_KIND_REDUCESCATTER,
						RONDE_KIND_ALLTOALL};
	op->kind = kinds[below(state, sizeof kinds / sizeof *kinds)];
	op->dtype = (ronde_dtype)below(state, RONDE_DTYPE_COUNT);
	op->prescale = op->postscale = 1;
	if (reduces(op)) {
		op->reduction = (ronde_reduction)below(state, RONDE_REDUCTION_COUNT);
		op->prescale = once_in(state, 3) ? 0.1 : 1;
	}
	if (op->kind == RONDE_KIND_BROADCAST)
		choose_root(state, ranks, joins, op);
	bool has_rows = op->kind != RONDE_KIND_ALLREDUCE && op->kind != RONDE_KIND_BROADCAST;
	op->ndim = has_rows ? 1 + (int)below(state, 4) : (int)below(state, 5);
	for (int i = 0; i < op->ndim; i++)
		op->dims[i] = (int64_t)below(state, 9);
	choose_splits(state, ranks, joins, op);
	be_valid(op);
}

static void change_shape(uint64_t *state, struct op *op)
{
	int first = first_common(op);
	if (op->ndim <= first || once_in(state, 3))
		op->dims[op->ndim++] = 1 + (int64_t)below(state, 3);
	else if (op->ndim > 1 && once_in(state, 3))
		op->dims[--op->ndim] = 0;
	else
		op->dims[first + (int)below(state, (uint64_t)(op->ndim - first))] +=
			1 + (int64_t)below(state, 4);
}

static void change(uint64_t *state, int ranks, int joins, struct op *op)
{
	switch (below(state, 6)) {
	case 0:
		op->dtype = (ronde_dtype)below(state, RONDE_DTYPE_COUNT);
		break;
	case 1:
		change_shape(state, op);
		break;
	case 2:
		if (reduces(op))
			op->reduction = (ronde_reduction)below(state, RONDE_REDUCTION_COUNT);
		break;
	case 3:
		if (reduces(op))
			op->prescale += 1.0 / (1 + (double)below(state, 9));
		break;
	case 4:
		if (reduces(op))
			op->postscale *= -0.3;
		break;
	default:
		if (op->kind == RONDE_KIND_BROADCAST)
			choose_root(state, ranks, joins, op);
	}
	be_valid(op);
}

/* ---- what is said of it ---- */

typedef void (*say_fn)(const struct op *op, char *text, size_t bytes);

static void say_shape(const struct op *op, char *text, size_t bytes)
{
	size_t n = (size_t)snprintf(text, bytes, "%s[", ronde_dtype_name(op->dtype));
	for (int i = 0; i < op->ndim; i++) {
		if (i < first_common(op))
			n += (size_t)snprintf(text + n, bytes - n, "*");
		else
			n += (size_t)snprintf(text + n, bytes - n, "%s%lld", i ? "," : "",
					      (long long)op->dims[i]);
	}
	snprintf(text + n, bytes - n, "]");
}

static void say_reduction(const struct op *op, char *text, size_t bytes)
{
	snprintf(text, bytes, "reduction %s", ronde_reduction_name(op->reduction));
}

static void say_root(const struct op *op, char *text, size_t bytes)
{
	snprintf(text, bytes, "root rank %d", op->root);
}

static void say_scales(const struct op *op, char *text, size_t bytes)
{
	snprintf(text, bytes, "prescale %.17g and postscale %.17g", op->prescale, op->postscale);
}

/* One thing is told at a time, in this order. */
static const say_fn sayings[] = {say_shape, say_reduction, say_root, say_scales};
#define SAYINGS ((int)(sizeof sayings / sizeof *sayings))
#define SAID 200

/* "ranks 0-2, 4": those that said the same as rank `first`; what was not said is empty. */
static void list_ranks(char (*said)[SAID], int ranks, int first, char *text, size_t bytes)
{
	int n = 0, used = 0;
	for (int r = 0; r < ranks; r++)
		n += strcmp(said[r], said[first]) == 0;
	used = snprintf(text, bytes, n == 1 ? "rank" : "ranks");
	const char *separator = " ";
	for (int r = 0; r < ranks; r++) {
		int last = r;
		if (strcmp(said[r], said[first]) != 0)
			continue;
		while (last + 1 < ranks && strcmp(said[last + 1], said[first]) == 0)
			last++;
		used += snprintf(text + used, bytes - (size_t)used, "%s%d", separator, r);
		if (last > r)
			used += snprintf(text + used, bytes - (size_t)used, "-%d", last);
		separator = ", ";
		r = last;
	}
}

/* What each rank says about one thing. True if they differ. */
static bool say_one(const struct disagreement *d, say_fn say, char (*said)[SAID])
{
	const char *first = NULL;
	bool differ = false;
	for (int r = 0; r < d->ranks; r++) {
		said[r][0] = 0;
		if (d->party[r] < 0)
			continue;
		say(&d->parties[d->party[r]], said[r], SAID);
		first = first ? first : said[r];
		differ |= strcmp(said[r], first) != 0;
	}
	return differ;
}

bool say_all(struct disagreement *d)
{
	char said[RANKS_MAX][SAID], who[100];
	const char *separator = "";
	bool differ = false;
	for (int k = 0; k < SAYINGS && !differ; k++)
		differ = say_one(d, sayings[k], said);
	size_t n = (size_t)snprintf(d->text, sizeof d->text, "tensor \"%s\": ", d->name);
	for (int r = 0; r < d->ranks; r++) {
		bool is_first = said[r][0];
		for (int k = 0; k < r; k++)
			is_first &= strcmp(said[k], said[r]) != 0;
		if (!is_first)
			continue;
		list_ranks(said, d->ranks, r, who, sizeof who);
		n += (size_t)snprintf(d->text + n, sizeof d->text - n, "%s%s submitted %s",
				      separator, who, said[r]);
		separator = ", ";
	}
	snprintf(d->text + n, sizeof d->text - n, "; all ranks must give the same to one %s",
		 ronde_kind_name(d->parties[0].kind));
	return differ;
}

static void make_name(uint64_t *state, char *name)
{
	static const char *const parts[] = {"layer", ".", "\"", "%s", "é", "/w", "7", " ", "\\"};
	name[0] = 0;
	for (uint64_t n = 1 + below(state, 12); n > 0; n--)
		strcat(name, parts[below(state, sizeof parts / sizeof *parts)]);
}

const struct op_set disagreement_sets[DISAGREEMENT_RANKS + 1][DISAGREEMENT_SETS] = {
	[3] = {{.number = 1, .n = 2, .ranks = {0, 2}}, {.number = 2, .n = 2, .ranks = {1, 2}}},
	[4] = {{.number = 1, .n = 3, .ranks = {0, 2, 3}}, {.number = 2, .n = 2, .ranks = {1, 3}}},
	[5] = {{.number = 1, .n = 3, .ranks = {0, 3, 4}},
	       {.number = 2, .n = 4, .ranks = {1, 2, 3, 4}}},
};

void choose_parties(uint64_t *state, struct disagreement *d)
{
	for (int i = 0; i < PARTIES; i++)
		d->parties[i].name = d->name;
	for (int r = 0; r < d->ranks; r++) {
		bool takes_part = op_member(&d->parties[0], r) >= 0 && r != d->joins;
		d->party[r] = takes_part ? (int)below(state, PARTIES) : -1;
	}
}

void make_disagreement(uint64_t seed, int ranks, struct disagreement *d)
{
	uint64_t state = seed;
	do {
		memset(d, 0, sizeof *d);
		d->seed = seed;
		d->ranks = ranks;
		d->set = ranks > 2 && once_in(&state, 2)
				 ? &disagreement_sets[ranks][below(&state, DISAGREEMENT_SETS)]
				 : NULL;
		d->joins =
			ranks > 2 && once_in(&state, 4) ? (int)below(&state, (uint64_t)ranks) : -1;
		make_name(&state, d->name);
		struct op *first = &d->parties[0];
		first->set = d->set;
		make_first(&state, op_size(first, ranks), d->joins, first);
		for (int i = 1; i < PARTIES; i++) {
			d->parties[i] = *first;
			for (uint64_t n = 1 + below(&state, 3); n > 0; n--)
				change(&state, op_size(first, ranks), d->joins, &d->parties[i]);
		}
		choose_parties(&state, d);
	} while (!say_all(d));
}

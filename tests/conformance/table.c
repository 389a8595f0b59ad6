/* SPDX-License-Identifier: Apache-2.0 */
/* The table of operations, and what holds for every one of them. */
#include <stdio.h>
#include <string.h>

#include "tests/conformance/operation.h"
#include "tests/shape.h"

const struct operation *const operations[] = {
	&operation_allreduce, &operation_reducescatter, &operation_broadcast, &operation_allgather,
	&operation_sparse,    &operation_alltoall,      &operation_barrier,   NULL};

static bool is_empty(enum form form)
{
	return form == NO_ROWS || form == NO_COLUMNS;
}

const char *situation_excluded(const struct situation *s)
{
	const struct operation *o = s->operation;
	if (!o->typed && s->dtype != 0)
		return "it has no type";
	if (!o->reduces && s->reduction != 0)
		return "it has no reduction";
	const char *why = o->excludes ? o->excludes(s) : NULL;
	if (why)
		return why;
	if (s->reduction == RONDE_ADASUM && s->path != RIDING && test_shape())
		return "over nodes there are small adasums only";
	if (s->company == GROUPED && !o->groups)
		return "there are no groups of it";
	if (s->path == ZERO_COPY && !s->heap)
		return "ordinary memory is out of other ranks' reach: no zero-copy";
	if (is_empty(s->form) && s->path != RIDING && !ronde_kind_has_own_rows(o->kind))
		return "what has no bytes always rides";
	return NULL;
}

const char *situation_text(const struct situation *s)
{
	static const char *const forms[] = {"matrix", "vector",  "16-d",      "few rows",
					    "0-d",    "no rows", "no columns"};
	static const char *const companies[] = {"alone", "fused", "grouped"};
	static const char *const paths[] = {"riding", "staged", "zero-copy"};
	static _Thread_local char text[200];
	snprintf(text, sizeof text, "%s %s %s %s, %d ranks, %s, %s, %s, %s", s->operation->name,
		 ronde_dtype_name(s->dtype),
		 s->operation->reduces ? ronde_reduction_name(s->reduction) : "", forms[s->form],
		 s->ranks, paths[s->path], companies[s->company],
		 s->in_place ? "in place" : "out of place", s->heap ? "heap" : "ordinary");
	return text;
}

/* ---- for the operations' files ---- */

struct wanted exactly(ronde_dtype dtype, const unsigned char *elements, uint64_t number)
{
	struct wanted w = {.bound = -1};
	size_t bytes = ronde_dtype_bytes(dtype);
	memcpy(&w.bits, elements + number * bytes, bytes);
	return w;
}

struct ronde_share all_of(uint64_t count)
{
	return (struct ronde_share){0, count};
}

uint64_t count_all(const struct op *op, int ranks)
{
	(void)ranks;
	return (uint64_t)op->count;
}

struct ronde_share part_all(const struct op *op, int ranks, int rank)
{
	(void)ranks;
	(void)rank;
	return all_of((uint64_t)op->count);
}

const char *excludes_rowless(const struct situation *s)
{
	return s->form == SCALAR ? "a 0-d tensor has no rows" : NULL;
}

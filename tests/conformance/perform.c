/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several tensors become one entry for certain only if they are all there when the leader looks.
 * Ranks that are threads see to it: rank 0, the leader, is kept from looking (port.h) until all
 * have submitted.
 */
#include "tests/conformance/perform.h"
#include "tests/shape.h"

#include <math.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct performance {
	struct tensor *tensor;
	struct op op;
	struct block in, out;
	struct block numbers, all_numbers; /* sparse: of the rows */
	struct buffers buffers;
	int64_t rows[RANKS_MAX];
	unsigned char *result;
	ronde_handle handle;
};

void conform_failed(uint64_t seed, const struct situation *s, const char *format, ...)
{
	va_list arguments;
	fprintf(stderr, "\nconformance failed: RONDE_TEST_SEED=%llu: %s\n",
		(unsigned long long)seed, situation_text(s));
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	abort();
}

/* ---- before ---- */

static bool gives_input(const struct situation *s, const struct op *op, int member)
{
	return s->operation->kind != RONDE_KIND_BROADCAST || op_member(op, op->root) == member;
}

/* The whole input's memory has the result as well, at `at` elements. */
static void prepare_in_place(const struct stage *g, const struct situation *s,
			     struct performance *p)
{
	size_t element = ronde_dtype_bytes(s->dtype);
	int64_t at = s->operation->in_place ? s->operation->in_place(&p->op, s->ranks, g->rank) : 0;
	p->result = p->in.data + (uint64_t)at * element;
	p->buffers.output = p->result;
}

/* Some rows of a rank have the same. */
static int64_t number_of(int rank, int64_t row)
{
	return 1000 * rank + row * row % 7;
}

static void prepare_sparse(const struct stage *g, const struct situation *s, struct performance *p)
{
	int64_t rows = p->op.rows[g->rank], all = 0;
	for (int r = 0; r < s->ranks; r++)
		all += p->op.rows[r];
	block_make(g->port, g->to, &p->numbers, s->heap, 0, (uint64_t)rows * sizeof rows);
	block_make(g->port, g->to, &p->all_numbers, s->heap, 0, (uint64_t)all * sizeof rows);
	for (int64_t i = 0; i < rows; i++)
		((int64_t *)(void *)p->numbers.data)[i] = number_of(g->rank, i);
	p->buffers.indices = (const int64_t *)(const void *)p->numbers.data;
	p->buffers.sparse.values = p->buffers.gathered;
	p->buffers.sparse.indices = (ronde_gathered){.data = p->all_numbers.data,
						     .capacity_bytes = p->all_numbers.bytes};
	if (s->form == VECTOR)
		p->op.name = NULL;
}

static void prepare(const struct stage *g, const struct situation *s, struct tensor *t, int number,
		    struct performance *p)
{
	static char names[LOT][8] = {"lot 0", "lot 1", "lot 2"};
	size_t element = ronde_dtype_bytes(s->dtype);
	uint64_t bytes = op_bytes(&t->op, g->rank);
	uint64_t result = s->operation->part(&t->op, s->ranks, g->rank).count * element;
	*p = (struct performance){.tensor = t, .op = t->op};
	p->op.set = g->set;
	p->op.root = op_rank(&p->op, t->op.root);
	p->op.name = s->in_place ? NULL : names[number];
	if (!s->operation->typed)
		return;
	block_make(g->port, g->to, &p->in, s->heap, 0, bytes);
	if (gives_input(s, &p->op, g->rank)) {
		memcpy(p->in.data, t->given[g->rank], bytes);
		p->buffers.input = bytes || s->heap ? p->in.data : NULL;
	}
	if (s->in_place) {
		prepare_in_place(g, s, p);
		return;
	}
	block_make(g->port, g->to, &p->out, s->heap, 0, result);
	p->result = p->out.data;
	p->buffers.output = result || s->heap ? p->result : NULL;
	p->buffers.gathered = (ronde_gathered){
		.data = p->out.data, .capacity_bytes = result, .rows_per_rank = p->rows};
	if (p->op.sparse)
		prepare_sparse(g, s, p);
}

/* ---- after ---- */

static void judge_elements(const struct stage *g, const struct situation *s,
			   const struct performance *p, struct ronde_share part)
{
	size_t element = ronde_dtype_bytes(s->dtype);
	for (uint64_t i = 0; i < part.count; i++) {
		const struct wanted *w = &p->tensor->wanted[part.first + i];
		const unsigned char *at = p->result + i * element;
		double real = w->bound < 0 ? 0 : real_of(s->dtype, at);
		bool right = w->bound < 0 ? memcmp(at, &w->bits, element) == 0
					  : fabs(real - w->real) <= w->bound;
		uint64_t bits = 0;
		memcpy(&bits, at, element);
		if (!right)
			conform_failed(g->seed, s,
				       "rank %d, %s: element %llu of %llu is %.17g (%#llx) instead "
				       "of %.17g ± %g (%#llx)",
				       g->rank, op_text(&p->op), (unsigned long long)i,
				       (unsigned long long)part.count, real,
				       (unsigned long long)bits, w->real, w->bound,
				       (unsigned long long)w->bits);
	}
}

static void judge_rows(const struct stage *g, const struct situation *s,
		       const struct performance *p)
{
	int64_t rows = 0;
	for (int r = 0; r < s->ranks; r++) {
		int64_t from = s->operation->differs ? p->op.splits[r][g->rank] : p->op.rows[r];
		rows += from;
		if (p->rows[r] != from)
			conform_failed(g->seed, s, "rank %d: %lld rows of rank %d instead of %lld",
				       g->rank, (long long)p->rows[r], r, (long long)p->op.rows[r]);
	}
	if (rows != p->buffers.gathered.rows)
		conform_failed(g->seed, s, "rank %d: %lld rows instead of %lld", g->rank,
			       (long long)p->buffers.gathered.rows, (long long)rows);
}

static void judge_numbers(const struct stage *g, const struct situation *s,
			  const struct performance *p)
{
	const ronde_sparse_rows *result = &p->buffers.sparse.result;
	const int64_t *at = result->indices;
	bool right = result->values == p->out.data && result->width == p->op.columns &&
		     block_guarded(&p->numbers) && block_guarded(&p->all_numbers);
	for (int r = 0; right && r < s->ranks; r++)
		for (int64_t i = 0; i < p->op.rows[r]; i++)
			right &= *at++ == number_of(r, i);
	for (int64_t i = 0; i < p->op.rows[g->rank]; i++)
		right &= p->buffers.indices[i] == number_of(g->rank, i);
	if (!right)
		conform_failed(g->seed, s, "rank %d, %s: wrong numbers of rows, or bytes beside",
			       g->rank, op_text(&p->op));
}

/* Nothing was written but the result. */
static void judge_memory(const struct stage *g, const struct situation *s,
			 const struct performance *p, uint64_t result_bytes)
{
	const unsigned char *given = p->tensor->given[g->rank];
	if (!block_guarded(&p->in) || !block_guarded(&p->out))
		conform_failed(g->seed, s, "rank %d, %s: bytes beside a tensor were written",
			       g->rank, op_text(&p->op));
	if (!p->buffers.input)
		return;
	uint64_t before = s->in_place ? (uint64_t)(p->result - p->in.data) : p->in.bytes;
	uint64_t after = s->in_place ? before + result_bytes : p->in.bytes;
	if (memcmp(p->in.data, given, before) != 0 ||
	    memcmp(p->in.data + after, given + after, p->in.bytes - after) != 0)
		conform_failed(g->seed, s, "rank %d, %s: the input was written", g->rank,
			       op_text(&p->op));
}

/* The bits of all earlier situations with this tensor. */
static void judge_bits(const struct stage *g, const struct situation *s,
		       const struct performance *p, uint64_t bytes)
{
	struct tensor *t = p->tensor;
	if (t->seen[g->rank] && bytes && memcmp(t->first[g->rank], p->result, bytes) != 0)
		conform_failed(g->seed, s, "rank %d, %s: other bits than in an earlier situation",
			       g->rank, op_text(&p->op));
	if (bytes)
		memcpy(t->first[g->rank], p->result, bytes);
	t->seen[g->rank] = true;
}

static void judge(const struct stage *g, const struct situation *s, const struct performance *p)
{
	struct tensor *t = p->tensor;
	struct ronde_share part = s->operation->part(&p->op, s->ranks, g->rank);
	uint64_t bytes = part.count * ronde_dtype_bytes(s->dtype);
	t->rounds[g->rank]++;
	if (g->meeting && atomic_load(&t->entered) < t->rounds[g->rank] * s->ranks)
		conform_failed(g->seed, s, "rank %d was done before all had submitted", g->rank);
	judge_elements(g, s, p, part);
	judge_memory(g, s, p, bytes);
	judge_bits(g, s, p, bytes);
	if (op_has_own_rows(&p->op))
		judge_rows(g, s, p);
	if (p->op.sparse)
		judge_numbers(g, s, p);
}

/* It went the way it was meant to go. */
static void judge_path(const struct stage *g, const struct situation *s, int tensors,
		       const ronde_counters *a, const ronde_counters *b)
{
	uint64_t entries = b->entries - a->entries;
	uint64_t by_path[PATHS] = {b->entries_carried - a->entries_carried,
				   b->entries_staged - a->entries_staged,
				   b->entries_zero_copy - a->entries_zero_copy};
	/* A group is ready all at once, wherever its ranks are. */
	bool meets = g->meeting && g->leader >= 0;
	bool together = s->company == GROUPED || (s->company == FUSED && meets);
	bool one = together && s->operation->fuses && s->reduction != RONDE_ADASUM;
	uint64_t wanted = one ? 1 : (uint64_t)tensors;
	if (s->operation->sparse) /* rows, and their numbers */
		wanted *= 2;
	bool any_number = s->company != ALONE && !one;
	/* Over nodes all goes the way of staging, and what others submit comes when it comes. */
	if (s->operation->typed && !test_shape() &&
	    (by_path[s->path] != entries || (!any_number && entries != wanted)))
		conform_failed(g->seed, s,
			       "rank %d: %llu entries (riding %llu, staged %llu, zero-copy %llu) "
			       "instead of %llu",
			       g->rank, (unsigned long long)entries,
			       (unsigned long long)by_path[RIDING],
			       (unsigned long long)by_path[STAGED],
			       (unsigned long long)by_path[ZERO_COPY], (unsigned long long)wanted);
}

/* ---- the whole ---- */

static void check(const struct stage *g, const struct situation *s, int status)
{
	if (status)
		conform_failed(g->seed, s, "rank %d: %s: %s", g->rank, ronde_status_name(status),
			       ronde_error_message());
}

static void submit_all(const struct stage *g, const struct situation *s, struct performance *p,
		       int n)
{
	/* Over nodes others need what the leader still has to send them. */
	bool meets = s->company == FUSED && g->meeting && !test_shape();
	bool holds = meets && g->rank == g->leader;
	while (holds && !g->port->hold(g->to))
		sched_yield();
	for (int i = 0; i < n; i++) {
		atomic_fetch_add(&p[i].tensor->entered, 1);
		check(g, s, g->port->submit(g->to, &p[i].op, g->rank, &p[i].buffers, &p[i].handle));
	}
	if (meets)
		pthread_barrier_wait(g->meeting);
	if (holds)
		g->port->let_go(g->to);
}

static void submit_group(const struct stage *g, const struct situation *s, struct performance *p,
			 int n)
{
	const struct op *ops[LOT];
	struct buffers *buffers[LOT];
	for (int i = 0; i < n; i++) {
		atomic_fetch_add(&p[i].tensor->entered, 1);
		ops[i] = &p[i].op;
		buffers[i] = &p[i].buffers;
	}
	check(g, s,
	      g->port->submit_group(g->to, s->in_place ? NULL : "lot", ops, n, g->rank, buffers,
				    &p[0].handle));
}

static void finish(const struct stage *g, const struct situation *s, struct performance *p)
{
	if (!p->op.sparse) {
		check(g, s, g->port->wait(g->to, p->handle));
		return;
	}
	check(g, s, g->port->wait_sparse(g->to, &p->buffers));
	p->buffers.gathered.rows = p->buffers.sparse.result.rows;
}

void perform(const struct stage *g, const struct situation *s, struct tensor *lot)
{
	struct performance p[LOT];
	ronde_counters before, after;
	int n = s->company == ALONE ? 1 : LOT;
	for (int i = 0; i < n; i++)
		prepare(g, s, &lot[i], i, &p[i]);
	g->port->counters(g->to, &before);
	if (s->company == GROUPED)
		submit_group(g, s, p, n);
	else
		submit_all(g, s, p, n);
	for (int i = 0; i < (s->company == GROUPED ? 1 : n); i++)
		finish(g, s, &p[i]);
	g->port->counters(g->to, &after);
	judge_path(g, s, n, &before, &after);
	for (int i = 0; i < n; i++) {
		judge(g, s, &p[i]);
		block_free(g->port, g->to, &p[i].in);
		block_free(g->port, g->to, &p[i].out);
		block_free(g->port, g->to, &p[i].numbers);
		block_free(g->port, g->to, &p[i].all_numbers);
	}
}

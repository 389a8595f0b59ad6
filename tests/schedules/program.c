/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/schedules/program.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "coordinator/tensor.h"
#include "tests/rounding.h"

/* Tensors of a group, at most. */
#define GROUP_MOST 9

/* Of all operations of a step, on one rank, unless a few of the largest are more. */
#define STEP_BYTES ((uint64_t)8 << 20)

/* ---- what an operation is like ---- */

static int64_t random_count(uint64_t *state, uint64_t most)
{
	static const uint64_t classes[] = {1, 16, 300, 4096, 40000, 1 << 18, 1 << 20, 1 << 24};
	uint64_t class = classes[below(state, sizeof classes / sizeof *classes)];
	if (once_in(state, 12))
		return 0;
	if (most >= 1 << 24 && once_in(state, 6))
		return (int64_t)most;
	return (int64_t)below(state, (class < most ? class : most) + 1);
}

static void random_shape(uint64_t *state, struct op *op)
{
	static const int64_t divisors[] = {2, 3, 7, 16};
	int64_t d = divisors[below(state, 4)];
	op->ndim = 1;
	op->dims[0] = op->count;
	if (once_in(state, 3) && op->count % d == 0) {
		op->ndim = 3;
		op->dims[0] = d;
		op->dims[1] = 1;
		op->dims[2] = op->count / d;
	}
}

static void random_rows(uint64_t *state, struct op *op, int ranks, uint64_t elements)
{
	op->columns = once_in(state, 10) ? 0 : 1 + (int64_t)below(state, 40);
	uint64_t most = elements / (op->columns ? (uint64_t)op->columns : 1) / 2;
	for (int r = 0; r < ranks; r++)
		op->rows[r] = random_count(state, most + 1);
	op->ndim = 2;
	op->dims[1] = op->columns;
}

static enum ronde_kind random_kind(uint64_t *state)
{
	static const enum ronde_kind kinds[] = {
		RONDE_KIND_ALLREDUCE,     RONDE_KIND_ALLREDUCE,     RONDE_KIND_ALLREDUCE,
		RONDE_KIND_ALLREDUCE,     RONDE_KIND_BROADCAST,     RONDE_KIND_BROADCAST,
		RONDE_KIND_ALLGATHER,     RONDE_KIND_ALLGATHER,     RONDE_KIND_BARRIER,
		RONDE_KIND_REDUCESCATTER, RONDE_KIND_REDUCESCATTER, RONDE_KIND_ALLTOALL,
		RONDE_KIND_ALLTOALL,
	};
	return kinds[below(state, sizeof kinds / sizeof *kinds)];
}

/* Everything ranks must agree on, out of `state`: the same state gives the same tensor. */
static void describe(uint64_t state, struct op *op, const struct program_style *style)
{
	static const double scales[] = {0.5, 2, 1.5, 1.0 / 3, -1, 0.1};
	static const ronde_reduction reductions[] = {RONDE_AVERAGE, RONDE_SUM, RONDE_MIN, RONDE_MAX,
						     RONDE_PRODUCT};
	op->dtype =
		once_in(&state, 3) ? RONDE_FLOAT32 : (ronde_dtype)below(&state, RONDE_DTYPE_COUNT);
	op->reduction = once_in(&state, 2) ? RONDE_SUM : reductions[below(&state, 5)];
	op->prescale = once_in(&state, 5) ? scales[below(&state, 6)] : 1;
	op->postscale = once_in(&state, 5) ? scales[below(&state, 6)] : 1;
	op->root = op_rank(op, (int)below(&state, (uint64_t)op_size(op, style->ranks)));
	bool real = is_real(op->dtype);
	if (style->adasum && op->kind == RONDE_KIND_ALLREDUCE && real && once_in(&state, 3))
		op->reduction = RONDE_ADASUM;
	uint64_t elements = style->bytes / ronde_dtype_bytes(op->dtype);
	if (op_has_own_rows(op)) {
		int n = op_size(op, style->ranks);
		random_rows(&state, op, n, elements / (uint64_t)n);
		op->sparse = op->kind == RONDE_KIND_ALLGATHER && once_in(&state, 3);
		if (op->sparse)
			op->reduction = once_in(&state, 2) ? RONDE_SUM : RONDE_AVERAGE;
	} else if (op->kind == RONDE_KIND_BARRIER) {
		op->dtype = RONDE_UINT8;
	} else {
		op->count = random_count(&state, elements);
		random_shape(&state, op);
	}
}

/* ---- names ---- */

/* Of a process set. */
struct names {
	uint64_t described[RONDE_KIND_COUNT][64]; /* what a name stands for now; 0: nothing yet */
	int used[RONDE_KIND_COUNT][64];           /* last step + 1 that has it */
};

/* What there is while a program is made. */
struct making {
	uint64_t *state;
	struct program *p;
	int step;
	struct op_set *sets[SETS_MAX];
	struct names names[1 + SETS_MAX]; /* all ranks' first */
	int leaves[RANKS_MAX]; /* how many of the step's operations come before it joins */
};

/* room: bytes that must be left behind it. */
static char *make_name(const struct program *p, int number, int room)
{
	char *name = malloc(RONDE_MAX_NAME + 1);
	if (!name)
		abort();
	int n = snprintf(name, RONDE_MAX_NAME + 1, "w%d", number);
	if (p->style.long_names && number % 3 == 0) {
		size_t most = (size_t)(RONDE_MAX_NAME - room - n) >> (number / 3 % 4);
		memset(name + n, 'x', most);
		name[(size_t)n + most] = 0;
	}
	return name;
}

/* A name that no operation of this kind has in this step, or in the last if steps overlap; -1:
 * none. */
static int free_name(uint64_t *state, const struct program *p, const struct names *names,
		     enum ronde_kind kind, int step)
{
	if (kind == RONDE_KIND_BARRIER || p->style.names == 0 ||
	    below(state, 100) < (uint64_t)p->style.unnamed_percent)
		return -1;
	int start = (int)below(state, (uint64_t)p->style.names);
	for (int i = 0; i < p->style.names; i++) {
		int n = (start + i) % p->style.names;
		if (names->used[kind][n] < step + !p->style.overlap || !names->used[kind][n])
			return n;
	}
	return -1;
}

/* One of the sets there are, or all ranks: number 0. */
static int choose_set(struct making *m)
{
	int which = m->p->style.sets ? (int)below(m->state, 1 + SETS_MAX) : 0;
	return which && m->sets[which - 1] ? which : 0;
}

static bool has_groups(enum ronde_kind kind)
{
	return kind == RONDE_KIND_ALLREDUCE || kind == RONDE_KIND_ALLGATHER ||
	       kind == RONDE_KIND_REDUCESCATTER;
}

/* What its first tensor is like, the whole group is; the number of tensors is a part of that. */
static void make_members(struct making *m, struct op *first, uint64_t description, int most)
{
	uint64_t state = description ^ 0x5bd1e995;
	int n = 2 + (int)below(&state, GROUP_MOST - 1);
	first->members = n < most ? n : most;
	for (int i = 1; i < first->members; i++) {
		struct op *op = &first[i];
		*op = (struct op){.kind = first->kind, .set = first->set, .absent = first->absent};
		describe(random_bits(&state), op, &m->p->style);
		op->sparse = false;
		op->reduction = first->reduction;
		op->prescale = first->prescale;
		op->postscale = first->postscale;
		if (op->reduction == RONDE_ADASUM && !is_real(op->dtype))
			op->dtype = first->dtype;
	}
	m->p->nops += first->members - 1;
}

/* The operation and, if it is a group, those behind it: `most` at most. How many they are. */
static int identify(struct making *m, struct op *op, int number, int most)
{
	struct program *p = m->p;
	int which = choose_set(m);
	struct names *names = &m->names[which];
	op->set = which ? m->sets[which - 1] : NULL;
	op->kind = p->style.distinct ? RONDE_KIND_ALLREDUCE : random_kind(m->state);
	op->members = 1;
	bool grouped = p->style.groups && !p->style.distinct && most > 1 && has_groups(op->kind) &&
		       once_in(m->state, (uint64_t)p->style.groups);
	int n = free_name(m->state, p, names, op->kind, m->step);
	uint64_t description = random_bits(m->state) | 1;
	if (n >= 0) {
		uint64_t *stands_for = &names->described[op->kind][n];
		if (*stands_for && !(p->style.change && once_in(m->state, 5)))
			description = *stands_for;
		*stands_for = description;
		names->used[op->kind][n] = m->step + 1;
		op->name = make_name(
			p, n,
			grouped || op->kind == RONDE_KIND_ALLGATHER ? RONDE_MEMBER_SUFFIX : 0);
	}
	describe(description, op, &p->style);
	op->sparse &= !grouped; /* it is a group itself */
	if (n < 0 && p->style.distinct) {
		op->dims[0] = op->count = number + 1;
		op->ndim = 1;
	}
	for (int r = 0; r < p->style.ranks; r++)
		if (p->joins[m->step] && op_member(op, r) >= 0 && number >= m->leaves[r])
			op->absent |= 1u << op_member(op, r);
	if (grouped)
		make_members(m, op, description, most);
	return op->members;
}

/* ---- programs ---- */

static size_t digest_bytes(const struct program *p)
{
	return ((size_t)p->nops + 1) * sizeof *p->digests;
}

/* Ranks of their own: none is another set's, nor all. */
static void add_set(struct making *m, int slot)
{
	struct program *p = m->p;
	struct op_set *set = &p->sets[p->nsets], made = {.from = m->step, .until = INT_MAX};
	for (int r = 0; r < p->style.ranks; r++)
		if (once_in(m->state, 2))
			made.ranks[made.n++] = r;
	bool is_new = made.n > 0 && made.n < p->style.ranks;
	for (int i = 0; i < SETS_MAX && is_new; i++)
		is_new = !m->sets[i] ||
			 memcmp(m->sets[i]->ranks, made.ranks, sizeof made.ranks) != 0 ||
			 m->sets[i]->n != made.n;
	if (!is_new)
		return;
	made.number = ++p->nsets;
	*set = made;
	m->sets[slot] = set;
}

/* Some to begin with; later now and then one goes, or another comes. */
static void change_sets(struct making *m)
{
	for (int i = 0; i < m->p->style.sets; i++) {
		if (m->sets[i] && once_in(m->state, 8)) {
			m->sets[i]->until = m->step;
			m->sets[i] = NULL;
		}
		if (!m->sets[i] && once_in(m->state, m->step ? 6 : 2))
			add_set(m, i);
	}
}

static void choose_leaves(struct making *m, int n)
{
	const struct program_style *style = &m->p->style;
	m->p->joins[m->step] = style->joins && once_in(m->state, (uint64_t)style->joins);
	for (int r = 0; r < style->ranks; r++)
		m->leaves[r] = once_in(m->state, 3) ? n : (int)below(m->state, (uint64_t)n + 1);
}

static void make_step(struct making *m)
{
	struct program *p = m->p;
	const struct program_style *style = &p->style;
	uint64_t room = style->bytes * 3 > STEP_BYTES ? style->bytes * 3 : STEP_BYTES;
	int n = style->distinct ? style->ops : 1 + (int)below(m->state, (uint64_t)style->ops);
	p->first[m->step] = p->nops;
	change_sets(m);
	choose_leaves(m, n);
	for (int i = 0; i < n && room;) {
		struct op *op = &p->ops[p->nops++];
		int members = identify(m, op, i, n - i);
		for (int k = 0; k < members; k++) {
			make_contents(m->state, p, &op[k]);
			uint64_t bytes = op_bytes(&op[k], 0);
			room = bytes < room ? room - bytes : 0;
		}
		i += members;
	}
}

static void *get(size_t n, size_t bytes)
{
	void *memory = calloc(n + 1, bytes);
	if (!memory)
		abort();
	return memory;
}

struct program *make_program(uint64_t seed, const struct program_style *style)
{
	uint64_t state = seed;
	struct making *m = get(1, sizeof *m);
	struct program *p = get(1, sizeof *p);
	size_t steps = (size_t)style->steps;
	if (style->names > 64 || style->sets > SETS_MAX)
		abort();
	*p = (struct program){.style = *style, .seed = seed};
	p->ops = get(steps * (size_t)style->ops, sizeof *p->ops);
	p->first = get(steps, sizeof *p->first);
	p->joins = get(steps, sizeof *p->joins);
	p->sets = get(steps * SETS_MAX, sizeof *p->sets);
	*m = (struct making){.state = &state, .p = p};
	for (; m->step < style->steps; m->step++)
		make_step(m);
	p->first[style->steps] = p->nops;
	p->digests = mmap(NULL, digest_bytes(p), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			  -1, 0);
	if (p->digests == MAP_FAILED)
		abort();
	free(m);
	return p;
}

void free_program(struct program *p)
{
	for (int i = 0; i < p->nops; i++) {
		free(p->ops[i].name);
		free(p->ops[i].wanted);
		for (int r = 0; r < p->style.ranks; r++)
			free(p->ops[i].given[r]);
	}
	munmap(p->digests, digest_bytes(p));
	free(p->ops);
	free(p->first);
	free(p->joins);
	free(p->sets);
	free(p);
}

struct program_style random_style(uint64_t *state, int ranks)
{
	static const uint64_t bytes[] = {64,      2048,    2048,    1 << 16, 1 << 16,
					 1 << 16, 1 << 18, 1 << 20, 4 << 20, 16 << 20};
	static const int names[] = {0, 2, 5, 12, 40};
	struct program_style s = {.ranks = ranks};
	s.bytes = bytes[below(state, 10)];
	bool large = s.bytes >= 1 << 20;
	s.steps = large ? 2 : 2 + (int)below(state, 8);
	s.ops = large ? 4 : 1 + (int)below(state, once_in(state, 4) ? 60 : 14);
	s.names = names[below(state, 5)];
	s.unnamed_percent = once_in(state, 3) ? 60 : 15;
	s.long_names = once_in(state, 5);
	s.change = !once_in(state, 4);
	s.groups = once_in(state, 2) ? 4 : 0;
	s.overlap = once_in(state, 2);
	s.holds = 5;
	s.sets = once_in(state, 2) ? 1 + (int)below(state, SETS_MAX) : 0;
	s.joins = once_in(state, 3) ? 3 : 0;
	s.active = once_in(state, 2);
	return s;
}

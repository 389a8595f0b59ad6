/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/join/op.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/algorithms/adasum.h"
#include "collectives/bootstrap/wait.h"
#include "coordinator/control.h"

#define LONGEST 40000
/* Elements of an allgather's or alltoall's result, at most. */
#define ALL_OF(count) (((size_t)(count) + MOST_RANKS) * MOST_RANKS)

int draw(unsigned *seed, int n)
{
	return (int)((unsigned)rand_r(seed) / 7 % (unsigned)n);
}

void expect(bool right, const struct rank *r, const char *what)
{
	if (right)
		return;
	fprintf(stderr, "rank %d: %s\n", r->rank, what);
	abort();
}

int join(struct rank *r, int *last)
{
	ronde_handle h;
	int status = ronde_control_join(r->context, last, &h);
	return status ? status : wait_for(r, h);
}

/* ---- what an operation is ---- */

static bool has(unsigned mask, int rank)
{
	return mask >> rank & 1;
}

struct op random_op(unsigned *seed, const unsigned *masks, const int *sets, int nsets)
{
	static const enum ronde_kind kinds[] = {
		RONDE_KIND_ALLREDUCE,     RONDE_KIND_ALLREDUCE, RONDE_KIND_ALLREDUCE,
		RONDE_KIND_BROADCAST,     RONDE_KIND_ALLGATHER, RONDE_KIND_BARRIER,
		RONDE_KIND_REDUCESCATTER, RONDE_KIND_ALLTOALL,  RONDE_KIND_REDUCESCATTER};
	static const ronde_reduction reductions[] = {RONDE_AVERAGE, RONDE_SUM, RONDE_MIN, RONDE_MAX,
						     RONDE_PRODUCT};
	static const uint64_t counts[] = {1, 20, 700, 9000, LONGEST};
	int set = draw(seed, nsets);
	struct op op = {.kind = kinds[draw(seed, (int)(sizeof kinds / sizeof *kinds))],
			.reduction = reductions[draw(seed, 5)],
			.dtype = draw(seed, 3) ? RONDE_FLOAT32 : RONDE_INT32,
			.count = counts[draw(seed, 5)],
			.mask = masks[set],
			.present = masks[set],
			.set = sets[set],
			.named = draw(seed, 2),
			.astray = draw(seed, 4) == 0,
			.seed = (unsigned)draw(seed, 1 << 20)};
	do
		op.root = draw(seed, MOST_RANKS);
	while (!has(op.mask, op.root));
	if (op.kind == RONDE_KIND_ALLREDUCE && op.dtype == RONDE_FLOAT32 && draw(seed, 3) == 0)
		op.reduction = RONDE_ADASUM;
	return op;
}

/* Rows of an alltoall: not from all, and to who has joined only astray. */
static int64_t split(const struct op *op, int from, int to)
{
	unsigned mixed = (unsigned)(from * 7 + to * 13) + op->seed;
	if (!has(op->mask, to))
		return 0;
	if (!has(op->present, to))
		return op->astray && mixed % 3 == 0;
	return mixed % 3 == 0 ? 0 : (int64_t)(op->count / MOST_RANKS * (mixed % 5) / 4);
}

static bool goes_astray(const struct op *op, int from)
{
	for (int to = 0; to < MOST_RANKS; to++)
		if (has(op->mask & ~op->present, to) && split(op, from, to))
			return true;
	return false;
}

static uint64_t rows_of(const struct op *op, int rank)
{
	int64_t rows = 0;
	if (op->kind == RONDE_KIND_ALLGATHER)
		return op->count + (uint64_t)rank;
	if (op->kind != RONDE_KIND_ALLTOALL)
		return op->count;
	for (int to = 0; to < MOST_RANKS; to++)
		rows += split(op, rank, to);
	return (uint64_t)rows;
}

/* The same on all ranks: what rank gives to op. */
static void make_input(const struct op *op, int rank, void *to)
{
	unsigned seed = op->seed * 31 + (unsigned)rank;
	for (uint64_t i = 0; i < rows_of(op, rank); i++) {
		int x = draw(&seed, 20001) - 10000;
		if (op->dtype == RONDE_INT32)
			((int32_t *)to)[i] = x;
		else
			((float *)to)[i] = (float)x / 3;
	}
}

/* ---- submitting it ---- */

static void *make(struct rank *r, bool heap, size_t bytes)
{
	void *memory = heap ? ronde_heap_alloc(r->heap, bytes) : malloc(bytes);
	if (!memory)
		abort();
	memset(memory, 0x55, bytes);
	return memory;
}

static struct ronde_submission submission(const struct rank *r, const struct op *op,
					  struct flight *f)
{
	struct ronde_submission s = {.input = f->in,
				     .output = f->out,
				     .count = rows_of(op, r->rank),
				     .rows = (int64_t)rows_of(op, r->rank)};
	s.desc = (struct ronde_desc){.kind = (uint8_t)op->kind,
				     .dtype = (uint8_t)op->dtype,
				     .set = (uint32_t)op->set,
				     .ndim = 1,
				     .prescale = 1,
				     .postscale = 1,
				     .dims = {(int64_t)op->count}};
	if (op->kind == RONDE_KIND_ALLREDUCE || op->kind == RONDE_KIND_REDUCESCATTER)
		s.desc.reduction = (uint8_t)op->reduction;
	if (op->kind == RONDE_KIND_BROADCAST) {
		s.desc.root = op->root;
		s.input = r->rank == op->root ? f->in : NULL;
	}
	if (op->kind == RONDE_KIND_BARRIER)
		s.desc.dtype = RONDE_UINT8, s.desc.dims[0] = 0, s.count = 0;
	if (ronde_kind_has_own_rows(op->kind)) {
		f->gathered = (ronde_gathered){.data = f->out,
					       .capacity_bytes = ALL_OF(op->count) * 4,
					       .rows_per_rank = f->rows};
		s.gathered = &f->gathered;
		s.output = NULL;
		s.desc.dims[0] = 0;
	}
	return s;
}

void launch(struct rank *r, const struct op *op, int number, bool heap, struct flight *f)
{
	char name[16];
	int64_t splits[MOST_RANKS];
	snprintf(name, sizeof name, "op%d", number);
	*f = (struct flight){.op = op, .heap = heap};
	f->in = make(r, heap, (size_t)rows_of(op, r->rank) * 4 + 4);
	f->out = make(r, heap,
		      ronde_kind_has_own_rows(op->kind) ? ALL_OF(op->count) * 4
							: (size_t)op->count * 4 + 4);
	make_input(op, r->rank, f->in);
	struct ronde_submission s = submission(r, op, f);
	if (op->named && op->kind != RONDE_KIND_BARRIER)
		s.name = name;
	for (int to = 0, m = 0; op->kind == RONDE_KIND_ALLTOALL && to < MOST_RANKS; to++)
		if (has(op->mask, to))
			splits[m++] = split(op, r->rank, to);
	s.splits = splits;
	must(ronde_submit(r->context, &s, &f->handle), "submit");
}

/* ---- what must come of it ---- */

/* The error with these ranks only; "": none. */
static void failure(const struct op *op, char *text, size_t bytes)
{
	bool absent[MOST_RANKS] = {0}, senders[MOST_RANKS] = {0}, some = false;
	char who[100], whose[100];
	text[0] = 0;
	if (op->mask == op->present)
		return;
	if (op->kind == RONDE_KIND_BROADCAST && !has(op->present, op->root))
		snprintf(text, bytes, "root of this broadcast, rank %d, has joined", op->root);
	if (op->kind != RONDE_KIND_ALLTOALL)
		return;
	for (int k = 0; k < MOST_RANKS; k++) {
		absent[k] = has(op->mask & ~op->present, k);
		senders[k] = has(op->present, k) && goes_astray(op, k);
		some |= senders[k];
	}
	ronde_ranks_text(who, sizeof who, absent, MOST_RANKS);
	ronde_ranks_text(whose, sizeof whose, senders, MOST_RANKS);
	bool one = __builtin_popcount(op->mask & ~op->present) == 1;
	if (some)
		snprintf(text, bytes,
			 "%s %s joined and can take no rows, but the splits of %s give %s some; "
			 "the splits of an alltoall for ranks that have joined must be 0",
			 who, one ? "has" : "have", whose, one ? "it" : "them");
}

/* The rows that `rank` gives `me` of what is gathered; 0 if it has joined. */
static uint64_t part_of(const struct op *op, int rank, int me, uint64_t *first)
{
	*first = 0;
	if (!has(op->present, rank))
		return 0;
	if (op->kind == RONDE_KIND_ALLGATHER)
		return rows_of(op, rank);
	for (int to = 0; to < me; to++)
		*first += (uint64_t)split(op, rank, to);
	return (uint64_t)split(op, rank, me);
}

static size_t gather_reference(const struct rank *r, const struct op *op, unsigned char *wanted)
{
	static _Thread_local unsigned char input[(LONGEST + 2 * MOST_RANKS) * 4];
	size_t at = 0;
	for (int k = 0; k < r->size; k++) {
		uint64_t first, rows = part_of(op, k, r->rank, &first);
		make_input(op, k, input);
		memcpy(wanted + at, input + first * 4, rows * 4);
		at += rows * 4;
	}
	return at;
}

static size_t reduce_reference(const struct rank *r, const struct op *op, bool active,
			       unsigned char *wanted)
{
	static _Thread_local _Alignas(64) unsigned char inputs[MOST_RANKS][LONGEST * 4];
	const struct ronde_kernels *kernels = ronde_kernels_select("c");
	const void *sources[MOST_RANKS];
	int members = 0, n = 0, me = 0;
	for (int k = 0; k < r->size; k++) {
		if (!has(op->mask, k))
			continue;
		make_input(op, k, inputs[k]);
		if (k == r->rank)
			me = members;
		sources[members++] = has(op->present, k) ? inputs[k] : NULL;
		n += has(op->present, k);
	}
	struct ronde_reduce_spec spec = {.dtype = op->dtype,
					 .reduction = op->reduction,
					 .prescale = 1,
					 .postscale = 1,
					 .divisor = active ? n : members};
	void *to = wanted;
	if (op->reduction == RONDE_ADASUM)
		ronde_adasum_alone(kernels, op->dtype, members, sources, op->count, 1, to);
	else
		kernels->reduce(&spec, &to, 1, sources, members, op->count);
	if (op->kind == RONDE_KIND_ALLREDUCE)
		return op->count * 4;
	size_t less = op->count / (size_t)members, more = op->count % (size_t)members;
	size_t first = less * (size_t)me + ((size_t)me < more ? (size_t)me : more);
	size_t mine = less + ((size_t)me < more);
	memmove(wanted, wanted + first * 4, mine * 4);
	return mine * 4;
}

/* What must have come out, in `wanted`; returns its bytes. */
static size_t reference(const struct rank *r, const struct op *op, bool active,
			unsigned char *wanted)
{
	switch (op->kind) {
	case RONDE_KIND_ALLREDUCE:
	case RONDE_KIND_REDUCESCATTER:
		return reduce_reference(r, op, active, wanted);
	case RONDE_KIND_BROADCAST:
		make_input(op, op->root, wanted);
		return op->count * 4;
	case RONDE_KIND_ALLGATHER:
	case RONDE_KIND_ALLTOALL:
		return gather_reference(r, op, wanted);
	default:
		return 0;
	}
}

static void check(const struct rank *r, const struct flight *f, bool active)
{
	static _Thread_local _Alignas(64) unsigned char wanted[ALL_OF(LONGEST) * 4];
	const struct op *op = f->op;
	size_t bytes = reference(r, op, active, wanted);
	expect(memcmp(wanted, f->out, bytes) == 0, r, "another result");
	int64_t rows = 0;
	for (int k = 0, m = 0; k < r->size && ronde_kind_has_own_rows(op->kind); k++)
		if (has(op->mask, k)) {
			uint64_t first;
			int64_t is = (int64_t)part_of(op, k, r->rank, &first);
			expect(f->rows[m++] == is, r, "rows");
			rows += is;
		}
	expect(f->gathered.rows == rows, r, "all rows");
}

void land(struct rank *r, struct flight *f, bool active)
{
	char text[400];
	int status = wait_for(r, f->handle);
	failure(f->op, text, sizeof text);
	if (text[0]) {
		expect(status == RONDE_ERR_MISMATCH && strstr(ronde_error_message(), text), r,
		       ronde_error_message());
	} else {
		must(status, "operation");
		check(r, f, active);
	}
	if (f->heap) {
		must(ronde_heap_free(r->heap, f->in), "free");
		must(ronde_heap_free(r->heap, f->out), "free");
	} else {
		free(f->in);
		free(f->out);
	}
}

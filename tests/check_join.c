/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Join: every operation while some ranks have joined, against a serial reference that leaves their
 * leaves out; random programs in which every rank runs out of data at another time. Ranks as
 * threads.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/control.h"
#include "tests/ranks.h"

/* Random programs of each number of ranks and each settings; the race checker is slow. */
#if defined(__SANITIZE_THREAD__)
#define ROUNDS 1
#define PROGRAMS 6
#else
#define ROUNDS 2
#define PROGRAMS 15
#endif

#define MOST_RANKS 6
#define MOST_OPS 8
#define LONGEST 40000

static int join(struct rank *r, int *last)
{
	ronde_handle h;
	int status = ronde_control_join(r->context, last, &h);
	return status ? status : wait_for(r, h);
}

static void must_fail(const struct rank *r, int status, int expected, const char *text)
{
	if (status == expected && strcmp(ronde_error_message(), text) == 0)
		return;
	fprintf(stderr, "rank %d: %s: %s\nexpected: %s\n", r->rank, ronde_status_name(status),
		ronde_error_message(), text);
	abort();
}

static void expect(bool right, const struct rank *r, const char *what)
{
	if (right)
		return;
	fprintf(stderr, "rank %d: %s\n", r->rank, what);
	abort();
}

static int draw(unsigned *seed, int n)
{
	return (int)((unsigned)rand_r(seed) / 7 % (unsigned)n);
}

/* ---- programs ---- */

struct op {
	enum ronde_kind kind;
	ronde_reduction reduction;
	ronde_dtype dtype; /* FLOAT32 or INT32 */
	uint64_t count;    /* allgather: rows of rank 0; rank r has r more */
	int root;
	unsigned mask; /* members */
	int set;
	bool named;
	unsigned seed;
};

struct flight {
	const struct op *op;
	ronde_handle handle;
	int status;
	void *in, *out;
	bool heap;
	ronde_gathered gathered;
	int64_t rows[MOST_RANKS];
};

static uint64_t rows_of(const struct op *op, int rank)
{
	return op->kind == RONDE_KIND_ALLGATHER ? op->count + (uint64_t)rank : op->count;
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

static struct op random_op(unsigned *seed, const unsigned *masks, const int *sets, int nsets)
{
	static const enum ronde_kind kinds[] = {RONDE_KIND_ALLREDUCE,    RONDE_KIND_ALLREDUCE,
						RONDE_KIND_ALLREDUCE,    RONDE_KIND_BROADCAST,
						RONDE_KIND_ALLGATHER,    RONDE_KIND_BARRIER,
						RONDE_KIND_REDUCESCATTER};
	static const ronde_reduction reductions[] = {RONDE_AVERAGE, RONDE_SUM, RONDE_MIN, RONDE_MAX,
						     RONDE_PRODUCT};
	static const uint64_t counts[] = {1, 20, 700, 9000, LONGEST};
	int set = draw(seed, nsets);
	struct op op = {.kind = kinds[draw(seed, 7)],
			.reduction = reductions[draw(seed, 5)],
			.dtype = draw(seed, 3) ? RONDE_FLOAT32 : RONDE_INT32,
			.count = counts[draw(seed, 5)],
			.mask = masks[set],
			.set = sets[set],
			.named = draw(seed, 2),
			.seed = (unsigned)draw(seed, 1 << 20)};
	do
		op.root = draw(seed, MOST_RANKS);
	while (!(op.mask >> op.root & 1));
	return op;
}

/* ---- one operation ---- */

static void *make(struct rank *r, bool heap, size_t bytes)
{
	void *memory = heap ? ronde_heap_alloc(r->heap, bytes) : malloc(bytes);
	if (!memory)
		abort();
	memset(memory, 0x55, bytes);
	return memory;
}

static void launch(struct rank *r, const struct op *op, int number, bool heap, struct flight *f)
{
	char name[16];
	snprintf(name, sizeof name, "op%d", number);
	*f = (struct flight){.op = op, .heap = heap};
	f->in = make(r, heap, (size_t)rows_of(op, MOST_RANKS) * 4 + 4);
	f->out = make(r, heap, (size_t)rows_of(op, MOST_RANKS) * 4 * MOST_RANKS + 4);
	make_input(op, r->rank, f->in);
	struct ronde_submission s = {.name = op->named && op->kind != RONDE_KIND_BARRIER ? name
											 : NULL,
				     .input = f->in,
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
	if (op->kind == RONDE_KIND_ALLGATHER) {
		f->gathered = (ronde_gathered){.data = f->out,
					       .capacity_bytes = (size_t)rows_of(op, MOST_RANKS) *
								 4 * MOST_RANKS,
					       .rows_per_rank = f->rows};
		s.gathered = &f->gathered;
		s.output = NULL;
		s.desc.dims[0] = 0;
	}
	must(ronde_submit(r->context, &s, &f->handle), "submit");
}

/* Whether op fails with these ranks only, and why. */
static bool fails(const struct rank *r, const struct op *op, unsigned present, int number,
		  char *text, size_t bytes)
{
	char name[64];
	if (op->mask == present)
		return false;
	snprintf(name, sizeof name, "op%d", number);
	if (op->kind == RONDE_KIND_BROADCAST && !(present >> op->root & 1)) {
		snprintf(text, bytes, "root of this broadcast, rank %d, has joined", op->root);
		return true;
	}
	snprintf(text, bytes, "this reducescatter needs all ranks of its process set, but rank");
	(void)r;
	return op->kind == RONDE_KIND_REDUCESCATTER;
}

/* What must have come out, in `wanted`; returns its bytes. */
static size_t reference(const struct rank *r, const struct op *op, unsigned present, bool active,
			unsigned char *wanted)
{
	static _Thread_local _Alignas(
		64) unsigned char inputs[MOST_RANKS][(LONGEST + MOST_RANKS) * 4];
	const void *sources[MOST_RANKS];
	int members = 0, n = 0, me = 0;
	size_t at = 0;
	for (int k = 0; k < r->size; k++) {
		if (!(op->mask >> k & 1))
			continue;
		bool here = present >> k & 1;
		make_input(op, k, inputs[k]);
		if (k == r->rank)
			me = members;
		sources[members++] = here ? inputs[k] : NULL;
		n += here;
		if (op->kind == RONDE_KIND_ALLGATHER && here) {
			memcpy(wanted + at, inputs[k], rows_of(op, k) * 4);
			at += rows_of(op, k) * 4;
		}
	}
	struct ronde_reduce_spec spec = {.dtype = op->dtype,
					 .reduction = op->reduction,
					 .prescale = 1,
					 .postscale = 1,
					 .divisor = active ? n : members};
	void *to = wanted;
	switch (op->kind) {
	case RONDE_KIND_ALLREDUCE:
	case RONDE_KIND_REDUCESCATTER:
		ronde_kernels_select("c")->reduce(&spec, &to, 1, sources, members, op->count);
		if (op->kind == RONDE_KIND_ALLREDUCE)
			return op->count * 4;
		size_t less = op->count / (size_t)members, more = op->count % (size_t)members;
		size_t first = less * (size_t)me + ((size_t)me < more ? (size_t)me : more);
		size_t mine = less + ((size_t)me < more);
		memmove(wanted, wanted + first * 4, mine * 4);
		return mine * 4;
	case RONDE_KIND_BROADCAST:
		memcpy(wanted, inputs[op->root], op->count * 4);
		return op->count * 4;
	default:
		return at;
	}
}

static void land(struct rank *r, struct flight *f, int number, unsigned present, bool active)
{
	static _Thread_local _Alignas(
		64) unsigned char wanted[(LONGEST + MOST_RANKS) * 4 * MOST_RANKS];
	const struct op *op = f->op;
	char text[200];
	present &= op->mask;
	int status = wait_for(r, f->handle);
	if (fails(r, op, present, number, text, sizeof text)) {
		expect(status == RONDE_ERR_MISMATCH && strstr(ronde_error_message(), text), r,
		       ronde_error_message());
	} else {
		must(status, "operation");
		size_t bytes = reference(r, op, present, active, wanted);
		expect(memcmp(wanted, f->out, bytes) == 0, r, "another result");
		int member = 0;
		int64_t rows = 0;
		for (int k = 0; k < r->size && op->kind == RONDE_KIND_ALLGATHER; k++)
			if (op->mask >> k & 1) {
				int64_t is = present >> k & 1 ? (int64_t)rows_of(op, k) : 0;
				expect(f->rows[member++] == is, r, "rows");
				rows += is;
			}
		expect(op->kind != RONDE_KIND_ALLGATHER || f->gathered.rows == rows, r, "all rows");
	}
	if (f->heap) {
		must(ronde_heap_free(r->heap, f->in), "free");
		must(ronde_heap_free(r->heap, f->out), "free");
	} else {
		free(f->in);
		free(f->out);
	}
}

/* ---- a rank ---- */

struct job {
	unsigned seed;
	bool active; /* averages are divided by those that take part */
};

static void one_life(struct rank *r, unsigned *seed, unsigned *own, bool active,
		     const unsigned *masks, const int *sets, int nsets)
{
	struct op ops[MOST_OPS];
	struct flight flights[MOST_OPS];
	int steps[MOST_RANKS], most = 0, last = -1;
	for (int k = 0; k < r->size; k++) {
		steps[k] = draw(seed, 6);
		most = steps[k] > most ? steps[k] : most;
	}
	int nlast = 0;
	unsigned last_present = 0;
	for (int step = 0; step < most; step++) {
		int n = 1 + draw(seed, MOST_OPS);
		unsigned present = 0;
		for (int k = 0; k < r->size; k++)
			present |= (unsigned)(steps[k] > step) << k;
		bool heaps = draw(seed, 2), leave = draw(own, 2) && steps[r->rank] == step + 1;
		struct op now[MOST_OPS];
		for (int k = 0; k < n; k++)
			now[k] = random_op(seed, masks, sets, nsets);
		if (steps[r->rank] <= step)
			continue; /* joins; goes through the others' steps for the dice only */
		memcpy(ops, now, sizeof ops);
		for (int k = 0; k < n; k++)
			if (ops[k].mask >> r->rank & 1)
				launch(r, &ops[k], k, heaps || draw(own, 2), &flights[k]);
		for (int k = 0; k < n && !leave; k++)
			if (ops[k].mask >> r->rank & 1)
				land(r, &flights[k], k, present, active);
		nlast = leave ? n : 0;
		last_present = present;
	}
	must(join(r, &last), "join");
	for (int k = 0; k < nlast; k++) /* in flight when it joined */
		if (ops[k].mask >> r->rank & 1)
			land(r, &flights[k], k, last_present, active);
	float low = (float)last, high = (float)last;
	must(allreduce(r, NULL, &low, &low, 1, RONDE_FLOAT32, RONDE_MIN), "after the join");
	must(allreduce(r, "x", &high, &high, 1, RONDE_FLOAT32, RONDE_MAX), "after the join");
	expect(last >= 0 && last < r->size && low == high, r, "the last rank differs");
}

static void live(struct rank *r)
{
	const struct job *job = r->arg;
	unsigned seed = job->seed, own = seed * 7 + (unsigned)r->rank;
	unsigned masks[4] = {(1u << r->size) - 1};
	int sets[4] = {0}, nsets = 1;
	for (int k = 1; k < 4; k++) {
		unsigned mask = 1 + (unsigned)draw(&seed, (1 << r->size) - 1);
		int ranks[MOST_RANKS], n = 0, made;
		ronde_handle h;
		for (int i = 0; i < r->size; i++)
			if (mask >> i & 1)
				ranks[n++] = i;
		must(ronde_control_change_sets(r->context, RONDE_SET_ADD, ranks, (size_t)n, 0,
					       &made, &h),
		     "add");
		if (wait_for(r, h) == RONDE_OK) {
			masks[nsets] = mask;
			sets[nsets++] = made;
		}
	}
	for (int k = 0; k < 4; k++)
		one_life(r, &seed, &own, job->active, masks, sets, nsets);
	must(barrier(r), "barrier");
}

static const char *const settings[][9] = {
	{NULL},
	{"join_divisor", "active", "carry_bytes", "0", NULL},
	{"cache_capacity", "2", "lanes", "1", NULL},
	{"zero_copy", "no", "chunk_bytes", "1024", "cache_capacity", "0", NULL},
	{"join_divisor", "active", "cache_capacity", "1", NULL},
};

START_TEST(uneven_data)
{
	const char *given = getenv("RONDE_TEST_SEED");
	int rounds = getenv("RONDE_TEST_LONG") ? 30 : ROUNDS;
	for (int k = 0; k < rounds; k++) {
		struct job job = {(given ? (unsigned)strtoul(given, NULL, 10) : 20261122) +
					  (unsigned)(_i * 1000 + k),
				  _i % 5 == 1 || _i % 5 == 4};
		printf("%d ranks, settings %d, RONDE_TEST_SEED=%u\n", 1 + _i % 6, _i % 5, job.seed);
		fflush(stdout);
		run_ranks(1 + _i % 6, settings[_i % 5], live, &job);
	}
}
END_TEST

/* ---- errors ---- */

static void wrong(struct rank *r)
{
	int set, last = -1;
	float x = 1;
	ronde_handle h, j;
	if (r->rank == 1) {
		must(ronde_control_join(r->context, &last, &j), "join");
		must_fail(r, ronde_control_join(r->context, &last, &h), RONDE_ERR_INVALID_ARGUMENT,
			  "rank 1 has joined; it can submit again when its ronde_join() has "
			  "returned");
		must_fail(r, submit_allreduce(r, "x", &x, &x, 1, RONDE_FLOAT32, RONDE_SUM, &h),
			  RONDE_ERR_INVALID_ARGUMENT,
			  "rank 1 has joined; it can submit again when its ronde_join() has "
			  "returned");
		must_fail(r,
			  ronde_control_change_sets(r->context, RONDE_SET_REMOVE, NULL, 0, 1, NULL,
						    &h),
			  RONDE_ERR_INVALID_ARGUMENT,
			  "rank 1 has joined; it can submit again when its ronde_join() has "
			  "returned");
		must(wait_for(r, j), "join");
	} else {
		must(ronde_control_change_sets(r->context, RONDE_SET_ADD, (int[]){0, 1}, 2, 0, &set,
					       &h),
		     "add");
		must_fail(
			r, wait_for(r, h), RONDE_ERR_INVALID_ARGUMENT,
			"process sets cannot change while rank 1 has joined; change them before a "
			"rank joins, or when ronde_join() has returned");
		must(submit_broadcast(r, "b", &x, &x, 1, RONDE_FLOAT32, 1, &h), "submit");
		must_fail(r, wait_for(r, h), RONDE_ERR_MISMATCH,
			  "tensor \"b\": the root of this broadcast, rank 1, has joined");
		must(submit_allreduce(r, "a", &x, &x, 1, RONDE_FLOAT32, RONDE_ADASUM, &h),
		     "submit");
		must_fail(
			r, wait_for(r, h), RONDE_ERR_MISMATCH,
			"tensor \"a\": this adasum needs all ranks of its process set, but rank 1 "
			"has joined");
		float two[2] = {1, 2};
		must(submit_allreduce(r, "m", two, two, r->rank ? 2 : 1, RONDE_FLOAT32, RONDE_SUM,
				      &h),
		     "submit");
		must_fail(r, wait_for(r, h), RONDE_ERR_MISMATCH,
			  "tensor \"m\": rank 0 submitted float32[1], rank 2 submitted "
			  "float32[2]; all ranks must give the same to one allreduce");
		must(join(r, &last), "join");
	}
	expect(last == 0 || last == 2, r, "last");
	x = 1;
	must(allreduce(r, "x", &x, &x, 1, RONDE_FLOAT32, RONDE_SUM), "after");
	expect(x == 3, r, "sum");
}

START_TEST(errors)
{
	run_ranks(3, NULL, wrong, NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("join");
	TCase *tests = tcase_create("join");
	tcase_set_timeout(tests, 200);
	tcase_add_test(tests, errors);
	tcase_add_loop_test(tests, uneven_data, 0, PROGRAMS);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

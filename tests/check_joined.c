/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the operations mean while ranks have joined: the same as if these gave zeros or nothing, on
 * every path; and what is an error, word for word. Ranks as threads.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/share.h"
#include "coordinator/control.h"
#include "tests/join/op.h"
#include "tests/sizes.h"

/* ---- zeros ---- */

#define ROWS 977
#define COLUMNS 7
#define MOST_BYTES (ROWS * COLUMNS * sizeof(double))

/* The same operation twice: with all ranks, of which some give zeros, and when these have joined.
 */
struct twice {
	const char *const *settings;
	bool heap;
	int set; /* 0, or the set of all ranks but the last */
};

struct trial {
	enum ronde_kind kind;
	ronde_reduction reduction;
	ronde_dtype dtype;
	int64_t rows;
};

/* Rank 1 and every third one after it. */
static bool leaves(int rank)
{
	return rank % 3 == 1;
}

static void fill(const struct rank *r, const struct trial *t, void *to, size_t count)
{
	unsigned seed = (unsigned)(r->rank * 77 + t->kind);
	for (size_t i = 0; i < count; i++) {
		double x = leaves(r->rank) ? 0 : draw(&seed, 20001) - 10000;
		if (t->dtype == RONDE_FLOAT64)
			((double *)to)[i] = x / 3;
		else
			((int32_t *)to)[i] = (int32_t)x;
	}
}

static void perform(struct rank *r, const struct trial *t, int set, bool heap, void *result)
{
	const size_t element = ronde_dtype_bytes(t->dtype);
	size_t bytes = (size_t)(t->rows * COLUMNS) * element;
	void *in = heap ? ronde_heap_alloc(r->heap, bytes + 1) : malloc(bytes + 1);
	void *out = heap ? ronde_heap_alloc(r->heap, bytes + 1) : malloc(bytes + 1);
	ronde_handle h;
	fill(r, t, in, bytes / element);
	memset(out, 0x77, bytes);
	struct ronde_submission s = {.name = "t",
				     .input = in,
				     .output = out,
				     .count = bytes / element,
				     .desc = {.kind = (uint8_t)t->kind,
					      .dtype = (uint8_t)t->dtype,
					      .reduction = (uint8_t)t->reduction,
					      .set = (uint32_t)set,
					      .ndim = 2,
					      .prescale = 1,
					      .postscale = 1,
					      .dims = {t->rows, COLUMNS}}};
	must(ronde_submit(r->context, &s, &h), "submit");
	must(wait_for(r, h), "operation");
	memcpy(result, out, bytes);
	if (heap) {
		must(ronde_heap_free(r->heap, in), "free");
		must(ronde_heap_free(r->heap, out), "free");
	} else {
		free(in);
		free(out);
	}
}

static const struct trial trials[] = {
	{RONDE_KIND_ALLREDUCE, RONDE_SUM, RONDE_FLOAT64, ROWS},
	{RONDE_KIND_ALLREDUCE, RONDE_AVERAGE, RONDE_INT32, ROWS},
	{RONDE_KIND_ALLREDUCE, RONDE_ADASUM, RONDE_FLOAT64, ROWS},
	{RONDE_KIND_ALLREDUCE, RONDE_ADASUM, RONDE_FLOAT64, 1},
	{RONDE_KIND_ALLREDUCE, RONDE_ADASUM, RONDE_FLOAT64, 83},
	{RONDE_KIND_REDUCESCATTER, RONDE_SUM, RONDE_FLOAT64, ROWS},
	{RONDE_KIND_REDUCESCATTER, RONDE_AVERAGE, RONDE_FLOAT64, ROWS},
	{RONDE_KIND_REDUCESCATTER, RONDE_SUM, RONDE_INT32, 3},
	{RONDE_KIND_REDUCESCATTER, RONDE_SUM, RONDE_INT32, 0},
};
#define TRIALS (int)(sizeof trials / sizeof *trials)

static void like_zeros_body(struct rank *r)
{
	static _Thread_local unsigned char before[TRIALS][MOST_BYTES], after[MOST_BYTES];
	const struct twice *job = r->arg;
	const bool member = !job->set || r->rank + 1 < r->size;
	int set = 0, ranks[MOST_RANKS], last = -1;
	ronde_handle h;
	for (int k = 0; k < r->size; k++)
		ranks[k] = k;
	if (job->set) {
		must(ronde_control_change_sets(r->context, RONDE_SET_ADD, ranks,
					       (size_t)r->size - 1, 0, &set, &h),
		     "add");
		must(wait_for(r, h), "add");
	}
	memset(before, 0, sizeof before);
	for (int k = 0; k < TRIALS && member; k++)
		perform(r, &trials[k], set, job->heap, before[k]);
	if (leaves(r->rank)) {
		must(join(r, &last), "join");
		return;
	}
	for (int k = 0; k < TRIALS && member; k++) {
		memset(after, 0, sizeof after);
		perform(r, &trials[k], set, job->heap, after);
		expect(memcmp(before[k], after, sizeof after) == 0, r, "not as with zeros");
	}
	must(join(r, &last), "join");
}

static const char *const all_paths[][7] = {
	{NULL},
	{"carry_bytes", "0", NULL},
	{"carry_bytes", "0", "chunk_bytes", "2048", "lanes", "1", NULL},
	{"carry_bytes", "512K", "ring_bytes", "4M", NULL},
};

START_TEST(like_zeros)
{
	for (int n = 2; n <= MOST_RANKS; n += test_stride())
		for (int how = 0; how < 4; how++) {
			struct twice job = {.heap = how % 2, .set = how / 2 && n > 2};
			run_ranks(n, all_paths[_i], like_zeros_body, &job);
		}
}
END_TEST

/* ---- what an average is divided by ---- */

static void divisor_body(struct rank *r)
{
	const bool active = r->arg != NULL;
	float x = 12, mine[2] = {0};
	float rows[4] = {12, 12, 12, 12};
	ronde_handle h;
	int last;
	if (r->rank != 1) {
		struct ronde_submission s = {.input = rows,
					     .output = mine,
					     .count = 4,
					     .desc = {.kind = RONDE_KIND_REDUCESCATTER,
						      .dtype = RONDE_FLOAT32,
						      .reduction = RONDE_AVERAGE,
						      .ndim = 1,
						      .prescale = 1,
						      .postscale = 1,
						      .dims = {4}}};
		must(allreduce(r, "x", &x, &x, 1, RONDE_FLOAT32, RONDE_AVERAGE), "average");
		expect(x == (active ? 12 : 8), r, "allreduce");
		must(ronde_submit(r->context, &s, &h), "reducescatter");
		must(wait_for(r, h), "reducescatter");
		expect(mine[0] == (active ? 12 : 8) && mine[1] == (r->rank ? 0 : mine[0]), r,
		       "reducescatter");
	}
	must(join(r, &last), "join");
	x = (float)r->rank;
	must(allreduce(r, "x", &x, &x, 1, RONDE_FLOAT32, RONDE_AVERAGE), "average of all");
	expect(x == 1, r, "of all");
}

START_TEST(divisors)
{
	static const char *const all[] = {"join_divisor", "all", NULL};
	static const char *const active[] = {"join_divisor", "active", NULL};
	static int yes;
	run_ranks(3, NULL, divisor_body, NULL);
	run_ranks(3, all, divisor_body, NULL);
	run_ranks(3, active, divisor_body, &yes);
}
END_TEST

/* ---- errors ---- */

#define HAS_JOINED                                                                                 \
	"rank 1 has joined; it can submit again when its ronde_join() has "                        \
	"returned"

/* What a rank that has joined may not do. */
static void wrong_when_joined(struct rank *r)
{
	int last = -1;
	float x = 1;
	ronde_handle h, j;
	must(ronde_control_join(r->context, &last, &j), "join");
	must_fail(r, ronde_control_join(r->context, &last, &h), RONDE_ERR_INVALID_ARGUMENT,
		  HAS_JOINED);
	must_fail(r, submit_allreduce(r, "x", &x, &x, 1, RONDE_FLOAT32, RONDE_SUM, &h),
		  RONDE_ERR_INVALID_ARGUMENT, HAS_JOINED);
	must_fail(r, ronde_control_change_sets(r->context, RONDE_SET_REMOVE, NULL, 0, 1, NULL, &h),
		  RONDE_ERR_INVALID_ARGUMENT, HAS_JOINED);
	must(wait_for(r, j), "join");
}

/* What the others may not. */
static void wrong_without(struct rank *r)
{
	int set;
	float x = 1, two[2] = {1, 2};
	ronde_handle h;
	must(ronde_control_change_sets(r->context, RONDE_SET_ADD, (int[]){0, 1}, 2, 0, &set, &h),
	     "add");
	must_fail(r, wait_for(r, h), RONDE_ERR_INVALID_ARGUMENT,
		  "process sets cannot change while rank 1 has joined; change them before a "
		  "rank joins, or when ronde_join() has returned");
	must(submit_broadcast(r, "b", &x, &x, 1, RONDE_FLOAT32, 1, &h), "submit");
	must_fail(r, wait_for(r, h), RONDE_ERR_MISMATCH,
		  "tensor \"b\": the root of this broadcast, rank 1, has joined");
	must(submit_allreduce(r, "m", two, two, r->rank ? 2 : 1, RONDE_FLOAT32, RONDE_SUM, &h),
	     "submit");
	must_fail(r, wait_for(r, h), RONDE_ERR_MISMATCH,
		  "tensor \"m\": rank 0 submitted float32[1], rank 2 submitted "
		  "float32[2]; all ranks must give the same to one allreduce");
}

static void wrong(struct rank *r)
{
	int last = -1;
	float x = 1;
	if (r->rank == 1) {
		wrong_when_joined(r);
	} else {
		wrong_without(r);
		must(join(r, &last), "join");
		expect(last == 0 || last == 2, r, "last");
	}
	must(allreduce(r, "x", &x, &x, 1, RONDE_FLOAT32, RONDE_SUM), "after");
	expect(x == 3, r, "sum");
}

START_TEST(errors)
{
	run_ranks(3, NULL, wrong, NULL);
}
END_TEST

static int alltoall(struct rank *r, const char *name, void *in, int64_t rows, int64_t columns,
		    const int64_t *splits, ronde_gathered *g)
{
	ronde_handle h;
	struct ronde_submission s = {.name = name,
				     .input = in,
				     .count = (uint64_t)(rows * columns),
				     .rows = rows,
				     .splits = splits,
				     .gathered = g,
				     .desc = {.kind = RONDE_KIND_ALLTOALL,
					      .dtype = RONDE_INT32,
					      .ndim = 2,
					      .prescale = 1,
					      .postscale = 1,
					      .dims = {0, columns}}};
	int status = ronde_submit(r->context, &s, &h);
	return status ? status : wait_for(r, h);
}

#define MUST_BE_0 "; the splits of an alltoall for ranks that have joined must be 0"

/* 4 ranks, of which 1 has joined, later 1 and 2. */
static void astray_body(struct rank *r)
{
	enum { C = 5000 };
	const bool heap = r->arg != NULL;
	int last;
	int64_t got[4];
	size_t bytes = (size_t)8 * C * sizeof(int32_t);
	int32_t *in = heap ? ronde_heap_alloc(r->heap, bytes) : malloc(bytes);
	ronde_gathered g = {.rows_per_rank = got};
	for (int i = 0; i < 8 * C; i++)
		in[i] = r->rank * 100 + i / C;
	if (r->rank == 1) {
		must(join(r, &last), "join");
	} else {
		/* Rows for rank 1 of one rank, of two, and of all, who split evenly. */
		must_fail(r, alltoall(r, "a", in, 4, C, (int64_t[]){1, r->rank == 2, 1, 1}, &g),
			  RONDE_ERR_MISMATCH,
			  "tensor \"a\": rank 1 has joined and can take no rows, but the splits of "
			  "rank 2 give it some" MUST_BE_0);
		must_fail(r, alltoall(r, "a", in, 8, C, (int64_t[]){1, r->rank, 1, 1}, &g),
			  RONDE_ERR_MISMATCH,
			  "tensor \"a\": rank 1 has joined and can take no rows, but the splits of "
			  "ranks 2-3 give it some" MUST_BE_0);
		must_fail(r, alltoall(r, NULL, in, 8, C, NULL, &g), RONDE_ERR_MISMATCH,
			  "tensor \"alltoall.noname.0\": rank 1 has joined and can take no rows, "
			  "but the splits of ranks 0, 2-3 give it some" MUST_BE_0);
		expect(g.data == NULL, r, "memory of an alltoall that failed");
		/* None: the others get theirs. */
		must(alltoall(r, "a", in, 3, C, (int64_t[]){1, 0, 1, 1}, &g), "alltoall");
		const int32_t *y = g.data;
		int k = r->rank ? r->rank - 1 : 0;
		expect(g.rows == 3 && got[0] == 1 && got[1] == 0 && got[2] == 1 && got[3] == 1, r,
		       "rows");
		expect(y[0] == k && y[C] == 200 + k && y[3 * C - 1] == 300 + k, r, "values");
		free(g.data);
		g.data = NULL;
		must(alltoall(r, "none", in, 0, C, NULL, &g), "no rows at all");
		expect(g.rows == 0, r, "rows of nothing");
		free(g.data);
		must(barrier(r), "barrier");
		g.data = NULL;
		if (r->rank != 2)
			must_fail(
				r,
				alltoall(r, "b", in, 4, C, (int64_t[]){1, 0, r->rank == 3, 1}, &g),
				RONDE_ERR_MISMATCH,
				"tensor \"b\": ranks 1-2 have joined and can take no rows, but the "
				"splits of rank 3 give them some" MUST_BE_0);
		must(join(r, &last), "join");
	}
	must(barrier(r), "barrier");
	if (heap)
		must(ronde_heap_free(r->heap, in), "free");
	else
		free(in);
}

START_TEST(astray)
{
	static int heap;
	run_ranks(4, NULL, astray_body, NULL);
	run_ranks(4, NULL, astray_body, &heap);
}
END_TEST

/* ---- nothing but the heap ---- */

/* A rank without rows, or that has joined, takes nobody the way without copies. */
static void straight_body(struct rank *r)
{
	enum { C = 30000 };
	int64_t got[3], splits[] = {1, 0, r->rank != 2};
	int32_t *in = ronde_heap_alloc(r->heap, 3 * C * sizeof *in);
	ronde_gathered g = {.rows_per_rank = got};
	ronde_handle h;
	int last;
	for (int i = 0; i < 3 * C; i++)
		in[i] = r->rank * 10 + i / C;
	for (int joined = 0; joined < 2; joined++) {
		if (joined && r->rank == 1)
			break;
		/* Rank 2 has a row to gather and none to send; rank 1 the other way round. */
		must(submit_allgather(r, "g", in, r->rank != 1, C, RONDE_INT32, &g, &h), "submit");
		must(wait_for(r, h), "allgather");
		const int32_t *y = g.data;
		expect(g.rows == 2 && got[1] == 0 && y[C - 1] == 0 && y[C] == 20, r, "gathered");
		free(g.data);
		g.data = NULL;
		must(alltoall(r, "a", r->rank == 2 ? NULL : in, r->rank == 2 ? 0 : 2, C,
			      r->rank == 2 ? (int64_t[]){0, 0, 0} : splits, &g),
		     "alltoall");
		int64_t from_1 = !joined && r->rank != 1;
		expect(got[0] == (r->rank != 1) && got[1] == from_1 && got[2] == 0, r, "splits");
		free(g.data);
		g.data = NULL;
	}
	/* Nor does what a rank that never announced it has in its heap. */
	if (r->rank != 1) {
		struct ronde_submission s = {
			.name = "r",
			.input = in,
		};
		s.count = 2 * C;
		s.desc = (struct ronde_desc){.kind = RONDE_KIND_REDUCESCATTER,
					     .dtype = RONDE_INT32,
					     .reduction = RONDE_SUM,
					     .ndim = 1,
					     .prescale = 1,
					     .postscale = 1,
					     .dims = {2 * C}};
		s.output = r->rank ? in + C / 3 * 4 : in;
		must(ronde_submit(r->context, &s, &h), "submit");
		must(wait_for(r, h), "reducescatter");
	}
	expect(atomic_load(&r->context->counters.entries_staged) == 0, r, "staged");
	must(join(r, &last), "join");
	must(ronde_heap_free(r->heap, in), "free");
}

START_TEST(straight)
{
	run_ranks(3, NULL, straight_body, NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("joined");
	TCase *tests = tcase_create("joined");
	tcase_set_timeout(tests, 120);
	tcase_add_loop_test(tests, like_zeros, 0, 4);
	tcase_add_test(tests, divisors);
	tcase_add_test(tests, errors);
	tcase_add_test(tests, astray);
	tcase_add_test(tests, straight);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

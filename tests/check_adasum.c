/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adasum against the published formula (tests/adasum_reference.h), and the ordered sums it
 * stands on against OpenBLAS. On all paths, in and out of place, with the same bits everywhere.
 */
#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/algorithms/adasum.h"
#include "tests/adasum_reference.h"
#include "tests/ranks.h"
#include "tests/seed.h"
#include "tests/sizes.h"
#include "tests/suite.h"

#define MOST 70001

static double *random_doubles(uint64_t *seed, size_t count)
{
	double *x = malloc((count + 1) * sizeof *x);
	ck_assert_ptr_nonnull(x);
	for (size_t i = 0; i < count; i++)
		x[i] = (double)(int64_t)next_random(seed) * 0x1p-63;
	return x;
}

/* ---- ordered sums ---- */

static struct ronde_dots dots_of(const double *a, const double *b, size_t count)
{
	struct ronde_dots sums = {0};
	for (size_t at = 0; at < count; at += RONDE_ORDERED_BLOCK) {
		size_t n = count - at < RONDE_ORDERED_BLOCK ? count - at : RONDE_ORDERED_BLOCK;
		ronde_ordered_dots(&sums, a + at, b + at, n);
	}
	return sums;
}

static bool near(double got, double wanted, double scale)
{
	return fabs(got - wanted) <= 1e-13 * scale;
}

START_TEST(dots_against_openblas)
{
	static const int counts[] = {0, 1, 7, 8, 9, 255, 256, 257, 1000, MOST};
	uint64_t seed = test_seed();
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
		int n = counts[i];
		double *a = random_doubles(&seed, (size_t)n), *b = random_doubles(&seed, (size_t)n);
		struct ronde_dots sums = dots_of(a, b, (size_t)n);
		double norm = cblas_dnrm2(n, b, 1);
		ck_assert_msg(near(sums.ab, cblas_ddot(n, a, 1, b, 1), n) &&
				      near(sums.aa, cblas_ddot(n, a, 1, a, 1), n) &&
				      near(sums.bb, norm * norm, n),
			      "%d elements: %.17g %.17g %.17g", n, sums.ab, sums.aa, sums.bb);
		free(a);
		free(b);
	}
}
END_TEST

/* Not the order of a plain loop, and always the same one: a value computed by hand. */
START_TEST(order_of_a_block)
{
	double a[10], one[10];
	for (int i = 0; i < 10; i++) {
		a[i] = i == 0 ? 0x1p53 : i == 4 ? -0x1p53 : 1;
		one[i] = 1;
	}
	struct ronde_dots sums = {0};
	ronde_ordered_dots(&sums, a, one, 10);
	/* Lanes 0 and 1 have two elements: 2^53 + 1 is 2^53; lane 1 is 2. */
	ck_assert(sums.ab == ((0x1p53 + -0x1p53) + (1 + 1)) + ((2 + 1) + (1 + 1)));
}
END_TEST

START_TEST(squares_with_all_kernels)
{
	uint64_t seed = test_seed();
	size_t sets;
	const struct ronde_kernels *const *kernels = ronde_kernels_available(&sets);
	double *x = random_doubles(&seed, MOST);
	unsigned char *typed = malloc(MOST * sizeof *x);
	for (ronde_dtype t = RONDE_FLOAT16; t <= RONDE_FLOAT64; t++) {
		double wanted = 0, first = 0;
		for (size_t k = 0; k < sets; k++) {
			kernels[k]->convert(typed, t, x, RONDE_FLOAT64, MOST);
			double got = ronde_ordered_square(kernels[k], typed, t, MOST);
			first = k ? first : got;
			ck_assert_msg(got == first, "%s, %s: %.17g is not %.17g", kernels[k]->name,
				      ronde_dtype_name(t), got, first);
		}
		double *back = malloc(MOST * sizeof *back);
		kernels[0]->convert(back, RONDE_FLOAT64, typed, t, MOST);
		wanted = cblas_ddot(MOST, back, 1, back, 1);
		ck_assert_msg(near(first, wanted, MOST), "%s: %.17g is not %.17g",
			      ronde_dtype_name(t), first, wanted);
		free(back);
	}
	free(typed);
	free(x);
}
END_TEST

/* ---- the formula ---- */

struct job {
	ronde_dtype dtype;
	size_t count;
	uint64_t seed;
	const unsigned char *inputs[8]; /* in the tensor's type */
	struct adasum_vector wanted;
	unsigned char *first; /* the bits of the first path */
	const struct ronde_kernels *kernels;
};

/* Of element i: what the reference says, a rounding to the type, and one to float32 before it. */
static double bound(const struct job *job, size_t i)
{
	double real = job->wanted.x[i];
	double between = job->dtype < RONDE_FLOAT32 ? rounding_error(RONDE_FLOAT32, real) : 0;
	return job->wanted.error + rounding_error(job->dtype, real) + between;
}

static void check_result(const struct job *job, const void *result, int rank, const char *what)
{
	double *got = malloc((job->count + 1) * sizeof *got);
	size_t i = 0;
	job->kernels->convert(got, RONDE_FLOAT64, result, job->dtype, job->count);
	while (i < job->count && fabs(got[i] - job->wanted.x[i]) <= bound(job, i))
		i++;
	ck_assert_msg(i == job->count,
		      "%s, rank %d, %zu × %s: element %zu is %.17g, not %.17g ± %g", what, rank,
		      job->count, ronde_dtype_name(job->dtype), i, got[i], job->wanted.x[i],
		      bound(job, i));
	free(got);
	size_t bytes = job->count * ronde_dtype_bytes(job->dtype);
	ck_assert_msg(!job->first || memcmp(result, job->first, bytes) == 0,
		      "%s, rank %d, %zu × %s: other bits than riding", what, rank, job->count,
		      ronde_dtype_name(job->dtype));
}

static void reduce_and_check(struct rank *r, void *input, void *output, const char *what)
{
	const struct job *job = r->arg;
	memcpy(input, job->inputs[r->rank], job->count * ronde_dtype_bytes(job->dtype));
	must(allreduce(r, what, input, output, job->count, job->dtype, RONDE_ADASUM), what);
	check_result(job, output, r->rank, what);
}

static void all_memories(struct rank *r)
{
	const struct job *job = r->arg;
	size_t bytes = job->count * ronde_dtype_bytes(job->dtype) + 1;
	void *a = malloc(bytes), *b = malloc(bytes);
	void *c = ronde_heap_alloc(r->heap, bytes), *d = ronde_heap_alloc(r->heap, bytes);
	reduce_and_check(r, a, b, "ordinary");
	reduce_and_check(r, a, a, "ordinary, in place");
	reduce_and_check(r, c, d, "heap");
	reduce_and_check(r, c, c, "heap, in place");
	free(a);
	free(b);
	must(ronde_heap_free(r->heap, c), "free");
	must(ronde_heap_free(r->heap, d), "free");
}

/* Vectors of every angle: member m's is the common one, times something, plus its own. */
static void make_inputs(struct job *job, int n, double **x)
{
	double *common = random_doubles(&job->seed, job->count);
	for (int m = 0; m < n; m++) {
		x[m] = random_doubles(&job->seed, job->count);
		for (size_t i = 0; i < job->count; i++)
			x[m][i] = m % 3 == 2 ? 0 : 0.5 * x[m][i] + 0.4 * m * common[i] / n;
		unsigned char *typed = malloc((job->count + 1) * ronde_dtype_bytes(job->dtype));
		job->kernels->convert(typed, job->dtype, x[m], RONDE_FLOAT64, job->count);
		job->kernels->convert(x[m], RONDE_FLOAT64, typed, job->dtype, job->count);
		job->inputs[m] = typed;
	}
	free(common);
}

static const char *const riding[] = {"carry_bytes", "4M", "ring_bytes", "16M", NULL};
static const char *const small_chunks[] = {"carry_bytes",   "0",    "chunk_bytes", "4096",
					   "staging_bytes", "256K", NULL};
static const char *const large_chunks[] = {"carry_bytes", "0", NULL};
static const char *const copied[] = {"carry_bytes", "0",  "zero_copy", "0",
				     "chunk_bytes", "1K", NULL};

static void run_job(int n, ronde_dtype dtype, size_t count, uint64_t *seed)
{
	double *x[8];
	struct adasum_vector v[8] = {0};
	struct job job = {.dtype = dtype,
			  .count = count,
			  .seed = *seed,
			  .kernels = ronde_kernels_select(NULL)};
	make_inputs(&job, n, x);
	*seed = job.seed;
	job.first = malloc(count * ronde_dtype_bytes(dtype) + 1);
	ronde_adasum_alone(job.kernels, dtype, n, (const void *const *)job.inputs, count, 1,
			   job.first);
	for (int m = 0; m < n; m++)
		v[m].x = x[m];
	adasum_reference(v, n, count);
	job.wanted = v[0];
	check_result(&job, job.first, -1, "alone");
	run_ranks(n, riding, all_memories, &job);
	run_ranks(n, small_chunks, all_memories, &job);
	run_ranks(n, large_chunks, all_memories, &job);
	run_ranks(n, copied, all_memories, &job);
	free(job.first);
	for (int m = 0; m < n; m++) {
		free(x[m]);
		free((void *)job.inputs[m]);
	}
}

static const int worlds[] = {1, 2, 3, 4, 5, 8};

START_TEST(against_the_formula)
{
	static const size_t counts[] = {0, 1, 255, 256, 257, 5000};
	uint64_t seed = test_seed();
	int n = worlds[_i];
	for (ronde_dtype t = RONDE_FLOAT16; t <= RONDE_FLOAT64; t++)
		for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
			if (test_is_long() || (i + (size_t)t + (size_t)n) % 3 == 0)
				run_job(n, t, counts[i], &seed);
	run_job(n, RONDE_FLOAT32, (size_t)test_turns(MOST), &seed);
}
END_TEST

/* ---- what it is for ---- */

static bool equal(const float *x, const float *y, int count)
{
	int i = 0;
	while (i < count && x[i] == y[i])
		i++;
	return i == count;
}

static void meanings(struct rank *r)
{
	enum { N = 300 };
	float x[N], y[N];
	/* The same vector on all ranks: itself, for any power of two. */
	for (int i = 0; i < N; i++)
		x[i] = (float)(i % 13) - 6;
	must(allreduce(r, "same", x, y, N, RONDE_FLOAT32, RONDE_ADASUM), "same");
	ck_assert_msg(equal(x, y, N), "the adasum of equal vectors is another one");
	/* Vectors that have nothing in common: their sum. */
	for (int i = 0; i < N; i++)
		x[i] = i % r->size == r->rank ? (float)i : 0;
	must(allreduce(r, "apart", x, y, N, RONDE_FLOAT32, RONDE_ADASUM), "apart");
	for (int i = 0; i < N; i++)
		ck_assert_msg(y[i] == (float)i, "element %d is %g", i, (double)y[i]);
	/* Nothing but zeros. */
	memset(x, 0, sizeof x);
	must(allreduce(r, "zeros", x, y, N, RONDE_FLOAT32, RONDE_ADASUM), "zeros");
	ck_assert_msg(equal(x, y, N), "zeros do not stay");
	/* Two at a time they cancel out: 1.5 x - 1.5 x. */
	for (int i = 0; i < N; i++)
		x[i] = (float)(r->rank % 2 ? -i : i);
	must(allreduce(r, "against", x, y, N, RONDE_FLOAT32, RONDE_ADASUM), "against");
	for (int i = 0; i < N; i++)
		ck_assert_msg(y[i] == 0, "element %d is %g", i, (double)y[i]);
}

/* Numbers: their mean, exactly, however small an intermediate one is next to what it was made of.
 */
static void means(struct rank *r)
{
	const double x[] = {1, -1 - 0x1p-30, 3, 5};
	double y;
	must(allreduce(r, "mean", &x[r->rank], &y, 1, RONDE_FLOAT64, RONDE_ADASUM), "mean");
	double off = y - (2 - 0x1p-32);
	ck_assert_msg(fabs(off) <= 0x1p-50, "the mean is off by %g", off);
}

START_TEST(meaning)
{
	run_ranks(2, large_chunks, meanings, NULL);
	run_ranks(4, NULL, meanings, NULL);
	run_ranks(4, NULL, means, NULL);
	run_ranks(4, large_chunks, means, NULL);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{dots_against_openblas, ONCE},
		{order_of_a_block, ONCE},
		{squares_with_all_kernels, ONCE},
		{against_the_formula, 0, (int)(sizeof worlds / sizeof *worlds)},
		{meaning, ONCE},
	};
	return SUITE_RUN("adasum", 200, tests);
}

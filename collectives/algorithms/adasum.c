/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/algorithms/adasum.h"

#include <string.h>

#include "collectives/algorithms/lane.h"

/* The members [first, middle) and [middle, end) of a pair; false: the right side has none. */
static bool pair_members(int level, int n, int pair, int *first, int *middle, int *end)
{
	*first = pair << (level + 1);
	*middle = *first + (1 << level);
	*end = *middle + (1 << level);
	if (*end > n)
		*end = n;
	return *middle < n;
}

/* sum = Σ coefficient × x over members that have something; zeros if none has. */
static void combine(const struct ronde_kernels *kernels, ronde_dtype dtype,
		    const double *coefficients, const void *const *x, int first, int end,
		    size_t count, double *sum)
{
	bool none = true;
	for (int m = first; m < end; m++) {
		if (!x[m])
			continue;
		ronde_ordered_combine(kernels, sum, none, coefficients[m], x[m], dtype, count);
		none = false;
	}
	if (none)
		memset(sum, 0, count * sizeof *sum);
}

void ronde_adasum_block(const struct ronde_kernels *kernels, ronde_dtype dtype, int level, int n,
			const double *coefficients, const void *const *x, size_t count,
			struct ronde_dots *sums)
{
	double a[RONDE_ORDERED_BLOCK], b[RONDE_ORDERED_BLOCK];
	int first, middle, end;
	for (int p = 0; pair_members(level, n, p, &first, &middle, &end); p++) {
		combine(kernels, dtype, coefficients, x, first, middle, count, a);
		combine(kernels, dtype, coefficients, x, middle, end, count, b);
		ronde_ordered_dots(&sums[p], a, b, count);
	}
}

void ronde_adasum_update(int level, int n, double *coefficients, const struct ronde_dots *sums)
{
	int first, middle, end;
	for (int p = 0; pair_members(level, n, p, &first, &middle, &end); p++) {
		const struct ronde_dots *s = &sums[p];
		double left = s->aa == 0 ? 1 : 1 - s->ab / (2 * s->aa);
		double right = s->bb == 0 ? 1 : 1 - s->ab / (2 * s->bb);
		for (int m = first; m < end; m++)
			coefficients[m] *= m < middle ? left : right;
	}
}

static void add(struct ronde_dots *sums, const struct ronde_dots *part, int pairs)
{
	for (int p = 0; p < pairs; p++) {
		sums[p].ab += part[p].ab;
		sums[p].aa += part[p].aa;
		sums[p].bb += part[p].bb;
	}
}

void ronde_adasum_finish(const struct ronde_kernels *kernels, ronde_dtype dtype, int n,
			 const double *coefficients, double factor, const void *const *x,
			 size_t count, void *const *destinations, int ndestination)
{
	double sum[RONDE_ORDERED_BLOCK];
	combine(kernels, dtype, coefficients, x, 0, n, count, sum);
	if (factor != 1)
		for (size_t i = 0; i < count; i++)
			sum[i] *= factor;
	for (int d = 0; d < ndestination; d++)
		kernels->convert(destinations[d], dtype, sum, RONDE_FLOAT64, count);
}

/* ---- alone ---- */

/* Points x at block b of every source; returns its elements, 0 behind the last. */
static size_t block_at(const void **x, const void *const *sources, int n, size_t element,
		       size_t count, size_t b)
{
	size_t begin = b * RONDE_ORDERED_BLOCK;
	if (begin >= count)
		return 0;
	for (int m = 0; m < n; m++)
		x[m] = sources[m] ? (const unsigned char *)sources[m] + begin * element : NULL;
	return count - begin < RONDE_ORDERED_BLOCK ? count - begin : RONDE_ORDERED_BLOCK;
}

void ronde_adasum_alone(const struct ronde_kernels *kernels, ronde_dtype dtype, int n,
			const void *const *sources, size_t count, double factor, void *destination)
{
	const void *x[RONDE_MAX_LOCAL_SIZE];
	double coefficients[RONDE_MAX_LOCAL_SIZE];
	struct ronde_dots sums[RONDE_MAX_LOCAL_SIZE / 2], part[RONDE_MAX_LOCAL_SIZE / 2];
	const int pairs = ronde_adasum_pairs(n);
	const size_t element = ronde_dtype_bytes(dtype), bytes = (size_t)pairs * sizeof *sums;
	size_t now;
	for (int m = 0; m < n; m++)
		coefficients[m] = 1;
	for (int level = 0; level < ronde_adasum_levels(n); level++) {
		memset(sums, 0, bytes);
		for (int m = 0; m < n; m++) {
			memset(part, 0, bytes);
			for (size_t b = (size_t)m;
			     (now = block_at(x, sources, n, element, count, b)); b += (size_t)n)
				ronde_adasum_block(kernels, dtype, level, n, coefficients, x, now,
						   part);
			add(sums, part, pairs);
		}
		ronde_adasum_update(level, n, coefficients, sums);
	}
	for (size_t b = 0; (now = block_at(x, sources, n, element, count, b)); b++) {
		void *to = (unsigned char *)destination + b * RONDE_ORDERED_BLOCK * element;
		ronde_adasum_finish(kernels, dtype, n, coefficients, factor, x, now, &to, 1);
	}
}

/* ---- in a lane ---- */

/* Of one member: its coefficients, and two levels of sums. */
static size_t row_bytes(int n)
{
	return (size_t)ronde_grain_up((size_t)n * sizeof(double) +
				      2 * (size_t)ronde_adasum_pairs(n) *
					      sizeof(struct ronde_dots));
}

size_t ronde_adasum_head_bytes(int n)
{
	return (size_t)n * row_bytes(n);
}

size_t ronde_adasum_chunk_limit(size_t staging_bytes, int n)
{
	const size_t block = RONDE_ORDERED_BLOCK * sizeof(double);
	size_t head = ronde_adasum_head_bytes(n);
	if (staging_bytes < head)
		return 0;
	size_t area = (staging_bytes - head) / ((size_t)n * RONDE_STAGING_SLOTS);
	return area - area % block;
}

static unsigned char *row(const struct ronde_plan *plan, int member)
{
	return ronde_lane_staging(plan->arena, plan->lane) + (size_t)member * row_bytes(plan->n);
}

double *ronde_adasum_coefficients(const struct ronde_plan *plan)
{
	return (double *)(void *)row(plan, plan->me);
}

struct ronde_dots *ronde_adasum_sums(const struct ronde_plan *plan, int member, int level)
{
	size_t pairs = (size_t)ronde_adasum_pairs(plan->n);
	struct ronde_dots *sums =
		(struct ronde_dots *)(void *)(row(plan, member) + (size_t)plan->n * sizeof(double));
	return sums + (level & 1 ? pairs : 0);
}

void ronde_adasum_next(const struct ronde_plan *plan, int level)
{
	struct ronde_dots sums[RONDE_MAX_LOCAL_SIZE / 2];
	const int pairs = ronde_adasum_pairs(plan->n);
	memset(sums, 0, (size_t)pairs * sizeof *sums);
	for (int m = 0; m < plan->n; m++)
		add(sums, ronde_adasum_sums(plan, m, level), pairs);
	ronde_adasum_update(level, plan->n, ronde_adasum_coefficients(plan), sums);
}

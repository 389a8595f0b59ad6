/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/algorithms/adasum.h"

#include <string.h>

#include "collectives/algorithms/lane.h"

/* The first members of both vectors of a pair; false: there is no such pair. */
static bool find_pair(int level, int n, int pair, int *first, int *middle)
{
	*first = pair << (level + 1);
	*middle = *first + (1 << level);
	return *middle < n;
}

/* A block of all inputs, and what is known of the vectors above them. */
struct tree {
	const struct ronde_kernels *kernels;
	ronde_dtype dtype;
	int n;
	const struct ronde_adasum_factors *factors;
	const void *const *x;
	size_t count;
};

/*
 * The block of the vector that stands at `level` and begins with member `first`: at level 0 of an
 * input, else of the left half times its factor plus the right half, if there is one, times its
 * own.
 */
static void vector(const struct tree *t, int level, int first, double *to)
{
	if (level == 0) {
		if (t->x[first])
			t->kernels->convert(to, RONDE_FLOAT64, t->x[first], t->dtype, t->count);
		else
			memset(to, 0, t->count * sizeof *to);
		return;
	}
	int middle = first + (1 << (level - 1));
	vector(t, level - 1, first, to);
	if (middle >= t->n)
		return;
	double right[RONDE_ORDERED_BLOCK];
	vector(t, level - 1, middle, right);
	const struct ronde_adasum_factors *f = &t->factors[middle];
	for (size_t i = 0; i < t->count; i++)
		to[i] = f->left * to[i] + f->right * right[i];
}

void ronde_adasum_block(const struct ronde_kernels *kernels, ronde_dtype dtype, int level, int n,
			const struct ronde_adasum_factors *factors, const void *const *x,
			size_t count, struct ronde_dots *sums)
{
	const struct tree tree = {kernels, dtype, n, factors, x, count};
	double a[RONDE_ORDERED_BLOCK], b[RONDE_ORDERED_BLOCK];
	int first, middle;
	for (int p = 0; find_pair(level, n, p, &first, &middle); p++) {
		vector(&tree, level, first, a);
		vector(&tree, level, middle, b);
		ronde_ordered_dots(&sums[p], a, b, count);
	}
}

void ronde_adasum_update(int level, int n, struct ronde_adasum_factors *factors,
			 const struct ronde_dots *sums)
{
	int first, middle;
	for (int p = 0; find_pair(level, n, p, &first, &middle); p++) {
		const struct ronde_dots *s = &sums[p];
		factors[middle].left = s->aa == 0 ? 1 : 1 - s->ab / (2 * s->aa);
		factors[middle].right = s->bb == 0 ? 1 : 1 - s->ab / (2 * s->bb);
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
			 const struct ronde_adasum_factors *factors, double scale,
			 const void *const *x, size_t count, void *const *destinations,
			 int ndestination)
{
	const struct tree tree = {kernels, dtype, n, factors, x, count};
	double sum[RONDE_ORDERED_BLOCK];
	vector(&tree, ronde_adasum_levels(n), 0, sum);
	if (scale != 1)
		for (size_t i = 0; i < count; i++)
			sum[i] *= scale;
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
			const void *const *sources, size_t count, double scale, void *destination)
{
	const void *x[RONDE_MAX_LOCAL_SIZE];
	struct ronde_adasum_factors factors[RONDE_MAX_LOCAL_SIZE];
	struct ronde_dots sums[RONDE_MAX_LOCAL_SIZE / 2], part[RONDE_MAX_LOCAL_SIZE / 2];
	const int pairs = ronde_adasum_pairs(n);
	const size_t element = ronde_dtype_bytes(dtype), bytes = (size_t)pairs * sizeof *sums;
	size_t now;
	for (int level = 0; level < ronde_adasum_levels(n); level++) {
		memset(sums, 0, bytes);
		for (int m = 0; m < n; m++) {
			memset(part, 0, bytes);
			for (size_t b = (size_t)m;
			     (now = block_at(x, sources, n, element, count, b)); b += (size_t)n)
				ronde_adasum_block(kernels, dtype, level, n, factors, x, now, part);
			add(sums, part, pairs);
		}
		ronde_adasum_update(level, n, factors, sums);
	}
	for (size_t b = 0; (now = block_at(x, sources, n, element, count, b)); b++) {
		void *to = (unsigned char *)destination + b * RONDE_ORDERED_BLOCK * element;
		ronde_adasum_finish(kernels, dtype, n, factors, scale, x, now, &to, 1);
	}
}

/* ---- in a lane ---- */

/* Factors of a member, and two levels of sums of a group. */
static size_t factors_bytes(int n)
{
	return (size_t)n * sizeof(struct ronde_adasum_factors);
}

static size_t row_bytes(int n)
{
	return (size_t)ronde_grain_up(factors_bytes(n) + 2 * (size_t)ronde_adasum_pairs(n) *
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

static unsigned char *row(const struct ronde_plan *plan, int number)
{
	return ronde_lane_staging(plan->arena, plan->lane) +
	       (size_t)number * row_bytes(ronde_plan_leaves(plan));
}

struct ronde_adasum_factors *ronde_adasum_factors(const struct ronde_plan *plan)
{
	return (struct ronde_adasum_factors *)(void *)row(plan, plan->me);
}

/* A group's sums of a level: [pairs]. */
static struct ronde_dots *group_sums(const struct ronde_plan *plan, int group, int level)
{
	int n = ronde_plan_leaves(plan);
	struct ronde_dots *sums =
		(struct ronde_dots *)(void *)(row(plan, group) + factors_bytes(n));
	return sums + (level & 1 ? ronde_adasum_pairs(n) : 0);
}

void ronde_adasum_begin_level(const struct ronde_plan *plan, int level)
{
	const int groups = ronde_plan_leaves(plan);
	for (int g = plan->me; g < groups; g += plan->n)
		memset(group_sums(plan, g, level), 0,
		       (size_t)ronde_adasum_pairs(groups) * sizeof(struct ronde_dots));
}

void ronde_adasum_add_block(const struct ronde_plan *plan, int level, uint64_t block,
			    const void *const *x, size_t count)
{
	const int groups = ronde_plan_leaves(plan);
	ronde_adasum_block(plan->kernels, plan->spec.dtype, level, groups,
			   ronde_adasum_factors(plan), x, count,
			   group_sums(plan, (int)(block % (uint64_t)groups), level));
}

void ronde_adasum_next(const struct ronde_plan *plan, int level)
{
	struct ronde_dots sums[RONDE_MAX_LOCAL_SIZE / 2];
	const int groups = ronde_plan_leaves(plan), pairs = ronde_adasum_pairs(groups);
	memset(sums, 0, (size_t)pairs * sizeof *sums);
	for (int g = 0; g < groups; g++)
		add(sums, group_sums(plan, g, level), pairs);
	ronde_adasum_update(level, groups, ronde_adasum_factors(plan), sums);
}

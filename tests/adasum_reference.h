/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adasum as the paper has it (Maleki et al., section 3), two vectors at a time, and how far from it
 * a right one in float64 may be. The formula, with P_a b the projection of b on a (zero if a is):
 *
 *   f(a, b) = a + b - (P_a b + P_b a) / 2
 *
 * Let a right one have a' and b' where we have a and b, at most α and β (norms) away. Then
 *
 *   |P_a' b' - P_a b| <= |P_a' (b' - b)| + |(P_a' - P_a) b| <= β + t_a |b|
 *
 * t_a is the sine of the angle between a and a', at most α/|a|, at most 1, and 0 for vectors of one
 * element, which have one direction only. So f is off by at most
 *
 *   3/2 (α + β) + (t_a |b| + t_b |a|) / 2      and what is rounded when it is computed
 *
 * - rounded: a dot product whose sums have k terms is off by k u |a||b|, and so is a factor times
 *   its vector, of which at most |b| counts; with a few roundings for the factor and the sum that
 *   is (k + 6) u (|a| + |b|). Terms of our sums: kernels/ordered.h. Here sums are of long doubles.
 * - Where α reaches |a|, a is nothing but rounding errors: a' may be zero where a is not, and then
 *   all of b counts instead of half of it. That is in the bound (t_a = 1), which then says little:
 *   such a result is called undecided.
 */
#ifndef RONDE_TESTS_ADASUM_REFERENCE_H
#define RONDE_TESTS_ADASUM_REFERENCE_H

#include <stddef.h>

#include "collectives/kernels/ordered.h"
#include "tests/rounding.h"

struct adasum_vector {
	double *x;
	double error; /* at most, of any element: the norm of all errors */
	bool undecided;
};

/* The most terms of a sum over blocks: 8 lanes of a block, then all blocks one by one. */
static inline double adasum_terms(size_t count)
{
	const double block = RONDE_ORDERED_BLOCK;
	return block / 8 + 3 + 2 * (double)count / block;
}

/* How far a vector's direction may be off. */
static inline double adasum_turn(const struct adasum_vector *v, double norm, size_t count)
{
	if (v->error == 0)
		return 0;
	if (v->error >= norm)
		return 1;
	return count == 1 ? 0 : v->error / norm;
}

/* a becomes the adasum of a and b. */
static inline void adasum_pair(struct adasum_vector *a, const struct adasum_vector *b, size_t count)
{
	long double ab = 0, aa = 0, bb = 0;
	for (size_t i = 0; i < count; i++) {
		ab += (long double)a->x[i] * b->x[i];
		aa += (long double)a->x[i] * a->x[i];
		bb += (long double)b->x[i] * b->x[i];
	}
	long double left = aa == 0 ? 1 : 1 - ab / (2 * aa), right = bb == 0 ? 1 : 1 - ab / (2 * bb);
	for (size_t i = 0; i < count; i++)
		a->x[i] = (double)(left * a->x[i] + right * b->x[i]);

	double norm_a = (double)sqrtl(aa), norm_b = (double)sqrtl(bb);
	double turn_a = adasum_turn(a, norm_a, count), turn_b = adasum_turn(b, norm_b, count);
	double off = a->error + b->error;
	a->undecided = a->undecided || b->undecided || (turn_a == 1 && norm_b > 0) ||
		       (turn_b == 1 && norm_a > 0);
	a->error = 1.5 * off + (turn_a * norm_b + turn_b * norm_a) / 2 +
		   (adasum_terms(count) + 6) * 0x1p-53 * (norm_a + norm_b + off);
}

/* v[0] becomes the adasum of n vectors in the tree over their numbers; the others are spoiled. */
static inline void adasum_reference(struct adasum_vector *v, int n, size_t count)
{
	for (int by = 1; by < n; by *= 2)
		for (int m = 0; m + by < n; m += 2 * by)
			adasum_pair(&v[m], &v[m + by], count);
}

#endif

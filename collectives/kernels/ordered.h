/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums along a tensor (dot products, norms) in one order, so that they have the same bits with
 * every processor, way of cutting the tensor, and number of threads. A BLAS promises none of that.
 *
 * The order: the tensor is cut into blocks of RONDE_ORDERED_BLOCK elements from its start. Inside a
 * block element i is added to lane i mod 8, and the lanes are added as ((0+4)+(2+6))+((1+5)+(3+7)).
 * Blocks are added one after the other by the caller. All in float64.
 */
#ifndef RONDE_ORDERED_H
#define RONDE_ORDERED_H

#include <stddef.h>

#include "collectives/kernels/exact.h"
#include "collectives/kernels/kernels.h"

#define RONDE_ORDERED_BLOCK 256

/* Of two vectors a and b. */
struct ronde_dots {
	double ab, aa, bb;
};

/* Adds a block's products; count is at most a block. */
void ronde_ordered_dots(struct ronde_dots *sums, const double *a, const double *b, size_t count);

/*
 * sum[i] += factor * x[i] for a block of any floating-point type; `first` sets instead. Each
 * product and each sum is rounded to float64.
 */
void ronde_ordered_combine(const struct ronde_kernels *kernels, double *sum, bool first,
			   double factor, const void *x, ronde_dtype dtype, size_t count);

/* The sum of squares of a whole tensor of a floating-point type. */
double ronde_ordered_square(const struct ronde_kernels *kernels, const void *x, ronde_dtype dtype,
			    size_t count);

#endif

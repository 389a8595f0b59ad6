/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/kernels/ordered.h"

#define LANES 8

static double lane_sum(const double *lane)
{
	return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
	       ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

void ronde_ordered_dots(struct ronde_dots *sums, const double *a, const double *b, size_t count)
{
	double ab[LANES] = {0}, aa[LANES] = {0}, bb[LANES] = {0};
	size_t i = 0;
	for (; i + LANES <= count; i += LANES)
		for (size_t l = 0; l < LANES; l++) {
			ab[l] += a[i + l] * b[i + l];
			aa[l] += a[i + l] * a[i + l];
			bb[l] += b[i + l] * b[i + l];
		}
	for (size_t l = 0; i + l < count; l++) {
		ab[l] += a[i + l] * b[i + l];
		aa[l] += a[i + l] * a[i + l];
		bb[l] += b[i + l] * b[i + l];
	}
	sums->ab += lane_sum(ab);
	sums->aa += lane_sum(aa);
	sums->bb += lane_sum(bb);
}

void ronde_ordered_combine(const struct ronde_kernels *kernels, double *sum, bool first,
			   double factor, const void *x, ronde_dtype dtype, size_t count)
{
	double values[RONDE_ORDERED_BLOCK];
	kernels->convert(values, RONDE_FLOAT64, x, dtype, count);
	if (first)
		for (size_t i = 0; i < count; i++)
			sum[i] = factor * values[i];
	else
		for (size_t i = 0; i < count; i++)
			sum[i] += factor * values[i];
}

double ronde_ordered_square(const struct ronde_kernels *kernels, const void *x, ronde_dtype dtype,
			    size_t count)
{
	static const double zero[RONDE_ORDERED_BLOCK];
	double values[RONDE_ORDERED_BLOCK];
	struct ronde_dots sums = {0};
	const unsigned char *at = x;
	size_t element = ronde_dtype_bytes(dtype);
	for (size_t done = 0; done < count; done += RONDE_ORDERED_BLOCK) {
		size_t n = count - done < RONDE_ORDERED_BLOCK ? count - done : RONDE_ORDERED_BLOCK;
		kernels->convert(values, RONDE_FLOAT64, at + done * element, dtype, n);
		ronde_ordered_dots(&sums, values, zero, n);
	}
	return sums.aa;
}

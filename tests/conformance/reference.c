/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reductions one rank after the other, in float64 or in exact integers.
 *
 * How far a float may be from that. Let u be the unit roundoff of the type that is worked in
 * (float32 for the 16-bit types, 2^-24; float64's is 2^-53), n the ranks:
 *   - each input is scaled (by a scale rounded once) and goes through at most n additions or
 *     products: at most n + 2 roundings each, and of a product the scalings of n inputs, 2n; after
 *     that two of postscale and divisor. All in all 3n + 6 times u of the sum of magnitudes (for a
 *     product: of the result); the reference itself, in float64, is off by as much in its own u;
 *   - one rounding to the type of the result, its u of the result, or half of its least denormal.
 * An adasum is worked in float64 whatever the type: tests/adasum_reference.h. It is homogeneous,
 * and the scales are applied at the end.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/adasum_reference.h"
#include "tests/conformance/operation.h"

static double working_unit(ronde_dtype dtype)
{
	return unit_roundoff(dtype == RONDE_FLOAT64 ? RONDE_FLOAT64 : RONDE_FLOAT32);
}

/* Of the result's own rounding, and of `roundings` before it. */
static struct wanted about(ronde_dtype dtype, double real, double magnitude, double roundings)
{
	double bound =
		2 * roundings * working_unit(dtype) * magnitude + rounding_error(dtype, real);
	return (struct wanted){.real = real, .bound = bound};
}

/* ---- floats ---- */

static struct wanted refer_real(const struct tensor *t, int ranks, uint64_t at)
{
	const struct op *op = &t->op;
	size_t element = ronde_dtype_bytes(op->dtype);
	double result = op->reduction == RONDE_PRODUCT ? 1 : 0, magnitude = 0;
	double post = op->reduction == RONDE_AVERAGE ? op->postscale / ranks : op->postscale;
	for (int r = 0; r < ranks; r++) {
		double x = real_of(op->dtype, t->given[r] + at * element) * op->prescale;
		magnitude += fabs(x);
		if (op->reduction == RONDE_PRODUCT)
			result *= x;
		else if (op->reduction == RONDE_MIN)
			result = r && result < x ? result : x;
		else if (op->reduction == RONDE_MAX)
			result = r && result > x ? result : x;
		else
			result += x;
	}
	if (op->reduction != RONDE_SUM && op->reduction != RONDE_AVERAGE)
		magnitude = fabs(result);
	bool chooses = op->reduction == RONDE_MIN || op->reduction == RONDE_MAX;
	bool exact = chooses && op->prescale == 1 && op->postscale == 1;
	struct wanted w = about(op->dtype, result * post, magnitude * fabs(post), 3 * ranks + 6);
	w.bound = exact ? 0 : w.bound;
	return w;
}

/* ---- integers ---- */

static int bits_of(ronde_dtype dtype)
{
	return 8 * (int)ronde_dtype_bytes(dtype);
}

static bool is_signed(ronde_dtype dtype)
{
	return dtype == RONDE_INT8 || dtype == RONDE_INT16 || dtype == RONDE_INT32 ||
	       dtype == RONDE_INT64;
}

/* As a value of the type has it, in the low bits of 64. */
static uint64_t wrap(ronde_dtype dtype, uint64_t whole)
{
	int unused = 64 - bits_of(dtype);
	if (is_signed(dtype))
		return (uint64_t)((int64_t)(whole << unused) >> unused);
	return whole << unused >> unused;
}

static double as_real(ronde_dtype dtype, uint64_t whole)
{
	return is_signed(dtype) ? (double)(int64_t)whole : (double)whole;
}

/* Truncated toward zero; what is beyond the type is its last value. */
static uint64_t truncate_to(ronde_dtype dtype, double x)
{
	double end = ldexp(1, bits_of(dtype) - is_signed(dtype));
	uint64_t most = wrap(dtype, is_signed(dtype) ? ((uint64_t)1 << (bits_of(dtype) - 1)) - 1
						     : UINT64_MAX);
	if (x >= end)
		return most;
	if (!is_signed(dtype))
		return x <= 0 ? 0 : (uint64_t)x;
	return x <= -end ? ~most : (uint64_t)(int64_t)x;
}

static uint64_t combine(const struct op *op, uint64_t a, uint64_t b)
{
	bool less = is_signed(op->dtype) ? (int64_t)a < (int64_t)b : a < b;
	switch (op->reduction) {
	case RONDE_MIN:
		return less ? a : b;
	case RONDE_MAX:
		return less ? b : a;
	case RONDE_PRODUCT:
		return wrap(op->dtype, a * b);
	default:
		return wrap(op->dtype, a + b);
	}
}

static uint64_t refer_whole(const struct tensor *t, int ranks, uint64_t at)
{
	const struct op *op = &t->op;
	size_t element = ronde_dtype_bytes(op->dtype);
	uint64_t result = 0;
	double sum = 0; /* exact: the inputs of an average are small (tensor.c) */
	for (int r = 0; r < ranks; r++) {
		uint64_t x = whole_of(op->dtype, t->given[r] + at * element);
		if (op->prescale != 1)
			x = truncate_to(op->dtype, as_real(op->dtype, x) * op->prescale);
		result = r ? combine(op, result, x) : x;
		sum += as_real(op->dtype, x);
	}
	if (op->reduction == RONDE_AVERAGE)
		return truncate_to(op->dtype, sum * op->postscale / ranks);
	if (op->postscale != 1)
		return truncate_to(op->dtype, as_real(op->dtype, result) * op->postscale);
	return result;
}

/* Scales have no meaning; the average of truths, truncated, is 1 if all are. */
static uint64_t refer_truth(const struct tensor *t, int ranks, uint64_t at)
{
	int truths = 0;
	for (int r = 0; r < ranks; r++)
		truths += t->given[r][at];
	bool any = t->op.reduction == RONDE_SUM || t->op.reduction == RONDE_MAX;
	return any ? truths > 0 : truths == ranks;
}

/* ---- adasum ---- */

static void refer_adasum(struct tensor *t, int ranks)
{
	const struct op *op = &t->op;
	const uint64_t count = (uint64_t)op->count;
	const double scale = op->prescale * op->postscale;
	struct adasum_vector v[RANKS_MAX] = {0};
	for (int r = 0; r < ranks; r++) {
		if (!(v[r].x = malloc((count + 1) * sizeof(double))))
			abort();
		for (uint64_t i = 0; i < count; i++)
			v[r].x[i] =
				real_of(op->dtype, t->given[r] + i * ronde_dtype_bytes(op->dtype));
	}
	adasum_reference(v, ranks, count);
	t->undecided = v[0].undecided;
	for (uint64_t i = 0; i < count; i++) {
		double real = v[0].x[i] * scale;
		t->wanted[i] = about(op->dtype, real, fabs(real), 1);
		t->wanted[i].bound += v[0].error * fabs(scale);
	}
	for (int r = 0; r < ranks; r++)
		free(v[r].x);
}

/* The sum or average of one rank's rows and of nothing. Truths stay what they are. */
void refer_scaled(struct tensor *t, int ranks)
{
	struct wanted *at = t->wanted;
	for (int r = 0; r < ranks; r++) {
		struct tensor one = {.op = t->op, .wanted = at};
		uint64_t count = (uint64_t)(t->op.rows[r] * t->op.columns);
		unsigned char *zeros = calloc(op_bytes(&t->op, r) + 1, 1);
		if (!zeros)
			abort();
		for (int k = 0; k < ranks; k++)
			one.given[k] = k ? zeros : t->given[r];
		one.op.count = (int64_t)count;
		if (t->op.dtype != RONDE_BOOL)
			refer_reduction(&one, ranks);
		for (uint64_t i = 0; t->op.dtype == RONDE_BOOL && i < count; i++)
			at[i] = exactly(t->op.dtype, t->given[r], i);
		at += count;
		free(zeros);
	}
}

void refer_reduction(struct tensor *t, int ranks)
{
	const struct op *op = &t->op;
	if (op->reduction == RONDE_ADASUM) {
		refer_adasum(t, ranks);
		return;
	}
	for (uint64_t i = 0; i < (uint64_t)op->count; i++)
		if (is_real(op->dtype))
			t->wanted[i] = refer_real(t, ranks, i);
		else
			t->wanted[i] = (struct wanted){.bits = op->dtype == RONDE_BOOL
								       ? refer_truth(t, ranks, i)
								       : refer_whole(t, ranks, i),
						       .bound = -1};
}

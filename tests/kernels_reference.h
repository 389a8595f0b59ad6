/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What reductions and conversions mean, one element at a time, as the table in reduce.c and
 * IEEE 754 say it; it shares no code with the kernels. For check_kernels.c.
 */
#ifndef RONDE_KERNELS_REFERENCE_H
#define RONDE_KERNELS_REFERENCE_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "collectives/kernels/kernels.h"

/* Value of a float with e exponent and m mantissa bits. */
static double decode(uint32_t h, int e, int m)
{
	int bias = (1 << (e - 1)) - 1, exponent = (int)(h >> m) & ((1 << e) - 1);
	double mantissa = h & ((1u << m) - 1), sign = h >> (e + m) & 1 ? -1 : 1;
	if (exponent == (1 << e) - 1)
		return mantissa != 0 ? (double)NAN : sign * (double)INFINITY;
	if (exponent == 0)
		return sign * ldexp(mantissa, 1 - bias - m);
	return sign * ldexp(mantissa + (1 << m), exponent - bias - m);
}

/* Nearest such float, ties to even: in units of the last place, which nearbyint rounds. */
static uint32_t encode(double x, int e, int m)
{
	int bias = (1 << (e - 1)) - 1, exponent;
	uint32_t sign = signbit(x) ? 1u << (e + m) : 0, infinite = (uint32_t)((1 << e) - 1) << m;
	x = fabs(x);
	if (isnan(x))
		return sign | infinite | 1u << (m - 1);
	if (isinf(x))
		return sign | infinite;
	if (x == 0)
		return sign;
	frexp(x, &exponent);
	exponent = exponent - 1 < 1 - bias ? 1 - bias : exponent - 1;
	double units = nearbyint(ldexp(x, m - exponent));
	if (units >= ldexp(1, m + 1)) {
		units /= 2;
		exponent++;
	}
	if (exponent > bias)
		return sign | infinite;
	/* a denormal has fewer than 2^m units, and exponent field 0 */
	if (units < ldexp(1, m))
		return sign | (uint32_t)units;
	return sign | (uint32_t)(exponent + bias) << m | ((uint32_t)units - (1u << m));
}

/* What a reduction works with: a float64 holds every float32 and 16-bit float. */
union value {
	double real;
	uint64_t whole; /* integers, sign extended */
};

static const struct {
	int bits;
	bool is_signed, is_float;
} types[RONDE_DTYPE_COUNT] = {
	[RONDE_UINT8] = {8, false, false},   [RONDE_INT8] = {8, true, false},
	[RONDE_UINT16] = {16, false, false}, [RONDE_INT16] = {16, true, false},
	[RONDE_UINT32] = {32, false, false}, [RONDE_INT32] = {32, true, false},
	[RONDE_UINT64] = {64, false, false}, [RONDE_INT64] = {64, true, false},
	[RONDE_FLOAT16] = {16, true, true},  [RONDE_BFLOAT16] = {16, true, true},
	[RONDE_FLOAT32] = {32, true, true},  [RONDE_FLOAT64] = {64, true, true},
	[RONDE_BOOL] = {8, false, false},
};

static size_t bytes_of(ronde_dtype t)
{
	return (size_t)types[t].bits / 8;
}

static uint64_t load_bits(const void *p, size_t bytes)
{
	uint64_t u = 0;
	memcpy(&u, p, bytes);
	return u;
}

/* An integer type's value out of the low bits. */
static uint64_t extend(uint64_t u, ronde_dtype t)
{
	int unused = 64 - types[t].bits;
	u <<= unused;
	return types[t].is_signed ? (uint64_t)((int64_t)u >> unused) : u >> unused;
}

static double to_real(uint64_t whole, ronde_dtype t)
{
	return types[t].is_signed ? (double)(int64_t)whole : (double)whole;
}

/* Truncated, saturated, NaN is 0. */
static uint64_t to_whole(double x, ronde_dtype t)
{
	int magnitude = types[t].bits - types[t].is_signed;
	double above = ldexp(1, magnitude), least = types[t].is_signed ? -above : 0;
	uint64_t most = magnitude == 64 ? UINT64_MAX : (1ULL << magnitude) - 1;
	if (isnan(x))
		return 0;
	if (x >= above)
		return most;
	if (x <= least)
		return types[t].is_signed ? ~most : 0;
	return types[t].is_signed ? (uint64_t)(int64_t)x : (uint64_t)x;
}

/* A float64 as the type reductions work in has it. */
static double working(double x, ronde_dtype t)
{
	return t == RONDE_FLOAT64 ? x : (double)(float)x;
}

static union value read_element(const void *p, ronde_dtype t)
{
	uint64_t u = load_bits(p, bytes_of(t));
	union value v = {.whole = 0};
	if (t == RONDE_FLOAT64)
		memcpy(&v.real, &u, sizeof u);
	else if (t == RONDE_FLOAT32)
		v.real = decode((uint32_t)u, 8, 23);
	else if (t == RONDE_BFLOAT16)
		v.real = decode((uint32_t)u, 8, 7);
	else if (t == RONDE_FLOAT16)
		v.real = decode((uint32_t)u, 5, 10);
	else if (t == RONDE_BOOL)
		v.whole = u != 0;
	else
		v.whole = extend(u, t);
	return v;
}

static uint64_t write_element(union value v, ronde_dtype t)
{
	uint64_t u = v.whole;
	if (t == RONDE_FLOAT64)
		memcpy(&u, &v.real, sizeof u);
	else if (t == RONDE_FLOAT32)
		u = encode(v.real, 8, 23);
	else if (t == RONDE_BFLOAT16)
		u = encode(v.real, 8, 7);
	else if (t == RONDE_FLOAT16)
		u = encode(v.real, 5, 10);
	return types[t].bits == 64 ? u : u & ((1ULL << types[t].bits) - 1);
}

static double combine_reals(double a, double b, ronde_dtype t, ronde_reduction op)
{
	switch (op) {
	case RONDE_PRODUCT: /* of two float32s in float64 is exact: one rounding */
		return working(a * b, t);
	case RONDE_MIN:
	case RONDE_MAX:
		if (isnan(a) || isnan(b))
			return (double)NAN;
		if (a == b)
			return !!signbit(a) == (op == RONDE_MIN) ? a : b;
		return (a < b) == (op == RONDE_MIN) ? a : b;
	default: /* a float32 sum rounded twice, through float64, is right all the same */
		return working(a + b, t);
	}
}

static uint64_t combine_wholes(uint64_t a, uint64_t b, ronde_dtype t, ronde_reduction op)
{
	bool less = types[t].is_signed ? (int64_t)a < (int64_t)b : a < b;
	if (t == RONDE_BOOL)
		return op == RONDE_SUM || op == RONDE_MAX ? a | b : a & b;
	switch (op) {
	case RONDE_SUM:
		return extend(a + b, t);
	case RONDE_PRODUCT:
		return extend(a * b, t);
	case RONDE_MIN:
		return less ? a : b;
	default:
		return less ? b : a;
	}
}

/* In which type a spec's values are between the leaves and the end. */
static bool in_reals(const struct ronde_reduce_spec *s)
{
	return types[s->dtype].is_float ||
	       (s->reduction == RONDE_AVERAGE && s->dtype != RONDE_BOOL);
}

static union value reference_leaf(const struct ronde_reduce_spec *s, const void *p)
{
	union value v = read_element(p, s->dtype);
	if (s->dtype == RONDE_BOOL)
		return v;
	if (types[s->dtype].is_float) {
		if (s->prescale != 1)
			v.real = working(v.real * working(s->prescale, s->dtype), s->dtype);
		return v;
	}
	if (s->prescale != 1)
		v.whole = to_whole(to_real(v.whole, s->dtype) * s->prescale, s->dtype);
	if (s->reduction == RONDE_AVERAGE)
		v.real = to_real(v.whole, s->dtype);
	return v;
}

/* [first, first + width) of the tree, at byte `offset` of each source; false: all are absent. */
static bool reference_tree(const struct ronde_reduce_spec *s, const void *const *sources, int n,
			   int first, int width, size_t offset, union value *v)
{
	union value right;
	if (first >= n)
		return false;
	if (width == 1) {
		if (sources[first])
			*v = reference_leaf(s, (const char *)sources[first] + offset);
		return sources[first] != NULL;
	}
	bool l = reference_tree(s, sources, n, first, width / 2, offset, v);
	bool r = reference_tree(s, sources, n, first + width / 2, width / 2, offset, &right);
	if (l && r && in_reals(s))
		v->real = combine_reals(v->real, right.real,
					types[s->dtype].is_float ? s->dtype : RONDE_FLOAT64,
					s->reduction);
	else if (l && r)
		v->whole = combine_wholes(v->whole, right.whole, s->dtype, s->reduction);
	else if (r)
		*v = right;
	return l || r;
}

static int count_present(const void *const *sources, int n)
{
	int present = 0;
	for (int k = 0; k < n; k++)
		present += sources[k] != NULL;
	return present;
}

/* Bits of the result for the elements at byte `offset` of the sources. */
static uint64_t reference(const struct ronde_reduce_spec *s, const void *const *sources, int n,
			  size_t offset)
{
	union value v = {.whole = 0};
	ronde_dtype t = s->dtype;
	/* an average of one is the one itself, though a float64 may not hold it */
	struct ronde_reduce_spec sum = *s;
	sum.reduction = RONDE_SUM;
	if (s->reduction == RONDE_AVERAGE && s->divisor == 1 && s->postscale == 1 &&
	    count_present(sources, n) == 1)
		s = &sum;
	reference_tree(s, sources, n, 0, 64, offset, &v);
	if (types[t].is_float) {
		double q = s->reduction == RONDE_AVERAGE ? s->postscale / s->divisor : s->postscale;
		if (q != 1)
			v.real = working(v.real * working(q, t), t);
	} else if (s->reduction == RONDE_AVERAGE && t != RONDE_BOOL) {
		v.whole = to_whole(v.real * s->postscale / s->divisor, t);
	} else if (s->postscale != 1 && t != RONDE_BOOL) {
		v.whole = to_whole(to_real(v.whole, t) * s->postscale, t);
	}
	return write_element(v, t);
}

/* All NaNs are equal, as far as kernels go. */
static bool is_nan_bits(uint64_t u, ronde_dtype t)
{
	union value v;
	u = types[t].bits == 64 ? u : u & ((1ULL << types[t].bits) - 1);
	if (!types[t].is_float)
		return false;
	v = read_element(&u, t);
	return isnan(v.real);
}

static bool same_bits(uint64_t a, uint64_t b, ronde_dtype t)
{
	return a == b || (is_nan_bits(a, t) && is_nan_bits(b, t));
}

#endif

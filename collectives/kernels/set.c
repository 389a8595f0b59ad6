/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One set of kernels. This file is compiled once per instruction set, with RONDE_SET defined as the
 * set's name and the compiler told which instructions it may use (meson.build); what it exports is
 * ronde_kernels_<set>. The loops are plain C over the functions of element.h. Nothing here depends
 * on the width of a vector, so sets can only differ in speed; 16-bit floats get a loop of their
 * own, because that is what a step of training sends most.
 */
#include <stddef.h>

#include "collectives/kernels/element.h"
#include "collectives/kernels/f16.h"
#include "collectives/kernels/kernels.h"
#include "collectives/kernels/loops.h"
#include "collectives/kernels/sum2.h"

/* ---- combining in the type itself ---- */

#define ADD(T, a, b) ((T)((a) + (b)))
#define MULTIPLY(T, a, b) ((T)((a) * (b)))
/* Small integers would be promoted to int, whose overflow is undefined. */
#define MULTIPLY_UINT16(T, a, b) ((T)((uint32_t)(a) * (b)))
#define MIN(T, a, b) ((a) < (b) ? (a) : (b))
#define MAX(T, a, b) ((a) > (b) ? (a) : (b))
#define MIN_FLOAT(T, a, b) min_float(a, b)
#define MAX_FLOAT(T, a, b) max_float(a, b)
#define MIN_DOUBLE(T, a, b) min_double(a, b)
#define MAX_DOUBLE(T, a, b) max_double(a, b)

#define COMBINE(name, T, OP)                                                                       \
	static void name(void *first, void *second, const void *const *sources, int nsource,       \
			 size_t count)                                                             \
	{                                                                                          \
		const mem_##T *a = sources[0], *b = sources[1];                                    \
		mem_##T *x = first, *y = second;                                                   \
		if (nsource == 4) {                                                                \
			const mem_##T *c = sources[2], *d = sources[3];                            \
			RONDE_LOOP                                                                 \
			for (size_t i = 0; i < count; i++)                                         \
				x[i] = OP(T##_value, OP(T##_value, a[i], b[i]),                    \
					  OP(T##_value, c[i], d[i]));                              \
		} else if (y) {                                                                    \
			RONDE_LOOP                                                                 \
			for (size_t i = 0; i < count; i++) {                                       \
				T##_value r = OP(T##_value, a[i], b[i]);                           \
				x[i] = r;                                                          \
				y[i] = r;                                                          \
			}                                                                          \
		} else {                                                                           \
			RONDE_LOOP                                                                 \
			for (size_t i = 0; i < count; i++)                                         \
				x[i] = OP(T##_value, a[i], b[i]);                                  \
		}                                                                                  \
	}

/* Names of element types as they are pasted into names, and the C types they stand for. */
typedef uint8_t uint8_value;
typedef int8_t int8_value;
typedef uint16_t uint16_value;
typedef int16_t int16_value;
typedef uint32_t uint32_value;
typedef int32_t int32_value;
typedef uint64_t uint64_value;
typedef int64_t int64_value;
typedef float float_value;
typedef double double_value;

/* Wrapping sums and products have the same bits with and without a sign. */
COMBINE(sum_8, uint8, ADD)
COMBINE(sum_16, uint16, ADD)
COMBINE(sum_32, uint32, ADD)
COMBINE(sum_64, uint64, ADD)
COMBINE(sum_float, float, ADD)
COMBINE(sum_double, double, ADD)
COMBINE(product_8, uint8, MULTIPLY)
COMBINE(product_16, uint16, MULTIPLY_UINT16)
COMBINE(product_32, uint32, MULTIPLY)
COMBINE(product_64, uint64, MULTIPLY)
COMBINE(product_float, float, MULTIPLY)
COMBINE(product_double, double, MULTIPLY)
COMBINE(least_uint8, uint8, MIN)
COMBINE(least_int8, int8, MIN)
COMBINE(least_uint16, uint16, MIN)
COMBINE(least_int16, int16, MIN)
COMBINE(least_uint32, uint32, MIN)
COMBINE(least_int32, int32, MIN)
COMBINE(least_uint64, uint64, MIN)
COMBINE(least_int64, int64, MIN)
COMBINE(least_float, float, MIN_FLOAT)
COMBINE(least_double, double, MIN_DOUBLE)
COMBINE(greatest_uint8, uint8, MAX)
COMBINE(greatest_int8, int8, MAX)
COMBINE(greatest_uint16, uint16, MAX)
COMBINE(greatest_int16, int16, MAX)
COMBINE(greatest_uint32, uint32, MAX)
COMBINE(greatest_int32, int32, MAX)
COMBINE(greatest_uint64, uint64, MAX)
COMBINE(greatest_int64, int64, MAX)
COMBINE(greatest_float, float, MAX_FLOAT)
COMBINE(greatest_double, double, MAX_DOUBLE)

/* ---- maps ---- */

/* EXPRESSION of s (a source element), f (factor) and divisor. */
#define MAP(name, TO, FROM, FACTOR, EXPRESSION)                                                    \
	static void name(void *destination, const void *source, double factor, double divisor,     \
			 size_t count)                                                             \
	{                                                                                          \
		mem_##TO *to = destination;                                                        \
		const mem_##FROM *from = source;                                                   \
		const FACTOR f = (FACTOR)factor;                                                   \
		(void)f, (void)divisor;                                                            \
		RONDE_LOOP                                                                         \
		for (size_t i = 0; i < count; i++) {                                               \
			FROM##_value s = from[i];                                                  \
			to[i] = (EXPRESSION);                                                      \
		}                                                                                  \
	}

#define INTEGER_MAPS(T)                                                                            \
	MAP(scale_##T, T, T, double, T##_of_double((double)s *f))                                  \
	MAP(double_from_##T, double, T, double, (double)s)                                         \
	MAP(T##_from_double, T, double, double, T##_of_double(s *f / divisor))
INTEGER_MAPS(uint8)
INTEGER_MAPS(int8)
INTEGER_MAPS(uint16)
INTEGER_MAPS(int16)
INTEGER_MAPS(uint32)
INTEGER_MAPS(int32)
INTEGER_MAPS(uint64)
INTEGER_MAPS(int64)
MAP(scale_float, float, float, float, s *f)
MAP(scale_double, double, double, double, s *f)
MAP(scale_bool, uint8, uint8, double, s != 0)
MAP(float_from_bf16, float, uint16, float, float_of_bf16(s))
MAP(bf16_from_float, uint16, float, float, bf16_of_float(s *f))
MAP(float_from_double, float, double, float, (float)s)
MAP(double_from_float, double, float, double, (double)s)

static void float_from_f16(void *destination, const void *source, double factor, double divisor,
			   size_t count)
{
	const mem_uint16 *from = source;
	mem_float *to = destination;
	size_t rest = count % F16_LANES, whole = count - rest;
	(void)factor, (void)divisor;
	F16_LOOP
	for (size_t i = 0; i < whole; i += F16_LANES) {
		f16_vector x = f16_load(from + i);
		memcpy(to + i, &x, sizeof x);
	}
	if (rest > 0) {
		uint16_t p[F16_LANES] = {0};
		memcpy(p, from + whole, rest * sizeof *p);
		f16_vector x = f16_load(p);
		memcpy(to + whole, &x, rest * sizeof *to);
	}
}

static void f16_from_float(void *destination, const void *source, double factor, double divisor,
			   size_t count)
{
	const float f = (float)factor;
	const mem_float *from = source;
	mem_uint16 *to = destination;
	size_t rest = count % F16_LANES, whole = count - rest;
	(void)divisor;
	F16_LOOP
	for (size_t i = 0; i < whole; i += F16_LANES) {
		f16_vector x;
		memcpy(&x, from + i, sizeof x);
		f16_store(to + i, x * f);
	}
	if (rest > 0) {
		f16_vector x = {0};
		uint16_t p[F16_LANES];
		memcpy(&x, from + whole, rest * sizeof *from);
		f16_store(p, x * f);
		memcpy(to + whole, p, rest * sizeof *p);
	}
}

/* ---- past the caches ---- */

static void stream(void *destination, const void *source, size_t bytes)
{
	unsigned char *to = destination;
	const unsigned char *from = source;
	size_t at = -(uintptr_t)to % RONDE_LINE_BYTES;
	if (at > bytes)
		at = bytes;
	memcpy(to, from, at);
	for (; at + RONDE_LINE_BYTES <= bytes; at += RONDE_LINE_BYTES) {
		ronde_ahead_to_read(from + at, RONDE_LINE_BYTES);
		ronde_line_stream(to + at, from + at);
	}
	memcpy(to + at, from + at, bytes - at);
}

/* ---- the set ---- */

#define INTEGER_ROW(bits, type, T)                                                                 \
	[RONDE_##type] = {[RONDE_SUM] = sum_##bits,                                                \
			  [RONDE_PRODUCT] = product_##bits,                                        \
			  [RONDE_MIN] = least_##T,                                                 \
			  [RONDE_MAX] = greatest_##T}
#define FLOAT_ROW(type, T)                                                                         \
	[RONDE_##type] = {[RONDE_SUM] = sum_##T,                                                   \
			  [RONDE_PRODUCT] = product_##T,                                           \
			  [RONDE_MIN] = least_##T,                                                 \
			  [RONDE_MAX] = greatest_##T}

/* One entry for every integer type. */
#define INTEGERS(prefix, suffix)                                                                   \
	[RONDE_UINT8] = prefix##uint8##suffix, [RONDE_INT8] = prefix##int8##suffix,                \
	[RONDE_UINT16] = prefix##uint16##suffix, [RONDE_INT16] = prefix##int16##suffix,            \
	[RONDE_UINT32] = prefix##uint32##suffix, [RONDE_INT32] = prefix##int32##suffix,            \
	[RONDE_UINT64] = prefix##uint64##suffix, [RONDE_INT64] = prefix##int64##suffix

static const struct ronde_loops loops = {
	.combine = {INTEGER_ROW(8, UINT8, uint8), INTEGER_ROW(8, INT8, int8),
		    INTEGER_ROW(16, UINT16, uint16), INTEGER_ROW(16, INT16, int16),
		    INTEGER_ROW(32, UINT32, uint32), INTEGER_ROW(32, INT32, int32),
		    INTEGER_ROW(64, UINT64, uint64), INTEGER_ROW(64, INT64, int64),
		    FLOAT_ROW(FLOAT32, float), FLOAT_ROW(FLOAT64, double)},
	.sum2 = {[RONDE_FLOAT16] = sum2_f16,
		 [RONDE_BFLOAT16] = sum2_bf16,
		 [RONDE_FLOAT32] = sum2_float,
		 [RONDE_FLOAT64] = sum2_double},
	.stream2 = {[RONDE_FLOAT16] = stream2_f16,
		    [RONDE_BFLOAT16] = stream2_bf16,
		    [RONDE_FLOAT32] = stream2_float,
		    [RONDE_FLOAT64] = stream2_double},
	.scale = {INTEGERS(scale_, ), [RONDE_FLOAT32] = scale_float, [RONDE_FLOAT64] = scale_double,
		  [RONDE_BOOL] = scale_bool},
	.widen = {INTEGERS(double_from_, ), [RONDE_FLOAT16] = float_from_f16,
		  [RONDE_BFLOAT16] = float_from_bf16},
	.narrow = {INTEGERS(, _from_double), [RONDE_FLOAT16] = f16_from_float,
		   [RONDE_BFLOAT16] = bf16_from_float},
	.float_from_double = float_from_double,
	.double_from_float = double_from_float,
	.stream = stream,
};

static void reduce(const struct ronde_reduce_spec *spec, void *const *destinations,
		   int ndestination, const void *const *sources, int nsource, size_t count)
{
	ronde_reduce_with(&loops, spec, destinations, ndestination, sources, nsource, count);
}

static void convert(void *destination, ronde_dtype to, const void *source, ronde_dtype from,
		    size_t count)
{
	ronde_convert_with(&loops, destination, to, source, from, count);
}

#define PASTE(a, b) a##b
#define NAME_OF(set) PASTE(ronde_kernels_, set)
#define TEXT(x) #x
#define TEXT_OF(x) TEXT(x)

const struct ronde_kernels NAME_OF(RONDE_SET) = {
	.name = TEXT_OF(RONDE_SET), .reduce = reduce, .convert = convert, .stream = stream};

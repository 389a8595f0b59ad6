/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens to one element. Written without branches, so that both compilers turn loops over
 * these functions into vector code of whatever width the file is compiled for.
 */
#ifndef RONDE_ELEMENT_H
#define RONDE_ELEMENT_H

#include <stdint.h>
#include <string.h>

#include "collectives/kernels/exact.h"

/*
 * In front of a loop: iterations are independent of each other. That is true though an output may
 * be an input (same index, same iteration), which is why it is not said with `restrict`.
 */
#ifdef __clang__
#define RONDE_LOOP _Pragma("clang loop vectorize(assume_safety) interleave(enable)")
#else
#define RONDE_LOOP _Pragma("GCC ivdep")
#endif

/* An element in memory: any alignment, any declared type. */
#define RONDE_IN_MEMORY __attribute__((aligned(1), may_alias))
typedef uint8_t mem_uint8 RONDE_IN_MEMORY;
typedef int8_t mem_int8 RONDE_IN_MEMORY;
typedef uint16_t mem_uint16 RONDE_IN_MEMORY;
typedef int16_t mem_int16 RONDE_IN_MEMORY;
typedef uint32_t mem_uint32 RONDE_IN_MEMORY;
typedef int32_t mem_int32 RONDE_IN_MEMORY;
typedef uint64_t mem_uint64 RONDE_IN_MEMORY;
typedef int64_t mem_int64 RONDE_IN_MEMORY;
typedef float mem_float RONDE_IN_MEMORY;
typedef double mem_double RONDE_IN_MEMORY;

static inline uint32_t bits_of_float(float x)
{
	uint32_t u;
	memcpy(&u, &x, sizeof u);
	return u;
}

static inline float float_of_bits(uint32_t u)
{
	float x;
	memcpy(&x, &u, sizeof x);
	return x;
}

static inline uint64_t bits_of_double(double x)
{
	uint64_t u;
	memcpy(&u, &x, sizeof u);
	return u;
}

static inline double double_of_bits(uint64_t u)
{
	double x;
	memcpy(&x, &u, sizeof x);
	return x;
}

/*
 * min and max of floats: a NaN wins, and −0 is less than +0. Where a == b, only zeros can differ in
 * their bits, and then only in the sign: or keeps a minus, and drops one. a + b is a quiet NaN.
 */
#define RONDE_FLOAT_MIN_MAX(T)                                                                     \
	static inline T min_##T(T a, T b)                                                          \
	{                                                                                          \
		T r = a < b ? a : b;                                                               \
		r = a == b ? T##_of_bits(bits_of_##T(a) | bits_of_##T(b)) : r;                     \
		return ((a != a) | (b != b)) ? a + b : r;                                          \
	}                                                                                          \
	static inline T max_##T(T a, T b)                                                          \
	{                                                                                          \
		T r = a > b ? a : b;                                                               \
		r = a == b ? T##_of_bits(bits_of_##T(a) & bits_of_##T(b)) : r;                     \
		return ((a != a) | (b != b)) ? a + b : r;                                          \
	}
RONDE_FLOAT_MIN_MAX(float)
RONDE_FLOAT_MIN_MAX(double)

/*
 * Integers from doubles: truncated toward zero, saturated, NaN gives 0. `above` is the first power
 * of two above the range, which unlike the 64-bit maxima is a double.
 */
#define RONDE_SATURATE(T, via, least, most, above)                                                 \
	static inline T##_t T##_of_double(double x)                                                \
	{                                                                                          \
		double inside = ((x > (double)(least)) & (x < (above))) ? x : 0.0;                 \
		T##_t r = (T##_t)(via)inside;                                                      \
		r = x <= (double)(least) ? (least) : r;                                            \
		return x >= (above) ? (most) : r;                                                  \
	}
RONDE_SATURATE(uint8, int32_t, 0, UINT8_MAX, 0x1p8)
RONDE_SATURATE(int8, int32_t, INT8_MIN, INT8_MAX, 0x1p7)
RONDE_SATURATE(uint16, int32_t, 0, UINT16_MAX, 0x1p16)
RONDE_SATURATE(int16, int32_t, INT16_MIN, INT16_MAX, 0x1p15)
RONDE_SATURATE(uint32, uint32_t, 0, UINT32_MAX, 0x1p32)
RONDE_SATURATE(int32, int32_t, INT32_MIN, INT32_MAX, 0x1p31)
RONDE_SATURATE(uint64, uint64_t, 0, UINT64_MAX, 0x1p64)
RONDE_SATURATE(int64, int64_t, INT64_MIN, INT64_MAX, 0x1p63)

/* ---- 16-bit floats ---- */

static inline float float_of_bf16(uint16_t h)
{
	return float_of_bits((uint32_t)h << 16);
}

/* The float32 bits whose upper half is x rounded to bfloat16 (to nearest even; NaN made quiet). */
static inline uint32_t bf16_in_upper_half(float x)
{
	uint32_t u = bits_of_float(x);
	uint32_t rounded = u + 0x7fff + (u >> 16 & 1);
	return x != x ? u | 0x400000 : rounded;
}

static inline uint16_t bf16_of_float(float x)
{
	return (uint16_t)(bf16_in_upper_half(x) >> 16);
}

/* A conditional that gcc does not turn into a jump, which would keep it from making vectors. */
static inline uint32_t choose(int condition, uint32_t yes, uint32_t no)
{
	uint32_t mask = -(uint32_t)condition;
	return (yes & mask) | (no & ~mask);
}

/*
 * binary16 in software, for where no instruction does it. The exponent's bias is 15 instead of 127,
 * and the mantissa 13 bits shorter. Denormals are integers times 2^-24: read by making them the
 * mantissa of a number in [2^-14, 2^-13) and taking 2^-14 away; written by adding 0.5, whose last
 * mantissa bit is 2^-24, so that the addition does the rounding.
 */
static inline float float_of_f16(uint16_t h)
{
	uint32_t magnitude = (uint32_t)(h & 0x7fff) << 13;
	uint32_t normal = magnitude + ((127 - 15) << 23);
	uint32_t quiet = choose(magnitude > 0x7c00u << 13, 0x400000, 0);
	uint32_t special = (magnitude + ((255 - 31) << 23)) | quiet;
	float small = float_of_bits(magnitude + ((127 - 14) << 23)) - 0x1p-14f;
	uint32_t u = choose(magnitude >= 0x7c00u << 13, special, normal);
	u = choose(magnitude < 0x0400u << 13, bits_of_float(small), u);
	return float_of_bits(u | (uint32_t)(h & 0x8000) << 16);
}

static inline uint16_t f16_of_float(float x)
{
	uint32_t sign = bits_of_float(x) >> 16 & 0x8000;
	uint32_t u = bits_of_float(x) & 0x7fffffff;
	uint32_t normal = (u - ((127 - 15) << 23) + 0xfff + (u >> 13 & 1)) >> 13;
	uint32_t small = bits_of_float(float_of_bits(u) + 0.5f) - (126u << 23);
	uint32_t r = choose(u < 113u << 23, small, normal);
	r = choose(u >= 143u << 23, 0x7c00, r);
	r = choose(u > 255u << 23, 0x7e00, r);
	return (uint16_t)(r | sign);
}

#endif

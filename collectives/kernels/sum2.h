/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sum of two, scaled: what two ranks live on, and the loops where stores matter most. Part of
 * set.c. Each type has one body, of which the compiler makes loops for
 *
 *   factors        a factor that is the constant 1 costs nothing (an average has no prescale)
 *   destinations   one or two; a second one that is the first costs nothing
 *   stores         ordinary ones: a run of lines that is to be written soon is asked for ahead, so
 *                  that stores don't wait for it one by one; or past the caches: a run of results
 *                  stays in registers or the first cache and goes out line by line
 *
 * An element's result is the same in all of them.
 */
#ifndef RONDE_SUM2_H
#define RONDE_SUM2_H

#include <stddef.h>
#include <stdint.h>

#include "collectives/kernels/element.h"
#include "collectives/kernels/f16.h"
#include "collectives/kernels/lines.h"
#include "collectives/kernels/loops.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/*
 * In front of the loop over a run, whose length the compiler knows: it is to make vectors of it,
 * which it does not any more once it has taken all iterations apart.
 */
#ifdef __clang__
#define RUN_LOOP _Pragma("clang loop vectorize(assume_safety) interleave(enable) unroll(disable)")
#else
#define RUN_LOOP _Pragma("GCC ivdep") _Pragma("GCC unroll 1")
#endif

#define STORE(body, x, y, a, b, pre, post, n)                                                      \
	do {                                                                                       \
		const size_t run = RONDE_RUN_BYTES / sizeof *(x);                                  \
		size_t at = 0;                                                                     \
		for (; at + run <= (n); at += run) {                                               \
			ronde_ahead_to_write((x) + at, RONDE_RUN_BYTES);                           \
			if ((y) != (x))                                                            \
				ronde_ahead_to_write((y) + at, RONDE_RUN_BYTES);                   \
			body((x) + at, (y) + at, (a) + at, (b) + at, pre, post, run);              \
		}                                                                                  \
		body((x) + at, (y) + at, (a) + at, (b) + at, pre, post, (n)-at);                   \
	} while (0)

#define STREAM(body, x, y, a, b, pre, post, n)                                                     \
	do {                                                                                       \
		const size_t run = RONDE_RUN_BYTES / sizeof *(x);                                  \
		_Alignas(RONDE_LINE_BYTES) unsigned char lines[RONDE_RUN_BYTES];                   \
		for (size_t at = 0; at < (n); at += run) {                                         \
			ronde_ahead_to_read((a) + at, RONDE_RUN_BYTES);                            \
			ronde_ahead_to_read((b) + at, RONDE_RUN_BYTES);                            \
			body((void *)lines, (void *)lines, (a) + at, (b) + at, pre, post, run);    \
			for (size_t i = 0; i < RONDE_RUN_BYTES; i += RONDE_LINE_BYTES) {           \
				ronde_line_stream((unsigned char *)((x) + at) + i, lines + i);     \
				if ((y) != (x))                                                    \
					ronde_line_stream((unsigned char *)((y) + at) + i,         \
							  lines + i);                              \
			}                                                                          \
		}                                                                                  \
	} while (0)

#define BY_FACTORS(how, body, x, y, a, b, pre, post, n)                                            \
	do {                                                                                       \
		if ((pre) != 1)                                                                    \
			how(body, x, y, a, b, pre, post, n);                                       \
		else if ((post) != 1)                                                              \
			how(body, x, y, a, b, 1, post, n);                                         \
		else                                                                               \
			how(body, x, y, a, b, 1, 1, n);                                            \
	} while (0)
#define SIX_LOOPS(how, body, x, y, a, b, pre, post, n)                                             \
	do {                                                                                       \
		if (y)                                                                             \
			BY_FACTORS(how, body, x, y, a, b, pre, post, n);                           \
		else                                                                               \
			BY_FACTORS(how, body, x, x, a, b, pre, post, n);                           \
	} while (0)

#define SUM2(T)                                                                                    \
	ALWAYS_INLINE void sum2_##T##_body(mem_##T *x, mem_##T *y, const mem_##T *a,               \
					   const mem_##T *b, T pre, T post, size_t count)          \
	{                                                                                          \
		RUN_LOOP                                                                           \
		for (size_t i = 0; i < count; i++) {                                               \
			T r = (a[i] * pre + b[i] * pre) * post;                                    \
			x[i] = r;                                                                  \
			y[i] = r;                                                                  \
		}                                                                                  \
	}                                                                                          \
	static void sum2_##T(void *first, void *second, const void *source_a,                      \
			     const void *source_b, double prescale, double postscale,              \
			     size_t count)                                                         \
	{                                                                                          \
		const T pre = (T)prescale, post = (T)postscale;                                    \
		const mem_##T *a = source_a, *b = source_b;                                        \
		mem_##T *x = first, *y = second;                                                   \
		SIX_LOOPS(STORE, sum2_##T##_body, x, y, a, b, pre, post, count);                   \
	}                                                                                          \
	static void stream2_##T(void *first, void *second, const void *source_a,                   \
				const void *source_b, double prescale, double postscale,           \
				size_t count)                                                      \
	{                                                                                          \
		const T pre = (T)prescale, post = (T)postscale;                                    \
		const mem_##T *a = source_a, *b = source_b;                                        \
		mem_##T *x = first, *y = second;                                                   \
		SIX_LOOPS(STREAM, sum2_##T##_body, x, y, a, b, pre, post, count);                  \
	}
SUM2(float)
SUM2(double)

/*
 * bfloat16 in words of two: the upper half of a word is a float32 once the lower half is cleared,
 * so nothing needs to be widened, moved about and packed again.
 */
struct pair {
	float low, high;
};

static inline struct pair bf16_pair_read(uint32_t word)
{
	return (struct pair){float_of_bits(word << 16), float_of_bits(word & 0xffff0000)};
}

/*
 * Rounds to nearest even, as bf16_in_upper_half() does, but needs no look for NaNs: the lower half
 * of a NaN that comes from bfloat16s, or from a factor cleaned by bf16_factor(), is zero, so what
 * is added to it never gets into the upper half.
 */
static inline uint32_t bf16_round_sum(float x)
{
	uint32_t u = bits_of_float(x);
	return u + 0x7fff + (u >> 16 & 1);
}

static inline float bf16_factor(double factor)
{
	return factor != factor ? float_of_bits(0x7fc00000) : (float)factor;
}

ALWAYS_INLINE uint32_t bf16_pair_sum(uint32_t a, uint32_t b, float pre, float post)
{
	struct pair p = bf16_pair_read(a), q = bf16_pair_read(b);
	float low = (p.low * pre + q.low * pre) * post;
	float high = (p.high * pre + q.high * pre) * post;
	return bf16_round_sum(low) >> 16 | (bf16_round_sum(high) & 0xffff0000);
}

ALWAYS_INLINE void sum2_bf16_body(mem_uint32 *x, mem_uint32 *y, const mem_uint32 *a,
				  const mem_uint32 *b, float pre, float post, size_t words)
{
	RUN_LOOP
	for (size_t i = 0; i < words; i++) {
		uint32_t r = bf16_pair_sum(a[i], b[i], pre, post);
		x[i] = r;
		y[i] = r;
	}
}

static void sum2_bf16(void *first, void *second, const void *source_a, const void *source_b,
		      double prescale, double postscale, size_t count)
{
	const float pre = bf16_factor(prescale), post = bf16_factor(postscale);
	const mem_uint32 *a = source_a, *b = source_b;
	mem_uint32 *x = first, *y = second;
	size_t words = count / 2;
	SIX_LOOPS(STORE, sum2_bf16_body, x, y, a, b, pre, post, words);
	if (count % 2) {
		uint32_t r = bf16_pair_sum(*(const mem_uint16 *)(a + words),
					   *(const mem_uint16 *)(b + words), pre, post);
		*(mem_uint16 *)(x + words) = (uint16_t)r;
		if (y)
			*(mem_uint16 *)(y + words) = (uint16_t)r;
	}
}

static void stream2_bf16(void *first, void *second, const void *source_a, const void *source_b,
			 double prescale, double postscale, size_t count)
{
	const float pre = bf16_factor(prescale), post = bf16_factor(postscale);
	const mem_uint32 *a = source_a, *b = source_b;
	mem_uint32 *x = first, *y = second;
	SIX_LOOPS(STREAM, sum2_bf16_body, x, y, a, b, pre, post, count / 2);
}

/* With F16_LANES == 1 the compiler is to find vectors, else they are there already. */
#if F16_LANES == 1
#define F16_LOOP RUN_LOOP
#else
#define F16_LOOP
#endif
#define F16_BYTES (F16_LANES * sizeof(uint16_t))

ALWAYS_INLINE void sum2_f16_body(mem_uint16 *x, mem_uint16 *y, const mem_uint16 *a,
				 const mem_uint16 *b, float pre, float post, size_t whole)
{
	F16_LOOP
	for (size_t i = 0; i < whole; i += F16_LANES) {
		f16_vector r = (f16_load(a + i) * pre + f16_load(b + i) * pre) * post;
		f16_store(x + i, r);
		f16_store(y + i, r);
	}
}

static void sum2_f16(void *first, void *second, const void *source_a, const void *source_b,
		     double prescale, double postscale, size_t count)
{
	const float pre = (float)prescale, post = (float)postscale;
	const mem_uint16 *a = source_a, *b = source_b;
	mem_uint16 *x = first, *y = second;
	size_t rest = count % F16_LANES, whole = count - rest;
	SIX_LOOPS(STORE, sum2_f16_body, x, y, a, b, pre, post, whole);
	if (rest > 0) {
		uint16_t p[F16_LANES] = {0}, q[F16_LANES] = {0};
		memcpy(p, a + whole, rest * sizeof *p);
		memcpy(q, b + whole, rest * sizeof *q);
		f16_store(p, (f16_load(p) * pre + f16_load(q) * pre) * post);
		memcpy(x + whole, p, rest * sizeof *p);
		if (y)
			memcpy(y + whole, p, rest * sizeof *p);
	}
}

static void stream2_f16(void *first, void *second, const void *source_a, const void *source_b,
			double prescale, double postscale, size_t count)
{
	const float pre = (float)prescale, post = (float)postscale;
	const mem_uint16 *a = source_a, *b = source_b;
	mem_uint16 *x = first, *y = second;
	SIX_LOOPS(STREAM, sum2_f16_body, x, y, a, b, pre, post, count);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cache lines on their way, in the widest stores a file is compiled for.
 *
 * A store to a line that another core has, or nobody, waits until it is here; the processor runs
 * on meanwhile, but not far, because it has room for some tens of such stores only. What is to be
 * written soon is asked for ahead. What nobody reads soon goes past the caches: a whole line at
 * once, so that it leaves at once. Half lines of several streams in turn take up to half as long
 * again.
 */
#ifndef RONDE_LINES_H
#define RONDE_LINES_H

#include <stddef.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define RONDE_LINE_BYTES 64

/* How far ahead of a loop it asks for lines: further than the processor does by itself, which also
 * stops at the end of a page. */
#define RONDE_AHEAD_BYTES 1024

/* Asks for lines that will be written. */
static inline __attribute__((always_inline)) void ronde_ahead_to_write(const void *now,
								       size_t bytes)
{
	for (size_t i = 0; i < bytes; i += RONDE_LINE_BYTES)
		__builtin_prefetch((const unsigned char *)now + RONDE_AHEAD_BYTES + i, 1, 3);
}

/* Asks for lines that will be read. */
static inline __attribute__((always_inline)) void ronde_ahead_to_read(const void *now, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += RONDE_LINE_BYTES)
		__builtin_prefetch((const unsigned char *)now + RONDE_AHEAD_BYTES + i, 0, 3);
}

/* Stores a line past the caches; `to` is at the start of one. */
static inline void ronde_line_stream(void *to, const void *from)
{
#if defined(__AVX512F__)
	_mm512_stream_si512(to, _mm512_loadu_si512(from));
#elif defined(__AVX2__)
	__m256i *out = to;
	const __m256i *in = from;
	_mm256_stream_si256(out, _mm256_loadu_si256(in));
	_mm256_stream_si256(out + 1, _mm256_loadu_si256(in + 1));
#elif defined(__x86_64__)
	__m128i *out = to;
	const __m128i *in = from;
	for (int i = 0; i < 4; i++)
		_mm_stream_si128(out + i, _mm_loadu_si128(in + i));
#else
	memcpy(to, from, RONDE_LINE_BYTES);
#endif
}

#endif

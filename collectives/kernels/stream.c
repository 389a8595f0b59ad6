/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/kernels/stream.h"

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)

#include <emmintrin.h>

/* A streaming store pays for whole cache lines only. */
#define LINE_BYTES 64

void ronde_stream_copy(void *destination, const void *source, size_t bytes)
{
	unsigned char *to = destination;
	const unsigned char *from = source;
	size_t head = -(uintptr_t)to % LINE_BYTES;
	if (head > bytes)
		head = bytes;
	memcpy(to, from, head);
	size_t at = head;
	for (; at + LINE_BYTES <= bytes; at += LINE_BYTES) {
		const __m128i *line = (const __m128i *)(const void *)(from + at);
		__m128i *out = (__m128i *)(void *)(to + at);
		__m128i a = _mm_loadu_si128(line), b = _mm_loadu_si128(line + 1);
		__m128i c = _mm_loadu_si128(line + 2), d = _mm_loadu_si128(line + 3);
		_mm_stream_si128(out, a);
		_mm_stream_si128(out + 1, b);
		_mm_stream_si128(out + 2, c);
		_mm_stream_si128(out + 3, d);
	}
	memcpy(to + at, from + at, bytes - at);
}

void ronde_stream_end(void)
{
	_mm_sfence();
}

#else

void ronde_stream_copy(void *destination, const void *source, size_t bytes)
{
	memcpy(destination, source, bytes);
}

void ronde_stream_end(void)
{
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several binary16 at a time, as many as the instruction set converts at once: f16_vector holds
 * F16_LANES float32s and has + and *. Compilers make no conversion instructions out of plain C, so
 * these are intrinsics; without them one element at a time, for the compiler to vectorise.
 */
#ifndef RONDE_F16_H
#define RONDE_F16_H

#include "collectives/kernels/element.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#define F16_LANES 16
typedef __m512 f16_vector;
static inline f16_vector f16_load(const void *p)
{
	return _mm512_cvtph_ps(_mm256_loadu_si256(p));
}
static inline void f16_store(void *p, f16_vector x)
{
	_mm256_storeu_si256(p, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

#elif defined(__F16C__)
#include <immintrin.h>
#define F16_LANES 8
typedef __m256 f16_vector;
static inline f16_vector f16_load(const void *p)
{
	return _mm256_cvtph_ps(_mm_loadu_si128(p));
}
static inline void f16_store(void *p, f16_vector x)
{
	_mm_storeu_si128(p, _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

#elif defined(__aarch64__) && !defined(RONDE_NO_F16)
#include <arm_neon.h>
#define F16_LANES 4
typedef float32x4_t f16_vector;
static inline f16_vector f16_load(const void *p)
{
	float16x4_t h;
	memcpy(&h, p, sizeof h);
	return vcvt_f32_f16(h);
}
static inline void f16_store(void *p, f16_vector x)
{
	float16x4_t h = vcvt_f16_f32(x);
	memcpy(p, &h, sizeof h);
}

#else
#define F16_LANES 1
typedef float f16_vector;
static inline f16_vector f16_load(const void *p)
{
	return float_of_f16(*(const mem_uint16 *)p);
}
static inline void f16_store(void *p, f16_vector x)
{
	*(mem_uint16 *)p = f16_of_float(x);
}
#endif

#endif

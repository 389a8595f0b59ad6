/* SPDX-License-Identifier: Apache-2.0 */
/*
 * float16 is 1 sign, 5 exponent (bias 15) and 10 fraction bits; bfloat16 1, 8 (bias 127) and 7. A
 * float32 is turned into either by rounding away the low bits of its fraction: adding half of the
 * last kept unit, less one when that unit's bit is 0, rounds to nearest even and carries into the
 * exponent by itself.
 */
#include "perf/ronde-perf/number.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

int perf_number_precision(ronde_dtype dtype)
{
	switch (dtype) {
	case RONDE_FLOAT16:
		return 10;
	case RONDE_BFLOAT16:
		return 7;
	case RONDE_FLOAT32:
		return 23;
	case RONDE_FLOAT64:
		return 52;
	default:
		return 0;
	}
}

static uint16_t to_16_bits(float value, int precision)
{
	int drop = 23 - precision;
	uint32_t bits, sign, rebias = precision == 10 ? (127 - 15) << 10 : 0;

	memcpy(&bits, &value, sizeof(bits));
	sign = bits >> 31;
	bits &= 0x7fffffff;
	if (bits == 0)
		return (uint16_t)(sign << 15);
	bits = (bits + (1u << (drop - 1)) - 1 + (bits >> drop & 1)) >> drop;
	return (uint16_t)((bits - rebias) | sign << 15);
}

static float from_16_bits(uint16_t half, int precision)
{
	uint32_t bits = half & 0x7fff, rebias = precision == 10 ? (127 - 15) << 10 : 0;
	float value;

	if (bits)
		bits = (bits + rebias) << (23 - precision);
	bits |= (uint32_t)(half >> 15) << 31;
	memcpy(&value, &bits, sizeof(value));
	return value;
}

/* Integers wrap around as C's unsigned ones do. */
#define STORE(name, type)                                                                          \
	case RONDE_##name: {                                                                       \
		type typed = (type)(int64_t)value;                                                 \
		memcpy(element, &typed, sizeof(typed));                                            \
		break;                                                                             \
	}

void perf_number_store(ronde_dtype dtype, void *element, double value)
{
	uint16_t half;
	float single = (float)value;

	switch (dtype) {
		STORE(UINT8, uint8_t)
		STORE(INT8, int8_t)
		STORE(UINT16, uint16_t)
		STORE(INT16, int16_t)
		STORE(UINT32, uint32_t)
		STORE(INT32, int32_t)
		STORE(UINT64, uint64_t)
		STORE(INT64, int64_t)
	case RONDE_FLOAT16:
	case RONDE_BFLOAT16:
		half = to_16_bits(single, perf_number_precision(dtype));
		memcpy(element, &half, sizeof(half));
		break;
	case RONDE_FLOAT32:
		memcpy(element, &single, sizeof(single));
		break;
	case RONDE_FLOAT64:
		memcpy(element, &value, sizeof(value));
		break;
	case RONDE_BOOL:
		*(uint8_t *)element = value != 0;
		break;
	case RONDE_DTYPE_COUNT:
		break;
	}
}

#define LOAD(name, type)                                                                           \
	case RONDE_##name: {                                                                       \
		type typed;                                                                        \
		memcpy(&typed, element, sizeof(typed));                                            \
		return (double)typed;                                                              \
	}

double perf_number_load(ronde_dtype dtype, const void *element)
{
	uint16_t half;

	switch (dtype) {
		LOAD(UINT8, uint8_t)
		LOAD(INT8, int8_t)
		LOAD(UINT16, uint16_t)
		LOAD(INT16, int16_t)
		LOAD(UINT32, uint32_t)
		LOAD(INT32, int32_t)
		LOAD(UINT64, uint64_t)
		LOAD(INT64, int64_t)
		LOAD(FLOAT32, float)
		LOAD(FLOAT64, double)
		LOAD(BOOL, uint8_t)
	case RONDE_FLOAT16:
	case RONDE_BFLOAT16:
		memcpy(&half, element, sizeof(half));
		return (double)from_16_bits(half, perf_number_precision(dtype));
	case RONDE_DTYPE_COUNT:
		break;
	}
	return NAN;
}

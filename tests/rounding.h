/* SPDX-License-Identifier: Apache-2.0 */
/* How far a float is from the real number it stands for. */
#ifndef RONDE_TESTS_ROUNDING_H
#define RONDE_TESTS_ROUNDING_H

#include <math.h>
#include <stdbool.h>

#include "bindings/c/ronde/ronde.h"

static inline bool is_real(ronde_dtype dtype)
{
	return dtype >= RONDE_FLOAT16 && dtype <= RONDE_FLOAT64;
}

/* Half of the distance from 1 to the next one. */
static inline double unit_roundoff(ronde_dtype dtype)
{
	static const double units[RONDE_DTYPE_COUNT] = {[RONDE_FLOAT16] = 0x1p-11,
							[RONDE_BFLOAT16] = 0x1p-8,
							[RONDE_FLOAT32] = 0x1p-24,
							[RONDE_FLOAT64] = 0x1p-53};
	return units[dtype];
}

/* Of one rounding to the type. Denormals only where tests come near them. */
static inline double rounding_error(ronde_dtype dtype, double real)
{
	double denormal = dtype == RONDE_FLOAT16 ? 0x1p-25 : 0;
	return unit_roundoff(dtype) * fabs(real) + denormal;
}

#endif

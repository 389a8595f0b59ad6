/* SPDX-License-Identifier: Apache-2.0 */
/* One element of any type as a double, and back, rounded to nearest even. */
#ifndef RONDE_PERF_NUMBER_H
#define RONDE_PERF_NUMBER_H

#include "ronde/ronde.h"

/* Only finite numbers; float16 and bfloat16 only normal ones and zero. */
void perf_number_store(ronde_dtype dtype, void *element, double value);
double perf_number_load(ronde_dtype dtype, const void *element);

/* Bits of the significand after the point; 0 for integers and bool. */
int perf_number_precision(ronde_dtype dtype);

#endif

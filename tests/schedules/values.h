/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tensors hold. A tensor of any size repeats a short period of random values, whose length is
 * prime: a byte that comes from the wrong place is then a wrong byte, and what is expected of a
 * tensor of 16 MiB is known from a few hundred elements.
 */
#ifndef RONDE_TESTS_SCHEDULES_VALUES_H
#define RONDE_TESTS_SCHEDULES_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collectives/kernels/kernels.h"

#define PERIOD 251

uint64_t random_bits(uint64_t *state);
/* 0 … n-1 */
uint64_t below(uint64_t *state, uint64_t n);
/* True once in n times. */
bool once_in(uint64_t *state, uint64_t n);

/* PERIOD elements. specials: NaN, infinities, zeros of both signs and denormals among them. */
void make_period(uint64_t *state, ronde_dtype dtype, bool specials, void *period);
/*
 * The reduction's result, one element after the other in plain C, in the association that
 * docs/design.md promises: the binary tree over ranks. It shares no code with the kernels.
 */
void reduce_periods(const struct ronde_reduce_spec *spec, const void *const *periods, int n,
		    void *result);

/* One element: its value, and the nearest the type has to a value. */
double real_of(ronde_dtype dtype, const void *element);
void set_real(ronde_dtype dtype, void *element, double value);
/* Of an integer type, sign extended. */
uint64_t whole_of(ronde_dtype dtype, const void *element);

/* Fills memory with a period over and over. */
void spread(void *memory, size_t bytes, const void *period, size_t element);
/* The first element of memory that is not the period's, or -1, where memory begins with element
 * `first` of it spread out. any_nan: one NaN is as good as another. */
int64_t find_wrong_from(uint64_t first, const void *memory, size_t bytes, const void *period,
			ronde_dtype dtype, bool any_nan);
/* The same for memory that begins with the period's first. */
int64_t find_wrong(const void *memory, size_t bytes, const void *period, ronde_dtype dtype,
		   bool any_nan);

#endif

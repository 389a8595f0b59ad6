/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contents of tensors: what each rank writes in each round, and what must come out. Small whole
 * numbers, so that every sum is exact in every type.
 */
#ifndef RONDE_PERF_DATA_H
#define RONDE_PERF_DATA_H

#include "ronde/ronde.h"

#include <stddef.h>
#include <stdint.h>

/* Blocks of 64 bytes after which the pattern repeats: a prime, so that a slice or chunk that went
 * to the wrong place is noticed. */
enum { PERF_PATTERN_BLOCKS = 127, PERF_BLOCK = 64 };

struct perf_data {
	ronde_dtype dtype;
	ronde_reduction reduction;
	int size; /* ranks */
	/* One period, twice, so that a period can be read from any block. */
	_Alignas(64) unsigned char pattern[2 * PERF_PATTERN_BLOCKS * PERF_BLOCK];
};

void perf_data_init(struct perf_data *data, ronde_dtype dtype, ronde_reduction reduction, int size);

/* Writes all of count elements with ordinary stores, as a backward pass does. */
void perf_data_fill(const struct perf_data *data, void *tensor, size_t count, int rank, int round);

/* Number of count elements that differ from element first on of the reduction over all ranks' fills
 * of this round. */
size_t perf_data_wrong_reduced(const struct perf_data *data, const void *tensor, size_t first,
			       size_t count, int round);

/* Number of count elements that differ from element first on of one rank's fill of this round. */
size_t perf_data_wrong_copy(const struct perf_data *data, const void *tensor, size_t first,
			    size_t count, int rank, int round);

/* Bytes of an element, and a type's name, from the public list (no library needed). */
size_t perf_dtype_bytes(ronde_dtype dtype);
const char *perf_dtype_name(ronde_dtype dtype);
const char *perf_reduction_name(ronde_reduction reduction);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Sparse tensors that ranks give, each known to all of them. */
#ifndef RONDE_TESTS_SPARSE_INPUT_H
#define RONDE_TESTS_SPARSE_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "ronde/ronde.h"
#include "tests/seed.h"

#define ROWS 50  /* most of a rank */
#define TABLE 23 /* rows of the dense tensor */
#define WIDEST 17

/* What a rank gives: small whole numbers, so that sums are exact. */
struct input {
	int64_t rows, indices[ROWS];
	float values[ROWS * WIDEST];
};

static inline void make_input(struct input *in, uint64_t seed, int rank, int64_t width, bool any)
{
	uint64_t s = seed + 977 * (uint64_t)rank;
	in->rows = any ? (int64_t)(next_random(&s) % (ROWS + 1)) : 0;
	for (int64_t i = 0; i < in->rows; i++)
		in->indices[i] = (int64_t)(next_random(&s) % TABLE);
	for (int64_t i = 0; i < in->rows * width; i++)
		in->values[i] = (float)(next_random(&s) % 64) - 32;
}

static inline ronde_sparse_rows rows_of(const struct input *in, int64_t width)
{
	return (ronde_sparse_rows){in->rows, width, in->indices, in->values, RONDE_FLOAT32};
}

#endif

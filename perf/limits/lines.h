/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least that an agreement through a leader and the sum of a few floats can be: every rank says
 * its floats in a cache line of its own, rank 0 adds them up and says the sum in another, and all
 * read that. With 2 ranks one line goes there and one comes back.
 *
 * Rank 1 writes its line n+1 only after it has read the sum n, and rank 0 writes the sum n+1 only
 * after it has read all lines n+1, so nothing is overwritten that is still to be read.
 */
#ifndef RONDE_PERF_LIMITS_LINES_H
#define RONDE_PERF_LIMITS_LINES_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { PERF_LINE_FLOATS = 14 };

struct perf_line {
	_Alignas(64) _Atomic uint64_t turn; /* what the line holds the floats of */
	float floats[PERF_LINE_FLOATS];
};

struct perf_lines {
	struct perf_line *line; /* [size + 1]; the last one has the sum; zeroed at first */
	uint64_t turn;
	int rank, size;
};

size_t perf_lines_bytes(int size);

/* Blocks. count ≤ PERF_LINE_FLOATS. */
void perf_lines_add(struct perf_lines *lines, const float *input, float *output, size_t count,
		    void (*relax)(void *arg), void *arg);

#endif

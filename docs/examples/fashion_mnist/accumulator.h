/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adds up gradients over the parts of a batch, in the order of a binary tree: (p0 + p1) + (p2 +
 * p3).
 *
 * Floating-point sums depend on their order, and training magnifies a difference in the last bit to
 * one that shows within a hundred steps. Ronde adds over ranks as this tree does. So a batch of
 * four parts gives the same bits whether one rank has all of them, two ranks have two each, or four
 * have one each.
 *
 * It counts in binary: levels[l] holds a finished sum of 2^l parts if bit l of the number of parts
 * seen is set. The next part is written where its sum with all it completes will be kept.
 */
#ifndef FASHION_MNIST_ACCUMULATOR_H
#define FASHION_MNIST_ACCUMULATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ACCUMULATOR_LEVELS = 32 };

struct accumulator {
	float *result; /* the caller's: the sum over all parts */
	float *levels[ACCUMULATOR_LEVELS];
	uint32_t part, parts;
};

/* For up to max_parts parts of `count` floats. */
int accumulator_init(struct accumulator *accumulator, float *result, size_t count,
		     uint32_t max_parts);
void accumulator_finish(struct accumulator *accumulator);

/* Says that part number `part` of `parts` comes now. Returns where it has to be written. */
float *accumulator_begin(struct accumulator *accumulator, uint32_t part, uint32_t parts);

/* Floats first … first + count - 1 of this part are written. Returns true if that was the last
 * part: the result there is final. */
bool accumulator_add(struct accumulator *accumulator, size_t first, size_t count);

#endif

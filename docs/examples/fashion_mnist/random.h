/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random numbers that are the same everywhere: every rank that seeds alike shuffles alike. A
 * Weyl sequence put through a mixing function (splitmix64).
 */
#ifndef FASHION_MNIST_RANDOM_H
#define FASHION_MNIST_RANDOM_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

struct random {
	uint64_t state;
};

static inline uint64_t random_next(struct random *random)
{
	uint64_t x = random->state += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* A stream for one purpose: neighbouring seeds and purposes give unrelated streams. */
static inline struct random random_stream(uint64_t seed, uint64_t purpose)
{
	struct random random = {seed};

	random.state = random_next(&random) ^ purpose;
	random.state = random_next(&random);
	return random;
}

/* Uniform in (0, 1]. */
static inline double random_uniform(struct random *random)
{
	return (double)((random_next(random) >> 11) + 1) * 0x1p-53;
}

/* Standard normal. */
static inline double random_normal(struct random *random)
{
	double radius = sqrt(-2 * log(random_uniform(random)));

	return radius * cos(2 * 3.14159265358979323846 * random_uniform(random));
}

/* Puts 0 … count-1 into random order. */
static inline void random_permutation(struct random *random, uint32_t *order, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t j = (uint32_t)(random_next(random) % (i + 1));

		order[i] = order[j];
		order[j] = i;
	}
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers of a test that can be had again: RONDE_TEST_SEED=n. */
#ifndef RONDE_TESTS_SEED_H
#define RONDE_TESTS_SEED_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* The seed of this run; prints it. */
static inline uint64_t test_seed(void)
{
	const char *text = getenv("RONDE_TEST_SEED");
	uint64_t seed = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);
	printf("RONDE_TEST_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}

/* splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014). */
static inline uint64_t next_random(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

#endif

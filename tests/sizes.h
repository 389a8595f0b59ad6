/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of a long test is run: gcc's plain build takes it whole. Sanitizers make a program
 * several times slower, the race checker 20 times and more; what they look for shows in a few turns
 * of a loop as in many. With RONDE_TEST_LONG in the environment (tests/run.sh --all) all take the
 * full number.
 */
#ifndef RONDE_TESTS_SIZES_H
#define RONDE_TESTS_SIZES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#if defined(__SANITIZE_THREAD__)
#define SIZES_DIVISOR 13
#elif defined(__SANITIZE_ADDRESS__)
#define SIZES_DIVISOR 5
#elif defined(__clang__)
/* The same code again: what another compiler makes of it shows in fewer turns as well. */
#define SIZES_DIVISOR 3
#else
#define SIZES_DIVISOR 1
#endif

static inline bool test_is_long(void)
{
	return getenv("RONDE_TEST_LONG") != NULL;
}

/* The race checker looks on: at each process by itself. */
static inline bool test_of_races(void)
{
#if defined(__SANITIZE_THREAD__)
	return true;
#else
	return false;
#endif
}

/* Turns of a loop that takes `usual` of them without a sanitizer. */
static inline int test_turns(int usual)
{
	int turns = test_is_long() ? usual : usual / SIZES_DIVISOR;
	return turns > 0 ? turns : 1;
}

/* Bytes or elements of a large tensor: not so many where each takes long, but still many chunks. */
static inline size_t test_large(size_t usual)
{
	return SIZES_DIVISOR == 1 || test_is_long() ? usual : usual / 8;
}

/*
 * For loops over all cases: how far it is from a case that is run to the next. A prime, so that
 * where a case's number stands for several things, all values of each have their turn.
 */
static inline int test_stride(void)
{
	return test_is_long() ? 1 : SIZES_DIVISOR;
}

/* Cases of so many that are run: numbers 0, test_stride(), … */
static inline int test_cases(int all)
{
	return (all + test_stride() - 1) / test_stride();
}

#endif

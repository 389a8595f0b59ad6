/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all bootstraps share: points in time, and the names of the ranks that are waited for.
 */
#ifndef RONDE_BOOTSTRAP_WAIT_H
#define RONDE_BOOTSTRAP_WAIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Seconds of the monotonic clock. A deadline is such a time. */
static inline double ronde_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The same clock in whole nanoseconds, for what is compared exactly. */
static inline uint64_t ronde_nanoseconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The same time for pthread_cond_timedwait(). Times past the year 2100 are as good as never. */
static inline struct timespec ronde_timespec(double seconds)
{
	if (!(seconds < 4e9))
		seconds = 4e9;
	struct timespec t = {.tv_sec = (time_t)seconds};
	t.tv_nsec = (long)(1e9 * (seconds - (double)t.tv_sec));
	return t;
}

/*
 * Writes "rank 2" or "ranks 0-2, 5" for the set members of which[0 … n-1]. A list that does not
 * fit ends in "…". A text of 128 bytes is enough for most.
 */
void ronde_ranks_text(char *text, size_t bytes, const bool *which, int n);

#endif

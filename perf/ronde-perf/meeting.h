/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A meeting: where ranks of one machine wait for each other before a timed operation. It belongs
 * to the benchmark and not to what is measured, so that Ronde, memcpy and MPI all start alike.
 */
#ifndef RONDE_PERF_MEETING_H
#define RONDE_PERF_MEETING_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define PERF_MEETING_PATH 64

struct perf_meeting;

/* Nanoseconds of the monotonic clock, the same on all ranks of a machine. */
static inline int64_t perf_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/*
 * Rank 0 makes the shared page and gets a path under which the other ranks find it for as long as
 * rank 0 lives. NULL, with errno, if there is no memory for it.
 */
struct perf_meeting *perf_meeting_host(int size, char path[PERF_MEETING_PATH]);

/* Another rank maps the page. NULL, with errno, if it can't see rank 0's files. */
struct perf_meeting *perf_meeting_join(int rank, int size, const char *path);

/* NULL is fine. */
void perf_meeting_close(struct perf_meeting *meeting);

/*
 * Returns at nearly the same instant on all ranks: the last to arrive fixes a moment a little
 * ahead, and everybody spins until then. Blocks. Returns false if a rank left or died.
 */
bool perf_meeting_wait(struct perf_meeting *meeting);

/* Says that this rank does not come to meetings any more; the others' wait returns false. */
void perf_meeting_leave(struct perf_meeting *meeting);

#endif

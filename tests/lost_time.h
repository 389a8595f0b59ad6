/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For promises in seconds, on a machine that others use as well: what they had of its cores does
 * not count. Example: two cores, both busy for 3 s, of which the test's own processes had 2 s
 * together; so the others had 4 s of 6, and 2 s by the clock were lost. On a quiet machine nothing
 * is, also if a test's own processes keep each other waiting.
 */
#ifndef RONDE_TESTS_LOST_TIME_H
#define RONDE_TESTS_LOST_TIME_H

#include <sys/types.h>

/* Seconds for which the cores that this process may use have worked, all together; and how many. */
double lost_time_busy(int *cores);
/* Seconds for which threads of the process have; -1: it is gone. */
double lost_time_used(pid_t pid);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Processor time of this process's threads, by their names. */
#ifndef RONDE_PERF_THREAD_TIME_H
#define RONDE_PERF_THREAD_TIME_H

#include <stdint.h>

/* Nanoseconds that the threads called so have run, together; those that have ended do not count.
 * 0 as well where the kernel does not tell (proc(5), schedstat). */
int64_t perf_thread_time(const char *name);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/affinity.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* The most that the configuration allows fits: NUMBERS(0, 1023). */
_Static_assert(CPU_SETSIZE > 1023, "a processor of RONDE_THREAD_AFFINITY is a bit of a cpu_set_t");

/* The number at that place of a list that has been checked, or -1. */
static long number_at(const char *list, int place)
{
	for (; list && place > 0; place--) {
		list = strchr(list, ',');
		list += list != NULL;
	}
	return list ? strtol(list, NULL, 10) : -1;
}

void ronde_affinity_bind(pthread_t thread, const char *list, int local_rank, struct ronde_log *log)
{
	if (!*list)
		return;
	long processor = number_at(list, local_rank);
	if (processor < 0) {
		ronde_log(log, WARN,
			  "RONDE_THREAD_AFFINITY is \"%s\", which names no processor for local "
			  "rank %d: its coordinator thread is not bound",
			  list, local_rank);
		return;
	}
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET((size_t)processor, &set);
	int error = pthread_setaffinity_np(thread, sizeof set, &set);
	if (error)
		ronde_log(
			log, WARN,
			"RONDE_THREAD_AFFINITY is \"%s\": the coordinator thread of local rank %d "
			"cannot be bound to processor %ld: %s",
			list, local_rank, processor, strerror(error));
}

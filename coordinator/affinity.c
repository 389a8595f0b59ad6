/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/affinity.h"

#include <dirent.h>
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

/* What any thread of the process may use: one may have bound itself closer than the others. */
static cpu_set_t process_processors(void)
{
	cpu_set_t all, one;
	CPU_ZERO(&all);
	if (sched_getaffinity(0, sizeof one, &one) == 0)
		all = one;
	DIR *threads = opendir("/proc/self/task");
	for (const struct dirent *t; threads && (t = readdir(threads));) {
		long number = strtol(t->d_name, NULL, 10);
		if (number > 0 && sched_getaffinity((pid_t)number, sizeof one, &one) == 0)
			CPU_OR(&all, &all, &one);
	}
	if (threads)
		closedir(threads);
	return all;
}

void ronde_affinity_near(pthread_t thread, const cpu_set_t *domain, struct ronde_log *log)
{
	cpu_set_t near = process_processors(), now;
	CPU_AND(&near, &near, domain);
	if (CPU_COUNT(&near) == 0 ||
	    (pthread_getaffinity_np(thread, sizeof now, &now) == 0 && CPU_EQUAL(&now, &near)))
		return;
	int error = pthread_setaffinity_np(thread, sizeof near, &near);
	if (error)
		ronde_log(log, INFO, "the coordinator thread stays where it is: %s",
			  strerror(error));
}

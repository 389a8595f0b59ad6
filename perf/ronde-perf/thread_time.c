/* SPDX-License-Identifier: Apache-2.0 */
#include "perf/ronde-perf/thread_time.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first line of a thread's file. */
static bool read_line(const char *thread, const char *what, char *line, int bytes)
{
	char path[300];
	snprintf(path, sizeof path, "/proc/self/task/%s/%s", thread, what);
	FILE *file = fopen(path, "r");
	bool read = file && fgets(line, bytes, file);
	if (file)
		fclose(file);
	return read;
}

int64_t perf_thread_time(const char *name)
{
	char line[128];
	int64_t sum = 0;
	DIR *threads = opendir("/proc/self/task");
	for (struct dirent *entry; threads && (entry = readdir(threads));) {
		if (!read_line(entry->d_name, "comm", line, sizeof line))
			continue;
		line[strcspn(line, "\n")] = 0;
		if (strcmp(line, name) == 0 &&
		    read_line(entry->d_name, "schedstat", line, sizeof line))
			sum += strtoll(line, NULL, 10);
	}
	if (threads)
		closedir(threads);
	return sum;
}

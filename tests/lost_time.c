/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lost_time.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static double ticks(unsigned long long n)
{
	return (double)n / (double)sysconf(_SC_CLK_TCK);
}

double lost_time_busy(int *cores)
{
	cpu_set_t allowed;
	char line[512];
	double busy = 0;
	int all = sched_getaffinity(0, sizeof allowed, &allowed);
	*cores = 0;
	FILE *f = fopen("/proc/stat", "r");
	while (f && fgets(line, sizeof line, f)) {
		unsigned cpu;
		unsigned long long t[8];
		if (sscanf(line, "cpu%u %llu %llu %llu %llu %llu %llu %llu %llu", &cpu, &t[0],
			   &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]) != 9 ||
		    (!all && (cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &allowed))))
			continue;
		busy += ticks(t[0] + t[1] + t[2] + t[5] + t[6] + t[7]); /* 3 and 4 are idle */
		++*cores;
	}
	if (f)
		fclose(f);
	return busy;
}

double lost_time_used(pid_t pid)
{
	char path[32], text[1024];
	unsigned long long user, system;
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	FILE *f = fopen(path, "r");
	size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
	if (f)
		fclose(f);
	text[n] = 0;
	/* The name, in brackets, may hold anything. */
	const char *rest = strrchr(text, ')');
	if (!rest || sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
			    &system) != 2)
		return -1;
	return ticks(user + system);
}

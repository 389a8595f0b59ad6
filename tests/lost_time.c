/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lost_time.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static double ticks(unsigned long long n)
{
	return (double)n / (double)sysconf(_SC_CLK_TCK);
}

/* The next number of a line; the line goes on behind it. */
static unsigned long long number(char **line)
{
	return strtoull(*line, line, 10);
}

double lost_time_busy(int *cores)
{
	cpu_set_t allowed;
	char line[512];
	double busy = 0;
	bool all = sched_getaffinity(0, sizeof allowed, &allowed) != 0;
	*cores = 0;
	FILE *f = fopen("/proc/stat", "r");
	while (f && fgets(line, sizeof line, f)) {
		char *at = line + 3;
		if (strncmp(line, "cpu", 3) != 0 || *at == ' ') /* of all together */
			continue;
		unsigned long long cpu = number(&at), sum = 0;
		if (!all && (cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &allowed)))
			continue;
		for (int i = 0; i < 8; i++) {
			unsigned long long n = number(&at);
			sum += i == 3 || i == 4 ? 0 : n; /* idle, and idle until a disk answers */
		}
		busy += ticks(sum);
		++*cores;
	}
	if (f)
		fclose(f);
	return busy;
}

double lost_time_used(pid_t pid)
{
	char path[32], text[1024];
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	FILE *f = fopen(path, "r");
	size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
	if (f)
		fclose(f);
	text[n] = 0;
	char *at = strrchr(text, ')'); /* the name, in brackets, may hold anything */
	if (!at || strlen(at) < 4)
		return -1;
	at += 3;                     /* the state, a letter */
	for (int i = 0; i < 10; i++) /* what else there is in front */
		at += strcspn(at + 1, " ") + 1;
	unsigned long long user = number(&at);
	return ticks(user + number(&at));
}

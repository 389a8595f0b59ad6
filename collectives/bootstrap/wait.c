/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/bootstrap/wait.h"

#include <stdio.h>
#include <string.h>

/* The end of the run of set members that begins at `first`. */
static int run_end(const bool *which, int n, int first)
{
	int end = first + 1;
	while (end < n && which[end])
		end++;
	return end;
}

void ronde_ranks_text(char *text, size_t bytes, const bool *which, int n)
{
	static const char more[] = ", …";
	int count = 0;
	for (int i = 0; i < n; i++)
		count += which[i];
	size_t used = (size_t)snprintf(text, bytes, "%s", count == 1 ? "rank" : "ranks");
	const char *separator = " ";
	for (int i = 0; i < n; i++) {
		if (!which[i])
			continue;
		int last = run_end(which, n, i) - 1;
		char run[32];
		int length = last == i ? snprintf(run, sizeof run, "%s%d", separator, i)
				       : snprintf(run, sizeof run, "%s%d-%d", separator, i, last);
		if (used + (size_t)length + sizeof more > bytes) {
			snprintf(text + used, bytes - used, "%s", more);
			return;
		}
		memcpy(text + used, run, (size_t)length + 1);
		used += (size_t)length;
		separator = ", ";
		i = last;
	}
}

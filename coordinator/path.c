/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/path.h"

#include <stdio.h>
#include <string.h>

#include "collectives/status.h"

int ronde_path_expand(char *path, size_t bytes, const char *pattern, int rank, const char *host,
		      const char *what, int status)
{
	size_t used = 0;
	for (const char *p = pattern; *p; p++) {
		char number[16], one[2] = {*p, 0};
		const char *part = one;
		if (*p == '%') {
			snprintf(number, sizeof number, "%d", rank);
			p++;
			if (*p == 'r')
				part = number;
			else if (*p == 'h')
				part = host;
			else if (*p != '%')
				return ronde_error(status,
						   "%s is \"%s\": a %% may only be followed by r "
						   "(rank), h (host) or another %%",
						   what, pattern);
		}
		size_t length = strlen(part);
		if (used + length >= bytes)
			return ronde_error(status,
					   "%s is \"%s\": the path is longer than %zu bytes", what,
					   pattern, bytes - 1);
		memcpy(path + used, part, length);
		used += length;
	}
	path[used] = 0;
	return RONDE_OK;
}

bool ronde_path_names_rank(const char *pattern)
{
	for (const char *p = pattern; *p; p++)
		if (*p == '%' && *++p == 'r')
			return true;
	return false;
}

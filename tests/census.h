/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a suite has run of what there is, in a line that .ci/long puts into docs/verification.md:
 * "census: SUITE | WHERE | RUN of EXIST WHAT".
 */
#ifndef RONDE_TESTS_CENSUS_H
#define RONDE_TESTS_CENSUS_H

#include <stdio.h>

static inline void report_census(const char *suite, const char *where, long run, long exist,
				 const char *what)
{
	printf("census: %s | %s | %ld of %ld %s\n", suite, where, run, exist, what);
}

#endif

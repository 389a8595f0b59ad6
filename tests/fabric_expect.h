/* SPDX-License-Identifier: Apache-2.0 */
/* Judging on a rank: what is wrong is said with its rank and ends the program. */
#ifndef RONDE_TESTS_FABRIC_EXPECT_H
#define RONDE_TESTS_FABRIC_EXPECT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/fabric.h"
#include "ronde/ronde.h"

static inline void fabric_wrong(const struct ronde_fabric *f, const char *file, int line,
				const char *what)
{
	fprintf(stderr, "rank %d of %d: %s:%d: %s; the last error is \"%s\"\n", f->rank, f->size,
		file, line, what, ronde_error_message());
	abort();
}

static inline void fabric_fails(const struct ronde_fabric *f, int status, int expected,
				const char *text, const char *file, int line, const char *what)
{
	if (status != expected || !strstr(ronde_error_message(), text)) {
		fprintf(stderr, "expected %s: \"%s\", is %s\n", ronde_status_name(expected), text,
			ronde_status_name(status));
		fabric_wrong(f, file, line, what);
	}
}

#define EXPECT(f, what) ((what) ? (void)0 : fabric_wrong(f, __FILE__, __LINE__, "not true: " #what))
#define OK(f, call)                                                                                \
	((call) == RONDE_OK ? (void)0 : fabric_wrong(f, __FILE__, __LINE__, "failed: " #call))
/* It fails with a text that holds this one. */
#define FAILS(f, call, status, text) fabric_fails(f, call, status, text, __FILE__, __LINE__, #call)

#endif

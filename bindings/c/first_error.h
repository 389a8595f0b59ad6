/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first of several errors, with its text: for functions that go on after an error, so that the
 * other ranks are not left waiting, and return it at their end.
 */
#ifndef RONDE_FIRST_ERROR_H
#define RONDE_FIRST_ERROR_H

#include <stdio.h>

#include "collectives/status.h"

struct ronde_first_error {
	int status; /* start from RONDE_OK */
	char text[RONDE_ERROR_BYTES];
};

/* Keeps the status and the thread's error text if it is the first error. */
static inline void ronde_first_error_note(struct ronde_first_error *first, int status)
{
	if (status == RONDE_OK || first->status != RONDE_OK)
		return;
	first->status = status;
	snprintf(first->text, sizeof first->text, "%s", ronde_error_message());
}

/* The first error, with its text as the thread's again; RONDE_OK if there was none. */
static inline int ronde_first_error_return(const struct ronde_first_error *first)
{
	return first->status == RONDE_OK ? RONDE_OK : ronde_error(first->status, "%s", first->text);
}

#endif

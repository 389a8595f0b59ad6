/* SPDX-License-Identifier: Apache-2.0 */
/* Errors: the first function that decides there is one describes it, once; callers pass the code
 * on. */
#ifndef RONDE_COLLECTIVES_STATUS_H
#define RONDE_COLLECTIVES_STATUS_H

#include "ronde/ronde.h"

/* Longest error text kept, with the final zero; longer ones end in "…". */
#define RONDE_ERROR_BYTES 4096

/* Sets the calling thread's error text and returns status, so that `return ronde_error(…)` works.
 */
int ronde_error(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif

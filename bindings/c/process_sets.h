/* SPDX-License-Identifier: Apache-2.0 */
/* The part of ronde_init() that is about process sets. */
#ifndef RONDE_PROCESS_SETS_H
#define RONDE_PROCESS_SETS_H

#include "coordinator/context.h"

/* Makes the sets that ronde_init() was given (options NULL: none). All ranks; blocks. Errors:
 * INVALID_ARGUMENT, MISMATCH, and those of the end of the runtime. */
int ronde_process_sets_begin(struct ronde_context *context, const ronde_init_options *options);

#endif

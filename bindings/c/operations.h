/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of operations share. */
#ifndef RONDE_OPERATIONS_H
#define RONDE_OPERATIONS_H

#include "bindings/c/arguments.h"

/* Submits if status is RONDE_OK; with handle NULL also waits. Leaves the default context. */
int ronde_operation_finish(struct ronde_context *context, int status,
			   struct ronde_submission *submission, ronde_handle *handle);

/* Copies size and process set, for an operation that has no other options common to all. The size
 * is checked with the arguments. */
void ronde_operation_take_set(ronde_options *plain, const ronde_options *options);

/* Describes that the asynchronous `function` was given no handle. Returns INVALID_ARGUMENT. */
int ronde_operation_no_handle(const char *function);

#endif

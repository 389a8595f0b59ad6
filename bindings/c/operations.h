/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of operations share. */
#ifndef RONDE_OPERATIONS_H
#define RONDE_OPERATIONS_H

#include "bindings/c/arguments.h"

/* Submits if status is RONDE_OK; with handle NULL also waits. Leaves the default context. */
int ronde_operation_finish(struct ronde_context *context, int status,
			   struct ronde_submission *submission, ronde_handle *handle);

/* The same for n members of a group of this name (NULL: unnamed); status is OK only if n ≥ 1. */
int ronde_operation_finish_group(struct ronde_context *context, int status, const char *name,
				 struct ronde_submission *members, uint32_t n,
				 ronde_handle *handle);

/*
 * Checks and fills in one tensor of an operation; reduction where there is one. Of the arguments
 * function, name, options and group are given, the rest is set here.
 */
typedef int (*ronde_operation_fill_fn)(struct ronde_context *context,
				       struct ronde_arguments *arguments,
				       const ronde_group_tensor *tensor, ronde_reduction reduction,
				       struct ronde_submission *submission);
int ronde_operation_fill_allreduce(struct ronde_context *context, struct ronde_arguments *arguments,
				   const ronde_group_tensor *tensor, ronde_reduction reduction,
				   struct ronde_submission *submission);
int ronde_operation_fill_allgather(struct ronde_context *context, struct ronde_arguments *arguments,
				   const ronde_group_tensor *tensor, ronde_reduction unused,
				   struct ronde_submission *submission);
int ronde_operation_fill_reducescatter(struct ronde_context *context,
				       struct ronde_arguments *arguments,
				       const ronde_group_tensor *tensor, ronde_reduction reduction,
				       struct ronde_submission *submission);

/* Copies size and process set, for an operation that has no other options common to all. The size
 * is checked with the arguments. */
void ronde_operation_take_set(ronde_options *plain, const ronde_options *options);

/* Describes that the asynchronous `function` was given no handle. Returns INVALID_ARGUMENT. */
int ronde_operation_no_handle(const char *function);

#endif

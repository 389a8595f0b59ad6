/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of arguments that need no other rank: what is found here is an error of the call, and
 * nothing is submitted. */
#ifndef RONDE_ARGUMENTS_H
#define RONDE_ARGUMENTS_H

#include "coordinator/context.h"
#include "coordinator/submit.h"

/* What all operations are given. */
struct ronde_arguments {
	const char *function;
	const char *name;
	int64_t count;
	ronde_dtype dtype;
	const ronde_options *options; /* may be NULL */
	uint32_t member, members;     /* its number in its group, from 1; 0: it is in none */
};

/* The options' size in the first version: a field after that is read only if the size covers it. */
#define RONDE_OPTIONS_1 (offsetof(ronde_options, postscale) + sizeof(double))

/* Checks name, count, type, shape, scales and process set and fills the submission's name and
 * description. */
int ronde_arguments_check(struct ronde_context *context, const struct ronde_arguments *arguments,
			  enum ronde_kind kind, struct ronde_submission *submission);

/* The options' size and scales; ronde_arguments_check() does it, too. */
int ronde_arguments_options(const struct ronde_arguments *arguments);

/* A pointer that an operation on count elements needs. */
int ronde_arguments_memory(const struct ronde_arguments *arguments, const char *what,
			   const void *memory);

/* Rank in the job, and in the process set. */
int ronde_arguments_root(struct ronde_context *context, const struct ronde_arguments *arguments,
			 int root, struct ronde_submission *submission);

/* Reduction of an operation that reduces. */
int ronde_arguments_reduction(const struct ronde_arguments *arguments, ronde_reduction reduction);

/*
 * The shape of an operation on rows, which `what` ("an allgather") is: sets the arguments' count,
 * and shape and ndim of `options`, their options from here on.
 */
int ronde_arguments_rows(struct ronde_arguments *arguments, const char *what, const int64_t *shape,
			 int ndim, ronde_options *options);

/* An error of this call: "ronde_allreduce: tensor "w": …". */
int ronde_arguments_error(const struct ronde_arguments *arguments, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif

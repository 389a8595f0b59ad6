/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking what the application submits: a request with its name in the directory, its memory held,
 * its results' place known. Nothing is announced yet, and until it is a request can be given back.
 * All of this is under the submit lock.
 */
#ifndef RONDE_TAKE_H
#define RONDE_TAKE_H

#include "coordinator/submit.h"

/* The set, if something can be submitted to it: ronde_submit_find_set(), and what ended the
 * runtime. */
int ronde_take_open(struct ronde_context *context, uint32_t set_id, struct ronde_process_set **set);

/* Errors: DUPLICATE_NAME, OUT_OF_MEMORY. ordinal: the request's, should it be unnamed. */
int ronde_take(struct ronde_context *context, struct ronde_process_set *set,
	       const struct ronde_submission *submission, uint64_t ordinal,
	       struct ronde_request **request);
/* Describes that there is no request for one more operation. Returns OUT_OF_MEMORY. */
int ronde_take_no_memory(const struct ronde_context *context);
/* As if it had never been taken. */
void ronde_take_back(struct ronde_context *context, struct ronde_request *request);
/* It is at its end: its name can be used again, its memory is let go. */
void ronde_take_leave(struct ronde_context *context, struct ronde_request *request);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Submitting: from a call of the application to an announcement in the ring, and back: completing a
 * request.
 */
#ifndef RONDE_SUBMIT_H
#define RONDE_SUBMIT_H

#include "coordinator/context.h"

/* One operation as the application asked for it, arguments already checked. */
struct ronde_submission {
	const char *name; /* NULL: unnamed */
	struct ronde_desc desc;
	const void *input;
	void *output;
	uint64_t count;           /* my elements */
	int64_t rows;             /* allgather, alltoall: my rows */
	ronde_gathered *gathered; /* allgather, alltoall */
	const int64_t *splits;    /* alltoall: rows for each member, or NULL: as many for each */
	int members, me;          /* of the set, for checks of arguments */
	bool will_wait; /* the caller waits next: nobody has to be woken to make progress */
};

/*
 * Takes the operation and announces it. Does not wait. Errors: DUPLICATE_NAME, OUT_OF_MEMORY, and
 * what ended the runtime (SHUTDOWN, PEER_LOST); nothing is in flight then.
 */
int ronde_submit(struct ronde_context *context, const struct ronde_submission *submission,
		 ronde_handle *handle);

/* Whether this rank may submit now. Errors: INVALID_ARGUMENT (it has joined), and what ended the
 * runtime. Under the submit lock. */
int ronde_submit_may(const struct ronde_context *context);

/*
 * Takes n operations (1 to RONDE_MOST_MEMBERS) of one kind and set as a group: none starts on any
 * rank before all are there on every rank. Their names and groups are filled in here; name (NULL:
 * unnamed) with the longest suffix behind it is short enough for a tensor. One handle for all; its
 * status is that of the first member that failed. Errors, which leave nothing in flight: as
 * ronde_submit().
 */
int ronde_submit_group(struct ronde_context *context, const char *name,
		       struct ronde_submission *members, uint32_t n, ronde_handle *handle);

/*
 * The process set as an operation of this rank needs it: it exists, this rank is in it and has not
 * asked for its removal. Errors: INVALID_ARGUMENT. Under the submit lock, but for set 0.
 */
int ronde_submit_find_set(struct ronde_context *context, uint32_t id,
			  struct ronde_process_set **set);

/* Waits until the request is done, releases it and returns its status, with the text described. */
int ronde_submit_wait(struct ronde_context *context, ronde_handle handle);

/* See ronde_handle_on_done(). */
int ronde_submit_on_done(struct ronde_context *context, ronde_handle handle, ronde_done_fn fn,
			 void *arg);

/* Describes that no handle in flight is this one. Returns UNKNOWN_HANDLE. */
int ronde_submit_unknown(const char *function, ronde_handle handle);

/* Asks for the end of the runtime, on all ranks. */
void ronde_submit_shutdown(struct ronde_context *context);

/* True if a tensor of this description travels inside announcement and entry. Decided by its size
 * only. */
bool ronde_rides(const struct ronde_context *context, const struct ronde_desc *desc);
/* True if that rank's bytes are wanted in its announcement. */
bool ronde_gives_payload(const struct ronde_context *context, const struct ronde_desc *desc,
			 int rank);

/* Announces a new request, and those behind it (`next`), and sees that they are heard. Under the
 * submit lock, which it drops. */
void ronde_submit_announce(struct ronde_context *context, struct ronde_request *request,
			   bool will_wait);

/* ---- for the engine; under the submit lock where it says so ---- */

/* Announces what the ring had no room for. Takes the lock. True if there was something. */
bool ronde_submit_flush(struct ronde_context *context);
/* Announces again, in full, what was announced by a slot that had been evicted. Under the lock. */
void ronde_submit_again(struct ronde_context *context, struct ronde_request *request);
/* The request is done. Under the lock. text NULL: the status's own. */
void ronde_submit_complete(struct ronde_context *context, struct ronde_request *request, int status,
			   const char *text);
/* All pending requests fail, and everything submitted from now on. Takes the lock. First call wins.
 */
void ronde_submit_end(struct ronde_context *context, int status, const char *text);

#endif

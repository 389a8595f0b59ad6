/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests: what a rank submitted, from submit to wait, and the handles that name them.
 *
 * Requests live in chunks that are never freed before the pool, so a handle can be looked up
 * without a lock: its index finds the request, its generation says whether it is still the one
 * meant. All other changes are made under the submit lock.
 */
#ifndef RONDE_REQUEST_H
#define RONDE_REQUEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "collectives/share.h"
#include "coordinator/hash.h"

#include "coordinator/tensor.h"
#include "coordinator/wire.h"

struct ronde_tensor;
struct ronde_call_back;

enum ronde_request_state {
	RONDE_REQUEST_FREE = 0,
	RONDE_REQUEST_PENDING = 1,
	RONDE_REQUEST_DONE = 2
};

/* What a request is that concerns no tensor. */
enum ronde_control {
	RONDE_CONTROL_NONE = 0,
	RONDE_CONTROL_SET,   /* a change of the process sets */
	RONDE_CONTROL_JOIN,  /* output is an int */
	RONDE_CONTROL_GROUP, /* the handle of a group; complete when its members are */
};

struct ronde_request {
	/* generation << 3 | claimed << 2 | ronde_request_state */
	_Atomic uint64_t state;
	uint32_t index;

	enum ronde_control control;
	enum ronde_set_change change; /* control SET: input has count ranks, output is an int */
	uint32_t set;

	struct ronde_request *group; /* whose member it is, or NULL */
	uint32_t pending;            /* control GROUP: members that are not complete */

	struct ronde_tensor *tensor; /* named: its record in the directory */
	struct ronde_key_head key;   /* unnamed: its identity, hashed by hh */
	struct ronde_desc desc;
	const void *input;
	void *output;
	uint64_t count, bytes; /* mine */
	/* Bytes of the whole result that come to output: all, but of a reducescatter my rows. */
	struct ronde_share result;
	struct ronde_location location;
	bool hold_input, hold_output; /* heap allocations held for it */
	ronde_gathered *gathered;     /* allgather, alltoall */
	int64_t rows;                 /* allgather: mine */
	int64_t *splits;              /* alltoall: [4 × members], see ronde_plan */
	uint64_t ready_ns;            /* when it was submitted, or 0: nobody records that */
	void *allocated;              /* allgather: result's memory that is Ronde's until success */

	struct ronde_slot_name announced; /* READY by this slot; slot NO_SLOT: in full */
	uint64_t said;                    /* the how-manieth announcement of this rank it was, the
					   * last time; 0: not yet announced */
	bool again;                       /* its next announcement answers a notice */
	bool backlogged;                  /* not yet announced: the ring was full */
	bool answered;                    /* an entry has taken it */
	bool told;                        /* a stall report may have named it */
	uint64_t since;           /* nanoseconds: when it was first seen pending; 0: not yet */
	_Atomic uintptr_t waiter; /* claimed: the thread that waits for it, ronde_caller() */
	bool in_call;             /* its alloc is due or being called: not to be completed before */

	int status;
	char *message;                   /* malloc'ed; NULL: the status's text */
	struct ronde_call_back *on_done; /* the engine's */

	struct ronde_request *next; /* free list, backlog, or what is submitted with it */
	struct ronde_request *prev_live, *next_live;
	UT_hash_handle hh;
};

#define RONDE_REQUESTS_PER_CHUNK 256
#define RONDE_REQUEST_CHUNKS 4096

struct ronde_request_pool {
	_Atomic(struct ronde_request *) chunks[RONDE_REQUEST_CHUNKS];
	uint32_t used; /* requests ever made */
	struct ronde_request *free;
	struct ronde_request *live; /* pending ones, newest first */
	uint64_t first_generation;
};

/* Generations start at a number of the caller's, so that a handle of an earlier pool is not one of
 * this pool. */
void ronde_request_pool_init(struct ronde_request_pool *pool, uint64_t first_generation);
void ronde_request_pool_finish(struct ronde_request_pool *pool);

/* A pending request with a handle of its own, cleared. NULL: no memory. Under the submit lock. */
struct ronde_request *ronde_request_new(struct ronde_request_pool *pool);
/* From here on the handle is unknown. Under the submit lock; the request is done or was never seen.
 */
void ronde_request_release(struct ronde_request_pool *pool, struct ronde_request *request);
/* Takes it out of the list of live ones: what is said about those does not concern it. Under the
 * submit lock. */
void ronde_request_set_apart(struct ronde_request_pool *pool, struct ronde_request *request);
/* PENDING → DONE, visible to threads that look without the lock. Under the submit lock. */
void ronde_request_finish(struct ronde_request_pool *pool, struct ronde_request *request);

ronde_handle ronde_request_handle(const struct ronde_request *request);
/* The request a handle names and (state, may be NULL) its state, or NULL. Lock-free. */
struct ronde_request *ronde_request_find(struct ronde_request_pool *pool, ronde_handle handle,
					 enum ronde_request_state *state);
/* Marks the handle as being waited for; false if it already is, or is unknown. Lock-free. */
bool ronde_request_claim(struct ronde_request *request, ronde_handle handle);

/* True if a thread waits for it, or for its group. */
bool ronde_request_is_claimed(const struct ronde_request *request);

/* Which thread that is, a ronde_caller(); 0: none, or not yet known. */
uintptr_t ronde_request_waiter(const struct ronde_request *request);

/* What a person calls its tensor. */
void ronde_request_text(const struct ronde_request *request, char *text, size_t bytes);

static inline bool ronde_request_is_done(const struct ronde_request *request)
{
	/* Sequentially consistent: who is about to sleep has announced that before it looks. */
	return (atomic_load_explicit(&request->state, memory_order_seq_cst) & 3) ==
	       RONDE_REQUEST_DONE;
}

#endif

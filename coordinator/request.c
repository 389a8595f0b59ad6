/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/request.h"

#include <stdlib.h>

#define STATE_BITS 3
#define CLAIMED 4u
#define INDEX_BITS 20

_Static_assert(RONDE_REQUEST_CHUNKS *RONDE_REQUESTS_PER_CHUNK <= 1 << INDEX_BITS,
	       "an index must fit its part of a handle");

void ronde_request_pool_init(struct ronde_request_pool *pool, uint64_t first_generation)
{
	*pool = (struct ronde_request_pool){.first_generation = first_generation};
}

void ronde_request_pool_finish(struct ronde_request_pool *pool)
{
	for (uint32_t i = 0; i < pool->used; i++) {
		struct ronde_request *chunk =
			atomic_load(&pool->chunks[i / RONDE_REQUESTS_PER_CHUNK]);
		free(chunk[i % RONDE_REQUESTS_PER_CHUNK].message);
		free(chunk[i % RONDE_REQUESTS_PER_CHUNK].splits);
	}
	for (int i = 0; i < RONDE_REQUEST_CHUNKS; i++)
		free(atomic_load(&pool->chunks[i]));
}

static struct ronde_request *grow(struct ronde_request_pool *pool)
{
	uint32_t chunk = pool->used / RONDE_REQUESTS_PER_CHUNK;
	uint32_t at = pool->used % RONDE_REQUESTS_PER_CHUNK;
	if (chunk == RONDE_REQUEST_CHUNKS)
		return NULL;
	struct ronde_request *requests =
		atomic_load_explicit(&pool->chunks[chunk], memory_order_relaxed);
	if (at == 0) {
		requests = calloc(RONDE_REQUESTS_PER_CHUNK, sizeof *requests);
		if (!requests)
			return NULL;
		atomic_store_explicit(&pool->chunks[chunk], requests, memory_order_release);
	}
	struct ronde_request *r = &requests[at];
	r->index = pool->used++;
	atomic_store_explicit(&r->state, pool->first_generation << STATE_BITS,
			      memory_order_relaxed);
	return r;
}

struct ronde_request *ronde_request_new(struct ronde_request_pool *pool)
{
	struct ronde_request *r = pool->free;
	if (r)
		pool->free = r->next;
	else if (!(r = grow(pool)))
		return NULL;
	r->control = RONDE_CONTROL_NONE;
	r->group = NULL;
	r->tensor = NULL;
	r->gathered = NULL;
	r->splits = NULL;
	r->ready_ns = 0;
	r->allocated = NULL;
	r->hold_input = r->hold_output = false;
	r->again = r->backlogged = r->answered = r->in_call = false;
	r->told = false;
	r->since = r->said = 0;
	atomic_store_explicit(&r->waiter, 0, memory_order_relaxed);
	r->status = RONDE_OK;
	r->message = NULL;
	r->on_done = NULL;
	r->next = NULL;
	r->prev_live = NULL;
	r->next_live = pool->live;
	if (pool->live)
		pool->live->prev_live = r;
	pool->live = r;
	uint64_t generation = atomic_load_explicit(&r->state, memory_order_relaxed) >> STATE_BITS;
	atomic_store_explicit(&r->state, (generation + 1) << STATE_BITS | RONDE_REQUEST_PENDING,
			      memory_order_release);
	return r;
}

void ronde_request_set_apart(struct ronde_request_pool *pool, struct ronde_request *r)
{
	if (!r->prev_live && pool->live != r)
		return; /* it is already */
	if (r->prev_live)
		r->prev_live->next_live = r->next_live;
	else
		pool->live = r->next_live;
	if (r->next_live)
		r->next_live->prev_live = r->prev_live;
	r->prev_live = r->next_live = NULL;
}

void ronde_request_finish(struct ronde_request_pool *pool, struct ronde_request *r)
{
	ronde_request_set_apart(pool, r);
	/* An addition leaves the claim of a thread that waits alone. */
	atomic_fetch_add_explicit(&r->state, RONDE_REQUEST_DONE - RONDE_REQUEST_PENDING,
				  memory_order_seq_cst);
}

void ronde_request_release(struct ronde_request_pool *pool, struct ronde_request *r)
{
	uint64_t state = atomic_load_explicit(&r->state, memory_order_relaxed);
	if ((state & 3) == RONDE_REQUEST_PENDING)
		ronde_request_set_apart(pool, r);
	atomic_store_explicit(&r->state, state >> STATE_BITS << STATE_BITS, memory_order_release);
	free(r->message);
	r->message = NULL;
	free(r->splits);
	r->splits = NULL;
	r->next = pool->free;
	pool->free = r;
}

ronde_handle ronde_request_handle(const struct ronde_request *r)
{
	uint64_t generation = atomic_load_explicit(&r->state, memory_order_relaxed) >> STATE_BITS;
	return generation << INDEX_BITS | r->index;
}

struct ronde_request *ronde_request_find(struct ronde_request_pool *pool, ronde_handle handle,
					 enum ronde_request_state *state)
{
	uint32_t index = (uint32_t)(handle & ((1u << INDEX_BITS) - 1));
	if (index / RONDE_REQUESTS_PER_CHUNK >= RONDE_REQUEST_CHUNKS)
		return NULL;
	struct ronde_request *chunk = atomic_load_explicit(
		&pool->chunks[index / RONDE_REQUESTS_PER_CHUNK], memory_order_acquire);
	if (!chunk)
		return NULL;
	struct ronde_request *r = &chunk[index % RONDE_REQUESTS_PER_CHUNK];
	uint64_t now = atomic_load_explicit(&r->state, memory_order_acquire);
	if (now >> STATE_BITS != handle >> INDEX_BITS || (now & 3) == RONDE_REQUEST_FREE)
		return NULL;
	if (state)
		*state = (enum ronde_request_state)(now & 3);
	return r;
}

bool ronde_request_is_claimed(const struct ronde_request *r)
{
	const struct ronde_request *with_handle = r->group ? r->group : r;
	return atomic_load_explicit(&with_handle->state, memory_order_relaxed) & CLAIMED;
}

uintptr_t ronde_request_waiter(const struct ronde_request *r)
{
	const struct ronde_request *with_handle = r->group ? r->group : r;
	return atomic_load_explicit(&with_handle->waiter, memory_order_relaxed);
}

bool ronde_request_claim(struct ronde_request *r, ronde_handle handle)
{
	uint64_t now = atomic_load_explicit(&r->state, memory_order_relaxed);
	do {
		if (now >> STATE_BITS != handle >> INDEX_BITS || (now & 3) == RONDE_REQUEST_FREE ||
		    now & CLAIMED)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		&r->state, &now, now | CLAIMED, memory_order_acq_rel, memory_order_relaxed));
	return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/control.h"

#include <stdio.h>
#include <stdlib.h>

#include "collectives/status.h"

/* ---- asking; under the submit lock ---- */

/*
 * Ascending, and no more than tell that there are too many: of size + 1 ranks one is given twice,
 * or is none.
 */
static int32_t *copy_ranks(const struct ronde_context *ctx, const int *ranks, size_t *n)
{
	int32_t *copy = malloc((*n ? *n : 1) * sizeof *copy);
	size_t most = (size_t)ctx->node->size + 1;
	if (!copy) {
		ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for a process set of %zu ranks",
			    *n);
		return NULL;
	}
	for (size_t i = 0; i < *n; i++)
		copy[i] = ranks[i];
	qsort(copy, *n, sizeof *copy, ronde_process_set_compare);
	if (*n > most)
		*n = most;
	return copy;
}

static int enter(struct ronde_context *ctx, enum ronde_control control,
		 struct ronde_request **request)
{
	struct ronde_submissions *s = &ctx->submissions;
	int status = ronde_submit_may(ctx);
	if (status)
		return status;
	struct ronde_request *r = ronde_request_new(&s->pool);
	if (!r)
		return ronde_error(
			RONDE_ERR_OUT_OF_MEMORY,
			"no memory for one more operation; %u are in flight or not waited for",
			s->pool.used);
	r->control = control;
	r->input = NULL;
	r->output = NULL;
	r->count = r->bytes = 0;
	*request = r;
	return RONDE_OK;
}

int ronde_control_change_sets(struct ronde_context *ctx, enum ronde_set_change change,
			      const int *ranks, size_t n, uint32_t set, int *result,
			      ronde_handle *handle)
{
	struct ronde_submissions *s = &ctx->submissions;
	struct ronde_request *r = NULL;
	int32_t *copy = copy_ranks(ctx, ranks, &n);
	if (!copy)
		return RONDE_ERR_OUT_OF_MEMORY;
	pthread_mutex_lock(&s->lock);
	int status = enter(ctx, RONDE_CONTROL_SET, &r);
	if (status) {
		pthread_mutex_unlock(&s->lock);
		free(copy);
		return status;
	}
	r->change = change;
	r->set = set;
	r->input = copy; /* freed when the request is complete */
	r->count = n;
	r->output = result;
	struct ronde_process_set *known =
		change == RONDE_SET_REMOVE ? ronde_process_sets_find(&ctx->sets, set) : NULL;
	if (known)
		known->removals++;
	*handle = ronde_request_handle(r);
	ronde_submit_announce(ctx, r, true);
	return RONDE_OK;
}

int ronde_control_join(struct ronde_context *ctx, int *last, ronde_handle *handle)
{
	struct ronde_submissions *s = &ctx->submissions;
	struct ronde_request *r = NULL;
	pthread_mutex_lock(&s->lock);
	int status = enter(ctx, RONDE_CONTROL_JOIN, &r);
	if (status) {
		pthread_mutex_unlock(&s->lock);
		return status;
	}
	s->joined = true;
	r->change = RONDE_SET_ADD; /* not read */
	r->set = 0;
	r->output = last;
	*handle = ronde_request_handle(r);
	ronde_submit_announce(ctx, r, true);
	return RONDE_OK;
}

bool ronde_control_say(struct ronde_context *ctx, struct ronde_request *r)
{
	struct ronde_ring_producer *ring = &ctx->submissions.ring;
	struct ronde_announcement head = {
		.type = r->control == RONDE_CONTROL_JOIN ? RONDE_ANNOUNCE_JOIN : RONDE_ANNOUNCE_SET,
		.slot = (uint32_t)r->change,
		.generation = r->set,
		.payload_bytes = (uint32_t)(r->count * sizeof(int32_t))};
	void *record = ronde_ring_reserve(ring, ronde_announcement_bytes(&head, NULL));
	if (!record)
		return false;
	ronde_announcement_write(record, &head, NULL, NULL, NULL, 0, r->input);
	r->said = ++ctx->submissions.said;
	ronde_ring_publish(ring);
	return true;
}

/* ---- answered ---- */

/* The first that this rank made and has had no answer to. */
static struct ronde_request *oldest(struct ronde_context *ctx, enum ronde_control control)
{
	struct ronde_request *found = NULL;
	for (struct ronde_request *r = ctx->submissions.pool.live; r; r = r->next_live)
		if (r->control == control)
			found = r;
	return found;
}

/* What was submitted to a set and not agreed on before all ranks had asked for its removal. */
static void fail_unfinished(struct ronde_context *ctx, const struct ronde_process_set *set)
{
	char ranks[300], text[500];
	ronde_process_set_text(set->ranks, (size_t)set->size, ranks, sizeof ranks);
	snprintf(text, sizeof text,
		 "process set %u (ranks %s) was removed before all its ranks had submitted this; "
		 "wait for operations before you remove their set",
		 set->id, ranks);
	struct ronde_request *next, *r = ctx->submissions.pool.live;
	for (; r; r = next) {
		next = r->next_live;
		if (r->control == RONDE_CONTROL_NONE && r->desc.set == set->id && !r->answered)
			ronde_submit_complete(ctx, r, RONDE_ERR_MISMATCH, text);
	}
}

static int add_set(struct ronde_context *ctx, const struct ronde_entry_view *p, int *result)
{
	struct ronde_process_set *set;
	const int32_t *ranks = (const int32_t *)(const void *)p->payload;
	if (p->change->set != ctx->sets.next)
		return RONDE_ERR_INTERNAL;
	int status = ronde_process_sets_add(&ctx->sets, ranks, p->change->ranks, &set);
	if (!status && result)
		*result = (int)set->id;
	return status;
}

static int remove_set(struct ronde_context *ctx, uint32_t id)
{
	struct ronde_process_set *set = ronde_process_sets_find(&ctx->sets, id);
	if (!set || id == 0)
		return RONDE_ERR_INTERNAL;
	fail_unfinished(ctx, set);
	ronde_directory_forget_set(&ctx->submissions.directory, id);
	ronde_process_sets_remove(&ctx->sets, set);
	return RONDE_OK;
}

/* The set this rank asked to remove stays. */
static int keep_set(struct ronde_context *ctx, const struct ronde_request *r)
{
	struct ronde_process_set *set = ronde_process_sets_find(&ctx->sets, r->set);
	if (set)
		set->removals--;
	return RONDE_OK;
}

int ronde_control_take(struct ronde_context *ctx, const struct ronde_entry_view *p)
{
	const struct ronde_set_entry *change = p->change;
	pthread_mutex_lock(&ctx->submissions.lock);
	struct ronde_request *r = oldest(ctx, RONDE_CONTROL_SET);
	/* A change that failed because this rank has joined is none of its own. */
	bool joined = ctx->submissions.joined && change->status;
	int status = r || joined ? RONDE_OK : RONDE_ERR_INTERNAL;
	if (r && change->status && r->change == RONDE_SET_REMOVE)
		status = keep_set(ctx, r);
	else if (r && !change->status && change->change == RONDE_SET_ADD)
		status = add_set(ctx, p, r->output);
	else if (r && !change->status && change->change == RONDE_SET_REMOVE)
		status = remove_set(ctx, change->set);
	if (r && !status)
		ronde_submit_complete(ctx, r, change->status,
				      change->status ? (const char *)p->payload : NULL);
	pthread_mutex_unlock(&ctx->submissions.lock);
	return status;
}

int ronde_control_end_join(struct ronde_context *ctx, int last)
{
	pthread_mutex_lock(&ctx->submissions.lock);
	struct ronde_request *r = oldest(ctx, RONDE_CONTROL_JOIN);
	if (r) {
		/* Ranks have made different numbers of unnamed ones; none is in flight. */
		for (struct ronde_process_set *set = ctx->sets.all; set; set = set->hh.next)
			memset(set->ordinals, 0, sizeof set->ordinals);
		ctx->submissions.joined = false;
		if (r->output)
			*(int *)r->output = last;
		ronde_submit_complete(ctx, r, RONDE_OK, NULL);
	}
	pthread_mutex_unlock(&ctx->submissions.lock);
	return r ? RONDE_OK : RONDE_ERR_INTERNAL;
}

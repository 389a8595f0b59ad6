/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/take.h"

#include <stdlib.h>

#include "collectives/status.h"
#include "coordinator/timeline.h"

static void hold_memory(struct ronde_context *ctx, struct ronde_request *r)
{
	r->location = (struct ronde_location){RONDE_NOT_IN_HEAP, RONDE_NOT_IN_HEAP};
	/* Rows of which this rank has none keep nobody from the others' heaps. */
	if (r->bytes == 0 && ronde_kind_has_own_rows((enum ronde_kind)r->desc.kind))
		r->location.input = RONDE_NOWHERE;
	if (!ctx->heap || r->bytes == 0)
		return;
	if (r->input)
		r->hold_input = ronde_heap_hold(ctx->heap, r->input, r->bytes, &r->location.input);
	if (r->result.count == 0)
		return;
	if (r->output == r->input && r->output) {
		r->location.output = r->location.input;
	} else if (r->output) {
		r->hold_output =
			ronde_heap_hold(ctx->heap, r->output, r->result.count, &r->location.output);
	}
}

/*
 * An alltoall's splits, a copy for the request, with room behind them for what the others say.
 * *splits stays NULL for other operations.
 */
static int copy_splits(const struct ronde_process_set *set, const struct ronde_submission *sub,
		       int64_t **splits)
{
	size_t n = (size_t)set->size;
	if (sub->desc.kind != RONDE_KIND_ALLTOALL)
		return RONDE_OK;
	if (!(*splits = calloc(4 * n, sizeof **splits)))
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for the splits of %zu ranks",
				   n);
	for (size_t m = 0; m < n; m++)
		(*splits)[m] = sub->splits ? sub->splits[m] : sub->rows / (int64_t)n;
	return RONDE_OK;
}

static struct ronde_share result_of(const struct ronde_process_set *set,
				    const struct ronde_request *r)
{
	if (r->desc.kind != RONDE_KIND_REDUCESCATTER)
		return (struct ronde_share){0, r->bytes};
	return ronde_share_bytes((uint64_t)r->desc.dims[0], ronde_desc_row_bytes(&r->desc),
				 set->size, set->self);
}

static void release_memory(struct ronde_context *ctx, struct ronde_request *r)
{
	if (r->hold_input)
		ronde_heap_release(ctx->heap, r->location.input);
	if (r->hold_output)
		ronde_heap_release(ctx->heap, r->location.output);
	r->hold_input = r->hold_output = false;
}

static int duplicate(const struct ronde_submission *sub)
{
	return ronde_error(
		RONDE_ERR_DUPLICATE_NAME,
		"tensor \"%s\": its previous %s is still in flight on this rank; wait for it, or "
		"give this one another name",
		sub->name, ronde_kind_name((enum ronde_kind)sub->desc.kind));
}

int ronde_take_no_memory(const struct ronde_context *ctx)
{
	return ronde_error(RONDE_ERR_OUT_OF_MEMORY,
			   "no memory for one more operation; %u are in flight or not waited for",
			   ctx->submissions.pool.used);
}

/* Enters the request into the directory. */
static int enter(struct ronde_context *ctx, const struct ronde_submission *sub, uint64_t ordinal,
		 struct ronde_request **request)
{
	struct ronde_submissions *s = &ctx->submissions;
	enum ronde_kind kind = (enum ronde_kind)sub->desc.kind;
	struct ronde_tensor *t = NULL;
	struct ronde_key key;
	ronde_key_set(&key, kind, sub->desc.set, sub->name, sub->name ? strlen(sub->name) : 0,
		      ordinal);
	if (sub->name) {
		t = ronde_directory_add(&s->directory, &key);
		if (t && t->request)
			return duplicate(sub);
	}
	struct ronde_request *r = sub->name && !t ? NULL : ronde_request_new(&s->pool);
	if (!r) {
		ronde_directory_drop(&s->directory, t);
		return ronde_take_no_memory(ctx);
	}
	r->tensor = t;
	if (t) {
		t->request = r;
	} else {
		r->key = key.head;
		ronde_directory_add_unnamed(&s->directory, r);
	}
	*request = r;
	return RONDE_OK;
}

int ronde_submit_may(const struct ronde_context *ctx)
{
	const struct ronde_submissions *s = &ctx->submissions;
	if (s->ended)
		return ronde_error(s->ended, "%s", s->ended_text);
	if (s->joined)
		return ronde_error(
			RONDE_ERR_INVALID_ARGUMENT,
			"rank %d has joined; it can submit again when its ronde_join() has "
			"returned",
			ctx->node->rank);
	return RONDE_OK;
}

int ronde_submit_find_set(struct ronde_context *ctx, uint32_t id, struct ronde_process_set **found)
{
	struct ronde_process_set *set = ronde_process_sets_find(&ctx->sets, id);
	if (!set)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "process set %d does not exist; 0 is the set of all ranks",
				   (int)id);
	if (set->me < 0) {
		char ranks[500];
		ronde_process_set_text(set->ranks, (size_t)set->size, ranks, sizeof ranks);
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "rank %d is not in process set %u (ranks %s)", ctx->node->rank,
				   id, ranks);
	}
	if (id && set->removals)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "process set %u is being removed by this rank", id);
	*found = set;
	return RONDE_OK;
}

int ronde_take_open(struct ronde_context *ctx, uint32_t set_id, struct ronde_process_set **set)
{
	int status = ronde_submit_may(ctx);
	return status ? status : ronde_submit_find_set(ctx, set_id, set);
}

int ronde_take(struct ronde_context *ctx, struct ronde_process_set *set,
	       const struct ronde_submission *sub, uint64_t ordinal, struct ronde_request **request)
{
	struct ronde_request *r = NULL;
	int64_t *splits = NULL;
	int status = copy_splits(set, sub, &splits);
	if (!status)
		status = enter(ctx, sub, ordinal, &r);
	if (status) {
		free(splits);
		return status;
	}
	r->ready_ns = ronde_timeline_ready(ctx);
	r->desc = sub->desc;
	r->splits = splits;
	r->input = sub->input;
	r->output = sub->output;
	r->count = sub->count;
	r->bytes = sub->count * ronde_dtype_bytes((ronde_dtype)sub->desc.dtype);
	r->result = result_of(set, r);
	r->gathered = sub->gathered;
	r->rows = sub->rows;
	hold_memory(ctx, r);
	*request = r;
	return RONDE_OK;
}

void ronde_take_leave(struct ronde_context *ctx, struct ronde_request *r)
{
	struct ronde_directory *d = &ctx->submissions.directory;
	if (r->tensor) {
		struct ronde_tensor *t = r->tensor;
		t->request = NULL;
		r->tensor = NULL;
		ronde_directory_drop(d, t);
	} else if (!r->control) {
		ronde_directory_remove_unnamed(d, r);
	}
	if (!r->control)
		release_memory(ctx, r);
}

void ronde_take_back(struct ronde_context *ctx, struct ronde_request *r)
{
	ronde_take_leave(ctx, r);
	ronde_request_release(&ctx->submissions.pool, r);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Completion functions of the application: kept with the request, called by the coordinator thread.
 */
#include <stdlib.h>
#include <string.h>

#include "collectives/status.h"
#include "coordinator/context.h"

/* This thread is inside a completion function. */
static _Thread_local bool calling_back;

bool ronde_engine_is_calling_back(void)
{
	return calling_back;
}

int ronde_engine_prepare_call_back(struct ronde_request *r, ronde_done_fn fn, void *arg)
{
	struct ronde_call_back *call = calloc(1, sizeof *call);
	if (!call)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for a completion function");
	*call = (struct ronde_call_back){.fn = fn, .arg = arg, .handle = ronde_request_handle(r)};
	r->on_done = call;
	return RONDE_OK;
}

void ronde_engine_call_back(struct ronde_context *ctx, struct ronde_request *r)
{
	struct ronde_call_back *call = r->on_done;
	call->status = r->status;
	call->message =
		r->status ? strdup(r->message ? r->message : ronde_status_text(r->status)) : NULL;
	*ctx->engine.calls_end = call;
	ctx->engine.calls_end = &call->next;
	ronde_bell_ring(&ctx->node->arena, ctx->node->local_rank);
}

/* What a function of the application needs may be gone already. */
static bool in_exit(const struct ronde_context *ctx)
{
	uint32_t life = atomic_load_explicit(&ctx->node->arena.ranks[ctx->node->local_rank].life,
					     memory_order_acquire);
	return life == RONDE_LIFE_EXITING || life == RONDE_LIFE_EXITED;
}

void ronde_engine_make_calls(struct ronde_context *ctx)
{
	struct ronde_engine *e = &ctx->engine;
	pthread_mutex_lock(&ctx->submissions.lock);
	struct ronde_call_back *call = e->calls;
	e->calls = NULL;
	e->calls_end = &e->calls;
	pthread_mutex_unlock(&ctx->submissions.lock);
	calling_back = true;
	while (call) {
		struct ronde_call_back *next = call->next;
		if (!in_exit(ctx))
			call->fn(call->handle, call->status, call->message ? call->message : "",
				 call->arg);
		free(call->message);
		free(call);
		call = next;
	}
	calling_back = false;
}

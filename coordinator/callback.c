/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of the application, called by the coordinator thread with no lock held. */
#include <stdlib.h>
#include <string.h>

#include "collectives/status.h"
#include "coordinator/application.h"
#include "coordinator/context.h"

/* ---- calls of any kind ---- */

void ronde_engine_due(struct ronde_context *ctx)
{
	if (!atomic_exchange_explicit(&ctx->engine.due, true, memory_order_seq_cst))
		ronde_bell_ring(&ctx->node->arena, ctx->node->local_rank);
}

void ronde_engine_call(struct ronde_context *ctx, struct ronde_call *call)
{
	call->next = NULL;
	*ctx->engine.calls_end = call;
	ctx->engine.calls_end = &call->next;
	ronde_engine_due(ctx);
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
	if (!atomic_load_explicit(&e->due, memory_order_seq_cst))
		return;
	/* In this order, and looked at in the other one: see ronde_engine_calls_made(). */
	atomic_store_explicit(&e->calling, true, memory_order_seq_cst);
	atomic_store_explicit(&e->due, false, memory_order_seq_cst);
	pthread_mutex_lock(&ctx->submissions.lock);
	struct ronde_call *call = e->calls;
	e->calls = NULL;
	e->calls_end = &e->calls;
	pthread_mutex_unlock(&ctx->submissions.lock);
	bool before = ronde_application_enter();
	while (call) {
		struct ronde_call *next = call->next;
		call->make(ctx, call, in_exit(ctx));
		call = next;
	}
	ronde_application_leave(before);
	if (ctx->log && !in_exit(ctx))
		ronde_log_deliver(ctx->log);
	atomic_store_explicit(&e->calling, false, memory_order_seq_cst);
}

bool ronde_engine_calls_made(struct ronde_context *ctx)
{
	struct ronde_engine *e = &ctx->engine;
	return !atomic_load_explicit(&e->due, memory_order_seq_cst) &&
	       !atomic_load_explicit(&e->calling, memory_order_seq_cst);
}

/* ---- completion functions ---- */

static void call_back(struct ronde_context *ctx, struct ronde_call *call, bool leaving)
{
	(void)ctx;
	struct ronde_call_back *c = (struct ronde_call_back *)call;
	if (!leaving)
		c->fn(c->handle, c->status, c->message ? c->message : "", c->arg);
	free(c->message);
	free(c);
}

int ronde_engine_prepare_call_back(struct ronde_request *r, ronde_done_fn fn, void *arg)
{
	struct ronde_call_back *c = calloc(1, sizeof *c);
	if (!c)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for a completion function");
	*c = (struct ronde_call_back){
		.call.make = call_back, .fn = fn, .arg = arg, .handle = ronde_request_handle(r)};
	r->on_done = c;
	return RONDE_OK;
}

void ronde_engine_call_back(struct ronde_context *ctx, struct ronde_request *r)
{
	struct ronde_call_back *c = r->on_done;
	c->status = r->status;
	c->message =
		r->status ? strdup(r->message ? r->message : ronde_status_text(r->status)) : NULL;
	ronde_engine_call(ctx, &c->call);
}

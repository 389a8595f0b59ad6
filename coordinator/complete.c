/* SPDX-License-Identifier: Apache-2.0 */
/* How a request ends: completed, waited for, called back. */
#include "coordinator/submit.h"

#include <stdlib.h>
#include <string.h>

#include "collectives/status.h"
#include "coordinator/application.h"
#include "coordinator/take.h"

/* ---- completing ---- */

/* A member has no handle, so nobody asks for it any more; with the last of them its group is done.
 */
static void finish(struct ronde_context *ctx, struct ronde_request *r)
{
	struct ronde_submissions *s = &ctx->submissions;
	struct ronde_request *group = r->group;
	if (r->on_done)
		ronde_engine_call_back(ctx, r);
	ronde_request_finish(&s->pool, r);
	if (!group)
		return;
	if (r->status && !group->status) {
		group->status = r->status;
		group->message = r->message;
		r->message = NULL;
	}
	ronde_request_release(&s->pool, r);
	if (--group->pending)
		return;
	ronde_take_leave(ctx, group);
	finish(ctx, group);
}

void ronde_submit_complete(struct ronde_context *ctx, struct ronde_request *r, int status,
			   const char *text)
{
	struct ronde_submissions *s = &ctx->submissions;
	if (ronde_log_shows(ctx->log, RONDE_LOG_TRACE)) {
		char name[RONDE_MAX_NAME + 1];
		ronde_request_text(r, name, sizeof name);
		ronde_log(ctx->log, TRACE, "completed \"%s\": %s", name, ronde_status_name(status));
	}
	if (!r->answered)
		ronde_timeline_answered(ctx, r, RONDE_TIMELINE_NO_ENTRY, status);
	r->status = status;
	if (status && text)
		r->message = strdup(text);
	ronde_take_leave(ctx, r);
	if (status && r->allocated) {
		free(r->allocated);
		r->gathered->data = NULL;
	}
	if (r->control) {
		free((void *)r->input);
	} else {
		ronde_count(&ctx->counters.completed, 1);
		if (status)
			ronde_count(&ctx->counters.errors, 1);
	}
	finish(ctx, r);
	atomic_fetch_sub_explicit(&s->in_flight, 1, memory_order_seq_cst);
}

void ronde_submit_end(struct ronde_context *ctx, int status, const char *text)
{
	struct ronde_submissions *s = &ctx->submissions;
	pthread_mutex_lock(&s->lock);
	if (!s->ended) {
		s->ended = status;
		s->ended_text = strdup(text);
		if (!s->ended_text)
			s->ended_text = strdup("");
	}
	s->backlog = NULL;
	s->backlog_end = &s->backlog;
	s->shutdown_said = s->shutdown_wanted;
	atomic_store_explicit(&ctx->engine.backlogged, false, memory_order_relaxed);
	for (struct ronde_request *r = s->pool.live, *next; r; r = next) {
		next = r->next_live;
		if (!r->in_call) /* else it is completed where the call returns */
			ronde_submit_complete(ctx, r, s->ended, s->ended_text);
	}
	pthread_mutex_unlock(&s->lock);
}

/* ---- handles ---- */

int ronde_submit_unknown(const char *function, ronde_handle handle)
{
	return ronde_error(
		RONDE_ERR_UNKNOWN_HANDLE,
		"%s: handle %#llx is not in flight: it was never given out, was already waited "
		"for, or is of a runtime that has been shut down",
		function, (unsigned long long)handle);
}

int ronde_submit_wait(struct ronde_context *ctx, ronde_handle handle)
{
	struct ronde_submissions *s = &ctx->submissions;
	enum ronde_request_state state;
	struct ronde_request *r = ronde_request_find(&s->pool, handle, &state);
	if (r && state != RONDE_REQUEST_DONE && ronde_application_is_called())
		return ronde_application_refuse("ronde_wait on an operation that is not complete");
	if (!r || !ronde_request_claim(r, handle))
		return ronde_submit_unknown("ronde_wait", handle);
	atomic_store_explicit(&r->waiter, ronde_caller(), memory_order_relaxed);
	ronde_engine_wait(ctx, r);
	pthread_mutex_lock(&s->lock);
	int status = r->status;
	if (status)
		ronde_error(status, "%s", r->message ? r->message : ronde_status_text(status));
	ronde_request_release(&s->pool, r);
	pthread_mutex_unlock(&s->lock);
	return status;
}

int ronde_submit_on_done(struct ronde_context *ctx, ronde_handle handle, ronde_done_fn fn,
			 void *arg)
{
	struct ronde_submissions *s = &ctx->submissions;
	if (!fn)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "ronde_handle_on_done: the function is NULL");
	pthread_mutex_lock(&s->lock);
	enum ronde_request_state state;
	struct ronde_request *r = ronde_request_find(&s->pool, handle, &state);
	int status = RONDE_OK;
	if (!r) {
		status = ronde_submit_unknown("ronde_handle_on_done", handle);
	} else if (r->on_done) {
		status = ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				     "ronde_handle_on_done: this handle has a function already");
	} else {
		status = ronde_engine_prepare_call_back(r, fn, arg);
		if (!status && state == RONDE_REQUEST_DONE)
			ronde_engine_call_back(ctx, r);
	}
	pthread_mutex_unlock(&s->lock);
	return status;
}

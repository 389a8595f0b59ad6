/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/submit.h"

#include <stdlib.h>

#include "collectives/status.h"
#include "coordinator/application.h"
#include "coordinator/control.h"
#include "coordinator/take.h"

bool ronde_rides(const struct ronde_context *ctx, const struct ronde_desc *desc)
{
	if (desc->kind == RONDE_KIND_BARRIER)
		return true;
	if (ronde_kind_has_own_rows((enum ronde_kind)desc->kind))
		return false;
	uint64_t bytes = ronde_desc_data_bytes(desc);
	uint64_t most = (uint64_t)ctx->config.carry_bytes / (uint64_t)ctx->node->size;
	/* Half a record: the other half is room for the longest name and description. */
	size_t record = ronde_ring_limit(ctx->node->arena.shape.ring_cells) / 2;
	return bytes <= most && bytes <= record;
}

bool ronde_gives_payload(const struct ronde_context *ctx, const struct ronde_desc *desc, int rank)
{
	if (!ronde_rides(ctx, desc))
		return false;
	return desc->kind == RONDE_KIND_ALLREDUCE || desc->kind == RONDE_KIND_REDUCESCATTER ||
	       (desc->kind == RONDE_KIND_BROADCAST && desc->root == rank);
}

/* ---- announcing; under the submit lock ---- */

/* The slot that stands for this request, or NO_SLOT. */
static struct ronde_slot_name known_slot(struct ronde_submissions *s, const struct ronde_request *r)
{
	const struct ronde_tensor *t = r->tensor;
	if (!t) {
		struct ronde_key pattern;
		ronde_pattern_key(&pattern, &r->desc);
		t = ronde_directory_find(&s->directory, &pattern);
	}
	if (t && t->slot.slot != RONDE_NO_SLOT && ronde_desc_equal(&t->desc, &r->desc))
		return t->slot;
	return (struct ronde_slot_name){RONDE_NO_SLOT, 0};
}

static void trace_announcement(struct ronde_context *ctx, const struct ronde_request *r, bool full)
{
	char name[RONDE_MAX_NAME + 1], shape[RONDE_SHAPE_TEXT];
	ronde_request_text(r, name, sizeof name);
	ronde_desc_shape_text(&r->desc, shape, sizeof shape);
	ronde_log(ctx->log, TRACE, "announced \"%s\": %s %s, %s", name,
		  ronde_kind_name((enum ronde_kind)r->desc.kind), shape,
		  full ? "in full" : "by its slot");
}

static bool say(struct ronde_context *ctx, struct ronde_request *r)
{
	if (r->control)
		return ronde_control_say(ctx, r);
	struct ronde_submissions *s = &ctx->submissions;
	struct ronde_slot_name slot = known_slot(s, r);
	bool full = slot.slot == RONDE_NO_SLOT;
	bool payload = ronde_gives_payload(ctx, &r->desc, ctx->node->rank);
	struct ronde_announcement head = {
		.type = full ? RONDE_ANNOUNCE_FULL : RONDE_ANNOUNCE_READY,
		.located = !payload && (r->location.input != RONDE_NOT_IN_HEAP ||
					r->location.output != RONDE_NOT_IN_HEAP),
		.again = r->again,
		.timed = r->ready_ns != 0,
		.name_bytes = full && r->tensor ? r->tensor->key.head.name_bytes : 0,
		.payload_bytes = payload ? (uint32_t)r->bytes : 0,
		.slot = slot.slot,
		.generation = slot.generation,
		.ordinal = r->tensor ? 0 : r->key.ordinal};
	void *record = ronde_ring_reserve(&s->ring, ronde_announcement_bytes(&head, &r->desc));
	if (!record)
		return false;
	ronde_announcement_write(record, &head, &r->desc, r->tensor ? r->tensor->key.name : NULL,
				 &r->location, r->ready_ns, r->input);
	r->announced = slot;
	r->again = false;
	r->said = ++s->said;
	ronde_ring_publish(&s->ring);
	if (ronde_log_shows(ctx->log, RONDE_LOG_TRACE))
		trace_announcement(ctx, r, full);
	ronde_count(full ? &ctx->counters.descriptions_sent : &ctx->counters.ready_sent, 1);
	return true;
}

/* Behind what is waiting already: the leader hears a rank in program order. */
static void announce(struct ronde_context *ctx, struct ronde_request *r)
{
	struct ronde_submissions *s = &ctx->submissions;
	if (!s->backlog && say(ctx, r))
		return;
	r->backlogged = true;
	r->next = NULL;
	*s->backlog_end = r;
	s->backlog_end = &r->next;
}

static bool say_shutdown(struct ronde_submissions *s)
{
	struct ronde_announcement head = {.type = RONDE_ANNOUNCE_SHUTDOWN};
	void *record = ronde_ring_reserve(&s->ring, ronde_announcement_bytes(&head, NULL));
	if (!record)
		return false;
	ronde_announcement_write(record, &head, NULL, NULL, NULL, 0, NULL);
	s->said++;
	ronde_ring_publish(&s->ring);
	s->shutdown_said = true;
	return true;
}

/*
 * Whoever leads this node should look at the rings. What the leader's rank has a part in can wait
 * until that rank has work in flight, for it cannot be complete before.
 */
static void call_leader(struct ronde_context *ctx, bool has_part)
{
	if (!ronde_context_leads(ctx))
		ronde_bell_touch(&ctx->node->arena, 0,
				 has_part ? RONDE_PARKED_ALL : RONDE_PARKED_OTHERS);
	else
		ronde_engine_poke(ctx);
}

bool ronde_submit_flush(struct ronde_context *ctx)
{
	struct ronde_submissions *s = &ctx->submissions;
	bool some = false;
	pthread_mutex_lock(&s->lock);
	while (s->backlog && say(ctx, s->backlog)) {
		struct ronde_request *r = s->backlog;
		s->backlog = r->next;
		r->backlogged = false;
		r->next = NULL;
		if (!s->backlog)
			s->backlog_end = &s->backlog;
		some = true;
	}
	if (s->shutdown_wanted && !s->shutdown_said && !s->backlog)
		some |= say_shutdown(s);
	bool ending = s->shutdown_wanted;
	atomic_store_explicit(&ctx->engine.backlogged,
			      s->backlog || s->shutdown_wanted != s->shutdown_said,
			      memory_order_seq_cst);
	pthread_mutex_unlock(&s->lock);
	if (some && ending) /* a leader that is idle is not parked for announcements */
		ronde_bell_ring(&ctx->node->arena, 0);
	else if (some && !ronde_context_leads(ctx))
		ronde_bell_touch(&ctx->node->arena, 0, RONDE_PARKED_OTHERS);
	return some;
}

void ronde_submit_again(struct ronde_context *ctx, struct ronde_request *r)
{
	r->again = true;
	announce(ctx, r);
	if (r->backlogged)
		atomic_store_explicit(&ctx->engine.backlogged, true, memory_order_seq_cst);
	if (!ronde_context_leads(ctx))
		ronde_bell_touch(&ctx->node->arena, 0, RONDE_PARKED_OTHERS);
}

/* ---- submitting ---- */

void ronde_submit_announce(struct ronde_context *ctx, struct ronde_request *r, bool will_wait)
{
	const struct ronde_process_set *set =
		ronde_process_sets_find(&ctx->sets, r->control ? 0 : r->desc.set);
	/* A join may complete what others wait for, also without the leader. */
	bool has_part = r->control != RONDE_CONTROL_JOIN && ronde_process_set_member(set, 0) >= 0;
	ronde_callers_note(&ctx->submissions.callers);
	for (struct ronde_request *next; r; r = next) {
		next = r->next;
		r->next = NULL;
		if (!r->control)
			ronde_count(&ctx->counters.submitted, 1);
		ronde_engine_expect(ctx, will_wait);
		announce(ctx, r);
	}
	bool backlogged = ctx->submissions.backlog != NULL;
	if (backlogged)
		atomic_store_explicit(&ctx->engine.backlogged, true, memory_order_seq_cst);
	pthread_mutex_unlock(&ctx->submissions.lock);

	if (backlogged) {
		ronde_engine_poke(ctx);
		if (!ronde_context_leads(ctx)) /* to make room */
			ronde_bell_touch(&ctx->node->arena, 0, RONDE_PARKED_OTHERS);
	} else if (ronde_context_leads(ctx) && will_wait) {
		ronde_engine_poke_helper(ctx);
	} else {
		call_leader(ctx, has_part);
	}
}

int ronde_submit(struct ronde_context *ctx, const struct ronde_submission *sub,
		 ronde_handle *handle)
{
	struct ronde_submissions *s = &ctx->submissions;
	struct ronde_process_set *set = NULL;
	struct ronde_request *r = NULL;
	pthread_mutex_lock(&s->lock);
	int status = ronde_take_open(ctx, sub->desc.set, &set);
	if (!status)
		status = ronde_take(ctx, set, sub, ronde_ordinal(set->ordinals[sub->desc.kind], 0),
				    &r);
	if (status) {
		pthread_mutex_unlock(&s->lock);
		return status;
	}
	set->ordinals[sub->desc.kind] += !sub->name;
	*handle = ronde_request_handle(r);
	ronde_submit_announce(ctx, r, sub->will_wait);
	return RONDE_OK;
}

void ronde_submit_shutdown(struct ronde_context *ctx)
{
	struct ronde_submissions *s = &ctx->submissions;
	pthread_mutex_lock(&s->lock);
	s->shutdown_wanted = true;
	atomic_store_explicit(&ctx->engine.backlogged, true, memory_order_seq_cst);
	pthread_mutex_unlock(&s->lock);
	ronde_submit_flush(ctx);
	/* If the ring is full an idle leader has to make room. */
	ronde_bell_ring(&ctx->node->arena, 0);
	ronde_bell_ring(&ctx->node->arena, ctx->node->local_rank);
}

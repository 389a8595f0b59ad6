/* SPDX-License-Identifier: Apache-2.0 */
/* From entries of the log to requests: executes what an entry carries, starts what it plans. */
#include "coordinator/schedule.h"

#include <stdio.h>
#include <stdlib.h>

#include "collectives/status.h"
#include "coordinator/ballot.h"
#include "coordinator/context.h"
#include "coordinator/control.h"
#include "coordinator/entry.h"
#include "coordinator/gathered.h"
#include "coordinator/reach.h"
#include "coordinator/submit.h"

static struct ronde_entry_limits limits_of(const struct ronde_context *ctx,
					   const struct ronde_process_set *set)
{
	const struct ronde_arena_shape *shape = &ctx->node->arena.shape;
	return (struct ronde_entry_limits){
		.set = set->id,
		.members = set->size,
		.ranks = ctx->node->size,
		.slots = ronde_ballots_slots((uint32_t)ctx->config.cache_capacity),
		.lanes = shape->lanes,
		.chunk_bytes = ronde_chunk_limit(shape->staging_bytes, set->most)};
}

/* ---- which requests an entry means; under the submit lock ---- */

/* Tensors named by definition only (no slot) stay findable by number while the entry is looked at.
 */
static int apply_definitions(struct ronde_context *ctx, const struct ronde_entry_view *p,
			     struct ronde_tensor **defined)
{
	struct ronde_directory *d = &ctx->submissions.directory;
	struct ronde_reader r = p->definitions;
	struct ronde_defined def;
	for (uint32_t i = 0; i < p->head->definitions; i++) {
		ronde_entry_next(&r, &def);
		int status = def.slot.slot == RONDE_NO_SLOT
				     ? RONDE_OK
				     : ronde_directory_define(d, def.slot, &def.key, &def.desc);
		if (status)
			return status;
		defined[i] = ronde_directory_find(d, &def.key);
	}
	return RONDE_OK;
}

static struct ronde_request *find_request(struct ronde_context *ctx,
					  const struct ronde_entry_view *p,
					  const struct ronde_item *item,
					  struct ronde_tensor **defined)
{
	struct ronde_directory *d = &ctx->submissions.directory;
	struct ronde_tensor *t;
	if (!item->named) {
		struct ronde_key key;
		ronde_key_set(&key, (enum ronde_kind)p->like.kind, p->like.set, NULL, 0,
			      item->ordinal);
		return ronde_directory_find_unnamed(d, &key.head);
	}
	if (item->definition)
		t = defined[item->definition - 1];
	else
		t = ronde_directory_at(d, (struct ronde_slot_name){item->slot, item->generation});
	return t ? t->request : NULL;
}

static void apply_evictions(struct ronde_context *ctx, const struct ronde_entry_view *p)
{
	struct ronde_directory *d = &ctx->submissions.directory;
	for (uint32_t i = 0; i < p->head->evictions; i++)
		ronde_directory_drop(d, ronde_directory_evict(d, p->evictions[i]));
	ronde_count(&ctx->counters.evictions, p->head->evictions);
}

/* What this rank announced by a slot was not heard, for the slot had been evicted. False: it has
 * announced nothing by that slot. */
static bool announce_again(struct ronde_context *ctx, const struct ronde_entry_view *p)
{
	struct ronde_slot_name slot = p->evictions[0];
	apply_evictions(ctx, p);
	for (struct ronde_request *r = ctx->submissions.pool.live; r; r = r->next_live) {
		if (r->control || r->answered || r->backlogged || r->announced.slot != slot.slot ||
		    r->announced.generation != slot.generation ||
		    (!r->tensor && r->key.ordinal != p->head->base))
			continue;
		ronde_submit_again(ctx, r);
		return true;
	}
	return false;
}

/* ---- executing; under the submit lock ---- */

static void complete_carried(struct ronde_context *ctx, const struct ronde_entry_view *p,
			     const struct ronde_active *a)
{
	const unsigned char *result = p->payload;
	for (uint32_t i = 0; i < p->head->items; i++) {
		struct ronde_request *r = a->requests[i];
		if (r->bytes && p->like.kind != RONDE_KIND_BARRIER) {
			if (r->result.count)
				memcpy(r->output, result + r->result.first, r->result.count);
			result += ronde_wire_pad(r->bytes);
		}
		ronde_count(&ctx->counters.bytes, r->bytes);
	}
	ronde_timeline_executed(ctx, a, RONDE_OK);
	/* Before anybody can know that it is complete, and ask for the counters. */
	ronde_count(&ctx->counters.entries_carried, 1);
	for (uint32_t i = 0; i < p->head->items; i++)
		ronde_submit_complete(ctx, a->requests[i], RONDE_OK, NULL);
}

/* This process's address of a place in a member's heap; what is not there was not asked for, or has
 * no bytes. */
static unsigned char *at_heap(const struct ronde_context *ctx, const struct ronde_process_set *set,
			      int member, uint64_t offset)
{
	return offset >= RONDE_NOWHERE ? NULL : ctx->node->heaps[set->local[member]] + offset;
}

static void fill_piece(struct ronde_context *ctx, struct ronde_active *a,
		       const struct ronde_entry_view *p, size_t i)
{
	struct ronde_request *r = a->requests[i];
	struct ronde_piece *piece = &a->pieces[i];
	const int n = a->set->n, present = a->npresent;
	*piece = (struct ronde_piece){.input = r->input, .output = r->output, .count = r->count};
	if (p->like.kind == RONDE_KIND_REDUCESCATTER) {
		piece->rows = (uint64_t)r->desc.dims[0];
		piece->row_bytes = ronde_desc_row_bytes(&r->desc);
		piece->count =
			ronde_share_bytes(piece->rows, piece->row_bytes, a->set->size, 0).count /
			ronde_dtype_bytes((ronde_dtype)r->desc.dtype);
	}
	if (!p->locations || a->set->nodes > 1) /* over nodes each brings what is its own */
		return;
	const struct ronde_location *at = p->locations + i * (size_t)n;
	for (int k = 0; k < present; k++) {
		int m = present == n ? k : a->present[k];
		a->inputs[i * (size_t)n + (size_t)k] = at_heap(ctx, a->set, m, at[m].input);
		a->outputs[i * (size_t)n + (size_t)k] = at_heap(ctx, a->set, m, at[m].output);
	}
	piece->inputs = a->inputs + i * (size_t)n;
	piece->outputs = a->outputs + i * (size_t)n;
}

/* A member's number among those that take part. */
static int place(const struct ronde_active *a, int member)
{
	int k = 0;
	while (k + 1 < a->npresent && a->present[k] < member)
		k++;
	return k;
}

/*
 * An alltoall's splits and what others say of theirs, of those that take part: where some do not,
 * the splits close up, and what was for the absent is counted.
 */
static void fill_splits(const struct ronde_active *a, struct ronde_plan *plan)
{
	const int size = a->set->size;
	int64_t *splits = a->requests[0]->splits, all = 0, kept = 0;
	int me = plan->me;
	if (plan->span)
		me = plan->span->positions[plan->span->node][me];
	for (int m = 0; m < size; m++)
		all += splits[m];
	for (int k = 0; k < a->taking; k++)
		kept += splits[k] = splits[a->numbers ? a->numbers[k] : k];
	plan->splits = splits;
	plan->received = splits + size;
	plan->begins = plan->received + size;
	plan->astray = plan->begins + size;
	plan->astray[me] = all - kept;
}

static void fill_plan(struct ronde_context *ctx, struct ronde_active *a,
		      const struct ronde_entry_view *p)
{
	const struct ronde_desc *like = &p->like;
	const struct ronde_process_set *set = a->set;
	struct ronde_plan *plan = &a->operation.plan;
	*plan = (struct ronde_plan){.kind = (enum ronde_kind)like->kind,
				    .path = (enum ronde_path)p->head->path,
				    .arena = &ctx->node->arena,
				    .kernels = ctx->kernels,
				    .stores = &ctx->schedule.stores,
				    .lane = p->head->lane,
				    .base = p->head->base,
				    .n = set->n,
				    .me = set->me,
				    .members = set->local,
				    .domains = ctx->node->domains,
				    .traffic = ctx->node->domains ? &ctx->schedule.traffic : NULL,
				    .element = ronde_dtype_bytes((ronde_dtype)like->dtype),
				    .spec = {.dtype = (ronde_dtype)like->dtype,
					     .reduction = (ronde_reduction)like->reduction,
					     .prescale = like->prescale,
					     .postscale = like->postscale,
					     .divisor = p->head->divisor},
				    .chunk_bytes = p->head->chunk_bytes,
				    .phases = plan->phases,
				    .pieces = a->pieces,
				    .npieces = p->head->items};
	if (like->kind == RONDE_KIND_BROADCAST && set->nodes == 1)
		plan->root = ronde_process_set_member(set, ctx->node->local_of_rank[like->root]);
	a->taking = a->npresent;
	a->numbers = a->npresent < set->n ? a->present : NULL;
	if (a->npresent < set->n) {
		plan->me = place(a, plan->me);
		plan->root = place(a, plan->root);
		plan->n = a->npresent;
		plan->members = a->present_local;
		plan->leaf = a->present;
		plan->leaves = set->n;
	}
	if (set->nodes > 1)
		ronde_reach_fill(ctx->reach, a, p);
	if (ronde_kind_has_own_rows((enum ronde_kind)like->kind)) {
		struct ronde_request *r = a->requests[0];
		plan->rows = r->rows;
		if (r->splits)
			fill_splits(a, plan);
		plan->row_bytes = ronde_desc_row_bytes(&r->desc);
		plan->allocate = ronde_gathered_allocate;
		plan->allocate_arg = a;
		ronde_gathered_begin(a);
	}
}

static void execute(struct ronde_context *ctx, const struct ronde_entry_view *p,
		    struct ronde_active *a)
{
	static const char *const paths[] = {"carried", "zero-copy", "staged"};
	uint32_t items = p->head->items;
	ronde_log(ctx->log, DEBUG,
		  "entry %llu: %s of %u tensor(s), %s, lane %d, chunks of %llu bytes",
		  (unsigned long long)p->head->index,
		  ronde_kind_name((enum ronde_kind)p->like.kind), items,
		  p->head->path < 3 ? paths[p->head->path] : "?", p->head->lane,
		  (unsigned long long)p->head->chunk_bytes);
	ronde_count(&ctx->counters.entries, 1);
	ronde_count(&ctx->counters.tensors, items);
	a->index = p->head->index;
	a->operation.plan.path = (enum ronde_path)p->head->path;
	a->operation.plan.npieces = items;
	a->operation.plan.phases = ronde_timeline_begin(ctx, &a->phases);
	if (p->head->path == RONDE_PATH_CARRIED) {
		complete_carried(ctx, p, a);
		ronde_active_put(ctx, a);
		return;
	}
	for (uint32_t i = 0; i < items; i++) {
		fill_piece(ctx, a, p, i);
		ronde_count(&ctx->counters.bytes, a->requests[i]->bytes);
	}
	ronde_count(p->head->path == RONDE_PATH_ZERO_COPY ? &ctx->counters.entries_zero_copy
							  : &ctx->counters.entries_staged,
		    1);
	fill_plan(ctx, a, p);
	ronde_active_start(ctx, a);
}

/* Results are copied by the request's size: it must be the one the entry speaks of. */
static bool is_meant(const struct ronde_request *r, const struct ronde_entry_view *p,
		     const struct ronde_item *item)
{
	return p->head->type != RONDE_ENTRY_DATA ||
	       (r->desc.kind == p->like.kind && r->desc.dtype == p->like.dtype &&
		ronde_desc_count(&r->desc) == item->count);
}

/* Errors, here and below: OUT_OF_MEMORY; INTERNAL for an entry that no leader writes. */
static int take_items(struct ronde_context *ctx, struct ronde_process_set *set,
		      const struct ronde_entry_view *p)
{
	uint32_t items = p->head->items, definitions = p->head->definitions;
	struct ronde_active *a =
		ronde_active_new(ctx, set, items > definitions ? items : definitions);
	if (!a)
		return RONDE_ERR_OUT_OF_MEMORY;
	/* The definitions' tensors are wanted only until the requests are known: in the same
	 * array's rest. */
	struct ronde_tensor **defined = (struct ronde_tensor **)a->inputs;
	int status = apply_definitions(ctx, p, defined);
	if (status)
		goto not_taken;
	if (ronde_entry_absent(p, set->self)) /* slots are all it has of this entry */
		goto not_taken;
	if (!ronde_active_leave_out(a, p->absent, p->head->absent) ||
	    (set->nodes > 1 && !ronde_reach_prepare(ctx->reach, a))) {
		status = RONDE_ERR_OUT_OF_MEMORY;
		goto not_taken;
	}
	status = RONDE_ERR_INTERNAL;
	for (uint32_t i = 0; i < items; i++) {
		a->requests[i] = find_request(ctx, p, &p->items[i], defined);
		if (!a->requests[i] || !is_meant(a->requests[i], p, &p->items[i]))
			goto not_taken;
		a->requests[i]->answered = true;
		ronde_timeline_answered(ctx, a->requests[i], p->head->index,
					p->head->type == RONDE_ENTRY_DATA ? RONDE_OK
									  : RONDE_ERR_MISMATCH);
	}
	if (p->head->type == RONDE_ENTRY_DATA) {
		execute(ctx, p, a);
		return RONDE_OK;
	}
	for (uint32_t i = 0; i < items; i++)
		ronde_submit_complete(ctx, a->requests[i], RONDE_ERR_MISMATCH,
				      (const char *)p->payload);
	ronde_active_put(ctx, a);
	return RONDE_OK;
not_taken:
	ronde_active_put(ctx, a);
	return status;
}

/* An entry with tensors, or a notice. */
static int take_tensors(struct ronde_context *ctx, struct ronde_process_set *set,
			const struct ronde_entry_view *p)
{
	struct ronde_submissions *s = &ctx->submissions;
	int status;
	pthread_mutex_lock(&s->lock);
	if (p->head->type == RONDE_ENTRY_NOTICE) {
		status = announce_again(ctx, p) ? RONDE_OK : RONDE_ERR_INTERNAL;
	} else {
		apply_evictions(ctx, p);
		status = take_items(ctx, set, p);
	}
	pthread_mutex_unlock(&s->lock);
	return status;
}

static int take_brief(struct ronde_context *ctx, const void *record, size_t bytes)
{
	struct ronde_submissions *s = &ctx->submissions;
	struct ronde_brief_view brief;
	struct ronde_brief_entry entry;
	if (!ronde_brief_read(record, bytes, &brief) || brief.head->index < ctx->schedule.next)
		return RONDE_ERR_INTERNAL;
	ctx->schedule.next = brief.head->index + 1;
	int status = RONDE_ERR_INTERNAL;
	pthread_mutex_lock(&s->lock);
	const struct ronde_tensor *t = ronde_directory_at(
		&s->directory, (struct ronde_slot_name){brief.head->slot, brief.head->generation});
	struct ronde_process_set *set = t ? ronde_process_sets_find(&ctx->sets, t->desc.set) : NULL;
	if (set && set->me >= 0 && ronde_brief_expand(&brief, &t->desc, &entry))
		status = take_items(ctx, set, &entry.view);
	pthread_mutex_unlock(&s->lock);
	ronde_engine_completed(ctx);
	return status;
}

static int take_entry(struct ronde_context *ctx, const void *record, size_t bytes)
{
	if (ronde_entry_is_brief(record, bytes))
		return take_brief(ctx, record, bytes);
	struct ronde_entry_view p;
	struct ronde_process_set *set =
		ronde_process_sets_find(&ctx->sets, ronde_entry_set(record, bytes));
	if (!set || set->me < 0)
		return RONDE_ERR_INTERNAL;
	struct ronde_entry_limits limits = limits_of(ctx, set);
	if (!ronde_entry_read(record, bytes, &limits, &p) || p.head->index < ctx->schedule.next)
		return RONDE_ERR_INTERNAL;
	ctx->schedule.next = p.head->index + 1;
	int status = RONDE_ERR_INTERNAL;
	switch ((enum ronde_entry_type)p.head->type) {
	case RONDE_ENTRY_SHUTDOWN:
		ctx->schedule.state = RONDE_SCHEDULE_DRAINING;
		ctx->schedule.ended_by = p.head->root;
		return RONDE_OK;
	case RONDE_ENTRY_SET:
		status = ronde_control_take(ctx, &p);
		break;
	case RONDE_ENTRY_DATA:
	case RONDE_ENTRY_ERROR:
	case RONDE_ENTRY_NOTICE:
		status = take_tensors(ctx, set, &p);
		break;
	case RONDE_ENTRY_JOINED:
		status = ronde_control_end_join(ctx, p.head->root);
		break;
	case RONDE_ENTRY_BRIEF:
		break;
	}
	ronde_engine_completed(ctx);
	return status;
}

bool ronde_schedule_consume(struct ronde_context *ctx)
{
	bool some = false;
	size_t bytes;
	const void *record;
	while (ctx->schedule.state == RONDE_SCHEDULE_RUNNING &&
	       (record = ronde_ring_peek(&ctx->schedule.log, &bytes))) {
		if (!some)
			ronde_timeline_cycle(ctx);
		some = true;
		int status = take_entry(ctx, record, bytes);
		if (status) {
			ronde_schedule_broken(ctx, status, "an entry of the schedule");
			break;
		}
		if (ronde_ring_consume(&ctx->schedule.log))
			ronde_bell_touch(&ctx->node->arena, 0, RONDE_PARKED_OTHERS);
	}
	return some;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/leader.h"

#include <stdlib.h>
#include <utlist.h>

#include "collectives/bootstrap/wait.h"
#include "collectives/status.h"
#include "coordinator/reach.h"
#include "coordinator/relay.h"
#include "coordinator/submit.h"

static int open_rings(struct ronde_leader *l, const struct ronde_arena *arena)
{
	size_t n = arena->shape.local_size, ranks = (size_t)l->view->size;
	l->announce = calloc(n, sizeof *l->announce);
	l->log = calloc(n, sizeof *l->log);
	l->followers = calloc(ranks, sizeof *l->followers);
	if (!l->announce || !l->log || !l->followers)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for the leader of %zu ranks",
				   ranks);
	for (size_t i = 0; i < n; i++) {
		ronde_ring_consumer_init(&l->announce[i], ronde_announce_ring(arena, (int)i),
					 arena->shape.ring_cells);
		ronde_ring_producer_init(&l->log[i], ronde_log_ring(arena, (int)i),
					 arena->shape.ring_cells);
	}
	return RONDE_OK;
}

/* Whose ranks it leads, and which of them are here. */
static int look_around(struct ronde_leader *l)
{
	const struct ronde_node *node = l->context->node;
	l->view = node;
	if (node->nodes == 1)
		return RONDE_OK;
	l->view = l->whole = ronde_node_whole(node);
	l->home = calloc((size_t)node->size, sizeof *l->home);
	l->away = calloc((size_t)node->size, sizeof *l->away);
	if (!l->whole || !l->home || !l->away)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for the leader of %d ranks",
				   node->size);
	for (int r = 0; r < node->size; r++)
		l->home[r] = node->node_of_rank[r] == node->node ? node->local_of_rank[r] : -1;
	return RONDE_OK;
}

static int hear_afar(void *arg, int rank, const void *record, size_t bytes);
static int left_afar(void *arg, int lane, uint64_t end);

int ronde_leader_create(struct ronde_leader **leader, struct ronde_context *ctx)
{
	const struct ronde_arena *arena = &ctx->node->arena;
	struct ronde_leader *l = calloc(1, sizeof *l);
	if (!l)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for the leader");
	l->context = ctx;
	l->closed_by = -1;
	int status = look_around(l);
	if (!status)
		status = open_rings(l, arena);
	if (!status)
		status = ronde_process_sets_init(&l->sets, l->view, ctx->node);
	if (!status)
		status = ronde_leader_add_queue(l, l->sets.world);
	if (!status)
		status = ronde_ballots_init(&l->ballots, l->view->size,
					    (uint32_t)ctx->config.cache_capacity);
	if (!status && !(l->sources = calloc((size_t)l->sets.world->leaves, sizeof *l->sources)))
		status = ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for the leader");
	l->lanes = calloc(arena->shape.lanes, sizeof *l->lanes);
	for (uint32_t i = 0; l->lanes && i < arena->shape.lanes && !status; i++)
		if (!(l->lanes[i].absent = calloc((size_t)l->view->size, 1)))
			status = ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for the leader");
	l->record_limit = ronde_ring_limit(arena->shape.ring_cells);
	l->record = malloc(l->record_limit);
	if (!status && (!l->lanes || !l->record))
		status = ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for the leader");
	if (status) {
		ronde_leader_destroy(l);
		return status;
	}
	*leader = l;
	if (l->whole)
		ronde_relay_set_root(ronde_reach_relay(ctx->reach),
				     &(struct ronde_relay_root){hear_afar, left_afar, l});
	return RONDE_OK;
}

void ronde_leader_destroy(struct ronde_leader *l)
{
	if (!l)
		return;
	if (l->ballots.slots)
		ronde_ballots_finish(&l->ballots);
	if (l->followers)
		ronde_leader_forget_sets(l);
	for (uint32_t i = 0; l->lanes && i < l->context->node->arena.shape.lanes; i++) {
		if (l->lanes[i].set)
			ronde_process_set_release(l->lanes[i].set);
		free(l->lanes[i].absent);
	}
	free(l->announce);
	free(l->log);
	free(l->followers);
	free(l->sources);
	free(l->away);
	free(l->home);
	ronde_node_forget_whole(l->whole);
	free(l->lanes);
	free(l->record);
	free(l);
}

/* ---- hearing ---- */

/* The ballot an announcement votes on, and the description the vote gives. NULL: no memory. */
static struct ronde_ballot *find_ballot(struct ronde_leader *l, struct ronde_heard *h,
					const struct ronde_desc **desc,
					struct ronde_ballot **pattern)
{
	if (h->head.type == RONDE_ANNOUNCE_FULL) {
		*desc = &h->desc;
		return ronde_ballots_get(&l->ballots, &h->key);
	}
	struct ronde_ballot *by_slot = ronde_ballots_at(
		&l->ballots, (struct ronde_slot_name){h->head.slot, h->head.generation});
	if (!by_slot)
		return NULL;
	*desc = &by_slot->desc;
	if (!by_slot->is_pattern)
		return by_slot;
	struct ronde_key key;
	ronde_key_set(&key, (enum ronde_kind)by_slot->desc.kind, by_slot->desc.set, NULL, 0,
		      h->head.ordinal);
	*pattern = by_slot;
	return ronde_ballots_get(&l->ballots, &key);
}

/* True if a rank can have said this: its data comes along exactly if it rides. */
static bool is_possible(const struct ronde_leader *l, int local_rank, const struct ronde_desc *desc,
			const struct ronde_heard *h)
{
	const struct ronde_context *ctx = l->context;
	const struct ronde_process_set *set = ronde_process_sets_find(&l->sets, desc->set);
	if (!set || ronde_process_set_member(set, local_rank) < 0 || desc->root < 0 ||
	    desc->root >= l->view->size)
		return false;
	bool gives = ronde_gives_payload(ctx, desc, l->view->ranks[local_rank]);
	return h->head.payload_bytes == (gives ? ronde_desc_data_bytes(desc) : 0);
}

static int no_memory(void)
{
	return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for what ranks say of a tensor");
}

/* Errors, here and below: OUT_OF_MEMORY; INTERNAL for a record that no rank writes. */
static int count_vote(struct ronde_leader *l, struct ronde_ballot *b, int member,
		      const struct ronde_desc *desc, const struct ronde_heard *h)
{
	struct ronde_vote *vote = &b->votes[member];
	if (vote->heard)
		return RONDE_ERR_INTERNAL;
	if (b->heard == 0)
		b->round = *desc;
	vote->heard = true;
	vote->location = h->location;
	vote->ready_ns = h->ready_ns;
	if (!ronde_desc_equal(&b->round, desc)) {
		b->disagreed = true;
		if (!(vote->other = malloc(sizeof *vote->other)))
			return no_memory();
		*vote->other = *desc;
	} else if (h->head.payload_bytes) {
		unsigned char *to =
			ronde_ballot_payload(&l->ballots, b, member, h->head.payload_bytes);
		if (!to)
			return no_memory();
		memcpy(to, h->payload, h->head.payload_bytes);
	}
	b->heard++;
	return RONDE_OK;
}

static int hear_tensor(struct ronde_leader *l, int local_rank, struct ronde_heard *h)
{
	const struct ronde_desc *desc = NULL;
	struct ronde_ballot *pattern = NULL;
	struct ronde_ballot *b = find_ballot(l, h, &desc, &pattern);
	if (!b)
		return no_memory();
	if (!is_possible(l, local_rank, desc, h))
		return RONDE_ERR_INTERNAL;
	b->set = ronde_process_sets_find(&l->sets, desc->set);
	int member = ronde_process_set_member(b->set, local_rank);
	int status = count_vote(l, b, member, desc, h);
	if (status)
		return status;
	b->votes[member].said = l->followers[local_rank].heard;
	if (pattern) { /* its slot may not be evicted before this vote is answered */
		b->votes[member].pattern = pattern;
		pattern->heard++;
	}
	if (desc->members || b->held)
		return ronde_leader_hear_member(l, b, ronde_process_set_member(b->set, local_rank),
						desc);
	if (ronde_leader_complete(l, b))
		ronde_leader_enqueue(l, b);
	return RONDE_OK;
}

/*
 * An announcement by a slot that has been evicted meanwhile, perhaps for a set that the rank is not
 * in: it is told, and announces again in full. What it says later may depend on that one having
 * been heard, so it is counted.
 */
static bool answer_stale(struct ronde_leader *l, int local_rank, const struct ronde_heard *h)
{
	struct ronde_slot_name slot = {h->head.slot, h->head.generation};
	if (!ronde_leader_append_notice(l, local_rank, slot, h->head.ordinal))
		return false;
	l->followers[local_rank].owing++;
	return true;
}

/* It cannot be heard before there is room for an answer. */
#define NOT_NOW 1

static int hear(struct ronde_leader *l, int local_rank, const void *record, size_t bytes)
{
	struct ronde_heard h;
	if (!ronde_announcement_read(record, bytes, &h))
		return RONDE_ERR_INTERNAL;
	struct ronde_slot_name slot = {h.head.slot, h.head.generation};
	bool stale = h.head.type == RONDE_ANNOUNCE_READY && !ronde_ballots_at(&l->ballots, slot);
	if (stale && !answer_stale(l, local_rank, &h))
		return NOT_NOW;
	l->followers[local_rank].heard++;
	if (h.head.again) {
		if (l->followers[local_rank].owing == 0)
			return RONDE_ERR_INTERNAL;
		l->followers[local_rank].owing--;
	}
	if (stale)
		return RONDE_OK;
	switch (h.head.type) {
	case RONDE_ANNOUNCE_FULL:
	case RONDE_ANNOUNCE_READY:
		return hear_tensor(l, local_rank, &h);
	case RONDE_ANNOUNCE_SET:
		return ronde_leader_hear_wish(l, local_rank, &h);
	case RONDE_ANNOUNCE_JOIN:
		return ronde_leader_hear_join(l, local_rank);
	case RONDE_ANNOUNCE_SHUTDOWN:
		if (l->closed_by < 0)
			l->closed_by = l->view->ranks[local_rank];
		return RONDE_OK;
	default:
		return RONDE_ERR_INTERNAL;
	}
}

/* What the relay has brought from other nodes. There is always room for an answer. */
static int hear_afar(void *arg, int rank, const void *record, size_t bytes)
{
	struct ronde_leader *l = arg;
	if (l->closed || l->closed_by >= 0)
		return RONDE_OK;
	return ronde_leader_home(l, rank) < 0 ? hear(l, rank, record, bytes) : RONDE_ERR_INTERNAL;
}

static bool hear_all(struct ronde_leader *l)
{
	const struct ronde_node *node = l->context->node;
	bool some = false;
	for (int i = 0; i < node->local_size; i++) {
		size_t bytes;
		const void *record;
		while (l->closed_by < 0 && (record = ronde_ring_peek(&l->announce[i], &bytes))) {
			int status = hear(l, l->home ? node->ranks[i] : i, record, bytes);
			if (status == NOT_NOW)
				break;
			some = true;
			if (status) {
				l->closed = true; /* leads no more */
				ronde_schedule_broken(l->context, status, "an announcement");
				return true;
			}
			if (ronde_ring_consume(&l->announce[i]))
				ronde_bell_touch(&node->arena, i, RONDE_PARKED_ENTRY);
		}
	}
	return some;
}

/* ---- the turn ---- */

/* All members on one of the other nodes are done with the operation on the lane. */
static int left_afar(void *arg, int lane, uint64_t end)
{
	struct ronde_leader *l = arg;
	if (lane < 0 || (uint32_t)lane >= l->context->node->arena.shape.lanes ||
	    l->lanes[lane].away == 0)
		return RONDE_ERR_INTERNAL;
	l->lanes[lane].away--;
	l->lanes[lane].end = end > l->lanes[lane].end ? end : l->lanes[lane].end;
	return RONDE_OK;
}

/* A lane is free again once every member is done with the operation on it. */
static bool reclaim_lanes(struct ronde_leader *l)
{
	const struct ronde_arena *arena = &l->context->node->arena;
	bool some = false;
	int busy = l->busy;
	for (uint32_t i = 0; busy && i < arena->shape.lanes; i++) {
		struct ronde_lane *lane = &l->lanes[i];
		struct ronde_process_set *set = lane->set;
		if (!set)
			continue;
		busy--;
		uint64_t end = lane->end;
		bool done = lane->away == 0;
		for (int m = 0; m < set->n && done; m++) {
			int local = ronde_leader_home(l, set->local[m]);
			if (lane->absent[set->local[m]] || local < 0)
				continue;
			uint64_t left = atomic_load_explicit(
				&ronde_lane_cell(arena, (int)i, local)->left, memory_order_seq_cst);
			done = left > lane->base;
			end = left > end ? left : end;
		}
		if (!done)
			continue;
		lane->set = NULL;
		lane->base = end;
		l->busy--;
		if (set->queue) {
			set->queue->own_rows -= lane->own_rows;
			l->idle_sets += --set->queue->busy == 0;
		}
		ronde_process_set_release(set);
		some = true;
	}
	return some;
}

bool ronde_leader_turn(struct ronde_leader *l)
{
	if (l->closed)
		return false;
	bool some = hear_all(l);
	if (l->closed)
		return true;
	if (l->closed_by >= 0) {
		l->closed = ronde_leader_append_shutdown(l);
		return some || l->closed;
	}
	some |= reclaim_lanes(l);
	some |= ronde_leader_join(l);
	if (l->waiting)
		some |= ronde_leader_decide(l);
	return ronde_leader_change_sets(l) || some;
}

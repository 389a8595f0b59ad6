/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How records get to ranks, and the entries without tensors: notices, changes of the process sets,
 * the ends of joins and of the runtime.
 */
#include "coordinator/leader.h"
#include "coordinator/link.h"
#include "coordinator/reach.h"
#include "coordinator/relay.h"

/* Copies the record into one rank's ring, where there is room for it. */
static void send_here(struct ronde_leader *l, int local, size_t bytes)
{
	void *room = ronde_ring_reserve(&l->log[local], bytes);
	memcpy(room, l->record, bytes);
	ronde_ring_publish(&l->log[local]);
	if (local != l->context->node->local_rank)
		ronde_bell_touch(&l->context->node->arena, local, RONDE_PARKED_ENTRY);
}

/* To the n ranks of l->away. */
static void send_away(struct ronde_leader *l, size_t n, size_t bytes, int lane, uint64_t base)
{
	int status = RONDE_OK;
	if (n)
		status = ronde_relay_send(ronde_reach_relay(l->context->reach), l->away, n,
					  l->record, bytes, lane, base);
	if (!status)
		return;
	l->closed = true; /* leads no more */
	ronde_schedule_broken(l->context, status, "an entry for other nodes");
}

/* To one rank, where there is room for it if it is here. */
static void send(struct ronde_leader *l, int rank, size_t bytes)
{
	int local = ronde_leader_home(l, rank);
	if (local >= 0) {
		send_here(l, local, bytes);
		return;
	}
	l->away[0] = (uint32_t)rank;
	send_away(l, 1, bytes, -1, 0);
}

/*
 * To all members: first to other nodes, for that takes longest; the leader's own rank last, for it
 * does not have to be waited for.
 */
void ronde_leader_send_all(struct ronde_leader *l, const struct ronde_process_set *set,
			   size_t bytes, int lane)
{
	const struct ronde_ballot *b = l->batch[0];
	const int self = l->view->local_rank;
	size_t away = 0;
	for (int m = 0; l->home && m < set->n; m++)
		if (l->home[set->local[m]] < 0)
			l->away[away++] = (uint32_t)set->ranks[m] |
					  (b->votes[m].heard ? 0 : RONDE_PARCEL_ABSENT);
	send_away(l, away, bytes, lane, lane >= 0 ? l->lanes[lane].base : 0);
	for (int m = 0; m < set->n; m++) {
		int local = ronde_leader_home(l, set->local[m]);
		if (local >= 0 && set->local[m] != self)
			send_here(l, local, bytes);
	}
	if (ronde_process_set_member(set, self) >= 0)
		send_here(l, l->context->node->local_rank, bytes);
}

/* ---- entries without tensors ---- */

bool ronde_leader_append_notice(struct ronde_leader *l, int local_rank, struct ronde_slot_name slot,
				uint64_t ordinal)
{
	struct ronde_writer w = {l->record, l->record + l->record_limit, false};
	struct ronde_entry head = {
		.type = RONDE_ENTRY_NOTICE, .evictions = 1, .index = l->index, .base = ordinal};
	int local = ronde_leader_home(l, local_rank);
	if (local >= 0 && !ronde_ring_has_room(&l->log[local], sizeof head + sizeof slot))
		return false;
	l->index++;
	ronde_write(&w, &head, sizeof head);
	ronde_write(&w, &slot, sizeof slot);
	send(l, local_rank, (size_t)(w.at - l->record));
	return true;
}

void ronde_leader_append_change(struct ronde_leader *l, const struct ronde_set_entry *change,
				const void *data, size_t bytes)
{
	struct ronde_writer w = {l->record, l->record + l->record_limit, false};
	struct ronde_entry head = {
		.type = RONDE_ENTRY_SET, .index = l->index++, .payload_bytes = (uint32_t)bytes};
	ronde_write(&w, &head, sizeof head);
	ronde_write(&w, change, sizeof *change);
	ronde_write(&w, data, bytes);
	for (int i = 0; i < l->view->local_size; i++)
		send(l, i, (size_t)(w.at - l->record));
}

void ronde_leader_append_joined(struct ronde_leader *l)
{
	const struct ronde_node *node = l->view;
	struct ronde_entry head = {.type = RONDE_ENTRY_JOINED,
				   .index = l->index++,
				   .root = node->ranks[l->last_joined]};
	memcpy(l->record, &head, sizeof head);
	for (int i = 0; i < node->local_size; i++)
		send(l, i, sizeof head);
}

bool ronde_leader_append_shutdown(struct ronde_leader *l)
{
	const struct ronde_node *node = l->view;
	const struct ronde_arena *arena = &l->context->node->arena;
	/* Who shuts down after a loss says nothing to those that have not heard of it. */
	if (l->home && atomic_load_explicit(&arena->header->lost, memory_order_acquire))
		return true;
	atomic_store_explicit(&arena->header->closed, (uint32_t)l->closed_by + 1,
			      memory_order_seq_cst);
	struct ronde_entry head = {
		.type = RONDE_ENTRY_SHUTDOWN, .index = l->index, .root = l->closed_by};
	memcpy(l->record, &head, sizeof head);
	bool all = true;
	for (int i = 0; i < node->local_size; i++) {
		if (l->followers[i].told)
			continue;
		int local = ronde_leader_home(l, i);
		if (local >= 0 && !ronde_ring_has_room(&l->log[local], sizeof head)) {
			all = false;
			continue;
		}
		l->followers[i].told = true;
		send(l, i, sizeof head);
		if (local >= 0)
			ronde_bell_ring(arena, local);
	}
	return all;
}

void ronde_leader_down(struct ronde_leader *l)
{
	const struct ronde_node *node = l->view;
	for (int i = 0; i < node->local_size; i++)
		if (!l->followers[i].told && ronde_leader_home(l, i) >= 0)
			ronde_bell_ring(&l->context->node->arena, ronde_leader_home(l, i));
}

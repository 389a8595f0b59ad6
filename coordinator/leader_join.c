/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Join, on the leader: a rank that has run out of data says so, and takes no part in what others do
 * until all have said so. A tensor is complete when every member has voted or joined, so each time
 * a rank joins all pending ones are looked at again.
 *
 * The entry names the members that did not vote. They read it, so that they know the slots it
 * defines, and do nothing else: the operation is one of the others alone, whose results are those
 * of a tree with absent leaves. So nobody waits for a joined rank, and it needs no memory. Its rows
 * of a reducescatter are nobody's; that no rows of an alltoall go to it is found out where splits
 * are, by the operation.
 *
 * When all have joined, everything pending is complete and goes first; the end of the join is an
 * entry too, written when no operation is left, since unnamed tensors are then counted from 0
 * again.
 */
#include <stdio.h>

#include "collectives/status.h"
#include "coordinator/leader.h"
#include "coordinator/submit.h"

int ronde_leader_hear_join(struct ronde_leader *l, int local_rank)
{
	struct ronde_follower *f = &l->followers[local_rank];
	if (f->joining)
		return RONDE_ERR_INTERNAL;
	f->joining = true;
	return RONDE_OK;
}

bool ronde_leader_complete(const struct ronde_leader *l, const struct ronde_ballot *b)
{
	if (b->heard == (uint32_t)b->set->n)
		return true;
	if (b->set->queue->joined == 0)
		return false;
	for (int m = 0; m < b->set->n; m++)
		if (!b->votes[m].heard && !l->followers[b->set->local[m]].joined)
			return false;
	return true;
}

bool ronde_leader_same_present(const struct ronde_ballot *a, const struct ronde_ballot *b)
{
	if (a->heard != b->heard)
		return false;
	for (int m = 0; a->heard < (uint32_t)a->set->n && m < a->set->n; m++)
		if (a->votes[m].heard != b->votes[m].heard)
			return false;
	return true;
}

int ronde_leader_divisor(const struct ronde_leader *l, const struct ronde_ballot *b)
{
	return l->context->config.join_divisor ? (int)b->heard : b->set->size;
}

/* The only thing that cannot be done without a rank is to broadcast what it has. */
bool ronde_leader_refuses(const struct ronde_leader *l, const struct ronde_ballot *b)
{
	int root = l->view->local_of_rank[b->round.root];
	return b->heard < (uint32_t)b->set->n && b->round.kind == RONDE_KIND_BROADCAST &&
	       !b->votes[ronde_process_set_member(b->set, root)].heard;
}

bool ronde_leader_can_span(const struct ronde_leader *l, const struct ronde_ballot *b)
{
	return b->set->nodes == 1 || ronde_rides(l->context, &b->round) ||
	       ronde_span_carries((enum ronde_kind)b->round.kind,
				  (ronde_reduction)b->round.reduction);
}

size_t ronde_leader_refusal(const struct ronde_ballot *b, char *text, size_t bytes)
{
	char name[RONDE_MAX_NAME + 1];
	ronde_key_head_text(&b->key.head, b->key.name, b->round.members, name, sizeof name);
	int n;
	if (b->round.kind == RONDE_KIND_BROADCAST)
		n = snprintf(text, bytes,
			     "tensor \"%s\": the root of this broadcast, rank %d, has joined", name,
			     b->round.root);
	else
		n = snprintf(text, bytes,
			     "tensor \"%s\": Ronde %s has no %s between nodes, and process set %u "
			     "is on %d of them; use a set of the ranks of one node",
			     name, ronde_version(),
			     b->round.reduction == RONDE_ADASUM
				     ? "Adasum"
				     : ronde_kind_name((enum ronde_kind)b->round.kind),
			     b->set->id, b->set->nodes);
	return n < (int)bytes ? (size_t)n : bytes - 1;
}

/* ---- joining ---- */

static void look_again(struct ronde_leader *l)
{
	struct ronde_ballot *b, *next;
	HASH_ITER (hh, l->ballots.all, b, next)
		if (b->held)
			ronde_leader_look_at_group(l, b);
		else if (!b->is_pattern && b->heard && !b->queued && ronde_leader_complete(l, b))
			ronde_leader_enqueue(l, b);
}

static void count_joined(struct ronde_leader *l, int local_rank, int more)
{
	for (struct ronde_process_set *set = l->sets.all; set; set = set->hh.next)
		if (ronde_process_set_member(set, local_rank) >= 0)
			set->queue->joined += more;
}

static bool take_joins(struct ronde_leader *l)
{
	bool some = false;
	for (int i = 0; i < l->view->local_size; i++) {
		struct ronde_follower *f = &l->followers[i];
		if (!f->joining || f->joined || f->owing)
			continue;
		f->joined = some = true;
		l->last_joined = i;
		l->joined++;
		count_joined(l, i, 1);
	}
	if (some)
		look_again(l);
	return some;
}

static bool end_join(struct ronde_leader *l)
{
	int n = l->view->local_size;
	if (l->joined < n || l->waiting || l->busy)
		return false;
	for (int i = 0; i < n; i++)
		if (l->followers[i].wishes)
			return false;
	if (!ronde_leader_room(l, l->sets.world, sizeof(struct ronde_entry)))
		return false;
	ronde_leader_append_joined(l);
	for (int i = 0; i < n; i++) {
		l->followers[i].joining = l->followers[i].joined = false;
		count_joined(l, i, -1);
	}
	l->joined = 0;
	return true;
}

bool ronde_leader_join(struct ronde_leader *l)
{
	bool some = take_joins(l);
	return end_join(l) || some;
}

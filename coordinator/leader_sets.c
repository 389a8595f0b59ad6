/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of the process sets, on the leader. All ranks make the same ones in the same order, so
 * the k-th of one rank meets the k-th of every other. Each is judged when the last rank has
 * announced it, and is then an entry to all, whatever came out: so nobody waits because another
 * rank gave something else.
 *
 * A rank submits nothing to a set once it has asked for its removal. So when all have, everything
 * is known that was submitted to the set before: what is complete goes into the log first, in front
 * of the removal; what is not will never be, and each rank lets it fail when it reads the removal.
 */
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "collectives/bootstrap/wait.h"
#include "collectives/status.h"
#include "coordinator/leader.h"

/* Longest text of a change that failed. */
#define TEXT_BYTES 1000

int ronde_leader_add_queue(struct ronde_leader *l, struct ronde_process_set *set)
{
	struct ronde_queue *q = calloc(1, sizeof *q);
	if (!q)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for a process set");
	q->set = set;
	set->queue = q;
	l->idle_sets++;
	l->others += set->me < 0;
	return RONDE_OK;
}

int ronde_leader_add_set(struct ronde_leader *l, const int32_t *ranks, size_t n,
			 struct ronde_process_set **set)
{
	int status = ronde_process_sets_add(&l->sets, ranks, n, set);
	if (!status && (status = ronde_leader_add_queue(l, *set)))
		ronde_process_sets_remove(&l->sets, *set);
	return status;
}

static void remove_set(struct ronde_leader *l, struct ronde_process_set *set)
{
	struct ronde_queue *q = set->queue;
	l->idle_sets -= q->busy == 0;
	l->others -= set->me < 0;
	free(q);
	set->queue = NULL;
	ronde_ballots_forget_set(&l->ballots, set->id);
	ronde_process_sets_remove(&l->sets, set);
}

void ronde_leader_forget_sets(struct ronde_leader *l)
{
	for (int i = 0; i < l->view->size; i++) {
		struct ronde_wish *wish, *next;
		DL_FOREACH_SAFE(l->followers[i].wishes, wish, next)
		free(wish);
	}
	for (struct ronde_process_set *set = l->sets.all; set; set = set->hh.next)
		free(set->queue);
	ronde_process_sets_finish(&l->sets);
}

/* ---- wishes ---- */

int ronde_leader_hear_wish(struct ronde_leader *l, int local_rank, const struct ronde_heard *h)
{
	size_t n = h->head.payload_bytes / sizeof(int32_t);
	if (h->head.slot > RONDE_SET_NO_MORE || h->head.payload_bytes != n * sizeof(int32_t) ||
	    (h->head.slot != RONDE_SET_ADD && n))
		return RONDE_ERR_INTERNAL;
	struct ronde_wish *wish = malloc(sizeof *wish + h->head.payload_bytes);
	if (!wish)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for a process set");
	*wish = (struct ronde_wish){.change = (enum ronde_set_change)h->head.slot,
				    .set = h->head.generation,
				    .n = n,
				    .ranks = (int32_t *)(wish + 1),
				    .said = l->followers[local_rank].heard};
	if (n)
		memcpy(wish->ranks, h->payload, h->head.payload_bytes);
	DL_APPEND(l->followers[local_rank].wishes, wish);
	return RONDE_OK;
}

static bool same_wish(const struct ronde_wish *a, const struct ronde_wish *b)
{
	return a->change == b->change && a->set == b->set && a->n == b->n &&
	       memcmp(a->ranks, b->ranks, a->n * sizeof *a->ranks) == 0;
}

static void wish_text(const struct ronde_wish *wish, char *text, size_t bytes)
{
	char ranks[300];
	switch (wish->change) {
	case RONDE_SET_ADD:
		ronde_process_set_text(wish->ranks, wish->n, ranks, sizeof ranks);
		snprintf(text, bytes, "adds a process set of %s%s", wish->n ? "ranks " : "no ranks",
			 ranks);
		break;
	case RONDE_SET_REMOVE:
		snprintf(text, bytes, "removes process set %u", wish->set);
		break;
	case RONDE_SET_NO_MORE:
		snprintf(text, bytes, "has given ronde_init() no more process sets");
		break;
	}
}

/* "rank 0 adds a process set of ranks 0-1, ranks 1-2 removes …". */
static int describe_mismatch(const struct ronde_leader *l)
{
	const struct ronde_node *node = l->view;
	char text[TEXT_BYTES - 200] = "", what[400], who[200];
	size_t used = 0;
	bool *same = calloc((size_t)node->size, sizeof *same);
	for (int i = 0; same && i < node->local_size && used < sizeof text; i++) {
		const struct ronde_wish *wish = l->followers[i].wishes;
		bool told = false;
		for (int k = 0; k < node->local_size; k++) {
			same[node->ranks[k]] = same_wish(wish, l->followers[k].wishes);
			told |= k < i && same[node->ranks[k]];
		}
		if (told)
			continue;
		ronde_ranks_text(who, sizeof who, same, node->size);
		wish_text(wish, what, sizeof what);
		used += (size_t)snprintf(text + used, sizeof text - used, "%s%s %s",
					 used ? "; " : "", who, what);
	}
	free(same);
	return ronde_error(
		RONDE_ERR_MISMATCH,
		"process sets: %s. All ranks must make the same changes in the same order", text);
}

/* ---- judging ---- */

/* The first wish, if every rank has one or has joined; else NULL. */
static const struct ronde_wish *first_wish(const struct ronde_leader *l)
{
	const struct ronde_wish *first = NULL;
	for (int i = 0; i < l->view->local_size; i++) {
		const struct ronde_follower *f = &l->followers[i];
		if ((!f->wishes && !f->joined) || f->owing)
			return NULL;
		if (!first)
			first = f->wishes;
	}
	return first;
}

/* Ranks that have joined make no changes. */
static int check_joined(const struct ronde_leader *l)
{
	const struct ronde_node *node = l->view;
	char who[300];
	bool *joined = calloc((size_t)node->size, sizeof *joined);
	int some = 0;
	for (int i = 0; joined && i < node->local_size; i++)
		if (!l->followers[i].wishes) {
			joined[node->ranks[i]] = true;
			some++;
		}
	if (some)
		ronde_ranks_text(who, sizeof who, joined, node->size);
	free(joined);
	if (!some)
		return RONDE_OK;
	return ronde_error(
		RONDE_ERR_INVALID_ARGUMENT,
		"process sets cannot change while %s %s joined; change them before a rank "
		"joins, or when ronde_join() has returned",
		who, some == 1 ? "has" : "have");
}

static bool all_wish_the_same(const struct ronde_leader *l)
{
	for (int i = 1; i < l->view->local_size; i++)
		if (!same_wish(l->followers[0].wishes, l->followers[i].wishes))
			return false;
	return true;
}

static int check_removal(struct ronde_leader *l, uint32_t id, struct ronde_process_set **set)
{
	if (id == 0)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "process set 0 is the set of all ranks and cannot be removed");
	*set = ronde_process_sets_find(&l->sets, id);
	return *set ? RONDE_OK
		    : ronde_error(RONDE_ERR_INVALID_ARGUMENT, "process set %d does not exist",
				  (int)id);
}

static int judge(struct ronde_leader *l, const struct ronde_wish *wish,
		 struct ronde_process_set **removed)
{
	int status = check_joined(l);
	if (status)
		return status;
	if (!all_wish_the_same(l))
		return describe_mismatch(l);
	if (wish->change == RONDE_SET_REMOVE)
		return check_removal(l, wish->set, removed);
	if (wish->change == RONDE_SET_ADD)
		return ronde_process_sets_check(&l->sets, wish->ranks, wish->n);
	return RONDE_OK;
}

static void append(struct ronde_leader *l, int status, const struct ronde_wish *wish, uint32_t id)
{
	struct ronde_set_entry change = {
		.status = status, .change = (uint32_t)wish->change, .set = id};
	if (status) {
		char text[TEXT_BYTES];
		snprintf(text, sizeof text, "%s", ronde_error_message());
		ronde_leader_append_change(l, &change, text, strlen(text) + 1);
		return;
	}
	change.ranks = (uint32_t)wish->n;
	ronde_leader_append_change(l, &change, wish->ranks, wish->n * sizeof *wish->ranks);
}

static bool change_once(struct ronde_leader *l)
{
	const struct ronde_wish *wish = first_wish(l);
	if (!wish)
		return false;
	size_t data = wish->n * sizeof *wish->ranks;
	if (!ronde_leader_room(l, l->sets.world,
			       sizeof(struct ronde_entry) + sizeof(struct ronde_set_entry) +
				       ronde_wire_pad(data > TEXT_BYTES ? data : TEXT_BYTES)))
		return false;
	struct ronde_process_set *removed = NULL, *added = NULL;
	int status = judge(l, wish, &removed);
	if (!status && removed && removed->queue->waiting)
		return false; /* what is complete comes first */
	if (!status && wish->change == RONDE_SET_ADD)
		status = ronde_leader_add_set(l, wish->ranks, wish->n, &added);
	append(l, status, wish, added ? added->id : wish->set);
	if (!status && removed)
		remove_set(l, removed);
	for (int i = 0; i < l->view->local_size; i++) {
		struct ronde_wish *done = l->followers[i].wishes;
		if (!done)
			continue;
		DL_DELETE(l->followers[i].wishes, done);
		free(done);
	}
	return true;
}

bool ronde_leader_change_sets(struct ronde_leader *l)
{
	bool some = false;
	while (change_once(l))
		some = true;
	return some;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the stall inspector says, from the leader's ballots and the ranks' answers.
 *
 *   1. what waits, who has submitted it, who has not: tensors alike in that share a line
 *   2. for each rank that is missing somewhere: what it does instead
 *   3. what looks like a mistake: stall_hints.c
 *   4. a deadlock: stall_deadlock.c
 *
 * Ballots and boards are of different moments. A rank that works on has meanwhile finished what its
 * board says it waits for, and may have submitted it again under the same name; so a wait on a
 * board is taken for one of a ballot only if it names the very announcement that was the vote.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/bootstrap/wait.h"
#include "coordinator/stall_afar.h"
#include "coordinator/stall_writer.h"

/* Names in one line, lines of what waits. */
#define MOST_NAMES 4
#define MOST_LINES 12

static int local_size(const struct ronde_stall_writer *w)
{
	return w->leader->view->local_size;
}

static bool answered(const struct ronde_stall_writer *w, int local)
{
	return ronde_stall_answered(w->ctx, local);
}

/* ---- what waits ---- */

uint64_t ronde_stall_said(const struct ronde_stall_writer *w, const struct ronde_stall_item *item,
			  int local)
{
	if (!item->ballot) {
		const struct ronde_wish *wish = w->leader->followers[local].wishes;
		return wish ? wish->said : 0;
	}
	int member = ronde_process_set_member(item->ballot->set, local);
	const struct ronde_vote *vote = member < 0 ? NULL : &item->ballot->votes[member];
	return vote && vote->heard ? vote->said : 0;
}

bool ronde_stall_has_submitted(const struct ronde_stall_writer *w,
			       const struct ronde_stall_item *item, int local)
{
	return ronde_stall_said(w, item, local) != 0;
}

bool ronde_stall_is_missing(const struct ronde_stall_writer *w, const struct ronde_stall_item *item,
			    int local)
{
	if (item->ballot && ronde_process_set_member(item->ballot->set, local) < 0)
		return false;
	return !ronde_stall_has_submitted(w, item, local) && !w->leader->followers[local].joined;
}

const struct ronde_stall_item *ronde_stall_item_of(const struct ronde_stall_writer *w, int local,
						   const struct ronde_board_wait *wait)
{
	for (size_t i = 0; wait->said && i < w->n; i++)
		if (ronde_stall_said(w, &w->items[i], local) == wait->said)
			return &w->items[i];
	return NULL;
}

/* It is complete without the rank. */
static bool has_joined(const struct ronde_stall_writer *w, const struct ronde_stall_item *item,
		       int local)
{
	if (item->ballot && ronde_process_set_member(item->ballot->set, local) < 0)
		return false;
	return !ronde_stall_has_submitted(w, item, local) && w->leader->followers[local].joined;
}

static bool somebody(const struct ronde_stall_writer *w, const struct ronde_stall_item *item,
		     ronde_stall_rank_fn is)
{
	for (int i = 0; i < local_size(w); i++)
		if (is(w, item, i))
			return true;
	return false;
}

/* Since when the first of the ranks waits for it; now, if no board has room for it. */
static uint64_t item_since(const struct ronde_stall_writer *w, const struct ronde_stall_item *item)
{
	uint64_t since = w->now;
	for (int i = 0; i < local_size(w); i++) {
		uint64_t said = ronde_stall_said(w, item, i);
		if (!said || !answered(w, i))
			continue;
		const struct ronde_board *b = ronde_stall_board(w, i);
		for (uint32_t k = 0; k < b->nwaits; k++)
			if (b->waits[k].said == said && b->waits[k].since < since)
				since = b->waits[k].since;
	}
	return since;
}

static void add_item(struct ronde_stall_writer *w, const struct ronde_ballot *ballot, uint64_t key)
{
	struct ronde_stall_item item = {.ballot = ballot, .key = key};
	if (!somebody(w, &item, ronde_stall_is_missing))
		return;
	item.since = item_since(w, &item);
	w->items[w->n++] = item;
}

static int older(const void *a, const void *b)
{
	uint64_t x = ((const struct ronde_stall_item *)a)->since,
		 y = ((const struct ronde_stall_item *)b)->since;
	return (x > y) - (x < y);
}

static bool is_pending(const struct ronde_ballot *b)
{
	return !b->is_pattern && b->heard;
}

static bool find_items(struct ronde_stall_writer *w)
{
	size_t count = 1;
	const struct ronde_ballot *b;
	for (b = w->leader->ballots.all; b; b = b->hh.next)
		count += is_pending(b);
	if (!(w->items = calloc(count, sizeof *w->items)))
		return false;
	for (b = w->leader->ballots.all; b; b = b->hh.next)
		if (is_pending(b))
			add_item(w, b, ronde_stall_key(&b->key.head, b->key.name));
	bool wishes = false;
	for (int i = 0; i < local_size(w); i++)
		wishes |= w->leader->followers[i].wishes != NULL;
	if (wishes)
		add_item(w, NULL, RONDE_STALL_KEY_SETS);
	qsort(w->items, w->n, sizeof *w->items, older);
	return true;
}

/* ---- 1: lines of what waits ---- */

void ronde_stall_item_text(const struct ronde_stall_item *item, char *text, size_t bytes)
{
	if (item->ballot)
		ronde_stall_what(&item->ballot->key.head, item->ballot->key.name,
				 item->ballot->round.members, text, bytes);
	else
		snprintf(text, bytes, "a change of the process sets");
}

void ronde_stall_ranks_text(struct ronde_stall_writer *w, const struct ronde_stall_item *item,
			    ronde_stall_rank_fn is, char *text, size_t bytes)
{
	const struct ronde_node *node = w->leader->view;
	memset(w->who, 0, (size_t)node->size * sizeof *w->who);
	for (int i = 0; i < node->local_size; i++)
		w->who[node->ranks[i]] = is(w, item, i);
	ronde_ranks_text(text, bytes, w->who, node->size);
}

static bool alike(const struct ronde_stall_writer *w, const struct ronde_stall_item *a,
		  const struct ronde_stall_item *b)
{
	for (int i = 0; i < local_size(w); i++)
		if (ronde_stall_has_submitted(w, a, i) != ronde_stall_has_submitted(w, b, i) ||
		    ronde_stall_is_missing(w, a, i) != ronde_stall_is_missing(w, b, i))
			return false;
	return true;
}

/* The item, and all younger ones that wait for the same ranks. */
static void say_group(struct ronde_stall_writer *w, size_t first)
{
	struct ronde_stall_item *item = &w->items[first];
	char what[120], have[160], lack[160];
	size_t names = 0, more = 0;
	SAY(w, "%.1f s: ", ronde_stall_seconds(ronde_stall_age(w->now, item->since)));
	for (size_t i = first; i < w->n; i++) {
		struct ronde_stall_item *other = &w->items[i];
		if (other->told || !alike(w, item, other))
			continue;
		other->told = true;
		if (names == MOST_NAMES) {
			more++;
			continue;
		}
		ronde_stall_item_text(other, what, sizeof what);
		SAY(w, "%s%s", names++ ? ", " : "", what);
	}
	if (more)
		SAY(w, " and %zu more", more);
	ronde_stall_ranks_text(w, item, ronde_stall_has_submitted, have, sizeof have);
	ronde_stall_ranks_text(w, item, ronde_stall_is_missing, lack, sizeof lack);
	SAY(w, ": submitted by %s, not by %s", have, lack);
	if (somebody(w, item, has_joined)) {
		ronde_stall_ranks_text(w, item, has_joined, have, sizeof have);
		SAY(w, "; joined: %s", have);
	}
	SAY(w, "\n");
}

static void digest_item(struct ronde_stall_writer *w, const struct ronde_stall_item *item)
{
	uint64_t hash = ronde_hash_bytes(RONDE_HASH_START, &item->key, sizeof item->key);
	for (int i = 0; i < local_size(w); i++) {
		bool missing = ronde_stall_is_missing(w, item, i);
		hash = ronde_hash_bytes(hash, &missing, sizeof missing);
		w->missing[i] |= missing;
	}
	w->report->digest += hash;
}

/* Has waited long enough to be told of. */
bool ronde_stall_is_old(const struct ronde_stall_writer *w, uint64_t since)
{
	uint64_t first = w->ctx->stall.warn < w->ctx->stall.shutdown ? w->ctx->stall.warn
								     : w->ctx->stall.shutdown;
	return ronde_stall_age(w->now, since) >= first / 2;
}

static void say_items(struct ronde_stall_writer *w)
{
	size_t lines = 0, left = 0;
	for (size_t i = 0; i < w->n && ronde_stall_is_old(w, w->items[i].since); i++) {
		digest_item(w, &w->items[i]);
		w->report->since = w->items[0].since;
		if (w->items[i].told)
			continue;
		if (lines++ < MOST_LINES)
			say_group(w, i);
		else
			left++;
	}
	if (left)
		SAY(w, "and %zu more that wait for other ranks\n", left);
}

/* What has been agreed on, and does not get on: told by the rank that waits for it longest. */
static void say_running(struct ronde_stall_writer *w)
{
	const struct ronde_board_wait *oldest = NULL;
	size_t running = 0;
	for (int i = 0; i < local_size(w); i++) {
		if (!answered(w, i))
			continue;
		for (uint32_t k = 0; k < ronde_stall_board(w, i)->nwaits; k++) {
			const struct ronde_board_wait *wait = &ronde_stall_board(w, i)->waits[k];
			if (!wait->running || !ronde_stall_is_old(w, wait->since))
				continue;
			running++;
			if (!oldest || wait->since < oldest->since)
				oldest = wait;
		}
	}
	if (!running)
		return;
	SAY(w, "%.1f s: %s: all ranks have submitted it; it was begun, and does not get on\n",
	    ronde_stall_seconds(ronde_stall_age(w->now, oldest->since)), oldest->what);
	for (int i = 0; i < local_size(w); i++)
		w->missing[i] |= !answered(w, i);
	w->report->digest += oldest->key;
	if (!w->report->since || oldest->since < w->report->since)
		w->report->since = oldest->since;
}

/* ---- 2: what the missing ones do ---- */

static void say_waits(struct ronde_stall_writer *w, const struct ronde_board *b)
{
	const char *separator = " waits in ";
	for (uint32_t k = 0; k < b->blocked; k++) {
		if (k == MOST_NAMES) {
			SAY(w, " and %u more", b->waited - k);
			break;
		}
		SAY(w, "%s%s (%.1f s)", separator, b->waits[k].what,
		    ronde_stall_seconds(ronde_stall_age(w->now, b->waits[k].since)));
		separator = ", and in ";
	}
	SAY(w, "\n");
}

/* Why a rank of another node has not answered, as that node says. */
static void silence_afar(const struct ronde_stall_writer *w, int rank, char *text, size_t bytes)
{
	const char *why = ronde_stall_afar_silence(
		w->ctx, rank,
		atomic_load_explicit(&w->ctx->node->arena.header->inquiry, memory_order_relaxed));
	snprintf(text, bytes, "%s",
		 why ? why
		     : "has not answered, and neither has its node (is the network cut, or the "
		       "leader of that node stopped?)");
}

static void say_rank(struct ronde_stall_writer *w, int local)
{
	const struct ronde_board *b = ronde_stall_board(w, local);
	char text[300];
	SAY(w, "rank %d", w->leader->view->ranks[local]);
	uint64_t does = 0;
	if (!answered(w, local)) {
		int here = ronde_leader_home(w->leader, local);
		if (here >= 0)
			ronde_stall_process_text(w->ctx, here, text, sizeof text);
		else
			silence_afar(w, local, text, sizeof text);
		SAY(w, " %s\n", text);
		does = ronde_hash_bytes(RONDE_HASH_START, text, strlen(text));
	} else if (b->blocked) {
		say_waits(w, b);
		/* One that works elsewhere waits in something else each time. */
		does = ronde_stall_is_old(w, b->waits[0].since) ? b->waits[0].key : 0;
	} else {
		SAY(w,
		    " is late: no thread of it waits for an operation, it computes or does "
		    "something "
		    "else; it last submitted one %.1f s ago",
		    ronde_stall_seconds(ronde_stall_age(w->now, b->quiet_since)));
		if (b->pending)
			SAY(w, " and has %u in flight, such as %s", b->pending,
			    b->nwaits ? b->waits[b->nwaits - 1].what : "");
		SAY(w, "\n");
	}
	w->report->digest += ronde_hash_bytes(does, &local, sizeof local);
}

/* ---- the whole ---- */

static void finish(struct ronde_stall_writer *w)
{
	char *text = w->report->text;
	if (w->used >= sizeof w->report->text)
		w->used = ronde_text_mark_cut(text, sizeof w->report->text);
	while (w->used && text[w->used - 1] == '\n')
		text[--w->used] = 0;
	w->report->digest |= 1;
}

void ronde_stall_report_write(struct ronde_context *ctx, uint64_t now,
			      struct ronde_stall_report *report)
{
	const size_t n = (size_t)ctx->leader->view->local_size;
	struct ronde_stall_writer w = {
		.ctx = ctx, .leader = ctx->leader, .now = now, .report = report};
	report->text[0] = 0;
	report->since = report->digest = 0;
	w.edges = calloc(n * n, sizeof *w.edges);
	w.who = calloc((size_t)ctx->node->size, sizeof *w.who);
	w.missing = calloc(n, sizeof *w.missing);
	w.stuck = calloc(n, sizeof *w.stuck);
	if (w.edges && w.who && w.missing && w.stuck && find_items(&w)) {
		say_items(&w);
		say_running(&w);
		for (int i = 0; report->since && i < (int)n; i++)
			if (w.missing[i])
				say_rank(&w, i);
		ronde_stall_say_hints(&w);
		ronde_stall_say_deadlock(&w);
		finish(&w);
	}
	free(w.items);
	free(w.edges);
	free(w.who);
	free(w.missing);
	free(w.stuck);
}

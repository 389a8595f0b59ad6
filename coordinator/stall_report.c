/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the stall inspector says, from the leader's ballots and the ranks' answers.
 *
 *   1. what waits, who has submitted it, who has not: tensors alike in that share a line
 *   2. for each rank that is missing somewhere: what it does instead
 *   3. what looks like a mistake: one name for two operations or sets, unnamed operations out of
 * step
 *   4. a deadlock: stall_deadlock.c
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/bootstrap/wait.h"
#include "coordinator/stall_writer.h"

/* Names in one line, lines of what waits, lines of hints. */
#define MOST_NAMES 4
#define MOST_LINES 12
#define MOST_HINTS 3

static int local_size(const struct ronde_stall_writer *w)
{
	return w->ctx->node->local_size;
}

static bool answered(const struct ronde_stall_writer *w, int local)
{
	return ronde_stall_answered(w->ctx, local);
}

/* ---- what waits ---- */

static bool has_submitted(const struct ronde_stall_writer *w, const struct ronde_stall_item *item,
			  int local)
{
	if (!item->ballot)
		return w->leader->followers[local].wishes != NULL;
	int member = ronde_process_set_member(item->ballot->set, local);
	return member >= 0 && item->ballot->votes[member].heard;
}

bool ronde_stall_is_missing(const struct ronde_stall_writer *w, const struct ronde_stall_item *item,
			    int local)
{
	if (item->ballot && ronde_process_set_member(item->ballot->set, local) < 0)
		return false;
	return !has_submitted(w, item, local) && !w->leader->followers[local].joined;
}

static bool somebody_is_missing(const struct ronde_stall_writer *w,
				const struct ronde_stall_item *item)
{
	for (int i = 0; i < local_size(w); i++)
		if (ronde_stall_is_missing(w, item, i))
			return true;
	return false;
}

/* Since when the first of the ranks waits for it; now, if no board has room for it. */
static uint64_t item_since(const struct ronde_stall_writer *w, uint64_t key)
{
	uint64_t since = w->now;
	for (int i = 0; i < local_size(w); i++) {
		if (!answered(w, i))
			continue;
		const struct ronde_board *b = ronde_stall_board(w, i);
		for (uint32_t k = 0; k < b->nwaits; k++)
			if (b->waits[k].key == key && b->waits[k].since < since)
				since = b->waits[k].since;
	}
	return since;
}

static void add_item(struct ronde_stall_writer *w, const struct ronde_ballot *ballot, uint64_t key)
{
	struct ronde_stall_item item = {.ballot = ballot, .key = key};
	if (!somebody_is_missing(w, &item))
		return;
	item.since = item_since(w, key);
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

static void item_text(const struct ronde_stall_item *item, char *text, size_t bytes)
{
	if (item->ballot)
		ronde_stall_what(&item->ballot->key.head, item->ballot->key.name, text, bytes);
	else
		snprintf(text, bytes, "a change of the process sets");
}

typedef bool (*rank_fn)(const struct ronde_stall_writer *w, const struct ronde_stall_item *item,
			int local);

static void ranks_text(struct ronde_stall_writer *w, const struct ronde_stall_item *item,
		       rank_fn is, char *text, size_t bytes)
{
	const struct ronde_node *node = w->ctx->node;
	memset(w->who, 0, (size_t)node->size * sizeof *w->who);
	for (int i = 0; i < node->local_size; i++)
		w->who[node->ranks[i]] = is(w, item, i);
	ronde_ranks_text(text, bytes, w->who, node->size);
}

static bool alike(const struct ronde_stall_writer *w, const struct ronde_stall_item *a,
		  const struct ronde_stall_item *b)
{
	for (int i = 0; i < local_size(w); i++)
		if (has_submitted(w, a, i) != has_submitted(w, b, i) ||
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
		item_text(other, what, sizeof what);
		SAY(w, "%s%s", names++ ? ", " : "", what);
	}
	if (more)
		SAY(w, " and %zu more", more);
	ranks_text(w, item, has_submitted, have, sizeof have);
	ranks_text(w, item, ronde_stall_is_missing, lack, sizeof lack);
	SAY(w, ": submitted by %s, not by %s\n", have, lack);
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
static bool is_old(const struct ronde_stall_writer *w, uint64_t since)
{
	uint64_t first = w->ctx->stall.warn < w->ctx->stall.shutdown ? w->ctx->stall.warn
								     : w->ctx->stall.shutdown;
	return ronde_stall_age(w->now, since) >= first / 2;
}

static void say_items(struct ronde_stall_writer *w)
{
	size_t lines = 0, left = 0;
	for (size_t i = 0; i < w->n && is_old(w, w->items[i].since); i++) {
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
			if (!wait->running || !is_old(w, wait->since))
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
	for (uint32_t k = 0; k < b->nwaits && b->waits[k].blocked; k++) {
		SAY(w, "%s%s (%.1f s)", separator, b->waits[k].what,
		    ronde_stall_seconds(ronde_stall_age(w->now, b->waits[k].since)));
		separator = ", and in ";
	}
	SAY(w, "\n");
}

static void say_rank(struct ronde_stall_writer *w, int local)
{
	const struct ronde_board *b = ronde_stall_board(w, local);
	char text[300];
	SAY(w, "rank %d", w->ctx->node->ranks[local]);
	uint64_t does = 0;
	if (!answered(w, local)) {
		ronde_stall_process_text(w->ctx, local, text, sizeof text);
		SAY(w, " %s\n", text);
		does = ronde_hash_bytes(RONDE_HASH_START, text, strlen(text));
	} else if (b->blocked) {
		say_waits(w, b);
		does = b->waits[0].key;
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

/* ---- 3: what looks like a mistake ---- */

static bool submits_what_is_missing(const struct ronde_stall_writer *w,
				    const struct ronde_stall_item *a,
				    const struct ronde_stall_item *b)
{
	for (int i = 0; i < local_size(w); i++)
		if (ronde_stall_is_missing(w, a, i) && has_submitted(w, b, i))
			return true;
	return false;
}

static bool same_name(const struct ronde_stall_item *a, const struct ronde_stall_item *b)
{
	const struct ronde_key *x = &a->ballot->key, *y = &b->ballot->key;
	return x->head.named && y->head.named && x->head.name_bytes == y->head.name_bytes &&
	       memcmp(x->name, y->name, x->head.name_bytes) == 0;
}

static bool say_same_name(struct ronde_stall_writer *w, const struct ronde_stall_item *a,
			  const struct ronde_stall_item *b)
{
	char what[120], other[120], who[160], others[160];
	if (!same_name(a, b) || !submits_what_is_missing(w, a, b))
		return false;
	item_text(a, what, sizeof what);
	item_text(b, other, sizeof other);
	ranks_text(w, a, has_submitted, who, sizeof who);
	ranks_text(w, b, has_submitted, others, sizeof others);
	bool kinds = a->ballot->key.head.kind != b->ballot->key.head.kind;
	SAY(w,
	    "one name for two %s: %s submitted %s, %s submitted %s: these are different tensors\n",
	    kinds ? "operations" : "process sets", who, what, others, other);
	return true;
}

/* A rank that lacks an unnamed operation and waits for something else has lost the count. */
static bool say_out_of_step(struct ronde_stall_writer *w, const struct ronde_stall_item *item)
{
	const struct ronde_key_head *head = &item->ballot->key.head;
	if (head->named || head->kind == RONDE_KIND_BARRIER) /* after it all are in step again */
		return false;
	for (int i = 0; i < local_size(w); i++) {
		if (!ronde_stall_is_missing(w, item, i) || !answered(w, i) ||
		    !ronde_stall_board(w, i)->blocked)
			continue;
		const char *kind = ronde_kind_name((enum ronde_kind)head->kind);
		SAY(w,
		    "unnamed operations are matched by their order: %s number %llu is waited for, "
		    "rank %d ",
		    kind, (unsigned long long)(head->ordinal >> RONDE_MEMBER_BITS),
		    w->ctx->node->ranks[i]);
		if (head->set)
			SAY(w, "has not come so far");
		else
			SAY(w, "has made %llu",
			    (unsigned long long)ronde_stall_board(w, i)->unnamed[head->kind]);
		SAY(w, " (counted from 0) and waits for something else; it seems to have skipped "
		       "one. With names this cannot happen\n");
		return true;
	}
	return false;
}

static void say_hints(struct ronde_stall_writer *w)
{
	int hints = 0;
	bool unnamed = false;
	for (size_t i = 0; i < w->n && hints < MOST_HINTS; i++) {
		if (!w->items[i].ballot)
			continue;
		if (!unnamed && say_out_of_step(w, &w->items[i])) {
			unnamed = true;
			hints++;
		}
		for (size_t k = i + 1; k < w->n && hints < MOST_HINTS; k++)
			if (w->items[k].ballot)
				hints += say_same_name(w, &w->items[i], &w->items[k]);
	}
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
	const size_t n = (size_t)ctx->node->local_size;
	struct ronde_stall_writer w = {
		.ctx = ctx, .leader = ctx->leader, .now = now, .report = report};
	report->text[0] = 0;
	report->since = report->digest = 0;
	w.edges = calloc(n * n, sizeof *w.edges);
	w.who = calloc((size_t)ctx->node->size, sizeof *w.who);
	w.missing = calloc(n, sizeof *w.missing);
	if (w.edges && w.who && w.missing && find_items(&w)) {
		say_items(&w);
		say_running(&w);
		for (int i = 0; report->since && i < ctx->node->local_size; i++)
			if (w.missing[i])
				say_rank(&w, i);
		say_hints(&w);
		ronde_stall_say_deadlock(&w);
		finish(&w);
	}
	free(w.items);
	free(w.edges);
	free(w.who);
	free(w.missing);
}

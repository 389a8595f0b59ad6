/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the stall inspector says, from the leader's ballots and the ranks' answers.
 *
 *   1. what waits, who has submitted it, who has not: tensors alike in that share a line
 *   2. for each rank that is missing somewhere: what it does instead
 *   3. what looks like a mistake: one name for two operations or sets, unnamed operations out of
 * step
 *   4. a deadlock: a cycle in the graph "rank p has a thread that waits for a tensor which rank q
 * has not submitted". Example: 0 waits for "a", which 1 lacks, and 1 for "b", which 0 lacks. A
 *      search from each rank in breadth finds the shortest cycle; a rank that is not blocked has no
 *      way out of it and so ends none. That a second thread of a rank could still submit the
 * missing tensor nobody can know.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/bootstrap/wait.h"
#include "coordinator/context.h"
#include "coordinator/leader.h"
#include "coordinator/stall.h"
#include "coordinator/text.h"

/* Names in one line, lines of what waits, lines of hints. */
#define MOST_NAMES 4
#define MOST_LINES 12
#define MOST_HINTS 3

/* Something pending that some have submitted and others not. */
struct item {
	const struct ronde_ballot *ballot; /* NULL: a change of the process sets */
	uint64_t key, since;
	bool told;
};

struct writer {
	struct ronde_context *ctx;
	const struct ronde_leader *leader;
	uint64_t now;
	struct ronde_stall_report *report;
	size_t used;
	struct item *items; /* oldest first */
	size_t n;
	int *edges; /* [local_size][local_size] number of the wait by which p waits for q, or -1 */
	bool *who;  /* [size] scratch: global ranks */
	bool *missing; /* [local_size] somewhere */
};

#define SAY(w, ...)                                                                                \
	((w)->used = ronde_text_append((w)->report->text, sizeof(w)->report->text, (w)->used,      \
				       __VA_ARGS__))

static int local_size(const struct writer *w)
{
	return w->ctx->node->local_size;
}

static const struct ronde_board *board(const struct writer *w, int local)
{
	return &w->ctx->node->arena.boards[local];
}

static bool answered(const struct writer *w, int local)
{
	return ronde_stall_answered(w->ctx, local);
}

/* ---- what waits ---- */

static bool has_submitted(const struct writer *w, const struct item *item, int local)
{
	if (!item->ballot)
		return w->leader->followers[local].wishes != NULL;
	int member = ronde_process_set_member(item->ballot->set, local);
	return member >= 0 && item->ballot->votes[member].heard;
}

static bool is_missing(const struct writer *w, const struct item *item, int local)
{
	if (item->ballot && ronde_process_set_member(item->ballot->set, local) < 0)
		return false;
	return !has_submitted(w, item, local);
}

static bool somebody_is_missing(const struct writer *w, const struct item *item)
{
	for (int i = 0; i < local_size(w); i++)
		if (is_missing(w, item, i))
			return true;
	return false;
}

/* Since when the first of the ranks waits for it; now, if no board has room for it. */
static uint64_t item_since(const struct writer *w, uint64_t key)
{
	uint64_t since = w->now;
	for (int i = 0; i < local_size(w); i++) {
		if (!answered(w, i))
			continue;
		const struct ronde_board *b = board(w, i);
		for (uint32_t k = 0; k < b->nwaits; k++)
			if (b->waits[k].key == key && b->waits[k].since < since)
				since = b->waits[k].since;
	}
	return since;
}

static void add_item(struct writer *w, const struct ronde_ballot *ballot, uint64_t key)
{
	struct item item = {.ballot = ballot, .key = key};
	if (!somebody_is_missing(w, &item))
		return;
	item.since = item_since(w, key);
	w->items[w->n++] = item;
}

static int older(const void *a, const void *b)
{
	uint64_t x = ((const struct item *)a)->since, y = ((const struct item *)b)->since;
	return (x > y) - (x < y);
}

static bool is_pending(const struct ronde_ballot *b)
{
	return !b->is_pattern && b->heard;
}

static bool find_items(struct writer *w)
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

static void item_text(const struct item *item, char *text, size_t bytes)
{
	if (item->ballot)
		ronde_stall_what(&item->ballot->key.head, item->ballot->key.name, text, bytes);
	else
		snprintf(text, bytes, "a change of the process sets");
}

typedef bool (*rank_fn)(const struct writer *w, const struct item *item, int local);

static void ranks_text(struct writer *w, const struct item *item, rank_fn is, char *text,
		       size_t bytes)
{
	const struct ronde_node *node = w->ctx->node;
	memset(w->who, 0, (size_t)node->size * sizeof *w->who);
	for (int i = 0; i < node->local_size; i++)
		w->who[node->ranks[i]] = is(w, item, i);
	ronde_ranks_text(text, bytes, w->who, node->size);
}

static bool alike(const struct writer *w, const struct item *a, const struct item *b)
{
	for (int i = 0; i < local_size(w); i++)
		if (has_submitted(w, a, i) != has_submitted(w, b, i) ||
		    is_missing(w, a, i) != is_missing(w, b, i))
			return false;
	return true;
}

/* The item, and all younger ones that wait for the same ranks. */
static void say_group(struct writer *w, size_t first)
{
	struct item *item = &w->items[first];
	char what[120], have[160], lack[160];
	size_t names = 0, more = 0;
	SAY(w, "%.1f s: ", ronde_stall_seconds(ronde_stall_age(w->now, item->since)));
	for (size_t i = first; i < w->n; i++) {
		struct item *other = &w->items[i];
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
	ranks_text(w, item, is_missing, lack, sizeof lack);
	SAY(w, ": submitted by %s, not by %s\n", have, lack);
}

static void digest_item(struct writer *w, const struct item *item)
{
	uint64_t hash = ronde_hash_bytes(RONDE_HASH_START, &item->key, sizeof item->key);
	for (int i = 0; i < local_size(w); i++) {
		bool missing = is_missing(w, item, i);
		hash = ronde_hash_bytes(hash, &missing, sizeof missing);
		w->missing[i] |= missing;
	}
	w->report->digest += hash;
}

static void say_items(struct writer *w)
{
	size_t lines = 0, left = 0;
	for (size_t i = 0; i < w->n; i++) {
		digest_item(w, &w->items[i]);
		if (w->items[i].told)
			continue;
		if (lines++ < MOST_LINES)
			say_group(w, i);
		else
			left++;
	}
	if (left)
		SAY(w, "and %zu more that wait for other ranks\n", left);
	if (w->n)
		w->report->since = w->items[0].since;
}

/* What has been agreed on, and does not get on: told by the rank that waits for it longest. */
static void say_running(struct writer *w)
{
	const struct ronde_board_wait *oldest = NULL;
	size_t running = 0;
	for (int i = 0; i < local_size(w); i++) {
		if (!answered(w, i)) {
			continue;
		}
		for (uint32_t k = 0; k < board(w, i)->nwaits; k++) {
			const struct ronde_board_wait *wait = &board(w, i)->waits[k];
			if (!wait->running ||
			    ronde_stall_age(w->now, wait->since) < w->ctx->stall.warn / 2)
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

static void say_waits(struct writer *w, const struct ronde_board *b)
{
	const char *separator = " waits in ";
	for (uint32_t k = 0; k < b->nwaits && b->waits[k].blocked; k++) {
		SAY(w, "%s%s (%.1f s)", separator, b->waits[k].what,
		    ronde_stall_seconds(ronde_stall_age(w->now, b->waits[k].since)));
		separator = ", and in ";
	}
	SAY(w, "\n");
}

static void say_rank(struct writer *w, int local)
{
	const struct ronde_board *b = board(w, local);
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

static bool submits_what_is_missing(const struct writer *w, const struct item *a,
				    const struct item *b)
{
	for (int i = 0; i < local_size(w); i++)
		if (is_missing(w, a, i) && has_submitted(w, b, i))
			return true;
	return false;
}

static bool same_name(const struct item *a, const struct item *b)
{
	const struct ronde_key *x = &a->ballot->key, *y = &b->ballot->key;
	return x->head.named && y->head.named && x->head.name_bytes == y->head.name_bytes &&
	       memcmp(x->name, y->name, x->head.name_bytes) == 0;
}

static bool say_same_name(struct writer *w, const struct item *a, const struct item *b)
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
static bool say_out_of_step(struct writer *w, const struct item *item)
{
	const struct ronde_key_head *head = &item->ballot->key.head;
	if (head->named)
		return false;
	for (int i = 0; i < local_size(w); i++) {
		if (!is_missing(w, item, i) || !answered(w, i) || !board(w, i)->blocked)
			continue;
		const char *kind = ronde_kind_name((enum ronde_kind)head->kind);
		SAY(w,
		    "unnamed operations are matched by their order: %s number %llu is waited for, "
		    "rank %d ",
		    kind, (unsigned long long)head->ordinal, w->ctx->node->ranks[i]);
		if (head->set)
			SAY(w, "has not come so far");
		else
			SAY(w, "has made %llu",
			    (unsigned long long)board(w, i)->unnamed[head->kind]);
		SAY(w, " (counted from 0) and waits for something else; it seems to have skipped "
		       "one. With names this cannot happen\n");
		return true;
	}
	return false;
}

static void say_hints(struct writer *w)
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

/* ---- 4: deadlocks ---- */

static const struct item *find_item(const struct writer *w, uint64_t key)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->items[i].key == key)
			return &w->items[i];
	return NULL;
}

static void find_edges(struct writer *w)
{
	const int n = local_size(w);
	for (int p = 0; p < n; p++) {
		for (int q = 0; q < n; q++)
			w->edges[p * n + q] = -1;
		if (!answered(w, p))
			continue;
		const struct ronde_board *b = board(w, p);
		for (uint32_t k = 0; k < b->nwaits && b->waits[k].blocked; k++) {
			const struct item *item = find_item(w, b->waits[k].key);
			for (int q = 0; item && q < n; q++)
				if (is_missing(w, item, q) && w->edges[p * n + q] < 0)
					w->edges[p * n + q] = (int)k;
		}
	}
}

/*
 * The shortest way from `start` back to it, in breadth: from[q] is the rank before q on it, and
 * from[start] the last. Returns its length, or 0.
 */
static int find_cycle(const struct writer *w, int start, int *from, int *queue)
{
	const int n = local_size(w);
	int head = 0, tail = 0, length = 1;
	for (int q = 0; q < n; q++)
		from[q] = -1;
	queue[tail++] = start;
	while (head < tail && from[start] < 0) {
		int p = queue[head++];
		for (int q = 0; q < n; q++) {
			if (w->edges[p * n + q] < 0 || from[q] >= 0)
				continue;
			from[q] = p;
			if (q != start)
				queue[tail++] = q;
		}
	}
	if (from[start] < 0)
		return 0;
	for (int p = from[start]; p != start; p = from[p])
		length++;
	return length;
}

/* The cycle as it is walked: from[] leads backwards. */
static void say_cycle(struct writer *w, int start, const int *from, int *path, int length)
{
	const int n = local_size(w), *ranks = w->ctx->node->ranks;
	for (int i = length - 1, p = from[start]; i >= 0; i--, p = from[p])
		path[i] = p;
	SAY(w, "deadlock:");
	for (int i = 0; i < length; i++) {
		int p = path[i], q = path[(i + 1) % length];
		SAY(w, "%s rank %d waits in %s for rank %d", i ? "," : "", ranks[p],
		    board(w, p)->waits[w->edges[p * n + q]].what, ranks[q]);
	}
	SAY(w, ": none of them can go on. Make calls that wait in the same order on all ranks, or "
	       "submit without waiting (_async) and wait when all is submitted\n");
}

static void say_deadlock(struct writer *w)
{
	const int n = local_size(w);
	int *from = calloc(2 * (size_t)n, sizeof *from), best = 0, best_start = -1;
	if (!from)
		return;
	int *queue = from + n;
	find_edges(w);
	for (int start = 0; start < n; start++) {
		int length = find_cycle(w, start, from, queue);
		if (length && (!best || length < best)) {
			best = length;
			best_start = start;
		}
	}
	if (best) {
		find_cycle(w, best_start, from, queue);
		say_cycle(w, best_start, from, queue, best);
	}
	free(from);
}

/* ---- the whole ---- */

static void finish(struct writer *w)
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
	struct writer w = {.ctx = ctx, .leader = ctx->leader, .now = now, .report = report};
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
		say_deadlock(&w);
		finish(&w);
	}
	free(w.items);
	free(w.edges);
	free(w.who);
	free(w.missing);
}

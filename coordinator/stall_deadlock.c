/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deadlocks: ranks of which none can go on because each waits for something that another of them
 * has not submitted.
 *
 * First, which ranks are stuck. A rank is, if a thread of it waits, and each that does waits for an
 * operation (or a group with one) which a stuck rank lacks. All are taken for stuck, and those
 * struck off for which that is not so, until it is so for all that are left. Then the shortest
 * cycle among these, by a search in breadth from each of them: "p has a thread that waits for
 * something which q lacks".
 *
 * Example, three ranks inside a blocking call each: 0 waits for "a", which 1 and 2 lack; 1 for "b",
 * which 2 lacks; 2 for "c", which 1 lacks. All are stuck. From 0 the search finds no way back; from
 * 1: 1 -> 2 -> 1, a cycle of two. If 2 had a second thread, in "d", which only a rank lacks that
 * computes, that thread might still submit "b": 2 is not stuck, then 1 is not, and 0 is not.
 *
 * Why that is certain, though boards were written before ballots are looked at, and each at another
 * time:
 *   - a wait counts only if its announcement is a vote on a ballot that still lacks others, so the
 *     operation is not complete, and who waited for it when it wrote its board still does;
 *   - a rank lacks something only if all it had said until it wrote its board has been heard, and
 * its threads that waited then have not submitted anything since. Threads that were not waiting may
 * submit anything. If such a thread has ever submitted something, the text says so, and does not
 * call it a deadlock.
 */
#include <stdlib.h>
#include <string.h>

#include "collectives/bootstrap/wait.h"
#include "coordinator/stall_writer.h"

/* All threads that wait are on the board. */
static bool may_be_stuck(const struct ronde_stall_writer *w, int p)
{
	if (!ronde_stall_heard(w->ctx, p))
		return false;
	const struct ronde_board *b = ronde_stall_board(w, p);
	for (uint32_t k = 0; k < b->blocked; k++)
		if (!b->waits[k].thread)
			return false;
	return b->blocked > 0 && !b->unseen;
}

/* A thread that waits for several things waits for a group of them: one that is stuck will do. */
static bool is_thread_stuck(const struct ronde_board *b, const bool *stuck, uint64_t thread)
{
	for (uint32_t k = 0; k < b->blocked; k++)
		if (stuck[k] && b->waits[k].thread == thread)
			return true;
	return false;
}

/* Waits of p for stuck ranks become edges. False: one of its threads waits for none of them. */
static bool find_edges_of(struct ronde_stall_writer *w, int p)
{
	const int n = w->leader->view->local_size;
	const struct ronde_board *b = ronde_stall_board(w, p);
	bool stuck[RONDE_BOARD_WAITS] = {false};
	for (int q = 0; q < n; q++)
		w->edges[p * n + q] = -1;
	for (uint32_t k = 0; k < b->blocked; k++) {
		const struct ronde_stall_item *item = ronde_stall_item_of(w, p, &b->waits[k]);
		bool old = ronde_stall_is_old(w, b->waits[k].since);
		for (int q = 0; item && old && q < n; q++) {
			if (!w->stuck[q] || !ronde_stall_is_missing(w, item, q))
				continue;
			stuck[k] = true;
			if (w->edges[p * n + q] < 0)
				w->edges[p * n + q] = (int)k;
		}
	}
	for (uint32_t k = 0; k < b->blocked; k++)
		if (!is_thread_stuck(b, stuck, b->waits[k].thread))
			return false;
	return true;
}

static void find_stuck(struct ronde_stall_writer *w)
{
	const int n = w->leader->view->local_size;
	bool changed = true;
	for (int p = 0; p < n; p++)
		w->stuck[p] = may_be_stuck(w, p);
	while (changed) {
		changed = false;
		for (int p = 0; p < n; p++)
			if (w->stuck[p] && !find_edges_of(w, p)) {
				w->stuck[p] = false;
				changed = true;
			}
	}
}

/*
 * The shortest way from `start` back to it, in breadth: from[q] is the rank before q on it, and
 * from[start] the last. Returns its length, or 0.
 */
static int find_cycle(const struct ronde_stall_writer *w, int start, int *from, int *queue)
{
	const int n = w->leader->view->local_size;
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

/* Threads of which ranks on the path may still break the cycle: "" if none can. */
static void others_text(struct ronde_stall_writer *w, const int *path, int length, char *text,
			size_t bytes)
{
	const struct ronde_node *node = w->leader->view;
	bool some = false;
	memset(w->who, 0, (size_t)node->size * sizeof *w->who);
	for (int i = 0; i < length; i++)
		some |= w->who[node->ranks[path[i]]] = ronde_stall_board(w, path[i])->others;
	text[0] = 0;
	if (some)
		ronde_ranks_text(text, bytes, w->who, node->size);
}

static void digest_cycle(struct ronde_stall_writer *w, const int *path, int length)
{
	uint64_t hash = RONDE_HASH_START;
	for (int i = 0; i < length; i++)
		hash = ronde_hash_bytes(hash, &path[i], sizeof path[i]);
	w->report->digest += hash;
}

/* The cycle as it is walked: from[] leads backwards. */
static void say_cycle(struct ronde_stall_writer *w, int start, const int *from, int *path,
		      int length)
{
	const int n = w->leader->view->local_size, *ranks = w->leader->view->ranks;
	char others[160];
	for (int i = length - 1, p = from[start]; i >= 0; i--, p = from[p])
		path[i] = p;
	digest_cycle(w, path, length);
	others_text(w, path, length, others, sizeof others);
	SAY(w, others[0] ? "waits in a circle:" : "deadlock:");
	for (int i = 0; i < length; i++) {
		int p = path[i], q = path[(i + 1) % length];
		SAY(w, "%s rank %d waits in %s for rank %d", i ? "," : "", ranks[p],
		    ronde_stall_board(w, p)->waits[w->edges[p * n + q]].what, ranks[q]);
	}
	SAY(w, ": none of them can go on");
	if (others[0])
		SAY(w, ", unless another thread of %s submits what is missing", others);
	SAY(w, ". Make calls that wait in the same order on all ranks, or submit without waiting "
	       "(_async) and wait when all is submitted\n");
}

void ronde_stall_say_deadlock(struct ronde_stall_writer *w)
{
	const int n = w->leader->view->local_size;
	int *from = calloc(2 * (size_t)n, sizeof *from), best = 0, best_start = -1;
	if (!from)
		return;
	int *queue = from + n;
	find_stuck(w);
	for (int start = 0; start < n; start++) {
		int length = w->stuck[start] ? find_cycle(w, start, from, queue) : 0;
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

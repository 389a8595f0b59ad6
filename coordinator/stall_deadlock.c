/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deadlocks: cycles in the graph "rank p has a thread that waits for a tensor which rank q has not
 * submitted". A search in breadth from each rank finds the shortest cycle. Example, three ranks,
 * each inside a blocking call: 0 waits for "a", which 1 and 2 lack; 1 for "b", which 2 lacks; 2 for
 * "c", which 1 lacks. From 0 the search finds no way back; from 1: 1 → 2 → 1, a cycle of two,
 * although 0 waits as well. That a second thread of a rank could still submit what is missing
 * nobody can know.
 */
#include <stdlib.h>

#include "coordinator/stall_writer.h"

static const struct ronde_stall_item *find_item(const struct ronde_stall_writer *w, uint64_t key)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->items[i].key == key)
			return &w->items[i];
	return NULL;
}

static void find_edges(struct ronde_stall_writer *w)
{
	const int n = w->ctx->node->local_size;
	for (int p = 0; p < n; p++) {
		for (int q = 0; q < n; q++)
			w->edges[p * n + q] = -1;
		if (!ronde_stall_answered(w->ctx, p))
			continue;
		const struct ronde_board *b = ronde_stall_board(w, p);
		for (uint32_t k = 0; k < b->nwaits && b->waits[k].blocked; k++) {
			const struct ronde_stall_item *item = find_item(w, b->waits[k].key);
			for (int q = 0; item && q < n; q++)
				if (ronde_stall_is_missing(w, item, q) && w->edges[p * n + q] < 0)
					w->edges[p * n + q] = (int)k;
		}
	}
}

/*
 * The shortest way from `start` back to it, in breadth: from[q] is the rank before q on it, and
 * from[start] the last. Returns its length, or 0.
 */
static int find_cycle(const struct ronde_stall_writer *w, int start, int *from, int *queue)
{
	const int n = w->ctx->node->local_size;
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
static void say_cycle(struct ronde_stall_writer *w, int start, const int *from, int *path,
		      int length)
{
	const int n = w->ctx->node->local_size, *ranks = w->ctx->node->ranks;
	for (int i = length - 1, p = from[start]; i >= 0; i--, p = from[p])
		path[i] = p;
	SAY(w, "deadlock:");
	for (int i = 0; i < length; i++) {
		int p = path[i], q = path[(i + 1) % length];
		SAY(w, "%s rank %d waits in %s for rank %d", i ? "," : "", ranks[p],
		    ronde_stall_board(w, p)->waits[w->edges[p * n + q]].what, ranks[q]);
	}
	SAY(w, ": none of them can go on. Make calls that wait in the same order on all ranks, or "
	       "submit without waiting (_async) and wait when all is submitted\n");
}

void ronde_stall_say_deadlock(struct ronde_stall_writer *w)
{
	const int n = w->ctx->node->local_size;
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

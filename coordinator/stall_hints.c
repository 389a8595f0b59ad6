/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What looks like a mistake of the program: one name for two operations or process sets, unnamed
 * operations out of step. Only what has waited for a while is looked at: between ranks at work
 * there is always something that one has submitted and another has not.
 */
#include <string.h>

#include "coordinator/stall_writer.h"

/* Most lines of hints. */
#define MOST_HINTS 3

static int local_size(const struct ronde_stall_writer *w)
{
	return w->leader->view->local_size;
}

static bool submits_what_is_missing(const struct ronde_stall_writer *w,
				    const struct ronde_stall_item *a,
				    const struct ronde_stall_item *b)
{
	for (int i = 0; i < local_size(w); i++)
		if (ronde_stall_is_missing(w, a, i) && ronde_stall_has_submitted(w, b, i))
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
	ronde_stall_item_text(a, what, sizeof what);
	ronde_stall_item_text(b, other, sizeof other);
	ronde_stall_ranks_text(w, a, ronde_stall_has_submitted, who, sizeof who);
	ronde_stall_ranks_text(w, b, ronde_stall_has_submitted, others, sizeof others);
	bool kinds = a->ballot->key.head.kind != b->ballot->key.head.kind;
	SAY(w,
	    "one name for two %s: %s submitted %s, %s submitted %s: these are different tensors\n",
	    kinds ? "operations" : "process sets", who, what, others, other);
	return true;
}

/*
 * The rank waits, for long, for something that a rank lacks which has submitted the item: they have
 * parted. If it waited for something that all of those have submitted too, it would only be held
 * up.
 */
static bool has_parted(const struct ronde_stall_writer *w, const struct ronde_stall_item *item,
		       int local)
{
	if (!ronde_stall_answered(w->ctx, local) || !ronde_stall_board(w, local)->blocked)
		return false;
	const struct ronde_board_wait *wait = &ronde_stall_board(w, local)->waits[0];
	const struct ronde_stall_item *other = ronde_stall_item_of(w, local, wait);
	for (int i = 0; other && ronde_stall_is_old(w, wait->since) && i < local_size(w); i++)
		if (ronde_stall_has_submitted(w, item, i) && ronde_stall_is_missing(w, other, i))
			return true;
	return false;
}

/* A rank that lacks an unnamed operation and waits for something else has lost the count. */
static bool say_out_of_step(struct ronde_stall_writer *w, const struct ronde_stall_item *item)
{
	const struct ronde_key_head *head = &item->ballot->key.head;
	if (head->named || head->kind == RONDE_KIND_BARRIER) /* after it all are in step again */
		return false;
	for (int i = 0; i < local_size(w); i++) {
		if (!ronde_stall_is_missing(w, item, i) || !has_parted(w, item, i))
			continue;
		const char *kind = ronde_kind_name((enum ronde_kind)head->kind);
		SAY(w,
		    "unnamed operations are matched by their order: %s number %llu is waited for, "
		    "rank %d ",
		    kind, (unsigned long long)(head->ordinal >> RONDE_MEMBER_BITS),
		    w->leader->view->ranks[i]);
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

void ronde_stall_say_hints(struct ronde_stall_writer *w)
{
	int hints = 0;
	bool unnamed = false;
	size_t old = 0; /* they come first */
	while (old < w->n && ronde_stall_is_old(w, w->items[old].since))
		old++;
	for (size_t i = 0; i < old && hints < MOST_HINTS; i++) {
		if (!w->items[i].ballot)
			continue;
		if (!unnamed && say_out_of_step(w, &w->items[i])) {
			unnamed = true;
			hints++;
		}
		for (size_t k = i + 1; k < old && hints < MOST_HINTS; k++)
			if (w->items[k].ballot)
				hints += say_same_name(w, &w->items[i], &w->items[k]);
	}
}

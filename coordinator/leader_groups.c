/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups: their tensors are heard, judged and cached one by one, but go into the log together. A
 * ballot on which somebody has voted as on a tensor of a group is held in the group's list until
 * every member of the process set has submitted all of its group, or has joined. Then, and not
 * before, all of them are ready, one behind the other; or, if ranks disagree about one of them or
 * about how many there are, all of them fail, on the ranks that submitted them, with one text.
 *
 *   rank 0 has said  g_1of2 g_2of2     held: g_1of2 (rank 0, 1), g_2of2 (rank 0)
 *   rank 1 has said  g_1of2 x          x, a tensor of its own, does not wait
 *
 * A tensor that one rank submits in a group and another alone is an error as well. If it is unnamed
 * the operations are matched by order, and so the whole group fails. The members of a group with a
 * name meet single tensors by their own names, each for itself: such a tensor fails at once,
 * and what else there is of the group when all ranks have submitted that.
 */
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "collectives/status.h"
#include "coordinator/leader.h"
#include "coordinator/validate.h"

#define TEXT_BYTES 2048

/* A text that there is no memory for is made from the ballot where it is written. */
static void keep(struct ronde_group *g, const char *text)
{
	g->failed = true;
	if (!g->text)
		g->text = strdup(text);
}

static const struct ronde_desc *said_of(const struct ronde_ballot *b, int member)
{
	return b->votes[member].other ? b->votes[member].other : &b->round;
}

static void leave(struct ronde_ballot *b)
{
	DL_DELETE(b->group->held, b);
	b->held = false;
}

/* Into the list, with what was said of it while it was a tensor like others. */
static int hold(struct ronde_leader *l, struct ronde_ballot *b, const struct ronde_desc *desc)
{
	struct ronde_key key;
	if (!ronde_group_key(&key, &b->key, desc->members))
		return RONDE_ERR_INTERNAL;
	if (!b->group && !ronde_ballots_join_group(&l->ballots, b, &key))
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for what ranks say of a "
							    "group");
	DL_APPEND(b->group->held, b);
	b->held = true;
	for (int m = 0; b->heard > 1 && m < b->set->n; m++)
		if (b->votes[m].heard && !said_of(b, m)->members)
			b->group->said[m].alone = true;
	return RONDE_OK;
}

/* True if that member has said all it has to say of the group in this round. */
static bool has_spoken(const struct ronde_leader *l, const struct ronde_group *g,
		       const struct ronde_process_set *set, int member)
{
	const struct ronde_group_vote *v = &g->said[member];
	if (v->members)
		return v->heard == v->members;
	return (v->alone && !g->key.head.named) || l->followers[set->local[member]].joined;
}

static bool all_have_spoken(const struct ronde_leader *l, const struct ronde_group *g,
			    const struct ronde_process_set *set)
{
	for (int m = 0; m < set->n; m++)
		if (!has_spoken(l, g, set, m))
			return false;
	return true;
}

static void forget_round(struct ronde_leader *l, struct ronde_group *g)
{
	memset(g->said, 0, (size_t)l->ballots.members * sizeof *g->said);
	free(g->text);
	g->text = NULL;
	g->failed = false;
}

static bool same_number(const struct ronde_group *g, const struct ronde_process_set *set)
{
	uint32_t members = 0;
	for (int m = 0; m < set->n; m++) {
		const struct ronde_group_vote *v = &g->said[m];
		if (v->alone || (members && v->members && v->members != members))
			return false;
		if (v->members)
			members = v->members;
	}
	return true;
}

static void judge(struct ronde_leader *l, struct ronde_group *g,
		  const struct ronde_process_set *set)
{
	char text[TEXT_BYTES];
	const struct ronde_ballot *b;
	const int size = l->view->size;
	if (g->failed)
		return;
	if (!same_number(g, set)) {
		ronde_group_mismatch_text(g, set->ranks, set->n, size, text, sizeof text);
		keep(g, text);
		return;
	}
	DL_FOREACH (g->held, b)
		if (b->disagreed) {
			ronde_mismatch_text(b, set->ranks, set->n, size, text, sizeof text);
			keep(g, text);
			return;
		}
}

/* A ballot that is complete, and that some members have voted on as on a tensor of no group. */
static bool is_mixed(const struct ronde_leader *l, const struct ronde_ballot *b)
{
	if (!b->disagreed || !ronde_leader_complete(l, b))
		return false;
	for (int m = 0; m < b->set->n; m++)
		if (b->votes[m].heard && !said_of(b, m)->members)
			return true;
	return false;
}

/* It fails without the others. The round is over if none of them is left, and none to come. */
static void fail_alone(struct ronde_leader *l, struct ronde_ballot *b)
{
	char text[TEXT_BYTES];
	struct ronde_group *g = b->group;
	const struct ronde_process_set *set = b->set;
	ronde_mismatch_text(b, set->ranks, set->n, l->view->size, text, sizeof text);
	keep(g, text);
	leave(b);
	ronde_leader_enqueue(l, b);
	bool over = !g->held;
	for (int m = 0; m < set->n && over; m++)
		over = !g->said[m].members || has_spoken(l, g, set, m);
	if (over)
		forget_round(l, g);
}

void ronde_leader_look_at_group(struct ronde_leader *l, struct ronde_ballot *b)
{
	struct ronde_group *g = b->group;
	if (g->key.head.named && is_mixed(l, b)) {
		fail_alone(l, b);
		return;
	}
	if (!all_have_spoken(l, g, b->set))
		return;
	judge(l, g, b->set);
	while ((b = g->held)) {
		leave(b);
		if (g->failed) {
			b->disagreed = true;
			b->text = g->text ? strdup(g->text) : NULL;
		}
		ronde_leader_enqueue(l, b);
	}
	forget_round(l, g);
}

int ronde_leader_hear_member(struct ronde_leader *l, struct ronde_ballot *b, int member,
			     const struct ronde_desc *desc)
{
	int status = b->held ? RONDE_OK : hold(l, b, desc);
	if (status)
		return status;
	struct ronde_group_vote *vote = &b->group->said[member];
	if (!desc->members) {
		vote->alone = true;
	} else if (vote->members == 0) { /* it begins */
		vote->members = desc->members;
		vote->heard = 1;
	} else if (vote->members != desc->members || vote->heard++ == vote->members) {
		return RONDE_ERR_INTERNAL;
	}
	ronde_leader_look_at_group(l, b);
	return RONDE_OK;
}

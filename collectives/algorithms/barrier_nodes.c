/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Barrier over nodes: the ranks of a node say that they have come; when all have, the first of them
 * tells the other nodes, by dissemination; then it lets the others go.
 *
 * 3 nodes; in round r (1, 2, 4, …) node k tells node k + r, and hears from node k - r, mod 3:
 *
 *   round 1   0 → 1 → 2 → 0     each knows of one other
 *   round 2   0 → 2 → 1 → 0     of all three
 *
 * A round begins when the one before has been heard. Each hears of a node in one round at most, so
 * all receives are posted at the start, one for a node.
 */
#include "collectives/algorithms/algorithms.h"
#include "collectives/algorithms/lane.h"
#include "collectives/algorithms/messages.h"

enum { HEARD, TOLD };

struct barrier_nodes_state {
	bool said, posted;
	bool told; /* in the round that it is in */
	int round; /* 1, 2, 4, …; as many as there are nodes, or more: over */
};
RONDE_STATE_FITS(barrier_nodes_state);

void ronde_barrier_nodes_start(struct ronde_operation *operation)
{
	*RONDE_STATE(operation, barrier_nodes_state) = (struct barrier_nodes_state){.round = 1};
	ronde_messages_start(&operation->plan);
}

static int post_receives(const struct ronde_plan *plan)
{
	int nodes = plan->span->nodes, status = RONDE_OK;
	for (int r = 1; r < nodes && !status; r *= 2)
		status = ronde_message_receive(plan, HEARD, (plan->span->node + nodes - r) % nodes,
					       0, 0, NULL, 0);
	return status;
}

/* Whether the message of node `from` is here; takes it. */
static int heard(const struct ronde_plan *plan, int from, bool *here)
{
	struct ronde_fabric_operation **message =
		&plan->span->flight[HEARD * plan->span->nodes + from];
	int status = RONDE_OK;
	*here = ronde_fabric_done(*message);
	if (*here) {
		status = ronde_fabric_finish(*message, NULL);
		*message = NULL;
	}
	return status;
}

/* Of the node's first member. *over: all nodes have come, and nothing is in flight. */
static int tell_nodes(const struct ronde_plan *plan, struct barrier_nodes_state *state, bool *over)
{
	int nodes = plan->span->nodes, status = RONDE_OK;
	bool here = true;
	if (!state->posted)
		status = post_receives(plan);
	state->posted = true;
	while (!status && here && state->round < nodes) {
		if (!state->told)
			status = ronde_message_send(plan, TOLD,
						    (plan->span->node + state->round) % nodes, 0, 0,
						    NULL, 0);
		state->told = true;
		if (!status)
			status = heard(plan, (plan->span->node + nodes - state->round) % nodes,
				       &here);
		if (!status && here) {
			state->round *= 2;
			state->told = false;
		}
	}
	if (!status && state->round >= nodes)
		status = ronde_messages_finish(plan, TOLD, over);
	return status;
}

enum ronde_progress ronde_barrier_nodes_step(struct ronde_operation *operation)
{
	struct barrier_nodes_state *state = RONDE_STATE(operation, barrier_nodes_state);
	const struct ronde_plan *plan = &operation->plan;
	bool over = false;

	if (!state->said)
		ronde_lane_publish(plan, RONDE_PACKED, 1);
	state->said = true;
	if (plan->me) {
		over = ronde_lane_reached(plan, 0, RONDE_REDUCED, 1);
	} else if (ronde_lane_all_reached(plan, RONDE_PACKED, 1)) {
		operation->status = tell_nodes(plan, state, &over);
		if (operation->status)
			return ronde_lane_leave(plan, 2);
		if (over)
			ronde_lane_publish(plan, RONDE_REDUCED, 1);
	}
	return over ? ronde_lane_leave(plan, 2) : RONDE_PROGRESS_NONE;
}

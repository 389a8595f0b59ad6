/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/algorithms/messages.h"

#include "collectives/algorithms/lane.h"

#include <string.h>

#include "collectives/span.h"

static struct ronde_fabric_operation **row_of(const struct ronde_plan *plan, int row)
{
	return plan->span->flight + (size_t)row * (size_t)plan->span->nodes;
}

void ronde_messages_start(const struct ronde_plan *plan)
{
	const struct ronde_set_span *span = plan->span;
	memset(span->flight, 0,
	       RONDE_SPAN_FLIGHT * (size_t)span->nodes * sizeof(struct ronde_fabric_operation *));
}

int ronde_message_send(const struct ronde_plan *plan, int row, int node, int member, uint32_t tag,
		       const void *data, size_t bytes)
{
	const struct ronde_set_span *span = plan->span;
	return ronde_fabric_post_send(span->fabric, span->ranks[node][member], span->tag + tag,
				      data, bytes, &row_of(plan, row)[node]);
}

int ronde_message_receive(const struct ronde_plan *plan, int row, int node, int member,
			  uint32_t tag, void *data, size_t bytes)
{
	const struct ronde_set_span *span = plan->span;
	return ronde_fabric_post_receive(span->fabric, span->ranks[node][member], span->tag + tag,
					 data, bytes, &row_of(plan, row)[node]);
}

int ronde_messages_finish(const struct ronde_plan *plan, int row, bool *all)
{
	struct ronde_fabric_operation **messages = row_of(plan, row);
	*all = true;
	for (int k = 0; k < plan->span->nodes; k++) {
		if (!messages[k])
			continue;
		if (!ronde_fabric_done(messages[k])) {
			*all = false;
			continue;
		}
		int status = ronde_fabric_finish(messages[k], NULL);
		messages[k] = NULL;
		if (status)
			return status;
	}
	return RONDE_OK;
}

bool ronde_messages_settle(const struct ronde_plan *plan, int row, uint64_t *settled, int *status)
{
	bool through;
	*status = ronde_messages_finish(plan, row, &through);
	if (*status || !through)
		return false;
	ronde_lane_publish(plan, RONDE_UNPACKED, ++*settled);
	return true;
}

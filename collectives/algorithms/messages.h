/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages: what an operation over nodes has in flight. They stand in the room that the plan's span
 * has for them, in rows of one for each node; a row's messages begin and end together. Zero bytes
 * are sent like any other number: who wants to send nothing does not call.
 */
#ifndef RONDE_ALGORITHMS_MESSAGES_H
#define RONDE_ALGORITHMS_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collectives/operation.h"

/* No row has a message. To be called first. */
void ronde_messages_start(const struct ronde_plan *plan);

/*
 * Post one to, or from, member `member` of node `node` under the span's tag + `tag`. Row and node
 * have none. Errors: those of the fabric.
 */
int ronde_message_send(const struct ronde_plan *plan, int row, int node, int member, uint32_t tag,
		       const void *data, size_t bytes);
int ronde_message_receive(const struct ronde_plan *plan, int row, int node, int member,
			  uint32_t tag, void *data, size_t bytes);

/* Takes what is done of a row. *all: nothing of it is in flight any more. Errors: those of the
 * messages. */
int ronde_messages_finish(const struct ronde_plan *plan, int row, bool *all);

/*
 * The last of a chunk: when its row is through, says that the chunk is unpacked, *settled + 1 in
 * all. True if it was. *status: as of the above.
 */
bool ronde_messages_settle(const struct ronde_plan *plan, int row, uint64_t *settled, int *status);

#endif

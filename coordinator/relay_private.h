/* SPDX-License-Identifier: Apache-2.0 */
/* What the relay's files share. */
#ifndef RONDE_RELAY_PRIVATE_H
#define RONDE_RELAY_PRIVATE_H

#include "coordinator/relay.h"

/* Entries that a rank's log ring had no room for. */
struct ronde_relay_backlog {
	unsigned char *data; /* records, each behind a uint64_t: its bytes */
	size_t first, end, room;
};

/* An operation of ranks of this node, whose end is to be told. */
struct ronde_relay_watch {
	uint64_t base;
	int n; /* 0: there is none on this lane */
	int *local;
};

/* What the relay does for the ranks of its node. Not on node 0: there the leader does. */
struct ronde_relay_ranks {
	struct ronde_node *node;
	struct ronde_ring_consumer *announce; /* [local_size] */
	struct ronde_ring_producer *log;      /* [local_size] */
	struct ronde_relay_backlog *backlogs; /* [local_size] */
	struct ronde_relay_watch *watches;    /* [lanes] */
	int watched;                          /* lanes with a watch */
};

struct ronde_relay {
	struct ronde_node *node;
	struct ronde_relay_root root; /* node 0 only */
	ronde_relay_stall_fn stalls;
	void *stalls_arg;
	struct ronde_relay_ranks ranks;
	struct ronde_link parent; /* not on node 0 */
	struct ronde_link children[RONDE_RELAY_CHILDREN];
	int nchildren;
	int *route; /* [nodes] which child leads there, or -1 */
	/* Announcements that went through this relay and had no answer; negative if entries were
	 * sent to ranks that had asked nothing. */
	int64_t expected;
	bool closing; /* the entry of the shutdown has come through */
	bool told;    /* of a rank that was lost */
	int culprit;  /* global rank of the leader whose link has ended with an error, or -1 */
};

/* Room for the node's ranks. Errors: OUT_OF_MEMORY. */
int ronde_relay_ranks_open(struct ronde_relay_ranks *ranks, struct ronde_node *node);
void ronde_relay_ranks_close(struct ronde_relay_ranks *ranks);

/* An entry for some of them, `list` of global ranks. Errors: OUT_OF_MEMORY. */
int ronde_relay_ranks_give(struct ronde_relay_ranks *ranks, const uint32_t *list, size_t n,
			   const void *record, size_t bytes, int lane, uint64_t base);
/* Passes on what waits for room, up what they have announced (*heard: how many), and which
 * operations they have left. Errors: OUT_OF_MEMORY. */
int ronde_relay_ranks_turn(struct ronde_relay_ranks *ranks, struct ronde_link *up, bool closing,
			   int64_t *heard, bool *some);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The leader of a node (local rank 0): hears what its ranks announce, decides when a tensor is
 * complete, and appends entries to the log. Its state is private to it; it runs inside the turns of
 * its rank's engine, under the engine lock.
 *
 *   leader.c   hears announcements, judges ballots
 *   decide.c   chooses what goes into the next entry, and when
 *   append.c   writes entries into the ranks' log rings
 */
#ifndef RONDE_LEADER_H
#define RONDE_LEADER_H

#include "coordinator/ballot.h"
#include "coordinator/context.h"

/* Most tensors of one entry. */
#define RONDE_ENTRY_ITEMS 2048

struct ronde_lane {
	bool busy;
	uint64_t base; /* of the operation on it, or of the next one */
};

struct ronde_leader {
	struct ronde_context *context;
	struct ronde_ring_consumer *announce; /* [local_size] */
	struct ronde_ring_producer *log;      /* [local_size] */
	struct ronde_ballots ballots;
	struct ronde_ballot *ready;     /* complete tensors, in the order they became so */
	struct ronde_ballot *disagreed; /* complete, and judged */
	uint64_t ready_bytes;           /* of all of `ready` */
	double ready_since;             /* when the first of `ready` came */
	struct ronde_lane *lanes;
	int busy;              /* lanes in use */
	uint64_t index;        /* of the next entry */
	int closed_by;         /* rank that asked for the end, or -1 */
	bool closed;           /* and the log says so */
	unsigned char *record; /* an entry being made; ronde_ring_limit() bytes */
	size_t record_limit;
	bool *told;           /* [local_size] ranks whose ring has the end */
	const void **sources; /* [local_size] scratch of a reduction */
	/* The entry being made: its tensors, what it does to slots. */
	struct ronde_ballot *batch[RONDE_ENTRY_ITEMS], *defined[RONDE_ENTRY_ITEMS];
	struct ronde_slot_name evicted[RONDE_ENTRY_ITEMS];
	uint32_t definition[RONDE_ENTRY_ITEMS];
};

int ronde_leader_create(struct ronde_leader **leader, struct ronde_context *context);
void ronde_leader_destroy(struct ronde_leader *leader);

/* Hears, decides, appends. True if it did anything. */
bool ronde_leader_turn(struct ronde_leader *leader);

/* ---- between its files ---- */

/* Appends what can go now. True if it appended. */
bool ronde_leader_decide(struct ronde_leader *leader);

/* How the next entry executes. lane: -1 if it needs none. */
struct ronde_decision {
	enum ronde_entry_type type;
	enum ronde_path path;
	int lane;
	size_t chunk_bytes;
	int nbatch; /* tensors leader->batch[] */
};

/* Writes the entry into every member's ring, where the caller has found room. */
void ronde_leader_append(struct ronde_leader *leader, const struct ronde_decision *decision);
/* Appends the end of the log. False: it did not fit everywhere; call again. */
bool ronde_leader_append_shutdown(struct ronde_leader *leader);
/* This rank is down: wakes those whose ring the end did not fit into, to see it in the arena. */
void ronde_leader_down(struct ronde_leader *leader);

/* Upper bound of the bytes a tensor adds to an entry of that kind; and those of an entry without
 * tensors. */
size_t ronde_leader_item_bytes(const struct ronde_leader *leader, const struct ronde_ballot *ballot,
			       enum ronde_path path);
size_t ronde_leader_head_bytes(void);

#endif

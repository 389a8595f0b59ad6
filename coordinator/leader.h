/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The leader (rank 0): hears what ranks announce, decides when a tensor is complete, and appends
 * entries to the log. Its state is private to it; it runs inside the turns of its rank's engine,
 * under the engine lock.
 *
 * It takes all ranks for one node: "local rank" in its files is a rank's number in that. Those that
 * share its memory have rings in the arena; for the others its relay (relay.h) hears and speaks.
 *
 *   leader.c       hears announcements, judges ballots
 *   leader_groups.c  keeps the tensors of a group together
 *   leader_sets.c  changes of the process sets
 *   leader_join.c  ranks that have joined
 *   decide.c       chooses what goes into the next entry, and when
 *   append.c       writes entries, append_control.c those without tensors, and gives them to ranks
 *
 * Every process set has a queue of its own. A set that cannot go on, because one of its ranks is
 * stopped, holds up its own queue only.
 */
#ifndef RONDE_LEADER_H
#define RONDE_LEADER_H

#include "coordinator/ballot.h"
#include "coordinator/context.h"

/* Most tensors of one entry. */
#define RONDE_ENTRY_ITEMS 2048

struct ronde_lane {
	struct ronde_process_set *set; /* whose operation is on it, held; NULL: it is free */
	uint64_t base;                 /* of the operation on it, or of the next one */
	uint64_t end;                  /* the last counter with which another node has left it */
	int away;                      /* other nodes that have not */
	bool *absent;                  /* [ranks] that take no part in it */
	bool own_rows;                 /* it asks for memory when the ranks have spoken */
};

/* What is to be decided for a process set. */
struct ronde_queue {
	struct ronde_process_set *set;
	struct ronde_ballot *ready;     /* complete tensors, in the order they became so */
	struct ronde_ballot *disagreed; /* complete, and judged */
	uint64_t ready_bytes;           /* of all of `ready` */
	double ready_since;             /* when the first of `ready` came */
	int busy;                       /* lanes in use … */
	int own_rows;                   /* … of these by operations that ask for memory */
	int joined;                     /* members that have joined */
	bool waiting;                   /* it is in the leader's list */
	struct ronde_queue *prev, *next;
};

/* A change of the process sets, as a rank has announced it. */
struct ronde_wish {
	enum ronde_set_change change;
	uint32_t set;   /* REMOVE */
	size_t n;       /* ADD: ranks */
	int32_t *ranks; /* behind the struct */
	uint64_t said;  /* the how-manieth announcement of the rank it was */
	struct ronde_wish *prev, *next;
};

/* What the leader knows about a rank. */
struct ronde_follower {
	struct ronde_wish *wishes; /* in the order it made them */
	uint64_t heard;            /* announcements of it so far */
	uint32_t owing; /* notices sent to it that it has not answered by announcing again */
	bool joining;   /* it has said that it joins … */
	bool joined;    /* … and all is heard that it said before */
	bool told;      /* its ring has the end */
};

struct ronde_leader {
	struct ronde_context *context;
	const struct ronde_node *view; /* all ranks, as if they were one node */
	struct ronde_node *whole;      /* that, if the job has several nodes; else NULL */
	int *home; /* [ranks] local rank on this node, or -1: the relay leads there; NULL: its own
		    */
	struct ronde_ring_consumer *announce; /* [local_size] */
	struct ronde_ring_producer *log;      /* [local_size] */
	struct ronde_follower *followers;     /* [ranks] */
	struct ronde_process_sets sets;
	struct ronde_ballots ballots;
	struct ronde_queue
		*waiting; /* queues with something in them, the next to be served first */
	struct ronde_lane *lanes;
	int busy;              /* lanes in use */
	int joined;            /* ranks that have joined */
	int last_joined;       /* local rank */
	int idle_sets;         /* sets with no lane in use */
	int others;            /* sets this rank is not in */
	uint64_t index;        /* of the next entry */
	int closed_by;         /* rank that asked for the end, or -1 */
	bool closed;           /* and the log says so */
	unsigned char *record; /* an entry being made; ronde_ring_limit() bytes */
	size_t record_limit;
	const void **sources; /* [leaves of all ranks] scratch of a reduction */
	uint32_t *away;       /* [ranks] scratch: whom the relay is to give an entry */
	/* The entry being made: its tensors, what it does to slots. */
	struct ronde_ballot *batch[RONDE_ENTRY_ITEMS], *defined[RONDE_ENTRY_ITEMS];
	struct ronde_slot_name evicted[RONDE_ENTRY_ITEMS];
	uint32_t definition[RONDE_ENTRY_ITEMS];
};

int ronde_leader_create(struct ronde_leader **leader, struct ronde_context *context);
void ronde_leader_destroy(struct ronde_leader *leader);

/* The local rank on this rank's node, or -1: it is on another. */
static inline int ronde_leader_home(const struct ronde_leader *leader, int rank)
{
	return leader->home ? leader->home[rank] : rank;
}

/* Hears, decides, appends. True if it did anything. */
bool ronde_leader_turn(struct ronde_leader *leader);

/* ---- between its files ---- */

/* Appends what can go now. True if it appended. */
bool ronde_leader_decide(struct ronde_leader *leader);
/* The tensor is complete. */
void ronde_leader_enqueue(struct ronde_leader *leader, struct ronde_ballot *ballot);
/* Its members on this node all have room for a record of so many bytes. */
bool ronde_leader_room(struct ronde_leader *leader, const struct ronde_process_set *set,
		       size_t bytes);

/* The ballot has just got this member's vote of a tensor of a group, or it is held for one. Errors:
 * OUT_OF_MEMORY; INTERNAL for a record that no rank writes. */
int ronde_leader_hear_member(struct ronde_leader *leader, struct ronde_ballot *ballot, int member,
			     const struct ronde_desc *desc);

/* The ballot is held for its group: lets it go, or fails it, if it is time. */
void ronde_leader_look_at_group(struct ronde_leader *leader, struct ronde_ballot *ballot);

/* Adds a set to the leader's table. Errors: OUT_OF_MEMORY. */
int ronde_leader_add_set(struct ronde_leader *leader, const int32_t *ranks, size_t n,
			 struct ronde_process_set **set);
/* Makes a queue for a set of the leader's table. Errors: OUT_OF_MEMORY. */
int ronde_leader_add_queue(struct ronde_leader *leader, struct ronde_process_set *set);
/* A rank has announced a change of the process sets. Errors: OUT_OF_MEMORY; INTERNAL for a record
 * that no rank writes. */
int ronde_leader_hear_wish(struct ronde_leader *leader, int local_rank,
			   const struct ronde_heard *heard);
/* Makes the changes that all ranks have announced. True if it made one. */
bool ronde_leader_change_sets(struct ronde_leader *leader);
/* A rank has said that it joins. */
int ronde_leader_hear_join(struct ronde_leader *leader, int local_rank);
/* Looks again at what ranks that join no longer hold up; ends the join when all have. True if
 * something changed. */
bool ronde_leader_join(struct ronde_leader *leader);
/* True if all members have voted, or joined. */
bool ronde_leader_complete(const struct ronde_leader *leader, const struct ronde_ballot *ballot);
/* True if the same members voted on both. */
bool ronde_leader_same_present(const struct ronde_ballot *a, const struct ronde_ballot *b);
/* True if the tensor makes no sense without the members that have not voted. */
bool ronde_leader_refuses(const struct ronde_leader *leader, const struct ronde_ballot *ballot);
/* False: nothing carries the tensor between the nodes that its set is on. */
bool ronde_leader_can_span(const struct ronde_leader *leader, const struct ronde_ballot *ballot);
/* What an average of the members that have voted is divided by. */
int ronde_leader_divisor(const struct ronde_leader *leader, const struct ronde_ballot *ballot);
/* Says why. Returns the text's length, < bytes. */
size_t ronde_leader_refusal(const struct ronde_ballot *ballot, char *text, size_t bytes);
void ronde_leader_forget_sets(struct ronde_leader *leader);

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
/* Puts leader->record into the ring of each member, or lets the relay do so. lane: of the operation
 * it begins, or -1. */
void ronde_leader_send_all(struct ronde_leader *leader, const struct ronde_process_set *set,
			   size_t bytes, int lane);
/* Tells a rank that what it announced by this slot was not heard. False: no room; try again. */
bool ronde_leader_append_notice(struct ronde_leader *leader, int local_rank,
				struct ronde_slot_name slot, uint64_t ordinal);
/* Appends how a change of the process sets came out; bytes: ranks or a text. There is room. */
void ronde_leader_append_change(struct ronde_leader *leader, const struct ronde_set_entry *change,
				const void *data, size_t bytes);
/* Appends that all ranks have joined. There is room. */
void ronde_leader_append_joined(struct ronde_leader *leader);
/* Appends the end of the log. False: it did not fit everywhere; call again. */
bool ronde_leader_append_shutdown(struct ronde_leader *leader);
/* This rank is down: wakes those whose ring the end did not fit into, to see it in the arena. */
void ronde_leader_down(struct ronde_leader *leader);

/* Upper bound of the bytes a tensor adds to an entry of that kind; and those of an entry without
 * tensors. */
size_t ronde_leader_item_bytes(const struct ronde_ballot *ballot, enum ronde_path path);
size_t ronde_leader_head_bytes(const struct ronde_ballot *first);

#endif

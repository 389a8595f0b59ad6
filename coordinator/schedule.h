/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schedule on one rank: takes entries from the log, in order, turns them into operations, and
 * advances these. Under the engine lock.
 */
#ifndef RONDE_SCHEDULE_H
#define RONDE_SCHEDULE_H

#include "collectives/algorithms/packing.h"
#include "collectives/operation.h"
#include "coordinator/gathered.h"
#include "coordinator/request.h"
#include "coordinator/ring.h"

struct ronde_context;
struct ronde_process_set;

/* An entry being executed, with room for its plan; kept for reuse when it is done. */
struct ronde_active {
	struct ronde_operation operation;
	struct ronde_active *next;
	uint64_t index;             /* in the log */
	struct ronde_phases phases; /* what it spends its time with, if somebody records that */
	bool moved;                 /* it got on since somebody looked */
	struct ronde_context *context;
	struct ronde_gathered_call gathered; /* allgather: asks the application for memory */
	struct ronde_process_set *set;       /* held while it is in use */
	struct ronde_request **requests;     /* [npieces] */
	struct ronde_piece *pieces;
	const void **inputs; /* [npieces][n] */
	void **outputs;
	size_t room;      /* pieces that the arrays hold … */
	size_t addresses; /* … and npieces × n */
	/* Members that take part, where some do not: member numbers and local ranks. */
	int *present, *present_local; /* [set->n] */
	int npresent;                 /* set->n: all */
	size_t present_room;
	struct ronde_crossing *crossing; /* room for a span, or NULL (reach_plan.c) */
	int taking;                      /* members on all nodes that take part … */
	const int *numbers;              /* [taking] … their member numbers; NULL: all do */
};

enum ronde_schedule_state {
	RONDE_SCHEDULE_RUNNING = 0,
	RONDE_SCHEDULE_DRAINING, /* the end is in the log: what stands before it completes */
	RONDE_SCHEDULE_ABORTING, /* a rank was lost: waits (bounded) for the others to let go */
	RONDE_SCHEDULE_ENDED
};

struct ronde_schedule {
	struct ronde_ring_consumer log;
	uint64_t next;                     /* least index that the next entry can have */
	struct ronde_active *first, **end; /* in log order */
	struct ronde_active *spare;
	struct ronde_traffic traffic; /* of a node with several domains */
	struct ronde_stores stores;   /* how this rank's operations pack */
	enum ronde_schedule_state state;
	int ended_by; /* rank that shut down or was lost, -1: none */
	bool stalled; /* the end is that of a stall */
	int broken;   /* why this rank cannot go on itself; RONDE_OK: it can */
	char broken_text[400];
	double deadline;
	_Atomic bool ended;        /* for ronde_context_stop() */
	_Atomic uint64_t progress; /* likewise: turns that took an entry or got on with one */
};

void ronde_schedule_init(struct ronde_schedule *schedule);
void ronde_schedule_finish(struct ronde_schedule *schedule);

/* Takes all entries there are. True if there was one. */
bool ronde_schedule_consume(struct ronde_context *context);

/* One step of every active operation, in log order; completes what is done. True if one got on. */
bool ronde_schedule_step(struct ronde_context *context);

/* Looks whether a rank was lost or the leader is down, and brings the end about. True if something
 * changed. */
bool ronde_schedule_look(struct ronde_context *context);

/* ---- shared by the files of the schedule ---- */

/* Fills an active from an entry's items. NULL: no memory (described). */
struct ronde_active *ronde_active_new(struct ronde_context *context, struct ronde_process_set *set,
				      size_t npieces);
/* These member numbers of its set, ascending, take no part. False: no memory (described). */
bool ronde_active_leave_out(struct ronde_active *active, const uint32_t *absent, uint32_t n);
/* It is not used any more. */
void ronde_active_put(struct ronde_context *context, struct ronde_active *active);
void ronde_active_start(struct ronde_context *context, struct ronde_active *active);
/* Why a rank of this node is gone, for people. */
void ronde_schedule_loss_text(const struct ronde_context *context, int rank, char *text,
			      size_t bytes);
/* This rank cannot follow what was said, INTERNAL, or has no memory for it, OUT_OF_MEMORY
 * (described): its runtime ends as after a loss, and it is lost to the others. */
void ronde_schedule_broken(struct ronde_context *context, int status, const char *what);

#endif

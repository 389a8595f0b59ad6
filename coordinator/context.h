/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A context: everything one rank's runtime is. There are no globals, so ranks can be threads of one
 * process, and the runtime can be started and stopped any number of times.
 *
 * Two locks, always taken in this order:
 *   engine lock   held by the one thread that runs turns: schedule, operations, leader
 *   submit lock   held for the length of a look-up: requests, directory, announce ring, how it
 * ended
 */
#ifndef RONDE_CONTEXT_H
#define RONDE_CONTEXT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "collectives/bootstrap.h"
#include "collectives/heap.h"
#include "collectives/kernels/kernels.h"
#include "collectives/node.h"
#include "coordinator/callers.h"
#include "coordinator/config.h"
#include "coordinator/counters.h"
#include "coordinator/directory.h"
#include "coordinator/engine.h"
#include "coordinator/log.h"
#include "coordinator/process_set.h"
#include "coordinator/request.h"
#include "coordinator/ring.h"
#include "coordinator/schedule.h"
#include "coordinator/stall.h"
#include "coordinator/timeline.h"

struct ronde_leader;
struct ronde_reach;

/* What a rank has said and not yet had answered. Under `lock`. */
struct ronde_submissions {
	pthread_mutex_t lock;
	struct ronde_request_pool pool;
	struct ronde_directory directory;
	struct ronde_ring_producer ring;
	uint64_t said; /* announcements in the ring so far */
	struct ronde_callers callers;
	struct ronde_request *backlog, **backlog_end; /* the ring was full */
	_Atomic uint32_t in_flight;                   /* pending requests */
	bool shutdown_wanted, shutdown_said;
	bool joined; /* nothing is submitted until all ranks have joined */
	/* Why nothing can be submitted any more; RONDE_OK: it can. */
	_Atomic int ended; /* read without the lock by those who only ask whether */
	char *ended_text;
};

struct ronde_context {
	struct ronde_config config;
	struct ronde_log *log;   /* the caller's */
	struct ronde_heap *heap; /* the caller's; may be NULL */
	struct ronde_bootstrap *bootstrap;
	struct ronde_node *node;
	const struct ronde_kernels *kernels;
	struct ronde_process_sets sets; /* read under either lock, changed under both */
	struct ronde_counters_atomic counters;

	struct ronde_submissions submissions;
	struct ronde_schedule schedule;
	struct ronde_leader *leader; /* rank 0 only */
	struct ronde_reach *reach;   /* to other nodes, or NULL: there are none */
	struct ronde_engine engine;
	struct ronde_timeline timeline;
	struct ronde_stall stall;

	bool stopped; /* ronde_context_stop() was called */
	struct ronde_watcher *watcher;
	_Atomic unsigned char *gone; /* [local_size] ranks known to be dead */
};

/*
 * Starts a rank: collective over the bootstrap's world; blocks. Takes the bootstrap in every case;
 * config, log and heap stay the caller's (config is copied). Errors: those of ronde_init().
 */
int ronde_context_create(struct ronde_context **context, struct ronde_bootstrap *bootstrap,
			 const struct ronde_config *config, struct ronde_log *log,
			 struct ronde_heap *heap);

/*
 * Ends the runtime on all ranks (once) and frees this one's. Waits only until the end is agreed,
 * bounded. No other thread may use the context any more, except those that wait in
 * ronde_engine_wait(): see stop.
 */
void ronde_context_destroy(struct ronde_context *context);

/* How the node is opened: ronde-info opens it too. */
struct ronde_node_options ronde_context_node_options(const struct ronde_config *config);

/*
 * The first half of destroy: asks for the end, waits (bounded) until this rank has reached it.
 * Pending requests are complete after it, but for one whose alloc is being called; other threads
 * may still be inside the context. Only the first call does something.
 */
void ronde_context_stop(struct ronde_context *context);

/* True once calls fail because the runtime has ended: before the first of them has returned. */
bool ronde_context_ended(struct ronde_context *context);

/* This rank leaves without a shutdown (exit()). Tells the others, waits for nobody. */
void ronde_context_leave(struct ronde_context *context);

/* This rank cannot go on: it is lost to the others, and its own end is that of a loss. */
void ronde_context_give_up(struct ronde_context *context);

/* Says that a rank of the job is gone: what the watcher does, and tests. Any thread. */
void ronde_context_lost(int rank, void *context);

/* True if this rank is the leader of its node: it decides, or relays. */
static inline bool ronde_context_leads(const struct ronde_context *context)
{
	return context->node->local_rank == 0;
}

#endif

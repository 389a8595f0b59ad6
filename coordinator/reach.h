/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reach: how a rank gets to other nodes. Every rank has a fabric, for its share of operations that
 * span nodes; the leader of each node has a relay as well. NULL in a context whose ranks are all on
 * one node.
 *
 * A fabric rings nobody's bell, so somebody has to look. While something is expected a rank sleeps
 * RONDE_REACH_SLEEP at a time; else longer and longer, up to RONDE_REACH_LONGEST. What its own node
 * does wakes it as ever.
 *
 * Where the program has initialised MPI with less than MPI_THREAD_MULTIPLE, only the thread that
 * did may look: then operations over nodes get on while that thread waits for one.
 */
#ifndef RONDE_REACH_H
#define RONDE_REACH_H

#include <stdbool.h>

struct ronde_active;
struct ronde_context;
struct ronde_entry_view;
struct ronde_fabric;
struct ronde_reach;
struct ronde_relay;

/* In seconds. */
#define RONDE_REACH_SLEEP 50e-6
#define RONDE_REACH_LONGEST 20e-3

/* Opens the fabric: collective over the job. Errors: LAUNCHER (nothing carries bytes between the
 * nodes), and those of ronde_fabric_open(). Sets context->reach. */
int ronde_reach_open(struct ronde_context *context);
/* The leader of its node opens its relay. Once the rings are there. */
int ronde_reach_open_relay(struct ronde_context *context);
/* NULL is fine. Returns true if the fabric could not let go of memory: what was in flight, and all
 * that is shared, must stay. */
bool ronde_reach_close(struct ronde_reach *reach);

/* Part of every turn. True if something came or went. */
bool ronde_reach_turn(struct ronde_context *context);
/* A message of another node did not come, or is damaged: ends the runtime of this rank. */
void ronde_reach_fail(struct ronde_context *context, int status);
/* So many operations over nodes are in flight. */
void ronde_reach_expect(struct ronde_reach *reach, int crossing);
/* This thread may carry on operations over nodes. */
bool ronde_reach_may(const struct ronde_context *context);
/* How long a thread may sleep, in seconds; < 0: for ever. Once for each sleep. */
double ronde_reach_rest(struct ronde_context *context);

/* Other ranks of this node wait for other nodes, and this one has to look for them. */
bool ronde_reach_is_busy(const struct ronde_context *context);

/* Its counters are there to be read, under the engine lock. */
const struct ronde_fabric *ronde_reach_fabric(const struct ronde_reach *reach);

/* NULL: this rank leads no node, or there is one only. */
struct ronde_relay *ronde_reach_relay(const struct ronde_reach *reach);
/* The shutdown: all that the other nodes have to hear of this rank is said. */
bool ronde_reach_is_over(const struct ronde_context *context);
/* After a loss: the next nodes have heard of it. */
bool ronde_reach_has_told(const struct ronde_context *context);
/* Why a rank of another node was lost. */
const char *ronde_reach_loss(const struct ronde_context *context, int rank);

/* ---- operations over nodes (reach_plan.c) ---- */

/* Room for an operation of the active's set. False: no memory (described). */
bool ronde_reach_prepare(struct ronde_reach *reach, struct ronde_active *active);
/* The plan's span. */
void ronde_reach_fill(struct ronde_reach *reach, struct ronde_active *active,
		      const struct ronde_entry_view *entry);
struct ronde_crossing;
void ronde_crossing_free(struct ronde_crossing *crossing);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node: the ranks that share memory, seen from one of them. Opening it is collective over the
 * whole world: makes and passes the arena, maps everybody's heap, learns where every rank lives.
 */
#ifndef RONDE_NODE_H
#define RONDE_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collectives/arena.h"
#include "collectives/bootstrap.h"
#include "collectives/heap.h"

struct ronde_node_options {
	struct ronde_arena_shape shape; /* local_size is set by ronde_node_open() */
	bool no_memfd;                  /* use the shm_open fallback (tests force it) */
	bool no_pidfd;                  /* use the fallback for noticing death (tests force it) */
	/* The leader's hold for its node: see ronde_topology_open() and _locate(). NULL: "". */
	const char *machine, *placement;
	double timeout_seconds;
};

struct ronde_node {
	int rank, size;
	int local_rank, local_size;
	int cross_rank, cross_size;
	bool homogeneous;
	int node, nodes;    /* number of this node, how many there are */
	int *ranks;         /* [local_size] global rank of each local rank, ascending */
	int *node_of_rank;  /* [size] */
	int *local_of_rank; /* [size] local rank of every global rank, on its own node */
	struct ronde_arena arena;
	/* [local_size] which package each local rank is on, or, on a machine with one of them,
	 * which NUMA domain; NULL: all are on one, or not all are known. The same on all its ranks.
	 */
	int *domains;
	struct ronde_topology *topology; /* on the leader, unless it is alone; else NULL */
	unsigned char **heaps; /* [local_size] base of each local rank's heap in this process */
	size_t *heap_bytes;    /* [local_size] */
	int *pids;             /* [local_size] as each rank sees itself */
	struct ronde_node_private *priv; /* descriptors and mappings */
};

/* Collective. Errors: OUT_OF_MEMORY (how much, which setting), SYSTEM, VERSION, PEER_LOST. */
int ronde_node_open(struct ronde_node **node, struct ronde_bootstrap *bootstrap,
		    struct ronde_heap *heap, const struct ronde_node_options *options);
/* Not collective. The arena stays alive for the ranks that still map it. NULL is fine. */
void ronde_node_close(struct ronde_node *node);

/*
 * The ranks of the job as if all of them were on one node, seen from the same rank: numbers only,
 * no memory. The caller's, for ronde_node_forget_whole(). NULL: no memory.
 */
struct ronde_node *ronde_node_whole(const struct ronde_node *node);
void ronde_node_forget_whole(struct ronde_node *whole);

/* Two local ranks that have one and the same core only, while others of the node have another one:
 * who starts them meant something else. */
bool ronde_node_crowded(const struct ronde_node *node, int *one, int *other);

/* NULL, or why this rank shares no memory with ranks that the bootstrap put on the same machine. */
const char *ronde_node_apart(const struct ronde_node *node);

/*
 * What the system says a local rank's process does, by the letter of /proc: 'R' runs, 'S' sleeps,
 * 'D' sleeps and cannot be interrupted, 'T' is stopped, 't' is stopped by a debugger, 'Z' has
 * ended. 0: it cannot be looked at from here. *pid is its number, as it is called here if it can be
 * looked at, else as it sees itself.
 */
char ronde_node_process_state(const struct ronde_node *node, int local_rank, int *pid);

/*
 * Watches the other local processes (thread-ranks: nothing to watch). When one dies, whatever its
 * threads were doing, `lost(global_rank, arg)` is called on the watcher's thread, once per rank,
 * after the arena's `lost` word was set to the first. Must return before the watcher is stopped.
 */
struct ronde_watcher;
int ronde_watcher_start(struct ronde_watcher **watcher, struct ronde_node *node,
			void (*lost)(int global_rank, void *arg), void *arg);
void ronde_watcher_stop(struct ronde_watcher *watcher);

#endif

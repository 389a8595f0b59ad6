/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Span: the nodes that the members of an operation are on, where that is more than one, and how
 * this rank reaches the others. A plan without one (NULL) has all its members on this node.
 *
 * Two nodes, three of four ranks take part, member numbers are by node:
 *
 *   node            0             1
 *   global ranks    0, 2          1           round robin; 3 has joined
 *   members         2             1
 *   ranks           {0, 2}        {1}
 *   positions       {0, 2}        {1}         in the set's order, of those that take part
 *
 * Where the plan has something for each of its [n] members that comes from, or goes to, all ranks
 * of the set (rows given to allocate(), and splits, received, begins, astray), it is for all
 * members of all nodes, ronde_span_total(), by position. Allgather has room in received and begins,
 * too; what is in astray once allocate() has answered is undefined.
 *
 * All of it is the maker's, stays as it is from start() until the operation is done, and follows
 * from the entry: but for `fabric`, `node` and `flight` it is the same on all ranks. So are these
 * of a plan with a span: kind, spec, root, the pieces' counts and chunk_bytes, which fits the
 * staging of the node with most members and is ronde_span_least() or more.
 *
 * The maker calls ronde_fabric_progress() each turn, and starts the next operation on a lane's tags
 * once the ranks of all nodes are done with the last one. An operation that ends with a status
 * other than OK and what allocate() has set (PEER_LOST; the thread's error text says why) leaves
 * messages in flight, and the other ranks of the node in it: the lane must not be used again, and
 * the fabric be abandoned.
 */
#ifndef RONDE_SPAN_H
#define RONDE_SPAN_H

#include <stddef.h>
#include <stdint.h>

#include "collectives/fabric.h"

/* Tags of a lane, from `tag` on. */
#define RONDE_SPAN_TAGS 4
/* Messages that an operation has in flight at most, for each node. */
#define RONDE_SPAN_FLIGHT 12
/* Most leaves of the tree over nodes: algorithms keep a pointer for each on the stack. */
#define RONDE_MAX_SPAN_LEAVES 4096

struct ronde_set_span {
	struct ronde_fabric *fabric;
	uint32_t tag;
	int nodes;     /* with members: 2 or more, in the order of their numbers */
	int node;      /* which of them is this rank's */
	int root_node; /* broadcast: which of them has the root, the plan's `root` a member of it */
	/* Which of `leaves` nodes each is, where all the set's ranks on a node have joined: absent
	 * leaves of the tree over nodes. NULL: none is missing. */
	const int *leaf;
	int leaves;                  /* only with leaf; see ronde_span_leaves() */
	const int *members;          /* [nodes] how many take part; 1 or more */
	const int *const *ranks;     /* [nodes][members] their global ranks */
	const int *const *positions; /* [nodes][members] see above; ascending on each node */
	/* Reducescatter: [nodes][members] which of the set's `size` ranks each is, those that have
	 * joined counted; NULL: nobody has, positions do. */
	const int *const *shares;
	int size; /* only with shares */
	/* [RONDE_SPAN_FLIGHT * nodes] room, of this rank and operation alone; undefined at start.
	 */
	struct ronde_fabric_operation **flight;
};

/* The leaves of the tree over nodes, and which one a node is. */
static inline int ronde_span_leaves(const struct ronde_set_span *span)
{
	return span->leaf ? span->leaves : span->nodes;
}

static inline int ronde_span_leaf(const struct ronde_set_span *span, int node)
{
	return span->leaf ? span->leaf[node] : node;
}

/* How many ranks take part, on all nodes. */
static inline int ronde_span_total(const struct ronde_set_span *span)
{
	int total = 0;
	for (int k = 0; k < span->nodes; k++)
		total += span->members[k];
	return total;
}

/* The least chunk_bytes with which every operation over so many nodes works. */
static inline size_t ronde_span_least(int nodes)
{
	return 64 * (17 * (size_t)nodes + 33);
}

/* Reducescatter: the ranks that share the rows, and which of them a member is. */
static inline int ronde_span_shares(const struct ronde_set_span *span)
{
	return span->shares ? span->size : ronde_span_total(span);
}

static inline int ronde_span_share(const struct ronde_set_span *span, int node, int member)
{
	return (span->shares ? span->shares : span->positions)[node][member];
}

/*
 * How many ranks of each node carry a slice over the network: as many as the smallest node has, so
 * that every slice has one carrier on each node. More on some would send no byte less.
 */
static inline int ronde_span_carriers(const struct ronde_set_span *span)
{
	int least = span->members[0];
	for (int k = 1; k < span->nodes; k++)
		least = span->members[k] < least ? span->members[k] : least;
	return least;
}

#endif

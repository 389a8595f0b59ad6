/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay: on the leader of each node, where there are several. Nodes are a tree with node 0 at
 * its root, whose leader decides for all; every relay has a link to its parent's and its
 * children's.
 *
 *   up     what its node's ranks announce, and that they have left an operation
 *   down   entries, each once over a link, however many ranks it is for
 *
 * To the ranks of its node a relay is what the leader is on a single node: it empties their
 * announce rings and fills their log rings. An entry that a rank's ring has no room for waits here.
 *
 * The end. Behind the entry of the shutdown nothing is announced any more; once the ranks of a node
 * and of those below it are down, its last parcel goes up; when the root has all of them the last
 * ones go down again, and the links are over.
 */
#ifndef RONDE_RELAY_H
#define RONDE_RELAY_H

#include "collectives/node.h"
#include "coordinator/link.h"
#include "coordinator/ring.h"

/* Children of a node at most. */
#define RONDE_RELAY_CHILDREN 8

struct ronde_relay;

/* What the relay of the root hands to the leader. Both return a status, and end the runtime of this
 * rank if it is not OK. */
struct ronde_relay_root {
	int (*heard)(void *arg, int rank, const void *record, size_t bytes);
	/* All ranks of one node have left; `end`: their counter. */
	int (*left)(void *arg, int lane, uint64_t end);
	void *arg;
};

/*
 * Opens the links. leaders[nodes]: global ranks of the nodes' leaders; the caller's, as node and
 * fabric. Not collective; the relays it has links to are opened too, or lost. Errors:
 * OUT_OF_MEMORY, PEER_LOST.
 */
int ronde_relay_open(struct ronde_relay **relay, struct ronde_node *node,
		     struct ronde_fabric *fabric, const int *leaders);
/* keep: see ronde_link_free(). NULL is fine. */
void ronde_relay_close(struct ronde_relay *relay, bool keep);
/* On node 0, before the first turn. */
void ronde_relay_set_root(struct ronde_relay *relay, const struct ronde_relay_root *root);

/* Parcels about stalls are passed on, down to every node and up to the root, and handed to this. A
 * status that is not OK ends the runtime of this rank. */
typedef int (*ronde_relay_stall_fn)(void *arg, const struct ronde_parcel *head,
				    const uint32_t *ranks, const void *body);
void ronde_relay_set_stalls(struct ronde_relay *relay, ronde_relay_stall_fn take, void *arg);
/* Puts one in, on its way to the root, or to all children. Errors: OUT_OF_MEMORY. */
int ronde_relay_put_up(struct ronde_relay *relay, const struct ronde_parcel *head,
		       const uint32_t *ranks, const void *body);
int ronde_relay_put_down(struct ronde_relay *relay, const struct ronde_parcel *head,
			 const void *body);

/* One look at everything. Behind ronde_fabric_progress(). *some is set if it did anything. Errors:
 * PEER_LOST, OUT_OF_MEMORY, INTERNAL, and those of the root's functions. */
int ronde_relay_turn(struct ronde_relay *relay, bool *some);
/* An answer is expected: from now on it looks often. */
bool ronde_relay_is_busy(const struct ronde_relay *relay);

/*
 * By the root's leader: an entry for ranks of other nodes, ascending (with RONDE_PARCEL_ABSENT if
 * they take no part). lane, base: of the operation they begin, -1 if there is none. Errors:
 * OUT_OF_MEMORY.
 */
int ronde_relay_send(struct ronde_relay *relay, const uint32_t *ranks, size_t n, const void *record,
		     size_t bytes, int lane, uint64_t base);

/* A rank is lost: tells the other nodes and the ranks of this one why, once. Errors: OUT_OF_MEMORY.
 */
int ronde_relay_tell_lost(struct ronde_relay *relay, int rank, const char *why);
/* It has, or has heard so from them. */
bool ronde_relay_has_told(const struct ronde_relay *relay);
/* All that it had to say has reached the next nodes. */
bool ronde_relay_is_flushed(const struct ronde_relay *relay);
/* The rank at the other end of the link that ended ronde_relay_turn() with an error; -1: none has.
 */
int ronde_relay_culprit(const struct ronde_relay *relay);

/* This rank has come to the end: true once its links are over. */
bool ronde_relay_is_over(const struct ronde_relay *relay);

#endif

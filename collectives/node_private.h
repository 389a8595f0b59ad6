/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of a node know of each other: node.c agrees with all ranks, node_layout.c numbers
 * them, node_places.c says where they are, node_arena.c makes the memory, node_pass.c and
 * node_lead.c pass it on, watcher.c waits for deaths.
 */
#ifndef RONDE_NODE_PRIVATE_H
#define RONDE_NODE_PRIVATE_H

#include "collectives/lifeline.h"
#include "collectives/node.h"

#define RONDE_NODE_TEXT 512

/* Arena of thread-ranks: one mapping, unmapped by the last to leave. In front of the arena. */
struct ronde_common_arena {
	_Atomic int users;
	size_t bytes; /* of the whole mapping */
};

struct ronde_node_private {
	bool threads; /* the ranks are threads of this process */
	void *arena;  /* this rank's mapping */
	size_t arena_bytes;
	struct ronde_common_arena *common; /* threads only */
	struct ronde_lifeline lifeline;    /* this process's own */
	int *life_fds; /* [local_size] readable or hung up once the process is gone; -1: own */
	char apart[RONDE_NODE_TEXT];
};

/* Numbers nodes and local ranks: ranks with equal group numbers are a node; nodes are numbered by
 * their lowest rank. Fills everything of *node from rank to local_of_rank; its arrays exist. */
void ronde_node_layout(struct ronde_node *node, const int *group);

/* Makes and formats the arena of node->local_size ranks, in priv->arena. *arena_fd: its file, where
 * it has to be passed to other processes; set even if a later step fails. */
int ronde_node_make_arena(struct ronde_node *node, const struct ronde_node_options *options,
			  int *arena_fd);

/* How a rank's part in an attempt to share memory went. */
struct ronde_verdict {
	int32_t status; /* not OK: init fails, everywhere */
	int32_t apart;  /* this rank can't share memory with its leader: a node of its own */
	char text[RONDE_NODE_TEXT];
};

/* The leader's socket. Its name and the token travel through the bootstrap. */
struct ronde_meeting {
	unsigned char name[16], token[16]; /* random */
};

/* The leader looks at the machine. Errors: CONFIGURATION, OUT_OF_MEMORY. */
int ronde_node_look(struct ronde_node *node, const struct ronde_node_options *options);
/* The leader puts a local rank's place into the arena. allowed: processors that it may run on.
 * Errors: CONFIGURATION. */
int ronde_node_place(struct ronde_node *node, const struct ronde_node_options *options,
		     int local_rank, const cpu_set_t *allowed);
/* Everybody, with all places in the arena: sets node->domains. Errors: OUT_OF_MEMORY. */
int ronde_node_group(struct ronde_node *node);

struct ronde_pass;

/* On the leader: makes the socket and a new meeting. On the others: copies the leader's. Both: of
 * an attempt. Negative: described. */
int ronde_pass_open(struct ronde_pass **pass, struct ronde_node *node,
		    struct ronde_meeting *meeting, double timeout_seconds);
void ronde_pass_close(struct ronde_pass *pass);
/* Others: connects to the leader and greets it. A leader that can't be reached is no error: apart.
 */
void ronde_pass_reach(struct ronde_pass *pass, const struct ronde_meeting *meeting, int heap_fd,
		      struct ronde_verdict *verdict);
/*
 * Everybody: gives the own heap and life descriptors, gets all others'; the leader's arena_fd goes
 * to the others. Fills node->heaps, priv->life_fds and, on the others, priv->arena. heap_bytes are
 * known.
 */
void ronde_pass_run(struct ronde_pass *pass, int arena_fd, int heap_fd,
		    struct ronde_verdict *verdict);

#endif

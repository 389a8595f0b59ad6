/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passing descriptors among the ranks of one machine. The leader listens on an abstract unix socket
 * with a random name; a rank that connects shows the random token and hands in its lifeline and its
 * heap. When all are there, the leader hands each rank the arena and everybody's lifelines and
 * heaps, in batches which the rank maps, closes and acknowledges, so that few descriptors are under
 * way at any time. Both ends check that the other belongs to the same user.
 */
#ifndef RONDE_NODE_PASS_H
#define RONDE_NODE_PASS_H

#include <sys/socket.h>
#include <sys/un.h>

#include "collectives/descriptors.h"
#include "collectives/node_private.h"

/* A rank's first message, with its lifeline and its heap. */
struct ronde_greeting {
	unsigned char token[16];
	int32_t rank;
};

/* The leader's messages: first one with the arena, then with lifeline and heap of rank after rank.
 */
struct ronde_batch {
	uint64_t arena_bytes;
};

#define RONDE_BATCH_RANKS (RONDE_DESCRIPTORS_MAX / 2)

struct ronde_pass {
	struct ronde_node *node;
	struct ronde_meeting meeting;
	double timeout, deadline;
	int socket;    /* leader: listening; others: to the leader, -1 until connected */
	bool greeted;  /* others */
	int *peers;    /* leader: [local_size] connections, -1: not yet */
	int *heap_fds; /* leader: [local_size] */
};

/* The leader's part of ronde_pass_run(). */
int ronde_pass_lead(struct ronde_pass *pass, int arena_fd, int heap_fd,
		    struct ronde_verdict *verdict);

/* Where the leader listens; returns the address's length. */
socklen_t ronde_pass_address(struct sockaddr_un *address, const struct ronde_meeting *meeting);
/* "rank 3" */
void ronde_pass_name(char name[32], int rank);
bool ronde_pass_same_user(int socket, uid_t *other);
/* Maps what came as a local rank's heap. False: the verdict says why this rank stays apart. */
bool ronde_pass_map_heap(struct ronde_node *node, int local, int fd, struct ronde_verdict *verdict);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A process set: the ranks that take part in an operation. Set 0 is all ranks. */
#ifndef RONDE_PROCESS_SET_H
#define RONDE_PROCESS_SET_H

#include "collectives/node.h"

struct ronde_process_set {
	uint32_t id;
	int size;   /* members in the whole job */
	int n;      /* members on this node */
	int me;     /* this rank's number among them */
	int *local; /* [n] their local ranks, ascending */
};

/* Set 0 of a node. Errors: OUT_OF_MEMORY. */
int ronde_process_set_global(struct ronde_process_set *set, const struct ronde_node *node);
void ronde_process_set_finish(struct ronde_process_set *set);

/* Member number of a local rank, or -1. */
int ronde_process_set_member(const struct ronde_process_set *set, int local_rank);

#endif

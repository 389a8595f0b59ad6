/* SPDX-License-Identifier: Apache-2.0 */
/* How many cores the ranks of a node share: what a waiting thread may burn. */
#ifndef RONDE_CORES_H
#define RONDE_CORES_H

#include <sched.h>
#include <stdint.h>

#include "collectives/bootstrap.h"
#include "collectives/node.h"

/*
 * Cores for this rank: those that the node's ranks may run on (the union of their affinity masks),
 * divided by their number; at most what is this rank's of a cpu quota, which it shares with the
 * ranks in the same control group. So of a container with 8 cores and 4 ranks each has 2, and of 4
 * containers with 2 cores each the one rank in each has 2. Collective over the bootstrap's world;
 * blocks.
 */
int ronde_cores_per_rank(struct ronde_bootstrap *bootstrap, const struct ronde_node *node,
			 double *cores);

#define RONDE_CORES_GROUPS 8

/* A control group with a cpu quota. */
struct ronde_cores_group {
	uint64_t id; /* the same for all who are in it, and below it */
	double quota;
};

/* What a rank says of itself. */
struct ronde_cores_report {
	cpu_set_t allowed; /* processors it may run on; of a core with two threads each is one */
	int ngroups;       /* the nearest ones that have a quota */
	struct ronde_cores_group groups[RONDE_CORES_GROUPS];
};

/* `root` goes in front of /proc and /sys: "" except in tests. */
void ronde_cores_look(const char *root, struct ronde_cores_report *mine);

/* Cores for local rank `me`, of what the node's ranks have said. */
double ronde_cores_share(const struct ronde_cores_report *of, int ranks, int me);

/* Cores that the tightest of a rank's groups allows all in it; 0: no limit, or not known. */
double ronde_cores_quota(const struct ronde_cores_report *of);

#endif

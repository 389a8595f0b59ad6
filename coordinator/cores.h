/* SPDX-License-Identifier: Apache-2.0 */
/* How many cores the ranks of a node share: what a waiting thread may burn. */
#ifndef RONDE_CORES_H
#define RONDE_CORES_H

#include <sched.h>

#include "collectives/bootstrap.h"
#include "collectives/node.h"

/*
 * Cores that this node's ranks may run on (the union of their affinity masks, at most the
 * container's cpu quota), divided by their number. Collective over the bootstrap's world; blocks.
 */
int ronde_cores_per_rank(struct ronde_bootstrap *bootstrap, const struct ronde_node *node,
			 double *cores);

/* What a rank says of itself. */
struct ronde_cores_report {
	cpu_set_t allowed; /* processors it may run on; of a core with two threads each is one */
};

/* The same, of what the node's ranks have said. quota: cores that the container allows all of them
 * together; 0: no limit. */
double ronde_cores_share(const struct ronde_cores_report *of, int ranks, double quota);

/* Cores that the cpu quotas of the control groups this process is in, and of those above them,
 * allow it; 0: no limit, or not known. `root` goes in front of /proc and /sys: "" except in tests.
 */
double ronde_cgroup_cores(const char *root);

#endif

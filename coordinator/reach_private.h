/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RONDE_REACH_PRIVATE_H
#define RONDE_REACH_PRIVATE_H

#include "collectives/fabric.h"
#include "coordinator/reach.h"

struct ronde_reach {
	struct ronde_node *node;
	struct ronde_fabric *fabric;
	struct ronde_relay *relay; /* by the node's leader */
	int *leaders;              /* [nodes] global ranks */
	double sleep;              /* the next one while nothing is expected */
	double noticed;            /* when a loss on another node was, or 0 */
	int crossing;              /* operations over nodes in flight */
	unsigned looks;
	bool failed; /* it has ended with an error */
};

#endif

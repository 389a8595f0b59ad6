/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the ranks of a node are. The leader alone looks at the machine, which takes milliseconds,
 * for every rank more where all do it at once; the others read in the arena what it has found.
 */
#include <stdlib.h>

#include "collectives/node_private.h"
#include "collectives/status.h"

int ronde_node_look(struct ronde_node *node, const struct ronde_node_options *options)
{
	const char *machine = options->machine ? options->machine : "";
	/* A rank alone needs no place; but a machine that cannot be read is a mistake everywhere.
	 */
	if (node->local_size == 1 && !*machine)
		return RONDE_OK;
	return ronde_topology_open(&node->topology, machine);
}

/* What a rank reads or writes for itself; nobody has touched it yet. */
static int bind_rings(struct ronde_node *node, int local_rank, int numa)
{
	const struct ronde_arena *arena = &node->arena;
	unsigned char *rings[] = {ronde_announce_ring(arena, local_rank),
				  ronde_log_ring(arena, local_rank)};
	int status = RONDE_OK;
	for (int i = 0; i < 2 && arena->shape.page && numa >= 0 && !status; i++)
		status = ronde_topology_bind_memory(node->topology, rings[i],
						    ronde_ring_stride(&arena->shape), numa);
	return status;
}

int ronde_node_place(struct ronde_node *node, const struct ronde_node_options *options,
		     int local_rank, const cpu_set_t *allowed)
{
	struct ronde_rank_block *block = &node->arena.ranks[local_rank];
	CPU_ZERO(&block->domain);
	block->place = RONDE_PLACE_UNKNOWN;
	if (!node->topology)
		return RONDE_OK;
	int status =
		ronde_topology_locate(node->topology, options->placement ? options->placement : "",
				      local_rank, allowed, &block->place);
	if (status)
		return status;
	ronde_topology_processors(node->topology, block->place.numa, &block->domain);
	return bind_rings(node, local_rank, block->place.numa);
}

/* Number of local rank l's group by one sort of object, packages or NUMA domains. */
static int group_of(const struct ronde_node *node, int l, bool packages)
{
	const struct ronde_place *place = &node->arena.ranks[l].place;
	return packages ? place->package : place->numa;
}

/* True if all are in a group, and not all in the same. */
static bool divides(const struct ronde_node *node, bool packages)
{
	bool several = false;
	for (int l = 0; l < node->local_size; l++) {
		if (group_of(node, l, packages) < 0)
			return false;
		several |= group_of(node, l, packages) != group_of(node, 0, packages);
	}
	return several;
}

int ronde_node_group(struct ronde_node *node)
{
	bool packages = divides(node, true);
	if (!packages && !divides(node, false))
		return RONDE_OK;
	node->domains = calloc((size_t)node->local_size, sizeof *node->domains);
	if (!node->domains)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for the node's ranks");
	for (int l = 0; l < node->local_size; l++)
		node->domains[l] = group_of(node, l, packages);
	return RONDE_OK;
}

bool ronde_node_crowded(const struct ronde_node *node, int *one, int *other)
{
	const struct ronde_rank_block *ranks = node->arena.ranks;
	bool several = false, found = false;
	for (int l = 0; l < node->local_size; l++)
		several |= ranks[l].place.core != ranks[0].place.core;
	for (int l = 1; several && l < node->local_size && !found; l++)
		for (int k = 0; k < l && !found; k++) {
			found = ranks[k].place.core >= 0 &&
				ranks[k].place.core == ranks[l].place.core;
			*one = k;
			*other = l;
		}
	return found;
}

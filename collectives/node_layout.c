/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "collectives/node_private.h"

/* Number of the node of each rank: 0, 1, … in the order of their lowest ranks. The lowest rank of a
 * group is found once per rank; worlds are small enough for the square of their size. */
static void number_nodes(struct ronde_node *node, const int *group)
{
	node->nodes = 0;
	for (int r = 0; r < node->size; r++) {
		int lowest = 0;
		while (group[lowest] != group[r])
			lowest++;
		node->node_of_rank[r] = lowest == r ? node->nodes++ : node->node_of_rank[lowest];
		int local = 0;
		for (int q = lowest; q < r; q++)
			local += group[q] == group[r];
		node->local_of_rank[r] = local;
	}
}

static void gather_own_node(struct ronde_node *node)
{
	node->node = node->node_of_rank[node->rank];
	node->local_rank = node->local_of_rank[node->rank];
	node->local_size = 0;
	for (int r = 0; r < node->size; r++)
		if (node->node_of_rank[r] == node->node)
			node->ranks[node->local_size++] = r;
}

void ronde_node_layout(struct ronde_node *node, const int *group)
{
	number_nodes(node, group);
	gather_own_node(node);
	/* Ranks with this one's local rank, over nodes; and whether every node ends at the same
	 * one.
	 */
	int before = 0, all = 0, ends = 0;
	for (int r = 0; r < node->size; r++) {
		if (node->local_of_rank[r] == node->local_rank) {
			before += node->node_of_rank[r] < node->node;
			all++;
		}
		ends += node->local_of_rank[r] == node->local_size - 1;
	}
	node->cross_rank = before;
	node->cross_size = all;
	/* As many as nodes have a last local rank like ours, and none has one more. */
	node->homogeneous = ends == node->nodes && node->size == node->nodes * node->local_size;
}

struct ronde_node *ronde_node_whole(const struct ronde_node *node)
{
	const size_t size = (size_t)node->size;
	struct ronde_node *whole = calloc(1, sizeof *whole);
	int *group = calloc(size, sizeof *group);
	if (whole) {
		whole->rank = node->rank;
		whole->size = node->size;
		whole->ranks = calloc(size, sizeof *whole->ranks);
		whole->node_of_rank = calloc(size, sizeof *whole->node_of_rank);
		whole->local_of_rank = calloc(size, sizeof *whole->local_of_rank);
	}
	if (group && whole && whole->ranks && whole->node_of_rank && whole->local_of_rank) {
		ronde_node_layout(whole, group);
	} else {
		ronde_node_forget_whole(whole);
		whole = NULL;
	}
	free(group);
	return whole;
}

void ronde_node_forget_whole(struct ronde_node *whole)
{
	if (!whole)
		return;
	free(whole->ranks);
	free(whole->node_of_rank);
	free(whole->local_of_rank);
	free(whole);
}

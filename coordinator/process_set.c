/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/process_set.h"

#include <stdio.h>
#include <stdlib.h>

#include "collectives/status.h"

static void set_free(struct ronde_process_set *set)
{
	free(set->ranks);
	free(set->local);
	free(set->number);
	free(set->member);
	free(set->leaf);
	free(set);
}

void ronde_process_set_release(struct ronde_process_set *set)
{
	if (--set->references == 0)
		set_free(set);
}

static void fill(struct ronde_process_set *set, const struct ronde_node *node, const int32_t *ranks)
{
	for (int i = 0; i < node->local_size; i++)
		set->member[i] = -1;
	for (int i = 0; i < set->size; i++) {
		int rank = ranks[i];
		set->ranks[i] = rank;
		if (node->node_of_rank[rank] != node->node)
			continue;
		int local = node->local_of_rank[rank];
		set->member[local] = set->n;
		set->number[set->n] = i;
		set->local[set->n++] = local;
	}
	set->me = set->member[node->local_rank];
	set->self = set->me < 0 ? -1 : set->number[set->me];
}

/* Nodes with members, and where on them each member is. False: no memory. */
static bool place(struct ronde_process_set *set, const struct ronde_node *places)
{
	int *members = calloc((size_t)places->nodes, sizeof *members), width = 1;
	if (!members)
		return false;
	for (int i = 0; i < set->size; i++) {
		int n = ++members[places->node_of_rank[set->ranks[i]]];
		set->nodes += n == 1;
		set->most = n > set->most ? n : set->most;
	}
	set->leaves = set->size;
	if (set->nodes == 1) {
		free(members);
		return true;
	}
	while (width < set->most)
		width *= 2;
	set->leaves = set->nodes * width;
	if ((set->leaf = calloc((size_t)set->size, sizeof *set->leaf))) {
		/* From here on: the next leaf of each node. */
		for (int k = 0, first = 0; k < places->nodes; k++) {
			bool some = members[k] != 0;
			members[k] = first;
			first += some ? width : 0;
		}
		for (int i = 0; i < set->size; i++)
			set->leaf[i] = members[places->node_of_rank[set->ranks[i]]]++;
	}
	free(members);
	return set->leaf != NULL;
}

int ronde_process_sets_add(struct ronde_process_sets *sets, const int32_t *ranks, size_t n,
			   struct ronde_process_set **made)
{
	struct ronde_process_set *set = calloc(1, sizeof *set);
	if (set) {
		set->ranks = calloc(n, sizeof *set->ranks);
		set->local = calloc(n, sizeof *set->local);
		set->number = calloc(n, sizeof *set->number);
		set->member = calloc((size_t)sets->node->local_size, sizeof *set->member);
	}
	bool made_it = set && set->ranks && set->local && set->number && set->member;
	if (made_it) {
		set->size = (int)n;
		set->references = 1;
		fill(set, sets->node, ranks);
		made_it = place(set, sets->places);
	}
	if (!made_it) {
		if (set)
			set_free(set);
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY,
				   "no memory for a process set of %zu ranks", n);
	}
	set->id = sets->next++;
	HASH_ADD(hh, sets->all, id, sizeof set->id, set);
	*made = set;
	return RONDE_OK;
}

int ronde_process_sets_init(struct ronde_process_sets *sets, const struct ronde_node *node,
			    const struct ronde_node *places)
{
	*sets = (struct ronde_process_sets){.node = node, .places = places};
	int32_t *ranks = calloc((size_t)node->size, sizeof *ranks);
	if (!ranks)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY,
				   "no memory for the process set of all ranks");
	for (int i = 0; i < node->size; i++)
		ranks[i] = i;
	int status = ronde_process_sets_add(sets, ranks, (size_t)node->size, &sets->world);
	free(ranks);
	return status;
}

void ronde_process_sets_finish(struct ronde_process_sets *sets)
{
	struct ronde_process_set *set, *next;
	HASH_ITER (hh, sets->all, set, next)
		ronde_process_sets_remove(sets, set);
}

struct ronde_process_set *ronde_process_sets_find(const struct ronde_process_sets *sets,
						  uint32_t id)
{
	struct ronde_process_set *set;
	if (id == 0)
		return sets->world;
	HASH_FIND(hh, sets->all, &id, sizeof id, set);
	return set;
}

void ronde_process_sets_remove(struct ronde_process_sets *sets, struct ronde_process_set *set)
{
	HASH_DEL(sets->all, set);
	ronde_process_set_release(set);
}

bool ronde_process_set_has(const struct ronde_process_set *set, int rank)
{
	return bsearch(&rank, set->ranks, (size_t)set->size, sizeof rank,
		       ronde_process_set_compare) != NULL;
}

int ronde_process_set_compare(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;
	return (x > y) - (x < y);
}

static bool same_ranks(const struct ronde_process_set *set, const int32_t *ranks, size_t n)
{
	return (size_t)set->size == n && memcmp(set->ranks, ranks, n * sizeof *ranks) == 0;
}

int ronde_process_sets_check(const struct ronde_process_sets *sets, const int32_t *ranks, size_t n)
{
	char text[512];
	int size = sets->node->size;
	if (n == 0)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT, "a process set of no ranks");
	ronde_process_set_text(ranks, n, text, sizeof text);
	for (size_t i = 0; i < n; i++) {
		if (ranks[i] < 0 || ranks[i] >= size)
			return ronde_error(
				RONDE_ERR_INVALID_ARGUMENT,
				"process set of ranks %s: %d is not a rank; allowed is 0 to %d",
				text, ranks[i], size - 1);
		if (i && ranks[i] == ranks[i - 1])
			return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
					   "process set of ranks %s: rank %d is given twice", text,
					   ranks[i]);
	}
	for (const struct ronde_process_set *set = sets->all; set; set = set->hh.next)
		if (same_ranks(set, ranks, n))
			return ronde_error(
				RONDE_ERR_INVALID_ARGUMENT,
				"process set of ranks %s: process set %u has the same ranks", text,
				set->id);
	return RONDE_OK;
}

void ronde_process_set_text(const int32_t *ranks, size_t n, char *text, size_t bytes)
{
	size_t used = 0;
	text[0] = 0;
	for (size_t i = 0; i < n && used < bytes;) {
		size_t last = i;
		while (last + 1 < n && ranks[last + 1] == ranks[last] + 1)
			last++;
		used += (size_t)snprintf(text + used, bytes - used, "%s%d", i ? ", " : "",
					 ranks[i]);
		if (last > i && used < bytes)
			used += (size_t)snprintf(text + used, bytes - used, "-%d", ranks[last]);
		i = last + 1;
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The span of an operation: who of its set is where, of those that take part. */
#include <stdlib.h>

#include "collectives/span.h"
#include "collectives/status.h"
#include "coordinator/context.h"
#include "coordinator/entry.h"
#include "coordinator/link.h"
#include "coordinator/reach_private.h"

/* A span, and the arrays it leads to; kept with the active for its next operation. */
struct ronde_crossing {
	struct ronde_set_span span;
	int nodes, size;                /* there is room for */
	int *members, *leaf;            /* [nodes] */
	int *next;                      /* [nodes] scratch */
	int *where;                     /* [nodes of the job] which of `nodes`, or -1 */
	const int **ranks, **positions; /* [nodes] */
	const int **shares;             /* [nodes] */
	int *all_ranks, *all_positions; /* [size] */
	int *all_shares, *numbers;      /* [size] member numbers, by node and by position */
	int64_t *rows;                  /* [2 * size] what an allgather hears */
	struct ronde_fabric_operation **flight;
};

void ronde_crossing_free(struct ronde_crossing *c)
{
	if (!c)
		return;
	free(c->members);
	free(c->leaf);
	free(c->next);
	free(c->where);
	free(c->ranks);
	free(c->positions);
	free(c->shares);
	free(c->all_ranks);
	free(c->all_positions);
	free(c->all_shares);
	free(c->numbers);
	free(c->rows);
	free(c->flight);
	free(c);
}

static struct ronde_crossing *make(int nodes, int size, int all_nodes)
{
	struct ronde_crossing *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	const size_t k = (size_t)nodes, n = (size_t)size;
	c->nodes = nodes;
	c->size = size;
	c->members = calloc(k, sizeof *c->members);
	c->leaf = calloc(k, sizeof *c->leaf);
	c->next = calloc(k, sizeof *c->next);
	c->where = calloc((size_t)all_nodes, sizeof *c->where);
	c->ranks = calloc(k, sizeof *c->ranks);
	c->positions = calloc(k, sizeof *c->positions);
	c->shares = calloc(k, sizeof *c->shares);
	c->all_ranks = calloc(n, sizeof *c->all_ranks);
	c->all_positions = calloc(n, sizeof *c->all_positions);
	c->all_shares = calloc(n, sizeof *c->all_shares);
	c->numbers = calloc(n, sizeof *c->numbers);
	c->rows = calloc(2 * n, sizeof *c->rows);
	c->flight = calloc(RONDE_SPAN_FLIGHT * k, sizeof *c->flight);
	if (c->members && c->leaf && c->next && c->where && c->ranks && c->positions && c->shares &&
	    c->all_ranks && c->all_positions && c->all_shares && c->numbers && c->rows && c->flight)
		return c;
	ronde_crossing_free(c);
	return NULL;
}

bool ronde_reach_prepare(struct ronde_reach *reach, struct ronde_active *a)
{
	const struct ronde_process_set *set = a->set;
	if (a->crossing && a->crossing->nodes >= set->nodes && a->crossing->size >= set->size)
		return true;
	ronde_crossing_free(a->crossing);
	a->crossing = make(set->nodes, set->size, reach->node->nodes);
	if (!a->crossing)
		ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for an operation over %d nodes",
			    set->nodes);
	return a->crossing != NULL;
}

/* where[]: which of the set's nodes each node is; members[]: how many of its ranks take part. */
static void count(struct ronde_crossing *c, const struct ronde_node *node,
		  const struct ronde_process_set *set, const struct ronde_entry_view *p)
{
	int leaves = 0;
	for (int k = 0; k < node->nodes; k++)
		c->where[k] = -1;
	for (int i = 0; i < set->size; i++)
		c->where[node->node_of_rank[set->ranks[i]]] = 0;
	for (int k = 0; k < node->nodes; k++)
		if (c->where[k] == 0) {
			c->where[k] = leaves;
			c->members[leaves++] = 0;
		}
	for (uint32_t i = 0, k = 0; i < (uint32_t)set->size; i++) {
		if (k < p->head->absent && p->absent[k] == i)
			k++;
		else
			c->members[c->where[node->node_of_rank[set->ranks[i]]]]++;
	}
	c->span.leaves = leaves;
}

/* Nodes of which nobody takes part drop out, and the others close up. */
static void close_up(struct ronde_crossing *c, const struct ronde_node *node)
{
	struct ronde_set_span *span = &c->span;
	for (int k = 0, first = 0; k < node->nodes; k++) {
		int leaf = c->where[k];
		if (leaf < 0 || c->members[leaf] == 0) {
			c->where[k] = -1;
			continue;
		}
		c->where[k] = span->nodes;
		c->leaf[span->nodes] = leaf;
		c->members[span->nodes] = c->members[leaf];
		c->ranks[span->nodes] = c->all_ranks + first;
		c->positions[span->nodes] = c->all_positions + first;
		c->shares[span->nodes] = c->all_shares + first;
		first += c->members[span->nodes];
		span->nodes++;
	}
}

/* Each node's ranks, and where they stand in the set. Returns how many there are. */
static int place(struct ronde_crossing *c, const struct ronde_node *node,
		 const struct ronde_process_set *set, const struct ronde_entry_view *p)
{
	int position = 0;
	for (int k = 0; k < c->span.nodes; k++)
		c->next[k] = (int)(c->ranks[k] - c->all_ranks);
	for (uint32_t i = 0, absent = 0; i < (uint32_t)set->size; i++) {
		if (absent < p->head->absent && p->absent[absent] == i) {
			absent++;
			continue;
		}
		int at = c->next[c->where[node->node_of_rank[set->ranks[i]]]]++;
		c->all_ranks[at] = set->ranks[i];
		c->all_shares[at] = (int)i;
		c->numbers[position] = (int)i;
		c->all_positions[at] = position++;
	}
	return position;
}

/* Which of its node's ranks the root is. */
static int find_root(const struct ronde_crossing *c, int node, int root)
{
	int m = 0;
	while (m + 1 < c->members[node] && c->ranks[node][m] != root)
		m++;
	return m;
}

void ronde_reach_fill(struct ronde_reach *reach, struct ronde_active *a,
		      const struct ronde_entry_view *p)
{
	struct ronde_crossing *c = a->crossing;
	struct ronde_set_span *span = &c->span;
	struct ronde_plan *plan = &a->operation.plan;
	const struct ronde_node *node = reach->node;
	*span = (struct ronde_set_span){.fabric = reach->fabric,
					.tag = RONDE_TAG_LANES +
					       (uint32_t)p->head->lane * RONDE_SPAN_TAGS,
					.members = c->members,
					.ranks = c->ranks,
					.positions = c->positions,
					.flight = c->flight};
	count(c, node, a->set, p);
	close_up(c, node);
	a->taking = place(c, node, a->set, p);
	a->numbers = p->head->absent ? c->numbers : NULL;
	span->shares = p->head->absent ? c->shares : NULL;
	span->size = a->set->size;
	span->node = c->where[node->node];
	span->leaf = span->nodes < span->leaves ? c->leaf : NULL;
	if (p->like.kind == RONDE_KIND_BROADCAST) {
		span->root_node = c->where[node->node_of_rank[p->like.root]];
		plan->root = find_root(c, span->root_node, p->like.root);
	}
	/* All ranks of the others have joined; rows of a reducescatter are shared out among all
	 * still. */
	if (span->nodes == 1 && p->like.kind != RONDE_KIND_REDUCESCATTER)
		return;
	plan->span = span;
	plan->wire_16bit = a->context->config.wire_16bit;
	if (p->like.kind == RONDE_KIND_ALLGATHER) {
		plan->received = c->rows;
		plan->begins = c->rows + a->set->size;
	}
}

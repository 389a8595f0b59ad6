/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/status.h"
#include "coordinator/relay_private.h"
#include "coordinator/wire.h"

static int parent_of(int node)
{
	return (node - 1) / RONDE_RELAY_CHILDREN;
}

/* Which of `of`'s children has the node in its subtree, or -1. */
static int child_towards(int of, int node)
{
	while (node > of && parent_of(node) != of)
		node = parent_of(node);
	return node > of ? node - of * RONDE_RELAY_CHILDREN - 1 : -1;
}

int ronde_relay_open(struct ronde_relay **relay, struct ronde_node *node,
		     struct ronde_fabric *fabric, const int *leaders)
{
	const int me = node->node;
	/* The longest parcel: an entry for all ranks. */
	size_t limit = ronde_parcel_bytes((size_t)node->size,
					  ronde_ring_limit(node->arena.shape.ring_cells));
	struct ronde_relay *r = calloc(1, sizeof *r);
	*relay = r;
	if (r)
		r->route = calloc((size_t)node->nodes, sizeof *r->route);
	if (!r || !r->route)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for a tree of %d nodes",
				   node->nodes);
	r->node = node;
	r->culprit = -1;
	int status = RONDE_OK;
	if (me) {
		status = ronde_relay_ranks_open(&r->ranks, node);
		if (!status)
			status = ronde_link_open(&r->parent, fabric, leaders[parent_of(me)], limit);
	}
	for (int k = 0; k < node->nodes; k++)
		r->route[k] = child_towards(me, k);
	for (int i = 0; !status && i < RONDE_RELAY_CHILDREN; i++) {
		int child = me * RONDE_RELAY_CHILDREN + 1 + i;
		if (child >= node->nodes)
			break;
		status = ronde_link_open(&r->children[r->nchildren++], fabric, leaders[child],
					 limit);
	}
	return status;
}

void ronde_relay_close(struct ronde_relay *r, bool keep)
{
	if (!r)
		return;
	ronde_link_free(&r->parent, keep);
	for (int i = 0; i < r->nchildren; i++)
		ronde_link_free(&r->children[i], keep);
	ronde_relay_ranks_close(&r->ranks);
	free(r->route);
	free(r);
}

void ronde_relay_set_root(struct ronde_relay *r, const struct ronde_relay_root *root)
{
	r->root = *root;
}

void ronde_relay_set_stalls(struct ronde_relay *r, ronde_relay_stall_fn take, void *arg)
{
	r->stalls = take;
	r->stalls_arg = arg;
}

static bool is_root(const struct ronde_relay *r)
{
	return r->node->node == 0;
}

/* ---- down ---- */

/* How many announcements an entry answers, to a rank that takes part. */
static int64_t answers(const void *record, size_t bytes)
{
	struct ronde_entry head;
	if (bytes < sizeof head) /* a brief one */
		return 1;
	memcpy(&head, record, sizeof head);
	return head.type == RONDE_ENTRY_DATA || head.type == RONDE_ENTRY_ERROR ? head.items : 1;
}

/* An entry for ranks of other nodes, or of this one: to each child those that it leads to. */
static int spread(struct ronde_relay *r, const uint32_t *list, size_t n,
		  const struct ronde_parcel *entry, const void *record)
{
	uint32_t *of_child[RONDE_RELAY_CHILDREN] = {NULL};
	uint32_t count[RONDE_RELAY_CHILDREN] = {0};
	const int *node_of_rank = r->node->node_of_rank;
	int status = RONDE_OK;
	for (size_t i = 0; i < n; i++) {
		int child = r->route[node_of_rank[list[i] & ~RONDE_PARCEL_ABSENT]];
		if (child >= 0)
			count[child]++;
	}
	for (int c = 0; !status && c < r->nchildren; c++) {
		struct ronde_parcel head = *entry;
		head.ranks = count[c];
		if (count[c])
			status = ronde_link_put(&r->children[c], &head, record, &of_child[c]);
	}
	for (size_t i = 0; !status && i < n; i++) {
		int child = r->route[node_of_rank[list[i] & ~RONDE_PARCEL_ABSENT]];
		if (child >= 0)
			*of_child[child]++ = list[i];
	}
	return status;
}

static void note(struct ronde_relay *r, const uint32_t *list, size_t n, const void *record,
		 size_t bytes)
{
	int64_t each = answers(record, bytes);
	for (size_t i = 0; i < n; i++)
		r->expected -= list[i] & RONDE_PARCEL_ABSENT ? 0 : each;
	r->closing |= *(const uint8_t *)record == RONDE_ENTRY_SHUTDOWN;
}

int ronde_relay_send(struct ronde_relay *r, const uint32_t *list, size_t n, const void *record,
		     size_t bytes, int lane, uint64_t base)
{
	const struct ronde_parcel head = {
		.type = RONDE_PARCEL_ENTRY, .bytes = (uint32_t)bytes, .lane = lane, .base = base};
	note(r, list, n, record, bytes);
	return spread(r, list, n, &head, record);
}

/* All ranks of this node in a list: they stand together only if ranks are numbered by node. */
static int give(struct ronde_relay *r, const uint32_t *list, size_t n,
		const struct ronde_parcel *head, const void *record)
{
	const struct ronde_entry *entry = record;
	int status = RONDE_OK;
	if (entry->type == RONDE_ENTRY_SHUTDOWN)
		atomic_store_explicit(&r->node->arena.header->closed, (uint32_t)entry->root + 1,
				      memory_order_seq_cst);
	for (size_t i = 0; !status && i < n; i++) {
		int rank = (int)(list[i] & ~RONDE_PARCEL_ABSENT);
		if (r->node->node_of_rank[rank] == r->node->node)
			status = ronde_relay_ranks_give(&r->ranks, &list[i], 1, record, head->bytes,
							head->lane, head->base);
	}
	return status;
}

/* ---- losses ---- */

static int put_lost(struct ronde_link *link, int rank, const char *why)
{
	const struct ronde_parcel head = {.type = RONDE_PARCEL_LOST,
					  .ranks = 1,
					  .bytes = (uint32_t)strlen(why) + 1,
					  .lane = -1};
	uint32_t *list;
	if (!link->fabric || link->said_end)
		return RONDE_OK;
	link->to_arrive = true;
	int status = ronde_link_put(link, &head, why, &list);
	if (!status)
		*list = (uint32_t)rank;
	return status;
}

int ronde_relay_tell_lost(struct ronde_relay *r, int rank, const char *why)
{
	if (r->told)
		return RONDE_OK;
	r->told = true;
	struct ronde_arena_header *header = r->node->arena.header;
	snprintf(header->why, sizeof header->why, "%s", why);
	atomic_store_explicit(&header->explained, (uint32_t)rank + 1, memory_order_release);
	int status = put_lost(&r->parent, rank, header->why);
	for (int i = 0; !status && i < r->nchildren; i++)
		status = put_lost(&r->children[i], rank, header->why);
	return status;
}

bool ronde_relay_has_told(const struct ronde_relay *r)
{
	return r->told;
}

int ronde_relay_culprit(const struct ronde_relay *r)
{
	return r->culprit;
}

static int hear_of_loss(struct ronde_relay *r, int rank, const char *why, size_t bytes)
{
	if (!bytes || why[bytes - 1])
		return RONDE_ERR_INTERNAL;
	int status = ronde_relay_tell_lost(r, rank, why);
	uint32_t nobody = 0;
	atomic_compare_exchange_strong(&r->node->arena.header->lost, &nobody, (uint32_t)rank + 1);
	for (int i = 0; i < r->node->local_size; i++)
		ronde_bell_ring(&r->node->arena, i);
	return status;
}

/* ---- parcels ---- */

int ronde_relay_put_up(struct ronde_relay *r, const struct ronde_parcel *head, const uint32_t *list,
		       const void *body)
{
	uint32_t *copy;
	if (r->parent.said_end)
		return RONDE_OK;
	int status = ronde_link_put(&r->parent, head, body, &copy);
	if (!status && head->ranks)
		memcpy(copy, list, head->ranks * sizeof *copy);
	return status;
}

int ronde_relay_put_down(struct ronde_relay *r, const struct ronde_parcel *head, const void *body)
{
	int status = RONDE_OK;
	for (int i = 0; !status && i < r->nchildren; i++) {
		struct ronde_link *child = &r->children[i];
		child->to_arrive |= head->type == RONDE_PARCEL_ENDED;
		if (!child->said_end)
			status = ronde_link_put(child, head, body, NULL);
	}
	return status;
}

static int take_stall(struct ronde_relay *r, bool from_above, const struct ronde_parcel *head,
		      const uint32_t *list, const void *body)
{
	const bool down = head->type == RONDE_PARCEL_ASK || head->type == RONDE_PARCEL_ENDED;
	if (down != from_above || head->ranks != (down ? 0 : 1))
		return RONDE_ERR_INTERNAL;
	if (!down && !is_root(r))
		return ronde_relay_put_up(r, head, list, body);
	int status = down ? ronde_relay_put_down(r, head, body) : RONDE_OK;
	return status || !r->stalls ? status : r->stalls(r->stalls_arg, head, list, body);
}

static bool good_ranks(const struct ronde_relay *r, const uint32_t *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((list[i] & ~RONDE_PARCEL_ABSENT) >= (uint32_t)r->node->size)
			return false;
	return true;
}

static int take_up(struct ronde_relay *r, const struct ronde_parcel *head, const uint32_t *list,
		   const void *body)
{
	if (head->type == RONDE_PARCEL_HEARD && head->ranks != 1)
		return RONDE_ERR_INTERNAL;
	r->expected += head->type == RONDE_PARCEL_HEARD;
	if (is_root(r))
		return head->type == RONDE_PARCEL_HEARD
			       ? r->root.heard(r->root.arg, (int)*list, body, head->bytes)
			       : r->root.left(r->root.arg, head->lane, head->base);
	return ronde_relay_put_up(r, head, list, body);
}

static int take_down(struct ronde_relay *r, const struct ronde_parcel *head, const uint32_t *list,
		     const void *body)
{
	if (head->bytes < sizeof(struct ronde_brief) ||
	    head->lane >= (int)r->node->arena.shape.lanes)
		return RONDE_ERR_INTERNAL;
	note(r, list, head->ranks, body, head->bytes);
	int status = give(r, list, head->ranks, head, body);
	return status ? status : spread(r, list, head->ranks, head, body);
}

static int take(void *arg, struct ronde_link *link, const struct ronde_parcel *head,
		const uint32_t *list, const void *body)
{
	struct ronde_relay *r = arg;
	const bool from_above = link == &r->parent;
	int status = RONDE_OK;
	if (!good_ranks(r, list, head->ranks))
		return RONDE_ERR_INTERNAL;
	switch ((enum ronde_parcel_type)head->type) {
	case RONDE_PARCEL_HEARD:
	case RONDE_PARCEL_LEFT:
		return from_above ? RONDE_ERR_INTERNAL : take_up(r, head, list, body);
	case RONDE_PARCEL_ENTRY:
		return from_above ? take_down(r, head, list, body) : RONDE_ERR_INTERNAL;
	case RONDE_PARCEL_LOST:
		return head->ranks == 1 ? hear_of_loss(r, (int)*list, body, head->bytes)
					: RONDE_ERR_INTERNAL;
	case RONDE_PARCEL_END:
		for (int i = 0; from_above && !status && i < r->nchildren; i++)
			status = ronde_link_end(&r->children[i]);
		return status;
	case RONDE_PARCEL_ASK:
	case RONDE_PARCEL_ENDED:
	case RONDE_PARCEL_WAITS:
	case RONDE_PARCEL_BOARD:
	case RONDE_PARCEL_SILENT:
		return take_stall(r, from_above, head, list, body);
	}
	return RONDE_ERR_INTERNAL;
}

/* ---- the turn ---- */

/* The ranks of this node and of those below are down. */
static bool all_down(const struct ronde_relay *r)
{
	const struct ronde_node *node = r->node;
	for (int i = 0; i < r->nchildren; i++)
		if (!r->children[i].heard_end)
			return false;
	for (int i = 0; i < node->local_size; i++)
		if (atomic_load_explicit(&node->arena.ranks[i].life, memory_order_seq_cst) <
		    RONDE_LIFE_DOWN)
			return false;
	return true;
}

static int close_down(struct ronde_relay *r)
{
	int status = RONDE_OK;
	bool said = is_root(r) ? r->nchildren && r->children[0].said_end : r->parent.said_end;
	if (!r->closing || said || !all_down(r))
		return RONDE_OK;
	if (!is_root(r))
		return ronde_link_end(&r->parent);
	for (int i = 0; !status && i < r->nchildren; i++)
		status = ronde_link_end(&r->children[i]);
	return status;
}

static int turn(struct ronde_relay *r, struct ronde_link *link, bool *some)
{
	int status = link->broken ? RONDE_OK : ronde_link_turn(link, take, r, some);
	if (status) {
		link->broken = true;
		r->culprit = r->culprit < 0 ? link->peer : r->culprit;
	}
	return status;
}

int ronde_relay_turn(struct ronde_relay *r, bool *some)
{
	int status = RONDE_OK;
	if (!is_root(r) && !r->parent.said_end)
		status = ronde_relay_ranks_turn(&r->ranks, &r->parent, r->closing, &r->expected,
						some);
	if (!status)
		status = close_down(r);
	/* The other links go on when one breaks: they have to hear of that. */
	for (int i = 0; i < r->nchildren; i++) {
		int ended = turn(r, &r->children[i], some);
		status = status ? status : ended;
	}
	if (!is_root(r)) {
		int ended = turn(r, &r->parent, some);
		status = status ? status : ended;
	}
	return status;
}

bool ronde_relay_is_busy(const struct ronde_relay *r)
{
	return r->expected > 0 || r->ranks.watched || r->closing;
}

bool ronde_relay_is_flushed(const struct ronde_relay *r)
{
	for (int i = 0; i < r->nchildren; i++)
		if (!ronde_link_is_flushed(&r->children[i]))
			return false;
	return is_root(r) || ronde_link_is_flushed(&r->parent);
}

bool ronde_relay_is_over(const struct ronde_relay *r)
{
	for (int i = 0; i < r->nchildren; i++)
		if (!ronde_link_is_over(&r->children[i]))
			return false;
	return is_root(r) || ronde_link_is_over(&r->parent);
}

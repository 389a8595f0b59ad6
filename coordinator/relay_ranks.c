/* SPDX-License-Identifier: Apache-2.0 */
/* What a relay is to the ranks of its node: it reads their announcements and writes their logs. */
#include <stdlib.h>
#include <string.h>

#include "collectives/status.h"
#include "coordinator/relay_private.h"
#include "coordinator/wire.h"

static int no_memory(void)
{
	return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for entries of a node's ranks");
}

int ronde_relay_ranks_open(struct ronde_relay_ranks *r, struct ronde_node *node)
{
	const struct ronde_arena *arena = &node->arena;
	const uint32_t cells = arena->shape.ring_cells;
	const size_t n = (size_t)node->local_size, lanes = arena->shape.lanes;
	*r = (struct ronde_relay_ranks){.node = node};
	r->announce = calloc(n, sizeof *r->announce);
	r->log = calloc(n, sizeof *r->log);
	r->backlogs = calloc(n, sizeof *r->backlogs);
	r->watches = calloc(lanes, sizeof *r->watches);
	if (!r->announce || !r->log || !r->backlogs || !r->watches)
		return no_memory();
	for (size_t i = 0; i < lanes; i++)
		if (!(r->watches[i].local = calloc(n, sizeof *r->watches[i].local)))
			return no_memory();
	for (size_t i = 0; i < n; i++) {
		ronde_ring_consumer_init(&r->announce[i], ronde_announce_ring(arena, (int)i),
					 cells);
		ronde_ring_producer_init(&r->log[i], ronde_log_ring(arena, (int)i), cells);
	}
	return RONDE_OK;
}

void ronde_relay_ranks_close(struct ronde_relay_ranks *r)
{
	if (!r->node)
		return;
	for (int i = 0; r->backlogs && i < r->node->local_size; i++)
		free(r->backlogs[i].data);
	for (uint32_t i = 0; r->watches && i < r->node->arena.shape.lanes; i++)
		free(r->watches[i].local);
	free(r->announce);
	free(r->log);
	free(r->backlogs);
	free(r->watches);
}

/* ---- entries ---- */

static int keep(struct ronde_relay_backlog *b, const void *record, uint64_t bytes)
{
	size_t more = sizeof bytes + ronde_wire_pad(bytes);
	if (b->first == b->end)
		b->first = b->end = 0;
	if (b->room - b->end < more) {
		size_t room = 2 * (b->end + more);
		unsigned char *data = realloc(b->data, room);
		if (!data)
			return no_memory();
		b->data = data;
		b->room = room;
	}
	memcpy(b->data + b->end, &bytes, sizeof bytes);
	memcpy(b->data + b->end + sizeof bytes, record, bytes);
	b->end += more;
	return RONDE_OK;
}

/* False: the ring has no room. */
static bool write_log(struct ronde_relay_ranks *r, int local, const void *record, size_t bytes)
{
	void *room = ronde_ring_reserve(&r->log[local], bytes);
	if (!room)
		return false;
	memcpy(room, record, bytes);
	ronde_ring_publish(&r->log[local]);
	if (*(const uint8_t *)record == RONDE_ENTRY_SHUTDOWN)
		ronde_bell_ring(&r->node->arena, local);
	else if (local != r->node->local_rank)
		ronde_bell_touch(&r->node->arena, local, RONDE_PARKED_ENTRY);
	return true;
}

static bool flush(struct ronde_relay_ranks *r, int local)
{
	struct ronde_relay_backlog *b = &r->backlogs[local];
	bool some = false;
	while (b->first < b->end) {
		uint64_t bytes;
		memcpy(&bytes, b->data + b->first, sizeof bytes);
		if (!write_log(r, local, b->data + b->first + sizeof bytes, bytes))
			break;
		b->first += sizeof bytes + ronde_wire_pad(bytes);
		some = true;
	}
	return some;
}

int ronde_relay_ranks_give(struct ronde_relay_ranks *r, const uint32_t *list, size_t n,
			   const void *record, size_t bytes, int lane, uint64_t base)
{
	struct ronde_relay_watch *w = lane >= 0 ? &r->watches[lane] : NULL;
	for (size_t i = 0; i < n; i++) {
		int local = r->node->local_of_rank[list[i] & ~RONDE_PARCEL_ABSENT];
		struct ronde_relay_backlog *b = &r->backlogs[local];
		if (w && !(list[i] & RONDE_PARCEL_ABSENT)) {
			r->watched += w->n == 0;
			w->base = base;
			w->local[w->n++] = local;
		}
		if (b->first == b->end && write_log(r, local, record, bytes))
			continue;
		int status = keep(b, record, bytes);
		if (status)
			return status;
	}
	return RONDE_OK;
}

/* ---- announcements, and ends of operations ---- */

static int pass_announcements(struct ronde_relay_ranks *r, struct ronde_link *up, int local,
			      int64_t *heard)
{
	const void *record;
	size_t bytes;
	while ((record = ronde_ring_peek(&r->announce[local], &bytes))) {
		/* After a loss a shutdown is nothing that the others have to hear of. */
		if (*(const uint8_t *)record == RONDE_ANNOUNCE_SHUTDOWN &&
		    atomic_load_explicit(&r->node->arena.header->lost, memory_order_acquire))
			return RONDE_OK;
		const struct ronde_parcel head = {.type = RONDE_PARCEL_HEARD,
						  .ranks = 1,
						  .bytes = (uint32_t)bytes,
						  .lane = -1};
		uint32_t *rank;
		int status = ronde_link_put(up, &head, record, &rank);
		if (status)
			return status;
		*rank = (uint32_t)r->node->ranks[local];
		++*heard;
		if (ronde_ring_consume(&r->announce[local]))
			ronde_bell_touch(&r->node->arena, local, RONDE_PARKED_ENTRY);
	}
	return RONDE_OK;
}

static int tell_left(struct ronde_relay_ranks *r, struct ronde_link *up, int lane)
{
	struct ronde_relay_watch *w = &r->watches[lane];
	struct ronde_parcel head = {.type = RONDE_PARCEL_LEFT, .lane = lane};
	for (int i = 0; i < w->n; i++) {
		uint64_t left = atomic_load_explicit(
			&ronde_lane_cell(&r->node->arena, lane, w->local[i])->left,
			memory_order_seq_cst);
		if (left <= w->base)
			return RONDE_OK;
		head.base = left > head.base ? left : head.base;
	}
	w->n = 0;
	r->watched--;
	return ronde_link_put(up, &head, NULL, NULL);
}

int ronde_relay_ranks_turn(struct ronde_relay_ranks *r, struct ronde_link *up, bool closing,
			   int64_t *heard, bool *some)
{
	int status = RONDE_OK;
	uint64_t before = up->parcels;
	for (int i = 0; !status && i < r->node->local_size; i++) {
		*some |= flush(r, i);
		if (!closing)
			status = pass_announcements(r, up, i, heard);
	}
	for (int i = 0; !status && r->watched && i < (int)r->node->arena.shape.lanes; i++)
		if (r->watches[i].n && !closing)
			status = tell_left(r, up, i);
	*some |= up->parcels != before;
	return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/ring.h"

struct record {
	_Atomic uint32_t lap;
	uint32_t bytes; /* of the body; FILLER: skip to the ring's start */
};

#define FILLER UINT32_MAX
/* Of a record's beginning, once it is seen. */
#define PREFETCH_BYTES 1024

_Static_assert(sizeof(struct record) == RONDE_RING_HEADER, "a record's head is its body's offset");

static struct record *record_at(unsigned char *cells, uint32_t count, uint64_t position)
{
	return (struct record *)(void *)(cells + (position & (count - 1)) * RONDE_CELL_BYTES);
}

/* Never 0, which is what fresh and cleared cells hold. */
static uint32_t lap_of(uint32_t count, uint64_t position)
{
	uint32_t lap = (uint32_t)(position / count) + 1;
	return lap ? lap : 1;
}

static uint64_t cells_for(size_t bytes)
{
	return (bytes + RONDE_RING_HEADER + RONDE_CELL_BYTES - 1) / RONDE_CELL_BYTES;
}

static _Atomic uint64_t *consumed_word(unsigned char *ring, uint32_t cells)
{
	return (_Atomic uint64_t *)(void *)(ring + (size_t)cells * RONDE_CELL_BYTES);
}

void ronde_ring_producer_init(struct ronde_ring_producer *p, unsigned char *ring, uint32_t cells)
{
	*p = (struct ronde_ring_producer){
		.cells = ring, .count = cells, .consumed = consumed_word(ring, cells)};
}

void ronde_ring_consumer_init(struct ronde_ring_consumer *c, unsigned char *ring, uint32_t cells)
{
	*c = (struct ronde_ring_consumer){
		.cells = ring, .count = cells, .consumed = consumed_word(ring, cells)};
}

/* Cells that a filler in front of a record of n cells would take. */
static uint64_t filler_cells(const struct ronde_ring_producer *p, uint64_t n)
{
	uint64_t rest = p->count - (p->head & (p->count - 1));
	return n > rest ? rest : 0;
}

bool ronde_ring_has_room(struct ronde_ring_producer *p, size_t bytes)
{
	uint64_t n = cells_for(bytes);
	/* One cell stays free: its word is cleared for the record after this one. */
	uint64_t want = p->head + filler_cells(p, n) + n + 1;
	if (want - p->seen_consumed <= p->count)
		return true;
	/* Sequentially consistent, as in ronde_ring_peek(). */
	p->seen_consumed = atomic_load_explicit(p->consumed, memory_order_seq_cst);
	return want - p->seen_consumed <= p->count;
}

static void publish(struct ronde_ring_producer *p, uint64_t cells, uint32_t bytes)
{
	struct record *r = record_at(p->cells, p->count, p->head);
	struct record *next = record_at(p->cells, p->count, p->head + cells);
	r->bytes = bytes;
	atomic_store_explicit(&next->lap, 0, memory_order_relaxed);
	atomic_store_explicit(&r->lap, lap_of(p->count, p->head), memory_order_seq_cst);
	p->head += cells;
}

void *ronde_ring_reserve(struct ronde_ring_producer *p, size_t bytes)
{
	if (!ronde_ring_has_room(p, bytes))
		return NULL;
	uint64_t n = cells_for(bytes);
	uint64_t filler = filler_cells(p, n);
	if (filler)
		publish(p, filler, FILLER);
	p->reserved = bytes;
	return (unsigned char *)record_at(p->cells, p->count, p->head) + RONDE_RING_HEADER;
}

void ronde_ring_publish(struct ronde_ring_producer *p)
{
	publish(p, cells_for(p->reserved), (uint32_t)p->reserved);
}

/* The other process's cache has these lines: fetched one by one, as they are read, each is waited
 * for. */
static void prefetch_rest(const unsigned char *record, size_t bytes)
{
	size_t end = bytes + RONDE_RING_HEADER;
	if (end > PREFETCH_BYTES)
		end = PREFETCH_BYTES;
	for (size_t at = RONDE_CELL_BYTES; at < end; at += RONDE_CELL_BYTES)
		__builtin_prefetch(record + at);
}

const void *ronde_ring_peek(struct ronde_ring_consumer *c, size_t *bytes)
{
	for (;;) {
		struct record *r = record_at(c->cells, c->count, c->tail);
		/* Sequentially consistent: looking again after parking must not see an older state.
		 */
		if (atomic_load_explicit(&r->lap, memory_order_seq_cst) !=
		    lap_of(c->count, c->tail))
			return NULL;
		if (r->bytes != FILLER) {
			*bytes = r->bytes;
			prefetch_rest((const unsigned char *)r, r->bytes);
			return (const unsigned char *)r + RONDE_RING_HEADER;
		}
		c->tail += c->count - (c->tail & (c->count - 1));
	}
}

bool ronde_ring_consume(struct ronde_ring_consumer *c)
{
	struct record *r = record_at(c->cells, c->count, c->tail);
	c->tail += cells_for(r->bytes);
	if (c->tail - c->last_touch < c->count / 4) {
		/* Nobody is woken for this, so nobody's looking again has to see it. */
		atomic_store_explicit(c->consumed, c->tail, memory_order_release);
		return false;
	}
	atomic_store_explicit(c->consumed, c->tail, memory_order_seq_cst);
	c->last_touch = c->tail;
	return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring of records in shared memory with one producer and one consumer: a rank's announcements to
 * its leader, and the leader's log entries to a rank, go through one of these each.
 *
 * A record takes whole, adjacent cells of 64 bytes. Its first word is the lap number of its place,
 * written last; so a consumer polls one word, and finds the start of the record behind it in the
 * same cache line. Before a record is published the producer clears the word of the cell that
 * follows it, because that cell may hold any bytes of an older record's body. A record that would
 * run over the end of the ring is preceded by a filler.
 *
 * Neither side blocks. Both are used under a lock of their own process (or by one thread).
 */
#ifndef RONDE_RING_H
#define RONDE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collectives/arena.h"

/* Bytes in front of a record's body. */
#define RONDE_RING_HEADER 8

struct ronde_ring_producer {
	unsigned char *cells;
	_Atomic uint64_t *consumed;
	uint32_t count;
	uint64_t head; /* cells written since the beginning */
	uint64_t
		seen_consumed; /* last value read from *consumed: the reader's line is left alone */
	size_t reserved;       /* bytes of the record being written */
};

struct ronde_ring_consumer {
	unsigned char *cells;
	_Atomic uint64_t *consumed;
	uint32_t count;
	uint64_t tail;       /* cells read */
	uint64_t last_touch; /* see ronde_ring_consume() */
};

void ronde_ring_producer_init(struct ronde_ring_producer *p, unsigned char *ring, uint32_t cells);
void ronde_ring_consumer_init(struct ronde_ring_consumer *c, unsigned char *ring, uint32_t cells);

/* Largest body a record of a ring of so many cells can have: a quarter of the ring. */
static inline size_t ronde_ring_limit(uint32_t cells)
{
	return (size_t)cells / 4 * RONDE_CELL_BYTES - RONDE_RING_HEADER;
}

/* True if a record with a body of so many bytes can be reserved now. */
bool ronde_ring_has_room(struct ronde_ring_producer *p, size_t bytes);

/* Memory for a body of `bytes` bytes (8-byte aligned), or NULL if there is no room now. */
void *ronde_ring_reserve(struct ronde_ring_producer *p, size_t bytes);

/* Makes the reserved record visible: a sequentially consistent store, so that a bell may be touched
 * after it. */
void ronde_ring_publish(struct ronde_ring_producer *p);

/* The next record's body and its size, or NULL. It stays in place until it is consumed. */
const void *ronde_ring_peek(struct ronde_ring_consumer *c, size_t *bytes);

/*
 * Frees the record last peeked at. True once in every quarter of the ring: the producer may wait
 * for room, touch its bell.
 */
bool ronde_ring_consume(struct ronde_ring_consumer *c);

#endif

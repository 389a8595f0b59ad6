/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heap's address space, cut into spans: runs of 64 KiB granules, each free, or one large
 * object, or a slab of small objects of one size.
 *
 * A map leads from a granule to its span's record in one load, and from there an object is found
 * without a search. Free spans are in lists by length and join up with free neighbours. Address
 * space is plentiful (the file behind it is sparse), so what counts here is speed; memory is given
 * back by the page, in heap.c.
 *
 * ronde_span_at() may run at any time in any thread; everything else wants the heap's lock.
 * That is safe because records are never freed before the heap is, and one is only ever reused for
 * the same kind of span: whatever a late reader finds, its objects are where it looks for them.
 */
#ifndef RONDE_HEAP_SPANS_H
#define RONDE_HEAP_SPANS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RONDE_GRANULE_SHIFT 16
#define RONDE_GRANULE ((size_t)1 << RONDE_GRANULE_SHIFT)

/* Small objects have sizes of four steps to a power of two, multiples of 64, up to this. */
#define RONDE_SMALL_LIMIT ((size_t)16 << 10)
#define RONDE_SMALL_CLASSES 28

enum { RONDE_SPAN_FREE = 0, RONDE_SPAN_LARGE = 1, RONDE_SPAN_SLAB = 2 /* + size class */ };
#define RONDE_SPAN_KINDS (RONDE_SPAN_SLAB + RONDE_SMALL_CLASSES)

/* What ronde_alloc() gives out. */
enum { RONDE_OBJECT_DEAD = 0, RONDE_OBJECT_LIVE = 1 };
struct ronde_object {
	_Atomic uint32_t state; /* RONDE_OBJECT_DEAD, or LIVE + number of holds */
	uint32_t next_free;     /* slab: in the list of freed objects */
	_Atomic uint64_t bytes; /* as asked for */
};

struct ronde_span {
	/* Fixed when the record is made. */
	int kind;
	uint32_t capacity;   /* objects that fit */
	uint32_t stride;     /* slab: bytes from one object to the next; else 0 */
	uint32_t reciprocal; /* slab: 2^32 / stride, rounded up; else 0: every offset is object 0 */

	_Atomic uint64_t start; /* offset in the heap */
	uint64_t granules;
	struct ronde_span *next, *previous; /* free, or a slab with room: in its list */
	struct ronde_span *all;             /* every record, for destroy */
	struct ronde_span
		*reserve; /* in use: the record to become free by, so that freeing can't fail
			   */

	/* Slab. */
	uint32_t used;
	uint32_t first_free;     /* list of freed objects: index + 1, 0: none */
	uint32_t fresh;          /* objects from here on were never used */
	uint16_t page_users[16]; /* live objects that touch each page */

	struct ronde_object objects[];
};

struct ronde_spans;

/* The size class of a small object and, of a class, the size. */
int ronde_small_class(size_t bytes);
size_t ronde_small_size(int size_class);

/* Address space of `granules` granules, all free. ERR_OUT_OF_MEMORY, described. */
int ronde_spans_create(struct ronde_spans **spans, uint64_t granules);
void ronde_spans_destroy(struct ronde_spans *spans);

/*
 * Takes a run of granules for a span of this kind, at a multiple of align_granules (a power of two)
 * where the space left allows it; its objects are dead. NULL: no run of that length is free, or no
 * memory for the record (then *no_record is true).
 */
struct ronde_span *ronde_span_take(struct ronde_spans *spans, int kind, uint64_t granules,
				   uint64_t align_granules, bool *no_record);
/* Gives a span back, all its objects dead. */
void ronde_span_give(struct ronde_spans *spans, struct ronde_span *span);

/* Granules that are free in all, and in the longest run. For error texts. */
void ronde_spans_room(const struct ronde_spans *spans, uint64_t *total, uint64_t *longest);

/* The record the map has for an offset, NULL if none; it may be one of an earlier span there. */
struct ronde_span *ronde_span_at(const struct ronde_spans *spans, uint64_t offset);

static inline uint32_t ronde_object_index(const struct ronde_span *span, uint64_t offset)
{
	return (uint32_t)((offset & (RONDE_GRANULE - 1)) * span->reciprocal >> 32);
}

static inline uint64_t ronde_object_start(const struct ronde_span *span, uint32_t index)
{
	return atomic_load_explicit(&span->start, memory_order_relaxed) +
	       (uint64_t)index * span->stride;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of the heap: heap.c makes it and finds allocations, heap_alloc.c allocates and frees,
 * heap_slab.c serves small objects, heap_spans.c keeps the address space.
 */
#ifndef RONDE_HEAP_PRIVATE_H
#define RONDE_HEAP_PRIVATE_H

#include <pthread.h>

#include "collectives/heap.h"
#include "collectives/heap_spans.h"
#include "collectives/memory_file.h"

struct ronde_heap {
	int fd;
	unsigned char *base;
	size_t reserve, page;
	/* 1 here, 0 in a forked child, whose copy of the lists below is out of date at once. */
	unsigned char *owned;

	pthread_mutex_t lock; /* everything below; never held during a large populate or punch */
	struct ronde_spans *spans;
	struct ronde_span *slabs[RONDE_SMALL_CLASSES]; /* those with room */
	size_t unasked; /* bytes handed out since the system was asked how much there is */
};

/* The heap's offset of an address; beyond the reserve if it is not in the heap. */
static inline uint64_t ronde_heap_offset(const struct ronde_heap *h, const void *memory)
{
	return (uint64_t)((uintptr_t)memory - (uintptr_t)h->base);
}

static inline int ronde_heap_populate(struct ronde_heap *h, uint64_t offset, size_t bytes)
{
	return ronde_memory_file_populate(h->fd, offset, h->base + offset, bytes);
}

static inline void ronde_heap_punch(struct ronde_heap *h, uint64_t offset, size_t bytes)
{
	ronde_memory_file_punch(h->fd, offset, h->base + offset, bytes);
}

/* A live object, as it was at one moment. */
struct ronde_found {
	struct ronde_span *span;
	struct ronde_object *object;
	uint32_t index, state;
	uint64_t start, bytes;
};

/* The object that would stand at the offset, and whether it is alive and the offset within it. */
static inline bool ronde_heap_look(const struct ronde_heap *h, uint64_t offset,
				   struct ronde_found *f)
{
	if (offset >= h->reserve)
		return false;
	f->span = ronde_span_at(h->spans, offset);
	if (!f->span)
		return false;
	f->index = ronde_object_index(f->span, offset);
	f->object = &f->span->objects[f->index];
	f->state = atomic_load_explicit(&f->object->state, memory_order_acquire);
	f->start = ronde_object_start(f->span, f->index);
	f->bytes = atomic_load_explicit(&f->object->bytes, memory_order_relaxed);
	return f->state != RONDE_OBJECT_DEAD && offset - f->start <= f->bytes;
}

/*
 * Small objects; with the lock held. take: a place in a slab of this class, with memory. Returns 0
 * or an errno; NULL in *slab: no span (*no_record as of ronde_span_take()).
 */
int ronde_slab_take(struct ronde_heap *heap, int size_class, struct ronde_span **slab,
		    uint32_t *index, bool *no_record);
void ronde_slab_put(struct ronde_heap *heap, struct ronde_span *slab, uint32_t index);

#endif

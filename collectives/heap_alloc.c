/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "collectives/heap_private.h"
#include "collectives/memory_room.h"
#include "collectives/status.h"

/* The system is asked how much memory there is once for so many bytes handed out: asking takes
 * longer than a small allocation. */
#define ROOM_STRIDE ((size_t)1 << 20)

static size_t round_up(size_t bytes, size_t to)
{
	return (bytes + to - 1) & ~(to - 1);
}

/* ---- allocating ---- */

static bool owned_here(const struct ronde_heap *h, const char *call)
{
	if (*h->owned)
		return true;
	ronde_error(RONDE_ERR_INVALID_ARGUMENT,
		    "%s in a process forked from a rank: the heap is the rank's. A child may read "
		    "and write what was allocated before the fork, and allocates its own memory by "
		    "malloc()",
		    call);
	return false;
}

/* False, with the error described, if so many bytes would not fit into memory any more. */
static bool room_for(struct ronde_heap *h, size_t bytes)
{
	pthread_mutex_lock(&h->lock);
	h->unasked += bytes;
	bool ask = h->unasked >= ROOM_STRIDE;
	if (ask)
		h->unasked = 0;
	pthread_mutex_unlock(&h->lock);
	if (!ask)
		return true;
	struct ronde_memory_room room;
	ronde_memory_room(&room, "");
	if (bytes <= room.bytes)
		return true;
	ronde_error(
		RONDE_ERR_OUT_OF_MEMORY,
		"ronde_alloc(%zu): %zu bytes (%.1f GiB) wanted, %llu bytes (%.1f GiB) available "
		"by %s",
		bytes, bytes, (double)bytes / 0x1p30, (unsigned long long)room.bytes,
		(double)room.bytes / 0x1p30, room.source);
	return false;
}

/* With the lock held, so that the figures belong together. */
static void no_span_error(const struct ronde_heap *h, size_t bytes, bool no_record)
{
	uint64_t total, longest;
	ronde_spans_room(h->spans, &total, &longest);
	if (no_record)
		ronde_error(RONDE_ERR_OUT_OF_MEMORY,
			    "ronde_alloc(%zu): malloc() has no memory for the heap's records",
			    bytes);
	else
		ronde_error(RONDE_ERR_OUT_OF_MEMORY,
			    "ronde_alloc(%zu): the heap's address space of %zu bytes has %llu "
			    "bytes free, at most %llu of them in one piece; "
			    "RONDE_HEAP_RESERVE_BYTES makes it larger (it is not memory until "
			    "used)",
			    bytes, h->reserve, (unsigned long long)total << RONDE_GRANULE_SHIFT,
			    (unsigned long long)longest << RONDE_GRANULE_SHIFT);
}

static void populate_error(size_t bytes, int error)
{
	struct ronde_memory_room room;
	ronde_memory_room(&room, "");
	ronde_error(RONDE_ERR_OUT_OF_MEMORY,
		    "ronde_alloc(%zu): the system gave no memory for it: %s; %llu bytes available "
		    "by %s",
		    bytes, strerror(error), (unsigned long long)room.bytes, room.source);
}

/* From here on it can be found and held. */
static void *publish(struct ronde_heap *h, struct ronde_span *span, uint32_t index, size_t bytes)
{
	struct ronde_object *object = &span->objects[index];
	atomic_store_explicit(&object->bytes, bytes, memory_order_relaxed);
	atomic_store_explicit(&object->state, RONDE_OBJECT_LIVE, memory_order_release);
	return h->base + ronde_object_start(span, index);
}

static void *alloc_small(struct ronde_heap *h, size_t bytes)
{
	struct ronde_span *slab;
	uint32_t index;
	bool no_record;
	void *memory = NULL;
	pthread_mutex_lock(&h->lock);
	int error = ronde_slab_take(h, ronde_small_class(bytes), &slab, &index, &no_record);
	if (!slab) {
		no_span_error(h, bytes, no_record);
	} else if (error) {
		populate_error(bytes, error);
	} else {
		/* What shares its pages may have written there before. */
		memset(h->base + ronde_object_start(slab, index), 0, slab->stride);
		memory = publish(h, slab, index, bytes);
	}
	pthread_mutex_unlock(&h->lock);
	return memory;
}

static void give_large(struct ronde_heap *h, struct ronde_span *span, size_t bytes)
{
	ronde_heap_punch(h, ronde_object_start(span, 0), round_up(bytes, h->page));
	pthread_mutex_lock(&h->lock);
	ronde_span_give(h->spans, span);
	pthread_mutex_unlock(&h->lock);
}

static void *alloc_large(struct ronde_heap *h, size_t bytes)
{
	uint64_t granules = (bytes + RONDE_GRANULE - 1) >> RONDE_GRANULE_SHIFT;
	uint64_t align = bytes >= RONDE_HUGE_PAGE ? RONDE_HUGE_PAGE >> RONDE_GRANULE_SHIFT : 1;
	bool no_record;
	pthread_mutex_lock(&h->lock);
	struct ronde_span *span =
		ronde_span_take(h->spans, RONDE_SPAN_LARGE, granules, align, &no_record);
	if (!span)
		no_span_error(h, bytes, no_record);
	pthread_mutex_unlock(&h->lock);
	if (!span)
		return NULL;
	int error = ronde_heap_populate(h, ronde_object_start(span, 0), round_up(bytes, h->page));
	if (error) {
		give_large(h, span, bytes);
		populate_error(bytes, error);
		return NULL;
	}
	return publish(h, span, 0, bytes);
}

void *ronde_heap_alloc(struct ronde_heap *heap, size_t bytes)
{
	if (!owned_here(heap, "ronde_alloc()"))
		return NULL;
	if (bytes > heap->reserve) {
		ronde_error(
			RONDE_ERR_OUT_OF_MEMORY,
			"ronde_alloc(%zu): the heap's address space is %zu bytes; "
			"RONDE_HEAP_RESERVE_BYTES makes it larger (it is not memory until used)",
			bytes, heap->reserve);
		return NULL;
	}
	if (!room_for(heap, bytes))
		return NULL;
	return bytes <= RONDE_SMALL_LIMIT ? alloc_small(heap, bytes) : alloc_large(heap, bytes);
}

/* ---- freeing ---- */

/* With the lock held, when the map tells the truth: what stands at the address, if it may be freed.
 */
static int look_freeable(const struct ronde_heap *h, const void *memory, struct ronde_found *f)
{
	uint64_t offset = ronde_heap_offset(h, memory);
	if (offset >= h->reserve)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "ronde_free(%p): not memory of ronde_alloc(), it lies outside "
				   "the heap",
				   memory);
	if (!ronde_heap_look(h, offset, f))
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "ronde_free(%p): an address of the heap where nothing is "
				   "allocated; was it freed before?",
				   memory);
	if (offset != f->start)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "ronde_free(%p): points %llu bytes into an allocation of %llu "
				   "bytes; free its start, %p",
				   memory, (unsigned long long)(offset - f->start),
				   (unsigned long long)f->bytes, (void *)(h->base + f->start));
	return RONDE_OK;
}

/* False if an operation holds it. */
static bool kill_object(struct ronde_object *object, uint32_t *state)
{
	*state = RONDE_OBJECT_LIVE;
	return atomic_compare_exchange_strong_explicit(&object->state, state, RONDE_OBJECT_DEAD,
						       memory_order_acq_rel, memory_order_relaxed);
}

int ronde_heap_free(struct ronde_heap *heap, void *memory)
{
	if (!memory)
		return RONDE_OK;
	if (!owned_here(heap, "ronde_free()"))
		return RONDE_ERR_INVALID_ARGUMENT;
	struct ronde_found f = {0};
	struct ronde_span *large = NULL;
	uint32_t state;
	pthread_mutex_lock(&heap->lock);
	int status = look_freeable(heap, memory, &f);
	if (status != RONDE_OK || !f.span)
		goto unlock;
	if (!kill_object(f.object, &state))
		status =
			ronde_error(RONDE_ERR_BUSY,
				    "ronde_free(%p): %u operation(s) in flight use this "
				    "allocation of %llu bytes; wait for their handles first",
				    memory, state - RONDE_OBJECT_LIVE, (unsigned long long)f.bytes);
	else if (f.span->kind == RONDE_SPAN_LARGE)
		large = f.span;
	else
		ronde_slab_put(heap, f.span, f.index);
unlock:
	pthread_mutex_unlock(&heap->lock);
	if (large)
		give_large(heap, large, f.bytes);
	return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/heap.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "collectives/heap_spans.h"
#include "collectives/memory_file.h"
#include "collectives/memory_room.h"
#include "collectives/status.h"

/* The system is asked how much memory there is once for so many bytes handed out: asking takes
 * longer than a small allocation. */
#define ROOM_STRIDE ((size_t)1 << 20)

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

/* ---- the file ---- */

static int make_owned(struct ronde_heap *h)
{
	h->owned = mmap(NULL, h->page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (h->owned == MAP_FAILED) {
		h->owned = NULL;
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for the heap: mmap: %s",
				   strerror(errno));
	}
	madvise(h->owned, h->page, MADV_WIPEONFORK);
	*h->owned = 1;
	return RONDE_OK;
}

int ronde_heap_create(struct ronde_heap **heap, size_t reserve_bytes)
{
	struct ronde_heap *h = calloc(1, sizeof *h);
	if (!h)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for the heap");
	h->fd = -1;
	h->page = ronde_page_bytes();
	h->reserve = (reserve_bytes + RONDE_GRANULE - 1) & ~(RONDE_GRANULE - 1);
	if (h->reserve == 0)
		h->reserve = RONDE_GRANULE;
	pthread_mutex_init(&h->lock, NULL);
	bool memfd;
	int status = h->fd = ronde_memory_file_create("the heap", h->reserve, false, &memfd);
	if (status < 0)
		goto failed;
	h->base = ronde_memory_file_map(h->fd, h->reserve);
	if (!h->base) {
		status =
			ronde_error(RONDE_ERR_OUT_OF_MEMORY,
				    "no address space for a heap of %zu bytes: %s; give it less by "
				    "RONDE_HEAP_RESERVE_BYTES, or look at `ulimit -v`",
				    h->reserve, strerror(errno));
		goto failed;
	}
	/* A core file would begin with looking at every page of the reserve. */
	madvise(h->base, h->reserve, MADV_DONTDUMP);
	/* Only where the system allows shared memory to have huge pages. */
	madvise(h->base, h->reserve, MADV_HUGEPAGE);
	status = make_owned(h);
	if (status < 0)
		goto failed;
	status = ronde_spans_create(&h->spans, h->reserve >> RONDE_GRANULE_SHIFT);
	if (status < 0)
		goto failed;
	*heap = h;
	return RONDE_OK;
failed:
	ronde_heap_destroy(h);
	return status;
}

void ronde_heap_destroy(struct ronde_heap *h)
{
	if (!h)
		return;
	ronde_spans_destroy(h->spans);
	if (h->owned)
		munmap(h->owned, h->page);
	if (h->base)
		munmap(h->base, h->reserve);
	if (h->fd >= 0)
		close(h->fd);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

int ronde_heap_fd(const struct ronde_heap *heap)
{
	return heap->fd;
}

unsigned char *ronde_heap_base(const struct ronde_heap *heap)
{
	return heap->base;
}

size_t ronde_heap_reserve(const struct ronde_heap *heap)
{
	return heap->reserve;
}

static size_t round_up(size_t bytes, size_t to)
{
	return (bytes + to - 1) & ~(to - 1);
}

static int populate(struct ronde_heap *h, uint64_t offset, size_t bytes)
{
	return ronde_memory_file_populate(h->fd, offset, h->base + offset, bytes);
}

static void punch(struct ronde_heap *h, uint64_t offset, size_t bytes)
{
	ronde_memory_file_punch(h->fd, offset, h->base + offset, bytes);
}

/* ---- slabs: small objects, under the lock ---- */

static void slab_link(struct ronde_heap *h, struct ronde_span *slab)
{
	struct ronde_span **head = &h->slabs[slab->kind - RONDE_SPAN_SLAB];
	slab->previous = NULL;
	slab->next = *head;
	if (*head)
		(*head)->previous = slab;
	*head = slab;
}

static void slab_unlink(struct ronde_heap *h, struct ronde_span *slab)
{
	if (slab->next)
		slab->next->previous = slab->previous;
	if (slab->previous)
		slab->previous->next = slab->next;
	else
		h->slabs[slab->kind - RONDE_SPAN_SLAB] = slab->next;
}

/*
 * Small objects share pages. A page has memory while an object that touches it lives; the counts
 * change for the pages of one object together. Returns 0 or an errno, then nothing has changed.
 */
static int pages_enter(struct ronde_heap *h, struct ronde_span *slab, uint32_t index)
{
	uint64_t start = ronde_object_start(slab, 0);
	size_t from = (size_t)index * slab->stride;
	size_t first = from / h->page, last = (from + slab->stride - 1) / h->page;
	for (size_t p = first; p <= last; p++) {
		int error = slab->page_users[p] ? 0 : populate(h, start + p * h->page, h->page);
		if (error) {
			while (p-- > first)
				if (--slab->page_users[p] == 0)
					punch(h, start + p * h->page, h->page);
			return error;
		}
		slab->page_users[p]++;
	}
	return 0;
}

static void pages_leave(struct ronde_heap *h, struct ronde_span *slab, uint32_t index)
{
	uint64_t start = ronde_object_start(slab, 0);
	size_t from = (size_t)index * slab->stride;
	size_t first = from / h->page, last = (from + slab->stride - 1) / h->page;
	for (size_t p = first; p <= last; p++)
		if (--slab->page_users[p] == 0)
			punch(h, start + p * h->page, h->page);
}

/* Freed objects first: their pages more likely have memory already. */
static uint32_t slab_pick(struct ronde_span *slab)
{
	if (!slab->first_free)
		return slab->fresh++;
	uint32_t index = slab->first_free - 1;
	slab->first_free = slab->objects[index].next_free;
	return index;
}

static void slab_put(struct ronde_heap *h, struct ronde_span *slab, uint32_t index)
{
	if (slab->used-- == slab->capacity)
		slab_link(h, slab);
	slab->objects[index].next_free = slab->first_free;
	slab->first_free = index + 1;
	if (slab->used == 0) {
		slab_unlink(h, slab);
		ronde_span_give(h->spans, slab);
	}
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
	int size_class = ronde_small_class(bytes);
	void *memory = NULL;
	pthread_mutex_lock(&h->lock);
	struct ronde_span *slab = h->slabs[size_class];
	if (!slab) {
		bool no_record;
		slab = ronde_span_take(h->spans, RONDE_SPAN_SLAB + size_class, 1, 1, &no_record);
		if (!slab) {
			no_span_error(h, bytes, no_record);
			goto unlock;
		}
		slab_link(h, slab);
	}
	uint32_t index = slab_pick(slab);
	if (++slab->used == slab->capacity)
		slab_unlink(h, slab);
	int error = pages_enter(h, slab, index);
	if (error) {
		slab_put(h, slab, index);
		populate_error(bytes, error);
		goto unlock;
	}
	memset(h->base + ronde_object_start(slab, index), 0, slab->stride);
	memory = publish(h, slab, index, bytes);
unlock:
	pthread_mutex_unlock(&h->lock);
	return memory;
}

static void give_large(struct ronde_heap *h, struct ronde_span *span, size_t bytes)
{
	punch(h, ronde_object_start(span, 0), round_up(bytes, h->page));
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
	int error = populate(h, ronde_object_start(span, 0), round_up(bytes, h->page));
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

/* ---- finding ---- */

/* A live object, as it was at one moment. */
struct found {
	struct ronde_span *span;
	struct ronde_object *object;
	uint32_t index, state;
	uint64_t start, bytes;
};

/* The object that would stand at the offset, and whether it is alive and the offset within it. */
static inline bool look(const struct ronde_heap *h, uint64_t offset, struct found *f)
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

static inline bool look_range(const struct ronde_heap *h, const void *memory, size_t bytes,
			      struct found *f, uint64_t *offset)
{
	/* An address below the base gives an offset far beyond the reserve. */
	uint64_t at = (uint64_t)((uintptr_t)memory - (uintptr_t)h->base);
	if (!look(h, at, f) || bytes > f->bytes - (at - f->start))
		return false;
	*offset = at;
	return true;
}

bool ronde_heap_find(struct ronde_heap *heap, const void *memory, size_t bytes, uint64_t *offset)
{
	struct found f;
	return look_range(heap, memory, bytes, &f, offset);
}

/*
 * Looking and counting are two steps, so it looks again once it has counted: between the two the
 * object may have been freed, and its record used again for another place. (A program that frees
 * memory while it submits it is wrong, but nothing worse than a refusal should come of it.)
 */
bool ronde_heap_hold(struct ronde_heap *heap, const void *memory, size_t bytes, uint64_t *offset)
{
	struct found f, again;
	uint64_t at;
	do {
		if (!look_range(heap, memory, bytes, &f, &at))
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&f.object->state, &f.state, f.state + 1,
							memory_order_acq_rel,
							memory_order_relaxed));
	if (!look_range(heap, memory, bytes, &again, &at) || again.object != f.object) {
		atomic_fetch_sub_explicit(&f.object->state, 1, memory_order_release);
		return false;
	}
	*offset = at;
	return true;
}

void ronde_heap_release(struct ronde_heap *heap, uint64_t offset)
{
	struct ronde_span *span = ronde_span_at(heap->spans, offset);
	struct ronde_object *object = &span->objects[ronde_object_index(span, offset)];
	atomic_fetch_sub_explicit(&object->state, 1, memory_order_release);
}

/* ---- freeing ---- */

/* With the lock held, when the map tells the truth: marks the object dead, or describes the error.
 */
static int kill_object(struct ronde_heap *h, const void *memory, struct found *f)
{
	uint64_t offset = (uint64_t)((uintptr_t)memory - (uintptr_t)h->base);
	if (offset >= h->reserve)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "ronde_free(%p): not memory of ronde_alloc(), it lies outside "
				   "the heap",
				   memory);
	if (!look(h, offset, f))
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "ronde_free(%p): an address of the heap where nothing is "
				   "allocated; was it freed before?",
				   memory);
	if (offset != f->start)
		return ronde_error(
			RONDE_ERR_INVALID_ARGUMENT,
			"ronde_free(%p): points %llu bytes into an allocation of %llu bytes; "
			"free its start, %p",
			memory, (unsigned long long)(offset - f->start),
			(unsigned long long)f->bytes, (void *)(h->base + f->start));
	uint32_t live = RONDE_OBJECT_LIVE;
	if (!atomic_compare_exchange_strong_explicit(&f->object->state, &live, RONDE_OBJECT_DEAD,
						     memory_order_acq_rel, memory_order_relaxed))
		return ronde_error(RONDE_ERR_BUSY,
				   "ronde_free(%p): %u operation(s) in flight use this allocation "
				   "of %llu bytes; wait for their handles first",
				   memory, live - RONDE_OBJECT_LIVE, (unsigned long long)f->bytes);
	return RONDE_OK;
}

int ronde_heap_free(struct ronde_heap *heap, void *memory)
{
	if (!memory)
		return RONDE_OK;
	if (!owned_here(heap, "ronde_free()"))
		return RONDE_ERR_INVALID_ARGUMENT;
	struct found f = {0};
	pthread_mutex_lock(&heap->lock);
	int status = kill_object(heap, memory, &f);
	bool large = status == RONDE_OK && f.span->kind == RONDE_SPAN_LARGE;
	if (status == RONDE_OK && !large) {
		pages_leave(heap, f.span, f.index);
		slab_put(heap, f.span, f.index);
	}
	pthread_mutex_unlock(&heap->lock);
	if (large)
		give_large(heap, f.span, f.bytes);
	return status;
}

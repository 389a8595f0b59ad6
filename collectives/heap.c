/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "collectives/heap_private.h"
#include "collectives/status.h"

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

/* ---- finding ---- */

static inline bool look_range(const struct ronde_heap *h, const void *memory, size_t bytes,
			      struct ronde_found *f, uint64_t *offset)
{
	uint64_t at = ronde_heap_offset(h, memory);
	if (!ronde_heap_look(h, at, f) || bytes > f->bytes - (at - f->start))
		return false;
	*offset = at;
	return true;
}

bool ronde_heap_find(struct ronde_heap *heap, const void *memory, size_t bytes, uint64_t *offset)
{
	struct ronde_found f;
	return look_range(heap, memory, bytes, &f, offset);
}

/*
 * Looking and counting are two steps, so it looks again once it has counted: between the two the
 * object may have been freed, and its record used again for another place. (A program that frees
 * memory while it submits it is wrong, but nothing worse than a refusal should come of it.)
 */
bool ronde_heap_hold(struct ronde_heap *heap, const void *memory, size_t bytes, uint64_t *offset)
{
	struct ronde_found f, again;
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

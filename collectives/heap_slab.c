/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slabs: 64 KiB of small objects of one size. Several objects share a page; a page has memory while
 * an object that touches it lives.
 */
#include <errno.h>

#include "collectives/heap_private.h"

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
		int error = slab->page_users[p]
				    ? 0
				    : ronde_heap_populate(h, start + p * h->page, h->page);
		if (error) {
			while (p-- > first)
				if (--slab->page_users[p] == 0)
					ronde_heap_punch(h, start + p * h->page, h->page);
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
			ronde_heap_punch(h, start + p * h->page, h->page);
}

/* Freed objects first: their pages more likely have memory already. */
static uint32_t place_pick(struct ronde_span *slab)
{
	if (!slab->first_free)
		return slab->fresh++;
	uint32_t index = slab->first_free - 1;
	slab->first_free = slab->objects[index].next_free;
	return index;
}

static void place_put(struct ronde_heap *h, struct ronde_span *slab, uint32_t index)
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

int ronde_slab_take(struct ronde_heap *h, int size_class, struct ronde_span **slab, uint32_t *index,
		    bool *no_record)
{
	struct ronde_span *s = h->slabs[size_class];
	if (!s) {
		s = ronde_span_take(h->spans, RONDE_SPAN_SLAB + size_class, 1, 1, no_record);
		if (s)
			slab_link(h, s);
	}
	*slab = s;
	if (!s)
		return ENOMEM;
	*index = place_pick(s);
	if (++s->used == s->capacity)
		slab_unlink(h, s);
	int error = pages_enter(h, s, *index);
	if (error)
		place_put(h, s, *index);
	return error;
}

void ronde_slab_put(struct ronde_heap *h, struct ronde_span *slab, uint32_t index)
{
	pages_leave(h, slab, index);
	place_put(h, slab, index);
}

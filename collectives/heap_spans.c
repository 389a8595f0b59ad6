/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/heap_spans.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "collectives/status.h"

/* Lists of free spans by length: eight to every power of two; up to 15 granules a list a length. */
#define STEP_BITS 3
#define STEPS (1 << STEP_BITS)
#define POWERS 48

struct ronde_spans {
	_Atomic(struct ronde_span *) *map; /* of a free span only the first and the last are set */
	uint64_t granules;
	uint64_t powers_used; /* bit p: some list of power p is not empty */
	uint8_t steps_used[POWERS];
	struct ronde_span *lists[POWERS][STEPS];
	struct ronde_span *spare[RONDE_SPAN_KINDS]; /* records to use again */
	struct ronde_span *all;
};

/* ---- sizes of small objects: 64 128 192 256 | 320 384 448 512 | 640 768 896 1024 | … ---- */

int ronde_small_class(size_t bytes)
{
	size_t lines = bytes ? (bytes + 63) / 64 : 1;
	if (lines <= 4)
		return (int)lines - 1;
	int power = 63 - __builtin_clzll(lines - 1); /* 2^power ≤ lines - 1 < 2^(power + 1) */
	size_t step = (size_t)1 << (power - 2);
	return (power - 1) * 4 + (int)((lines - 1) / step) - 4;
}

size_t ronde_small_size(int size_class)
{
	int power = size_class / 4 + 1;
	if (size_class < 4)
		return ((size_t)size_class + 1) * 64;
	return (size_t)(size_class % 4 + 5) << (power - 2) << 6;
}

/* ---- records ---- */

static struct ronde_span *record_new(struct ronde_spans *s, int kind)
{
	struct ronde_span *span = s->spare[kind];
	if (span) {
		s->spare[kind] = span->next;
		return span;
	}
	uint32_t stride =
		kind < RONDE_SPAN_SLAB ? 0 : (uint32_t)ronde_small_size(kind - RONDE_SPAN_SLAB);
	/* One more than fit: the last bytes of the granule may belong to none. */
	uint32_t capacity = stride ? (uint32_t)RONDE_GRANULE / stride : 1;
	span = calloc(1, sizeof *span + (capacity + 1) * sizeof *span->objects);
	if (!span)
		return NULL;
	span->kind = kind;
	span->capacity = capacity;
	span->stride = stride;
	span->reciprocal = stride ? (uint32_t)(((1ULL << 32) + stride - 1) / stride) : 0;
	span->all = s->all;
	s->all = span;
	return span;
}

static void record_drop(struct ronde_spans *s, struct ronde_span *span)
{
	if (!span)
		return;
	span->next = s->spare[span->kind];
	s->spare[span->kind] = span;
}

static void place(struct ronde_span *span, uint64_t granule, uint64_t granules)
{
	atomic_store_explicit(&span->start, granule << RONDE_GRANULE_SHIFT, memory_order_relaxed);
	span->granules = granules;
}

static uint64_t start_granule(const struct ronde_span *span)
{
	return atomic_load_explicit(&span->start, memory_order_relaxed) >> RONDE_GRANULE_SHIFT;
}

static void map_set(struct ronde_spans *s, uint64_t granule, struct ronde_span *span)
{
	atomic_store_explicit(&s->map[granule], span, memory_order_release);
}

struct ronde_span *ronde_span_at(const struct ronde_spans *s, uint64_t offset)
{
	return atomic_load_explicit(&s->map[offset >> RONDE_GRANULE_SHIFT], memory_order_acquire);
}

/* ---- lists of free spans ---- */

static void list_of(uint64_t granules, int *power, int *step)
{
	int top = 63 - __builtin_clzll(granules);
	if (top < STEP_BITS) {
		*power = 0;
		*step = (int)granules;
	} else {
		*power = top - STEP_BITS + 1;
		*step = (int)(granules >> (top - STEP_BITS)) & (STEPS - 1);
	}
}

static void list_insert(struct ronde_spans *s, struct ronde_span *span)
{
	int power, step;
	list_of(span->granules, &power, &step);
	struct ronde_span **head = &s->lists[power][step];
	span->previous = NULL;
	span->next = *head;
	if (*head)
		(*head)->previous = span;
	*head = span;
	s->steps_used[power] |= (uint8_t)(1u << step);
	s->powers_used |= 1ULL << power;
	map_set(s, start_granule(span), span);
	map_set(s, start_granule(span) + span->granules - 1, span);
}

static void list_remove(struct ronde_spans *s, struct ronde_span *span)
{
	int power, step;
	list_of(span->granules, &power, &step);
	if (span->next)
		span->next->previous = span->previous;
	if (span->previous)
		span->previous->next = span->next;
	else
		s->lists[power][step] = span->next;
	if (s->lists[power][step])
		return;
	s->steps_used[power] &= (uint8_t) ~(1u << step);
	if (!s->steps_used[power])
		s->powers_used &= ~(1ULL << power);
}

/* The first that is long enough of the length's own list; else any of the next list that is not
 * empty: there all are. */
static struct ronde_span *search(const struct ronde_spans *s, uint64_t granules)
{
	int power, step;
	list_of(granules, &power, &step);
	if (power >= POWERS)
		return NULL;
	for (struct ronde_span *span = s->lists[power][step]; span; span = span->next)
		if (span->granules >= granules)
			return span;
	unsigned steps = s->steps_used[power] & (~1u << step);
	if (!steps) {
		uint64_t powers = s->powers_used & (~1ULL << power);
		if (!powers)
			return NULL;
		power = __builtin_ctzll(powers);
		steps = s->steps_used[power];
	}
	return s->lists[power][__builtin_ctz(steps)];
}

/* ---- taking and giving ---- */

/* Cuts [skip, skip + granules) out of a free span; what is left on either side stays free, on the
 * right in a record the caller brings. */
static void carve(struct ronde_spans *s, struct ronde_span *from, uint64_t skip, uint64_t granules,
		  struct ronde_span *right)
{
	uint64_t first = start_granule(from), rest = from->granules - skip - granules;
	list_remove(s, from);
	if (skip) {
		place(from, first, skip);
		list_insert(s, from);
	} else {
		record_drop(s, from);
	}
	if (rest) {
		place(right, first + skip + granules, rest);
		list_insert(s, right);
	} else {
		record_drop(s, right);
	}
}

struct ronde_span *ronde_span_take(struct ronde_spans *s, int kind, uint64_t granules,
				   uint64_t align_granules, bool *no_record)
{
	*no_record = false;
	struct ronde_span *from = search(s, granules + align_granules - 1);
	if (!from) {
		align_granules = 1;
		from = search(s, granules);
		if (!from)
			return NULL;
	}
	struct ronde_span *span = record_new(s, kind);
	struct ronde_span *right = record_new(s, RONDE_SPAN_FREE);
	struct ronde_span *reserve = record_new(s, RONDE_SPAN_FREE);
	if (!span || !right || !reserve) {
		record_drop(s, span);
		record_drop(s, right);
		record_drop(s, reserve);
		*no_record = true;
		return NULL;
	}
	uint64_t skip = -start_granule(from) & (align_granules - 1);
	uint64_t first = start_granule(from) + skip;
	carve(s, from, skip, granules, right);
	place(span, first, granules);
	span->reserve = reserve;
	span->next = span->previous = NULL;
	span->used = span->first_free = span->fresh = 0;
	memset(span->page_users, 0, sizeof span->page_users);
	for (uint64_t g = 0; g < granules; g++)
		map_set(s, first + g, span);
	return span;
}

/* Adds a neighbour's granules to [*first, *end) if it is free. */
static void join(struct ronde_spans *s, uint64_t neighbour, uint64_t *first, uint64_t *end)
{
	struct ronde_span *span = ronde_span_at(s, neighbour << RONDE_GRANULE_SHIFT);
	if (span->kind != RONDE_SPAN_FREE)
		return;
	list_remove(s, span);
	if (neighbour < *first)
		*first = start_granule(span);
	else
		*end = start_granule(span) + span->granules;
	record_drop(s, span);
}

void ronde_span_give(struct ronde_spans *s, struct ronde_span *span)
{
	uint64_t first = start_granule(span), end = first + span->granules;
	struct ronde_span *free_span = span->reserve;
	record_drop(s, span);
	if (first > 0)
		join(s, first - 1, &first, &end);
	if (end < s->granules)
		join(s, end, &first, &end);
	place(free_span, first, end - first);
	list_insert(s, free_span);
}

void ronde_spans_room(const struct ronde_spans *s, uint64_t *total, uint64_t *longest)
{
	*total = *longest = 0;
	for (int power = 0; power < POWERS; power++)
		for (int step = 0; step < STEPS; step++)
			for (struct ronde_span *span = s->lists[power][step]; span;
			     span = span->next) {
				*total += span->granules;
				if (span->granules > *longest)
					*longest = span->granules;
			}
}

/* ---- the whole ---- */

int ronde_spans_create(struct ronde_spans **spans, uint64_t granules)
{
	struct ronde_spans *s = calloc(1, sizeof *s);
	if (!s)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for the heap's lists");
	s->granules = granules;
	/* Address space: only the parts that are written take memory. */
	size_t bytes = granules * sizeof *s->map;
	void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct ronde_span *first = record_new(s, RONDE_SPAN_FREE);
	if (map == MAP_FAILED || !first) {
		int error = errno;
		free(first);
		if (map != MAP_FAILED)
			munmap(map, bytes);
		free(s);
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY,
				   "no memory for the heap's map (%zu bytes of address space): %s; "
				   "RONDE_HEAP_RESERVE_BYTES sets the heap's size",
				   bytes, strerror(error));
	}
	s->map = map;
	place(first, 0, granules);
	list_insert(s, first);
	*spans = s;
	return RONDE_OK;
}

void ronde_spans_destroy(struct ronde_spans *s)
{
	if (!s)
		return;
	while (s->all) {
		struct ronde_span *span = s->all;
		s->all = span->all;
		free(span);
	}
	munmap((void *)s->map, s->granules * sizeof *s->map);
	free(s);
}

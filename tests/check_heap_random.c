/* SPDX-License-Identifier: Apache-2.0 */
/* The heap, used at random: against a model of it, and by several threads at once. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/memory_file.h"
#include "collectives/status.h"
#include "tests/heap_fixture.h"
#include "tests/suite.h"

static uint64_t seed;

/* ---- the model: a table of what is allocated and what it holds ---- */

struct item {
	unsigned char *memory;
	size_t bytes;
	unsigned char value;
};

static int item_make(struct item *item, size_t bytes, unsigned char value)
{
	item->memory = ronde_heap_alloc(heap, bytes);
	item->bytes = bytes;
	item->value = value;
	uintptr_t align = bytes >= RONDE_HUGE_PAGE ? RONDE_HUGE_PAGE : 64;
	if (!item->memory || (uintptr_t)item->memory % align != 0)
		return __LINE__;
	if (!all_bytes(item->memory, bytes, 0))
		return __LINE__;
	memset(item->memory, value, bytes);
	return 0;
}

static int item_find(const struct item *item, uint64_t *state)
{
	uint64_t offset = 0, base = (uint64_t)(item->memory - ronde_heap_base(heap));
	size_t skip = item->bytes ? next_random(state) % item->bytes : 0;
	if (!ronde_heap_find(heap, item->memory + skip, item->bytes - skip, &offset) ||
	    offset != base + skip)
		return __LINE__;
	if (ronde_heap_find(heap, item->memory + skip, item->bytes - skip + 1, &offset))
		return __LINE__;
	if (ronde_heap_find(heap, item->memory, SIZE_MAX, &offset))
		return __LINE__;
	return offset == base + skip ? 0 : __LINE__;
}

static int item_drop(struct item *item)
{
	unsigned char *memory = item->memory;
	uint64_t offset;
	item->memory = NULL;
	if (!all_bytes(memory, item->bytes, item->value))
		return __LINE__;
	if (ronde_heap_free(heap, memory))
		return __LINE__;
	return ronde_heap_find(heap, memory, 0, &offset) ? __LINE__ : 0;
}

#define ITEMS 400

START_TEST(random_against_model)
{
	struct item items[ITEMS] = {0};
	uint64_t state = seed + (uint64_t)_i;
	size_t pages = 0;
	int bad = 0;
	for (int step = 0; step < 6000 && !bad; step++) {
		struct item *item = &items[next_random(&state) % ITEMS];
		if (!item->memory) {
			bad = item_make(item, random_size(&state, _i == 0 ? 12 : 22),
					(unsigned char)(1 + step % 255));
		} else if (next_random(&state) % 4) {
			bad = item_find(item, &state);
		} else {
			bad = item_drop(item);
		}
	}
	for (int i = 0; i < ITEMS; i++)
		pages += items[i].memory ? items[i].bytes / 4096 + 2 : 0;
	size_t used = memory_used();
	for (int i = 0; i < ITEMS && !bad; i++)
		if (items[i].memory)
			bad = item_drop(&items[i]);
	ck_assert_msg(!bad, "line %d, seed %llu", bad, (unsigned long long)seed);
	/* What is free takes no memory: neither now, nor before in between. */
	ck_assert_uint_le(used, pages * 4096);
	ck_assert_uint_eq(memory_used(), 0);
}
END_TEST

/* ---- threads ---- */

#define THREADS 4
#define SLOTS 64

struct worker {
	pthread_t thread;
	int number, bad;
	_Atomic bool *stop;
};

static int use_and_free(struct item *item, uint64_t *state)
{
	uint64_t offset;
	if (!ronde_heap_hold(heap, item->memory, item->bytes, &offset))
		return __LINE__;
	if (ronde_heap_free(heap, item->memory) != RONDE_ERR_BUSY)
		return __LINE__;
	ronde_heap_release(heap, offset);
	int bad = item_find(item, state), status;
	if (bad || !all_bytes(item->memory, item->bytes, item->value))
		return bad ? bad : __LINE__;
	/* The prowler may hold it for a moment. */
	while ((status = ronde_heap_free(heap, item->memory)) == RONDE_ERR_BUSY)
		sched_yield();
	item->memory = NULL;
	return status ? __LINE__ : 0;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct item items[SLOTS] = {0};
	uint64_t state = seed + 1000 + (uint64_t)w->number;
	for (int step = 0; step < 3000 && !w->bad; step++) {
		struct item *item = &items[next_random(&state) % SLOTS];
		w->bad = item->memory ? use_and_free(item, &state)
				      : item_make(item, random_size(&state, 17),
						  (unsigned char)(w->number + 1));
	}
	for (int i = 0; i < SLOTS && !w->bad; i++)
		if (items[i].memory)
			w->bad = use_and_free(&items[i], &state);
	return NULL;
}

/* Holds what it meets at any address, as a program does that submits memory it has freed. */
static void *prowl(void *arg)
{
	struct worker *w = arg;
	uint64_t state = seed + 2000, offset;
	while (!atomic_load(w->stop)) {
		unsigned char *memory = ronde_heap_base(heap) + next_random(&state) % (8 * MIB);
		if (!ronde_heap_hold(heap, memory, 1, &offset))
			continue;
		if (offset != (uint64_t)(memory - ronde_heap_base(heap)))
			w->bad = __LINE__;
		ronde_heap_release(heap, offset);
	}
	return NULL;
}

START_TEST(threads_at_once)
{
	struct worker workers[THREADS + 1];
	_Atomic bool stop = false;
	for (int i = 0; i <= THREADS; i++) {
		workers[i] = (struct worker){.number = i, .stop = &stop};
		pthread_create(&workers[i].thread, NULL, i < THREADS ? work : prowl, &workers[i]);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(workers[i].thread, NULL);
	atomic_store(&stop, true);
	pthread_join(workers[THREADS].thread, NULL);
	for (int i = 0; i <= THREADS; i++)
		ck_assert_msg(!workers[i].bad, "line %d, seed %llu", workers[i].bad,
			      (unsigned long long)seed);
	ck_assert_uint_eq(memory_used(), 0);
}
END_TEST

int main(void)
{
	seed = test_seed();
	const struct suite_test tests[] = {
		{random_against_model, 0, 2},
		{threads_at_once, ONCE},
	};
	Suite *suite = suite_create("heap_random");
	tcase_add_checked_fixture(SUITE_ADD(suite, "heap_random", 60, tests), make_heap,
				  destroy_heap);
	return suite_end(suite);
}

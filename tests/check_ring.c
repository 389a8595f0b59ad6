/* SPDX-License-Identifier: Apache-2.0 */
/* The record ring: against a model in one thread, between two threads, and between processes. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "coordinator/ring.h"
#include "tests/suite.h"

#define CELLS 64u
#define RING_BYTES ((size_t)CELLS * RONDE_CELL_BYTES + RONDE_CACHE_LINE)

struct both {
	unsigned char *memory;
	struct ronde_ring_producer producer;
	struct ronde_ring_consumer consumer;
};

static struct both new_ring(void)
{
	struct both b;
	b.memory = aligned_alloc(RONDE_CACHE_LINE, RING_BYTES);
	memset(b.memory, 0, RING_BYTES);
	ronde_ring_producer_init(&b.producer, b.memory, CELLS);
	ronde_ring_consumer_init(&b.consumer, b.memory, CELLS);
	return b;
}

/*
 * A body that is hard to tell from a record's head: words that are likely lap numbers, so that a
 * consumer that looks at a cell of an old body takes it for a record.
 */
static void fill(unsigned char *body, size_t bytes, uint32_t number)
{
	for (size_t i = 0; i < bytes; i++)
		body[i] = (unsigned char)(i % 4 == 0 ? number % 7 + i % 3 : 0);
	if (bytes >= sizeof number)
		memcpy(body, &number, sizeof number);
}

static int same(const unsigned char *body, size_t bytes, uint32_t number)
{
	unsigned char expected[CELLS * RONDE_CELL_BYTES];
	fill(expected, bytes, number);
	return memcmp(body, expected, bytes) == 0;
}

static size_t random_size(unsigned *seed)
{
	size_t limit = ronde_ring_limit(CELLS);
	switch (rand_r(seed) % 4) {
	case 0:
		return (size_t)rand_r(seed) % 57;
	case 1:
		return (size_t)rand_r(seed) % 300;
	case 2:
		return limit - (size_t)rand_r(seed) % 60;
	default:
		return (size_t)rand_r(seed) % (limit + 1);
	}
}

#define MODEL 4096

START_TEST(as_a_queue)
{
	struct both b = new_ring();
	unsigned seed = 4711u + (unsigned)_i;
	size_t sizes[MODEL];
	uint32_t written = 0, read = 0;
	int bad = 0, full = 0;
	while (read < 20000 && !bad) {
		size_t bytes = random_size(&seed), got;
		if (rand_r(&seed) % 2 && written - read < MODEL) {
			bool room = ronde_ring_has_room(&b.producer, bytes);
			unsigned char *body = ronde_ring_reserve(&b.producer, bytes);
			bad += room != (body != NULL) || (uintptr_t)body % 8;
			full += !room;
			if (body) {
				fill(body, bytes, written);
				ronde_ring_publish(&b.producer);
				sizes[written++ % MODEL] = bytes;
			}
			continue;
		}
		const unsigned char *body = ronde_ring_peek(&b.consumer, &got);
		bad += (body == NULL) != (read == written);
		if (!body)
			continue;
		bad += got != sizes[read % MODEL] || !same(body, got, read);
		ronde_ring_consume(&b.consumer);
		read++;
	}
	ck_assert_msg(!bad, "seed %u: record %u", 4711u + (unsigned)_i, read);
	ck_assert_int_gt(full, 0);
	free(b.memory);
}
END_TEST

/* The ring as if it had been used for so many cells already. */
static void start_at(struct both *b, uint64_t position)
{
	b->producer.head = b->producer.seen_consumed = position;
	b->consumer.tail = b->consumer.last_touch = position;
	atomic_store(b->producer.consumed, position);
}

/*
 * Room is refused exactly when the record, what is skipped before it and the cell behind it do not
 * fit between head and tail. The positions are where lap numbers wrap, so that the number 0 of
 * cleared cells comes near.
 */
START_TEST(room_is_exact)
{
	struct both b = new_ring();
	unsigned seed = 815u + (unsigned)_i;
	uint64_t head = (((uint64_t)1 << 32) - 3) * CELLS + (unsigned)_i * 5, tail = head;
	uint64_t ends[MODEL]; /* where each record ends */
	uint32_t written = 0, read = 0, refused = 0;
	const char *wrong = NULL;
	start_at(&b, head);
	while (read < 3000 && !wrong) {
		size_t bytes = random_size(&seed), got;
		if (rand_r(&seed) % 2) {
			uint64_t cells = (bytes + RONDE_RING_HEADER + RONDE_CELL_BYTES - 1) /
					 RONDE_CELL_BYTES;
			uint64_t rest = CELLS - head % CELLS;
			uint64_t skip = cells > rest ? rest : 0;
			bool fits = head + skip + cells + 1 - tail <= CELLS;
			if (ronde_ring_has_room(&b.producer, bytes) != fits)
				wrong = "room";
			unsigned char *body = ronde_ring_reserve(&b.producer, bytes);
			if ((body != NULL) != fits)
				wrong = "a reservation";
			refused += !fits;
			if (!body)
				continue;
			fill(body, bytes, written);
			ronde_ring_publish(&b.producer);
			head += skip + cells;
			ends[written++ % MODEL] = head;
			if (b.producer.head != head)
				wrong = "the head";
			continue;
		}
		const unsigned char *body = ronde_ring_peek(&b.consumer, &got);
		if ((body != NULL) != (read < written))
			wrong = "what there is to read";
		if (!body || wrong)
			continue;
		if (!same(body, got, read))
			wrong = "a body";
		ronde_ring_consume(&b.consumer);
		tail = ends[read++ % MODEL];
	}
	ck_assert_msg(!wrong, "seed %d, record %u: %s", 815 + _i, read, wrong);
	ck_assert_uint_gt(refused, 100);
	ck_assert_uint_gt(b.consumer.tail / CELLS, ((uint64_t)1 << 32) + 3);
	free(b.memory);
}
END_TEST

/* However the ring stands, an empty one takes the largest record, and three more. */
START_TEST(room_for_the_largest)
{
	struct both b = new_ring();
	size_t limit = ronde_ring_limit(CELLS), got;
	for (uint32_t start = 0; start < 3 * CELLS; start++) {
		int taken = 0;
		while (ronde_ring_reserve(&b.producer, limit)) {
			ronde_ring_publish(&b.producer);
			taken++;
		}
		ck_assert_int_ge(taken, 2);
		ck_assert_int_le(taken, 4);
		while (ronde_ring_peek(&b.consumer, &got))
			ronde_ring_consume(&b.consumer);
		ck_assert(ronde_ring_reserve(&b.producer, 1) != NULL);
		ronde_ring_publish(&b.producer);
		ck_assert(ronde_ring_peek(&b.consumer, &got) && got == 1);
		ronde_ring_consume(&b.consumer);
	}
	free(b.memory);
}
END_TEST

/* The producer is to be told about room at least once while a full ring empties. */
START_TEST(tells_of_room)
{
	struct both b = new_ring();
	size_t got;
	for (int round = 0; round < 50; round++) {
		int told = 0;
		while (ronde_ring_reserve(&b.producer, 1 + (size_t)round * 7 % 500))
			ronde_ring_publish(&b.producer);
		while (ronde_ring_peek(&b.consumer, &got))
			told += ronde_ring_consume(&b.consumer);
		ck_assert_int_ge(told, 1);
	}
	free(b.memory);
}
END_TEST

#define RECORDS 30000u

static void *produce(void *arg)
{
	struct both *b = arg;
	unsigned seed = 99;
	for (uint32_t i = 0; i < RECORDS; i++) {
		size_t bytes = random_size(&seed);
		unsigned char *body;
		while (!(body = ronde_ring_reserve(&b->producer, bytes)))
			sched_yield();
		fill(body, bytes, i);
		ronde_ring_publish(&b->producer);
	}
	return NULL;
}

START_TEST(between_two_threads)
{
	struct both b = new_ring();
	pthread_t thread;
	unsigned seed = 99;
	int bad = 0;
	ck_assert(!pthread_create(&thread, NULL, produce, &b));
	for (uint32_t i = 0; i < RECORDS; i++) {
		size_t bytes = random_size(&seed), got;
		const unsigned char *body;
		while (!(body = ronde_ring_peek(&b.consumer, &got)))
			sched_yield();
		bad += got != bytes || !same(body, got, i);
		ronde_ring_consume(&b.consumer);
	}
	pthread_join(thread, NULL);
	ck_assert_int_eq(bad, 0);
	free(b.memory);
}
END_TEST

/* Each maps the memory for itself and sees nothing else of the other. */
START_TEST(between_two_processes)
{
	unsigned char *memory =
		mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(memory, MAP_FAILED);
	pid_t child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		struct both b = {.memory = memory};
		ronde_ring_producer_init(&b.producer, memory, CELLS);
		produce(&b);
		_exit(0);
	}
	struct ronde_ring_consumer consumer;
	ronde_ring_consumer_init(&consumer, memory, CELLS);
	unsigned seed = 99;
	int bad = 0, status;
	for (uint32_t i = 0; i < RECORDS; i++) {
		size_t bytes = random_size(&seed), got;
		const unsigned char *body;
		while (!(body = ronde_ring_peek(&consumer, &got)))
			sched_yield();
		bad += got != bytes || !same(body, got, i);
		ronde_ring_consume(&consumer);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(bad, 0);
	munmap(memory, RING_BYTES);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{as_a_queue, 0, 8},    {room_is_exact, 0, 8},       {room_for_the_largest, ONCE},
		{tells_of_room, ONCE}, {between_two_threads, ONCE}, {between_two_processes, ONCE},
	};
	return SUITE_RUN("ring", 60, tests);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A heap for each case of a suite, and what suites ask about it. */
#ifndef RONDE_TESTS_HEAP_FIXTURE_H
#define RONDE_TESTS_HEAP_FIXTURE_H

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "collectives/heap.h"
#include "tests/seed.h"

#define MIB ((size_t)1 << 20)

static struct ronde_heap *heap;

static inline void make_heap(void)
{
	ck_assert_int_eq(ronde_heap_create(&heap, (size_t)1 << 40), RONDE_OK);
}

static inline void destroy_heap(void)
{
	ronde_heap_destroy(heap);
}

/* Sizes of all orders alike, up to 2^bits. */
static inline size_t random_size(uint64_t *state, int bits)
{
	uint64_t order = next_random(state) % (uint64_t)(bits + 1);
	return next_random(state) & (((uint64_t)1 << order) - 1);
}

/* 0 as well where the system gives huge pages unasked: then it is not ours to count. */
static inline size_t memory_used(void)
{
	struct stat file;
	char huge[128] = "";
	FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "r");
	if (f && !fgets(huge, sizeof huge, f))
		huge[0] = '\0';
	if (f)
		fclose(f);
	if (strstr(huge, "[always]") || strstr(huge, "[within_size]") || strstr(huge, "[force]"))
		return 0;
	ck_assert_int_eq(fstat(ronde_heap_fd(heap), &file), 0);
	return (size_t)file.st_blocks * 512;
}

static inline bool all_bytes(const unsigned char *memory, size_t bytes, unsigned char value)
{
	return bytes == 0 || (memory[0] == value && memcmp(memory, memory + 1, bytes - 1) == 0);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime end to end on ranks as threads: every operation, on every path, named and unnamed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/ranks.h"
#include "tests/sizes.h"
#include "tests/suite.h"

static const int worlds[] = {1, 2, 3, 4, 5, 8};
#define WORLDS ((int)(sizeof worlds / sizeof *worlds))

/* Sums of small whole numbers: exact in float32 whatever the order. */
static float value(int rank, uint64_t i, int step)
{
	return (float)((int)(i % 97) + 3 * rank + step);
}

static float sum_of_values(int size, uint64_t i, int step)
{
	float sum = 0;
	for (int r = 0; r < size; r++)
		sum += value(r, i, step);
	return sum;
}

static int wrong_elements(const float *data, uint64_t count, int size, int step)
{
	int wrong = 0;
	for (uint64_t i = 0; i < count; i++)
		wrong += data[i] != sum_of_values(size, i, step);
	return wrong;
}

static const uint64_t counts[] = {0, 1, 8, 1000, 3000, 20011, 100003, 1 << 20};
#define ALL_COUNTS ((int)(sizeof counts / sizeof *counts))
/* Without the largest but in gcc's plain build, the two largest under the race checker. */
#define COUNTS (ALL_COUNTS - (test_turns(100) < 100) - (test_turns(100) < 10))

static float *new_floats(struct rank *r, uint64_t count, bool heap)
{
	size_t bytes = count * sizeof(float) + 4;
	return heap ? ronde_heap_alloc(r->heap, bytes) : malloc(bytes);
}

static void drop_floats(struct rank *r, float *data, bool heap)
{
	if (heap)
		must(ronde_heap_free(r->heap, data), "free");
	else
		free(data);
}

static void sum_body(struct rank *r)
{
	bool heap = r->arg != NULL;
	for (int c = 0; c < COUNTS; c++) {
		uint64_t n = counts[c];
		float *in = new_floats(r, n, heap), *out = new_floats(r, n, heap);
		int wrong = 0;
		for (int step = 0; step < 3; step++) {
			char name[32];
			snprintf(name, sizeof name, "tensor %d", c);
			for (uint64_t i = 0; i < n; i++)
				in[i] = value(r->rank, i, step);
			must(allreduce(r, step < 2 ? name : NULL, in, out, n, RONDE_FLOAT32,
				       RONDE_SUM),
			     "allreduce");
			wrong += wrong_elements(out, n, r->size, step);
			must(allreduce(r, step < 2 ? name : NULL, in, in, n, RONDE_FLOAT32,
				       RONDE_SUM),
			     "allreduce in place");
			wrong += wrong_elements(in, n, r->size, step);
		}
		ck_assert_int_eq(wrong, 0);
		drop_floats(r, in, heap);
		drop_floats(r, out, heap);
	}
}

START_TEST(sum_of_ordinary_memory)
{
	run_ranks(worlds[_i], NULL, sum_body, NULL);
}
END_TEST

START_TEST(sum_of_heap_memory)
{
	static int heap;
	run_ranks(worlds[_i], NULL, sum_body, &heap);
}
END_TEST

static void broadcast_body(struct rank *r)
{
	bool heap = r->arg != NULL;
	for (int c = 0; c < COUNTS; c++) {
		uint64_t n = counts[c];
		float *in = new_floats(r, n, heap), *out = new_floats(r, n, heap);
		int wrong = 0;
		for (int root = 0; root < r->size; root++) {
			ronde_handle h;
			for (uint64_t i = 0; i < n; i++)
				in[i] = value(r->rank, i, root), out[i] = -1;
			must(submit_broadcast(r, NULL, in, out, n, RONDE_FLOAT32, root, &h),
			     "broadcast");
			must(wait_for(r, h), "broadcast");
			for (uint64_t i = 0; i < n; i++)
				wrong += out[i] != value(root, i, root);
			must(submit_broadcast(r, "again", in, in, n, RONDE_FLOAT32, root, &h),
			     "in place");
			must(wait_for(r, h), "in place");
			for (uint64_t i = 0; i < n; i++)
				wrong += in[i] != value(root, i, root);
		}
		ck_assert_int_eq(wrong, 0);
		drop_floats(r, in, heap);
		drop_floats(r, out, heap);
	}
}

START_TEST(broadcast_of_ordinary_memory)
{
	run_ranks(worlds[_i], NULL, broadcast_body, NULL);
}
END_TEST

START_TEST(broadcast_of_heap_memory)
{
	static int heap;
	run_ranks(worlds[_i], NULL, broadcast_body, &heap);
}
END_TEST

/* Rank r gives (r + shift) % 3 × rows rows. */
static int64_t rows_of(int rank, int shift, int64_t rows)
{
	return (rank + shift) % 3 * rows;
}

static void allgather_body(struct rank *r)
{
	bool heap = r->arg != NULL;
	const int64_t columns = 7, most = test_turns(20000);
	float *in = new_floats(r, (uint64_t)(2 * most * columns), heap);
	for (int64_t rows = 1; rows <= most; rows *= 27)
		for (int shift = 0; shift < 3; shift++) {
			int64_t mine = rows_of(r->rank, shift, rows), all[64], k = 0;
			ronde_gathered out = {.rows_per_rank = all};
			ronde_handle h;
			int wrong = 0;
			for (int64_t i = 0; i < mine * columns; i++)
				in[i] = value(r->rank, (uint64_t)i, shift);
			must(submit_allgather(r, "gather", in, mine, columns, RONDE_FLOAT32, &out,
					      &h),
			     "allgather");
			must(wait_for(r, h), "allgather");
			const float *data = out.data;
			for (int m = 0; m < r->size; m++) {
				wrong += all[m] != rows_of(m, shift, rows);
				for (int64_t i = 0; i < all[m] * columns; i++)
					wrong += data[k++] != value(m, (uint64_t)i, shift);
			}
			ck_assert_int_eq(wrong, 0);
			ck_assert_int_eq(k, out.rows * columns);
			free(out.data);
		}
	drop_floats(r, in, heap);
}

START_TEST(allgather_of_ordinary_memory)
{
	run_ranks(worlds[_i], NULL, allgather_body, NULL);
}
END_TEST

START_TEST(allgather_of_heap_memory)
{
	static int heap;
	run_ranks(worlds[_i], NULL, allgather_body, &heap);
}
END_TEST

static void barrier_body(struct rank *r)
{
	_Atomic int *arrived = r->arg;
	for (int i = 0; i < test_turns(200); i++) {
		atomic_fetch_add(arrived, 1);
		must(barrier(r), "barrier");
		ck_assert_int_ge(atomic_load(arrived), (i + 1) * r->size);
	}
}

START_TEST(barriers)
{
	_Atomic int arrived = 0;
	run_ranks(worlds[_i], NULL, barrier_body, &arrived);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{sum_of_ordinary_memory, 0, WORLDS},
		{sum_of_heap_memory, 0, WORLDS},
		{broadcast_of_ordinary_memory, 0, WORLDS},
		{broadcast_of_heap_memory, 0, WORLDS},
		{allgather_of_ordinary_memory, 0, WORLDS},
		{allgather_of_heap_memory, 0, WORLDS},
		{barriers, 0, WORLDS},
	};
	return SUITE_RUN("runtime", 120, tests);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Alltoall through contexts: any splits, heap and ordinary memory, every kind of result memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/status.h"
#include "tests/ranks.h"
#include "tests/sizes.h"
#include "tests/suite.h"

static const int worlds[] = {1, 2, 3, 4, 5, 8};
#define WORLDS ((int)(sizeof worlds / sizeof *worlds))
#define MOST 8

/* Rows that `from` has for `to` in a round: any number, often none; in some rounds from one rank
 * only. */
static int64_t split(int from, int to, int round, int64_t scale)
{
	unsigned mixed = (unsigned)(from * 7 + to * 13 + round * 29);
	if (round % 5 == 4 && from != round % 3)
		return 0;
	return mixed % 4 == 0 ? 0 : (int64_t)(mixed % 11) * scale;
}

/* Element i of what `from` has for `to`. */
static unsigned char value(int from, int to, int64_t i)
{
	return (unsigned char)(from * 31 + to * 17 + i % 251);
}

struct round {
	int number;
	int64_t scale, columns; /* bytes of a row */
	bool heap, even, rest;  /* rows that stay unsent */
};

static int64_t rows_for(const struct rank *r, const struct round *t, int from, int to)
{
	(void)r;
	return t->even ? t->scale : split(from, to, t->number, t->scale);
}

static unsigned char *make_input(struct rank *r, const struct round *t, int64_t *splits,
				 int64_t *rows)
{
	*rows = t->rest ? 3 : 0;
	for (int m = 0; m < r->size; m++)
		*rows += splits[m] = rows_for(r, t, r->rank, m);
	size_t bytes = (size_t)(*rows * t->columns) + 1;
	unsigned char *input = t->heap ? ronde_heap_alloc(r->heap, bytes) : malloc(bytes);
	int64_t at = 0;
	for (int m = 0; m < r->size; m++)
		for (int64_t i = 0; i < splits[m] * t->columns; i++)
			input[at++] = value(r->rank, m, i);
	return input;
}

static int wrong_bytes(struct rank *r, const struct round *t, const ronde_gathered *g,
		       const int64_t *received)
{
	const unsigned char *at = g->data;
	int64_t rows = 0;
	int wrong = 0;
	for (int m = 0; m < r->size; m++) {
		int64_t mine = rows_for(r, t, m, r->rank);
		wrong += received[m] != mine;
		for (int64_t i = 0; i < mine * t->columns; i++)
			wrong += *at++ != value(m, r->rank, i);
		rows += mine;
	}
	return wrong + (g->rows != rows);
}

static void *give_memory(size_t bytes, void *arg)
{
	*(size_t *)arg = bytes;
	return malloc(bytes + 1);
}

static void one_round(struct rank *r, const struct round *t)
{
	int64_t splits[MOST], received[MOST], rows;
	unsigned char *input = make_input(r, t, splits, &rows);
	size_t asked = 0;
	ronde_gathered g = {.rows_per_rank = received};
	if (t->number % 2)
		g.alloc = give_memory, g.alloc_arg = &asked;
	struct ronde_submission s = {.name = t->number % 3 ? "t" : NULL,
				     .input = input,
				     .count = (uint64_t)(rows * t->columns),
				     .rows = rows,
				     .splits = t->even ? NULL : splits,
				     .gathered = &g,
				     .desc = {.kind = RONDE_KIND_ALLTOALL,
					      .dtype = RONDE_UINT8,
					      .ndim = 2,
					      .prescale = 1,
					      .postscale = 1,
					      .dims = {0, t->columns}}};
	ronde_handle h;
	must(ronde_submit(r->context, &s, &h), "alltoall");
	memset(splits, 0xff, sizeof splits); /* they have been read */
	must(wait_for(r, h), "alltoall");
	ck_assert_int_eq(wrong_bytes(r, t, &g, received), 0);
	ck_assert(!g.alloc || asked == (size_t)(g.rows * t->columns));
	free(g.data);
	if (t->heap)
		must(ronde_heap_free(r->heap, input), "free");
	else
		free(input);
}

static void rounds_body(struct rank *r)
{
	static const int64_t columns[] = {1, 7, 1000, 0};
	const int64_t *scale = r->arg;
	for (int i = 0; i < 24; i += test_stride()) {
		struct round t = {.number = i,
				  .scale = i % 6 ? *scale / (1 + i % 4) : 1,
				  .columns = columns[i % 4],
				  .heap = i & 8,
				  .even = i % 7 == 6,
				  .rest = i % 7 == 3};
		one_round(r, &t);
	}
}

START_TEST(all_splits)
{
	int64_t scale = 40;
	run_ranks(worlds[_i], NULL, rounds_body, &scale);
}
END_TEST

/* Chunks so small that a cell for each rank does not fit in. */
START_TEST(splits_in_tight_staging)
{
	static const char *const tight[] = {"chunk_bytes",   "192", "lanes", "1",
					    "staging_bytes", "64K", NULL};
	int64_t scale = 10;
	run_ranks(worlds[_i], tight, rounds_body, &scale);
}
END_TEST

static void large_body(struct rank *r)
{
	bool slow = test_stride() > 1;
	for (int i = 0; i < 4; i += slow ? 2 : 1) {
		struct round t = {.number = i * 2 + 1,
				  .scale = slow ? 601 : 3001,
				  .columns = 97,
				  .heap = i >= 2};
		one_round(r, &t);
	}
}

START_TEST(large)
{
	run_ranks(worlds[_i], NULL, large_body, NULL);
}
END_TEST

/* The last rank has too little memory: its own error only, and the others get their rows. */
static void truncated_body(struct rank *r)
{
	bool heap = r->arg != NULL;
	struct round t = {.number = 1, .scale = 500, .columns = 100, .heap = heap, .even = true};
	int64_t splits[MOST], received[MOST], rows;
	unsigned char *input = make_input(r, &t, splits, &rows), *output = malloc(500 * 100 * MOST);
	size_t bytes = (size_t)(rows * t.columns), room = bytes - (r->rank == r->size - 1);
	ronde_gathered g = {.data = output, .capacity_bytes = room, .rows_per_rank = received};
	struct ronde_submission s = {.name = "rows",
				     .input = input,
				     .count = bytes,
				     .rows = rows,
				     .gathered = &g,
				     .desc = {.kind = RONDE_KIND_ALLTOALL,
					      .dtype = RONDE_UINT8,
					      .ndim = 2,
					      .prescale = 1,
					      .postscale = 1,
					      .dims = {0, t.columns}}};
	ronde_handle h;
	char text[300];
	must(ronde_submit(r->context, &s, &h), "alltoall");
	int status = wait_for(r, h);
	snprintf(text, sizeof text,
		 "tensor \"rows\": the alltoall's result has %zu bytes (%lld rows of 100), the "
		 "memory given for it %zu",
		 bytes, (long long)rows, room);
	if (room == bytes) {
		must(status, "alltoall");
		ck_assert_int_eq(wrong_bytes(r, &t, &g, received), 0);
	} else {
		ck_assert_int_eq(status, RONDE_ERR_TRUNCATED);
		ck_assert_str_eq(ronde_error_message(), text);
	}
	free(output);
	must(barrier(r), "barrier");
	if (heap)
		must(ronde_heap_free(r->heap, input), "free");
	else
		free(input);
}

START_TEST(truncated)
{
	static int heap;
	run_ranks(worlds[_i], NULL, truncated_body, NULL);
	run_ranks(worlds[_i], NULL, truncated_body, &heap);
}
END_TEST

/* Splits are data: new ones every time need no new description. */
static void cached_body(struct rank *r)
{
	for (int i = 0; i < test_turns(20); i++) {
		struct round t = {.number = i * 3 + 1, .scale = 1 + i, .columns = 5};
		one_round(r, &t);
	}
	ck_assert_uint_le(atomic_load(&r->context->counters.descriptions_sent), 2);
}

START_TEST(splits_are_data)
{
	run_ranks(4, NULL, cached_body, NULL);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{all_splits, 0, WORLDS}, {splits_in_tight_staging, 0, WORLDS},
		{large, 0, WORLDS},      {truncated, 0, WORLDS},
		{splits_are_data, ONCE},
	};
	return SUITE_RUN("alltoall", 120, tests);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reducescatter through contexts: the same bits as in its rows of an allreduce, for every type,
 * reduction, path and placement of the result.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/share.h"
#include "collectives/status.h"
#include "tests/ranks.h"
#include "tests/schedules/values.h"
#include "tests/sizes.h"
#include "tests/suite.h"

static const int worlds[] = {1, 2, 3, 4, 5, 8};
#define WORLDS ((int)(sizeof worlds / sizeof *worlds))

enum place { APART, OWN_ROWS, START, PLACES };

/* One tensor of a test, the same on all ranks. */
struct shape {
	int64_t rows, columns;
	ronde_dtype dtype;
	ronde_reduction reduction;
	double prescale, postscale;
};

static uint64_t count_of(const struct shape *t)
{
	return (uint64_t)(t->rows * t->columns);
}

static struct ronde_submission submission(const struct shape *t, enum ronde_kind kind,
					  const void *input, void *output)
{
	return (struct ronde_submission){.input = input,
					 .output = output,
					 .count = count_of(t),
					 .desc = {.kind = (uint8_t)kind,
						  .dtype = (uint8_t)t->dtype,
						  .reduction = (uint8_t)t->reduction,
						  .ndim = 2,
						  .prescale = t->prescale,
						  .postscale = t->postscale,
						  .dims = {t->rows, t->columns}}};
}

static void *get(struct rank *r, bool heap, size_t bytes)
{
	return heap ? ronde_heap_alloc(r->heap, bytes + 1) : malloc(bytes + 1);
}

static void put(struct rank *r, bool heap, void *memory)
{
	if (heap)
		must(ronde_heap_free(r->heap, memory), "free");
	else
		free(memory);
}

static void fill(struct rank *r, const struct shape *t, void *memory)
{
	unsigned char period[PERIOD * 8];
	uint64_t state = (uint64_t)(r->rank * 1000 + t->dtype);
	make_period(&state, t->dtype, false, period);
	spread(memory, count_of(t) * ronde_dtype_bytes(t->dtype), period,
	       ronde_dtype_bytes(t->dtype));
}

/* The whole result, by an allreduce. */
static unsigned char *reduce_all(struct rank *r, const struct shape *t)
{
	unsigned char *all = get(r, false, count_of(t) * ronde_dtype_bytes(t->dtype));
	ronde_handle h;
	fill(r, t, all);
	struct ronde_submission s = submission(t, RONDE_KIND_ALLREDUCE, all, all);
	must(ronde_submit(r->context, &s, &h), "allreduce");
	must(wait_for(r, h), "allreduce");
	return all;
}

/* One reducescatter of a tensor. */
struct trial {
	bool heap;
	unsigned char *in, *before, *apart, *out;
	struct ronde_share mine;
	ronde_handle handle;
};

static void begin(struct rank *r, const struct shape *t, enum place place, struct trial *l)
{
	size_t element = ronde_dtype_bytes(t->dtype), bytes = count_of(t) * element;
	l->mine = ronde_share_bytes((uint64_t)t->rows, (uint64_t)t->columns * element, r->size,
				    r->rank);
	l->in = get(r, l->heap, bytes);
	l->before = get(r, false, bytes);
	l->apart = get(r, l->heap, l->mine.count);
	l->out = place == APART ? l->apart : place == START ? l->in : l->in + l->mine.first;
	fill(r, t, l->in);
	memcpy(l->before, l->in, bytes);
	struct ronde_submission s = submission(t, RONDE_KIND_REDUCESCATTER, l->in, l->out);
	must(ronde_submit(r->context, &s, &l->handle), "reducescatter");
}

/* True if the result is the allreduce's, and nothing else was written. */
static bool end(struct rank *r, const struct shape *t, const unsigned char *all, struct trial *l)
{
	const unsigned char *wanted = all + l->mine.first;
	must(wait_for(r, l->handle), "reducescatter");
	bool good = memcmp(l->out, wanted, l->mine.count) == 0;
	if (l->out != l->apart)
		memcpy(l->before + (l->out - l->in), wanted, l->mine.count);
	good &= memcmp(l->in, l->before, count_of(t) * ronde_dtype_bytes(t->dtype)) == 0;
	put(r, l->heap, l->in);
	put(r, l->heap, l->apart);
	free(l->before);
	return good;
}

static int wrong(struct rank *r, const struct shape *t)
{
	struct trial trials[2 * PLACES];
	unsigned char *all = reduce_all(r, t);
	int bad = 0;
	for (int i = 0; i < 2 * PLACES; i++) {
		trials[i].heap = i % 2;
		begin(r, t, (enum place)(i / 2), &trials[i]);
	}
	for (int i = 0; i < 2 * PLACES; i++)
		if (!end(r, t, all, &trials[i])) {
			printf("rank %d: %lld x %lld %s %s place %d heap %d\n", r->rank,
			       (long long)t->rows, (long long)t->columns,
			       ronde_dtype_name(t->dtype), ronde_reduction_name(t->reduction),
			       i / 2, i % 2);
			bad++;
		}
	free(all);
	return bad;
}

/* Small ones ride; with carry_bytes 0 the same ones take the other paths. */
static void types_body(struct rank *r)
{
	int bad = 0;
	for (int i = 0; i < (int)RONDE_DTYPE_COUNT * RONDE_REDUCTION_COUNT; i += test_stride()) {
		int d = i / RONDE_REDUCTION_COUNT, red = i % RONDE_REDUCTION_COUNT;
		if (red == RONDE_ADASUM)
			continue;
		struct shape t = {r->size * 3 + 2, 17,
				  (ronde_dtype)d,  (ronde_reduction)red,
				  d % 2 ? 1 : 0.5, d % 3 ? 1 : 1.5};
		bad += wrong(r, &t);
	}
	ck_assert_int_eq(bad, 0);
}

START_TEST(types)
{
	static const char *const alone[] = {"carry_bytes", "0", NULL};
	run_ranks(worlds[_i], NULL, types_body, NULL);
	run_ranks(worlds[_i], alone, types_body, NULL);
}
END_TEST

/* Fewer rows than ranks, none at all, rows of nothing, one element more or less than a chunk. */
static void sizes_body(struct rank *r)
{
	/* The most rows are many chunks; where each takes long, fewer do. */
	const int64_t most = test_stride() > 5 ? 2003 : test_stride() > 1 ? 6007 : 60013;
	const int64_t sizes[][2] = {{0, 5},   {1, 1},    {2, 0},    {3, 33},  {7, 1},
				    {8, 512}, {9, 1009}, {1033, 3}, {most, 1}};
	const int of_all = 2 * (int)(sizeof sizes / sizeof *sizes),
		  step = test_stride() > 5 ? 3 : 1;
	int bad = 0;
	for (int i = r->size % step; i < of_all; i += step) {
		struct shape t = {.rows = sizes[i / 2][0],
				  .columns = sizes[i / 2][1],
				  .dtype = i % 2 ? RONDE_BFLOAT16 : RONDE_FLOAT32,
				  .reduction = RONDE_AVERAGE,
				  .prescale = 1,
				  .postscale = 1};
		bad += wrong(r, &t);
	}
	ck_assert_int_eq(bad, 0);
}

START_TEST(shapes)
{
	static const char *const tight[] = {"carry_bytes",   "0",     "chunk_bytes",
					    "256",           "lanes", "1",
					    "staging_bytes", "64K",   NULL};
	run_ranks(worlds[_i], NULL, sizes_body, NULL);
	run_ranks(worlds[_i], tight, sizes_body, NULL);
}
END_TEST

/* Many at once, of different shapes, in one entry or a few; results as alone. */
#define MANY 40

static void fused_body(struct rank *r)
{
	static const int heaps[] = {0, 1};
	for (size_t k = 0; k < 2; k++) {
		bool heap = heaps[k], good = true;
		unsigned char *in[MANY], *out[MANY], *all[MANY];
		ronde_handle h[MANY];
		struct shape t[MANY];
		struct ronde_share mine[MANY];
		for (int i = 0; i < MANY; i++) {
			t[i] = (struct shape){i % 11, 1 + i * 7, RONDE_FLOAT32, RONDE_SUM, 1, 1};
			all[i] = reduce_all(r, &t[i]);
			mine[i] = ronde_share_bytes((uint64_t)t[i].rows, (uint64_t)t[i].columns * 4,
						    r->size, r->rank);
			in[i] = get(r, heap, count_of(&t[i]) * 4);
			out[i] = get(r, heap, mine[i].count);
			fill(r, &t[i], in[i]);
		}
		uint64_t before = atomic_load(&r->context->counters.entries);
		for (int i = 0; i < MANY; i++) {
			struct ronde_submission s =
				submission(&t[i], RONDE_KIND_REDUCESCATTER, in[i], out[i]);
			must(ronde_submit(r->context, &s, &h[i]), "reducescatter");
		}
		for (int i = 0; i < MANY; i++) {
			must(wait_for(r, h[i]), "reducescatter");
			good &= memcmp(out[i], all[i] + mine[i].first, mine[i].count) == 0;
			put(r, heap, in[i]);
			put(r, heap, out[i]);
			free(all[i]);
		}
		ck_assert(good);
		uint64_t entries = atomic_load(&r->context->counters.entries) - before;
		ck_assert(!r->context->config.batch_delay_us || entries < MANY);
	}
}

START_TEST(fused)
{
	static const char *const alone[] = {"carry_bytes", "0", "batch_delay_us", "2000", NULL};
	run_ranks(worlds[_i], NULL, fused_body, NULL);
	run_ranks(worlds[_i], alone, fused_body, NULL);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{types, 0, WORLDS},
		{shapes, 0, WORLDS},
		{fused, 0, WORLDS},
	};
	return SUITE_RUN("reducescatter", 120, tests);
}

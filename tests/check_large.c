/* SPDX-License-Identifier: Apache-2.0 */
/*
 * More elements than an int can count: every operation in ordinary memory and in the heap, where a
 * tensor is one zero-copy entry; a group; 16-bit floats, their adasum, and clipping by their norm;
 * sparse rows. Two ranks' tensors take up to 9 GiB, so only RONDE_TEST_LONG has so many elements,
 * and no sanitizer, which would take several times as much; else all is done with a 2,048th of
 * them.
 */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/memory_room.h"
#include "tests/census.h"
#include "tests/fork_ranks.h"
#include "tests/schedules/values.h"
#include "tests/sizes.h"
#include "tests/skip.h"
#include "tests/suite.h"

#define RANKS 2
#define LONG_BITS 31
#define USUAL_BITS 20
#define BEYOND 12345
#define LONG_BYTES (10ULL << 30)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

static bool is_large(void)
{
	return test_is_long() && !SANITIZED;
}

static size_t many(void)
{
	return ((size_t)1 << (is_large() ? LONG_BITS : USUAL_BITS)) + BEYOND;
}

/* ---- one rank's memory ---- */

struct side {
	int rank;
	bool heap;
	ronde_dtype dtype;
	unsigned char given[RANKS][PERIOD * 8]; /* what each rank's tensor repeats */
	ronde_counters before;
};

static void *get(const struct side *s, size_t bytes)
{
	void *x = s->heap ? ronde_alloc(bytes) : malloc(bytes);
	require(x != NULL, "no memory for %zu bytes: %s", bytes, ronde_error_message());
	return x;
}

static void drop(const struct side *s, void *x)
{
	if (s->heap)
		require_ok(ronde_free(x));
	else
		free(x);
}

static void look(struct side *s)
{
	s->before = (ronde_counters){.size = sizeof s->before};
	require_ok(ronde_get_counters(&s->before));
}

/* All since look() was so many entries, and in the heap no byte of them was copied. */
static void require_entries(struct side *s, const char *what, uint64_t wanted)
{
	const ronde_counters a = s->before;
	look(s);
	uint64_t direct = s->before.entries_zero_copy - a.entries_zero_copy;
	uint64_t entries = s->before.entries - a.entries;
	require(entries == wanted && direct == (s->heap ? wanted : 0),
		"%s: %d entries, %d of them zero-copy", what, (int)entries, (int)direct);
}

/* That x is elements first, first + 1, … of a period over and over. */
static void require_period(const struct side *s, const void *x, size_t first, size_t n,
			   const void *period)
{
	size_t bytes = n * ronde_dtype_bytes(s->dtype);
	int64_t wrong = find_wrong_from(first, x, bytes, period, s->dtype, false);
	require(wrong < 0, "element %lld of %zu is wrong", (long long)wrong, n);
}

static void *make_tensor(const struct side *s, size_t n)
{
	size_t element = ronde_dtype_bytes(s->dtype);
	void *x = get(s, n * element);
	spread(x, n * element, s->given[s->rank], element);
	return x;
}

/* ---- the operations ---- */

static void refer(const struct side *s, ronde_reduction reduction, void *period)
{
	const struct ronde_reduce_spec spec = {.dtype = s->dtype,
					       .reduction = reduction,
					       .prescale = 1,
					       .postscale = 1,
					       .divisor = RANKS};
	const void *const all[RANKS] = {s->given[0], s->given[1]};
	reduce_periods(&spec, all, RANKS, period);
}

static void reduce(struct side *s, ronde_reduction reduction, const void *wanted)
{
	void *x = make_tensor(s, many());
	look(s);
	require_ok(ronde_allreduce("large", x, x, (int64_t)many(), s->dtype, reduction));
	require_entries(s, "allreduce", 1);
	require_period(s, x, 0, many(), wanted);
	drop(s, x);
}

static void sum(struct side *s)
{
	unsigned char wanted[PERIOD * 8];
	refer(s, RONDE_SUM, wanted);
	reduce(s, RONDE_SUM, wanted);
}

static void average(struct side *s)
{
	unsigned char wanted[PERIOD * 8];
	refer(s, RONDE_AVERAGE, wanted);
	reduce(s, RONDE_AVERAGE, wanted);
}

/* The sum of products of two tensors' elements. */
static long double dot(const struct side *s, int a, int b)
{
	const size_t element = ronde_dtype_bytes(s->dtype);
	const size_t times = many() / PERIOD, rest = many() % PERIOD;
	long double whole = 0, part = 0;
	for (size_t i = 0; i < PERIOD; i++) {
		long double product = (long double)real_of(s->dtype, s->given[a] + i * element) *
				      real_of(s->dtype, s->given[b] + i * element);
		whole += product;
		part += i < rest ? product : 0;
	}
	return whole * (long double)times + part;
}

/* By the formula; no element is so near to the middle of two float16 that the order counts. */
static void adasum(struct side *s)
{
	unsigned char wanted[PERIOD * 8];
	const size_t element = ronde_dtype_bytes(s->dtype);
	const long double ab = dot(s, 0, 1);
	const double left = (double)(1 - ab / (2 * dot(s, 0, 0)));
	const double right = (double)(1 - ab / (2 * dot(s, 1, 1)));
	for (size_t at = 0; at < PERIOD * element; at += element)
		set_real(s->dtype, wanted + at,
			 left * real_of(s->dtype, s->given[0] + at) +
				 right * real_of(s->dtype, s->given[1] + at));
	reduce(s, RONDE_ADASUM, wanted);
}

/* To half of their norm: each element becomes half of itself. */
static void clip(struct side *s)
{
	unsigned char wanted[PERIOD * 8];
	const size_t element = ronde_dtype_bytes(s->dtype);
	const double expected = (double)sqrtl(dot(s, s->rank, s->rank));
	double norm = 0;
	void *x = make_tensor(s, many());
	const ronde_parameter all[] = {{"large", NULL, x, (int64_t)many(), s->dtype}};
	require_ok(ronde_clip_by_global_norm(all, 1, INFINITY, 1, &norm));
	require(fabs(norm - expected) <= 1e-9 * expected, "the norm is %.17g, not %.17g", norm,
		expected);
	require_ok(ronde_clip_by_global_norm(all, 1, norm / 2, 1, NULL));
	for (size_t at = 0; at < PERIOD * element; at += element)
		set_real(s->dtype, wanted + at, real_of(s->dtype, s->given[s->rank] + at) / 2);
	require_period(s, x, 0, many(), wanted);
	drop(s, x);
}

static void reducescatter(struct side *s)
{
	const int64_t shape[] = {(int64_t)many()};
	unsigned char wanted[PERIOD * 8];
	int64_t first, count;
	unsigned char *x = make_tensor(s, many());
	refer(s, RONDE_SUM, wanted);
	require_ok(ronde_reducescatter_rows(shape[0], RANKS, s->rank, &first, &count));
	look(s);
	require_ok(ronde_reducescatter("large", x, x + first, shape, 1, s->dtype, RONDE_SUM));
	require_entries(s, "reducescatter", 1);
	require_period(s, x + first, (size_t)first, (size_t)count, wanted);
	drop(s, x);
}

static void broadcast(struct side *s)
{
	void *x = make_tensor(s, many());
	look(s);
	require_ok(ronde_broadcast("large", x, x, (int64_t)many(), s->dtype, RANKS - 1));
	require_entries(s, "broadcast", 1);
	require_period(s, x, 0, many(), s->given[RANKS - 1]);
	drop(s, x);
}

/* Rank 0 has all but a few rows; together there are too many for an int. */
static void allgather(struct side *s)
{
	const size_t few = 5, rows[RANKS] = {many() - few, few};
	const int64_t shape[] = {(int64_t)rows[s->rank]};
	void *x = make_tensor(s, rows[s->rank]);
	unsigned char *to = get(s, many());
	ronde_gathered g = {.data = to, .capacity_bytes = many()};
	look(s);
	require_ok(ronde_allgather("large", x, shape, 1, s->dtype, &g));
	require_entries(s, "allgather", 1);
	require(g.rows == (int64_t)many(), "%lld rows", (long long)g.rows);
	require_period(s, to, 0, rows[0], s->given[0]);
	require_period(s, to + rows[0], 0, rows[1], s->given[1]);
	drop(s, to);
	drop(s, x);
}

/* Nearly all goes to rank 1, which has nearly twice as many in the end. */
static void alltoall(struct side *s)
{
	const int64_t shape[] = {(int64_t)many()}, splits[RANKS] = {7, (int64_t)many() - 7};
	const size_t here = (size_t)splits[s->rank], begin = s->rank ? (size_t)splits[0] : 0;
	void *x = make_tensor(s, many());
	unsigned char *to = get(s, RANKS * here);
	ronde_gathered g = {.data = to, .capacity_bytes = RANKS * here};
	look(s);
	require_ok(ronde_alltoall("large", x, shape, 1, s->dtype, splits, RANKS, &g));
	require_entries(s, "alltoall", 1);
	require(g.rows == (int64_t)(RANKS * here), "%lld rows", (long long)g.rows);
	for (int from = 0; from < RANKS; from++)
		require_period(s, to + (size_t)from * here, begin, here, s->given[from]);
	drop(s, to);
	drop(s, x);
}

static void group(struct side *s)
{
	unsigned char wanted[PERIOD * 8];
	const int64_t n[] = {3, (int64_t)many(), 3};
	ronde_group_tensor tensors[3];
	void *x[3];
	refer(s, RONDE_MAX, wanted);
	for (int i = 0; i < 3; i++) {
		x[i] = make_tensor(s, (size_t)n[i]);
		tensors[i] = (ronde_group_tensor){
			.input = x[i], .output = x[i], .count = n[i], .dtype = s->dtype};
	}
	require_ok(ronde_grouped_allreduce("large", tensors, 3, RONDE_MAX));
	for (int i = 0; i < 3; i++) {
		require_period(s, x[i], 0, (size_t)n[i], wanted);
		drop(s, x[i]);
	}
}

/* Each rank gives half of the rows. */
static void sparse(struct side *s)
{
	enum { ROWS = 1025 };
	static int64_t indices[ROWS];
	const int64_t width = (int64_t)many() / (RANKS * ROWS) + 1;
	const size_t given = ROWS * (size_t)width;
	ronde_sparse result = {0};
	for (int i = 0; i < ROWS; i++)
		indices[i] = s->rank + RANKS * i;
	void *x = make_tensor(s, given);
	const ronde_sparse_rows rows = {ROWS, width, indices, x, s->dtype};
	require_ok(ronde_sparse_allreduce("large", &rows, RONDE_SUM, NULL, &result));
	require(result.result.rows == RANKS * ROWS && result.result.width == width, "%lld rows",
		(long long)result.result.rows);
	const unsigned char *to = result.result.values;
	for (int from = 0; from < RANKS; from++) {
		for (int i = 0; i < ROWS; i++)
			require(result.result.indices[from * ROWS + i] == from + RANKS * i,
				"index %d of rank %d", i, from);
		require_period(s, to + (size_t)from * given, 0, given, s->given[from]);
	}
	free(result.indices.data);
	free(result.values.data);
	drop(s, x);
}

static const struct {
	const char *name;
	ronde_dtype dtype;
	void (*run)(struct side *s);
} operations[] = {
	{"allreduce", RONDE_UINT8, sum},
	{"allreduce float16 average", RONDE_FLOAT16, average},
	{"allreduce float16 adasum", RONDE_FLOAT16, adasum},
	{"reducescatter", RONDE_UINT8, reducescatter},
	{"broadcast", RONDE_UINT8, broadcast},
	{"allgather", RONDE_UINT8, allgather},
	{"alltoall", RONDE_UINT8, alltoall},
	{"grouped allreduce", RONDE_UINT8, group},
	{"sparse allreduce", RONDE_UINT8, sparse},
	{"clipping by global norm", RONDE_FLOAT16, clip},
};
#define OPERATIONS ((int)(sizeof operations / sizeof *operations))

/* A case's number: an operation's, and which memory. */
static void body(int rank, int size, const void *arg)
{
	int number = *(const int *)arg;
	uint64_t state = 1;
	struct side s = {.rank = rank, .heap = number % 2, .dtype = operations[number / 2].dtype};
	require(size == RANKS, "%d ranks", size);
	for (int r = 0; r < RANKS; r++)
		make_period(&state, s.dtype, false, s.given[r]);
	operations[number / 2].run(&s);
}

START_TEST(more_than_an_int_can_count)
{
	char what[100];
	struct ronde_memory_room room;
	ronde_memory_room(&room, "");
	if (is_large() && room.bytes < LONG_BYTES) {
		test_skip(operations[_i / 2].name, "there are less than 10 GiB of free memory");
		return;
	}
	ck_assert_int_eq(fork_ranks(RANKS, body, &_i), 0);
	snprintf(what, sizeof what, "%s of %zu elements", operations[_i / 2].name, many());
	report_census("large", _i % 2 ? "2 ranks, heap" : "2 ranks, ordinary memory", 1, 1, what);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {{more_than_an_int_can_count, 0, 2 * OPERATIONS}};
	const double seconds = 2 * (is_large() ? FORK_RANKS_LONG : FORK_RANKS_SECONDS);
	return SUITE_RUN("large", seconds, tests);
}

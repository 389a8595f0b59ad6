/* SPDX-License-Identifier: Apache-2.0 */
/* Grouped operations as a program calls them: results of mixed types, process sets, ranks that have
 * joined, the one handle; and what bad input gets: the whole text, and nothing submitted. */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tests/rank_bodies.h"
#include "tests/suite.h"

#define THREE 3

static float in[16], out[16];
static const int64_t rows[2] = {4, 2};
static ronde_handle handle;

static uint64_t submitted(void)
{
	ronde_counters c = {.size = sizeof c};
	require_ok(ronde_get_counters(&c));
	return c.submitted;
}

/* Three tensors that every grouped operation takes. */
static void make(ronde_group_tensor *t, ronde_gathered *gathered)
{
	for (int i = 0; i < THREE; i++) {
		gathered[i] = (ronde_gathered){0};
		t[i] = (ronde_group_tensor){.input = in,
					    .output = out,
					    .gathered = &gathered[i],
					    .shape = rows,
					    .ndim = 2,
					    .count = 8,
					    .dtype = RONDE_FLOAT32};
	}
}

/* ---- results ---- */

/* Tensors of different types and sizes, one empty and one 0-d, in place and not. */
static void mixed(int rank, int size, const void *arg)
{
	(void)arg;
	const int sum = size * (size + 1) / 2;
	int64_t whole[2];
	double real[5], sums[5], scalar;
	uint8_t yes;
	ronde_group_tensor t[] = {
		{.input = whole, .output = whole, .count = 2, .dtype = RONDE_INT64},
		{.input = real, .output = sums, .count = 5, .dtype = RONDE_FLOAT64},
		{.dtype = RONDE_FLOAT16},
		{.input = &scalar,
		 .output = &scalar,
		 .shape = rows,
		 .ndim = 0,
		 .count = 1,
		 .dtype = RONDE_FLOAT64},
		{.input = &yes, .output = &yes, .count = 1, .dtype = RONDE_BOOL},
	};
	const size_t n = sizeof t / sizeof *t;
	for (int round = 0; round < 4; round++) {
		uint64_t before = submitted();
		for (int i = 0; i < 2; i++)
			whole[i] = (int64_t)(rank + 1) << (40 * i);
		for (int i = 0; i < 5; i++)
			real[i] = (rank + 1) * 0.5;
		scalar = rank + 1;
		yes = rank == size - 1;
		require_ok(ronde_grouped_allreduce(round % 2 ? "mixed" : NULL, t, n, RONDE_SUM));
		require(submitted() - before == n, "%d submitted", (int)(submitted() - before));
		require(whole[0] == sum && whole[1] == (int64_t)sum << 40, "whole numbers");
		for (int i = 0; i < 5; i++)
			require(sums[i] == sum * 0.5 && real[i] == (rank + 1) * 0.5, "reals");
		require(scalar == sum && yes == 1, "a scalar and a bool");
	}
}

/* Rank r brings r + 1 rows of one tensor and 2 of another; and each rank gets its rows of a sum. */
static void rows_of_ranks(int rank, int size, const void *arg)
{
	(void)arg;
	int32_t mine[8], two[2] = {rank, -rank}, all[16], of_each[8];
	int64_t shapes[2][1] = {{rank + 1}, {2}}, counts[8], wide[1] = {3 * size + 1};
	ronde_gathered g[2] = {{.rows_per_rank = counts}, {.data = all, .capacity_bytes = 64}};
	ronde_group_tensor t[2] = {{.input = mine,
				    .gathered = &g[0],
				    .shape = shapes[0],
				    .ndim = 1,
				    .dtype = RONDE_INT32},
				   {.input = two,
				    .gathered = &g[1],
				    .shape = shapes[1],
				    .ndim = 1,
				    .dtype = RONDE_INT32}};
	for (int i = 0; i <= rank; i++)
		mine[i] = 100 * rank + i;
	require_ok(ronde_grouped_allgather("rows", t, 2));
	require(g[0].rows == size * (size + 1) / 2 && g[1].rows == 2 * size, "numbers of rows");
	const int32_t *gathered = g[0].data;
	for (int r = 0, k = 0; r < size; r++) {
		require(counts[r] == r + 1, "rows of rank %d", r);
		require(all[2 * r] == r && all[2 * r + 1] == -r, "two of rank %d", r);
		for (int i = 0; i <= r; i++)
			require(gathered[k++] == 100 * r + i, "row %d of rank %d", i, r);
	}
	free(g[0].data);

	int64_t *many = calloc((size_t)wide[0], sizeof *many), own[4];
	for (int64_t i = 0; i < wide[0]; i++)
		many[i] = i + rank;
	for (int i = 0; i < 8; i++)
		of_each[i] = i;
	int64_t eight[1] = {size};
	t[0] = (ronde_group_tensor){
		.input = many, .output = own, .shape = wide, .ndim = 1, .dtype = RONDE_INT64};
	t[1] = (ronde_group_tensor){.input = of_each,
				    .output = of_each,
				    .shape = eight,
				    .ndim = 1,
				    .dtype = RONDE_INT32};
	require_ok(ronde_grouped_reducescatter(NULL, t, 2, RONDE_MAX));
	int64_t first = 3 * rank + (rank > 0), count = 3 + (rank == 0);
	for (int64_t i = 0; i < count; i++)
		require(own[i] == first + i + size - 1, "row %d", (int)i);
	require(of_each[0] == rank, "its own row");
	free(many);
}

static void count_call(ronde_handle h, int status, const char *message, void *arg)
{
	(void)message;
	if (h == handle && status == RONDE_OK)
		atomic_fetch_add((_Atomic int *)arg, 1);
}

/* One handle for all: waited for once, called back once. */
static void one_handle(int rank, int size, const void *arg)
{
	(void)rank, (void)arg;
	static _Atomic int calls;
	float a[50] = {1}, b[50] = {2};
	ronde_group_tensor t[2] = {{.input = a, .output = a, .count = 50, .dtype = RONDE_FLOAT32},
				   {.input = b, .output = b, .count = 50, .dtype = RONDE_FLOAT32}};
	int done = 0;
	require_ok(ronde_grouped_allreduce_async("g", t, 2, RONDE_SUM, NULL, &handle));
	t[0] = t[1] = (ronde_group_tensor){0}; /* read before the function returned */
	require_ok(ronde_handle_on_done(handle, count_call, &calls));
	while (!done)
		require_ok(ronde_test(handle, &done));
	require(a[0] == (float)size && b[0] == 2 * (float)size, "done, and not all of it");
	require_ok(ronde_wait(handle));
	require(ronde_wait(handle) == RONDE_ERR_UNKNOWN_HANDLE, "waited twice");
	require_ok(ronde_barrier());
	while (atomic_load(&calls) == 0)
		usleep(1000);
	require(atomic_load(&calls) == 1, "%d calls", atomic_load(&calls));
}

/* One name on two overlapping sets and on all ranks, all in flight, in each rank's own order. */
static void sets(int rank, int size, const void *arg)
{
	(void)arg;
	int ids[3] = {0}, members[3] = {size, size - 1, size - 1};
	int others[FORK_RANKS_MAX] = {0};
	float value[3][2];
	ronde_handle handles[3];
	for (int s = 1; s < 3; s++) { /* all but the first, all but the last */
		for (int r = 0; r < size - 1; r++)
			others[r] = r + (s == 1);
		require_ok(ronde_process_set_add(others, (size_t)size - 1, &ids[s]));
	}
	for (int round = 0; round < 5; round++) {
		bool in_it[3] = {true, rank > 0, rank < size - 1};
		for (int k = 0; k < 3; k++) {
			int s = (k + rank + round) % 3;
			ronde_options o = RONDE_OPTIONS_INIT;
			o.process_set = ids[s];
			ronde_group_tensor t[2] = {{.input = &value[s][0],
						    .output = &value[s][0],
						    .count = 1,
						    .dtype = RONDE_FLOAT32},
						   {.input = &value[s][1],
						    .output = &value[s][1],
						    .count = 1,
						    .dtype = RONDE_FLOAT32}};
			value[s][0] = (float)(s + 1);
			value[s][1] = (float)(10 * s);
			if (in_it[s])
				require_ok(ronde_grouped_allreduce_async("g", t, 2, RONDE_SUM, &o,
									 &handles[s]));
		}
		for (int s = 0; s < 3; s++) {
			if (!in_it[s])
				continue;
			require_ok(ronde_wait(handles[s]));
			require(value[s][0] == (float)((s + 1) * members[s]) &&
					value[s][1] == (float)(10 * s * members[s]),
				"a wrong sum on set %d", s);
		}
	}
}

/* The first rank joins while groups of the others wait, which then are complete. */
static void joined(int rank, int size, const void *arg)
{
	(void)arg;
	float a[2], b[40000];
	int last = -1;
	ronde_group_tensor t[2] = {
		{.input = a, .output = a, .count = 2, .dtype = RONDE_FLOAT32},
		{.input = b, .output = b, .count = 40000, .dtype = RONDE_FLOAT32}};
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 40000; i++)
			b[i] = 2;
		a[0] = a[1] = 1;
		if (rank == 0 && round == 2)
			break;
		require_ok(ronde_grouped_allreduce(round % 2 ? "g" : NULL, t, 2, RONDE_SUM));
		float n = (float)(round < 2 ? size : size - 1);
		require(a[1] == n && b[39999] == 2 * n, "round %d", round);
	}
	require_ok(ronde_join(&last));
	require(last == (size == 1 ? 0 : last) && last >= 0, "last is %d", last);
	require_ok(ronde_grouped_allreduce("g", t, 2, RONDE_MAX));
}

/* ---- what is refused ---- */

#define refused(call, text)                                                                        \
	do {                                                                                       \
		ronde_handle before_ = handle;                                                     \
		uint64_t submitted_ = submitted();                                                 \
		require_error(call, RONDE_ERR_INVALID_ARGUMENT, text);                             \
		require(handle == before_ && submitted() == submitted_,                            \
			"%s: something was submitted", #call);                                     \
	} while (0)
#define reduce(name, count) ronde_grouped_allreduce_async(name, t, count, RONDE_SUM, NULL, &handle)
#define G "ronde_grouped_allreduce_async: "
#define T G "tensor \"g_2of3\": "

static void group_arguments(int rank, int size, const void *arg)
{
	(void)rank, (void)size, (void)arg;
	static char name[RONDE_MAX_NAME + 1];
	ronde_group_tensor t[THREE];
	ronde_gathered gathered[THREE];
	ronde_options o = RONDE_OPTIONS_INIT;
	make(t, gathered);
	refused(reduce("g", 0), G "a group has 1 to 1048575 tensors, and this has 0");
	refused(reduce("g", (size_t)-1),
		G "a group has 1 to 1048575 tensors, and this has 18446744073709551615");
	refused(reduce("g", 1048576), G "a group has 1 to 1048575 tensors, and this has 1048576");
	refused(ronde_grouped_allreduce("g", NULL, 3, RONDE_SUM),
		"ronde_grouped_allreduce: tensors is NULL");
	refused(ronde_grouped_allgather("g", NULL, 3), "ronde_grouped_allgather: tensors is NULL");
	refused(ronde_grouped_reducescatter("g", NULL, 3, RONDE_SUM),
		"ronde_grouped_reducescatter: tensors is NULL");
	refused(ronde_grouped_allreduce_async("g", t, 3, RONDE_SUM, NULL, NULL),
		G "handle is NULL");
	refused(ronde_grouped_allgather_async("g", t, 3, NULL, NULL),
		"ronde_grouped_allgather_async: handle is NULL");
	refused(ronde_grouped_reducescatter_async("g", t, 3, RONDE_SUM, NULL, NULL),
		"ronde_grouped_reducescatter_async: handle is NULL");
	refused(reduce("", 3), G "the name is empty; give NULL for an unnamed group");
	memset(name, 'n', RONDE_MAX_NAME - 4);
	refused(reduce(name, 3), G
		"the name is longer than 1018 bytes: its tensors' names have \"_3of3\" behind it, "
		"and names at most 1023");
	name[RONDE_MAX_NAME - 5] = '\0';
	require_ok(reduce(name, 3));
	require_ok(ronde_wait(handle));
	o.size = 0;
	refused(ronde_grouped_allreduce_async("g", t, 3, RONDE_SUM, &o, &handle),
		G "the options' size is 0; start from RONDE_OPTIONS_INIT");
	o = (ronde_options)RONDE_OPTIONS_INIT;
	o.process_set = 7;
	refused(ronde_grouped_allreduce_async("g", t, 3, RONDE_SUM, &o, &handle),
		G "tensor \"g_1of3\": process set 7 does not exist; 0 is the set of all ranks");
	o = (ronde_options)RONDE_OPTIONS_INIT;
	o.postscale = (double)NAN;
	refused(ronde_grouped_allreduce_async(NULL, t, 3, RONDE_SUM, &o, &handle),
		G "tensor 1 of 3: prescale 1 and postscale nan must be finite");
	refused(ronde_grouped_allreduce("g", t, 3, (ronde_reduction)9),
		"ronde_grouped_allreduce: tensor \"g_1of3\": 9 is not a reduction (enum "
		"ronde_reduction)");
	require_ok(ronde_grouped_allreduce("g", t, 3, RONDE_SUM));
}

/* The second of three is bad: nothing of the group is submitted, and then all of it works. */
static void bad_members(int rank, int size, const void *arg)
{
	(void)rank, (void)size, (void)arg;
	static const int64_t negative[2] = {4, -2};
	ronde_group_tensor t[THREE];
	ronde_gathered gathered[THREE];
#define SHAPE "shape needs 0 to 16 extents, none negative, whose product is the count, 8; shape is "
	const struct {
		ronde_group_tensor bad;
		const char *text;
	} cases[] = {
		{{in, out, NULL, rows, 2, 8, (ronde_dtype)13},
		 "13 is not a type (enum ronde_dtype)"},
		{{NULL, out, NULL, rows, 2, 8, RONDE_FLOAT32},
		 "the input is NULL, but the count is 8"},
		{{in, NULL, NULL, rows, 2, 8, RONDE_FLOAT32},
		 "the output is NULL, but the count is 8"},
		{{in, in + 2, NULL, rows, 2, 8, RONDE_FLOAT32},
		 "input and output overlap without being the same"},
		{{in, out, NULL, rows, 1, 8, RONDE_FLOAT32}, SHAPE "given and ndim 1"},
		{{in, out, NULL, rows, 17, 8, RONDE_FLOAT32}, SHAPE "given and ndim 17"},
		{{in, out, NULL, rows, -1, 8, RONDE_FLOAT32}, SHAPE "given and ndim -1"},
		{{in, out, NULL, NULL, 2, 8, RONDE_FLOAT32}, SHAPE "NULL and ndim 2"},
		{{in, out, NULL, negative, 2, 8, RONDE_FLOAT32}, SHAPE "given and ndim 2"},
		{{in, out, NULL, NULL, 0, -1, RONDE_FLOAT32}, "the count is negative: -1"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char named[300], unnamed[300];
		snprintf(named, sizeof named, T "%s", cases[i].text);
		snprintf(unnamed, sizeof unnamed, G "tensor 2 of 3: %s", cases[i].text);
		make(t, gathered);
		t[1] = cases[i].bad;
		refused(reduce("g", 3), named);
		refused(reduce(NULL, 3), unnamed);
		make(t, gathered);
		require_ok(ronde_grouped_allreduce("g", t, 3, RONDE_SUM));
		require_ok(ronde_grouped_allreduce(NULL, t, 3, RONDE_SUM));
	}
	t[1].dtype = RONDE_INT32;
	refused(ronde_grouped_allreduce_async("g", t, 3, RONDE_ADASUM, NULL, &handle),
		T "adasum takes float16, bfloat16, float32 and float64, and this is int32");
	t[1].dtype = RONDE_FLOAT32;
	t[1].shape = NULL;
	refused(ronde_grouped_allgather("g", t, 3),
		"ronde_grouped_allgather: tensor \"g_2of3\": an allgather needs a shape of 1 to 16 "
		"extents, none of them negative; shape is NULL and ndim 2");
	refused(ronde_grouped_reducescatter(NULL, t, 3, RONDE_SUM),
		"ronde_grouped_reducescatter: tensor 2 of 3: a reducescatter needs a shape of 1 to "
		"16 extents, none of them negative; shape is NULL and ndim 2");
	t[1].shape = rows;
	refused(ronde_grouped_reducescatter("g", t, 3, RONDE_ADASUM),
		"ronde_grouped_reducescatter: tensor \"g_1of3\": there is no adasum of a "
		"reducescatter");
	t[1].gathered = NULL;
	refused(ronde_grouped_allgather("g", t, 3),
		"ronde_grouped_allgather: tensor \"g_2of3\": output is NULL");
	t[1].gathered = &gathered[1];
	require_ok(ronde_grouped_allgather("g", t, 3));
	require_ok(ronde_grouped_reducescatter("g", t, 3, RONDE_SUM));
	for (int i = 0; i < THREE; i++)
		free(gathered[i].data);
}

static const struct rank_body cases[] = {
	{"mixed", mixed, 1, 5},
	{"rows_of_ranks", rows_of_ranks, 1, 4},
	{"one_handle", one_handle, 1, 3},
	{"sets", sets, 3, 5},
	{"joined", joined, 2, 4},
	{"group_arguments", group_arguments, 1, 2},
	{"bad_members", bad_members, 1, 2},
};

START_TEST(bodies)
{
	rank_body_run(&cases[_i], NULL);
}
END_TEST

#define needs_init(function, call)                                                                 \
	do {                                                                                       \
		ck_assert_int_eq(call, RONDE_ERR_NOT_INITIALIZED);                                 \
		ck_assert_str_eq(ronde_error_message(),                                            \
				 function ": Ronde is not initialised; call ronde_init() first");  \
	} while (0)

START_TEST(before_init)
{
	ronde_group_tensor t[THREE];
	ronde_gathered gathered[THREE];
	make(t, gathered);
	needs_init("ronde_grouped_allreduce", ronde_grouped_allreduce("g", t, 3, RONDE_SUM));
	needs_init("ronde_grouped_allreduce_async", reduce("g", 3));
	needs_init("ronde_grouped_allgather", ronde_grouped_allgather("g", t, 3));
	needs_init("ronde_grouped_allgather_async",
		   ronde_grouped_allgather_async("g", t, 3, NULL, &handle));
	needs_init("ronde_grouped_reducescatter",
		   ronde_grouped_reducescatter("g", t, 3, RONDE_SUM));
	needs_init("ronde_grouped_reducescatter_async",
		   ronde_grouped_reducescatter_async("g", t, 3, RONDE_SUM, NULL, &handle));
	ck_assert_uint_eq(handle, 0);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{before_init, ONCE},
		{bodies, 0, (int)(sizeof cases / sizeof *cases)},
	};
	return SUITE_RUN("grouped", 100, tests);
}

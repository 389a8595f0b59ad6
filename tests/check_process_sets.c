/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Process sets by the public header, ranks as processes: questions, operations, static sets.
 * check_stopped_pairs.c has sets whose ranks are stopped.
 */
#include <check.h>
#include <stdlib.h>

#include "tests/fork_ranks.h"

/* Average of rank + 1 over the members, `count` times; in a set. */
static void average(int set, const char *name, int64_t count, float expected)
{
	ronde_options o = RONDE_OPTIONS_INIT;
	ronde_handle handle;
	float *x = malloc(((size_t)count + 1) * sizeof *x);
	o.process_set = set;
	for (int64_t i = 0; i < count; i++)
		x[i] = (float)(ronde_rank() + 1);
	require_ok(ronde_allreduce_async(name, x, x, count, RONDE_FLOAT32, RONDE_AVERAGE, &o,
					 &handle));
	require_ok(ronde_wait(handle));
	for (int64_t i = 0; i < count; i++)
		require(x[i] == expected, "element %lld is %g, not %g", (long long)i, (double)x[i],
			(double)expected);
	free(x);
}

/* ---- questions and operations ---- */

#define P "ronde_process_set_"

static void questions(int rank, int size, const void *arg)
{
	(void)size, (void)arg;
	int set = 77, other, ids[4] = {0}, ranks[4] = {9, 9, 9, 9};
	require_ok(ronde_process_set_add((int[]){3, 1, 0}, 3, &set));
	require_ok(ronde_process_set_add((int[]){2}, 1, &other));
	require(set == 1 && other == 2, "sets %d and %d", set, other);
	require(ronde_process_set_size(set) == 3 && ronde_process_set_size(0) == 4, "sizes");
	require(ronde_process_set_included(set) == (rank != 2), "included");
	require(ronde_process_set_ids(ids, 2) == 3 && ids[1] == 1 && ids[2] == 0, "ids");
	require(ronde_process_set_ranks(set, ranks, 4) == 3, "number of ranks");
	require(ranks[0] == 0 && ranks[1] == 1 && ranks[2] == 3 && ranks[3] == 9, "ranks");
	if (rank == 2)
		require_error(ronde_process_set_rank(set), RONDE_ERR_INVALID_ARGUMENT,
			      P "rank: rank 2 is not in process set 1 (ranks 0-1, 3)");
	else
		require(ronde_process_set_rank(set) == (rank == 3 ? 2 : rank), "rank");
	require_error(ronde_process_set_size(9), RONDE_ERR_INVALID_ARGUMENT,
		      P "size: process set 9 does not exist");
	require_error(ronde_process_set_ids(NULL, 3), RONDE_ERR_INVALID_ARGUMENT,
		      P "ids: sets is NULL, but room is 3");
	require_error(ronde_process_set_add(NULL, 3, &set), RONDE_ERR_INVALID_ARGUMENT,
		      P "add: ranks is NULL");
	require_error(ronde_process_set_add((int[]){2}, 1, &set), RONDE_ERR_INVALID_ARGUMENT,
		      P "add: process set of ranks 2: process set 2 has the same ranks");
	require_error(ronde_process_set_remove(0), RONDE_ERR_INVALID_ARGUMENT,
		      P "remove: process set 0 is the set of all ranks and cannot be removed");
	require(set == 1, "a failed add has set %d", set);
	require_ok(ronde_process_set_remove(other));
	require(ronde_process_set_ids(ids, 4) == 2, "ids after a removal");
}

static void operations(int rank, int size, const void *arg)
{
	(void)size, (void)arg;
	static const int64_t counts[] = {1, 3000, 300000};
	int set;
	float x[2] = {(float)rank, 1};
	ronde_options o = RONDE_OPTIONS_INIT;
	ronde_handle handle;
	require_ok(ronde_process_set_add((int[]){1, 3}, 2, &set));
	o.process_set = set;
	if (rank % 2 == 0) {
		char text[100];
		snprintf(text, sizeof text,
			 "ronde_broadcast_async: tensor \"b\": rank %d is not in process set 1 "
			 "(ranks 1, 3)",
			 rank);
		require_error(ronde_broadcast_async("b", x, x, 2, RONDE_FLOAT32, 3, &o, &handle),
			      RONDE_ERR_INVALID_ARGUMENT, text);
		return;
	}
	for (int k = 0; k < 3; k++)
		average(set, "a", counts[k], 3);
	require_error(ronde_broadcast_async("b", x, x, 2, RONDE_FLOAT32, 2, &o, &handle),
		      RONDE_ERR_INVALID_ARGUMENT,
		      "ronde_broadcast_async: tensor \"b\": root 2 is not in process set 1");
	for (int k = 0; k < 3; k++) {
		float *in = malloc((size_t)counts[k] * 4), *out = malloc((size_t)counts[k] * 8);
		for (int64_t i = 0; i < counts[k]; i++)
			in[i] = (float)(rank * 10 + i % 7);
		require_ok(ronde_broadcast_async("b", in, out, counts[k], RONDE_FLOAT32, 3, &o,
						 &handle));
		require_ok(ronde_wait(handle));
		for (int64_t i = 0; i < counts[k]; i++)
			require(out[i] == (float)(30 + i % 7), "broadcast");
		int64_t each[2], shape[] = {rank == 1 ? counts[k] / 3 : counts[k]};
		ronde_gathered g = {.data = out,
				    .capacity_bytes = (size_t)counts[k] * 8,
				    .rows_per_rank = each};
		require_ok(
			ronde_allgather_async("g", in, shape, 1, RONDE_FLOAT32, &g, &o, &handle));
		require_ok(ronde_wait(handle));
		require(g.rows == each[0] + each[1] && each[0] == counts[k] / 3, "rows");
		for (int64_t i = 0; i < g.rows; i++)
			require(out[i] == (i < each[0] ? (float)(10 + i % 7)
						       : (float)(30 + (i - each[0]) % 7)),
				"allgather");
		free(in);
		free(out);
	}
	require_ok(ronde_barrier_async(&o, &handle));
	require_ok(ronde_wait(handle));
}

START_TEST(by_the_header)
{
	ck_assert_int_eq(fork_ranks(4, questions, NULL), 0);
	ck_assert_int_eq(fork_ranks(4, operations, NULL), 0);
}
END_TEST

/* ---- sets given to ronde_init() ---- */

static void again(const ronde_ranks *lists, size_t n, int status, const char *text)
{
	ronde_init_options o = RONDE_INIT_OPTIONS_INIT;
	require_ok(ronde_barrier());
	require_ok(ronde_shutdown());
	o.process_sets = lists;
	o.process_set_count = n;
	/* The socket's old name may not be free yet: the second life has one of its own. */
	char address[64];
	static int life;
	snprintf(address, sizeof address, "%s-%d", getenv("RONDE_ADDRESS"), life++);
	setenv("RONDE_ADDRESS", address, 1);
	int got = ronde_init(&o);
	require(got == status && (!status || strcmp(ronde_error_message(), text) == 0),
		"init: %s: %s", ronde_status_name(got), ronde_error_message());
	require(ronde_is_initialized() == !status, "initialised");
	if (status)
		require_ok(ronde_init(NULL));
}

#define SAME ". All ranks must make the same changes in the same order"

static void given(int rank, int size, const void *arg)
{
	(void)size, (void)arg;
	const ronde_ranks lists[] = {{(int[]){2, 0}, 2}, {(int[]){1}, 1}, {(int[]){1, 2}, 2}};
	again(lists, 3, RONDE_OK, NULL);
	require(ronde_process_set_ids(NULL, 0) == 4, "4 sets");
	require(ronde_process_set_size(1) == 2 && ronde_process_set_included(2) == (rank == 1),
		"sets");
	if (rank != 1)
		average(1, "x", 5, 2);
	again(lists, rank == 2 ? 2 : 3, RONDE_ERR_MISMATCH,
	      "process sets: ranks 0-1 adds a process set of ranks 1-2; rank 2 has given "
	      "ronde_init() no more process sets" SAME);
	again(rank == 0 ? lists : lists + 1, 1, RONDE_ERR_MISMATCH,
	      "process sets: rank 0 adds a process set of ranks 0, 2; ranks 1-2 adds a process "
	      "set of ranks 1" SAME);
	const ronde_ranks same[] = {{(int[]){1, 2}, 2}, {(int[]){2, 1}, 2}};
	again(same, 2, RONDE_ERR_INVALID_ARGUMENT,
	      "process set of ranks 1-2: process set 1 has the same ranks");
	require(ronde_process_set_ids(NULL, 0) == 1, "1 set");
}

START_TEST(static_sets)
{
	ck_assert_int_eq(fork_ranks(3, given, NULL), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("process-sets");
	TCase *tests = tcase_create("process-sets");
	tcase_set_timeout(tests, 100);
	tcase_add_test(tests, by_the_header);
	tcase_add_test(tests, static_sets);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

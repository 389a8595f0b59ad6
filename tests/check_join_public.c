/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ronde_join() by the public header, ranks as processes: who is last, whatever the order; what is
 * refused while another thread of the rank is in it. check_join.c and check_joined.c have what the
 * operations do meanwhile.
 */
#include <check.h>
#include <pthread.h>

#include "tests/fork_ranks.h"

#define MOST 5 /* ranks */

struct other {
	pthread_t thread;
	int status, last;
};

static void *join_there(void *arg)
{
	struct other *other = arg;
	other->status = ronde_join(&other->last);
	return NULL;
}

#define HAS_JOINED "rank 1 has joined; it can submit again when its ronde_join() has returned"

/* What is refused while another thread of the rank is in ronde_join(). */
static void refused_meanwhile(void)
{
	float x = 1;
	int set, last;
	ronde_handle handle;
	ronde_sparse sparse = {0};
	const ronde_sparse_rows rows = {1, 1, (int64_t[]){0}, &x, RONDE_FLOAT32};
	int status;
	/* Once the thread is in there. It may take a while. */
	while ((status = ronde_allreduce_async("late", &x, &x, 1, RONDE_FLOAT32, RONDE_SUM, NULL,
					       &handle)) == RONDE_OK)
		require_ok(ronde_wait(handle));
	require_error(status, RONDE_ERR_INVALID_ARGUMENT, HAS_JOINED);
	require_error(ronde_join(&last), RONDE_ERR_INVALID_ARGUMENT, HAS_JOINED);
	require_error(ronde_barrier(), RONDE_ERR_INVALID_ARGUMENT, HAS_JOINED);
	require_error(ronde_process_set_add((int[]){0}, 1, &set), RONDE_ERR_INVALID_ARGUMENT,
		      "ronde_process_set_add: " HAS_JOINED);
	require_error(ronde_sparse_allreduce("s", &rows, RONDE_SUM, NULL, &sparse),
		      RONDE_ERR_INVALID_ARGUMENT, HAS_JOINED);
	require(!sparse.indices.data && !sparse.values.data, "memory is left");
}

/* Rank 1 leaves in a thread of its own; the others make "late" as often as it does, and know by a
 * sum without its part that it is gone. */
static void in_a_thread(int rank, int size)
{
	struct other other = {.last = -1};
	int last = -1;
	if (rank == 1) {
		require(pthread_create(&other.thread, NULL, join_there, &other) == 0, "a thread");
		refused_meanwhile();
	}
	for (float sum = 0; rank != 1 && sum != (float)(size - 1);) {
		sum = 1;
		require_ok(ronde_allreduce("late", &sum, &sum, 1, RONDE_FLOAT32, RONDE_SUM));
	}
	if (rank == 1) {
		require(pthread_join(other.thread, NULL) == 0, "a thread");
		require(other.status == RONDE_OK, "join: %s", ronde_status_name(other.status));
		last = other.last;
	} else {
		require_ok(ronde_join(&last));
	}
	require(last == 0 || last >= 2, "rank %d joined last", last);
}

static void by_the_header(int rank, int size, const void *arg)
{
	(void)arg;
	float x;
	require_ok(ronde_join(NULL)); /* all at once, and nobody wants to know */
	for (int round = 0; round < 3 * size; round++) {
		int last = -1, goes_last = round % size;
		/* Who goes last knows by the sum that all others have joined. */
		for (x = 0; rank == goes_last && x != 1;) {
			x = 1;
			require_ok(ronde_allreduce("x", &x, &x, 1, RONDE_FLOAT32, RONDE_SUM));
		}
		require_ok(ronde_join(&last));
		require(last == goes_last, "round %d: %d joined last", round, last);
	}
	if (size > 2)
		in_a_thread(rank, size);
	x = (float)rank;
	require_ok(ronde_allreduce(NULL, &x, &x, 1, RONDE_FLOAT32, RONDE_MAX));
	require(x == (float)size - 1, "afterwards the largest rank is %g", (double)x);
}

START_TEST(join)
{
	for (int n = 1; n <= MOST; n++)
		ck_assert_int_eq(fork_ranks(n, by_the_header, NULL), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("join_public");
	TCase *tests = tcase_create("join_public");
	tcase_set_timeout(tests, 100);
	tcase_add_test(tests, join);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

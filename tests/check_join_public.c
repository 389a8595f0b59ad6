/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ronde_join() by the public header, ranks as processes: who is last, whatever the order; what is
 * refused while another thread of the rank is in it. check_join.c and check_joined.c have what the
 * operations do meanwhile.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "tests/fork_ranks.h"
#include "tests/suite.h"

#define MOST 5 /* ranks */

/* Rank 1 has seen what is refused; until then nobody else joins, which might end the join. */
struct shared {
	_Atomic int refused;
};

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

/* A row of each rank that is there, how many are told; whoever joins meanwhile, with its number. */
static int gather_rows(int rank, int *there)
{
	const int64_t index = rank;
	const float value = (float)rank;
	const ronde_sparse_rows mine = {1, 1, &index, &value, RONDE_FLOAT32};
	ronde_sparse all = {.result = {0}};
	int status = ronde_sparse_allreduce("late", &mine, RONDE_SUM, NULL, &all);
	require(status == RONDE_OK || (!all.indices.data && !all.values.data), "memory is left");
	if (status != RONDE_OK)
		return status;
	require(all.indices.rows == all.values.rows, "%lld numbers of %lld rows",
		(long long)all.indices.rows, (long long)all.values.rows);
	for (int64_t i = 0; i < all.result.rows; i++)
		require(((const float *)all.result.values)[i] == (float)all.result.indices[i],
			"row %lld is another rank's", (long long)i);
	*there = (int)all.result.rows;
	free(all.indices.data);
	free(all.values.data);
	return RONDE_OK;
}

/* What is refused while another thread of the rank is in ronde_join(). */
static void refused_meanwhile(int rank)
{
	float x = 1;
	int set, last, status, there;
	ronde_handle handle;
	/* Once the thread is in there. It may take a while. */
	while ((status = gather_rows(rank, &there)) == RONDE_OK)
		;
	require_error(status, RONDE_ERR_INVALID_ARGUMENT, HAS_JOINED);
	require_error(
		ronde_allreduce_async("x", &x, &x, 1, RONDE_FLOAT32, RONDE_SUM, NULL, &handle),
		RONDE_ERR_INVALID_ARGUMENT, HAS_JOINED);
	require_error(ronde_join(&last), RONDE_ERR_INVALID_ARGUMENT, HAS_JOINED);
	require_error(ronde_barrier(), RONDE_ERR_INVALID_ARGUMENT, HAS_JOINED);
	require_error(ronde_process_set_add((int[]){0}, 1, &set), RONDE_ERR_INVALID_ARGUMENT,
		      "ronde_process_set_add: " HAS_JOINED);
}

/* Rank 1 leaves in a thread of its own; the others gather as often as it does, and know by what is
 * missing that it is gone. */
static void in_a_thread(int rank, int size, struct shared *shared)
{
	struct other other = {.last = -1};
	int last = -1;
	if (rank == 1) {
		require(pthread_create(&other.thread, NULL, join_there, &other) == 0, "a thread");
		refused_meanwhile(rank);
		atomic_store(&shared->refused, 1);
	}
	for (int there = 0; rank != 1 && there != size - 1;)
		require_ok(gather_rows(rank, &there));
	for (int ms = 0; !atomic_load(&shared->refused); ms++) {
		require(ms < 30000, "rank 1 is not refused");
		usleep(1000);
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
		in_a_thread(rank, size, *(struct shared *const *)arg);
	x = (float)rank;
	require_ok(ronde_allreduce(NULL, &x, &x, 1, RONDE_FLOAT32, RONDE_MAX));
	require(x == (float)size - 1, "afterwards the largest rank is %g", (double)x);
}

START_TEST(join)
{
	for (int n = 1; n <= MOST; n++) {
		struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
					     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		ck_assert_ptr_ne(shared, MAP_FAILED);
		ck_assert_int_eq(fork_ranks(n, by_the_header, &shared), 0);
		munmap(shared, sizeof *shared);
	}
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{join, ONCE},
	};
	return SUITE_RUN("join_public", 100, tests);
}

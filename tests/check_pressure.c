/* SPDX-License-Identifier: Apache-2.0 */
/*
 * More than there is room for, by the public header, ranks as processes: operations of more sets
 * than lanes, more announcements than a ring holds while a rank is silent, more handles than there
 * are. Submitting never waits, nothing is lost, and what cannot be is an error that leaves the
 * rest.
 */
#include <stdatomic.h>
#include <sys/mman.h>

#include "collectives/memory_room.h"
#include "coordinator/request.h"
#include "tests/fork_ranks.h"
#include "tests/seed.h"
#include "tests/sizes.h"
#include "tests/skip.h"
#include "tests/suite.h"

/* Elements of operation k: it rides, or goes through staging in a few chunks or in many. */
static int64_t count_of(int k)
{
	static const int64_t counts[] = {3, 5000, 0, 40001};
	return counts[k % 4];
}

static float value(int rank, int k, int64_t i)
{
	return (float)((rank + 1) * (k % 31 + 1) + i % 17);
}

/* Operation k of a set, in memory of its own. */
struct flight {
	float *x;
	int64_t count;
	ronde_handle handle;
};

static void take_off(struct flight *f, int rank, int set, int k)
{
	ronde_options options = RONDE_OPTIONS_INIT;
	options.process_set = set;
	f->count = count_of(k);
	f->x = malloc((size_t)f->count * sizeof *f->x + 1);
	require(f->x, "no memory");
	for (int64_t i = 0; i < f->count; i++)
		f->x[i] = value(rank, k, i);
	require_ok(ronde_allreduce_async(NULL, f->x, f->x, f->count, RONDE_FLOAT32, RONDE_SUM,
					 &options, &f->handle));
}

/* members: bit r is rank r. */
static void land(struct flight *f, unsigned members, int k)
{
	int64_t wrong = 0;
	require_ok(ronde_wait(f->handle));
	for (int64_t i = 0; i < f->count; i++) {
		float sum = 0; /* of small whole numbers */
		for (int r = 0; members >> r; r++)
			sum += members >> r & 1 ? value(r, k, i) : 0;
		wrong += f->x[i] != sum;
	}
	require(!wrong, "operation %d of ranks %#x: %lld of %lld are wrong", k, members,
		(long long)wrong, (long long)f->count);
	free(f->x);
}

/* Rings and staging as small as they can be. */
static void make_room_scarce(void)
{
	setenv("RONDE_RING_BYTES", "16K", 1);
	setenv("RONDE_CARRY_BYTES", "4K", 1);
	setenv("RONDE_STAGING_BYTES", "64K", 1);
}

static void make_room_usual(void)
{
	unsetenv("RONDE_RING_BYTES");
	unsetenv("RONDE_CARRY_BYTES");
	unsetenv("RONDE_STAGING_BYTES");
	unsetenv("RONDE_LANES");
}

/* ---- one lane, many sets ---- */

#define SETS 7
#define EACH 60

static const unsigned sets[SETS] = {0xf, 0x3, 0xc, 0x6, 0x7, 0xe, 0x9};

static int add_set(unsigned members)
{
	int ranks[4], n = 0, set = 0;
	for (int r = 0; r < 4; r++)
		if (members >> r & 1)
			ranks[n++] = r;
	if (n < 4)
		require_ok(ronde_process_set_add(ranks, (size_t)n, &set));
	return set;
}

/* Every rank goes through the sets in an order of its own, and waits in another. */
static void lanes(int rank, int size, const void *arg)
{
	static struct flight flights[SETS][EACH];
	uint64_t seed = *(const uint64_t *)arg + (uint64_t)rank;
	int ids[SETS], next[SETS] = {0}, most = test_turns(EACH);
	(void)size;
	for (int s = 0; s < SETS; s++)
		ids[s] = add_set(sets[s]);
	for (int left = SETS * most; left > 0;) {
		int s = (int)(next_random(&seed) % SETS);
		if (next[s] == most)
			continue;
		left--;
		if (sets[s] >> rank & 1)
			take_off(&flights[s][next[s]], rank, ids[s], next[s]);
		next[s]++;
	}
	for (int left = SETS * most; left > 0;) {
		int s = (int)(next_random(&seed) % SETS);
		if (next[s] == 0)
			continue;
		left--;
		next[s]--;
		if (sets[s] >> rank & 1)
			land(&flights[s][next[s]], sets[s], next[s]);
	}
}

/* _i: lanes. */
START_TEST(more_sets_than_lanes)
{
	uint64_t seed = test_seed();
	make_room_scarce();
	setenv("RONDE_LANES", _i == 1 ? "1" : "2", 1);
	ck_assert_int_eq(fork_ranks(4, lanes, &seed), 0);
	make_room_usual();
}
END_TEST

/* ---- a rank that says nothing, and the others very much ---- */

#define MANY 20000

struct shared {
	_Atomic int submitted; /* ranks that have, all of theirs */
};

/* Mostly small ones. */
static int number(int k)
{
	return k % 300 == 299 ? 3 : 2 * k;
}

static void silent(int rank, int size, const void *arg)
{
	struct shared *shared = *(struct shared *const *)arg;
	const int many = test_turns(MANY);
	const unsigned all = (1u << size) - 1;
	struct flight *flights = calloc((size_t)many, sizeof *flights);
	require(flights, "no memory");
	/* The last rank begins when the others have returned from everything: so none waits. */
	for (int ms = 0; rank == size - 1 && atomic_load(&shared->submitted) < size - 1; ms++) {
		require(ms < 50000, "submitting waits for others");
		usleep(1000);
	}
	for (int k = 0; k < many; k++)
		take_off(&flights[k], rank, 0, number(k));
	atomic_fetch_add(&shared->submitted, 1);
	for (int k = many - 1; k >= 0; k--)
		land(&flights[k], all, number(k));
	free(flights);
}

START_TEST(more_than_a_ring_holds)
{
	for (int n = 2; n <= 3; n++) {
		struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
					     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		ck_assert_ptr_ne(shared, MAP_FAILED);
		make_room_scarce();
		ck_assert_int_eq(fork_ranks(n, silent, &shared), 0);
		make_room_usual();
		munmap(shared, sizeof *shared);
	}
}
END_TEST

/* ---- all handles ---- */

#define HANDLES (RONDE_REQUEST_CHUNKS * RONDE_REQUESTS_PER_CHUNK)

static int submit_one(int32_t *x, ronde_handle *handle)
{
	return ronde_allreduce_async(NULL, x, x, 1, RONDE_INT32, RONDE_SUM, NULL, handle);
}

static void handles(int rank, int size, const void *arg)
{
	(void)rank, (void)arg;
	char text[200];
	int64_t wrong = 0;
	int32_t *x = malloc((HANDLES + 1) * sizeof *x), twice[2] = {1, 1};
	ronde_handle *handle = malloc((HANDLES + 1) * sizeof *handle), none = 4711;
	require(x && handle, "no memory");
	snprintf(text, sizeof text,
		 "no memory for one more operation; %d are in flight or not waited for", HANDLES);
	for (int k = 0; k < HANDLES; k++) {
		x[k] = k;
		require_ok(submit_one(&x[k], &handle[k]));
	}
	x[HANDLES] = 7;
	for (int again = 0; again < 3; again++)
		require_error(submit_one(&x[HANDLES], &none), RONDE_ERR_OUT_OF_MEMORY, text);
	require(none == 4711 && x[HANDLES] == 7, "an output was set");
	/* A group of two has room for one member, and for its own handle: nothing of it remains. */
	require_ok(ronde_wait(handle[0]));
	require_ok(ronde_wait(handle[1]));
	const ronde_group_tensor group[2] = {
		{.input = &twice[0], .output = &twice[0], .count = 1, .dtype = RONDE_INT32},
		{.input = &twice[1], .output = &twice[1], .count = 1, .dtype = RONDE_INT32}};
	require_error(ronde_grouped_allreduce_async(NULL, group, 2, RONDE_SUM, NULL, &none),
		      RONDE_ERR_OUT_OF_MEMORY, text);
	for (int k = 0; k < 2; k++) {
		x[k] = k;
		require_ok(submit_one(&x[k], &handle[k]));
	}
	require_error(submit_one(&x[HANDLES], &none), RONDE_ERR_OUT_OF_MEMORY, text);
	for (int k = HANDLES - 1; k >= 0; k--) {
		require_ok(ronde_wait(handle[k]));
		wrong += x[k] != k * size;
	}
	require(!wrong && x[HANDLES] == 7, "%lld results are wrong", (long long)wrong);
	require_ok(ronde_grouped_allreduce(NULL, group, 2, RONDE_SUM));
	require(twice[0] == size && twice[1] == size, "a group afterwards");
	free(x);
	free(handle);
}

START_TEST(all_handles)
{
	const int most = test_is_long() ? 3 : 2;
	struct ronde_memory_room room;
	ronde_memory_room(&room, "");
	if (room.bytes < (uint64_t)most * HANDLES * 2 * sizeof(struct ronde_request)) {
		test_skip("all_handles", "there is too little memory for so many operations");
		return;
	}
	for (int n = test_is_long() ? 1 : most; n <= most; n++)
		ck_assert_int_eq(fork_ranks(n, handles, NULL), 0);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{more_sets_than_lanes, 1, 3},
		{more_than_a_ring_holds, ONCE},
		{all_handles, 0, SIZES_DIVISOR == 1 || test_is_long()},
	};
	return SUITE_RUN("pressure", 100, tests);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loopback fabric: ranks as threads, with random delays. What every fabric must do stands in
 * tests/fabric_bodies.c; here is also what only loopback has: ranks that leave.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

#include "collectives/bootstrap.h"
#include "collectives/bootstrap/wait.h"
#include "collectives/fabric/loopback.h"
#include "collectives/status.h"
#include "tests/fabric_bodies.h"
#include "tests/fabric_expect.h"
#include "tests/seed.h"
#include "tests/sizes.h"
#include "tests/suite.h"

#define MAX_RANKS 16

struct thread_rank {
	struct ronde_loopback *world;
	struct ronde_inprocess *inprocess;
	fabric_body body;
	int number;
	struct fabric_rank rank;
	bool abandons;
};

static void *thread_main(void *arg)
{
	struct thread_rank *t = arg;
	struct ronde_bootstrap *b = NULL;
	int status = t->inprocess ? ronde_bootstrap_inprocess(&b, t->inprocess, t->number) : 0;
	if (!status)
		status = b ? ronde_fabric_open(&t->rank.fabric, b)
			   : ronde_loopback_open(&t->rank.fabric, t->world, t->number);
	if (status) {
		fprintf(stderr, "rank %d: %s\n", t->number, ronde_error_message());
		abort();
	}
	struct ronde_fabric *f = t->rank.fabric;
	EXPECT(f, f->rank == t->number && !strcmp(f->ops->name, "loopback"));
	t->body(&t->rank);
	if (t->abandons)
		EXPECT(f, ronde_fabric_abandon(f) == 0);
	else
		OK(f, ronde_fabric_close(f));
	free(t->rank.kept);
	if (b)
		b->ops->close(b, true);
	return NULL;
}

static void run(struct ronde_loopback *world, struct ronde_inprocess *inprocess, int n,
		fabric_body body, int turns, bool abandons, uint64_t seed)
{
	pthread_t threads[MAX_RANKS];
	struct thread_rank ranks[MAX_RANKS];
	for (int r = 0; r < n; r++) {
		ranks[r] = (struct thread_rank){.world = world,
						.inprocess = inprocess,
						.body = body,
						.number = r,
						.rank = {.seed = seed, .turns = turns},
						.abandons = abandons};
		ck_assert_int_eq(pthread_create(&threads[r], NULL, thread_main, &ranks[r]), 0);
	}
	for (int r = 0; r < n; r++)
		pthread_join(threads[r], NULL);
}

/* A world of its own; delays in microseconds. */
static void run_new(int n, fabric_body body, int turns, int delay, bool abandons, uint64_t seed)
{
	const struct ronde_loopback_settings settings = {
		.seed = seed, .delay_ns = (uint64_t)delay * 1000, .eager_bytes = 8192};
	struct ronde_loopback *world = ronde_loopback_create(n, &settings);
	ck_assert_ptr_nonnull(world);
	run(world, NULL, n, body, turns, abandons, seed);
	ronde_loopback_release(world);
}

static const struct shape {
	int ranks, delay; /* microseconds */
} shapes[] = {{1, 0}, {2, 0}, {2, 100}, {3, 1000}, {5, 50}, {9, 300}, {16, 0}};
#define SHAPES (int)(sizeof shapes / sizeof *shapes)

START_TEST(random_messages)
{
	run_new(shapes[_i].ranks, fabric_random, test_turns(300 * shapes[_i].ranks),
		shapes[_i].delay, false, test_seed());
}
END_TEST

START_TEST(flood)
{
	run_new(shapes[_i].ranks, fabric_flood, test_turns(1000) / shapes[_i].ranks + 1,
		shapes[_i].delay, false, test_seed());
}
END_TEST

START_TEST(threads)
{
	run_new(3, fabric_threads, test_turns(2000), 0, false, test_seed());
}
END_TEST

START_TEST(errors)
{
	run_new(3, fabric_errors, 1, _i * 100, false, test_seed());
}
END_TEST

START_TEST(last)
{
	run_new(1 + _i, fabric_last, 1, 0, false, test_seed() + (uint64_t)_i);
}
END_TEST

START_TEST(lost)
{
	run_new(2 + _i, fabric_lost, 1, 0, true, test_seed() + (uint64_t)_i);
}
END_TEST

START_TEST(huge)
{
	run_new(2, fabric_huge, test_turns(4), 0, false, test_seed());
}
END_TEST

/* Opened by the bootstrap, several times; then the bootstrap is used again. */
START_TEST(of_a_bootstrap)
{
	const struct ronde_loopback_settings settings = {
		.seed = test_seed(), .delay_ns = 10000, .eager_bytes = 100};
	struct ronde_inprocess *world = ronde_inprocess_create(4, NULL);
	ronde_inprocess_set_fabric(world, &settings);
	for (int i = 0; i < 3; i++)
		run(NULL, world, 4, fabric_random, 200, false, settings.seed);
	run(NULL, world, 4, fabric_lost, 1, true, settings.seed);
	run(NULL, world, 4, fabric_flood, 10, false, settings.seed);
	ronde_inprocess_destroy(world);
	struct ronde_bootstrap *alone;
	struct ronde_fabric *f;
	ck_assert_int_eq(ronde_bootstrap_none(&alone), RONDE_OK);
	ck_assert_int_eq(ronde_fabric_open(&f, alone), RONDE_ERR_INVALID_ARGUMENT);
	ck_assert_str_eq(ronde_error_message(),
			 "ranks that find each other by \"none\" are all on one machine: nothing "
			 "carries bytes between nodes");
	alone->ops->close(alone, true);
}
END_TEST

START_TEST(opening)
{
	struct ronde_fabric *f, *again;
	ck_assert_ptr_null(ronde_loopback_create(0, &RONDE_LOOPBACK_SETTINGS));
	struct ronde_loopback *world = ronde_loopback_create(2, &RONDE_LOOPBACK_SETTINGS);
	ck_assert_int_eq(ronde_loopback_open(&f, world, 2), RONDE_ERR_INVALID_ARGUMENT);
	ck_assert_int_eq(ronde_loopback_open(&f, world, 1), RONDE_OK);
	ck_assert_int_eq(ronde_loopback_open(&again, world, 1), RONDE_ERR_BUSY);
	ck_assert_int_eq(ronde_fabric_close(f), RONDE_OK);
	ck_assert_int_eq(ronde_loopback_open(&again, world, 1), RONDE_OK);
	ck_assert_int_eq((int)ronde_fabric_abandon(again), 0);
	ck_assert_int_eq(ronde_loopback_open(&again, world, 1), RONDE_ERR_PEER_LOST);
	ronde_loopback_release(world);
	ck_assert_int_eq(ronde_fabric_close(NULL), RONDE_OK);
}
END_TEST

/*
 * Ranks leave at any moment, with everything in flight: what they leave is seen by those who stay,
 * as an error that names them, and no memory is touched after it (the address checker looks on).
 */
static void leave_body(struct fabric_rank *r)
{
	struct ronde_fabric *f = r->fabric;
	uint64_t random = r->seed + (uint64_t)f->rank;
	struct ronde_fabric_operation *in, *out;
	unsigned char *memory = malloc(100000);
	const int turns = (int)(next_random(&random) % (uint64_t)r->turns);
	bool stays = f->rank == 0;
	int failed = 0;
	for (int i = 0; stays ? !failed : i < turns; i++) {
		size_t bytes = (next_random(&random) % 2 ? 100 : 50000);
		memset(memory, i, bytes);
		int to = (f->rank + 1) % f->size, from = (f->rank + f->size - 1) % f->size;
		OK(f, ronde_fabric_post_receive(f, from, 1, memory + 50000, 50000, &in));
		OK(f, ronde_fabric_post_send(f, to, 1, memory, bytes, &out));
		failed = fabric_wait(in, NULL);
		if (!failed)
			failed = fabric_wait(out, NULL);
		if (failed) {
			EXPECT(f, failed == RONDE_ERR_PEER_LOST);
			EXPECT(f, strstr(ronde_error_message(), "has left"));
			break;
		}
	}
	/* The rest is in flight when it leaves. */
	for (int peer = 0; peer < f->size; peer++) {
		OK(f, ronde_fabric_post_receive(f, peer, 2, memory + 50000, 50000, &in));
		OK(f, ronde_fabric_post_send(f, peer, 2, memory, 50000, &out));
	}
	ronde_fabric_progress(f);
	r->kept = memory;
}

START_TEST(leaving)
{
	uint64_t seed = test_seed() + (uint64_t)_i;
	run_new(2 + _i % 4, leave_body, 1 + _i, _i % 3 * 20, true, seed);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{opening, ONCE},        {random_messages, 0, SHAPES},
		{flood, 0, SHAPES},     {threads, ONCE},
		{errors, 0, 2},         {last, 0, 4},
		{lost, 0, 4},           {leaving, 0, 40},
		{of_a_bootstrap, ONCE},
	};
	/* The race checker keeps four times as much beside all memory that is written. */
	const struct suite_test large[] = {{huge, ONCE}};
	Suite *suite = suite_create("fabric");
	SUITE_ADD(suite, "fabric", 120, tests);
	if (!test_of_races())
		SUITE_ADD(suite, "large", 120, large);
	return suite_end(suite);
}

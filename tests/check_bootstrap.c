/* SPDX-License-Identifier: Apache-2.0 */
/* The bootstraps inside a process: a world of one, and ranks as threads. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "collectives/bootstrap.h"
#include "collectives/bootstrap/wait.h"
#include "collectives/status.h"
#include "tests/exchange.h"
#include "tests/suite.h"

#define MAX_RANKS 8

START_TEST(test_none)
{
	struct ronde_bootstrap *b;
	ck_assert_int_eq(ronde_bootstrap_none(&b), RONDE_OK);
	int bad = exchange_rounds(b, 20);
	if (b->rank != 0 || b->size != 1 || b->node_of_rank[0] != 0 || b->inprocess)
		bad = __LINE__;
	b->ops->close(b, true);
	ck_assert_int_eq(bad, 0);
}
END_TEST

/* ---- threads ---- */

struct thread_rank {
	struct ronde_inprocess *world;
	int rank, sessions, rounds;
	int stop_after; /* leaves after so many rounds; < 0: does not */
	int bad, status;
	char text[256];
};

static char pool[1000];
static int made; /* under the world's lock */

static void *make_pointer(void *arg)
{
	(void)arg;
	return &pool[made++];
}

/* All ranks get the same pointer for a key, and different ones for different keys and rounds. */
static int share_round(struct ronde_bootstrap *b, void **last)
{
	void *odd_even = ronde_inprocess_share(b->inprocess, b->rank % 2, make_pointer, NULL);
	void *mine = ronde_inprocess_share(b->inprocess, 2, make_pointer, NULL);
	void *pair[2] = {odd_even, mine}, *all[MAX_RANKS][2];
	if (b->ops->exchange(b, pair, all, sizeof pair))
		return __LINE__;
	int bad = 0;
	for (int r = 0; r < b->size; r++) {
		if (all[r][1] != mine || all[r][0] == mine || mine == *last)
			bad = __LINE__;
		if ((all[r][0] == odd_even) != (r % 2 == b->rank % 2))
			bad = __LINE__;
	}
	*last = mine;
	return bad;
}

static void *thread_body(void *arg)
{
	struct thread_rank *t = arg;
	void *last = NULL;
	for (int s = 0; s < t->sessions && !t->bad; s++) {
		struct ronde_bootstrap *b;
		if (ronde_bootstrap_inprocess(&b, t->world, t->rank)) {
			t->bad = __LINE__;
			break;
		}
		t->bad = exchange_rounds(b, t->rounds);
		if (!t->bad)
			t->bad = share_round(b, &last);
		b->ops->close(b, true);
	}
	return NULL;
}

static int run_threads(struct thread_rank *t, int n, void *(*body)(void *))
{
	pthread_t thread[MAX_RANKS];
	for (int i = 0; i < n; i++)
		pthread_create(&thread[i], NULL, body, &t[i]);
	int bad = 0;
	for (int i = 0; i < n; i++) {
		pthread_join(thread[i], NULL);
		if (t[i].bad)
			bad = t[i].bad;
	}
	return bad;
}

START_TEST(test_threads)
{
	struct thread_rank t[MAX_RANKS] = {0};
	int n = _i, nodes[MAX_RANKS] = {0, 0, 1, 1, 1, 2, 2, 2};
	struct ronde_inprocess *world = ronde_inprocess_create(n, n % 2 ? nodes : NULL);
	made = 0;
	for (int i = 0; i < n; i++)
		t[i] = (struct thread_rank){
			.world = world, .rank = i, .sessions = 10, .rounds = 14};
	int bad = run_threads(t, n, thread_body);
	ronde_inprocess_destroy(world);
	ck_assert_int_eq(bad, 0);
	ck_assert_int_eq(made, 10 * (n == 1 ? 2 : 3));
}
END_TEST

/* Rank 1 leaves, or is late: the others are told who it was, and meet again in the next opening. */
static void *leaver_body(void *arg)
{
	struct thread_rank *t = arg;
	struct ronde_bootstrap *b;
	for (int s = 0; s < t->sessions; s++) {
		if (ronde_bootstrap_inprocess(&b, t->world, t->rank))
			t->bad = __LINE__;
		if (exchange_rounds(b, t->rounds))
			t->bad = __LINE__;
		if (t->rank == 1 && t->stop_after > 0)
			usleep((useconds_t)t->stop_after * 1000);
		if (t->rank != 1) {
			char c = 0, all[MAX_RANKS];
			t->status = b->ops->exchange(b, &c, all, 1);
			snprintf(t->text, sizeof t->text, "%s", ronde_error_message());
			if (t->status != RONDE_ERR_PEER_LOST ||
			    b->ops->exchange(b, &c, all, 1) == 0)
				t->bad = __LINE__;
		}
		b->ops->close(b, false);
	}
	if (ronde_bootstrap_inprocess(&b, t->world, t->rank))
		t->bad = __LINE__;
	ronde_inprocess_set_timeout(t->world, 60);
	if (exchange_rounds(b, 7))
		t->bad = __LINE__;
	b->ops->close(b, true);
	return NULL;
}

static void run_leavers(double timeout, int late_ms, int sessions, const char *text)
{
	struct thread_rank t[3] = {0};
	struct ronde_inprocess *world = ronde_inprocess_create(3, NULL);
	ronde_inprocess_set_timeout(world, timeout);
	for (int i = 0; i < 3; i++)
		t[i] = (struct thread_rank){.world = world,
					    .rank = i,
					    .sessions = sessions,
					    .rounds = 5,
					    .stop_after = late_ms};
	int bad = run_threads(t, 3, leaver_body);
	ronde_inprocess_destroy(world);
	ck_assert_int_eq(bad, 0);
	ck_assert_str_eq(t[0].text, text);
	ck_assert_str_eq(t[2].text, text);
}

START_TEST(test_thread_leaves)
{
	run_leavers(60, 0, 20, "rank 1 has left");
}
END_TEST

START_TEST(test_thread_late)
{
	run_leavers(0.2, 1000, 1, "rank 1 did not come to the exchange within 0.2 s");
}
END_TEST

static void *unequal_body(void *arg)
{
	struct thread_rank *t = arg;
	struct ronde_bootstrap *b;
	char mine[2] = {0}, all[4];
	ronde_bootstrap_inprocess(&b, t->world, t->rank);
	t->status = b->ops->exchange(b, mine, all, (size_t)t->rank + 1);
	b->ops->close(b, false);
	return NULL;
}

START_TEST(test_thread_unequal)
{
	struct ronde_inprocess *world = ronde_inprocess_create(2, NULL);
	struct thread_rank t[2] = {{.world = world}, {.world = world, .rank = 1}};
	run_threads(t, 2, unequal_body);
	struct ronde_bootstrap *b = NULL;
	int status = ronde_bootstrap_inprocess(&b, world, 2);
	ronde_inprocess_destroy(world);
	ck_assert_int_eq(t[0].status, RONDE_ERR_VERSION);
	ck_assert_int_eq(t[1].status, RONDE_ERR_VERSION);
	ck_assert_int_eq(status, RONDE_ERR_INVALID_ARGUMENT);
	ck_assert_str_eq(ronde_error_message(), "rank 2 of a world of 2: allowed is 0 to 1");
	ck_assert_ptr_null(ronde_inprocess_create(0, NULL));
}
END_TEST

START_TEST(test_ranks_text)
{
	bool which[200] = {[1] = true};
	char text[64];
	ronde_ranks_text(text, sizeof text, which, 200);
	ck_assert_str_eq(text, "rank 1");
	which[2] = which[3] = which[7] = true;
	ronde_ranks_text(text, sizeof text, which, 8);
	ck_assert_str_eq(text, "ranks 1-3, 7");
	for (int i = 10; i < 200; i += 2)
		which[i] = true;
	ronde_ranks_text(text, sizeof text, which, 200);
	ck_assert_str_eq(text, "ranks 1-3, 7, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, …");
	ck_assert_uint_lt(strlen(text), sizeof text);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{test_ranks_text, ONCE},          {test_none, ONCE},
		{test_threads, 1, MAX_RANKS + 1}, {test_thread_leaves, ONCE},
		{test_thread_late, ONCE},         {test_thread_unequal, ONCE},
	};
	return SUITE_RUN("bootstrap", 60, tests);
}

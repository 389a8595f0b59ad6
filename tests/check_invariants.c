/* SPDX-License-Identifier: Apache-2.0 */
/* Invariants of docs/design.md that no other suite shows, on ranks as threads. */
#include <errno.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/leader.h"
#include "tests/ranks.h"
#include "tests/sizes.h"
#include "tests/suite.h"

static uint64_t counter(const _Atomic uint64_t *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

static void raise_flag(_Atomic bool *flag)
{
	atomic_store(flag, true);
}

static void until(const _Atomic bool *flag)
{
	while (!atomic_load(flag))
		usleep(100);
}

/* A seed of the day, printed where a test fails. */
static unsigned new_seed(void)
{
	const char *given = getenv("RONDE_TEST_SEED");
	return given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)getpid();
}

/* ---- 1: room in the log; 8: submit takes only the submit lock ---- */

#define HELD 1500

struct held {
	_Atomic bool submitted, looked;
	int wrong[8];
	uint64_t completed; /* on rank 0, while the last rank was held */
};

static void submit_all(struct rank *r, ronde_handle *h, float (*x)[8])
{
	for (int i = 0; i < HELD; i++) {
		char name[16];
		snprintf(name, sizeof name, "t%d", i);
		for (int k = 0; k < 8; k++)
			x[i][k] = (float)(i + k);
		must(submit_allreduce(r, i % 2 ? name : NULL, x[i], x[i], 8, RONDE_FLOAT32,
				      RONDE_SUM, &h[i]),
		     "submit");
	}
}

/* Until nothing has been completed for a while. */
static uint64_t settled(struct rank *r)
{
	uint64_t last = 0, now;
	for (int quiet = 0; quiet < 20; last = now) {
		usleep(5000);
		now = counter(&r->context->counters.completed);
		quiet = now == last && now > 0 ? quiet + 1 : 0;
	}
	return last;
}

static void held_body(struct rank *r)
{
	struct held *t = r->arg;
	bool last = r->rank == r->size - 1;
	ronde_handle *h = calloc(HELD, sizeof *h);
	float(*x)[8] = calloc(HELD, sizeof *x);
	if (last) /* no turn of this rank: it says things, and reads nothing */
		pthread_mutex_lock(&r->context->engine.lock);
	submit_all(r, h, x);
	if (last) {
		raise_flag(&t->submitted);
		until(&t->looked);
		pthread_mutex_unlock(&r->context->engine.lock);
	}
	if (r->rank == 0) {
		until(&t->submitted);
		t->completed = settled(r);
		raise_flag(&t->looked);
	}
	for (int i = 0; i < HELD; i++) {
		must(wait_for(r, h[i]), "wait");
		for (int k = 0; k < 8; k++)
			t->wrong[r->rank] += x[i][k] != (float)(r->size * (i + k));
	}
	free(h);
	free(x);
}

/* A rank that does not read its log: the others get as far as there is room in it, no farther. */
START_TEST(a_rank_that_does_not_read)
{
	struct held t = {.completed = 0};
	const char *settings[] = {"ring_bytes", "32K", "carry_bytes", "2K", NULL};
	run_ranks(_i, settings, held_body, &t);
	for (int r = 0; r < _i; r++)
		ck_assert_int_eq(t.wrong[r], 0);
	ck_assert_uint_gt(t.completed, 0);
	ck_assert_uint_lt(t.completed, HELD);
}
END_TEST

/* ---- 6: a complete operation's memory is touched by nobody ---- */

struct reuse {
	unsigned seed;
	bool heap;
	int wrong[8];
};

static void reuse_body(struct rank *r)
{
	struct reuse *t = r->arg;
	enum { N = 6000 };
	unsigned seed = t->seed + (unsigned)r->rank;
	float *in = t->heap ? ronde_heap_alloc(r->heap, N * sizeof *in) : malloc(N * sizeof *in);
	float *out = t->heap ? ronde_heap_alloc(r->heap, N * sizeof *in) : malloc(N * sizeof *in);
	for (int round = 0; round < test_turns(150); round++) {
		float *to = round % 2 ? in : out;
		for (int i = 0; i < N; i++)
			in[i] = (float)(round + i % 50 + r->rank);
		if (rand_r(&seed) % 8 == 0)
			usleep((unsigned)rand_r(&seed) % 300);
		must(allreduce(r, "t", in, to, N, RONDE_FLOAT32, RONDE_MAX), "allreduce");
		for (int i = 0; i < N; i++)
			t->wrong[r->rank] += to[i] != (float)(round + i % 50 + r->size - 1);
		memset(in, 0xff, N * sizeof *in); /* not a number, for whoever still reads it */
		memset(out, 0xff, N * sizeof *out);
	}
	if (t->heap) {
		must(ronde_heap_free(r->heap, in), "free");
		must(ronde_heap_free(r->heap, out), "free");
	} else {
		free(in);
		free(out);
	}
}

START_TEST(complete_memory_is_the_callers)
{
	for (int heap = 0; heap < 2; heap++) {
		struct reuse t = {.seed = new_seed(), .heap = heap};
		run_ranks(_i, NULL, reuse_body, &t);
		for (int r = 0; r < _i; r++)
			ck_assert_msg(!t.wrong[r], "RONDE_TEST_SEED=%u: rank %d: %d wrong elements",
				      t.seed, r, t.wrong[r]);
	}
}
END_TEST

/* ---- 7: no wake-up is lost ---- */

#define TRIPS 1500

static void post(ronde_handle handle, int status, const char *message, void *arg)
{
	(void)handle, (void)message;
	if (!status)
		sem_post(arg);
}

static void dawdle(unsigned *seed)
{
	int n = rand_r(seed) % 2000;
	switch (rand_r(seed) % 4) {
	case 0:
		usleep((unsigned)rand_r(seed) % 200);
		break;
	case 1:
		for (volatile int i = 0; i < n; i++)
			;
		break;
	case 2:
		sched_yield();
		break;
	default:
		break;
	}
}

/*
 * A rank sleeps between operations and while it waits, and nothing but a wake-up gets it on: its
 * own thread waits without Ronde, or in it. A lost one hangs.
 */
static void trips_body(struct rank *r)
{
	unsigned seed = *(const unsigned *)r->arg + (unsigned)r->rank;
	sem_t done;
	sem_init(&done, 0, 0);
	float *large = calloc(5000, sizeof *large);
	for (int i = 0; i < test_turns(TRIPS); i++) {
		float x = 1, *data = i % 10 == 9 ? large : &x;
		ronde_handle h;
		dawdle(&seed);
		must(submit_allreduce(r, i % 3 ? "t" : NULL, data, data, data == &x ? 1 : 5000,
				      RONDE_FLOAT32, RONDE_SUM, &h),
		     "submit");
		if (rand_r(&seed) % 4) {
			must(ronde_submit_on_done(r->context, h, post, &done), "on_done");
			while (sem_wait(&done) && errno == EINTR)
				;
		} else {
			dawdle(&seed);
		}
		must(wait_for(r, h), "wait");
		if (x != (data == &x ? (float)r->size : 1))
			abort();
	}
	must(barrier(r), "barrier");
	free(large);
	sem_destroy(&done);
}

START_TEST(no_wake_up_is_lost)
{
	unsigned seed = new_seed();
	fprintf(stderr, "RONDE_TEST_SEED=%u\n", seed);
	run_ranks(_i, NULL, trips_body, &seed);
}
END_TEST

/* ---- 9: shutdown is an entry ---- */

#define LAST 60

struct last {
	unsigned seed;
	int round;
	int status[8][LAST];
	int wrong[8];
};

/* Everybody submits, somebody stops at some time; then everything is complete, one way or other. */
static void last_body(struct rank *r)
{
	struct last *t = r->arg;
	unsigned seed = t->seed + (unsigned)(64 * t->round + r->rank);
	static const uint64_t counts[] = {1, 300, 5000, 12000};
	float *x[LAST];
	ronde_handle h[LAST] = {0};
	for (int i = 0; i < LAST; i++) {
		uint64_t n = counts[(unsigned)i % 4];
		bool heap = i % 8 == 3;
		x[i] = heap ? ronde_heap_alloc(r->heap, n * sizeof(float))
			    : malloc(n * sizeof(float));
		for (uint64_t k = 0; k < n; k++)
			x[i][k] = (float)(i + r->rank);
		if (rand_r(&seed) % 16 == 0)
			usleep((unsigned)rand_r(&seed) % 100);
		t->status[r->rank][i] =
			submit_allreduce(r, NULL, x[i], x[i], n, RONDE_FLOAT32, RONDE_MIN, &h[i]);
		if (r->rank == t->round % r->size && i == LAST - 1 - t->round % 7)
			ronde_context_stop(r->context);
	}
	for (int i = 0; i < LAST; i++) {
		if (!t->status[r->rank][i])
			t->status[r->rank][i] = wait_for(r, h[i]);
		if (t->status[r->rank][i] == RONDE_OK)
			for (uint64_t k = 0; k < counts[(unsigned)i % 4]; k++)
				t->wrong[r->rank] += x[i][k] != (float)i;
		if (i % 8 == 3)
			must(ronde_heap_free(r->heap, x[i]), "free");
		else
			free(x[i]);
	}
}

START_TEST(shutdown_is_an_entry)
{
	const int n = 3;
	int completed = 0;
	unsigned seed = new_seed();
	for (int round = 0; round < 20; round++) {
		struct last t = {.seed = seed, .round = round};
		run_ranks(n, NULL, last_body, &t);
		for (int r = 0; r < n; r++) {
			ck_assert_msg(!t.wrong[r] &&
					      !memcmp(t.status[r], t.status[0], sizeof t.status[0]),
				      "RONDE_TEST_SEED=%u round %d: rank %d differs from rank 0",
				      seed, round, r);
			for (int i = 0; i < LAST; i++)
				if (t.status[r][i] && t.status[r][i] != RONDE_ERR_SHUTDOWN)
					ck_abort_msg("status %d", t.status[r][i]);
		}
		for (int i = 0; i < LAST; i++)
			completed += t.status[0][i] == RONDE_OK;
	}
	ck_assert_int_gt(completed, 0);
}
END_TEST

/* ---- what a rank cannot follow ends its runtime, and is a loss to the others ---- */

struct broken {
	_Atomic int submitted;
	int status[3];
	char text[3][300], later[3][300];
};

static void say_nonsense(struct rank *r)
{
	struct ronde_submissions *s = &r->context->submissions;
	struct ronde_announcement head = {.type = 99};
	pthread_mutex_lock(&s->lock);
	void *record = ronde_ring_reserve(&s->ring, sizeof head);
	memcpy(record, &head, sizeof head);
	ronde_ring_publish(&s->ring);
	pthread_mutex_unlock(&s->lock);
	ronde_bell_ring(&r->context->node->arena, 0);
}

static void broken_body(struct rank *r)
{
	struct broken *b = r->arg;
	float x = 1, y = 1;
	ronde_handle h;
	/* One that only two of three ranks submit, and an error of the thread's own. */
	if (r->rank < 2)
		must(submit_allreduce(r, "t", &x, &x, 1, RONDE_FLOAT32, RONDE_SUM, &h), "submit");
	wait_for(r, 12345);
	atomic_fetch_add(&b->submitted, 1);
	while (atomic_load(&b->submitted) < r->size)
		usleep(100);
	if (r->rank == 2)
		say_nonsense(r);
	b->status[r->rank] = r->rank < 2 ? wait_for(r, h) : RONDE_OK;
	if (r->rank < 2)
		snprintf(b->text[r->rank], sizeof b->text[0], "%s", ronde_error_message());
	while (!allreduce(r, "after", &y, &y, 1, RONDE_FLOAT32, RONDE_SUM))
		;
	snprintf(b->later[r->rank], sizeof b->later[0], "%s", ronde_error_message());
}

START_TEST(what_cannot_be_followed)
{
	static const char own[] = "Ronde on rank 0 found an announcement that it cannot follow; "
				  "shut down and start again";
	char other[300];
	struct broken b = {.submitted = 0};
	const char *settings[] = {"log", "error", NULL};
	run_ranks(3, settings, broken_body, &b);
	snprintf(other, sizeof other,
		 "rank 0 (process %d) was lost: its runtime broke down. Operations cannot complete "
		 "without it; call ronde_shutdown(), and ronde_init() once all ranks run again",
		 (int)getpid());
	ck_assert_int_eq(b.status[0], RONDE_ERR_INTERNAL);
	ck_assert_int_eq(b.status[1], RONDE_ERR_PEER_LOST);
	ck_assert_str_eq(b.text[0], own);
	ck_assert_str_eq(b.later[0], own);
	ck_assert_str_eq(b.text[1], other);
	ck_assert_str_eq(b.later[1], other);
	ck_assert_str_eq(b.later[2], other);
}
END_TEST

/* ---- 10: rows are no agreement; 11: unnamed tensors evict no names ---- */

static void slots_body(struct rank *r)
{
	const struct ronde_counters_atomic *c = &r->context->counters;
	static const char *const names[] = {"a", "b", "c", "d"};
	float x[600] = {0};
	for (int i = 0; i < 4; i++)
		must(allreduce(r, names[i], x, x, 9, RONDE_FLOAT32, RONDE_SUM), "named");
	ck_assert_uint_eq(counter(&c->descriptions_sent), 4);
	for (uint64_t i = 0; i < 2000; i++)
		must(allreduce(r, NULL, x, x, i % 600, RONDE_FLOAT32, RONDE_SUM), "unnamed");
	ck_assert_uint_gt(counter(&c->evictions), 0); /* of each other */
	uint64_t described = counter(&c->descriptions_sent), ready = counter(&c->ready_sent);
	for (int i = 0; i < 4; i++)
		must(allreduce(r, names[i], x, x, 9, RONDE_FLOAT32, RONDE_SUM), "named");
	ck_assert_uint_eq(counter(&c->descriptions_sent), described);
	ck_assert_uint_eq(counter(&c->ready_sent), ready + 4);

	for (int rows = 0; rows < 30; rows++) {
		ronde_gathered out = {0};
		ronde_handle h;
		must(submit_allgather(r, "e", x, (rows + r->rank) % 4, 5, RONDE_FLOAT32, &out, &h),
		     "allgather");
		must(wait_for(r, h), "allgather");
		free(out.data);
	}
	ck_assert_uint_eq(counter(&c->descriptions_sent), described + 1);
}

START_TEST(slots_of_names_and_patterns)
{
	const char *settings[] = {"cache_capacity", "4", NULL};
	run_ranks(3, settings, slots_body, NULL);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{a_rank_that_does_not_read, 2, 5}, {complete_memory_is_the_callers, 2, 5},
		{no_wake_up_is_lost, 1, 4},        {shutdown_is_an_entry, ONCE},
		{what_cannot_be_followed, ONCE},   {slots_of_names_and_patterns, ONCE},
	};
	return SUITE_RUN("invariants", 120, tests);
}

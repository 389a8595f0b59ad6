/* SPDX-License-Identifier: Apache-2.0 */
/* The request pool: handles, states, the list of live ones, and threads that look at handles. */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/request.h"
#include "tests/suite.h"

#define MANY 100000u

static struct ronde_request_pool *new_pool(uint64_t first_generation)
{
	struct ronde_request_pool *pool = malloc(sizeof *pool);
	ck_assert_ptr_nonnull(pool);
	ronde_request_pool_init(pool, first_generation);
	return pool;
}

static void delete_pool(struct ronde_request_pool *pool)
{
	ronde_request_pool_finish(pool);
	free(pool);
}

static int compare_handles(const void *a, const void *b)
{
	ronde_handle x = *(const ronde_handle *)a, y = *(const ronde_handle *)b;
	return (x > y) - (x < y);
}

START_TEST(life)
{
	struct ronde_request_pool *pool = new_pool(7);
	enum ronde_request_state state;
	struct ronde_request *r = ronde_request_new(pool);
	ronde_handle h = ronde_request_handle(r);
	ck_assert_uint_ne(h, 0);
	ck_assert_ptr_eq(ronde_request_find(pool, h, &state), r);
	ck_assert_int_eq(state, RONDE_REQUEST_PENDING);
	ck_assert(!ronde_request_is_done(r));
	ck_assert(ronde_request_claim(r, h));
	ck_assert(!ronde_request_claim(r, h));
	ck_assert_uint_eq(ronde_request_handle(r), h); /* a claim is no part of it */
	ronde_request_finish(pool, r);
	ck_assert(ronde_request_is_done(r));
	ck_assert_ptr_eq(ronde_request_find(pool, h, &state), r);
	ck_assert_int_eq(state, RONDE_REQUEST_DONE);
	ck_assert(!ronde_request_claim(r, h)); /* the waiter's claim has survived */
	r->message = strdup("freed with it");
	ronde_request_release(pool, r);
	ck_assert_ptr_null(ronde_request_find(pool, h, &state));
	ck_assert_ptr_null(pool->live);

	struct ronde_request *again = ronde_request_new(pool);
	ronde_handle next = ronde_request_handle(again);
	ck_assert_ptr_eq(again, r); /* memory is used again, the handle is not */
	ck_assert_uint_ne(next, h);
	ck_assert_ptr_null(again->message);
	ck_assert_ptr_null(ronde_request_find(pool, h, NULL));
	ck_assert(!ronde_request_claim(again, h));
	ck_assert(ronde_request_claim(again, next));
	ronde_request_release(pool, again); /* never seen: released while pending */
	ck_assert_ptr_null(pool->live);
	ck_assert_ptr_null(ronde_request_find(pool, next, NULL));
	delete_pool(pool);
}
END_TEST

START_TEST(unknown_handles)
{
	struct ronde_request_pool *pool = new_pool(1000), *later = new_pool(2000);
	unsigned seed = 5;
	struct ronde_request *r = ronde_request_new(pool);
	ronde_handle h = ronde_request_handle(r);
	ck_assert_ptr_null(ronde_request_find(pool, 0, NULL));
	ck_assert_ptr_null(ronde_request_find(pool, h + 1, NULL)); /* of this chunk, never used */
	ck_assert_ptr_null(ronde_request_find(pool, h + RONDE_REQUESTS_PER_CHUNK, NULL));
	ck_assert_ptr_null(ronde_request_find(pool, UINT64_MAX, NULL));
	ck_assert_ptr_null(ronde_request_find(pool, h + ((uint64_t)1 << 20), NULL));
	ck_assert_ptr_null(ronde_request_find(pool, h - ((uint64_t)1 << 20), NULL));
	ck_assert_ptr_null(ronde_request_find(pool, h ^ (uint64_t)1 << 63, NULL));
	int found = 0;
	for (int i = 0; i < 100000; i++) {
		ronde_handle any = (uint64_t)rand_r(&seed) << 33 ^ (uint64_t)rand_r(&seed) << 12 ^
				   (uint64_t)rand_r(&seed);
		found += any != h && ronde_request_find(pool, any, NULL) != NULL;
	}
	ck_assert_int_eq(found, 0);

	/* A handle of an earlier runtime. */
	struct ronde_request *other = ronde_request_new(later);
	ck_assert_uint_ne(ronde_request_handle(other), h);
	ck_assert_ptr_null(ronde_request_find(later, h, NULL));
	delete_pool(pool);
	delete_pool(later);
}
END_TEST

/* All live at once, released in another order, twice: 200,000 handles, all different. */
START_TEST(many)
{
	struct ronde_request_pool *pool = new_pool(0);
	ronde_handle *handles = malloc(2 * MANY * sizeof *handles);
	struct ronde_request **requests = malloc(MANY * sizeof(struct ronde_request *));
	ck_assert(handles && requests);
	unsigned seed = 11;
	int bad = 0;
	for (uint32_t round = 0; round < 2; round++) {
		ronde_handle *mine = handles + (size_t)round * MANY;
		for (uint32_t i = 0; i < MANY; i++) {
			requests[i] = ronde_request_new(pool);
			mine[i] = ronde_request_handle(requests[i]);
		}
		for (uint32_t i = 0; i < MANY; i++)
			bad += ronde_request_find(pool, mine[i], NULL) != requests[i];
		for (uint32_t i = MANY; i > 0; i--) {
			uint32_t k = (uint32_t)rand_r(&seed) % i;
			struct ronde_request *r = requests[k];
			requests[k] = requests[i - 1];
			if (i % 3)
				ronde_request_finish(pool, r);
			ronde_request_release(pool, r);
		}
		for (uint32_t i = 0; i < MANY; i++)
			bad += ronde_request_find(pool, mine[i], NULL) != NULL;
		ck_assert_ptr_null(pool->live);
	}
	ck_assert_int_eq(bad, 0);
	ck_assert_uint_eq(pool->used, MANY); /* the second round took the first one's memory */
	qsort(handles, 2 * MANY, sizeof *handles, compare_handles);
	for (uint32_t i = 1; i < 2 * MANY; i++)
		bad += handles[i] == handles[i - 1];
	ck_assert_int_eq(bad, 0);
	free(handles);
	free(requests);
	delete_pool(pool);
}
END_TEST

/* Against an array: states, and the live list from the newest to the oldest. */
#define MODEL 300

struct model {
	struct ronde_request *request;
	ronde_handle handle;
	enum ronde_request_state state;
	bool claimed;
	uint32_t born;
};

static const char *look(struct ronde_request_pool *pool, struct model *m)
{
	uint32_t pending = 0, listed = 0, newest = UINT32_MAX;
	for (int i = 0; i < MODEL; i++) {
		enum ronde_request_state state;
		struct ronde_request *r = ronde_request_find(pool, m[i].handle, &state);
		pending += m[i].state == RONDE_REQUEST_PENDING;
		if (m[i].state == RONDE_REQUEST_FREE ? r != NULL
						     : r != m[i].request || state != m[i].state)
			return "a handle's state";
	}
	for (struct ronde_request *r = pool->live; r; r = r->next_live, listed++) {
		int i = 0;
		while (i < MODEL && (m[i].request != r || m[i].state != RONDE_REQUEST_PENDING))
			i++;
		if (i == MODEL || m[i].born >= newest)
			return "the list of live requests";
		if (r->next_live && r->next_live->prev_live != r)
			return "the list's links";
		newest = m[i].born;
	}
	return listed == pending ? NULL : "the number of live requests";
}

START_TEST(as_an_array)
{
	struct ronde_request_pool *pool = new_pool(3);
	static struct model m[MODEL];
	memset(m, 0, sizeof m);
	unsigned seed = 100 + (unsigned)_i;
	const char *wrong = NULL;
	uint32_t step = 1;
	for (; step <= 20000 && !wrong; step++) {
		struct model *one = &m[rand_r(&seed) % MODEL];
		int what = rand_r(&seed) % 4;
		if (one->state == RONDE_REQUEST_FREE) {
			one->request = ronde_request_new(pool);
			one->handle = ronde_request_handle(one->request);
			one->state = RONDE_REQUEST_PENDING;
			one->claimed = false;
			one->born = step;
		} else if (what == 0) {
			if (ronde_request_claim(one->request, one->handle) == one->claimed)
				wrong = "a claim";
			one->claimed = true;
		} else if (what == 1 && one->state == RONDE_REQUEST_PENDING) {
			ronde_request_finish(pool, one->request);
			one->state = RONDE_REQUEST_DONE;
		} else if (what == 2) {
			ronde_request_release(pool, one->request);
			one->state = RONDE_REQUEST_FREE;
		}
		if (!wrong && step % 64 == 0)
			wrong = look(pool, m);
	}
	ck_assert_msg(!wrong, "seed %d, step %u: %s", 100 + _i, step, wrong);
	delete_pool(pool);
}
END_TEST

/*
 * One thread makes and ends requests under a lock, as the engine does; the others look at handles
 * it has shown and claim them, without one. Each handle may be claimed once.
 */
#define LOOKERS 3
#define SHOWN 64
#define MADE 30000u

struct race {
	struct ronde_request_pool *pool;
	_Atomic ronde_handle shown[SHOWN];
	_Atomic uint32_t claims, seen_done;
	_Atomic bool over;
};

static void *look_and_claim(void *arg)
{
	struct race *race = arg;
	uint32_t at = 0;
	while (!atomic_load_explicit(&race->over, memory_order_acquire)) {
		ronde_handle h =
			atomic_load_explicit(&race->shown[at++ % SHOWN], memory_order_relaxed);
		enum ronde_request_state state = RONDE_REQUEST_FREE;
		struct ronde_request *r = h ? ronde_request_find(race->pool, h, &state) : NULL;
		if (r && ronde_request_claim(r, h))
			atomic_fetch_add_explicit(&race->claims, 1, memory_order_relaxed);
		if (state == RONDE_REQUEST_DONE)
			atomic_fetch_add_explicit(&race->seen_done, 1, memory_order_relaxed);
		if (at % 256 == 0)
			sched_yield();
	}
	return NULL;
}

START_TEST(claims_race)
{
	struct race *race = calloc(1, sizeof *race);
	struct ronde_request *live[SHOWN] = {0};
	pthread_t threads[LOOKERS];
	race->pool = new_pool(50);
	for (int i = 0; i < LOOKERS; i++)
		ck_assert(!pthread_create(&threads[i], NULL, look_and_claim, race));
	uint32_t mine = 0;
	for (uint32_t i = 0; i < MADE; i++) {
		uint32_t at = i % SHOWN;
		struct ronde_request *old = live[at];
		if (old) {
			/* Whoever has not been claimed by a looker is claimed here: once in all. */
			mine += ronde_request_claim(old, ronde_request_handle(old));
			ronde_request_finish(race->pool, old);
			if (i % 8 == 0)
				sched_yield();
			ronde_request_release(race->pool, old);
		}
		live[at] = ronde_request_new(race->pool);
		atomic_store_explicit(&race->shown[at], ronde_request_handle(live[at]),
				      memory_order_relaxed);
	}
	for (uint32_t at = 0; at < SHOWN; at++)
		mine += ronde_request_claim(live[at], ronde_request_handle(live[at]));
	atomic_store_explicit(&race->over, true, memory_order_release);
	for (int i = 0; i < LOOKERS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(mine + race->claims, MADE);
	delete_pool(race->pool);
	free(race);
}
END_TEST

/* Threads claim the same handles at the same time, those being finished meanwhile. */
#define RUSHED 20000u

struct rush {
	struct ronde_request *requests[RUSHED];
	ronde_handle handles[RUSHED];
	_Atomic uint32_t at, here; /* the handle that is up, how many have tried it */
	_Atomic uint32_t winners;
};

/* All try one handle before any tries the next; who is first to know of it waits a little, now and
 * then. */
static void *rush_in(void *arg)
{
	struct rush *rush = arg;
	unsigned seed = (unsigned)(uintptr_t)&seed;
	for (uint32_t i = 0; i < RUSHED; i++) {
		for (int turns = 0; atomic_load(&rush->at) != i; turns++)
			if (turns > 200)
				sched_yield();
		for (volatile int pause = rand_r(&seed) % 128; pause > 0; pause--)
			;
		if (ronde_request_claim(rush->requests[i], rush->handles[i]))
			atomic_fetch_add(&rush->winners, 1);
		if (atomic_fetch_add(&rush->here, 1) == LOOKERS - 1) {
			atomic_store(&rush->here, 0);
			atomic_store(&rush->at, i + 1);
		}
	}
	return NULL;
}

START_TEST(one_claim_wins)
{
	struct ronde_request_pool *pool = new_pool(1);
	struct rush *rush = calloc(1, sizeof *rush);
	pthread_t threads[LOOKERS];
	uint32_t done = 0;
	for (uint32_t i = 0; i < RUSHED; i++) {
		rush->requests[i] = ronde_request_new(pool);
		rush->handles[i] = ronde_request_handle(rush->requests[i]);
	}
	for (int i = 0; i < LOOKERS; i++)
		ck_assert(!pthread_create(&threads[i], NULL, rush_in, rush));
	for (uint32_t i = 0; i < RUSHED; i++)
		ronde_request_finish(pool, rush->requests[i]);
	for (int i = 0; i < LOOKERS; i++)
		pthread_join(threads[i], NULL);
	for (uint32_t i = 0; i < RUSHED; i++)
		done += ronde_request_is_done(rush->requests[i]);
	ck_assert_uint_eq(rush->winners, RUSHED);
	ck_assert_uint_eq(done, RUSHED);
	free(rush);
	delete_pool(pool);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{life, ONCE},        {unknown_handles, ONCE}, {many, ONCE},
		{as_an_array, 0, 4}, {claims_race, ONCE},     {one_claim_wins, ONCE},
	};
	return SUITE_RUN("request", 100, tests);
}

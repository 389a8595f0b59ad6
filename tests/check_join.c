/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Join: random programs in which every rank runs out of data at another time, every operation
 * against a serial reference, in several process sets. Ranks as threads.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/control.h"
#include "tests/join/op.h"
#include "tests/sizes.h"
#include "tests/suite.h"

/* Random programs of each number of ranks and each settings; the race checker is slow. */
#define ROUNDS (test_is_long() ? 30 : test_turns(2))
#define PROGRAMS (test_stride() > 5 ? 6 : 15)

#define MOST_OPS 8

struct job {
	unsigned seed;
	bool active; /* averages are divided by those that take part */
};

static void one_life(struct rank *r, unsigned *seed, unsigned *own, bool active,
		     const unsigned *masks, const int *sets, int nsets)
{
	struct op ops[MOST_OPS];
	struct flight flights[MOST_OPS];
	int steps[MOST_RANKS], most = 0, last = -1;
	for (int k = 0; k < r->size; k++) {
		steps[k] = draw(seed, 6);
		most = steps[k] > most ? steps[k] : most;
	}
	int nlast = 0;
	for (int step = 0; step < most; step++) {
		int n = 1 + draw(seed, MOST_OPS);
		unsigned present = 0;
		for (int k = 0; k < r->size; k++)
			present |= (unsigned)(steps[k] > step) << k;
		bool heaps = draw(seed, 2), leave = draw(own, 2) && steps[r->rank] == step + 1;
		struct op now[MOST_OPS] = {0};
		for (int k = 0; k < n; k++) {
			now[k] = random_op(seed, masks, sets, nsets);
			now[k].present &= present;
		}
		if (steps[r->rank] <= step)
			continue; /* joins; goes through the others' steps for the dice only */
		memcpy(ops, now, sizeof ops);
		for (int k = 0; k < n; k++)
			if (ops[k].mask >> r->rank & 1)
				launch(r, &ops[k], k, heaps || draw(own, 2), &flights[k]);
		for (int k = 0; k < n && !leave; k++)
			if (ops[k].mask >> r->rank & 1)
				land(r, &flights[k], active);
		nlast = leave ? n : 0;
	}
	must(join(r, &last), "join");
	for (int k = 0; k < nlast; k++) /* in flight when it joined */
		if (ops[k].mask >> r->rank & 1)
			land(r, &flights[k], active);
	float low = (float)last, high = (float)last;
	must(allreduce(r, NULL, &low, &low, 1, RONDE_FLOAT32, RONDE_MIN), "after the join");
	must(allreduce(r, "x", &high, &high, 1, RONDE_FLOAT32, RONDE_MAX), "after the join");
	expect(last >= 0 && last < r->size && low == high, r, "the last rank differs");
}

static void live(struct rank *r)
{
	const struct job *job = r->arg;
	unsigned seed = job->seed, own = seed * 7 + (unsigned)r->rank;
	unsigned masks[4] = {(1u << r->size) - 1};
	int sets[4] = {0}, nsets = 1;
	for (int k = 1; k < 4; k++) {
		unsigned mask = 1 + (unsigned)draw(&seed, (1 << r->size) - 1);
		int ranks[MOST_RANKS], n = 0, made;
		ronde_handle h;
		for (int i = 0; i < r->size; i++)
			if (mask >> i & 1)
				ranks[n++] = i;
		must(ronde_control_change_sets(r->context, RONDE_SET_ADD, ranks, (size_t)n, 0,
					       &made, &h),
		     "add");
		if (wait_for(r, h) == RONDE_OK) {
			masks[nsets] = mask;
			sets[nsets++] = made;
		}
	}
	for (int k = 0; k < 4; k++)
		one_life(r, &seed, &own, job->active, masks, sets, nsets);
	must(barrier(r), "barrier");
}

static const char *const settings[][9] = {
	{NULL},
	{"join_divisor", "active", "carry_bytes", "0", NULL},
	{"cache_capacity", "2", "lanes", "1", NULL},
	{"zero_copy", "no", "chunk_bytes", "1024", "cache_capacity", "0", NULL},
	{"join_divisor", "active", "cache_capacity", "1", NULL},
};

START_TEST(uneven_data)
{
	const char *given = getenv("RONDE_TEST_SEED");
	for (int k = 0; k < ROUNDS; k++) {
		struct job job = {(given ? (unsigned)strtoul(given, NULL, 10) : 20261122) +
					  (unsigned)(_i * 1000 + k),
				  _i % 5 == 1 || _i % 5 == 4};
		printf("%d ranks, settings %d, RONDE_TEST_SEED=%u\n", 1 + _i % 6, _i % 5, job.seed);
		fflush(stdout);
		run_ranks(1 + _i % 6, settings[_i % 5], live, &job);
	}
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{uneven_data, 0, PROGRAMS},
	};
	return SUITE_RUN("join", 200, tests);
}

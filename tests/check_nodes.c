/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranks on several nodes: what they agree on, carry and are told, through the whole runtime. Ranks
 * are threads, and the fabric between nodes is the loopback with random delays.
 *
 * A program is drawn from a seed: rounds of tensors of which some ride and some do not, submitted
 * by each rank in an order of its own, in set 0 and in two more, waited for at the end of a round.
 * Values are small integers, so that every sum is exact and every rank knows it.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "collectives/status.h"
#include "coordinator/control.h"
#include "tests/ranks.h"
#include "tests/seed.h"
#include "tests/sizes.h"
#include "tests/suite.h"

#define MOST_RANKS 8
#define TENSORS 24
#define LONGEST 40000

static const struct world {
	const char *shape;
	int ranks;
} worlds[] = {{"1", 2},   {"2+1", 3}, {"2", 4}, {"1", 3},
	      {"1+3", 4}, {"2", 8},   {"1", 8}, {"3+1+2", 6}};
#define WORLDS ((int)(sizeof worlds / sizeof *worlds))

static const char *const settings[][11] = {
	{NULL},
	{"cache_capacity", "3", "fusion_threshold", "4096", NULL},
	{"ring_bytes", "32768", "carry_bytes", "8192", "chunk_bytes", "8192", NULL},
	{"carry_bytes", "0", "lanes", "2", "cache_capacity", "0", NULL},
};
#define SETTINGS ((int)(sizeof settings / sizeof *settings))

/* Of the turn-th pair of a world and settings: the first WORLDS pairs have all of both. */
static int settings_of(int turn)
{
	return (turn + turn / WORLDS) % SETTINGS;
}

static uint64_t below(uint64_t *seed, uint64_t bound)
{
	return next_random(seed) % bound;
}

/* ---- random programs ---- */

struct program {
	uint64_t seed;
	int rounds;
};

struct tensor {
	int kind; /* 0, 1: allreduce, 2: broadcast, 3: barrier */
	int set, root;
	size_t count;
	char name[32];
	float *data;
	ronde_handle handle;
};

/* What rank r puts into element i of a round's tensor. */
static float value(uint64_t round, int tensor, int rank, size_t i)
{
	return (float)((round * 7 + (uint64_t)tensor * 13 + (uint64_t)rank * 5 + i) % 64);
}

static struct tensor draw(uint64_t *seed, int number, uint64_t round, int size)
{
	struct tensor t = {.kind = (int)below(seed, 8)};
	t.kind = t.kind < 6 ? 0 : t.kind == 6 ? 2 : 3;
	t.set = (int)below(seed, 3);
	t.count = below(seed, 3) ? below(seed, 40) : below(seed, LONGEST);
	t.root = (int)below(seed, (uint64_t)size);
	/* Some names come back in every round, and are announced by a slot then. */
	if (below(seed, 2))
		snprintf(t.name, sizeof t.name, "t%d.%d.%zu", number, t.kind, t.count % 2);
	else
		snprintf(t.name, sizeof t.name, "r%d.%d", (int)round, number);
	return t;
}

static bool is_in(const struct rank *r, int set, int rank)
{
	return ronde_process_set_has(ronde_process_sets_find(&r->context->sets, (uint32_t)set),
				     rank);
}

static void submit(struct rank *r, struct tensor *t)
{
	struct ronde_submission s = {
		.name = t->name, .input = t->data, .output = t->data, .count = t->count};
	s.desc = (struct ronde_desc){.kind = RONDE_KIND_ALLREDUCE,
				     .dtype = RONDE_FLOAT32,
				     .reduction = RONDE_SUM,
				     .ndim = 1,
				     .set = (uint32_t)t->set,
				     .prescale = 1,
				     .postscale = 1,
				     .dims = {(int64_t)t->count}};
	if (t->kind == 2) {
		s.desc.kind = RONDE_KIND_BROADCAST;
		s.desc.root = t->root;
		s.input = t->root == r->rank ? t->data : NULL;
	} else if (t->kind == 3) {
		s.desc = (struct ronde_desc){.kind = RONDE_KIND_BARRIER,
					     .dtype = RONDE_UINT8,
					     .set = (uint32_t)t->set,
					     .prescale = 1,
					     .postscale = 1};
		s.desc.ndim = 0;
		s.name = t->name;
		s.count = 0;
		s.input = s.output = NULL;
	}
	must(ronde_submit(r->context, &s, &t->handle), "submit");
}

static float expected(const struct rank *r, const struct tensor *t, uint64_t round, int number,
		      size_t i)
{
	float sum = 0;
	if (t->kind == 2)
		return value(round, number, t->root, i);
	for (int rank = 0; rank < r->size; rank++)
		sum += is_in(r, t->set, rank) ? value(round, number, rank, i) : 0;
	return sum;
}

static void check(struct rank *r, const struct tensor *t, uint64_t round, int number)
{
	for (size_t i = 0; t->kind != 3 && i < t->count; i++) {
		float want = expected(r, t, round, number, i);
		if (t->data[i] == want)
			continue;
		fprintf(stderr, "rank %d, round %d, \"%s\" of set %d: element %zu is %g, not %g\n",
			r->rank, (int)round, t->name, t->set, i, (double)t->data[i], (double)want);
		abort();
	}
}

/* A root must be a member of its set, a tensor's name must be free. */
static void fit(const struct rank *r, struct tensor *all, int n)
{
	while (all[n].kind == 2 && !is_in(r, all[n].set, all[n].root))
		all[n].root = (all[n].root + 1) % r->size;
}

static void one_round(struct rank *r, uint64_t *shared, uint64_t *own, uint64_t round, float *room)
{
	struct tensor all[TENSORS];
	int order[TENSORS];
	for (int i = 0; i < TENSORS; i++) {
		all[i] = draw(shared, i, round, r->size);
		all[i].data = room + (size_t)i * LONGEST;
		fit(r, all, i);
		order[i] = i;
		for (size_t k = 0; k < all[i].count; k++)
			all[i].data[k] = all[i].kind == 2 && all[i].root != r->rank
						 ? -1
						 : value(round, i, r->rank, k);
	}
	for (int i = TENSORS - 1; i > 0; i--) {
		int k = (int)below(own, (uint64_t)i + 1), swap = order[i];
		order[i] = order[k];
		order[k] = swap;
	}
	for (int i = 0; i < TENSORS; i++) {
		if (is_in(r, all[order[i]].set, r->rank))
			submit(r, &all[order[i]]);
		if (below(own, 8) == 0)
			usleep((useconds_t)below(own, 300));
	}
	for (int i = 0; i < TENSORS; i++)
		if (is_in(r, all[i].set, r->rank)) {
			must(wait_for(r, all[i].handle), all[i].name);
			check(r, &all[i], round, i);
		}
}

static void add_set(struct rank *r, const int *ranks, size_t n)
{
	int id;
	ronde_handle h;
	must(ronde_control_change_sets(r->context, RONDE_SET_ADD, ranks, n, 0, &id, &h), "a set");
	must(wait_for(r, h), "a set");
}

/* Every other rank; and all but the first: with every shape there are sets that span some nodes,
 * are on one, or lack the leader. */
static void add_sets(struct rank *r)
{
	int ranks[MOST_RANKS];
	size_t n = 0;
	for (int i = 0; i < r->size; i += 2)
		ranks[n++] = i;
	add_set(r, ranks, n);
	n = 0;
	for (int i = 1; i < r->size; i++)
		ranks[n++] = i;
	add_set(r, ranks, n);
}

static void play(struct rank *r)
{
	const struct program *p = r->arg;
	uint64_t shared = p->seed, own = p->seed + (uint64_t)r->rank * 7919 + 1;
	float *room = calloc((size_t)TENSORS * LONGEST, sizeof *room);
	if (!room)
		abort();
	add_sets(r);
	for (int round = 0; round < p->rounds; round++)
		one_round(r, &shared, &own, (uint64_t)round, room);
	must(barrier(r), "the end");
	free(room);
}

START_TEST(programs)
{
	const struct world *w = &worlds[_i % WORLDS];
	struct program p = {.seed = test_seed() + (uint64_t)_i, .rounds = test_turns(6)};
	printf("%s, %d ranks, settings %d\n", w->shape, w->ranks, settings_of(_i));
	run_ranks_on(w->shape, p.seed, p.seed % 2 ? 100000 : 0, w->ranks, settings[settings_of(_i)],
		     play, &p);
}
END_TEST

/* ---- the same bits whatever the path ---- */

#define BITS 1200

struct bits {
	float sum[BITS];
	bool known;
	int differ;
};

/* Sums that depend on the order: everything at once, or in pieces that ride. */
static void add_up(struct rank *r)
{
	struct bits *b = r->arg;
	static const size_t pieces[] = {BITS, 40, 400};
	float x[BITS];
	for (size_t k = 0; k < 3; k++) {
		uint64_t seed = (uint64_t)r->rank + 1;
		for (size_t i = 0; i < BITS; i++)
			x[i] = (float)(next_random(&seed) % 1000003) / 7.0f - 70000.0f;
		for (size_t at = 0; at < BITS; at += pieces[k]) {
			size_t n = BITS - at < pieces[k] ? BITS - at : pieces[k];
			must(allreduce(r, NULL, x + at, x + at, n, RONDE_FLOAT32, RONDE_SUM),
			     "sum");
		}
		if (r->rank)
			continue;
		for (size_t i = 0; b->known && i < BITS; i++)
			b->differ += b->sum[i] != x[i];
		memcpy(b->sum, x, sizeof x);
		b->known = true;
	}
}

START_TEST(bits)
{
	const struct world *w = &worlds[_i];
	struct bits b = {0};
	for (int turn = 0; turn < test_turns(20); turn++)
		run_ranks_on(w->shape, (uint64_t)turn, turn % 3 ? 50000 : 0, w->ranks,
			     settings[turn % SETTINGS], add_up, &b);
	ck_assert(b.known);
	ck_assert_int_eq(b.differ, 0);
}
END_TEST

/* ---- joins ---- */

static void join(struct rank *r)
{
	float x[600];
	int last = -1;
	ronde_handle h;
	/* The higher the rank the more it has to do: whole nodes run out before others. */
	for (int step = 0; step < 4 + 2 * r->rank; step++) {
		int present = 0;
		float want = 0;
		for (int rank = 0; rank < r->size; rank++)
			if (step < 4 + 2 * rank) {
				present++;
				want += (float)(rank + 1);
			}
		size_t n = step % 2 ? 600 : 3;
		for (size_t i = 0; i < n; i++)
			x[i] = (float)(r->rank + 1);
		must(allreduce(r, step % 3 ? "x" : NULL, x, x, n, RONDE_FLOAT32, RONDE_SUM), "sum");
		for (size_t i = 0; i < n; i++)
			if (x[i] != want) {
				fprintf(stderr, "rank %d, step %d, %d ranks: %g, not %g\n", r->rank,
					step, present, (double)x[i], (double)want);
				abort();
			}
	}
	must(ronde_control_join(r->context, &last, &h), "join");
	must(wait_for(r, h), "join");
	if (last != r->size - 1)
		abort();
	must(barrier(r), "barrier");
}

START_TEST(joins)
{
	const struct world *w = &worlds[_i % WORLDS];
	run_ranks_on(w->shape, 3, 20000, w->ranks, settings[settings_of(_i)], join, NULL);
}
END_TEST

/* ---- errors ---- */

static void disagree(struct rank *r)
{
	float x[500] = {0};
	char text[400];
	size_t n = r->rank == r->size - 1 ? 499 : 500;
	for (int i = 0; i < 3; i++) {
		int status = allreduce(r, "w", x, x, n, RONDE_FLOAT32, RONDE_SUM);
		snprintf(text, sizeof text,
			 "tensor \"w\": ranks 0-%d submitted float32[500], rank %d submitted "
			 "float32[499]; all ranks must give the same to one allreduce",
			 r->size - 2, r->size - 1);
		must_fail(r, status, RONDE_ERR_MISMATCH, text);
		must(allreduce(r, "w", x, x, 500, RONDE_FLOAT32, RONDE_SUM), "afterwards");
	}
}

START_TEST(disagreement)
{
	run_ranks_on("2+1", 5, 20000, 3, settings[_i], disagree, NULL);
}
END_TEST

int main(void)
{
	const int pairs = test_stride() > 5 ? WORLDS + 4 : WORLDS * SETTINGS;
	const struct suite_test tests[] = {
		{programs, 0, pairs},
		{bits, 0, WORLDS},
		{joins, 0, pairs},
		{disagreement, 0, SETTINGS},
	};
	return SUITE_RUN("nodes", 120, tests);
}

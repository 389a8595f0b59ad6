/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The leader's ballots against a model that keeps slots in an array and finds the one not used for
 * longest by looking at all of them.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/ballot.h"
#include "coordinator/directory.h"
#include "tests/sizes.h"
#include "tests/suite.h"

#define MEMBERS 3
#define NAMES 150
#define PATTERNS 300
#define UNNAMED 40
#define SEARCHED 64 /* the oldest slots that are looked at for one to take */

/* A tensor or a pattern, as the model sees it. */
struct thing {
	struct ronde_ballot *ballot; /* NULL: there is none */
	struct ronde_slot_name slot;
	uint64_t used;   /* when, last */
	uint32_t needed; /* votes, or ballots and votes that need the pattern */
	int64_t extent, round;
};

struct pool {
	struct thing *things;
	int n;
	uint32_t first, count, given;
	uint32_t *generations;
};

/* An unnamed tensor in flight. */
struct unnamed {
	uint64_t ordinal;
	int pattern;
	bool heard[MEMBERS], by_slot[MEMBERS];
	bool any;
};

struct model {
	struct ronde_ballots b;
	struct pool names, patterns;
	struct unnamed unnamed[UNNAMED];
	uint64_t clock, ordinals;
	unsigned seed;
	const char *wrong;
};

static void expect(struct model *m, bool right, const char *what)
{
	if (!right && !m->wrong)
		m->wrong = what;
}

static uint32_t below(struct model *m, uint32_t n)
{
	return (uint32_t)rand_r(&m->seed) % n;
}

static struct ronde_desc desc_of(int64_t extent)
{
	return (struct ronde_desc){.kind = RONDE_KIND_ALLREDUCE, .ndim = 1, .dims = {extent}};
}

static void name_key(struct ronde_key *key, int i)
{
	char name[32];
	int n = snprintf(name, sizeof name, "layer%d.weight", i);
	ronde_key_set(key, RONDE_KIND_ALLREDUCE, 0, name, (size_t)n, 0);
}

static void pool_init(struct pool *p, int n, uint32_t first, uint32_t count)
{
	*p = (struct pool){.n = n, .first = first, .count = count};
	p->things = calloc((size_t)n, sizeof *p->things);
	p->generations = calloc(count + 1, sizeof *p->generations);
	for (int i = 0; i < n; i++)
		p->things[i].slot.slot = RONDE_NO_SLOT;
}

static bool has_slot(const struct thing *t)
{
	return t->ballot && t->slot.slot != RONDE_NO_SLOT;
}

/* The thing with a slot that was used first after `after`; NULL: none. */
static struct thing *next_used(const struct pool *p, uint64_t after)
{
	struct thing *best = NULL;
	for (int i = 0; i < p->n; i++) {
		struct thing *t = &p->things[i];
		if (has_slot(t) && t->used > after && (!best || t->used < best->used))
			best = t;
	}
	return best;
}

static void give(struct model *m, struct pool *p, struct thing *t, uint32_t slot)
{
	t->slot = (struct ronde_slot_name){slot, ++p->generations[slot - p->first]};
	t->extent = t->round;
	t->used = ++m->clock;
}

/* What ronde_ballots_define() must do; the same is done to the model. */
static bool define(struct model *m, struct pool *p, struct thing *t,
		   struct ronde_slot_name *evicted)
{
	evicted->slot = RONDE_NO_SLOT;
	if (has_slot(t)) {
		*evicted = t->slot;
		give(m, p, t, t->slot.slot);
		return true;
	}
	if (p->given < p->count) {
		give(m, p, t, p->first + p->given++);
		return true;
	}
	struct thing *victim = next_used(p, 0);
	for (int i = 0; victim && victim->needed && i < SEARCHED; i++)
		victim = next_used(p, victim->used);
	if (!victim || victim->needed)
		return false;
	*evicted = victim->slot;
	victim->slot.slot = RONDE_NO_SLOT;
	victim->ballot = NULL;
	give(m, p, t, evicted->slot);
	return true;
}

static void define_both(struct model *m, struct pool *p, struct thing *t)
{
	struct ronde_slot_name evicted, expected;
	bool defined = ronde_ballots_define(&m->b, t->ballot, &evicted);
	expect(m, define(m, p, t, &expected) == defined, "whether it gets a slot");
	expect(m,
	       evicted.slot == expected.slot &&
		       (evicted.slot == RONDE_NO_SLOT || evicted.generation == expected.generation),
	       "who is evicted");
	expect(m, t->ballot->slot.slot == t->slot.slot, "the slot");
	if (evicted.slot != RONDE_NO_SLOT)
		expect(m, !ronde_ballots_at(&m->b, evicted), "an evicted slot");
}

/* ---- named tensors ---- */

static unsigned char mark(int i, int member)
{
	return (unsigned char)(i * 7 + member * 31 + 1);
}

static void vote(struct model *m, int i)
{
	struct thing *t = &m->names.things[i];
	struct ronde_key key;
	name_key(&key, i);
	struct ronde_ballot *b = ronde_ballots_get(&m->b, &key);
	expect(m, !t->ballot || t->ballot == b, "which ballot a key finds");
	if (!t->ballot)
		expect(m, !b->heard && b->slot.slot == RONDE_NO_SLOT && !b->votes[0].heard,
		       "a new ballot");
	t->ballot = b;
	int member = (int)below(m, MEMBERS);
	if (b->votes[member].heard)
		return;
	if (t->needed == 0) {
		t->round = has_slot(t) && below(m, 8) ? t->extent : 1 + below(m, 20);
		b->round = desc_of(t->round);
	}
	b->votes[member].heard = true;
	b->heard = ++t->needed;
	size_t bytes = (size_t)t->round * 4;
	memset(ronde_ballot_payload(&m->b, b, member, bytes), mark(i, member), bytes);
}

static bool payloads_are_there(struct model *m, int i, const struct thing *t)
{
	size_t bytes = (size_t)t->round * 4;
	for (int member = 0; member < MEMBERS; member++) {
		const unsigned char *p = ronde_ballot_payload(&m->b, t->ballot, member, bytes);
		for (size_t k = 0; k < bytes; k++)
			if (p[k] != mark(i, member))
				return false;
	}
	return true;
}

/* As decide.c and append.c do with a tensor that all have voted on. */
static void conclude(struct model *m, int i)
{
	struct thing *t = &m->names.things[i];
	if (!t->ballot || t->needed < MEMBERS)
		return;
	expect(m, payloads_are_there(m, i, t), "a payload");
	bool error = below(m, 10) == 0;
	if (!error && (!has_slot(t) || t->extent != t->round))
		define_both(m, &m->names, t);
	if (!error) {
		ronde_ballots_touch(&m->b, t->ballot);
		if (has_slot(t))
			t->used = ++m->clock;
	} else if (below(m, 2)) { /* somebody described it otherwise */
		t->ballot->votes[1].other = calloc(1, sizeof(struct ronde_desc));
		t->ballot->disagreed = true;
	}
	ronde_ballots_close(&m->b, t->ballot);
	t->needed = 0;
	if (!has_slot(t))
		t->ballot = NULL;
}

/* ---- unnamed tensors and their patterns ---- */

static void vote_unnamed(struct model *m, struct unnamed *u)
{
	if (!u->any) {
		memset(u, 0, sizeof *u);
		u->ordinal = m->ordinals++;
		u->pattern = (int)below(m, below(m, 2) ? PATTERNS : 20);
		u->any = true;
	}
	struct ronde_key key;
	struct thing *p = &m->patterns.things[u->pattern];
	ronde_key_set(&key, RONDE_KIND_ALLREDUCE, 0, NULL, 0, u->ordinal);
	struct ronde_ballot *b = ronde_ballots_get(&m->b, &key);
	int member = (int)below(m, MEMBERS);
	if (u->heard[member])
		return;
	expect(m, !b->votes[member].heard && !b->votes[member].pattern, "a used ballot is blank");
	u->heard[member] = b->votes[member].heard = true;
	b->round = desc_of(1000 + u->pattern);
	b->heard++;
	if (has_slot(p) && below(m, 3)) { /* came by the pattern's slot */
		expect(m, ronde_ballots_at(&m->b, p->slot) == p->ballot, "a pattern's slot");
		b->votes[member].pattern = p->ballot;
		p->ballot->heard++;
		p->needed++;
		u->by_slot[member] = true;
	}
}

static void conclude_unnamed(struct model *m, struct unnamed *u)
{
	if (!u->any || !u->heard[0] || !u->heard[1] || !u->heard[2])
		return;
	struct thing *p = &m->patterns.things[u->pattern];
	struct ronde_key key;
	ronde_key_set(&key, RONDE_KIND_ALLREDUCE, 0, NULL, 0, u->ordinal);
	struct ronde_ballot *b = ronde_ballots_get(&m->b, &key);
	struct ronde_ballot *pattern = ronde_ballots_pattern(&m->b, &b->round);
	expect(m, !p->ballot || p->ballot == pattern, "which pattern a description finds");
	if (has_slot(p)) {
		ronde_ballots_touch(&m->b, pattern);
		p->used = ++m->clock;
	} else {
		p->ballot = pattern;
		p->round = pattern->round.dims[0];
		define_both(m, &m->patterns, p);
		if (!has_slot(p)) {
			ronde_ballots_forget(&m->b, pattern);
			p->ballot = NULL;
		} else if (below(m, 2)) {
			b->pattern = pattern;
			pattern->heard++;
		}
	}
	ronde_ballots_close(&m->b, b);
	for (int i = 0; i < MEMBERS; i++)
		p->needed -= u->by_slot[i];
	u->any = false;
}

/* ---- both ---- */

static void compare_pool(struct model *m, const struct pool *p, const struct ronde_slot_pool *real)
{
	uint64_t at = 0;
	const struct ronde_ballot *b = real->oldest, *last = NULL;
	for (struct thing *t; (t = next_used(p, at)); at = t->used) {
		expect(m, b == t->ballot, "the order of use");
		if (m->wrong)
			return;
		expect(m, b->older == last, "the order's way back");
		expect(m, ronde_ballots_at(&m->b, t->slot) == b, "what is at a slot");
		expect(m, b->heard == t->needed, "who needs it");
		struct ronde_slot_name older = {t->slot.slot, t->slot.generation - 1};
		expect(m, !ronde_ballots_at(&m->b, older), "an old generation");
		last = b;
		b = b->newer;
	}
	expect(m, !b && real->newest == last, "the end of the order of use");
}

static void run(uint32_t capacity, unsigned seed, int names, int steps)
{
	struct model *m = calloc(1, sizeof *m);
	m->seed = seed;
	ck_assert(!ronde_ballots_init(&m->b, MEMBERS, capacity));
	pool_init(&m->names, NAMES, 0, capacity);
	pool_init(&m->patterns, PATTERNS, capacity, capacity ? RONDE_PATTERN_SLOTS : 0);
	int step = 0;
	for (; step < steps && !m->wrong; step++) {
		switch (below(m, 8)) {
		case 0:
			conclude(m, (int)below(m, (uint32_t)names));
			break;
		case 1:
		case 2:
			conclude_unnamed(m, &m->unnamed[below(m, UNNAMED)]);
			break;
		case 3:
		case 4:
			vote_unnamed(m, &m->unnamed[below(m, UNNAMED)]);
			break;
		default:
			vote(m, (int)below(m, (uint32_t)names));
		}
		if (step % 64)
			continue;
		compare_pool(m, &m->names, &m->b.names);
		compare_pool(m, &m->patterns, &m->b.patterns);
	}
	ck_assert_msg(!m->wrong, "capacity %u, seed %u, step %d: %s", capacity, seed, step,
		      m->wrong);
	struct ronde_slot_name beyond = {ronde_ballots_slots(capacity), 0};
	ck_assert_ptr_null(ronde_ballots_at(&m->b, beyond));
	beyond.slot = RONDE_NO_SLOT;
	ck_assert_ptr_null(ronde_ballots_at(&m->b, beyond));
	ronde_ballots_finish(&m->b); /* with votes, slots and payloads: the address checker looks */
	free(m->names.things), free(m->names.generations);
	free(m->patterns.things), free(m->patterns.generations);
	free(m);
}

START_TEST(as_a_model)
{
	static const struct {
		uint32_t capacity;
		int names;
	} worlds[] = {{0, 10}, {1, 10}, {1, 2}, {2, 10}, {5, 20}, {20, NAMES}, {100, NAMES}};
	run(worlds[_i].capacity, 4000u + (unsigned)_i, worlds[_i].names, test_turns(40000));
}
END_TEST

/* All slots are needed: the next tensor goes without, and whoever has votes keeps its slot. */
START_TEST(votes_keep_a_slot)
{
	struct ronde_ballots b;
	struct ronde_slot_name evicted, mine[2];
	struct ronde_ballot *held[2];
	struct ronde_key key;
	ck_assert(!ronde_ballots_init(&b, 2, 2));
	for (int i = 0; i < 2; i++) {
		name_key(&key, i);
		held[i] = ronde_ballots_get(&b, &key);
		held[i]->heard = 1;
		ck_assert(ronde_ballots_define(&b, held[i], &evicted));
		ck_assert_uint_eq(evicted.slot, RONDE_NO_SLOT);
		mine[i] = held[i]->slot;
	}
	name_key(&key, 2);
	struct ronde_ballot *third = ronde_ballots_get(&b, &key);
	third->heard = 1;
	ck_assert(!ronde_ballots_define(&b, third, &evicted));
	ck_assert_uint_eq(evicted.slot, RONDE_NO_SLOT);
	ck_assert_uint_eq(third->slot.slot, RONDE_NO_SLOT);
	ronde_ballots_close(&b, held[1]); /* the newer one, but not needed */
	ck_assert(ronde_ballots_define(&b, third, &evicted));
	ck_assert_uint_eq(evicted.slot, mine[1].slot);
	ck_assert_uint_eq(evicted.generation, mine[1].generation);
	ck_assert_ptr_eq(ronde_ballots_at(&b, mine[0]), held[0]);
	ck_assert_ptr_null(ronde_ballots_at(&b, mine[1]));
	ck_assert_uint_eq(third->slot.generation, mine[1].generation + 1);
	ronde_ballots_finish(&b);
}
END_TEST

/* Unnamed tensors of any number of descriptions take no slot of a name. */
START_TEST(patterns_evict_no_names)
{
	struct ronde_ballots b;
	struct ronde_slot_name evicted, name_slot;
	struct ronde_key key;
	ck_assert(!ronde_ballots_init(&b, 2, 1));
	name_key(&key, 0);
	struct ronde_ballot *name = ronde_ballots_get(&b, &key);
	ck_assert(ronde_ballots_define(&b, name, &evicted));
	name_slot = name->slot;
	int evictions = 0;
	for (int i = 0; i < 3 * RONDE_PATTERN_SLOTS; i++) {
		struct ronde_desc desc = desc_of(i);
		struct ronde_ballot *p = ronde_ballots_pattern(&b, &desc);
		ck_assert(ronde_ballots_define(&b, p, &evicted));
		ck_assert_uint_ne(p->slot.slot, name_slot.slot);
		ck_assert_uint_lt(p->slot.slot, ronde_ballots_slots(1));
		evictions += evicted.slot != RONDE_NO_SLOT;
	}
	ck_assert_int_eq(evictions, 2 * RONDE_PATTERN_SLOTS);
	ck_assert_ptr_eq(ronde_ballots_at(&b, name_slot), name);
	ronde_ballots_finish(&b);
}
END_TEST

/* Unnamed ballots come out of the store blank, and the store does not grow. */
START_TEST(unnamed_ballots_are_used_again)
{
	struct ronde_ballots b;
	struct ronde_key key;
	ck_assert(!ronde_ballots_init(&b, MEMBERS, 4));
	struct ronde_ballot *first = NULL;
	int others = 0, dirty = 0;
	for (uint64_t i = 0; i < 1000; i++) {
		ronde_key_set(&key, RONDE_KIND_BARRIER, 0, NULL, 0, i);
		struct ronde_ballot *ballot = ronde_ballots_get(&b, &key);
		first = first ? first : ballot;
		others += ballot != first;
		for (int m = 0; m < MEMBERS; m++) {
			dirty += ballot->votes[m].heard || ballot->votes[m].other ||
				 ballot->votes[m].pattern;
			ballot->votes[m].heard = true;
			ballot->votes[m].other = calloc(1, sizeof *ballot->votes[m].other);
		}
		dirty += ballot->heard || ballot->disagreed || ballot->pattern;
		ballot->heard = MEMBERS;
		ballot->disagreed = true;
		ronde_ballots_close(&b, ballot);
	}
	ck_assert_int_eq(others, 0);
	ck_assert_int_eq(dirty, 0);
	ronde_ballots_finish(&b);
}
END_TEST

int main(void)
{
	mallopt(M_PERTURB, 0xa5); /* memory comes full of rubbish */
	const struct suite_test tests[] = {
		{as_a_model, 0, 7},
		{votes_keep_a_slot, ONCE},
		{patterns_evict_no_names, ONCE},
		{unnamed_ballots_are_used_again, ONCE},
	};
	return SUITE_RUN("ballot", 100, tests);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/ballot.h"

#include <stdlib.h>

#include "collectives/status.h"
#include "coordinator/directory.h"

/* The oldest slots looked at for one that no pending tensor needs. */
#define EVICTION_SEARCH 64

static int pool_init(struct ronde_slot_pool *p, uint32_t first, uint32_t count)
{
	*p = (struct ronde_slot_pool){.first = first, .count = count};
	p->generations = calloc(count ? count : 1, sizeof *p->generations);
	p->returned = calloc(count ? count : 1, sizeof *p->returned);
	if (!p->generations || !p->returned)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for a cache of %u tensors",
				   count);
	return RONDE_OK;
}

int ronde_ballots_init(struct ronde_ballots *b, int members, uint32_t capacity)
{
	*b = (struct ronde_ballots){.members = members, .nslots = ronde_ballots_slots(capacity)};
	b->slots = calloc(b->nslots ? b->nslots : 1, sizeof(struct ronde_ballot *));
	if (!b->slots)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY,
				   "no memory for a cache of %u tensors (RONDE_CACHE_CAPACITY)",
				   capacity);
	int status = pool_init(&b->names, 0, capacity);
	return status ? status : pool_init(&b->patterns, capacity, b->nslots - capacity);
}

/* ---- groups ---- */

static struct ronde_group *new_group(struct ronde_ballots *b, const struct ronde_key *key)
{
	size_t key_bytes = ronde_key_bytes(key);
	struct ronde_group *g = calloc(1, offsetof(struct ronde_group, key) + key_bytes + 1);
	if (!g || !(g->said = calloc((size_t)b->members, sizeof *g->said))) {
		free(g);
		return NULL;
	}
	memcpy(&g->key, key, key_bytes);
	HASH_ADD_KEYPTR(hh, b->groups, &g->key, key_bytes, g);
	return g;
}

bool ronde_ballots_join_group(struct ronde_ballots *b, struct ronde_ballot *ballot,
			      const struct ronde_key *key)
{
	struct ronde_group *g;
	HASH_FIND(hh, b->groups, key, ronde_key_bytes(key), g);
	if (!g && !(g = new_group(b, key)))
		return false;
	ballot->group = g;
	g->users++;
	return true;
}

static void leave_group(struct ronde_ballots *b, struct ronde_ballot *ballot)
{
	struct ronde_group *g = ballot->group;
	ballot->group = NULL;
	ballot->held = false;
	if (!g || --g->users)
		return;
	HASH_DEL(b->groups, g);
	free(g->said);
	free(g->text);
	free(g);
}

/* ---- ballots ---- */

static void ballot_free(struct ronde_ballots *b, struct ronde_ballot *ballot)
{
	leave_group(b, ballot);
	free(ballot->text);
	if (ballot->votes)
		for (int i = 0; i < b->members; i++)
			free(ballot->votes[i].other);
	free(ballot->votes);
	free(ballot->payloads);
	free(ballot);
}

void ronde_ballots_finish(struct ronde_ballots *b)
{
	struct ronde_ballot *ballot, *next;
	HASH_ITER (hh, b->all, ballot, next) {
		HASH_DEL(b->all, ballot);
		ballot_free(b, ballot);
	}
	while ((ballot = b->spare)) {
		b->spare = ballot->next;
		ballot_free(b, ballot);
	}
	free(b->slots);
	free(b->names.generations);
	free(b->names.returned);
	free(b->patterns.generations);
	free(b->patterns.returned);
}

static struct ronde_ballot *new_ballot(struct ronde_ballots *b, const struct ronde_key *key,
				       bool pattern)
{
	size_t key_bytes = ronde_key_bytes(key);
	bool plain = !key->head.named && !pattern;
	struct ronde_ballot *ballot = plain ? b->spare : NULL;
	if (ballot) {
		b->spare = ballot->next;
	} else {
		ballot = calloc(1, offsetof(struct ronde_ballot, key) + key_bytes + 1);
		if (!ballot)
			return NULL;
		if (!pattern &&
		    !(ballot->votes = calloc((size_t)b->members, sizeof *ballot->votes))) {
			free(ballot);
			return NULL;
		}
	}
	memcpy(&ballot->key, key, key_bytes);
	ballot->slot.slot = RONDE_NO_SLOT;
	ballot->is_pattern = pattern;
	HASH_ADD_KEYPTR(hh, b->all, &ballot->key, key_bytes, ballot);
	return ballot;
}

struct ronde_ballot *ronde_ballots_get(struct ronde_ballots *b, const struct ronde_key *key)
{
	struct ronde_ballot *ballot;
	HASH_FIND(hh, b->all, key, ronde_key_bytes(key), ballot);
	return ballot ? ballot : new_ballot(b, key, false);
}

struct ronde_ballot *ronde_ballots_pattern(struct ronde_ballots *b, const struct ronde_desc *desc)
{
	struct ronde_key key;
	struct ronde_ballot *pattern;
	ronde_pattern_key(&key, desc);
	HASH_FIND(hh, b->all, &key, ronde_key_bytes(&key), pattern);
	if (!pattern && (pattern = new_ballot(b, &key, true)))
		pattern->round = *desc;
	return pattern;
}

struct ronde_ballot *ronde_ballots_at(struct ronde_ballots *b, struct ronde_slot_name slot)
{
	struct ronde_ballot *ballot = slot.slot < b->nslots ? b->slots[slot.slot] : NULL;
	return ballot && ballot->slot.generation == slot.generation ? ballot : NULL;
}

unsigned char *ronde_ballot_payload(struct ronde_ballots *b, struct ronde_ballot *ballot,
				    int member, size_t bytes)
{
	size_t stride = ronde_wire_pad(bytes);
	size_t want = stride * (size_t)b->members;
	if (want > ballot->payload_room) {
		unsigned char *payloads = realloc(ballot->payloads, want);
		if (!payloads)
			return NULL;
		ballot->payloads = payloads;
		ballot->payload_room = want;
	}
	return ballot->payloads + stride * (size_t)member;
}

/* ---- slots ---- */

static struct ronde_slot_pool *pool_of(struct ronde_ballots *b, const struct ronde_ballot *ballot)
{
	return ballot->is_pattern ? &b->patterns : &b->names;
}

static void unlink_use(struct ronde_slot_pool *p, struct ronde_ballot *ballot)
{
	*(ballot->older ? &ballot->older->newer : &p->oldest) = ballot->newer;
	*(ballot->newer ? &ballot->newer->older : &p->newest) = ballot->older;
}

static void link_newest(struct ronde_slot_pool *p, struct ronde_ballot *ballot)
{
	ballot->newer = NULL;
	ballot->older = p->newest;
	*(p->newest ? &p->newest->newer : &p->oldest) = ballot;
	p->newest = ballot;
}

void ronde_ballots_touch(struct ronde_ballots *b, struct ronde_ballot *ballot)
{
	struct ronde_slot_pool *p = pool_of(b, ballot);
	if (ballot->slot.slot == RONDE_NO_SLOT || p->newest == ballot)
		return;
	unlink_use(p, ballot);
	link_newest(p, ballot);
}

static void take_slot(struct ronde_ballots *b, struct ronde_ballot *ballot)
{
	unlink_use(pool_of(b, ballot), ballot);
	b->slots[ballot->slot.slot] = NULL;
	ballot->slot.slot = RONDE_NO_SLOT;
}

static void give_slot(struct ronde_ballots *b, struct ronde_ballot *ballot, uint32_t slot)
{
	struct ronde_slot_pool *p = pool_of(b, ballot);
	ballot->slot = (struct ronde_slot_name){slot, ++p->generations[slot - p->first]};
	ballot->desc = ballot->round;
	b->slots[slot] = ballot;
	link_newest(p, ballot);
}

bool ronde_ballots_define(struct ronde_ballots *b, struct ronde_ballot *ballot,
			  struct ronde_slot_name *evicted)
{
	struct ronde_slot_pool *p = pool_of(b, ballot);
	evicted->slot = RONDE_NO_SLOT;
	if (ballot->slot.slot != RONDE_NO_SLOT) { /* described anew: same slot, next generation */
		*evicted = ballot->slot;
		take_slot(b, ballot);
		give_slot(b, ballot, evicted->slot);
		return true;
	}
	if (p->nreturned) {
		give_slot(b, ballot, p->returned[--p->nreturned]);
		return true;
	}
	if (p->used < p->count) {
		give_slot(b, ballot, p->first + p->used++);
		return true;
	}
	struct ronde_ballot *victim = p->oldest;
	for (int i = 0; victim && victim->heard && i < EVICTION_SEARCH; i++)
		victim = victim->newer;
	if (!victim || victim->heard)
		return false;
	*evicted = victim->slot;
	take_slot(b, victim);
	HASH_DEL(b->all, victim);
	ballot_free(b, victim);
	give_slot(b, ballot, evicted->slot);
	return true;
}

/* ---- rounds ---- */

void ronde_ballots_forget(struct ronde_ballots *b, struct ronde_ballot *pattern)
{
	HASH_DEL(b->all, pattern);
	ballot_free(b, pattern);
}

static void forget_votes(struct ronde_ballots *b, struct ronde_ballot *ballot)
{
	for (int i = 0; i < b->members; i++) {
		struct ronde_vote *vote = &ballot->votes[i];
		if (vote->pattern)
			vote->pattern->heard--;
		free(vote->other);
		*vote = (struct ronde_vote){0};
	}
	ballot->heard = 0;
	ballot->disagreed = ballot->refused = ballot->queued = false;
	free(ballot->text);
	ballot->text = NULL;
	if (ballot->pattern)
		ballot->pattern->heard--;
	ballot->pattern = NULL;
}

void ronde_ballots_close(struct ronde_ballots *b, struct ronde_ballot *ballot)
{
	forget_votes(b, ballot);
	if (ballot->slot.slot != RONDE_NO_SLOT)
		return;
	HASH_DEL(b->all, ballot);
	if (ballot->key.head.named) {
		ballot_free(b, ballot);
	} else {
		leave_group(b, ballot);
		ballot->next = b->spare;
		b->spare = ballot;
	}
}

void ronde_ballots_forget_set(struct ronde_ballots *b, uint32_t set)
{
	/* Tensors first: they may need a pattern. */
	for (int patterns = 0; patterns < 2; patterns++) {
		struct ronde_ballot *ballot, *next;
		HASH_ITER (hh, b->all, ballot, next) {
			if (ballot->key.head.set != set || ballot->is_pattern != (patterns == 1))
				continue;
			if (!patterns)
				forget_votes(b, ballot);
			if (ballot->slot.slot != RONDE_NO_SLOT) {
				struct ronde_slot_pool *p = pool_of(b, ballot);
				p->returned[p->nreturned++] = ballot->slot.slot;
				take_slot(b, ballot);
			}
			HASH_DEL(b->all, ballot);
			ballot_free(b, ballot);
		}
	}
}

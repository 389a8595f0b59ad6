/* SPDX-License-Identifier: Apache-2.0 */
/* The directory of a rank's tensors, against arrays that say the same slowly. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/directory.h"
#include "tests/suite.h"

#define NAMES 60
#define SLOTS 200

/* What the model holds for name number i. */
struct known {
	bool exists, in_flight;
	struct ronde_slot_name slot;
	int64_t extent; /* of the slot's description */
};

struct world {
	struct ronde_directory d;
	struct known names[NAMES];
	uint32_t generations[SLOTS];
	struct ronde_request requests[NAMES];
};

/* Some names differ in the operation only, or in the process set. */
static void name_key(struct ronde_key *key, int i)
{
	char name[32];
	int n = snprintf(name, sizeof name, "tensor %d", i / 3);
	ronde_key_set(key, i % 3 == 1 ? RONDE_KIND_BROADCAST : RONDE_KIND_ALLREDUCE,
		      i % 3 == 2 ? 1 : 0, name, (size_t)n, 0);
}

static struct ronde_desc desc_of(int64_t extent)
{
	return (struct ronde_desc){.kind = RONDE_KIND_ALLREDUCE, .ndim = 1, .dims = {extent}};
}

static const char *compare(struct world *w)
{
	int exist = 0;
	for (int i = 0; i < NAMES; i++) {
		const struct known *k = &w->names[i];
		struct ronde_key key;
		name_key(&key, i);
		struct ronde_tensor *t = ronde_directory_find(&w->d, &key);
		exist += k->exists;
		if (k->exists != (t != NULL))
			return "who exists";
		if (!t)
			continue;
		if (memcmp(&t->key, &key, ronde_key_bytes(&key)) != 0)
			return "a key";
		if (t->request != (k->in_flight ? &w->requests[i] : NULL))
			return "a request";
		if (t->slot.slot != k->slot.slot)
			return "a slot";
		if (k->slot.slot == RONDE_NO_SLOT)
			continue;
		if (ronde_directory_at(&w->d, k->slot) != t || t->desc.dims[0] != k->extent)
			return "what a slot stands for";
		struct ronde_slot_name older = {k->slot.slot, k->slot.generation - 1};
		if (ronde_directory_at(&w->d, older))
			return "an old generation";
	}
	return (int)HASH_COUNT(w->d.tensors) == exist ? NULL : "how many there are";
}

static int owner_of(const struct world *w, uint32_t slot)
{
	for (int i = 0; i < NAMES; i++)
		if (w->names[i].exists && w->names[i].slot.slot == slot)
			return i;
	return -1;
}

static void drop_if_unused(struct known *k)
{
	k->exists = k->in_flight || k->slot.slot != RONDE_NO_SLOT;
}

static const char *evict(struct world *w, struct ronde_slot_name slot)
{
	int i = owner_of(w, slot.slot);
	bool current = i >= 0 && w->names[i].slot.generation == slot.generation;
	struct ronde_tensor *t = ronde_directory_evict(&w->d, slot);
	if ((t != NULL) != current)
		return "what an eviction finds";
	ronde_directory_drop(&w->d, t);
	if (current) {
		w->names[i].slot.slot = RONDE_NO_SLOT;
		drop_if_unused(&w->names[i]);
	}
	return NULL;
}

static const char *define(struct world *w, int i, uint32_t slot, unsigned *seed)
{
	struct known *k = &w->names[i];
	const char *wrong = NULL;
	int owner = owner_of(w, slot);
	if (owner >= 0)
		wrong = evict(w, w->names[owner].slot);
	if (!wrong && k->exists && k->slot.slot != RONDE_NO_SLOT)
		wrong = evict(w, k->slot);
	struct ronde_key key;
	name_key(&key, i);
	k->exists = true;
	k->slot = (struct ronde_slot_name){slot, ++w->generations[slot]};
	k->extent = rand_r(seed);
	struct ronde_desc desc = desc_of(k->extent);
	if (ronde_directory_define(&w->d, k->slot, &key, &desc))
		return "a definition";
	return wrong;
}

/* Submits, answers, definitions and evictions (also of what is not there) in any order. */
START_TEST(as_arrays)
{
	struct world *w = calloc(1, sizeof *w);
	unsigned seed = 900 + (unsigned)_i;
	const char *wrong = NULL;
	int step = 0;
	ronde_directory_init(&w->d);
	for (int i = 0; i < NAMES; i++)
		w->names[i].slot.slot = RONDE_NO_SLOT;
	for (; step < 20000 && !wrong; step++) {
		int i = rand_r(&seed) % NAMES;
		struct known *k = &w->names[i];
		struct ronde_key key;
		name_key(&key, i);
		uint32_t slot = (uint32_t)rand_r(&seed) % SLOTS;
		switch (rand_r(&seed) % 5) {
		case 0: { /* submit */
			struct ronde_tensor *t = ronde_directory_add(&w->d, &key);
			t->request = &w->requests[i];
			if (!k->exists)
				k->slot.slot = RONDE_NO_SLOT;
			k->exists = k->in_flight = true;
			break;
		}
		case 1: { /* answered */
			struct ronde_tensor *t = ronde_directory_find(&w->d, &key);
			if (t)
				t->request = NULL;
			ronde_directory_drop(&w->d, t);
			k->in_flight = false;
			drop_if_unused(k);
			break;
		}
		case 2:
			wrong = define(w, i, slot % (rand_r(&seed) % 2 ? 8 : SLOTS), &seed);
			break;
		case 3:
			wrong = evict(w, (struct ronde_slot_name){slot, w->generations[slot]});
			break;
		default: /* of a generation that is over, or a slot that never was */
			wrong = evict(w, (struct ronde_slot_name){slot * 3,
								  (uint32_t)rand_r(&seed) + 9999});
		}
		if (!wrong && step % 16 == 0)
			wrong = compare(w);
	}
	ck_assert_msg(!wrong, "seed %d, step %d: %s", 900 + _i, step, wrong);
	ronde_directory_finish(&w->d); /* frees what is left: the address checker looks */
	free(w);
}
END_TEST

START_TEST(drop_only_what_is_unused)
{
	struct ronde_directory d;
	struct ronde_request r = {0};
	struct ronde_key key;
	struct ronde_desc desc = desc_of(4);
	name_key(&key, 0);
	ronde_directory_init(&d);
	ronde_directory_drop(&d, NULL);
	struct ronde_tensor *t = ronde_directory_add(&d, &key);
	ck_assert_ptr_eq(ronde_directory_add(&d, &key), t);
	t->request = &r;
	ronde_directory_drop(&d, t);
	ck_assert_ptr_eq(ronde_directory_find(&d, &key), t);
	ck_assert(!ronde_directory_define(&d, (struct ronde_slot_name){500, 3}, &key, &desc));
	t->request = NULL;
	ronde_directory_drop(&d, t);
	ck_assert_ptr_eq(ronde_directory_at(&d, (struct ronde_slot_name){500, 3}), t);
	ck_assert_ptr_eq(ronde_directory_evict(&d, (struct ronde_slot_name){500, 3}), t);
	ronde_directory_drop(&d, t);
	ck_assert_ptr_null(ronde_directory_find(&d, &key));
	ronde_directory_finish(&d);
}
END_TEST

/* Patterns: one for each description, none for a name, and no unnamed request is one. */
START_TEST(patterns)
{
	struct ronde_directory d;
	struct ronde_key a, b, named;
	struct ronde_desc x = desc_of(4), y = desc_of(5);
	ronde_directory_init(&d);
	ronde_pattern_key(&a, &x);
	ronde_pattern_key(&b, &x);
	ck_assert_uint_eq(ronde_key_bytes(&a), ronde_key_bytes(&b));
	ck_assert_mem_eq(&a, &b, ronde_key_bytes(&a));
	ronde_pattern_key(&b, &y);
	ck_assert_mem_ne(&a, &b, ronde_key_bytes(&a));
	/* A tensor whose name is the description's bytes is another one. */
	ronde_key_set(&named, RONDE_KIND_ALLREDUCE, 0, (const char *)&x, ronde_desc_bytes(&x), 0);
	struct ronde_tensor *pattern = ronde_directory_add(&d, &a);
	ck_assert_ptr_null(ronde_directory_find(&d, &b));
	ck_assert_ptr_null(ronde_directory_find(&d, &named));
	struct ronde_tensor *tensor = ronde_directory_add(&d, &named);
	ck_assert_ptr_ne(tensor, pattern);
	ck_assert_ptr_eq(ronde_directory_find(&d, &a), pattern);
	ronde_directory_finish(&d);
}
END_TEST

START_TEST(unnamed_requests)
{
	struct ronde_directory d;
	static struct ronde_request r[3000];
	struct ronde_key key;
	int bad = 0;
	memset(r, 0, sizeof r);
	ronde_directory_init(&d);
	for (uint32_t i = 0; i < 3000; i++) {
		ronde_key_set(&key, (enum ronde_kind)(i % RONDE_KIND_COUNT), 0, NULL, 0,
			      ronde_ordinal(i / 4, 0));
		r[i].key = key.head;
		ronde_directory_add_unnamed(&d, &r[i]);
	}
	for (uint32_t i = 0; i < 3000; i += 2)
		ronde_directory_remove_unnamed(&d, &r[i]);
	for (uint32_t i = 0; i < 3000; i++)
		bad += ronde_directory_find_unnamed(&d, &r[i].key) != (i % 2 ? &r[i] : NULL);
	ck_assert_int_eq(bad, 0);
	char text[RONDE_MAX_NAME + 1];
	ronde_request_text(&r[2041], text, sizeof text);
	ck_assert_str_eq(text, "broadcast.noname.510");
	ronde_directory_finish(&d);
}
END_TEST

int main(void)
{
	mallopt(M_PERTURB, 0xa5); /* memory comes full of rubbish */
	const struct suite_test tests[] = {
		{as_arrays, 0, 6},
		{drop_only_what_is_unused, ONCE},
		{patterns, ONCE},
		{unnamed_requests, ONCE},
	};
	return SUITE_RUN("directory", 60, tests);
}

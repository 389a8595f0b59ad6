/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/directory.h"

#include <stdio.h>
#include <stdlib.h>

#include "collectives/status.h"

void ronde_directory_init(struct ronde_directory *d)
{
	*d = (struct ronde_directory){0};
}

void ronde_directory_finish(struct ronde_directory *d)
{
	struct ronde_tensor *t, *next;
	HASH_CLEAR(hh, d->unnamed);
	HASH_ITER (hh, d->tensors, t, next) {
		HASH_DEL(d->tensors, t);
		free(t);
	}
	free(d->slots);
}

void ronde_pattern_key(struct ronde_key *key, const struct ronde_desc *desc)
{
	ronde_key_set(key, (enum ronde_kind)desc->kind, desc->set, (const char *)desc,
		      ronde_desc_bytes(desc), 0);
	key->head.named = 0;
}

struct ronde_tensor *ronde_directory_find(struct ronde_directory *d, const struct ronde_key *key)
{
	struct ronde_tensor *t;
	HASH_FIND(hh, d->tensors, key, ronde_key_bytes(key), t);
	return t;
}

struct ronde_tensor *ronde_directory_add(struct ronde_directory *d, const struct ronde_key *key)
{
	struct ronde_tensor *t = ronde_directory_find(d, key);
	if (t)
		return t;
	size_t key_bytes = ronde_key_bytes(key);
	t = calloc(1, offsetof(struct ronde_tensor, key) + key_bytes + 1);
	if (!t)
		return NULL;
	memcpy(&t->key, key, key_bytes);
	t->slot.slot = RONDE_NO_SLOT;
	HASH_ADD_KEYPTR(hh, d->tensors, &t->key, key_bytes, t);
	return t;
}

void ronde_directory_drop(struct ronde_directory *d, struct ronde_tensor *t)
{
	if (!t || t->request || t->slot.slot != RONDE_NO_SLOT)
		return;
	HASH_DEL(d->tensors, t);
	free(t);
}

int ronde_directory_define(struct ronde_directory *d, struct ronde_slot_name slot,
			   const struct ronde_key *key, const struct ronde_desc *desc)
{
	if (slot.slot >= d->nslots) {
		uint32_t n = slot.slot + 64;
		struct ronde_tensor **slots = realloc(d->slots, n * sizeof *slots);
		if (!slots)
			return ronde_error(RONDE_ERR_OUT_OF_MEMORY,
					   "no memory for %u cached tensors", n);
		memset(slots + d->nslots, 0, (n - d->nslots) * sizeof *slots);
		d->slots = slots;
		d->nslots = n;
	}
	struct ronde_tensor *t = ronde_directory_add(d, key);
	if (!t)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for a cached tensor");
	struct ronde_tensor *before = d->slots[slot.slot];
	if (before && before != t) {
		before->slot.slot = RONDE_NO_SLOT;
		ronde_directory_drop(d, before);
	}
	/* Likewise, if this tensor had a slot that was evicted unseen. */
	ronde_directory_evict(d, t->slot);
	t->slot = slot;
	t->desc = *desc;
	d->slots[slot.slot] = t;
	return RONDE_OK;
}

struct ronde_tensor *ronde_directory_at(struct ronde_directory *d, struct ronde_slot_name slot)
{
	struct ronde_tensor *t = slot.slot < d->nslots ? d->slots[slot.slot] : NULL;
	return t && t->slot.generation == slot.generation ? t : NULL;
}

struct ronde_tensor *ronde_directory_evict(struct ronde_directory *d, struct ronde_slot_name slot)
{
	struct ronde_tensor *t = ronde_directory_at(d, slot);
	if (t) {
		t->slot.slot = RONDE_NO_SLOT;
		d->slots[slot.slot] = NULL;
	}
	return t;
}

void ronde_directory_forget_set(struct ronde_directory *d, uint32_t set)
{
	struct ronde_tensor *t, *next;
	HASH_ITER (hh, d->tensors, t, next) {
		if (t->key.head.set != set)
			continue;
		ronde_directory_evict(d, t->slot);
		ronde_directory_drop(d, t);
	}
}

void ronde_directory_add_unnamed(struct ronde_directory *d, struct ronde_request *r)
{
	/* uthash frees a table that becomes empty: this one never does. */
	if (!d->unnamed) {
		memset(&d->last_unnamed.key, 0xff, sizeof d->last_unnamed.key);
		HASH_ADD(hh, d->unnamed, key, sizeof d->last_unnamed.key, &d->last_unnamed);
	}
	HASH_ADD(hh, d->unnamed, key, sizeof r->key, r);
}

struct ronde_request *ronde_directory_find_unnamed(struct ronde_directory *d,
						   const struct ronde_key_head *key)
{
	struct ronde_request *r;
	HASH_FIND(hh, d->unnamed, key, sizeof *key, r);
	return r;
}

void ronde_directory_remove_unnamed(struct ronde_directory *d, struct ronde_request *r)
{
	HASH_DEL(d->unnamed, r);
}

void ronde_request_text(const struct ronde_request *r, char *text, size_t bytes)
{
	if (r->control)
		snprintf(text, bytes, "%s",
			 r->control == RONDE_CONTROL_JOIN ? "join" : "process sets");
	else if (r->tensor)
		ronde_key_text(&r->tensor->key, text, bytes);
	else
		ronde_key_head_text(&r->key, NULL, r->desc.members, text, bytes);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directory: the tensors a rank knows. It answers for a submit "is it in flight? has it a slot?",
 * and for an entry "which of my requests is this?". Everything here is under the submit lock.
 *
 * Unnamed tensors of one description share a record, the pattern: its slot only describes. Which
 * request an item means is then said by its ordinal.
 */
#ifndef RONDE_DIRECTORY_H
#define RONDE_DIRECTORY_H

#include "coordinator/request.h"

/* A named tensor, or a pattern. Exists while it has a slot or a request in flight. */
struct ronde_tensor {
	UT_hash_handle hh;
	struct ronde_request *request; /* in flight; named only */
	struct ronde_slot_name slot;   /* slot NO_SLOT: none */
	struct ronde_desc desc;        /* what the slot stands for */
	struct ronde_key key;          /* only ronde_key_bytes() of it are allocated */
};

struct ronde_directory {
	struct ronde_tensor *tensors; /* by key */
	struct ronde_tensor **slots;  /* by slot */
	uint32_t nslots;
	struct ronde_request *unnamed;     /* in flight, by key head */
	struct ronde_request last_unnamed; /* stays in it, and is none */
};

void ronde_directory_init(struct ronde_directory *d);
void ronde_directory_finish(struct ronde_directory *d);

/* The key of the pattern of all unnamed tensors with this description. */
void ronde_pattern_key(struct ronde_key *key, const struct ronde_desc *desc);

struct ronde_tensor *ronde_directory_find(struct ronde_directory *d, const struct ronde_key *key);
/* Finds or adds. NULL: no memory. */
struct ronde_tensor *ronde_directory_add(struct ronde_directory *d, const struct ronde_key *key);
/* Forgets the tensor if it has neither slot nor request. NULL is fine. */
void ronde_directory_drop(struct ronde_directory *d, struct ronde_tensor *t);

/*
 * The schedule gave the tensor a slot. If another one has it, that was evicted by an entry of a set
 * this rank is not in. Errors: OUT_OF_MEMORY.
 */
int ronde_directory_define(struct ronde_directory *d, struct ronde_slot_name slot,
			   const struct ronde_key *key, const struct ronde_desc *desc);
/* The schedule took the slot away: the tensor that had it, or NULL. The caller drops it. */
struct ronde_tensor *ronde_directory_evict(struct ronde_directory *d, struct ronde_slot_name slot);
/* The process set is gone, and no request of it is in flight: forgets its tensors. */
void ronde_directory_forget_set(struct ronde_directory *d, uint32_t set);
/* The tensor of a slot, or NULL if this generation of it is not known. */
struct ronde_tensor *ronde_directory_at(struct ronde_directory *d, struct ronde_slot_name slot);

void ronde_directory_add_unnamed(struct ronde_directory *d, struct ronde_request *r);
struct ronde_request *ronde_directory_find_unnamed(struct ronde_directory *d,
						   const struct ronde_key_head *key);
void ronde_directory_remove_unnamed(struct ronde_directory *d, struct ronde_request *r);

#endif

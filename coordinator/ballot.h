/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ballots: what the leader has heard about each tensor. Private to the leader.
 *
 * A named tensor with a slot keeps its ballot from one use to the next; any other ballot lives from
 * the first vote to the entry. A pattern is a ballot nobody votes on: it holds the slot that
 * describes unnamed tensors. The slots of names and of patterns are two separate pools, so that
 * unnamed tensors evict no names.
 */
#ifndef RONDE_BALLOT_H
#define RONDE_BALLOT_H

#include "coordinator/hash.h"

#include "coordinator/process_set.h"
#include "coordinator/wire.h"

/* What one member said in this round. */
struct ronde_vote {
	bool heard;
	uint64_t said; /* the how-manieth announcement of the member it was */
	struct ronde_location location;
	uint64_t ready_ns;            /* when the member was ready, or 0: nobody records that */
	struct ronde_desc *other;     /* its description, if it is not the round's; else NULL */
	struct ronde_ballot *pattern; /* unnamed: whose slot it came by, or NULL */
};

struct ronde_ballot {
	UT_hash_handle hh;
	struct ronde_group *group;     /* whose member the tensor is, from its first vote as one */
	bool held;                     /* it is in the group's list, and goes with the others */
	char *text;                    /* malloc'ed: why its group fails; NULL: it does not */
	struct ronde_process_set *set; /* whose tensor; set by the first vote */
	struct ronde_ballot *prev, *next;   /* queue of what is decided next */
	struct ronde_ballot *older, *newer; /* by last use; with a slot */
	struct ronde_ballot *pattern;       /* unnamed: the pattern its entry defines, or NULL */
	struct ronde_slot_name slot;        /* named or pattern: NO_SLOT: none */
	struct ronde_desc desc;             /* what the slot stands for */
	struct ronde_desc round;            /* what the first vote of this round said */
	uint32_t heard; /* votes of this round; pattern: votes and ballots that need it */
	bool disagreed;
	bool refused; /* a broadcast whose root has joined */
	bool queued;  /* complete: waits for its entry */
	bool is_pattern;
	struct ronde_vote *votes; /* [members] by member number in the set */
	unsigned char *payloads;  /* [members of the set][payload_bytes] */
	size_t payload_room;
	struct ronde_key key; /* only ronde_key_bytes() of it are allocated */
};

/* What one member of the set has said of a group in this round. */
struct ronde_group_vote {
	uint32_t members; /* how many tensors its group has; 0: it has named none yet */
	uint32_t heard;   /* of these */
	bool alone;       /* it has submitted one of them as a tensor of no group */
};

/* A group as the leader knows it: exists while a ballot is its member's. */
struct ronde_group {
	UT_hash_handle hh;
	struct ronde_ballot *held;     /* tensors of this round, linked by prev and next */
	struct ronde_group_vote *said; /* [members] by member number in the set */
	uint32_t users;                /* ballots whose group it is */
	bool failed;                   /* this round fails … */
	char *text;                    /* … malloc'ed: why */
	struct ronde_key key;          /* only ronde_key_bytes() of it are allocated */
};

/* Slots in use and free of one pool, by last use. */
struct ronde_slot_pool {
	uint32_t first, count,
		used;          /* slot numbers first … first + count - 1, `used` ever given out */
	uint32_t *generations; /* [count] */
	uint32_t *returned;    /* [count] numbers of slots given back, for the next in need */
	uint32_t nreturned;
	struct ronde_ballot *oldest, *newest;
};

struct ronde_ballots {
	int members;                 /* of the largest set */
	struct ronde_ballot *all;    /* by key */
	struct ronde_group *groups;  /* by key */
	struct ronde_ballot **slots; /* by slot number */
	uint32_t nslots;
	struct ronde_slot_pool names, patterns;
	struct ronde_ballot *spare; /* unnamed ones, for reuse: linked by next */
};

/* Slots of patterns, if there is a cache at all. */
#define RONDE_PATTERN_SLOTS 256

/* Slots of names and patterns together. */
static inline uint32_t ronde_ballots_slots(uint32_t capacity)
{
	return capacity ? capacity + RONDE_PATTERN_SLOTS : 0;
}

/* Errors: OUT_OF_MEMORY. */
int ronde_ballots_init(struct ronde_ballots *b, int members, uint32_t capacity);
void ronde_ballots_finish(struct ronde_ballots *b);

/* Finds or makes the ballot of a key. NULL: no memory. */
struct ronde_ballot *ronde_ballots_get(struct ronde_ballots *b, const struct ronde_key *key);
/* The ballot (or pattern) of a slot, or NULL if that generation is not current. */
struct ronde_ballot *ronde_ballots_at(struct ronde_ballots *b, struct ronde_slot_name slot);

/* Finds or makes the pattern of a description; made, it has no slot yet: define or forget it. */
struct ronde_ballot *ronde_ballots_pattern(struct ronde_ballots *b, const struct ronde_desc *desc);
void ronde_ballots_forget(struct ronde_ballots *b, struct ronde_ballot *pattern);

/* Memory of member's payload of `bytes` bytes in this round. NULL: no memory. */
unsigned char *ronde_ballot_payload(struct ronde_ballots *b, struct ronde_ballot *ballot,
				    int member, size_t bytes);

/* Makes the ballot one of its group's, which has this key. False: no memory. */
bool ronde_ballots_join_group(struct ronde_ballots *b, struct ronde_ballot *ballot,
			      const struct ronde_key *group);

/* The round is over: forgets the votes, and the ballot too if it has no slot. */
void ronde_ballots_close(struct ronde_ballots *b, struct ronde_ballot *ballot);

/*
 * Gives the ballot a slot of its pool for its round's description. If that takes the slot of
 * another (the one not used for longest), or of its own earlier description, *evicted is that name,
 * else slot NO_SLOT. False: all slots are needed by pending tensors (or there are none); the tensor
 * goes without one.
 */
bool ronde_ballots_define(struct ronde_ballots *b, struct ronde_ballot *ballot,
			  struct ronde_slot_name *evicted);
/* The process set is gone: forgets all of its tensors and gives their slots back. */
void ronde_ballots_forget_set(struct ronde_ballots *b, uint32_t set);
/* Its slot was just used. */
void ronde_ballots_touch(struct ronde_ballots *b, struct ronde_ballot *ballot);

#endif

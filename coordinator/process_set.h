/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Process sets: the ranks that take part in an operation. Set 0 is all ranks.
 *
 * A member's number is its place among the set's ranks in ascending order; reductions add up in the
 * order of these numbers on each node, then in that of the nodes. Every rank has a table of all
 * sets, also of those it is not in; the leader has one of its own, which is ahead of its rank's by
 * what stands unread in the log. A table changes only by entries of the log, so in the same order
 * everywhere, and numbers of sets are never used again.
 */
#ifndef RONDE_PROCESS_SET_H
#define RONDE_PROCESS_SET_H

#include "collectives/node.h"
#include "collectives/operation.h"
#include "coordinator/hash.h"

struct ronde_queue;

struct ronde_process_set {
	UT_hash_handle hh;
	uint32_t id;
	int size;    /* members in the whole job */
	int *ranks;  /* [size] ascending: a rank's place here is its member number */
	int n;       /* members on this node */
	int *local;  /* [n] their local ranks, ascending */
	int *number; /* [n] their member numbers */
	int *member; /* [local_size] which of `local` a local rank is, or -1 */
	int me;      /* which of `local` this rank is, or -1 */
	int self;    /* this rank's member number, or -1 */
	int nodes;   /* with members … */
	int most;    /* … and the members of that with most of them */
	/* [size] which leaf of a reduction's tree a member is, where they are on several nodes: a
	 * node's are a subtree, its width a power of two. NULL: each is that of its number. */
	int *leaf;
	int leaves;
	int references; /* the table, and operations in flight; under the engine lock */

	/* A rank's table; under the submit lock. */
	uint64_t ordinals[RONDE_KIND_COUNT]; /* of unnamed tensors */
	uint32_t removals;                   /* that this rank has asked for and not had answered */

	struct ronde_queue *queue; /* the leader's table: what is to be decided for it */
};

struct ronde_process_sets {
	const struct ronde_node *node;   /* whose local ranks are meant */
	const struct ronde_node *places; /* says which ranks share memory */
	struct ronde_process_set *all;   /* by id */
	struct ronde_process_set *world;
	uint32_t next; /* id */
};

/*
 * A table with set 0 in it. places: the node as it is; node: the same, or that of all ranks of the
 * job which their leader sees. Both must outlive the table. Errors: OUT_OF_MEMORY.
 */
int ronde_process_sets_init(struct ronde_process_sets *sets, const struct ronde_node *node,
			    const struct ronde_node *places);
/* A table that is all zero was never made, and is fine. */
void ronde_process_sets_finish(struct ronde_process_sets *sets);

/* NULL: there is no set of that number. */
struct ronde_process_set *ronde_process_sets_find(const struct ronde_process_sets *sets,
						  uint32_t id);

/* Whether ascending ranks can be added as a set. Errors: INVALID_ARGUMENT. */
int ronde_process_sets_check(const struct ronde_process_sets *sets, const int32_t *ranks, size_t n);
/* Adds the set of these ranks, which have been checked, under the next number. Errors:
 * OUT_OF_MEMORY. */
int ronde_process_sets_add(struct ronde_process_sets *sets, const int32_t *ranks, size_t n,
			   struct ronde_process_set **set);
/* Takes the set out of the table; it lives on as long as it is held. */
void ronde_process_sets_remove(struct ronde_process_sets *sets, struct ronde_process_set *set);

static inline struct ronde_process_set *ronde_process_set_hold(struct ronde_process_set *set)
{
	set->references++;
	return set;
}

void ronde_process_set_release(struct ronde_process_set *set);

/* Which of the set's local ranks that one is, or -1. */
static inline int ronde_process_set_member(const struct ronde_process_set *set, int local_rank)
{
	return set->member[local_rank];
}

/* True if that rank of the job is a member. */
bool ronde_process_set_has(const struct ronde_process_set *set, int rank);

/* "0-2, 5": how texts name ranks. Cut off if there is no room. */
void ronde_process_set_text(const int32_t *ranks, size_t n, char *text, size_t bytes);

/* qsort() */
int ronde_process_set_compare(const void *a, const void *b);

#endif

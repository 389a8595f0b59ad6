/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations: one entry of the schedule being executed on one rank, as a small resumable state
 * machine.
 *
 * A plan says what to do, in this process's addresses; all that ranks must agree on in it comes
 * from the entry. An algorithm advances it step by step and never blocks: a step works on at most
 * about RONDE_STEP_BYTES and may spin a few hundred nanoseconds for a peer, no longer.
 */
#ifndef RONDE_OPERATION_H
#define RONDE_OPERATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collectives/arena.h"
#include "collectives/kernels/kernels.h"
#include "collectives/phase.h"
#include "collectives/span.h"

#define RONDE_STEP_BYTES ((size_t)256 << 10)

/* Most ranks of a node: algorithms keep a pointer for each on the stack. */
#define RONDE_MAX_LOCAL_SIZE 1024

/* What is done. The numbers travel in announcements and entries. */
enum ronde_kind {
	RONDE_KIND_ALLREDUCE = 0,
	RONDE_KIND_BROADCAST = 1,
	RONDE_KIND_ALLGATHER = 2,
	RONDE_KIND_BARRIER = 3,
	RONDE_KIND_REDUCESCATTER = 4,
	RONDE_KIND_ALLTOALL = 5,
	RONDE_KIND_COUNT
};

/* How bytes travel inside the node. Chosen by the leader, in the entry. */
enum ronde_path {
	RONDE_PATH_CARRIED = 0,   /* the entry holds the result: no operation */
	RONDE_PATH_ZERO_COPY = 1, /* straight from and to the ranks' heaps */
	RONDE_PATH_STAGED = 2     /* through the lane's staging, chunk by chunk */
};

/* One tensor of a plan. Addresses are this process's. */
struct ronde_piece {
	const void *input; /* mine (broadcast: NULL except on the root) */
	void *output;      /* mine (allgather, alltoall: NULL; see allocate) */
	uint64_t count; /* elements (allgather, alltoall: mine; reducescatter: of the largest share)
			 */
	uint64_t rows;  /* reducescatter: of every input; see share.h */
	size_t row_bytes; /* reducescatter: of one row */
	/* ZERO_COPY: [n], everybody's in member order. Broadcast: only inputs[root]. Allgather,
	 * reducescatter, alltoall: inputs. */
	const void *const *inputs;
	void *const *outputs; /* allreduce only */
};

/* Bytes that a rank has read of what others left, in its own domain and in others. */
struct ronde_traffic {
	uint64_t sums_within, sums_across;       /* to add up */
	uint64_t results_within, results_across; /* to copy */
};

struct ronde_plan {
	enum ronde_kind kind;
	enum ronde_path path;
	const struct ronde_arena *arena;
	const struct ronde_kernels *kernels;
	int lane;
	uint64_t base; /* lane counters below or equal to it belong to earlier operations */
	const struct ronde_set_span *span; /* NULL: all members are on this node */
	int n, me;                         /* members on this node, and which of them I am */
	const int *members;                /* [n] their local ranks, ascending */
	const int *domains;                /* of all local ranks, or NULL: see struct ronde_node */
	struct ronde_traffic *traffic;     /* what is counted for them (traffic.h), or NULL */
	/*
	 * Where some of a set's ranks have joined, members are the others, numbered without gaps.
	 * leaf[n]: which of the set's `leaves` ranks each of them is; NULL: all are here. Results
	 * are as if the absent ones were absent leaves of the tree.
	 */
	const int *leaf;
	int leaves;                    /* only with leaf; see ronde_plan_leaves() */
	int root;                      /* member number; broadcast */
	size_t element;                /* bytes of an element */
	struct ronde_reduce_spec spec; /* allreduce, reducescatter */
	bool wire_16bit;    /* over nodes, of 16-bit floats: sums cross as 16 bits (parts.h) */
	size_t chunk_bytes; /* of the virtual concatenation of the pieces; fits staging (see
			       chunk_limit) */
	struct ronde_piece *pieces;
	size_t npieces;
	/*
	 * Allgather and alltoall: the rows[n] of all members, or from them, are known. False: the
	 * memory is not there yet, ask again in a later step (the rank's own bell rings when it
	 * is). Else *memory is for the result, or NULL: the rank goes on serving the others and the
	 * operation ends with the status that was set. Does not block.
	 */
	bool (*allocate)(void *arg, const int64_t *rows, void **memory, int *status);
	void *allocate_arg;
	struct ronde_phases *phases; /* where times are noted, or NULL */
	struct ronde_stores *stores; /* how this rank packs (packing.h), or NULL: plainly */
	int64_t rows;                /* allgather: my rows */
	size_t row_bytes;            /* allgather, alltoall: bytes of one row */
	/* Alltoall, [n]: my rows for each member; room for what each has for me, and for where that
	 * begins in its input (in rows). Over nodes see span.h. */
	const int64_t *splits;
	int64_t *received, *begins;
	/*
	 * Alltoall, [n]: rows of each member for ranks that take no part; mine is known from the
	 * start, those of the others when allocate() is called. Any but 0: it answers that there is
	 * no memory.
	 */
	int64_t *astray;
};

/* The leaves of the tree, and which one a member is. */
static inline int ronde_plan_leaves(const struct ronde_plan *plan)
{
	return plan->leaf ? plan->leaves : plan->n;
}

static inline int ronde_plan_leaf(const struct ronde_plan *plan, int member)
{
	return plan->leaf ? plan->leaf[member] : member;
}

enum ronde_progress {
	RONDE_PROGRESS_NONE, /* waits for a peer, or for memory */
	RONDE_PROGRESS_SOME, /* worked; call again */
	RONDE_PROGRESS_DONE  /* complete: no peer will touch this rank's memory for it */
};

struct ronde_operation;

/* An algorithm. Contracts: start allocates nothing and does not wait; step as described at the top.
 */
struct ronde_algorithm {
	const char *name; /* "allreduce-zero-copy" */
	const char *help; /* one line for ronde-info */
	bool (*applies)(const struct ronde_plan *plan);
	void (*start)(struct ronde_operation *operation);
	enum ronde_progress (*step)(struct ronde_operation *operation);
};

struct ronde_operation {
	struct ronde_plan plan;
	const struct ronde_algorithm *algorithm;
	int status; /* of this rank alone (allgather's TRUNCATED); RONDE_OK otherwise */
	alignas(RONDE_CACHE_LINE) unsigned char state[256]; /* the algorithm's */
};

/* The first row of the table that applies; never NULL for a plan the leader can make. */
const struct ronde_algorithm *ronde_algorithm_select(const struct ronde_plan *plan);
/* The whole table, for ronde-info and tests. */
const struct ronde_algorithm *const *ronde_algorithm_table(size_t *count);

/* Whether there is an algorithm for it over nodes. */
static inline bool ronde_span_carries(enum ronde_kind kind, ronde_reduction reduction)
{
	return kind != RONDE_KIND_ALLREDUCE || reduction != RONDE_ADASUM;
}

/* The chunk of a reduction, unless another is configured; less where no more fits. */
#define RONDE_CHUNK_REDUCE ((size_t)256 << 10)

/* Largest chunk_bytes whose pipeline fits into staging_bytes for n ranks (a multiple of 64). */
size_t ronde_chunk_limit(size_t staging_bytes, int n);

/*
 * When an operation is done its step has set this rank's lane cell `left` to the same value > base
 * on all members (the next operation on the lane starts from it) and has touched every member's
 * bell.
 */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program: what all ranks of a job do, made from a seed. Steps of operations, single ones and
 * groups; each rank submits a step's operations in an order of its own (see play.h). The program
 * says what every tensor holds and what must come out.
 */
#ifndef RONDE_TESTS_SCHEDULES_PROGRAM_H
#define RONDE_TESTS_SCHEDULES_PROGRAM_H

#include <stdatomic.h>

#include "collectives/operation.h"
#include "collectives/share.h"
#include "tests/schedules/values.h"

#define RANKS_MAX 8
/* Process sets there are at a time, beside that of all ranks. */
#define SETS_MAX 4

/* A process set; a rank's place in the list is its number as a member. */
struct op_set {
	int number; /* Ronde's */
	int n;
	int ranks[RANKS_MAX]; /* ascending */
	int from, until;      /* made before that step, removed before this one */
};

/* What is known of each rank is in the order of the set's members. */
struct op {
	enum ronde_kind kind;
	const struct op_set *set; /* NULL: all ranks */
	unsigned absent;          /* members that have joined before they got to it, as bits */
	char *name;               /* NULL: unnamed. Of a group: its first has the group's */
	/* Of the first of a group: how many there are, the others behind it; of those 0; else 1. */
	int members;
	ronde_dtype dtype;
	ronde_reduction reduction;
	double prescale, postscale;
	int root; /* a rank, not a member */
	int ndim;
	int64_t dims[RONDE_MAX_DIMS];         /* allgather, alltoall: dims[0] is not read */
	int64_t count;                        /* allgather, alltoall: not read */
	int64_t rows[RANKS_MAX];              /* allgather, alltoall */
	int64_t columns;                      /* allgather, alltoall: elements of a row */
	int64_t splits[RANKS_MAX][RANKS_MAX]; /* alltoall: from, to; take all rows */
	bool sparse; /* allgather: of rows and their numbers, scaled as a reduction */
	bool in_place;
	bool at_start; /* reducescatter in place: there, not where the own rows are */
	bool heap;     /* on all ranks: else each rank's memory is of a kind it chooses itself */
	unsigned char *given[RANKS_MAX]; /* periods */
	unsigned char *wanted; /* period; allreduce, reducescatter, broadcast. Not of an adasum */
};

/* What kind of program. */
struct program_style {
	int ranks;
	int steps;
	int ops;             /* of a step, at most */
	int names;           /* of each kind; 0: all unnamed */
	int unnamed_percent; /* of the operations */
	uint64_t bytes;      /* of a tensor, at most (a rank's share of it, for an allgather) */
	bool long_names;
	bool change;   /* a name's shape and type change now and then */
	bool distinct; /* every unnamed tensor of a step has a shape of its own */
	int sets;      /* process sets there are at a time, at most */
	int joins;     /* once in so many steps ranks run out of data one by one; 0: never */
	bool active;   /* an average is divided by the ranks that have not joined */
	bool adasum;   /* some reductions are (they need more staging than others) */
	int groups;    /* once in so many times there is a group; 0: never */
	bool overlap;  /* a step is waited for when the next has been submitted */
	int holds; /* once in so many steps a rank is held (port.h) while it submits; 0: never */
};

struct program {
	struct program_style style;
	uint64_t seed;
	int nops;
	struct op *ops;
	int *first;          /* [steps + 1] */
	uint64_t most_bytes; /* of the largest tensor */
	bool *joins;         /* [steps] all join at the end of the step */
	struct op_set *sets; /* in the order in which they are made */
	int nsets;
	/* [nops] A hash of the result's bits, for what nothing else says: 0 until there is one.
	 * Processes share it. */
	_Atomic uint64_t *digests;
};

/* What ranks give to an operation, and what it is to make of it (contents.c). */
void make_contents(uint64_t *state, struct program *p, struct op *op);
/* Aborts if there is no memory. */
struct program *make_program(uint64_t seed, const struct program_style *style);
void free_program(struct program *program);

/* Rows that are each rank's own: an allgather or alltoall. */
bool op_has_own_rows(const struct op *op);
/* Members, of a job of so many ranks. */
int op_size(const struct op *op, int ranks);
/* A rank's number as a member; -1: it is none. And back. */
int op_member(const struct op *op, int rank);
int op_rank(const struct op *op, int member);
/* True if the rank submits it, by itself or with its group. */
bool op_is_submitted(const struct op *op, int rank);
/* True if it cannot be without those that have joined. */
bool op_is_refused(const struct op *op);
/* Bytes of a member's output, if it has one, and of the whole result before it. */
struct ronde_share op_result(const struct program *program, const struct op *op, int member);
/* Bytes of a member's input. */
uint64_t op_bytes(const struct op *op, int member);
/* "allreduce "w3" float16[12,4] sum", for a person. Static per thread. */
const char *op_text(const struct op *op);

/* A style made from a seed: small ones mostly, now and then a large one. */
struct program_style random_style(uint64_t *state, int ranks);

#endif

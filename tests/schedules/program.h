/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program: what all ranks of a job do, made from a seed. Steps of operations; each rank submits a
 * step's operations in an order of its own (see play.h). The program says what every tensor holds
 * and what must come out.
 */
#ifndef RONDE_TESTS_SCHEDULES_PROGRAM_H
#define RONDE_TESTS_SCHEDULES_PROGRAM_H

#include <stdatomic.h>

#include "collectives/operation.h"
#include "collectives/share.h"
#include "tests/schedules/values.h"

#define RANKS_MAX 8

struct op {
	enum ronde_kind kind;
	char *name; /* NULL: unnamed */
	ronde_dtype dtype;
	ronde_reduction reduction;
	double prescale, postscale;
	int root;
	int ndim;
	int64_t dims[RONDE_MAX_DIMS];         /* allgather, alltoall: dims[0] is not read */
	int64_t count;                        /* allgather, alltoall: not read */
	int64_t rows[RANKS_MAX];              /* allgather, alltoall */
	int64_t columns;                      /* allgather, alltoall: elements of a row */
	int64_t splits[RANKS_MAX][RANKS_MAX]; /* alltoall: from, to; take all rows */
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
	bool adasum;   /* some reductions are (they need more staging than others) */
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
	/* [nops] A hash of the result's bits, for what nothing else says: 0 until there is one.
	 * Processes share it. */
	_Atomic uint64_t *digests;
};

/* Aborts if there is no memory. */
struct program *make_program(uint64_t seed, const struct program_style *style);
void free_program(struct program *program);

/* Rows that are each rank's own: an allgather or alltoall. */
bool op_has_own_rows(const struct op *op);
/* Bytes of a rank's output, if it has one, and of the whole result before it. */
struct ronde_share op_result(const struct program *program, const struct op *op, int rank);
/* Bytes of a rank's input. */
uint64_t op_bytes(const struct op *op, int rank);
/* "allreduce "w3" float16[12,4] sum", for a person. Static per thread. */
const char *op_text(const struct op *op);

/* A style made from a seed: small ones mostly, now and then a large one. */
struct program_style random_style(uint64_t *state, int ranks);

#endif

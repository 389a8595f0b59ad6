/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an operation means, for the conformance suite: a row of a table. A new operation is one file
 * that fills a struct operation, a line in table.c, and what the ports need to call it
 * (tests/schedules/port.h).
 *
 * All ranks' results are seen as parts of one whole: of an allreduce everybody gets all of it, of a
 * reducescatter its share. `refer` computes the whole, one element after the other, in float64 or
 * in exact integers.
 */
#ifndef RONDE_TESTS_CONFORMANCE_OPERATION_H
#define RONDE_TESTS_CONFORMANCE_OPERATION_H

#include <stdatomic.h>

#include "collectives/share.h"
#include "tests/schedules/block.h"

/* How the bytes travel. The suite sees to it by the configuration, and looks whether it was so. */
enum path { RIDING, STAGED, ZERO_COPY, PATHS };

/* With what. */
enum company {
	ALONE,
	FUSED,   /* with others like it, submitted one after the other */
	GROUPED, /* with others like it, submitted as a group */
	COMPANIES
};

/* Shapes. */
enum form {
	MATRIX,
	VECTOR,
	DEEP,     /* as many dimensions as there may be */
	FEW_ROWS, /* less than there are ranks, if there are several */
	SCALAR,   /* 0-d */
	NO_ROWS,
	NO_COLUMNS,
	FORMS
};

struct situation {
	const struct operation *operation;
	ronde_dtype dtype;
	ronde_reduction reduction;
	enum form form;
	int ranks;
	enum path path;
	enum company company;
	bool in_place, heap;
};

/* An element of the whole. Right is one within `bound` of `real`; bound < 0: exactly `bits`. */
struct wanted {
	uint64_t bits;
	double real, bound;
};

/* A tensor of all ranks, its data and what comes of it: the same in all situations. */
struct tensor {
	struct op op;
	unsigned char *given[RANKS_MAX];
	struct wanted *wanted;
	bool undecided; /* rounding decides what comes of it; see tests/adasum_reference.h */
	/* The bits of each rank's first result: all later ones must be the same. Only that rank's.
	 */
	unsigned char *first[RANKS_MAX];
	bool seen[RANKS_MAX];
	_Atomic int entered;   /* how often it has been submitted, by all ranks */
	int rounds[RANKS_MAX]; /* how often a rank has; only that rank's */
};

struct operation {
	const char *name;
	enum ronde_kind kind;
	bool reduces, typed;
	bool fuses;   /* several become one entry */
	bool groups;  /* there are groups of it */
	bool sparse;  /* rows with numbers, gathered and scaled */
	bool differs; /* each rank's result is another one */
	/* All ranks' results are rows of that operation's, bit by bit. NULL: of none. */
	const struct operation *rows_of;
	/* Why there is no such thing; NULL: there is. Not asked about type and reduction of an
	 * operation that has none. */
	const char *(*excludes)(const struct situation *s);
	/* Completes op from its dims and form, for tensor 0, 1, … of a fused lot. May be NULL. */
	void (*shape)(const struct situation *s, int number, struct op *op);
	/* Elements of the whole. */
	uint64_t (*whole)(const struct op *op, int ranks);
	/* Which of them the rank gets. */
	struct ronde_share (*part)(const struct op *op, int ranks, int rank);
	/* Fills t->wanted, of `whole` elements. */
	void (*refer)(struct tensor *t, int ranks);
	/* Where in its input a rank may have the result; -1: nowhere. NULL: at its start. */
	int64_t (*in_place)(const struct op *op, int ranks, int rank);
};

extern const struct operation operation_allreduce, operation_reducescatter, operation_broadcast,
	operation_allgather, operation_sparse, operation_alltoall, operation_barrier;
/* Ends in NULL. */
extern const struct operation *const operations[];

/* "allreduce float16 sum 0-d, 3 ranks, staged, fused, in place, heap". Static per thread. */
const char *situation_text(const struct situation *s);
/* Why there is no such situation, whatever the operation; NULL: there is. */
const char *situation_excluded(const struct situation *s);

/* ---- for the operations' files ---- */

/* The serial reference of a reduction of all ranks' inputs; reference.c. */
void refer_reduction(struct tensor *t, int ranks);
/* What every rank gives, scaled as a reduction, all ranks' behind each other; reference.c. */
void refer_scaled(struct tensor *t, int ranks);
/* The element's own bits. */
struct wanted exactly(ronde_dtype dtype, const unsigned char *elements, uint64_t number);
struct ronde_share all_of(uint64_t count);
uint64_t count_all(const struct op *op, int ranks);
struct ronde_share part_all(const struct op *op, int ranks, int rank);
const char *excludes_rowless(const struct situation *s);
const char *excludes_adasum_of_wholes(const struct situation *s);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations while some ranks have joined: made from a seed, submitted, and compared with a serial
 * reference that leaves the absent leaves out.
 */
#ifndef RONDE_TESTS_JOIN_OP_H
#define RONDE_TESTS_JOIN_OP_H

#include "tests/ranks.h"

#define MOST_RANKS 6

struct op {
	enum ronde_kind kind;
	ronde_reduction reduction;
	ronde_dtype dtype; /* FLOAT32 or INT32 */
	uint64_t count;    /* allgather: rows of rank 0; rank r has r more; alltoall: scale */
	int root;
	unsigned mask;    /* members */
	unsigned present; /* of them, those that have not joined */
	int set;
	bool named;
	bool astray; /* alltoall: rows for ranks that have joined, on some members */
	unsigned seed;
};

/* One that this rank has in flight. */
struct flight {
	const struct op *op;
	ronde_handle handle;
	void *in, *out;
	bool heap;
	ronde_gathered gathered;
	int64_t rows[MOST_RANKS];
};

/* 0 … n-1 */
int draw(unsigned *seed, int n);
/* Aborts with the rank and the text if it is not right. */
void expect(bool right, const struct rank *r, const char *what);
/* Joins and waits for the end of it. */
int join(struct rank *r, int *last);

/* Of one of these sets; nobody has joined. */
struct op random_op(unsigned *seed, const unsigned *masks, const int *sets, int nsets);
/* Submits it under a name made of the number, or none. */
void launch(struct rank *r, const struct op *op, int number, bool heap, struct flight *f);
/* Waits for it, and aborts if anything about it is wrong. active: averages are divided by those
 * that take part. */
void land(struct rank *r, struct flight *f, bool active);

#endif

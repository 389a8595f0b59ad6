/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every fabric must do, one body for all of them: run by each rank of a world, as threads over
 * loopback (tests/check_fabric.c) and as processes over MPI (tests/fabric.c). A body that sees
 * something wrong says what, and aborts.
 */
#ifndef RONDE_TESTS_FABRIC_BODIES_H
#define RONDE_TESTS_FABRIC_BODIES_H

#include "collectives/fabric.h"

struct fabric_rank {
	struct ronde_fabric *fabric;
	uint64_t seed; /* the same on all ranks */
	int turns;     /* how much of it: messages, rounds */
	/* Set by a body that ends with something in flight: freed when the fabric is closed. */
	void *kept;
};

typedef void (*fabric_body)(struct fabric_rank *r);

/*
 * Messages of random sizes, tags and partners, in a random order, from ranks that are late at
 * random: each comes whole, in its turn, and nothing is written beside it.
 */
void fabric_random(struct fabric_rank *r);
/* As many messages to and from everybody as there are turns, all in flight at once. */
void fabric_flood(struct fabric_rank *r);
/* The engine lock's holder changes: two threads take turns. Not without MPI_THREAD_MULTIPLE. */
void fabric_threads(struct fabric_rank *r);
/* Refused: peers and tags that there are not; a message that is too long; an early end. */
void fabric_errors(struct fabric_rank *r);
/* A last message is done only when it is received; a message that nobody receives is seen. */
void fabric_last(struct fabric_rank *r);
/* More than 2^31 bytes at once; less than asked for. */
void fabric_huge(struct fabric_rank *r);
/* A rank is given up: what is in flight with it ends. Afterwards the fabric can only be abandoned.
 */
void fabric_lost(struct fabric_rank *r);

/* Runs progress() until the operation is done, yielding; then finishes it. */
int fabric_wait(struct ronde_fabric_operation *operation, size_t *bytes);
/* All ranks: nobody is past it before all have come. */
void fabric_barrier(struct ronde_fabric *fabric);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What both allgathers begin with: everybody says how many rows it brings. And what they share with
 * alltoalls: memory for a result of rows from all members, and how they are copied into it.
 */
#ifndef RONDE_ALGORITHMS_GATHER_H
#define RONDE_ALGORITHMS_GATHER_H

#include <stdbool.h>
#include <stdint.h>

#include "collectives/operation.h"

/* Step 1 of `packed`: rows[me] in the lane's staging is written. */
void ronde_gather_announce(const struct ronde_plan *plan);

/* True once all have. */
bool ronde_gather_announced(const struct ronde_plan *plan);

/* Bytes that a member brings; after ronde_gather_announced(). */
uint64_t ronde_gather_bytes(const struct ronde_plan *plan, int member);

/*
 * Memory for a result of rows[n], from the plan's allocate(); false: not there yet, ask again in a
 * later step. *result NULL: there is none, and the operation's status is set.
 */
bool ronde_gather_allocate(struct ronde_operation *operation, const int64_t *rows,
			   unsigned char **result);

/* Bytes that a member has for this rank. */
struct ronde_source {
	const unsigned char *from;
	uint64_t bytes;
};
typedef struct ronde_source (*ronde_source_fn)(const struct ronde_plan *plan, int member);

/* How far the copying is. Starts as {0}. */
struct ronde_gather_copy {
	int copied;  /* members whose bytes are in the result; the own ones come first */
	uint64_t at; /* bytes of the next one's that are */
};

/* Copies some of all members' sources behind each other into the result; true when it is done. */
bool ronde_gather_copied(const struct ronde_plan *plan, struct ronde_gather_copy *copy,
			 ronde_source_fn source, unsigned char *result, size_t *budget);

#endif

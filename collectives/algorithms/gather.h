/* SPDX-License-Identifier: Apache-2.0 */
/* What both allgathers begin with: everybody says how many rows it brings. */
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
 * Memory for the result, from the plan's allocate(); false: not there yet, ask again in a later
 * step. *result NULL: there is none, and the operation's status is set.
 */
bool ronde_gather_allocate(struct ronde_operation *operation, unsigned char **result);

#endif

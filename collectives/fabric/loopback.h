/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fabric of ranks as threads of one process: several nodes in one program, under the race and
 * address checkers, or simulated by hundreds.
 *
 * It behaves like the worst MPI there may be: which of two messages is done first, whether a send
 * is done before it is received, and when anything becomes done are drawn from a seed. It copies in
 * the receiver's progress(), out of the sender's memory if the send is not done before: so the race
 * checker sees memory that is reused too early, on either side.
 */
#ifndef RONDE_FABRIC_LOOPBACK_H
#define RONDE_FABRIC_LOOPBACK_H

#include "collectives/fabric.h"

struct ronde_loopback;

struct ronde_loopback_settings {
	uint64_t seed;
	/* Every message takes from 0 to so many nanoseconds longer, evenly spread. */
	uint64_t delay_ns;
	/* Up to so many bytes a send may be done before it is received; by lot. */
	size_t eager_bytes;
};

/* Half of what is not longer than a page is done at once, nothing takes longer than it does. */
#define RONDE_LOOPBACK_SETTINGS                                                                    \
	(struct ronde_loopback_settings)                                                           \
	{                                                                                          \
		.seed = 1, .eager_bytes = 4096                                                     \
	}

/* One world, made before the ranks' threads. NULL: no memory, or no ranks; described. */
struct ronde_loopback *ronde_loopback_create(int size,
					     const struct ronde_loopback_settings *settings);

/* After all its fabrics are closed. NULL is fine. */
void ronde_loopback_release(struct ronde_loopback *world);

/*
 * Opens rank `rank`; does not wait for the others: messages wait for them. May be opened again once
 * closed. Errors: INVALID_ARGUMENT, BUSY (it is open), OUT_OF_MEMORY.
 */
int ronde_loopback_open(struct ronde_fabric **fabric, struct ronde_loopback *world, int rank);

/*
 * Instead: all ranks release it, once each, by ronde_loopback_adopt() or the close of what that has
 * opened. Called by whoever has created it, before the others see it.
 */
void ronde_loopback_share(struct ronde_loopback *world);
int ronde_loopback_adopt(struct ronde_fabric **fabric, struct ronde_loopback *world, int rank);

#endif

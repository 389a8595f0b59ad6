/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the threads of a loopback fabric share: a box for each rank, into which the others put their
 * messages, and the messages themselves.
 *
 * A message and its send part company in one of three ways, told by `state`, which changes by
 * compare-and-swap, since each side may leave at any time:
 *
 *	WAITING → COPYING → RECEIVED   the receiver has it
 *	WAITING → REFUSED              the receiver left, or has given the sender up
 *	WAITING → WITHDRAWN            the sender left, or has given the receiver up
 *
 * An eager message has its own copy of the bytes, and its send looks at none of that.
 */
#ifndef RONDE_FABRIC_LOOPBACK_BOX_H
#define RONDE_FABRIC_LOOPBACK_BOX_H

#include <pthread.h>
#include <stdatomic.h>

#include "collectives/fabric/loopback.h"

enum ronde_message_state {
	RONDE_MESSAGE_WAITING,
	RONDE_MESSAGE_COPYING,
	RONDE_MESSAGE_RECEIVED,
	RONDE_MESSAGE_REFUSED,
	RONDE_MESSAGE_WITHDRAWN
};

struct ronde_message {
	struct ronde_message *prev, *next; /* in a box; then of the receiver's */
	int from;
	uint32_t tag;
	size_t bytes;
	const void *data; /* the sender's, or copy */
	uint64_t due;     /* nanoseconds; 0: at once */
	atomic_int state;
	atomic_int owners; /* the receiver's side and, unless eager, the send */
	unsigned char copy[];
};

struct ronde_loopback_box {
	pthread_mutex_t lock;
	struct ronde_message *messages; /* lock */
	bool open;                      /* lock */
	atomic_bool gone;               /* written under the lock: the rank has abandoned it */
};

struct ronde_loopback {
	int size;
	struct ronde_loopback_settings settings;
	atomic_int users;      /* who still have to release it */
	atomic_int departures; /* how many ranks are gone */
	struct ronde_loopback_box boxes[];
};

static inline int ronde_message_state(struct ronde_message *message)
{
	return atomic_load_explicit(&message->state, memory_order_acquire);
}

/* From WAITING to a state; false: it is no longer WAITING. */
static inline bool ronde_message_advance(struct ronde_message *message, int state)
{
	int from = RONDE_MESSAGE_WAITING;
	return atomic_compare_exchange_strong_explicit(&message->state, &from, state,
						       memory_order_acq_rel, memory_order_acquire);
}

/* The last owner frees it. */
void ronde_message_let_go(struct ronde_message *message);

/* Errors: BUSY (it is open), PEER_LOST (it was abandoned), described. */
int ronde_loopback_enter(struct ronde_loopback *world, int rank);
void ronde_loopback_leave(struct ronde_loopback *world, int rank, bool gone);

/* Puts a message into a rank's box; false: the rank is gone, and the message not taken. */
bool ronde_loopback_deliver(struct ronde_loopback *world, int rank, struct ronde_message *message);
/* All messages in it, in the order in which they came. */
struct ronde_message *ronde_loopback_empty(struct ronde_loopback *world, int rank);

#endif

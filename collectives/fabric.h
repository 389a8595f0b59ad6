/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fabric: what carries bytes between nodes. Its endpoints are the global ranks of a bootstrap; a
 * message goes from one to another under a tag, and is taken by a receive that names both. It only
 * carries: who sends what to whom, and how much of it at a time, is the business of those above.
 *
 *	ronde_fabric_post_receive(f, peer, tag, in, sizeof in, &receive);
 *	ronde_fabric_post_send(f, peer, tag, out, bytes, &send);
 *	each turn: ronde_fabric_progress(f);
 *	           if (ronde_fabric_done(receive))
 *	                   status = ronde_fabric_finish(receive, &bytes);
 *
 * Rules, the same for every implementation:
 *
 * 1. Nothing blocks. post_… starts an operation, progress() moves all of them on, and an
 *    operation is done only inside progress() or, at once, inside post_….
 * 2. Messages of the same sender, receiver and tag are taken in the order in which they were sent,
 *    by receives of that peer and tag in the order in which those were posted. Which operation
 *    is done first is left open, even among these; messages under other tags may overtake.
 * 3. The memory of an operation belongs to the fabric until it is done: what is sent must not
 *    change, what is received into must not be touched. Afterwards it is the caller's.
 * 4. Each operation that was posted is finished once, after it is done; that gives it back.
 * 5. Any number of operations may be in flight, and messages be of any size; also of 0 bytes, and
 *    of more than 2^31. A message that nobody receives takes memory on the receiver's side:
 *    flow control (credits) is the business of those above.
 * 6. All functions are called by one thread at a time, the holder of the engine lock, but not
 *    always the same; and only where may_call() says so.
 * 7. A send is done when its memory is free again, which says nothing about the peer. What MPI has
 *    taken it may push on only inside progress(), so progress() is called now and then with
 *    nothing in flight as well; and the last message to a peer is sent by post_last().
 *
 * Ends. Receives that were posted for messages that will not come are ended by a last message of
 *the peer, never cancelled; then close(). After a loss, and only then, abandon().
 */
#ifndef RONDE_FABRIC_H
#define RONDE_FABRIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Tags are 0 … RONDE_FABRIC_TAG_MAX: 23 bits, what every MPI in use has room for. */
#define RONDE_FABRIC_TAG_MAX ((UINT32_C(1) << 23) - 1)
#define RONDE_FABRIC_TEXT_BYTES 256

struct ronde_fabric;

/* A message that is being sent or received. Read by everybody, written by the fabric. */
struct ronde_fabric_operation {
	struct ronde_fabric *fabric;
	struct ronde_fabric_operation *prev, *next; /* of a list of the fabric's */
	bool taken;                                 /* posted and not finished */
	bool done;
	bool receives;
	int peer;
	uint32_t tag;
	/* To be sent; to be received at most, and once done: received. */
	size_t bytes;
	void *data; /* where it is received */
	/*
	 * Once done: OK, PEER_LOST, OUT_OF_MEMORY, or INTERNAL (the message is longer than
	 * the receive allows).
	 */
	int status;
	char text[RONDE_FABRIC_TEXT_BYTES]; /* once done, if not OK: why, naming the peer */
};

/* What has gone through since it was opened. Self-sent messages count. */
struct ronde_fabric_counters {
	uint64_t messages_sent, bytes_sent; /* posted */
	uint64_t messages_received, bytes_received;
};

struct ronde_fabric_ops {
	const char *name; /* "mpi", "loopback" */

	/*
	 * Starts to send `bytes` bytes to rank `peer` (which may be this one). Sets *operation,
	 * which may be done already. Errors, with nothing started: INVALID_ARGUMENT (peer, tag),
	 * PEER_LOST (the peer is known to be lost; why), OUT_OF_MEMORY, and whatever the fabric
	 * itself has failed with.
	 */
	int (*post_send)(struct ronde_fabric *fabric, int peer, uint32_t tag, const void *data,
			 size_t bytes, struct ronde_fabric_operation **operation);
	/*
	 * The same, but done only when the peer receives it: after that this rank may stop to make
	 * progress. Costs a way back.
	 */
	int (*post_last)(struct ronde_fabric *fabric, int peer, uint32_t tag, const void *data,
			 size_t bytes, struct ronde_fabric_operation **operation);
	/*
	 * Starts to receive a message of at most `bytes` bytes from rank `peer`; data is memory for
	 * all of them. Errors as for post_send. A longer message is an error of the operation; what
	 * data then holds is anything.
	 */
	int (*post_receive)(struct ronde_fabric *fabric, int peer, uint32_t tag, void *data,
			    size_t bytes, struct ronde_fabric_operation **operation);
	/*
	 * Moves everything on by a bounded step. Returns how many operations have become done, or a
	 * status: the fabric itself has failed (PEER_LOST), all operations in flight are done with
	 * it, and each later call returns it again.
	 */
	int (*progress)(struct ronde_fabric *fabric);
	/*
	 * Whether the calling thread may call the other functions. False: the program has
	 * initialised MPI with less than MPI_THREAD_MULTIPLE, and this is not the thread that did.
	 */
	bool (*may_call)(const struct ronde_fabric *fabric);
	/*
	 * Says that a rank is lost, and why (a sentence without a full stop, naming it): what is in
	 * flight with it is done with PEER_LOST, and so is what is posted later. Its memory may be
	 * written by the fabric until it is closed: it must not be reused before. Does nothing if
	 * the rank is lost already.
	 */
	void (*lose)(struct ronde_fabric *fabric, int peer, const char *why);
	/*
	 * Closes and frees it. All operations of this rank must have been finished, and all
	 * messages sent to it received: else BUSY, naming one of them, and nothing has changed. No
	 * other rank needs to be there.
	 */
	int (*close)(struct ronde_fabric *fabric);
	/*
	 * Closes and frees it in whatever state it is, after a loss. Operations are gone, their
	 * pointers void. Returns how many of them the fabric could not call back: if not 0, the
	 * memory of everything that was in flight must stay mapped, and unused, for as long as the
	 * process lives.
	 */
	size_t (*abandon)(struct ronde_fabric *fabric);
};

/* The head of every implementation's struct. */
struct ronde_fabric {
	const struct ronde_fabric_ops *ops;
	int rank, size;
	struct ronde_fabric_counters counters;
	size_t in_flight; /* operations that are not done */
	/* The rest is the implementations': see collectives/fabric/operations.h. */
	size_t held; /* operations that are not finished */
	size_t operation_bytes;
	struct ronde_fabric_operation *free_operations;
	struct ronde_fabric_slab *slabs;
	const char **lost; /* [size] NULL, or why nothing can be had from the rank any more */
	int (*error)(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
};

static inline int ronde_fabric_post_send(struct ronde_fabric *fabric, int peer, uint32_t tag,
					 const void *data, size_t bytes,
					 struct ronde_fabric_operation **operation)
{
	return fabric->ops->post_send(fabric, peer, tag, data, bytes, operation);
}

static inline int ronde_fabric_post_last(struct ronde_fabric *fabric, int peer, uint32_t tag,
					 const void *data, size_t bytes,
					 struct ronde_fabric_operation **operation)
{
	return fabric->ops->post_last(fabric, peer, tag, data, bytes, operation);
}

static inline int ronde_fabric_post_receive(struct ronde_fabric *fabric, int peer, uint32_t tag,
					    void *data, size_t bytes,
					    struct ronde_fabric_operation **operation)
{
	return fabric->ops->post_receive(fabric, peer, tag, data, bytes, operation);
}

static inline int ronde_fabric_progress(struct ronde_fabric *fabric)
{
	return fabric->ops->progress(fabric);
}

static inline bool ronde_fabric_may_call(const struct ronde_fabric *fabric)
{
	return fabric->ops->may_call(fabric);
}

static inline void ronde_fabric_lose(struct ronde_fabric *fabric, int peer, const char *why)
{
	fabric->ops->lose(fabric, peer, why);
}

static inline bool ronde_fabric_done(const struct ronde_fabric_operation *operation)
{
	return operation->done;
}

/*
 * Takes the result of an operation that is done, and gives the operation back: its status, whose
 * text becomes the thread's error text. *bytes (unless NULL), on success: what was sent or
 * received.
 */
int ronde_fabric_finish(struct ronde_fabric_operation *operation, size_t *bytes);

static inline int ronde_fabric_close(struct ronde_fabric *fabric)
{
	return fabric ? fabric->ops->close(fabric) : 0;
}

static inline size_t ronde_fabric_abandon(struct ronde_fabric *fabric)
{
	return fabric ? fabric->ops->abandon(fabric) : 0;
}

struct ronde_bootstrap;

/*
 * Opens the fabric that goes with a bootstrap: MPI, or loopback for ranks as threads. Collective
 * over its ranks, all of which must be there; blocks, at most the bootstrap's timeout. One fabric
 * of a bootstrap is open at a time, and it is closed before the bootstrap. Errors: INVALID_ARGUMENT
 * (the bootstrap has none: all its ranks are on one machine), BUSY, PEER_LOST, OUT_OF_MEMORY,
 * LAUNCHER (the MPI has too few tags).
 */
int ronde_fabric_open(struct ronde_fabric **fabric, struct ronde_bootstrap *bootstrap);

#endif

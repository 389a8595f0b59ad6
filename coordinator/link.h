/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A link: parcels in both directions between the leaders of two nodes, in order. What is put in
 * while a message is on its way goes with the next one, so the number of messages does not grow
 * with that of the parcels.
 *
 * Nobody counts credits: a parcel answers something, or is answered, so what is on its way or waits
 * here is bounded by what applications have in flight.
 *
 * A link ends in both directions on its own: the last parcel of each is one of type END. Under the
 * engine lock, and only where ronde_fabric_may_call().
 */
#ifndef RONDE_LINK_H
#define RONDE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collectives/fabric.h"

/* The tag of links; operations have those from RONDE_TAG_LANES on. */
#define RONDE_TAG_LINK 0
#define RONDE_TAG_LANES 1

enum ronde_parcel_type {
	RONDE_PARCEL_HEARD = 1, /* up: an announcement of ranks[0] */
	RONDE_PARCEL_ENTRY = 2, /* down: an entry for the ranks */
	RONDE_PARCEL_LEFT = 3,  /* up: all ranks of a node have left the operation on `lane` */
	RONDE_PARCEL_LOST = 4,  /* both ways: ranks[0] is lost; the body is a text: why */
	RONDE_PARCEL_END = 5,   /* both ways: the last one */
	/* About stalls: see stall_afar.h. Down: */
	RONDE_PARCEL_ASK = 6,
	RONDE_PARCEL_ENDED = 7,
	/* up: */
	RONDE_PARCEL_WAITS = 8,
	RONDE_PARCEL_BOARD = 9,
	RONDE_PARCEL_SILENT = 10
};

/* Head of a parcel. Behind it: ranks, body; each is padded to a multiple of 8. */
struct ronde_parcel {
	uint32_t type;
	uint32_t ranks; /* how many; each perhaps with RONDE_PARCEL_ABSENT */
	uint32_t bytes; /* of the body */
	int32_t lane;   /* ENTRY: -1: it needs none */
	uint64_t base;  /* ENTRY: of its operation; LEFT: the counter that they left with */
};

/* A rank of a list, and whether the entry says that it takes no part. */
#define RONDE_PARCEL_ABSENT (1u << 31)

struct ronde_link {
	struct ronde_fabric *fabric;
	int peer;     /* global rank */
	size_t limit; /* of a message */
	unsigned char *in, *out;
	struct ronde_fabric_operation *receiving, *sending;
	unsigned char *queue; /* what is still to be sent: queue[first … end) */
	size_t first, end, room;
	bool said_end;    /* the queue ends with it */
	bool heard_end;   /* nothing more will come */
	bool to_arrive;   /* what is said now must have arrived when it counts as sent */
	bool broken;      /* it has ended with an error: nothing goes through it any more */
	uint64_t parcels; /* put in and taken out so far */
};

/* Starts to listen. limit: of one parcel; the same at both ends. Errors: OUT_OF_MEMORY,
 * PEER_LOST. */
int ronde_link_open(struct ronde_link *link, struct ronde_fabric *fabric, int peer, size_t limit);
/* A link that is all zero was never opened, and is fine. Messages in flight are the fabric's
 * until that is closed: keep is true if it could not let go of them. */
void ronde_link_free(struct ronde_link *link, bool keep);

/* Bytes of a parcel with so many ranks and bytes of body. */
size_t ronde_parcel_bytes(size_t ranks, size_t bytes);

/*
 * Puts a parcel in. Its ranks are filled in by the caller, into *ranks (unless NULL), before
 * anything else is put in; body may be NULL if bytes is 0. Errors: OUT_OF_MEMORY.
 */
int ronde_link_put(struct ronde_link *link, const struct ronde_parcel *head, const void *body,
		   uint32_t **ranks);
/* Puts the last one in. Errors: OUT_OF_MEMORY. */
int ronde_link_end(struct ronde_link *link);

/* What takes parcels; ranks and body lie in the message. An error ends the turn. */
typedef int (*ronde_parcel_fn)(void *arg, struct ronde_link *link, const struct ronde_parcel *head,
			       const uint32_t *ranks, const void *body);
/* Sends and takes what can go now. *some is set if there was something. Errors: PEER_LOST,
 * OUT_OF_MEMORY, INTERNAL (a message that no link writes), and those of `take`. */
int ronde_link_turn(struct ronde_link *link, ronde_parcel_fn take, void *arg, bool *some);

/* All that was put in is sent, and has arrived if it had to. */
bool ronde_link_is_flushed(const struct ronde_link *link);

/* Both directions have ended, and nothing is on its way. */
bool ronde_link_is_over(const struct ronde_link *link);

#endif

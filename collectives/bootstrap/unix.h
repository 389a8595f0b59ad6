/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranks as processes of one machine, without any MPI: a star of unix sockets around rank 0.
 * meet.c brings the ranks together, unix.c exchanges.
 */
#ifndef RONDE_BOOTSTRAP_UNIX_H
#define RONDE_BOOTSTRAP_UNIX_H

#include <stdint.h>

#include "collectives/bootstrap.h"
#include "collectives/bootstrap/wire.h"

/* Longest address: what an abstract socket's name holds beside our prefix. */
#define RONDE_ADDRESS_BYTES 90
/* Most ranks: one descriptor each on rank 0. */
#define RONDE_UNIX_MAX_RANKS 4096
/*
 * How much longer than its timeout a rank waits for rank 0, which knows better than it does which
 * rank is missing, to say so.
 */
#define RONDE_VERDICT_SECONDS 1.0

struct ronde_unix {
	struct ronde_bootstrap base;
	double timeout;
	char address[RONDE_ADDRESS_BYTES + 1];
	int *fds;     /* rank 0: [size], its own is -1. Others: [1], to rank 0 */
	bool welcome; /* all ranks have come */
	uint64_t round;
	int status; /* not OK: it is over */
	char why[RONDE_WIRE_TEXT];
	int nodes[]; /* [size] */
};

/*
 * Ends it, for all ranks as far as this one can tell them (rank 0), and for good: the first cause
 * stays. Describes the error and returns its status.
 */
int ronde_unix_fail(struct ronde_unix *u, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Receives a frame of this kind from rank 0. FAILED, another kind or no frame end it. */
int ronde_unix_hear(struct ronde_unix *u, uint32_t kind, struct ronde_frame *frame);

/* Opens the sockets; collective. On an error the caller closes them. */
int ronde_unix_meet(struct ronde_unix *u);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What travels between ranks that meet at a unix socket, and whole reads and writes of it that
 * keep a deadline. The sockets are non-blocking streams between processes of one machine, so
 * numbers travel as they lie in memory.
 */
#ifndef RONDE_BOOTSTRAP_WIRE_H
#define RONDE_BOOTSTRAP_WIRE_H

#include <stddef.h>
#include <stdint.h>

#define RONDE_HELLO_MAGIC 0x6f6c6c6568646e72ULL
#define RONDE_WIRE_VERSION 1u
/* Longest error text that is passed on, with the final zero. */
#define RONDE_WIRE_TEXT 1024

/* The first thing a rank says to rank 0. Its layout stays the same in all versions. */
struct ronde_hello {
	uint64_t magic;
	uint32_t version;
	int32_t rank, size;
	uint32_t pad;
};

/*
 * The head of everything else. FAILED has the status and a text of `bytes` bytes: its layout stays
 * the same in all versions, so that a rank of another version can be told why it is refused.
 */
struct ronde_frame {
	uint32_t kind;
	int32_t status;
	uint64_t round; /* number of the exchange */
	uint64_t bytes; /* that follow */
};

enum {
	RONDE_FRAME_FAILED = 1,  /* rank 0: it is over, and why */
	RONDE_FRAME_WELCOME = 2, /* rank 0: all ranks have come */
	RONDE_FRAME_PART = 3,    /* to rank 0: this rank's part of an exchange */
	RONDE_FRAME_WHOLE = 4    /* rank 0: all parts */
};

/*
 * Send or receive exactly so many bytes. 0, or a negative errno: -ETIMEDOUT, -EPIPE when the other
 * side has ended the connection (whichever way), or what the system says.
 */
int ronde_wire_send(int fd, const void *data, size_t bytes, double deadline);
int ronde_wire_receive(int fd, void *data, size_t bytes, double deadline);

/* Receives what is there, at most so many bytes: their number (0: nothing yet), or as above. */
long ronde_wire_receive_some(int fd, void *data, size_t bytes);

/* poll(2) until the deadline, through interruptions: as poll(2), or a negative errno. */
struct pollfd;
int ronde_wire_poll(struct pollfd *fds, size_t n, double deadline);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages with descriptors over a SOCK_SEQPACKET unix socket that does not block, with a deadline
 * (seconds of the monotonic clock). `who` names the other side in error texts: "rank 3". They
 * return ERR_PEER_LOST if the other side is gone or silent, and ERR_SYSTEM, described.
 */
#ifndef RONDE_DESCRIPTORS_H
#define RONDE_DESCRIPTORS_H

#include <stddef.h>

/* Most descriptors in one message; Linux takes 253. */
#define RONDE_DESCRIPTORS_MAX 240

int ronde_descriptors_send(int socket, const void *data, size_t bytes, const int *fds, int nfds,
			   double deadline, const char *who);

/* Waits for a message of exactly this size and number of descriptors (close-on-exec). */
int ronde_descriptors_receive(int socket, void *data, size_t bytes, int *fds, int nfds,
			      double deadline, const char *who);

/* Waits until poll(events) reports something. ERR_PEER_LOST after the deadline. */
int ronde_descriptors_wait(int socket, short events, double deadline, const char *who);

#endif

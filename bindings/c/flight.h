/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several operations in flight at once, so that they are fused: all are submitted, also after one
 * that could not be (the other ranks wait for those that can go), then all are waited for.
 */
#ifndef RONDE_FLIGHT_H
#define RONDE_FLIGHT_H

#include <stddef.h>

#include "bindings/c/first_error.h"

struct ronde_flight {
	ronde_handle *handles; /* [room] */
	size_t count;
	struct ronde_first_error first;
};

/* Room for so many operations. Errors: OUT_OF_MEMORY. */
int ronde_flight_init(struct ronde_flight *flight, size_t room);

/* Notes an operation that was submitted with this status; its handle counts if that is RONDE_OK. */
void ronde_flight_add(struct ronde_flight *flight, int status, ronde_handle handle);

/* Waits for all, frees what init made, and returns the first error of all. */
int ronde_flight_land(struct ronde_flight *flight);

#endif

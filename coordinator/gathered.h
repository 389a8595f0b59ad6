/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory for an allgather's or alltoall's result, whose size is known only while the operation
 * runs: given with the request, from malloc(), or from a function of the application. That one is
 * called by the coordinator thread while the operation's steps go on asking.
 */
#ifndef RONDE_GATHERED_H
#define RONDE_GATHERED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "coordinator/engine.h"

struct ronde_active;

enum ronde_gathered_state {
	RONDE_GATHERED_NOT_ASKED = 0,
	RONDE_GATHERED_ASKED,
	RONDE_GATHERED_ANSWERED
};

struct ronde_gathered_call {
	struct ronde_call call;
	struct ronde_request *request;
	size_t bytes;
	void *data;        /* the answer */
	_Atomic int state; /* enum ronde_gathered_state; ANSWERED publishes data */
};

/* A new operation, which has not asked yet. */
void ronde_gathered_begin(struct ronde_active *active);

/* Contract of plan.allocate; arg is the ronde_active. Under the engine lock. */
bool ronde_gathered_allocate(void *arg, const int64_t *rows, void **memory, int *status);

#endif

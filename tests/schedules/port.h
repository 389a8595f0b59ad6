/* SPDX-License-Identifier: Apache-2.0 */
/* How a rank reaches Ronde: as a thread with a context of its own, or as a process by ronde.h. */
#ifndef RONDE_TESTS_SCHEDULES_PORT_H
#define RONDE_TESTS_SCHEDULES_PORT_H

#include "ronde/training.h"
#include "tests/ranks.h"
#include "tests/schedules/program.h"

/* The memory of one rank for one operation. */
struct buffers {
	const void *input;
	void *output;
	ronde_gathered gathered;
	const int64_t *indices; /* sparse: the rows' numbers */
	ronde_sparse sparse;
};

/* Every function as the one of ronde.h with this name. `to` is the rank (struct rank) or NULL. */
struct port {
	void *(*alloc)(void *to, size_t bytes);
	int (*free)(void *to, void *memory);
	int (*submit)(void *to, const struct op *op, int member, struct buffers *buffers,
		      ronde_handle *handle);
	/* The operations as a group: allreduces, reducescatters or allgathers, of one set and with
	 * the same reduction and scales. name NULL: unnamed. */
	int (*submit_group)(void *to, const char *name, const struct op *const *ops, int n,
			    int member, struct buffers *const *buffers, ronde_handle *handle);
	/* The blocking form. */
	int (*execute)(void *to, const struct op *op, int member, struct buffers *buffers);
	int (*test)(void *to, ronde_handle handle, int *done);
	int (*wait)(void *to, ronde_handle handle);
	/* Of what is sparse: waits and makes the result. */
	int (*wait_sparse)(void *to, struct buffers *buffers);
	int (*on_done)(void *to, ronde_handle handle, ronde_done_fn fn, void *arg);
	int (*add_set)(void *to, const int *ranks, size_t count, int *set);
	int (*remove_set)(void *to, int set);
	int (*join)(void *to, int *last_rank);
	/* What the rank has done so far. */
	void (*counters)(void *to, ronde_counters *counters);
	/*
	 * Keeps the rank from hearing of any decision until it is let go, so that it announces what
	 * others have long evicted. False: a thread of the rank is at it. May be NULL.
	 */
	bool (*hold)(void *to);
	void (*let_go)(void *to);
};

#define PORT_GROUP_MOST 16

extern const struct port port_context; /* to: a struct rank */
extern const struct port port_public;  /* to: NULL */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of ronde_broadcast_state() share. */
#ifndef RONDE_BROADCAST_STATE_H
#define RONDE_BROADCAST_STATE_H

#include <stdbool.h>

#include "bindings/c/first_error.h"

/* Most bytes that steps add to the name: ".table.bytes.1", ".item." and a number. */
#define RONDE_STATE_SUFFIX 26

/* An item as the root describes it; it travels. */
struct ronde_state_entry {
	int64_t dtype, exists, count;
	int64_t name; /* offset in names */
};

/* One call, on one rank. */
struct ronde_state_call {
	const char *name;
	const ronde_state_item *items; /* this rank's */
	size_t count;
	const ronde_state_item **sorted; /* [count], by name */
	struct ronde_first_error broken; /* what is wrong with this rank's list */
	int rank, root;
	ronde_state_options options;
	ronde_bytes table[2];              /* root: entries and names */
	struct ronde_state_entry *entries; /* [listed], the root's items */
	char *names;
	size_t listed;
	const ronde_state_item **mine; /* [listed]: this rank's item of that name */
	void **memory;                 /* [listed]: where the elements are, or arrive */
};

/* Checks this rank's list and sorts it. Errors: INVALID_ARGUMENT, OUT_OF_MEMORY. */
int ronde_state_sort(struct ronde_state_call *c);

/* Fills mine and memory, and finds out whether all ranks could: the same error on all if not. */
int ronde_state_agree(struct ronde_state_call *c);

#endif

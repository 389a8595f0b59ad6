/* SPDX-License-Identifier: Apache-2.0 */
/* A situation on one rank: memory, submission, and whether what came of it is right. */
#ifndef RONDE_TESTS_CONFORMANCE_PERFORM_H
#define RONDE_TESTS_CONFORMANCE_PERFORM_H

#include <pthread.h>

#include "tests/conformance/tensor.h"

struct stage {
	const struct port *port;
	void *to;                   /* the port's */
	const struct op_set *set;   /* NULL: all ranks */
	int rank;                   /* its number in the set */
	int leader;                 /* the number of who leads the node; -1: it is not in the set */
	uint64_t seed;              /* for whoever looks for what failed */
	pthread_barrier_t *meeting; /* of all ranks; NULL: they are processes */
};

/* Aborts with a text if something is wrong. */
void perform(const struct stage *stage, const struct situation *s, struct tensor *lot);

/* The same, of what was found elsewhere. */
__attribute__((format(printf, 3, 4), noreturn)) void
conform_failed(uint64_t seed, const struct situation *s, const char *format, ...);

#endif

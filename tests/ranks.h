/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranks as threads of one process, each with a context of its own, for the race and address
 * checkers.
 */
#ifndef RONDE_TESTS_RANKS_H
#define RONDE_TESTS_RANKS_H

#include "coordinator/context.h"
#include "coordinator/submit.h"

struct rank {
	struct ronde_context *context;
	struct ronde_heap *heap;
	int rank, size;
	void *arg;
};

typedef void (*rank_body)(struct rank *rank);

/*
 * Runs body on n threads with started contexts; settings: pairs of configuration names and values
 * ending in NULL, or NULL. Aborts if a rank cannot start. Contexts are destroyed by all after body.
 */
void run_ranks(int n, const char *const *settings, rank_body body, void *arg);

/*
 * The same on several nodes, with loopback fabrics that this seed and delay (in nanoseconds) make.
 * shape: which ranks share a node, from the first on, over and over until all have one: "2+1".
 * run_ranks() takes it from RONDE_TEST_SHAPE; without, all share one.
 */
void run_ranks_on(const char *shape, uint64_t seed, uint64_t delay_ns, int n,
		  const char *const *settings, rank_body body, void *arg);

/* Submits an allreduce with shape {count}. */
int submit_allreduce(struct rank *r, const char *name, const void *input, void *output,
		     uint64_t count, ronde_dtype dtype, ronde_reduction reduction,
		     ronde_handle *handle);
/* The same, and waits. */
int allreduce(struct rank *r, const char *name, const void *input, void *output, uint64_t count,
	      ronde_dtype dtype, ronde_reduction reduction);
int submit_broadcast(struct rank *r, const char *name, const void *input, void *output,
		     uint64_t count, ronde_dtype dtype, int root, ronde_handle *handle);
/* rows × columns elements. */
int submit_allgather(struct rank *r, const char *name, const void *input, int64_t rows,
		     int64_t columns, ronde_dtype dtype, ronde_gathered *output,
		     ronde_handle *handle);
int barrier(struct rank *r);
int wait_for(struct rank *r, ronde_handle handle);
/* The same for one that must succeed. */
void must(int status, const char *what);
/* For one that must fail, with exactly this text. */
void must_fail(const struct rank *r, int status, int expected, const char *text);

#endif

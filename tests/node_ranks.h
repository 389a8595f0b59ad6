/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranks with a bootstrap, a heap and a node, and nothing above them: as threads, for races, or as
 * processes, for deaths. A body returns 0, or the number of the line where something was wrong.
 */
#ifndef RONDE_TESTS_NODE_RANKS_H
#define RONDE_TESTS_NODE_RANKS_H

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "collectives/bootstrap.h"
#include "collectives/node.h"
#include "collectives/status.h"

#define NODE_RANKS_MAX 256
#define NODE_RANKS_SECONDS 50

struct node_rank {
	int rank, size;
	struct ronde_bootstrap *bootstrap;
	struct ronde_heap *heap;
	struct ronde_node *node;
	void *shared; /* memory of node_ranks_fork()'s caller that all ranks see */
	int status;   /* of ronde_node_open() */
};

struct node_ranks {
	int (*body)(struct node_rank *rank);
	/* Called with the options of a rank before they are used; may be NULL. */
	void (*prepare)(int rank, struct ronde_node_options *options);
	void *shared;
	bool may_fail; /* the body runs even if ronde_node_open() failed */
	struct ronde_inprocess *world;
};

static inline struct ronde_node_options node_test_options(void)
{
	return (struct ronde_node_options){
		.shape = {.ring_cells = 64, .lanes = 2, .staging_bytes = 64 << 10},
		.timeout_seconds = 20,
	};
}

static inline int node_rank_run(const struct node_ranks *ranks, struct node_rank *r)
{
	struct ronde_node_options options = node_test_options();
	if (ranks->prepare)
		ranks->prepare(r->rank, &options);
	if (ronde_heap_create(&r->heap, (size_t)1 << 30))
		return __LINE__;
	r->status = ronde_node_open(&r->node, r->bootstrap, r->heap, &options);
	int bad = 0;
	if (r->status && !ranks->may_fail) {
		fprintf(stderr, "rank %d: %s\n", r->rank, ronde_error_message());
		bad = __LINE__;
	}
	if (!bad)
		bad = ranks->body(r);
	ronde_node_close(r->node);
	ronde_heap_destroy(r->heap);
	r->bootstrap->ops->close(r->bootstrap, true);
	return bad;
}

/* ---- for bodies ---- */

/* A barrier over the local ranks, in the staging of lane 1. */
static inline int node_rank_meet(struct node_rank *r)
{
	_Atomic uint32_t *count = (void *)ronde_lane_staging(&r->node->arena, 1);
	uint32_t n = (uint32_t)r->node->local_size, mine = atomic_fetch_add(count, 1);
	uint32_t all = (mine / n + 1) * n;
	for (long i = 0; atomic_load(count) < all; i++) {
		if (i > 2000000)
			return __LINE__;
		sched_yield();
	}
	return 0;
}

/* Everybody writes its rank into the arena and its heap, everybody reads everybody's. */
static inline int node_rank_share(struct node_rank *r)
{
	struct ronde_node *node = r->node;
	if (node->rank != r->rank || node->size != r->size ||
	    node->arena.shape.local_size != (uint32_t)node->local_size)
		return __LINE__;
	int *mine = ronde_heap_alloc(r->heap, 100000);
	struct cell {
		_Atomic uint64_t offset;
	} *cells = (void *)ronde_lane_staging(&node->arena, 0);
	for (size_t i = 0; i < 25000; i++)
		mine[i] = r->rank * 1000003 + (int)i;
	uint64_t offset;
	if (!ronde_heap_find(r->heap, mine, 100000, &offset))
		return __LINE__;
	atomic_store(&cells[node->local_rank].offset, offset);
	int bad = node_rank_meet(r);
	for (int l = 0; l < node->local_size && !bad; l++) {
		const int *theirs = (const void *)(node->heaps[l] + atomic_load(&cells[l].offset));
		for (size_t i = 0; i < 25000 && !bad; i++)
			if (theirs[i] != node->ranks[l] * 1000003 + (int)i)
				bad = __LINE__;
		if (node->arena.ranks[l].pid != (uint32_t)node->pids[l])
			bad = __LINE__;
	}
	if (node->heaps[node->local_rank] != ronde_heap_base(r->heap))
		bad = __LINE__;
	if (!bad)
		bad = node_rank_meet(r);
	ronde_heap_free(r->heap, mine);
	return bad;
}

/* ---- processes ---- */

static inline void node_rank_process(const struct node_ranks *ranks, int rank, int size,
				     const char *address)
{
	struct node_rank r = {.rank = rank, .size = size, .shared = ranks->shared};
	if (ronde_bootstrap_unix(&r.bootstrap, rank, size, address, 20)) {
		fprintf(stderr, "rank %d: %s\n", rank, ronde_error_message());
		exit(255);
	}
	int bad = node_rank_run(ranks, &r);
	if (bad)
		fprintf(stderr, "rank %d: wrong in line %d\n", rank, bad);
	/* A sanitizer's leak check runs in exit(). */
	exit(bad ? 1 : 0);
}

/* How many ranks did not end by exit(0), as every one does whose body is content; expected deaths
 * are for the caller to subtract. */
static inline int node_ranks_fork(int n, const struct node_ranks *ranks)
{
	static int runs;
	char address[64];
	snprintf(address, sizeof address, "node-%d-%d", (int)getpid(), runs++);
	pid_t pids[NODE_RANKS_MAX];
	fflush(NULL);
	for (int i = 0; i < n; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			node_rank_process(ranks, i, n, address);
	}
	int left = n, bad = 0;
	time_t end = time(NULL) + NODE_RANKS_SECONDS;
	while (left > 0) {
		for (int i = 0; i < n; i++) {
			int status;
			if (pids[i] <= 0 || waitpid(pids[i], &status, WNOHANG) != pids[i])
				continue;
			pids[i] = 0;
			left--;
			bad += status != 0;
		}
		for (int i = 0; i < n && time(NULL) > end; i++)
			if (pids[i] > 0)
				kill(pids[i], SIGKILL);
		usleep(500);
	}
	return bad;
}

/* ---- threads ---- */

struct node_thread {
	const struct node_ranks *ranks;
	int rank, size, bad;
	pthread_t thread;
};

static inline void *node_rank_thread(void *arg)
{
	struct node_thread *t = arg;
	struct node_rank r = {.rank = t->rank, .size = t->size, .shared = t->ranks->shared};
	t->bad = ronde_bootstrap_inprocess(&r.bootstrap, t->ranks->world, t->rank)
			 ? __LINE__
			 : node_rank_run(t->ranks, &r);
	if (t->bad)
		fprintf(stderr, "rank %d: wrong in line %d\n", t->rank, t->bad);
	return NULL;
}

static inline int node_ranks_threads(int n, const int *node_of_rank, struct node_ranks *ranks)
{
	struct node_thread threads[NODE_RANKS_MAX];
	ranks->world = ronde_inprocess_create(n, node_of_rank);
	for (int i = 0; i < n; i++) {
		threads[i] = (struct node_thread){.ranks = ranks, .rank = i, .size = n};
		pthread_create(&threads[i].thread, NULL, node_rank_thread, &threads[i]);
	}
	int bad = 0;
	for (int i = 0; i < n; i++) {
		pthread_join(threads[i].thread, NULL);
		bad += threads[i].bad != 0;
	}
	ronde_inprocess_destroy(ranks->world);
	return bad;
}

#endif

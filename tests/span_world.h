/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes of ranks as threads that carry out operations over nodes by hand: an arena for each node,
 * the loopback fabric with random delays between them (span_run.h has the loop, span_jobs.h what is
 * carried out). For suites of the name check_span….
 */
#ifndef RONDE_TESTS_SPAN_WORLD_H
#define RONDE_TESTS_SPAN_WORLD_H

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "collectives/algorithms/lane.h"
#include "collectives/arena.h"
#include "collectives/fabric/loopback.h"
#include "collectives/operation.h"
#include "tests/seed.h"
#include "tests/suite.h"

#define MAX_NODES 5
#define MAX_LOCAL 4
#define MAX_RANKS 12
#define LANES 2
#define PIECES 3

static const struct shape {
	const char *name;
	int nodes, local[MAX_NODES];
} shapes[] = {
	{"2x1", 2, {1, 1}}, {"2x2", 2, {2, 2}},       {"3x1", 3, {1, 1, 1}},
	{"2+1", 2, {2, 1}}, {"4x2", 4, {2, 2, 2, 2}}, {"5 uneven", 5, {1, 3, 2, 4, 1}},
	{"2x4", 2, {4, 4}}, {"1+4", 2, {1, 4}},
};
#define SHAPES ((int)(sizeof shapes / sizeof shapes[0]))

struct job;

struct world {
	const struct shape *shape;
	int size;
	int node_of[MAX_RANKS], local_of[MAX_RANKS], rank_at[MAX_NODES][MAX_LOCAL];
	struct ronde_arena arenas[MAX_NODES];
	void *memory[MAX_NODES];
	struct ronde_loopback *loopback;
	pthread_barrier_t between;
	struct job *jobs; /* [rounds][LANES] */
	int rounds;
	uint64_t seed;
	uint64_t sent[MAX_RANKS];
	_Atomic int wrong; /* 1 + the first job that was, or 0 */
};

struct rank {
	struct world *world;
	int number;
	pthread_t thread;
	uint64_t base[LANES];
};

static inline uint64_t below(uint64_t *seed, uint64_t bound)
{
	return next_random(seed) % bound;
}

/* Ranks are dealt out to nodes round robin. */
static inline void place_ranks(struct world *w)
{
	for (int l = 0; l < MAX_LOCAL; l++)
		for (int k = 0; k < w->shape->nodes; k++)
			if (l < w->shape->local[k]) {
				w->node_of[w->size] = k;
				w->local_of[w->size] = l;
				w->rank_at[k][l] = w->size++;
			}
}

static inline size_t chunk_limit(const struct world *w)
{
	size_t least = SIZE_MAX;
	for (int k = 0; k < w->shape->nodes; k++) {
		size_t limit =
			ronde_chunk_limit(w->arenas[k].shape.staging_bytes, w->shape->local[k]);
		least = limit < least ? limit : least;
	}
	return least;
}

#endif

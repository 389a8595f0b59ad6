/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of ronde-perf-algorithms share: a rank, and what it does in its turn of a round.
 * ronde-perf-limits has the last two.
 *
 *   main.c        options, processes
 *   rounds.c      who takes part, turns, figures
 *   operation.c   one operation of the data plane
 *   moves.c       an allreduce's loads and stores and nothing else
 */
#ifndef PERF_ALGORITHMS_RIG_H
#define PERF_ALGORITHMS_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collectives/algorithms/packing.h"
#include "collectives/operation.h"

#define MAX_RANKS 64
#define MAX_CANDIDATES 64

/* Who has which staging: what one leaves in the caches must not speed up or slow down another. */
enum lane { LANE_OPERATIONS = 0, LANE_STORED, LANE_STREAMED, LANES };

struct options {
	int ranks, rounds;
	size_t from, to, staging;
	const char *only; /* part of an algorithm's name */
	size_t chunks[16];
	int nchunks; /* 0: a few that fit */
	bool out_of_place;
	enum ronde_stores_mode stores;
};

struct rank;

/* One row: an algorithm with a chunk size; or a run of moves; or neither: a copy. */
struct candidate {
	bool peer; /* copies what the next rank wrote */
	const struct moves *moves;
	const struct ronde_algorithm *algorithm;
	enum ronde_kind kind;
	enum ronde_path path;
	size_t chunk;
	struct ronde_stores *stores; /* how the algorithm packs, as in a plan */
	double *times;               /* [rounds], of rank 0 */
};

struct shared {
	_Atomic uint32_t arrived;
	_Atomic uint64_t wrong;    /* elements */
	double seconds[MAX_RANKS]; /* of this round */
};

struct rank {
	const struct options *options;
	struct shared *shared;
	struct ronde_arena arena;
	const struct ronde_kernels *kernels;
	unsigned char **heaps; /* [ranks] input and output of each, mapped by all */
	unsigned char *input, *output, *gathered, *spare; /* ordinary memory */
	int me;
	int members[MAX_RANKS];
	uint64_t base;
	uint32_t meetings;
	bool crowded; /* more ranks than cores: yield while waiting */
	size_t bytes; /* of this size */
	size_t chunk; /* of the moves through the staging; no more than fits counts */
};

/*
 * An allreduce's loads and stores, with the sums, and no word between the ranks: what is left of an
 * algorithm that waits for nobody and decides nothing.
 */
struct moves {
	const char *name;
	bool heap;    /* works on what all ranks see; else on ordinary memory and the staging */
	bool checked; /* its result is right; without waiting, what comes from a peer may be old */
	bool streaming; /* results go past the caches */
	bool packing;   /* what goes into the staging does */
	size_t block;   /* bytes a rank does at once; 0: its whole slice */
	void (*run)(struct rank *r, const struct moves *moves);
};

/* All of them; *count. */
const struct moves *perf_moves(size_t *count);

/* A pause while waiting; gives way if there are more ranks than cores. */
void perf_relax(const struct rank *r);

/* Runs the operation of a candidate once. */
void perf_run_operation(struct rank *r, const struct candidate *c);

/* True if a candidate works on what all ranks see. */
bool perf_in_heap(const struct candidate *c);

/* Where a member's result is; a heap holds input and output behind each other. */
unsigned char *perf_heap_output(const struct rank *r, int member);

/* A rank's own input and output. */
unsigned char *perf_input(const struct rank *r, const struct candidate *c);
unsigned char *perf_output(const struct rank *r, const struct candidate *c);

/* All candidates of a size, in turns; rank 0 prints. */
void perf_measure_size(struct rank *r, size_t bytes);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In every round each rank rewrites its whole tensor (not timed), all meet at a barrier, and each
 * does one thing. The time of a round is the slowest rank's; the figure is the median over rounds
 * in which all candidates of a size take turns. What the last round of a sum left is looked at.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "collectives/algorithms/layout.h"
#include "perf/algorithms/rig.h"

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void meet(struct rank *r)
{
	uint32_t all = ++r->meetings * (uint32_t)r->options->ranks;
	atomic_fetch_add(&r->shared->arrived, 1);
	while ((int32_t)(atomic_load(&r->shared->arrived) - all) < 0)
		perf_relax(r);
}

/* Looks at every element of a sum. */
static void check(struct rank *r, const struct candidate *c, int round)
{
	const float *result = (const float *)(const void *)perf_output(r, c);
	int n = r->options->ranks;
	uint64_t wrong = 0;
	if (c->algorithm ? strncmp(c->algorithm->name, "allreduce", 9) != 0
			 : !(c->moves && c->moves->checked))
		return;
	for (int i = 0; i < (int)(r->bytes / sizeof(float)); i++) {
		int sum = n * (round + i % 7) + n * (n - 1) / 2;
		wrong += result[i] != (float)sum;
	}
	atomic_fetch_add(&r->shared->wrong, wrong);
}

static double one_round(struct rank *r, const struct candidate *c, int round)
{
	float *tensor = (float *)(void *)perf_input(r, c);
	for (size_t i = 0; i < r->bytes / sizeof(float); i++)
		tensor[i] = (float)(r->me + round + (int)(i % 7));

	meet(r);
	double start = now();
	if (c->algorithm)
		perf_run_operation(r, c);
	else if (c->moves)
		c->moves->run(r, c->moves);
	else
		memcpy(r->spare, c->peer ? r->heaps[(r->me + 1) % r->options->ranks] : r->input,
		       r->bytes);
	r->shared->seconds[r->me] = now() - start;
	meet(r);

	double slowest = 0;
	for (int m = 0; m < r->options->ranks; m++) {
		if (r->shared->seconds[m] > slowest)
			slowest = r->shared->seconds[m];
	}
	if (round + 1 == r->options->rounds)
		check(r, c, round);
	meet(r);
	return slowest;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void add(struct candidate *list, int *count, struct candidate c, const struct options *o)
{
	if (*count == MAX_CANDIDATES)
		return;
	c.times = calloc((size_t)o->rounds, sizeof *c.times);
	/* Its own: what one has found out would mislead another. */
	c.stores = calloc(1, sizeof *c.stores);
	if (c.stores)
		c.stores->mode = o->stores;
	list[(*count)++] = c;
}

/* The moves that the option allows. */
static void list_moves(const struct options *o, struct candidate *list, int *count)
{
	size_t rows;
	const struct moves *table = perf_moves(&rows);
	for (size_t i = 0; i < rows; i++)
		if (!o->only || strstr(table[i].name, o->only))
			add(list, count, (struct candidate){.moves = &table[i]}, o);
}

/* The copies, the moves, and every algorithm that the option allows with every chunk size that
 * makes a difference. */
static int candidates(const struct options *o, size_t bytes, struct candidate *list)
{
	int count = 0;
	size_t rows;
	size_t limit = ronde_chunk_limit(o->staging, o->ranks);
	const struct ronde_algorithm *const *table = ronde_algorithm_table(&rows);

	add(list, &count, (struct candidate){.algorithm = NULL}, o);
	add(list, &count, (struct candidate){.algorithm = NULL, .peer = true}, o);
	for (size_t i = 0; i < rows; i++) {
		const char *name = table[i]->name;
		struct candidate c = {.algorithm = table[i], .chunk = RONDE_GRAIN};
		if ((o->only && !strstr(name, o->only)) || strstr(name, "-nodes"))
			continue; /* here is one node */
		c.kind = strstr(name, "broadcast")       ? RONDE_KIND_BROADCAST
			 : strstr(name, "allgather")     ? RONDE_KIND_ALLGATHER
			 : strstr(name, "barrier")       ? RONDE_KIND_BARRIER
			 : strstr(name, "reducescatter") ? RONDE_KIND_REDUCESCATTER
			 : strstr(name, "alltoall")      ? RONDE_KIND_ALLTOALL
							 : RONDE_KIND_ALLREDUCE;
		c.path = strstr(name, "zero-copy") ? RONDE_PATH_ZERO_COPY : RONDE_PATH_STAGED;
		if (perf_in_heap(&c) || c.kind == RONDE_KIND_BARRIER) {
			add(list, &count, c, o);
			continue;
		}
		for (int k = 0; k < o->nchunks; k++) {
			c.chunk = o->chunks[k];
			if (c.chunk <= limit && (k == 0 || o->chunks[k - 1] < bytes))
				add(list, &count, c, o);
		}
	}
	list_moves(o, list, &count);
	return count;
}

/* The median, and the best tenth: what the machine does when nobody else is on it. */
static void print_size(const struct rank *r, struct candidate *list, int count)
{
	int rounds = r->options->rounds;
	for (int i = 0; i < count; i++)
		qsort(list[i].times, (size_t)rounds, sizeof *list[i].times, by_value);
	for (int i = 0; i < count && r->me == 0; i++) {
		const struct candidate *c = &list[i];
		double middle = c->times[rounds / 2], best = c->times[rounds / 10];
		printf("%9zu  %-24s %8zu %10.2f us %6.2f x  %10.2f us %6.2f x\n", r->bytes,
		       c->algorithm ? c->algorithm->name
		       : c->moves   ? c->moves->name
		       : c->peer    ? "peer-copy"
				    : "memcpy",
		       c->algorithm ? c->chunk : 0, middle * 1e6,
		       middle / list[0].times[rounds / 2], best * 1e6,
		       best / list[0].times[rounds / 10]);
	}
}

void perf_measure_size(struct rank *r, size_t bytes)
{
	const struct options *o = r->options;
	struct candidate list[MAX_CANDIDATES];
	int count = candidates(o, bytes, list);
	int warm = 3;

	r->bytes = bytes;
	for (int round = -warm; round < o->rounds; round++) {
		for (int i = 0; i < count; i++) {
			double t = one_round(r, &list[i], round);
			if (round >= 0)
				list[i].times[round] = t;
		}
	}
	print_size(r, list, count);
	for (int i = 0; i < count; i++) {
		free(list[i].times);
		free(list[i].stores);
	}
	if (r->me == 0)
		fflush(stdout);
}

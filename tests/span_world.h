/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes of ranks as threads that carry out operations over nodes by hand: an arena for each node,
 * the loopback fabric with random delays between them. Part of check_span.c and of nothing else.
 *
 * In a round every lane has one job, and each rank takes steps in all of them by lot. The next
 * round begins when all are done, as the coordinators' agreement has it. A rank compares its result
 * and overwrites its tensors as soon as it is done.
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

/* One operation: what is the same on all ranks, and all their tensors. */
struct job {
	enum ronde_kind kind;
	struct ronde_reduce_spec spec;
	size_t chunk_bytes, counts[PIECES];
	bool in_place;
	int root; /* broadcast: global rank */
	bool joined[MAX_RANKS];
	unsigned char *inputs[MAX_RANKS][PIECES], *outputs[MAX_RANKS][PIECES], *expected[PIECES];
	_Atomic int arrived; /* barrier */
};

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

/* A rank's plan of a job, and the room it needs. */
struct view {
	struct ronde_operation operation;
	struct ronde_set_span span;
	struct ronde_piece pieces[PIECES];
	int members[MAX_LOCAL], leaf[MAX_LOCAL];
	int node_members[MAX_NODES], node_leaf[MAX_NODES];
	int ranks[MAX_NODES][MAX_LOCAL];
	const int *rank_rows[MAX_NODES];
	struct ronde_fabric_operation *flight[RONDE_SPAN_FLIGHT * MAX_NODES];
	bool running;
};

static uint64_t below(uint64_t *seed, uint64_t bound)
{
	return next_random(seed) % bound;
}

static void make_span(const struct world *w, const struct job *job, int node, struct view *v)
{
	struct ronde_set_span *s = &v->span;
	const struct shape *shape = w->shape;
	for (int k = 0; k < shape->nodes; k++) {
		int n = 0;
		for (int l = 0; l < shape->local[k]; l++)
			if (!job->joined[w->rank_at[k][l]])
				v->ranks[s->nodes][n++] = w->rank_at[k][l];
		if (!n)
			continue;
		if (k == node)
			s->node = s->nodes;
		v->rank_rows[s->nodes] = v->ranks[s->nodes];
		v->node_members[s->nodes] = n;
		v->node_leaf[s->nodes++] = k;
	}
	for (int k = 0; k < s->nodes; k++)
		for (int m = 0; m < v->node_members[k]; m++)
			if (v->ranks[k][m] == job->root)
				s->root_node = k;
	s->members = v->node_members;
	s->ranks = v->rank_rows;
	s->positions = v->rank_rows;
	s->leaf = s->nodes < shape->nodes ? v->node_leaf : NULL;
	s->leaves = shape->nodes;
	s->flight = v->flight;
}

static void start_job(struct rank *r, struct ronde_fabric *fabric, struct job *job, int lane,
		      struct view *v)
{
	struct world *w = r->world;
	int node = w->node_of[r->number];
	memset(v, 0, sizeof *v);
	make_span(w, job, node, v);
	memset(v->flight, 0xee, sizeof v->flight);
	v->span.fabric = fabric;
	v->span.tag = (uint32_t)(1000 + lane * RONDE_SPAN_TAGS);
	struct ronde_plan *plan = &v->operation.plan;
	*plan = (struct ronde_plan){.kind = job->kind,
				    .path = RONDE_PATH_STAGED,
				    .arena = &w->arenas[node],
				    .kernels = ronde_kernels_select(NULL),
				    .lane = lane,
				    .base = r->base[lane],
				    .span = &v->span,
				    .members = v->members,
				    .leaf = v->leaf,
				    .leaves = w->shape->local[node],
				    .element = ronde_dtype_bytes(job->spec.dtype),
				    .spec = job->spec,
				    .chunk_bytes = job->chunk_bytes,
				    .pieces = v->pieces,
				    .npieces = job->kind == RONDE_KIND_BARRIER ? 0 : PIECES};
	for (int l = 0; l < w->shape->local[node]; l++) {
		if (job->joined[w->rank_at[node][l]])
			continue;
		if (w->rank_at[node][l] == r->number)
			plan->me = plan->n;
		if (w->rank_at[node][l] == job->root)
			plan->root = plan->n;
		v->leaf[plan->n] = l;
		v->members[plan->n++] = l;
	}
	for (int p = 0; p < PIECES; p++)
		v->pieces[p] = (struct ronde_piece){.input = job->kind != RONDE_KIND_BROADCAST ||
									     r->number == job->root
								     ? job->inputs[r->number][p]
								     : NULL,
						    .output = job->outputs[r->number][p],
						    .count = job->counts[p]};
	v->operation.algorithm = ronde_algorithm_select(plan);
	atomic_fetch_add(&job->arrived, 1);
	v->operation.algorithm->start(&v->operation);
	v->running = true;
}

/* Compares, and overwrites what now is the rank's own again. */
static void end_job(struct rank *r, struct job *job, int lane, struct view *v)
{
	struct world *w = r->world;
	bool wrong = v->operation.status != RONDE_OK;
	int members = 0;
	for (int k = 0; k < v->span.nodes; k++)
		members += v->span.members[k];
	wrong |= job->kind == RONDE_KIND_BARRIER && atomic_load(&job->arrived) != members;
	for (int p = 0; p < PIECES && job->kind != RONDE_KIND_BARRIER; p++) {
		size_t bytes = job->counts[p] * v->operation.plan.element;
		wrong |= memcmp(job->outputs[r->number][p], job->expected[p], bytes) != 0;
		memset(job->inputs[r->number][p], 0x5a, bytes);
		memset(job->outputs[r->number][p], 0x5a, bytes);
	}
	int none = 0;
	if (wrong)
		atomic_compare_exchange_strong(&w->wrong, &none, (int)(job - w->jobs) + 1);
	r->base[lane] = atomic_load(
		&ronde_lane_cell(&w->arenas[w->node_of[r->number]], lane, w->local_of[r->number])
			 ->left);
	v->running = false;
}

static void run_round(struct rank *r, struct ronde_fabric *fabric, int round, uint64_t *seed)
{
	struct world *w = r->world;
	struct view *views = aligned_alloc(alignof(struct view), sizeof(struct view) * LANES);
	int running = 0;
	for (int lane = 0; lane < LANES; lane++) {
		struct job *job = &w->jobs[round * LANES + lane];
		views[lane].running = false;
		if (job->joined[r->number])
			continue;
		start_job(r, fabric, job, lane, &views[lane]);
		running++;
	}
	while (running) {
		bool worked = ronde_fabric_progress(fabric) > 0;
		for (int lane = 0; lane < LANES; lane++) {
			struct view *v = &views[lane];
			if (!v->running || below(seed, 8) == 0)
				continue;
			enum ronde_progress p = v->operation.algorithm->step(&v->operation);
			worked |= p != RONDE_PROGRESS_NONE;
			if (p != RONDE_PROGRESS_DONE)
				continue;
			end_job(r, &w->jobs[round * LANES + lane], lane, v);
			running--;
		}
		if (!worked)
			sched_yield();
	}
	free(views);
}

static void *run_rank(void *arg)
{
	struct rank *r = arg;
	struct world *w = r->world;
	struct ronde_fabric *fabric;
	uint64_t seed = w->seed + (uint64_t)r->number;
	if (ronde_loopback_open(&fabric, w->loopback, r->number))
		abort();
	for (int round = 0; round < w->rounds; round++) {
		run_round(r, fabric, round, &seed);
		pthread_barrier_wait(&w->between);
		/* Ranks that had joined go on from where the others are. */
		for (int lane = 0; lane < LANES; lane++)
			for (int l = 0; l < w->shape->local[w->node_of[r->number]]; l++) {
				uint64_t left = atomic_load(
					&ronde_lane_cell(&w->arenas[w->node_of[r->number]], lane, l)
						 ->left);
				r->base[lane] = left > r->base[lane] ? left : r->base[lane];
			}
		pthread_barrier_wait(&w->between);
	}
	w->sent[r->number] = fabric->counters.bytes_sent;
	if (fabric->in_flight || fabric->held || ronde_fabric_close(fabric))
		atomic_store(&w->wrong, w->rounds * LANES + 1);
	return NULL;
}

/* Ranks are dealt out to nodes round robin. */
static void place_ranks(struct world *w)
{
	for (int l = 0; l < MAX_LOCAL; l++)
		for (int k = 0; k < w->shape->nodes; k++)
			if (l < w->shape->local[k]) {
				w->node_of[w->size] = k;
				w->local_of[w->size] = l;
				w->rank_at[k][l] = w->size++;
			}
}

static void world_open(struct world *w, const struct shape *shape, size_t staging, int rounds,
		       uint64_t seed)
{
	*w = (struct world){.shape = shape, .rounds = rounds, .seed = seed};
	place_ranks(w);
	for (int k = 0; k < shape->nodes; k++) {
		const struct ronde_arena_shape a = {.local_size = (uint32_t)shape->local[k],
						    .ring_cells = 4,
						    .lanes = LANES,
						    .staging_bytes = staging};
		size_t bytes = (ronde_arena_bytes(&a) + 4095) & ~(size_t)4095;
		w->memory[k] = aligned_alloc(4096, bytes);
		memset(w->memory[k], 0, bytes);
		ronde_arena_format(w->memory[k], &a);
		ck_assert_int_eq(ronde_arena_attach(&w->arenas[k], w->memory[k]), RONDE_OK);
	}
	w->jobs = calloc((size_t)rounds * LANES, sizeof *w->jobs);
	pthread_barrier_init(&w->between, NULL, (unsigned)w->size);
}

static void make_float(unsigned char *to, ronde_dtype dtype, uint64_t r)
{
	uint64_t e = r >> 60;
	uint16_t half = (uint16_t)((r & 0x83ff) | (10 + e % 8) << 10);
	uint16_t brain = (uint16_t)((r & 0x807f) | (120 + e) << 7);
	uint32_t single = (uint32_t)((r & 0x807fffff) | (120 + e) << 23);
	uint64_t twice = (r & 0x800fffffffffffff) | (1015 + e) << 52;
	uint8_t truth = r & 1;
	const void *from = dtype == RONDE_FLOAT16    ? (const void *)&half
			   : dtype == RONDE_BFLOAT16 ? (const void *)&brain
			   : dtype == RONDE_FLOAT32  ? (const void *)&single
			   : dtype == RONDE_FLOAT64  ? (const void *)&twice
			   : dtype == RONDE_BOOL     ? (const void *)&truth
						     : (const void *)&r;
	memcpy(to, from, ronde_dtype_bytes(dtype));
}

/*
 * The plain kernel over whole tensors at once. A node's ranks stand at a multiple of a power of two
 * that none exceeds: so its tree is the tree of each node, and then the one over nodes.
 */
static void expect(const struct world *w, struct job *job, int p)
{
	const void *sources[MAX_NODES * MAX_LOCAL] = {NULL};
	void *destination = job->expected[p];
	for (int i = 0; i < w->size; i++)
		if (!job->joined[i])
			sources[w->node_of[i] * MAX_LOCAL + w->local_of[i]] = job->inputs[i][p];
	if (job->kind == RONDE_KIND_BROADCAST)
		memcpy(destination, job->inputs[job->root][p],
		       job->counts[p] * ronde_dtype_bytes(job->spec.dtype));
	else
		ronde_kernels_select("c")->reduce(&job->spec, &destination, 1, sources,
						  MAX_NODES * MAX_LOCAL, job->counts[p]);
}

/* spec, counts, joined, chunk_bytes are given. */
static void make_tensors(const struct world *w, struct job *job, uint64_t *seed)
{
	size_t element = ronde_dtype_bytes(job->spec.dtype);
	for (int p = 0; p < PIECES; p++) {
		size_t bytes = job->counts[p] * element;
		for (int i = 0; i < w->size; i++) {
			job->inputs[i][p] = malloc(bytes + 1);
			for (size_t e = 0; e < job->counts[p]; e++)
				make_float(job->inputs[i][p] + e * element, job->spec.dtype,
					   next_random(seed));
			job->outputs[i][p] = job->in_place ? job->inputs[i][p] : malloc(bytes + 1);
		}
		job->expected[p] = malloc(bytes + 1);
		expect(w, job, p);
	}
}

static size_t chunk_limit(const struct world *w)
{
	size_t least = SIZE_MAX;
	for (int k = 0; k < w->shape->nodes; k++) {
		size_t limit =
			ronde_chunk_limit(w->arenas[k].shape.staging_bytes, w->shape->local[k]);
		least = limit < least ? limit : least;
	}
	return least;
}

static void run_world(struct world *w, uint64_t delay_ns)
{
	const struct ronde_loopback_settings settings = {
		.seed = w->seed, .delay_ns = delay_ns, .eager_bytes = 2048};
	struct rank ranks[MAX_RANKS] = {0};
	w->loopback = ronde_loopback_create(w->size, &settings);
	ck_assert_ptr_nonnull(w->loopback);
	for (int i = 0; i < w->size; i++) {
		ranks[i].world = w;
		ranks[i].number = i;
		ck_assert_int_eq(pthread_create(&ranks[i].thread, NULL, run_rank, &ranks[i]), 0);
	}
	for (int i = 0; i < w->size; i++)
		pthread_join(ranks[i].thread, NULL);
	ronde_loopback_release(w->loopback);
}

static void world_close(struct world *w)
{
	int wrong = atomic_load(&w->wrong);
	if (wrong && wrong <= w->rounds * LANES) {
		const struct job *job = &w->jobs[wrong - 1];
		printf("%s, job %d: kind %d dtype %d reduction %d chunk %zu counts %zu %zu %zu%s\n",
		       w->shape->name, wrong - 1, job->kind, job->spec.dtype, job->spec.reduction,
		       job->chunk_bytes, job->counts[0], job->counts[1], job->counts[2],
		       job->in_place ? " in place" : "");
	}
	for (int j = 0; j < w->rounds * LANES; j++) {
		struct job *job = &w->jobs[j];
		for (int p = 0; p < PIECES; p++) {
			for (int i = 0; i < w->size; i++) {
				if (!job->in_place)
					free(job->outputs[i][p]);
				free(job->inputs[i][p]);
			}
			free(job->expected[p]);
		}
	}
	free(w->jobs);
	for (int k = 0; k < w->shape->nodes; k++)
		free(w->memory[k]);
	pthread_barrier_destroy(&w->between);
	ck_assert_int_eq(wrong, 0);
}

#endif

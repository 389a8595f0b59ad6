/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the ranks of span_world.h carry out: jobs, and the plans that each rank makes of them
 * (span_tensors.h has the tensors, and what must come out).
 */
#ifndef RONDE_TESTS_SPAN_JOBS_H
#define RONDE_TESTS_SPAN_JOBS_H

#include "collectives/share.h"
#include "tests/span_world.h"

/* One operation: what is the same on all ranks, and all their tensors. */
struct job {
	enum ronde_kind kind;
	struct ronde_reduce_spec spec;
	bool wire_16bit;
	size_t chunk_bytes, counts[PIECES];
	int in_place;            /* reducescatter: 1 at the start of the input, 2 at the own rows */
	int root;                /* broadcast: global rank */
	size_t width;            /* of a row, in elements, where there are rows */
	int64_t rows[MAX_RANKS]; /* allgather: of each rank */
	uint64_t shared[PIECES]; /* reducescatter: rows of each piece */
	int64_t splits[MAX_RANKS][MAX_RANKS]; /* alltoall: of each rank for each */
	bool no_memory[MAX_RANKS];            /* allocate() has none for it */
	bool joined[MAX_RANKS];
	unsigned char *inputs[MAX_RANKS][PIECES], *outputs[MAX_RANKS][PIECES], *expected[PIECES];
	/* What each rank must get, in `expected`. */
	const unsigned char *want[MAX_RANKS][PIECES];
	size_t input_bytes[MAX_RANKS][PIECES], want_bytes[MAX_RANKS][PIECES];
	_Atomic int arrived; /* barrier */
};

/* A rank's plan of a job, and the room it needs. */
struct view {
	struct ronde_operation operation;
	struct ronde_set_span span;
	struct ronde_piece pieces[PIECES];
	int members[MAX_LOCAL], leaf[MAX_LOCAL];
	int node_members[MAX_NODES], node_leaf[MAX_NODES];
	int ranks[MAX_NODES][MAX_LOCAL], positions[MAX_NODES][MAX_LOCAL];
	const int *rank_rows[MAX_NODES], *position_rows[MAX_NODES];
	struct ronde_fabric_operation *flight[RONDE_SPAN_FLIGHT * MAX_NODES];
	int64_t splits[MAX_RANKS], received[MAX_RANKS], begins[MAX_RANKS], astray[MAX_RANKS];
	const struct job *job;
	int number;
	uint64_t seed;
	unsigned char *result; /* from allocate() */
	bool asked, misled, running;
};

static inline bool gathers(const struct job *job)
{
	return job->kind == RONDE_KIND_ALLGATHER || job->kind == RONDE_KIND_ALLTOALL;
}

/* Which of those that take part a rank is. */
static inline int position_of(const struct job *job, int rank)
{
	int position = 0;
	for (int i = 0; i < rank; i++)
		position += !job->joined[i];
	return position;
}

static inline void make_span(const struct world *w, const struct job *job, int node, struct view *v)
{
	struct ronde_set_span *s = &v->span;
	const struct shape *shape = w->shape;
	for (int k = 0; k < shape->nodes; k++) {
		int n = 0;
		for (int l = 0; l < shape->local[k]; l++) {
			if (job->joined[w->rank_at[k][l]])
				continue;
			v->positions[s->nodes][n] = position_of(job, w->rank_at[k][l]);
			v->ranks[s->nodes][n++] = w->rank_at[k][l];
		}
		if (!n)
			continue;
		if (k == node)
			s->node = s->nodes;
		v->rank_rows[s->nodes] = v->ranks[s->nodes];
		v->position_rows[s->nodes] = v->positions[s->nodes];
		v->node_members[s->nodes] = n;
		v->node_leaf[s->nodes++] = k;
	}
	for (int k = 0; k < s->nodes; k++)
		for (int m = 0; m < v->node_members[k]; m++)
			if (v->ranks[k][m] == job->root)
				s->root_node = k;
	s->members = v->node_members;
	s->ranks = v->rank_rows;
	s->positions = v->position_rows;
	s->leaf = s->nodes < shape->nodes ? v->node_leaf : NULL;
	s->leaves = shape->nodes;
	s->flight = v->flight;
	if (ronde_span_total(s) < w->size) {
		s->shares = v->rank_rows;
		s->size = w->size;
	}
}

/* Memory comes sometimes late, or not at all. */
static inline bool allocate_result(void *arg, const int64_t *rows, void **memory, int *status)
{
	struct view *v = arg;
	const struct job *job = v->job;
	if (below(&v->seed, 4))
		return false;
	v->misled |= v->asked;
	v->asked = true;
	for (int i = 0; i < MAX_RANKS; i++) {
		if (job->joined[i] || !job->inputs[i][0])
			continue;
		int p = position_of(job, i);
		bool gather = job->kind == RONDE_KIND_ALLGATHER;
		v->misled |= rows[p] != (gather ? job->rows[i] : job->splits[i][v->number]);
		v->misled |= !gather && v->astray[p] != 1000 + i;
	}
	*memory = NULL;
	if (job->no_memory[v->number])
		*status = RONDE_ERR_TRUNCATED;
	else
		*memory = v->result = malloc(job->want_bytes[v->number][0] + 1);
	return true;
}

static inline void set_rows(const struct job *job, struct view *v)
{
	struct ronde_plan *plan = &v->operation.plan;
	plan->npieces = 1;
	plan->row_bytes = job->width * plan->element;
	plan->rows = job->rows[v->number];
	plan->received = v->received;
	plan->begins = v->begins;
	plan->allocate = allocate_result;
	plan->allocate_arg = v;
	memset(v->received, 0xee, sizeof v->received);
	memset(v->begins, 0xee, sizeof v->begins);
	if (job->kind != RONDE_KIND_ALLTOALL)
		return;
	plan->splits = v->splits;
	plan->astray = v->astray;
	memset(v->astray, 0xee, sizeof v->astray);
	v->astray[position_of(job, v->number)] = 1000 + v->number;
	for (int i = 0; i < MAX_RANKS; i++)
		if (!job->joined[i])
			v->splits[position_of(job, i)] = job->splits[v->number][i];
}

/* The rows that a rank gets, in bytes of a piece's input; all ranks share them. */
static inline struct ronde_share share_of(const struct world *w, const struct job *job, int rank,
					  int p)
{
	return ronde_share_bytes(job->shared[p], job->width * ronde_dtype_bytes(job->spec.dtype),
				 w->size, rank);
}

static inline void set_shares(const struct world *w, const struct job *job, struct view *v)
{
	size_t element = ronde_dtype_bytes(job->spec.dtype);
	for (int p = 0; p < PIECES; p++) {
		v->pieces[p].rows = job->shared[p];
		v->pieces[p].row_bytes = job->width * element;
		v->pieces[p].count = share_of(w, job, 0, p).count / element;
	}
}

static inline void set_members(const struct world *w, const struct job *job, int node,
			       struct view *v)
{
	struct ronde_plan *plan = &v->operation.plan;
	for (int l = 0; l < w->shape->local[node]; l++) {
		if (job->joined[w->rank_at[node][l]])
			continue;
		if (w->rank_at[node][l] == v->number)
			plan->me = plan->n;
		if (w->rank_at[node][l] == job->root)
			plan->root = plan->n;
		v->leaf[plan->n] = l;
		v->members[plan->n++] = l;
	}
}

static inline void start_job(struct rank *r, struct ronde_fabric *fabric, struct job *job, int lane,
			     struct view *v)
{
	struct world *w = r->world;
	int node = w->node_of[r->number];
	memset(v, 0, sizeof *v);
	make_span(w, job, node, v);
	memset(v->flight, 0xee, sizeof v->flight);
	v->span.fabric = fabric;
	v->span.tag = (uint32_t)(1000 + lane * RONDE_SPAN_TAGS);
	v->job = job;
	v->number = r->number;
	v->seed = w->seed + (uint64_t)r->number;
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
				    .wire_16bit = job->wire_16bit,
				    .chunk_bytes = job->chunk_bytes,
				    .pieces = v->pieces,
				    .npieces = job->kind == RONDE_KIND_BARRIER ? 0 : PIECES};
	set_members(w, job, node, v);
	for (int p = 0; p < PIECES; p++)
		v->pieces[p] = (struct ronde_piece){.input = job->kind != RONDE_KIND_BROADCAST ||
									     r->number == job->root
								     ? job->inputs[r->number][p]
								     : NULL,
						    .output = job->outputs[r->number][p],
						    .count = job->counts[p]};
	if (gathers(job))
		set_rows(job, v);
	if (job->kind == RONDE_KIND_REDUCESCATTER)
		set_shares(w, job, v);
	v->operation.algorithm = ronde_algorithm_select(plan);
	atomic_fetch_add(&job->arrived, 1);
	v->operation.algorithm->start(&v->operation);
	v->running = true;
}

/* Compares, and overwrites what now is the rank's own again. */
static inline void end_job(struct rank *r, struct job *job, int lane, struct view *v)
{
	struct world *w = r->world;
	bool refused = job->no_memory[r->number];
	bool wrong = v->misled || v->asked != gathers(job) ||
		     v->operation.status != (refused ? RONDE_ERR_TRUNCATED : RONDE_OK);
	wrong |= job->kind == RONDE_KIND_BARRIER &&
		 atomic_load(&job->arrived) != ronde_span_total(&v->span);
	for (int p = 0; p < PIECES && job->kind != RONDE_KIND_BARRIER; p++) {
		unsigned char *result = gathers(job) ? v->result : job->outputs[r->number][p];
		size_t bytes = refused ? 0 : job->want_bytes[r->number][p];
		wrong |= bytes && memcmp(result, job->want[r->number][p], bytes) != 0;
		if (bytes)
			memset(result, 0x5a, bytes);
		if (job->input_bytes[r->number][p])
			memset(job->inputs[r->number][p], 0x5a, job->input_bytes[r->number][p]);
	}
	free(v->result);
	int none = 0;
	if (wrong)
		atomic_compare_exchange_strong(&w->wrong, &none, (int)(job - w->jobs) + 1);
	r->base[lane] = atomic_load(
		&ronde_lane_cell(&w->arenas[w->node_of[r->number]], lane, w->local_of[r->number])
			 ->left);
	v->running = false;
}

/* Some ranks, or a whole node, have joined; two nodes remain. */
static inline void random_joined(const struct world *w, struct job *job, uint64_t *seed)
{
	int absent = below(seed, 2) && w->shape->nodes > 2
			     ? (int)below(seed, (uint64_t)w->shape->nodes)
			     : -1;
	for (int i = 0; i < w->size; i++)
		job->joined[i] = w->node_of[i] == absent ||
				 (w->local_of[i] != (w->shape->local[w->node_of[i]] - 1) &&
				  below(seed, 3) == 0);
}

static inline void random_spec(struct job *job, uint64_t *seed)
{
	job->wire_16bit = below(seed, 2);
	job->spec.dtype = (ronde_dtype)below(seed, RONDE_DTYPE_COUNT);
	do {
		job->spec.reduction = (ronde_reduction)below(seed, RONDE_REDUCTION_COUNT);
	} while (job->spec.reduction == RONDE_ADASUM);
	bool scaled = job->spec.dtype != RONDE_BOOL && below(seed, 3) == 0;
	job->spec.prescale = scaled ? 0.3 : 1.0;
	job->spec.postscale = scaled ? 0.7 : 1.0;
}

static inline size_t random_chunk(const struct world *w, uint64_t *seed)
{
	size_t least = ronde_span_least(w->shape->nodes), limit = chunk_limit(w);
	return (least + below(seed, limit - least + 1)) & ~(size_t)63;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranks as threads that carry out a script of operations by hand: what the coordinator does,
 * without one. Part of check_algorithms.c and of nothing else.
 *
 * The script is an array of jobs, made with all buffers and expected results before the threads
 * start. The jobs of a lane follow each other; a rank starts one when all members have left the one
 * before (that is what a leader waits for), with a base that the last one has left behind. As soon
 * as a job is done on a rank, the rank compares its result and overwrites all its tensors: a peer
 * that still reads or writes them is found by wrong results, or by a race checker.
 */
#ifndef RONDE_TESTS_ALGORITHMS_WORLD_H
#define RONDE_TESTS_ALGORITHMS_WORLD_H

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "collectives/algorithms/packing.h"
#include "collectives/arena.h"
#include "collectives/kernels/kernels.h"
#include "collectives/operation.h"
#include "collectives/share.h"
#include "tests/seed.h"

#ifndef MAX_RANKS
#define MAX_RANKS 9
#endif
#define MAX_PIECES 400
#define GUARD 64

struct buffer {
	unsigned char *raw, *data;
	size_t bytes, shift;
};

struct job {
	const struct ronde_algorithm *algorithm; /* NULL: as selected */
	struct ronde_plan plan;                  /* without what is a rank's own */
	int members[MAX_RANKS];
	int leaf[MAX_RANKS]; /* of each member, where plan.leaf says so */
	bool in_place;
	bool at_start; /* reducescatter in place: not where the own rows are */
	int broke;     /* allgather: the member without memory, or -1 */
	uint64_t *counts;
	uint64_t *columns;                    /* reducescatter: elements of a row of each piece */
	struct buffer *inputs;                /* [piece * n + member] */
	struct buffer *outputs;               /* likewise; empty if in place */
	struct buffer *expected;              /* [piece]; alltoall: [member] */
	int64_t rows[MAX_RANKS];              /* allgather: of each; alltoall: of each result */
	int64_t splits[MAX_RANKS][MAX_RANKS]; /* alltoall: from, to */
	bool wrong[MAX_RANKS];                /* result or status */
	_Atomic uint64_t end;                 /* what the first member to end it left behind */
	uint64_t ended[MAX_RANKS];            /* what each member's left said */
};

struct world {
	const int *domains; /* of each rank, or NULL */
	struct ronde_traffic traffic[MAX_RANKS];
	struct ronde_arena arena;
	void *memory;
	const struct ronde_kernels *kernels;
	struct ronde_stores stores[MAX_RANKS]; /* by local rank */
	struct job *jobs;
	int njobs;
	bool sleepy;       /* ranks sleep on their bells; all jobs have the same members */
	unsigned delays;   /* one step of so many is preceded by a yield or a pause; 0: none */
	_Atomic bool late; /* a sleeper was not woken */
	bool (*run)(struct world *w, uint64_t seed); /* NULL: world_run */
};

static uint64_t below(uint64_t *seed, uint64_t bound)
{
	return next_random(seed) % bound;
}

/* ---- one rank ---- */

/* One rank's view of a lane. */
struct lane_view {
	int asked; /* how often for memory */
	int job;   /* the one it is at, njobs: none left */
	uint64_t base;
	bool running;
	bool done; /* here; others may be on their way */
	struct ronde_operation *operation;
	struct ronde_piece *pieces;
	const void **in;
	void **out;
	int64_t received[3 * MAX_RANKS];
	struct job *of;
};

struct rank {
	struct world *world;
	int local_rank;
	uint64_t seed;
	pthread_t thread;
	struct lane_view *lanes;
};

static int member_of(const struct job *job, int local_rank)
{
	for (int m = 0; m < job->plan.n; m++) {
		if (job->members[m] == local_rank)
			return m;
	}
	return -1;
}

static int next_job(const struct world *w, int lane, int from)
{
	while (from < w->njobs && w->jobs[from].plan.lane != lane)
		from++;
	return from;
}

static bool give_result(void *arg, const int64_t *rows, void **memory, int *status)
{
	struct lane_view *v = arg;
	struct job *job = v->of;
	const struct ronde_plan *plan = &v->operation->plan;
	int me = plan->me;
	bool splits = job->plan.kind == RONDE_KIND_ALLTOALL;
	for (int m = 0; m < job->plan.n; m++)
		job->wrong[me] |= rows[m] != (splits ? job->splits[m][me] : job->rows[m]);
	if (v->asked++ < v->job % 3) { /* not at once */
		ronde_bell_ring(plan->arena, plan->members[me]);
		return false;
	}
	*memory = job->broke == me ? NULL : job->outputs[me].data;
	*status = job->broke == me ? RONDE_ERR_OUT_OF_MEMORY : RONDE_OK;
	return true;
}

/* Bytes of a piece's result that are a member's. */
static struct ronde_share share_of(const struct job *job, size_t piece, int member)
{
	size_t element = job->plan.element;
	uint64_t columns = job->columns[piece];
	if (job->plan.kind == RONDE_KIND_ALLTOALL)
		return (struct ronde_share){0, job->expected[member].bytes};
	if (job->plan.kind != RONDE_KIND_REDUCESCATTER)
		return (struct ronde_share){0, job->expected[piece].bytes};
	return ronde_share_bytes(columns ? job->counts[piece] / columns : 0, columns * element,
				 job->plan.n, member);
}

/* Where a member's result of a piece goes. */
static unsigned char *result_place(const struct job *job, size_t piece, int member)
{
	size_t i = piece * (size_t)job->plan.n + (size_t)member;
	if (!job->in_place)
		return job->outputs[i].data;
	return job->inputs[i].data + (job->at_start ? 0 : share_of(job, piece, member).first);
}

static void start_job(struct rank *r, struct lane_view *v, int me)
{
	struct job *job = &r->world->jobs[v->job];
	size_t n = (size_t)job->plan.n;
	size_t pieces = job->plan.npieces;

	v->of = job;
	v->asked = 0;
	v->operation = aligned_alloc(RONDE_CACHE_LINE, sizeof *v->operation);
	memset(v->operation, 0xee, sizeof *v->operation);
	v->pieces = calloc(pieces + 1, sizeof *v->pieces);
	v->in = calloc(pieces * n + 1, sizeof *v->in);
	v->out = calloc(pieces * n + 1, sizeof *v->out);
	for (size_t i = 0; i < pieces * n; i++) {
		v->in[i] = job->inputs[i].data;
		v->out[i] = result_place(job, i / n, (int)(i % n));
	}
	bool zero_copy = job->plan.path == RONDE_PATH_ZERO_COPY;
	for (size_t p = 0; p < pieces; p++) {
		struct ronde_piece *piece = &v->pieces[p];
		piece->count = job->counts[p];
		if (job->plan.kind == RONDE_KIND_ALLGATHER)
			piece->count = (uint64_t)job->rows[me] * job->plan.row_bytes;
		if (job->plan.kind == RONDE_KIND_REDUCESCATTER) {
			piece->rows = job->columns[p] ? job->counts[p] / job->columns[p] : 0;
			piece->row_bytes = job->columns[p] * job->plan.element;
			piece->count = share_of(job, p, 0).count / job->plan.element;
		}
		if (job->plan.kind != RONDE_KIND_BROADCAST || me == job->plan.root)
			piece->input = v->in[p * n + (size_t)me];
		piece->output = v->out[p * n + (size_t)me];
		piece->inputs = zero_copy ? &v->in[p * n] : NULL;
		piece->outputs = zero_copy ? &v->out[p * n] : NULL;
	}

	v->operation->plan = job->plan;
	v->operation->plan.stores = &r->world->stores[r->local_rank];
	v->operation->plan.traffic = r->world->domains ? &r->world->traffic[r->local_rank] : NULL;
	v->operation->plan.domains = r->world->domains;
	v->operation->plan.base = v->base;
	v->operation->plan.me = me;
	v->operation->plan.rows = job->rows[me];
	v->operation->plan.splits = job->splits[me];
	v->operation->plan.received = v->received;
	v->operation->plan.begins = v->received + n;
	v->operation->plan.astray = v->received + 2 * n;
	v->received[2 * n + (size_t)me] = 0;
	v->operation->plan.pieces = v->pieces;
	v->operation->plan.allocate = give_result;
	v->operation->plan.allocate_arg = v;
	v->operation->status = RONDE_OK;
	v->operation->algorithm =
		job->algorithm ? job->algorithm : ronde_algorithm_select(&v->operation->plan);
	v->operation->algorithm->start(v->operation);
	v->running = true;
}

/* Compares, and overwrites what now is the rank's own again. */
static void end_job(struct rank *r, struct lane_view *v, int me)
{
	struct job *job = v->of;
	size_t n = (size_t)job->plan.n;
	int want = job->broke == me ? RONDE_ERR_OUT_OF_MEMORY : RONDE_OK;

	job->wrong[me] |= v->operation->status != want;
	job->ended[me] = atomic_load(
		&ronde_lane_cell(&r->world->arena, job->plan.lane, r->local_rank)->left);
	atomic_store(&job->end, job->ended[me]);
	for (size_t p = 0; p < job->plan.npieces; p++) {
		struct buffer *in = &job->inputs[p * n + (size_t)me];
		struct buffer *out = job->in_place ? in : &job->outputs[p * n + (size_t)me];
		struct ronde_share share = share_of(job, p, me);
		bool own = job->plan.kind == RONDE_KIND_ALLTOALL;
		const unsigned char *expected = job->expected[own ? (size_t)me : p].data;
		if (want == RONDE_OK && share.count)
			job->wrong[me] |= memcmp(result_place(job, p, me), expected + share.first,
						 share.count) != 0;
		memset(in->data, 0x5a, in->bytes);
		memset(out->data, 0x5a, out->bytes);
	}
	free(v->operation);
	free(v->pieces);
	free(v->in);
	free(v->out);
	v->running = false;
	v->done = true;
}

static bool all_left(const struct world *w, const struct job *job, uint64_t base)
{
	for (int m = 0; m < job->plan.n; m++) {
		if (atomic_load(
			    &ronde_lane_cell(&w->arena, job->plan.lane, job->members[m])->left) <=
		    base)
			return false;
	}
	return true;
}

/* One step in one lane; true if something happened. */
static bool advance_lane(struct rank *r, int lane)
{
	struct world *w = r->world;
	struct lane_view *v = &r->lanes[lane];
	if (v->job == w->njobs)
		return false;

	struct job *job = &w->jobs[v->job];
	int me = member_of(job, r->local_rank);
	if (me >= 0 && !v->running && !v->done) {
		start_job(r, v, me);
		return true;
	}
	if (v->running) {
		enum ronde_progress p = v->operation->algorithm->step(v->operation);
		if (p == RONDE_PROGRESS_DONE)
			end_job(r, v, me);
		return p != RONDE_PROGRESS_NONE;
	}
	if (!all_left(w, job, v->base))
		return false;
	/* Their cells may be further by now: they go on without the ranks that are no members. */
	while (!(v->base = atomic_load(&job->end)))
		sched_yield();
	v->done = false;
	v->job = next_job(w, lane, v->job + 1);
	return true;
}

static bool advance(struct rank *r)
{
	bool worked = false;
	for (int lane = 0; lane < (int)r->world->arena.shape.lanes; lane++)
		worked |= advance_lane(r, lane);
	return worked;
}

static bool finished(const struct rank *r)
{
	for (uint32_t lane = 0; lane < r->world->arena.shape.lanes; lane++) {
		if (r->lanes[lane].job < r->world->njobs)
			return false;
	}
	return true;
}

static double seconds_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Sleeps until something can have happened, as the engine does. */
static void sleep_until_rung(struct rank *r)
{
	struct world *w = r->world;
	struct ronde_rank_block *block = &w->arena.ranks[r->local_rank];
	uint32_t seen = atomic_load(&block->bell);

	atomic_exchange(&block->parked, r->local_rank ? RONDE_PARKED_ENTRY : RONDE_PARKED_ALL);
	if (!advance(r) && !finished(r)) {
		double before = seconds_now();
		ronde_bell_sleep(&w->arena, r->local_rank, seen, 20.0);
		if (seconds_now() - before > 19.0)
			atomic_store(&w->late, true);
	}
	atomic_store(&block->parked, RONDE_AWAKE);
}

static void rank_begin(struct rank *r, struct world *w, int local_rank, uint64_t seed)
{
	*r = (struct rank){.world = w, .local_rank = local_rank, .seed = seed};
	r->lanes = calloc(w->arena.shape.lanes, sizeof *r->lanes);
	for (uint32_t lane = 0; lane < w->arena.shape.lanes; lane++)
		r->lanes[lane].job = next_job(w, (int)lane, 0);
}

static void *run_rank(void *arg)
{
	struct rank *r = arg;
	struct world *w = r->world;
	while (!finished(r)) {
		if (w->delays && below(&r->seed, w->delays) == 0) {
			if (below(&r->seed, 20) == 0)
				nanosleep(&(struct timespec){0, 200000}, NULL);
			else
				sched_yield();
		}
		if (advance(r))
			continue;
		if (w->sleepy)
			sleep_until_rung(r);
		else
			sched_yield();
	}
	return NULL;
}

/* ---- the world ---- */

static void world_open(struct world *w, int local_size, int lanes, size_t staging)
{
	struct ronde_arena_shape shape = {.local_size = (uint32_t)local_size,
					  .ring_cells = 4,
					  .lanes = (uint32_t)lanes,
					  .staging_bytes = staging};
	size_t bytes = ronde_arena_bytes(&shape);
	memset(w, 0, sizeof *w);
	w->memory = aligned_alloc(4096, (bytes + 4095) & ~(size_t)4095);
	memset(w->memory, 0, bytes);
	ronde_arena_format(w->memory, &shape);
	if (ronde_arena_attach(&w->arena, w->memory) != RONDE_OK)
		abort();
	w->kernels = ronde_kernels_select(NULL);
}

/* Runs the script with the given seed for what differs in time; false: somebody slept too long. */
static bool world_run(struct world *w, uint64_t seed)
{
	int size = (int)w->arena.shape.local_size;
	struct rank ranks[MAX_RANKS];
	for (int i = 0; i < size; i++) {
		rank_begin(&ranks[i], w, i, seed + (uint64_t)i);
		/* Nobody wakes a rank that is no member and not the leader. */
		if (w->sleepy && i && member_of(&w->jobs[0], i) < 0)
			continue;
		pthread_create(&ranks[i].thread, NULL, run_rank, &ranks[i]);
	}
	for (int i = 0; i < size; i++) {
		if (!(w->sleepy && i && member_of(&w->jobs[0], i) < 0))
			pthread_join(ranks[i].thread, NULL);
		free(ranks[i].lanes);
	}
	return !atomic_load(&w->late);
}

static void world_close(struct world *w)
{
	free(w->memory);
}

#endif

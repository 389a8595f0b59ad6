/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop of a rank of span_world.h, and that of a world. In a round every lane has one job, and
 * each rank takes steps in all of them by lot. The next round begins when all are done, as the
 * coordinators' agreement has it. A rank compares its result and overwrites its tensors as soon as
 * it is done.
 */
#ifndef RONDE_TESTS_SPAN_RUN_H
#define RONDE_TESTS_SPAN_RUN_H

#include "tests/span_tensors.h"

static inline void run_round(struct rank *r, struct ronde_fabric *fabric, int round, uint64_t *seed)
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

static inline void *run_rank(void *arg)
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

static inline void world_open(struct world *w, const struct shape *shape, size_t staging,
			      int rounds, uint64_t seed)
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

static inline void run_world(struct world *w, uint64_t delay_ns)
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

static inline void world_close(struct world *w)
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
		free_tensors(w, &w->jobs[j]);
	}
	free(w->jobs);
	for (int k = 0; k < w->shape->nodes; k++)
		free(w->memory[k]);
	pthread_barrier_destroy(&w->between);
	ck_assert_int_eq(wrong, 0);
}

#endif

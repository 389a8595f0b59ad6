/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/context.h"

#include <stdlib.h>
#include <string.h>

#include "collectives/bootstrap/wait.h"
#include "collectives/status.h"
#include "coordinator/cores.h"
#include "coordinator/leader.h"
#include "coordinator/reach.h"
#include "coordinator/stall_afar.h"
#include "coordinator/submit.h"

/*
 * How long a rank that shuts down waits while nothing happens: the leader may be stopped, or a rank
 * that an operation in front of the end needs. And how often it looks whether something has.
 */
#define STOP_SECONDS 5.0
#define STOP_LOOK_SECONDS 0.1

/* A handle's generation starts here, so that handles of an earlier runtime of this process are
 * unknown: in steps of 64 ns, which no runtime starts or uses a handle again within. */
static uint64_t first_generation(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return ((uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec) >> 6 &
	       ((1ull << 43) - 1);
}

struct ronde_node_options ronde_context_node_options(const struct ronde_config *c)
{
	return (struct ronde_node_options){
		.shape = {.ring_cells = (uint32_t)(c->ring_bytes / RONDE_CELL_BYTES),
			  .lanes = (uint32_t)c->lanes,
			  .staging_bytes = (uint64_t)c->staging_bytes & ~(uint64_t)63},
		.no_memfd = c->test_no_memfd,
		.no_pidfd = c->test_no_pidfd,
		.machine = c->topology,
		.placement = c->placement,
		.timeout_seconds = c->init_timeout_seconds};
}

static int open_node(struct ronde_context *ctx)
{
	const struct ronde_config *c = &ctx->config;
	struct ronde_node_options options = ronde_context_node_options(c);
	int status = ronde_node_open(&ctx->node, ctx->bootstrap, ctx->heap, &options);
	if (status)
		return status;
	if (ctx->node->local_size > RONDE_MAX_LOCAL_SIZE)
		return ronde_error(RONDE_ERR_LAUNCHER,
				   "%d ranks on one node; Ronde takes at most %d",
				   ctx->node->local_size, RONDE_MAX_LOCAL_SIZE);
	if (ronde_chunk_limit(ctx->node->arena.shape.staging_bytes, ctx->node->local_size) == 0)
		return ronde_error(
			RONDE_ERR_CONFIGURATION,
			"RONDE_STAGING_BYTES is %lld: too little for the chunks of %d ranks",
			(long long)c->staging_bytes, ctx->node->local_size);
	/* Where tensors of a node's ranks lie, or which of all ranks take no part. */
	size_t least = (size_t)ctx->node->local_size * sizeof(struct ronde_location);
	if (least < (size_t)ctx->node->size * sizeof(uint32_t))
		least = (size_t)ctx->node->size * sizeof(uint32_t);
	least += 1500;
	if (ronde_ring_limit(options.shape.ring_cells) < 2 * least)
		return ronde_error(RONDE_ERR_CONFIGURATION,
				   "RONDE_RING_BYTES is %lld: %d ranks on a node need at least %zu",
				   (long long)c->ring_bytes, ctx->node->local_size, 16 * least);
	return ctx->node->nodes > 1 ? ronde_reach_open(ctx) : RONDE_OK;
}

/* By each node's leader: others know nothing that it does not. */
static void report_places(const struct ronde_context *ctx)
{
	const struct ronde_node *node = ctx->node;
	int one, other;
	if (node->local_rank == 0 && ronde_node_crowded(node, &one, &other))
		ronde_log(
			ctx->log, WARN,
			"ranks %d and %d both have core %d only, while other ranks of their node "
			"have others: they take turns on it. Start them with mpirun --map-by core, "
			"or --bind-to none",
			node->ranks[one], node->ranks[other], node->arena.ranks[one].place.core);
}

static int open_rings(struct ronde_context *ctx)
{
	const struct ronde_arena *arena = &ctx->node->arena;
	struct ronde_submissions *s = &ctx->submissions;
	const int me = ctx->node->local_rank;
	ronde_ring_producer_init(&s->ring, ronde_announce_ring(arena, me), arena->shape.ring_cells);
	ronde_ring_consumer_init(&ctx->schedule.log, ronde_log_ring(arena, me),
				 arena->shape.ring_cells);
	ronde_schedule_init(&ctx->schedule);
	ctx->schedule.stores.mode = (enum ronde_stores_mode)ctx->config.streaming_stores;
	ronde_stall_init(ctx);
	int status = ctx->reach ? ronde_reach_open_relay(ctx) : RONDE_OK;
	if (!status && ctx->reach && ronde_context_leads(ctx))
		status = ronde_stall_afar_open(ctx);
	if (!status && ctx->node->rank == 0)
		status = ronde_leader_create(&ctx->leader, ctx);
	return status;
}

/* Everybody has mapped everything before anybody's first record, or death, means something. */
static int meet(struct ronde_context *ctx)
{
	struct ronde_bootstrap *b = ctx->bootstrap;
	unsigned char mine = 1, *all = malloc((size_t)b->size);
	if (!all)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for %d ranks", b->size);
	int status = b->ops->exchange(b, &mine, all, 1);
	free(all);
	return status;
}

static int start(struct ronde_context *ctx, const struct ronde_config *config)
{
	double cores = 1;
	ctx->kernels = ronde_kernels_select(ctx->config.isa);
	int status = ctx->kernels ? RONDE_OK : RONDE_ERR_CONFIGURATION;
	status = ronde_config_share(ctx->bootstrap, &ctx->config, status, ronde_error_message(),
				    ctx->log);
	if (!status)
		ronde_config_report(&ctx->config, ctx->log);
	if (!status)
		status = open_node(ctx);
	if (!status)
		status = ronde_process_sets_init(&ctx->sets, ctx->node, ctx->node);
	if (!status && !(ctx->gone = calloc((size_t)ctx->node->local_size, 1)))
		status = ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for the node's ranks");
	if (!status)
		status = ronde_cores_per_rank(ctx->bootstrap, ctx->node, &cores);
	if (!status)
		status = ronde_engine_init(&ctx->engine, (int)config->spin, cores);
	if (!status)
		status = ronde_timeline_init(&ctx->timeline);
	if (!status)
		status = open_rings(ctx);
	if (!status)
		status = ronde_watcher_start(&ctx->watcher, ctx->node, ronde_context_lost, ctx);
	if (!status)
		status = meet(ctx);
	if (status)
		return status;
	_Atomic uint32_t *life = &ctx->node->arena.ranks[ctx->node->local_rank].life;
	atomic_store_explicit(life, RONDE_LIFE_RUNNING, memory_order_seq_cst);
	ronde_log(ctx->log, INFO,
		  "Ronde %s: rank %d of %d, local rank %d of %d, started by %s, kernels %s, %.3g "
		  "core(s) "
		  "per rank, %zu bytes of shared memory",
		  ronde_version(), ctx->node->rank, ctx->node->size, ctx->node->local_rank,
		  ctx->node->local_size, ctx->bootstrap->ops->name, ctx->kernels->name, cores,
		  (size_t)ctx->node->arena.header->bytes);
	report_places(ctx);
	if (cores < 1)
		ronde_log_once_per_job(ctx->log, INFO,
				       "%d ranks share %.3g cores: waiting threads yield early",
				       ctx->node->local_size, cores * ctx->node->local_size);
	status = ronde_engine_start(ctx);
	if (status) { /* the others have begun */
		atomic_store_explicit(life, RONDE_LIFE_ABORTED, memory_order_seq_cst);
		ronde_context_give_up(ctx);
	}
	return status;
}

static void release(struct ronde_context *ctx, bool clean)
{
	ronde_engine_join(ctx);
	ronde_timeline_close(ctx);
	ronde_watcher_stop(ctx->watcher);
	ronde_leader_destroy(ctx->leader);
	ronde_stall_afar_close(ctx->stall.afar);
	ronde_schedule_finish(&ctx->schedule);
	ronde_request_pool_finish(&ctx->submissions.pool);
	ronde_directory_finish(&ctx->submissions.directory);
	ronde_process_sets_finish(&ctx->sets);
	ronde_timeline_finish(&ctx->timeline);
	ronde_engine_finish(&ctx->engine);
	if (!ronde_reach_close(ctx->reach)) /* else messages may still come into its memory */
		ronde_node_close(ctx->node);
	if (ctx->bootstrap)
		ctx->bootstrap->ops->close(ctx->bootstrap, clean);
	pthread_mutex_destroy(&ctx->submissions.lock);
	free(ctx->submissions.ended_text);
	free((void *)ctx->gone);
	free(ctx);
}

int ronde_context_create(struct ronde_context **context, struct ronde_bootstrap *bootstrap,
			 const struct ronde_config *config, struct ronde_log *log,
			 struct ronde_heap *heap)
{
	struct ronde_context *ctx = calloc(1, sizeof *ctx);
	if (!ctx) {
		bootstrap->ops->close(bootstrap, false);
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for the runtime");
	}
	ctx->bootstrap = bootstrap;
	ctx->config = *config;
	ctx->log = log;
	ctx->heap = heap;
	pthread_mutex_init(&ctx->submissions.lock, NULL);
	ctx->submissions.backlog_end = &ctx->submissions.backlog;
	ronde_request_pool_init(&ctx->submissions.pool, first_generation());
	ronde_directory_init(&ctx->submissions.directory);
	int status = start(ctx, config);
	if (status) {
		release(ctx, false);
		return status;
	}
	*context = ctx;
	return RONDE_OK;
}

/* An operation in flight may take as long as it wants, if only it gets on. */
static bool wait_for_end(struct ronde_context *ctx)
{
	uint64_t seen = 0;
	double since = ronde_seconds();
	do {
		if (ronde_engine_wait_flag(ctx, &ctx->schedule.ended, STOP_LOOK_SECONDS))
			return true;
		uint64_t now = atomic_load_explicit(&ctx->schedule.progress, memory_order_relaxed);
		if (now != seen)
			since = ronde_seconds();
		seen = now;
	} while (ronde_seconds() - since < STOP_SECONDS);
	return false;
}

void ronde_context_stop(struct ronde_context *ctx)
{
	if (ctx->stopped)
		return;
	ctx->stopped = true;
	ronde_submit_shutdown(ctx);
	if (wait_for_end(ctx))
		return;
	ronde_log(ctx->log, WARN,
		  "rank %d leaves without the leader (rank %d), which has not answered for %g s: "
		  "is it stopped?",
		  ctx->node->rank, 0, STOP_SECONDS);
	/* From here on it is a loss like any other: this rank lets go, and so do the others. */
	ronde_context_give_up(ctx);
	ronde_engine_wait_flag(ctx, &ctx->schedule.ended, STOP_SECONDS);
}

bool ronde_context_ended(struct ronde_context *ctx)
{
	return atomic_load_explicit(&ctx->submissions.ended, memory_order_acquire) != RONDE_OK;
}

void ronde_context_destroy(struct ronde_context *ctx)
{
	if (!ctx)
		return;
	ronde_context_stop(ctx);
	bool clean = ctx->submissions.ended == RONDE_ERR_SHUTDOWN;
	release(ctx, clean);
}

void ronde_context_give_up(struct ronde_context *ctx)
{
	const struct ronde_node *node = ctx->node;
	uint32_t nobody = 0;
	atomic_compare_exchange_strong(&node->arena.header->lost, &nobody,
				       (uint32_t)node->rank + 1);
	for (int i = 0; i < node->local_size; i++)
		ronde_bell_ring(&node->arena, i);
}

void ronde_context_leave(struct ronde_context *ctx)
{
	uint32_t running = RONDE_LIFE_RUNNING;
	atomic_compare_exchange_strong(&ctx->node->arena.ranks[ctx->node->local_rank].life,
				       &running, RONDE_LIFE_EXITING);
	ronde_context_give_up(ctx);
	ronde_timeline_close(ctx);
}

void ronde_context_lost(int rank, void *context)
{
	struct ronde_context *ctx = context;
	struct ronde_node *node = ctx->node;
	uint32_t nobody = 0;
	atomic_compare_exchange_strong(&node->arena.header->lost, &nobody, (uint32_t)rank + 1);
	if (rank >= 0 && rank < node->size && node->node_of_rank[rank] == node->node)
		atomic_store(&ctx->gone[node->local_of_rank[rank]], 1);
	ronde_bell_ring(&node->arena, node->local_rank);
}

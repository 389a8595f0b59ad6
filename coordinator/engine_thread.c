/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator thread: runs turns while the application computes. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "collectives/status.h"
#include "collectives/thread.h"
#include "coordinator/affinity.h"
#include "coordinator/engine_private.h"
#include "coordinator/reach.h"
#include "coordinator/stall.h"

/*
 * How often the coordinator thread looks. The application may compute on the same core, so it never
 * yields, for that gives a whole time slice away, but soon sleeps: a thread that slept is run at
 * once when woken.
 */
#define THREAD_LOOKS 200
/* The time slice it asks for, in nanoseconds: the shortest there is. See ask_for_short_slices(). */
#define THREAD_SLICE 100000

/*
 * Runs turns while there is something to do or an operation is about to get on. Leaves it to a
 * thread of the application that waits, and makes the calls that are due in between.
 */
static void run(struct ronde_context *ctx)
{
	struct ronde_engine *e = &ctx->engine;
	int looks = 0;
	ronde_engine_begin(ctx);
	do {
		for (;;) {
			if (ronde_engine_turn(ctx))
				looks = 0;
			else if (!ctx->schedule.first || ++looks > THREAD_LOOKS)
				break;
			else
				ronde_engine_pause();
			if (atomic_load_explicit(&e->waiters, memory_order_relaxed) ||
			    atomic_load_explicit(&e->due, memory_order_relaxed))
				break;
		}
	} while (!ronde_engine_stop(ctx));
}

/* False: a helper has the lock, and rings when it drops it. */
static bool take_lock(struct ronde_engine *e)
{
	bool taken = pthread_mutex_trylock(&e->lock) == 0;
	if (!taken) {
		atomic_store_explicit(&e->wanted, 1, memory_order_seq_cst);
		taken = pthread_mutex_trylock(&e->lock) == 0;
	}
	if (taken)
		atomic_store_explicit(&e->wanted, 0, memory_order_relaxed);
	return taken;
}

/*
 * A thread with short slices is due sooner when it is woken (Linux 6.12 and later: EEVDF takes
 * sched_runtime of a normal thread for its slice). It gets no larger share of the core. Elsewhere
 * nothing happens.
 */
static void ask_for_short_slices(void)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attributes = {.size = sizeof attributes};
	if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) ||
	    attributes.policy != SCHED_OTHER)
		return;
	attributes.runtime = THREAD_SLICE;
	syscall(SYS_sched_setattr, 0, &attributes, 0);
}

static void ring_for_lines(void *arg)
{
	ronde_engine_due(arg);
}

/* It never waits for the lock: the application's functions are called also while a helper has it.
 */
static void *coordinator_thread(void *arg)
{
	struct ronde_context *ctx = arg;
	struct ronde_engine *e = &ctx->engine;
	struct ronde_rank_block *me = ronde_engine_block(ctx);
	ask_for_short_slices();
	while (!atomic_load_explicit(&e->stop, memory_order_acquire)) {
		uint32_t seen = atomic_load_explicit(&me->bell, memory_order_acquire);
		/* Whoever has the lock rings when it drops it; other nodes cannot. */
		double limit = ctx->reach ? RONDE_REACH_LONGEST : -1;
		if (take_lock(e)) {
			run(ctx);
			ronde_stall_tick(ctx);
			limit = ronde_engine_shorter(ronde_engine_sleep_limit(ctx),
						     ronde_stall_rest(ctx));
			limit = ronde_engine_shorter(limit, ronde_reach_rest(ctx));
			ronde_engine_hand_over(ctx, false);
		}
		ronde_engine_make_calls(ctx);
		if (atomic_load_explicit(&e->stop, memory_order_acquire))
			break;
		atomic_fetch_add_explicit(&ctx->counters.sleeps, 1, memory_order_relaxed);
		ronde_bell_sleep(&ctx->node->arena, ctx->node->local_rank, seen, limit);
	}
	ronde_engine_make_calls(ctx);
	return NULL;
}

int ronde_engine_start(struct ronde_context *ctx)
{
	struct ronde_engine *e = &ctx->engine;
	int error = ronde_thread_create(&e->thread, "ronde", coordinator_thread, ctx);
	if (error)
		return ronde_error(RONDE_ERR_SYSTEM, "cannot start the coordinator thread: %s",
				   strerror(error));
	e->started = true;
	if (!*ctx->config.thread_affinity)
		ronde_affinity_near(
			e->thread, &ctx->node->arena.ranks[ctx->node->local_rank].domain, ctx->log);
	ronde_affinity_bind(e->thread, ctx->config.thread_affinity, ctx->node->local_rank,
			    ctx->log);
	ronde_log_set_ring(ctx->log, ring_for_lines, ctx);
	return RONDE_OK;
}

void ronde_engine_join(struct ronde_context *ctx)
{
	struct ronde_engine *e = &ctx->engine;
	if (!e->started)
		return;
	ronde_log_set_ring(ctx->log, NULL, NULL);
	atomic_store_explicit(&e->stop, true, memory_order_seq_cst);
	ronde_bell_ring(&ctx->node->arena, ctx->node->local_rank);
	pthread_join(e->thread, NULL);
	e->started = false;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/engine.h"

#include <linux/futex.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "collectives/bootstrap/wait.h"
#include "collectives/status.h"
#include "coordinator/context.h"
#include "coordinator/engine_private.h"
#include "coordinator/floating.h"
#include "coordinator/leader.h"
#include "coordinator/reach.h"
#include "coordinator/stall.h"
#include "coordinator/submit.h"

/*
 * How long a thread that waits for its own operation looks before it sleeps. A sleep and its
 * wake-up cost about 45 µs.
 */
#define HELPER_SECONDS 100e-6
/* Where other nodes are waited for, whose messages wake nobody. It yields meanwhile. */
#define HELPER_SECONDS_AFAR 5e-3
/* Looks between two yields: with a core for every rank, and without. */
#define SPINS_ALONE 1000
#define SPINS_SHARED 20
/* The longest sleep while a deadline or a delay is running. */
#define SHORT_SLEEP 0.001

/* ---- one turn ---- */

bool ronde_engine_turn(struct ronde_context *ctx)
{
	bool some = false;
	ronde_count(&ctx->counters.turns, 1);
	if (atomic_load_explicit(&ctx->engine.backlogged, memory_order_seq_cst))
		some |= ronde_submit_flush(ctx);
	if (ctx->reach)
		some |= ronde_reach_turn(ctx);
	if (ctx->leader)
		some |= ronde_leader_turn(ctx->leader);
	bool progress = ronde_schedule_consume(ctx);
	progress |= ronde_schedule_step(ctx);
	if (progress)
		atomic_fetch_add_explicit(&ctx->schedule.progress, 1, memory_order_relaxed);
	some |= progress;
	some |= ronde_schedule_look(ctx);
	some |= ronde_stall_turn(ctx);
	return some;
}

/* ---- parking ---- */

/* Which events this rank has to be woken for while nobody polls. */
static enum ronde_parked level(const struct ronde_context *ctx)
{
	enum ronde_schedule_state state = ctx->schedule.state;
	if (ctx->reach && ronde_context_leads(ctx)) /* what its ranks say is for others too */
		return RONDE_PARKED_ALL;
	if (atomic_load_explicit(&ctx->submissions.in_flight, memory_order_seq_cst) == 0 &&
	    (state == RONDE_SCHEDULE_RUNNING || state == RONDE_SCHEDULE_ENDED))
		return ctx->leader && ctx->leader->others ? RONDE_PARKED_OTHERS : RONDE_AWAKE;
	return ronde_context_leads(ctx) ? RONDE_PARKED_ALL : RONDE_PARKED_ENTRY;
}

/* Longest sleep allowed now: for ever, unless a deadline is running. */
double ronde_engine_sleep_limit(const struct ronde_context *ctx)
{
	if (ctx->schedule.state == RONDE_SCHEDULE_ABORTING)
		return SHORT_SLEEP;
	if (ctx->leader && ctx->leader->waiting && ctx->config.batch_delay_us)
		return SHORT_SLEEP;
	return -1;
}

void ronde_engine_begin(struct ronde_context *ctx)
{
	struct ronde_engine *e = &ctx->engine;
	e->saved_mode = ronde_floating_enter();
	atomic_store_explicit(&e->running, 1, memory_order_seq_cst);
	atomic_store_explicit(&e->kicked, 0, memory_order_relaxed);
	if (atomic_load_explicit(&ronde_engine_block(ctx)->parked, memory_order_relaxed))
		atomic_store_explicit(&ronde_engine_block(ctx)->parked, RONDE_AWAKE,
				      memory_order_relaxed);
}

/*
 * The holder of the lock stops polling. What happened before `parked` was set nobody rings for, so
 * it looks once more. False: there was something, go on.
 */
bool ronde_engine_stop(struct ronde_context *ctx)
{
	struct ronde_engine *e = &ctx->engine;
	atomic_store_explicit(&e->running, 0, memory_order_seq_cst);
	enum ronde_parked want = level(ctx);
	if (want != RONDE_AWAKE) {
		atomic_exchange_explicit(&ronde_engine_block(ctx)->parked, want,
					 memory_order_seq_cst);
		if (ronde_engine_turn(ctx)) {
			atomic_store_explicit(&ronde_engine_block(ctx)->parked, RONDE_AWAKE,
					      memory_order_relaxed);
			atomic_store_explicit(&e->running, 1, memory_order_seq_cst);
			return false;
		}
	}
	ronde_floating_leave(e->saved_mode);
	return true;
}

/* Whether what a thread waits for is there. */
typedef bool (*done_fn)(const void *what);

/*
 * Sleeps with the lock held: nobody else could do more. Woken like a parked rank. What it waits for
 * may be done without a turn of this thread, by the coordinator thread when a function of the
 * application returns: so it looks once more after it has read the bell that rings then.
 */
static void sleep_running(struct ronde_context *ctx, done_fn done, const void *what,
			  bool until_deadline)
{
	struct ronde_rank_block *me = ronde_engine_block(ctx);
	uint32_t seen = atomic_load_explicit(&me->bell, memory_order_acquire);
	atomic_exchange_explicit(&me->parked,
				 ronde_context_leads(ctx) ? RONDE_PARKED_ALL : RONDE_PARKED_ENTRY,
				 memory_order_seq_cst);
	if (!ronde_engine_turn(ctx) && !done(what)) {
		ronde_stall_tick(ctx);
		double limit = until_deadline ? SHORT_SLEEP : ronde_engine_sleep_limit(ctx);
		limit = ronde_engine_shorter(limit, ronde_reach_rest(ctx));
		atomic_fetch_add_explicit(&ctx->counters.sleeps, 1, memory_order_relaxed);
		ronde_bell_sleep(&ctx->node->arena, ctx->node->local_rank, seen,
				 ronde_engine_shorter(limit, ronde_stall_limit(ctx)));
	}
	atomic_store_explicit(&me->parked, RONDE_AWAKE, memory_order_relaxed);
}

/* ---- waiting inside the process ---- */

static void futex_wait(_Atomic uint32_t *word, uint32_t seen, bool until_deadline)
{
	struct timespec limit = {.tv_nsec = (long)(SHORT_SLEEP * 1e9)};
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, until_deadline ? &limit : NULL, NULL, 0);
}

static void futex_wake_all(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

void ronde_engine_completed(struct ronde_context *ctx)
{
	struct ronde_engine *e = &ctx->engine;
	if (atomic_load_explicit(&e->waiters, memory_order_seq_cst) == 0)
		return;
	atomic_fetch_add_explicit(&e->turnstile, 1, memory_order_seq_cst);
	futex_wake_all(&e->turnstile);
}

/*
 * Drops the lock. If operations are left, a thread that waits goes on, or else the coordinator
 * thread; a deadline, and what it wanted the lock for, are the coordinator thread's in any case.
 */
void ronde_engine_hand_over(struct ronde_context *ctx, bool helper)
{
	struct ronde_engine *e = &ctx->engine;
	bool left = ctx->schedule.first || ronde_reach_is_busy(ctx),
	     deadline = ronde_engine_sleep_limit(ctx) >= 0;
	pthread_mutex_unlock(&e->lock);
	bool waiters = atomic_load_explicit(&e->waiters, memory_order_seq_cst);
	if (waiters)
		ronde_engine_completed(ctx);
	if (helper && (deadline || (left && !waiters) ||
		       atomic_load_explicit(&e->wanted, memory_order_seq_cst)))
		ronde_bell_ring(&ctx->node->arena, ctx->node->local_rank);
}

/* Looks that came to nothing since the last that did. */
struct patience {
	int spins; /* looks between two yields */
	int looks;
	double since;
};

/* Passes a little time; false once it has lasted `seconds`. */
static bool be_patient(struct patience *p, double seconds)
{
	if (++p->looks % p->spins) {
		ronde_engine_pause();
		return true;
	}
	double now = ronde_seconds();
	if (p->looks == p->spins)
		p->since = now;
	sched_yield();
	return now - p->since < seconds;
}

static void help(struct ronde_context *ctx, done_fn done, const void *what, double deadline)
{
	struct patience patience = {.spins = ctx->engine.spins};
	const double seconds = ctx->reach ? HELPER_SECONDS_AFAR : HELPER_SECONDS;
	ronde_engine_begin(ctx);
	do {
		while (!done(what)) {
			if (ronde_engine_turn(ctx)) {
				patience.looks = 0;
			} else if (!be_patient(&patience, seconds)) {
				if (deadline > 0 && ronde_seconds() > deadline)
					break;
				sleep_running(ctx, done, what, deadline > 0);
				/* Whom nobody rings for looks once between two sleeps. */
				patience.looks = ctx->reach ? patience.looks - 1 : 0;
			}
		}
	} while (!ronde_engine_stop(ctx));
	ronde_engine_hand_over(ctx, true);
}

static void wait_until(struct ronde_context *ctx, done_fn done, const void *what, double deadline)
{
	struct ronde_engine *e = &ctx->engine;
	while (!done(what) && !(deadline > 0 && ronde_seconds() > deadline)) {
		if (pthread_mutex_trylock(&e->lock) == 0) {
			help(ctx, done, what, deadline);
			continue;
		}
		atomic_fetch_add_explicit(&e->waiters, 1, memory_order_seq_cst);
		uint32_t seen = atomic_load_explicit(&e->turnstile, memory_order_seq_cst);
		if (done(what)) {
			atomic_fetch_sub_explicit(&e->waiters, 1, memory_order_seq_cst);
		} else if (pthread_mutex_trylock(&e->lock) == 0) {
			atomic_fetch_sub_explicit(&e->waiters, 1, memory_order_seq_cst);
			help(ctx, done, what, deadline);
		} else {
			futex_wait(&e->turnstile, seen, deadline > 0);
			atomic_fetch_sub_explicit(&e->waiters, 1, memory_order_seq_cst);
		}
	}
}

static bool request_done(const void *what)
{
	return ronde_request_is_done(what);
}

void ronde_engine_wait(struct ronde_context *ctx, struct ronde_request *request)
{
	wait_until(ctx, request_done, request, 0);
}

static bool flag_set(const void *what)
{
	return atomic_load_explicit((const _Atomic bool *)what, memory_order_acquire);
}

bool ronde_engine_wait_flag(struct ronde_context *ctx, _Atomic bool *flag, double seconds)
{
	wait_until(ctx, flag_set, flag, ronde_seconds() + seconds);
	return atomic_load(flag);
}

/* ---- being told ---- */

void ronde_engine_expect(struct ronde_context *ctx, bool will_wait)
{
	uint32_t before =
		atomic_fetch_add_explicit(&ctx->submissions.in_flight, 1, memory_order_seq_cst);
	ronde_stall_wake(ctx);
	if (before || will_wait || atomic_load_explicit(&ctx->engine.running, memory_order_seq_cst))
		return;
	/* Nobody of this rank polls: from now on its answer has to wake it. */
	atomic_exchange_explicit(&ronde_engine_block(ctx)->parked,
				 ronde_context_leads(ctx) ? RONDE_PARKED_ALL : RONDE_PARKED_ENTRY,
				 memory_order_seq_cst);
}

void ronde_engine_poke(struct ronde_context *ctx)
{
	struct ronde_engine *e = &ctx->engine;
	if (atomic_load_explicit(&e->running, memory_order_seq_cst)) {
		ronde_engine_poke_helper(ctx);
		return;
	}
	if (!atomic_exchange_explicit(&e->kicked, 1, memory_order_seq_cst))
		ronde_bell_ring(&ctx->node->arena, ctx->node->local_rank);
}

void ronde_engine_poke_helper(struct ronde_context *ctx)
{
	if (atomic_load_explicit(&ctx->engine.running, memory_order_seq_cst))
		ronde_bell_touch(&ctx->node->arena, ctx->node->local_rank, RONDE_PARKED_ENTRY);
}

/* ---- made and ended ---- */

int ronde_engine_init(struct ronde_engine *e, int spins, double cores_per_rank)
{
	*e = (struct ronde_engine){.calls_end = &e->calls};
	e->spins = spins > 0 ? spins : cores_per_rank < 1 ? SPINS_SHARED : SPINS_ALONE;
	if (spins == 0)
		e->spins = 1;
	if (pthread_mutex_init(&e->lock, NULL))
		return ronde_error(RONDE_ERR_SYSTEM, "cannot make a lock");
	return RONDE_OK;
}

void ronde_engine_finish(struct ronde_engine *e)
{
	if (e->calls_end)
		pthread_mutex_destroy(&e->lock);
}

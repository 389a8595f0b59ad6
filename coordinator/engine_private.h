/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine's two files share: engine.c, for threads that wait, and engine_thread.c. */
#ifndef RONDE_ENGINE_PRIVATE_H
#define RONDE_ENGINE_PRIVATE_H

#include "coordinator/context.h"

/* Everything once. True if something got on. Under the engine lock. */
bool ronde_engine_turn(struct ronde_context *ctx);
/* The holder of the lock begins to poll, and … */
void ronde_engine_begin(struct ronde_context *ctx);
/* … stops. False: there was something, go on. */
bool ronde_engine_stop(struct ronde_context *ctx);
/* Longest sleep allowed now, in seconds; < 0: for ever. */
double ronde_engine_sleep_limit(const struct ronde_context *ctx);
/* Drops the lock, and sees to it that what is left goes on. helper: a thread of the application. */
void ronde_engine_hand_over(struct ronde_context *ctx, bool helper);

/* The shorter of two sleeps, of which < 0 is for ever. */
static inline double ronde_engine_shorter(double a, double b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

static inline struct ronde_rank_block *ronde_engine_block(struct ronde_context *ctx)
{
	return &ctx->node->arena.ranks[ctx->node->local_rank];
}

static inline void ronde_engine_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

#endif

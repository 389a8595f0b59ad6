/* SPDX-License-Identifier: Apache-2.0 */
/* The stall inspector on the leader: when it asks the ranks, and what it does with the answers. */
#include <stdio.h>

#include "coordinator/context.h"
#include "coordinator/leader.h"
#include "coordinator/stall.h"
#include "coordinator/stall_afar.h"

/* How long it waits for answers, in nanoseconds: a rank that computes answers in much less. */
#define ANSWER_TIME 200000000u

static uint64_t board_oldest(const struct ronde_context *ctx, int local)
{
	return atomic_load_explicit(&ctx->node->arena.boards[local].oldest, memory_order_relaxed);
}

/* A rank of this node as the leader numbers it. */
static int number_of(const struct ronde_context *ctx, int local)
{
	return ctx->leader->home ? ctx->node->ranks[local] : local;
}

bool ronde_stall_answered(const struct ronde_context *ctx, int rank)
{
	const struct ronde_arena *arena = &ctx->node->arena;
	int local = ronde_leader_home(ctx->leader, rank);
	uint64_t inquiry = atomic_load_explicit(&arena->header->inquiry, memory_order_relaxed);
	if (local < 0)
		return ronde_stall_afar_board(ctx, rank, inquiry) != NULL;
	return atomic_load_explicit(&arena->boards[local].answered, memory_order_acquire) ==
	       inquiry;
}

const struct ronde_board *ronde_stall_board_of(const struct ronde_context *ctx, int rank)
{
	const struct ronde_arena *arena = &ctx->node->arena;
	int local = ronde_leader_home(ctx->leader, rank);
	if (local >= 0)
		return &arena->boards[local];
	return ronde_stall_afar_board(
		ctx, rank, atomic_load_explicit(&arena->header->inquiry, memory_order_relaxed));
}

bool ronde_stall_heard(const struct ronde_context *ctx, int rank)
{
	const struct ronde_follower *f = &ctx->leader->followers[rank];
	return ronde_stall_answered(ctx, rank) && !f->owing &&
	       f->heard >= ronde_stall_board_of(ctx, rank)->said;
}

/* True if a rank waits longer than is to be told now. */
static bool is_due(const struct ronde_context *ctx, uint64_t now)
{
	const struct ronde_stall *s = &ctx->stall;
	const struct ronde_arena *arena = &ctx->node->arena;
	uint64_t told = atomic_load_explicit(&arena->header->told_at, memory_order_relaxed);
	bool period = !told || ronde_stall_age(now, told) >= s->warn;
	uint64_t afar = ronde_stall_afar_oldest(ctx, now);
	if (afar >= s->shutdown || (period && afar >= s->warn))
		return true;
	for (int i = 0; i < ctx->node->local_size; i++) {
		uint64_t oldest = board_oldest(ctx, i);
		uint64_t untold =
			atomic_load_explicit(&arena->boards[i].untold, memory_order_relaxed);
		if (!oldest)
			continue;
		uint64_t age = ronde_stall_age(now, oldest);
		if (age >= s->shutdown || (period && age >= s->warn))
			return true;
		/* The board of a rank that does not answer says what was, again and again. */
		if (untold && ronde_stall_age(now, untold) >= s->warn &&
		    ronde_stall_answered(ctx, number_of(ctx, i)))
			return true;
	}
	return false;
}

static void ask(struct ronde_context *ctx, uint64_t now)
{
	const struct ronde_node *node = ctx->node;
	ctx->stall.asking = true;
	ctx->stall.asked_at = now;
	uint64_t inquiry = 1 + atomic_fetch_add_explicit(&node->arena.header->inquiry, 1,
							 memory_order_seq_cst);
	ronde_stall_afar_ask(ctx, inquiry);
	for (int i = 0; i < node->local_size; i++)
		ronde_bell_ring(&node->arena, i);
}

static bool all_are_heard(const struct ronde_context *ctx)
{
	const struct ronde_leader *l = ctx->leader;
	uint64_t inquiry =
		atomic_load_explicit(&ctx->node->arena.header->inquiry, memory_order_relaxed);
	for (int i = 0; i < l->view->size; i++)
		if (!ronde_stall_heard(ctx, i) && !ronde_stall_afar_silence(ctx, i, inquiry))
			return false;
	return true;
}

/* The first report of a stall, or one in which something has changed, is told in full. */
static void tell(struct ronde_context *ctx, uint64_t now, const struct ronde_stall_report *report)
{
	struct ronde_stall *s = &ctx->stall;
	char text[RONDE_BOARD_TEXT];
	double age = ronde_stall_seconds(ronde_stall_age(now, report->since));
	bool same = report->digest == s->digest;
	s->digest = report->digest;
	atomic_store_explicit(&ctx->node->arena.header->told_at, now, memory_order_relaxed);
	snprintf(text, sizeof text, "operations wait for other ranks, the first for %.1f s:\n%s",
		 age, report->text);
	ronde_stall_publish(ctx, text);
	if (!same)
		ronde_log(ctx->log, WARN, "%s", text);
	else
		ronde_log(ctx->log, WARN,
			  "operations wait for other ranks, the first for %.1f s; nothing has "
			  "changed since the last report",
			  age);
}

static void judge(struct ronde_context *ctx, uint64_t now)
{
	struct ronde_stall *s = &ctx->stall;
	struct ronde_stall_report report;
	ronde_stall_report_write(ctx, now, &report);
	uint64_t age = report.since ? ronde_stall_age(now, report.since) : 0;
	if (age >= s->shutdown) {
		char text[RONDE_BOARD_TEXT];
		snprintf(text, sizeof text,
			 "operations wait for other ranks, the first for %.1f s:\n%s",
			 ronde_stall_seconds(age), report.text);
		ronde_stall_end(ctx, text);
	} else if (age >= s->warn) {
		tell(ctx, now, &report);
	}
}

/* What was reported goes on, or has ended. */
static void look_whether_over(struct ronde_context *ctx, uint64_t now)
{
	struct ronde_stall *s = &ctx->stall;
	if (ronde_stall_afar_oldest(ctx, now) >= s->warn)
		return;
	for (int i = 0; i < ctx->node->local_size; i++) {
		uint64_t oldest = board_oldest(ctx, i);
		if (oldest && ronde_stall_age(now, oldest) >= s->warn)
			return;
	}
	s->digest = 0;
	ronde_log(ctx->log, WARN, "no operation waits for other ranks any more");
}

void ronde_stall_lead(struct ronde_context *ctx, uint64_t now)
{
	struct ronde_stall *s = &ctx->stall;
	atomic_store_explicit(&ctx->node->arena.header->leader_looked, now, memory_order_relaxed);
	if (s->asking) {
		if (!all_are_heard(ctx) && now - s->asked_at < ANSWER_TIME)
			return;
		s->asking = false;
		judge(ctx, now);
	} else if (now - s->asked_at >= 2 * s->interval && is_due(ctx, now)) {
		ask(ctx, now);
	} else if (s->digest) {
		look_whether_over(ctx, now);
	}
}

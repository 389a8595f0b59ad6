/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/stall_afar.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/bootstrap/wait.h"
#include "collectives/status.h"
#include "coordinator/context.h"
#include "coordinator/reach.h"
#include "coordinator/relay.h"

/* How long a node waits for its ranks' answers before it says that one is silent: less than the
 * job's leader waits for all of them. */
#define ANSWER_TIME 100000000u
/* What was said about waiting holds for so many intervals. */
#define HOLDS 5
/* Of a board's bytes: all but the report. */
#define BOARD_BYTES offsetof(struct ronde_board, version)

/* What node 0 knows of a rank of another one. */
struct answer {
	uint64_t inquiry; /* the last that it, or its node, has answered */
	bool silent;
	char why[300];
	struct ronde_board board;
};

struct ronde_stall_afar {
	struct ronde_relay *relay;
	/* Node 0: */
	struct answer **answers; /* [ranks] NULL: none yet */
	int size;
	uint64_t oldest, heard; /* an age, and when it was said */
	/* The others: the inquiry, as node 0 counts them, and whose answers are on their way. */
	uint64_t inquiry, asked;
	bool *told; /* [local_size] */
	int left;   /* ranks that have not answered */
};

static uint64_t now_ns(void)
{
	return (uint64_t)(ronde_seconds() * 1e9);
}

int ronde_stall_afar_open(struct ronde_context *ctx)
{
	struct ronde_stall_afar *a = calloc(1, sizeof *a);
	ctx->stall.afar = a;
	if (a) {
		a->relay = ronde_reach_relay(ctx->reach);
		a->size = ctx->node->size;
		a->answers = calloc((size_t)a->size, sizeof(struct answer *));
		a->told = calloc((size_t)ctx->node->local_size, sizeof *a->told);
	}
	if (!a || !a->answers || !a->told)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory to look for stalls");
	ronde_relay_set_stalls(a->relay, ronde_stall_afar_take, ctx);
	return RONDE_OK;
}

void ronde_stall_afar_close(struct ronde_stall_afar *a)
{
	if (!a)
		return;
	for (int r = 0; a->answers && r < a->size; r++)
		free(a->answers[r]);
	free(a->answers);
	free(a->told);
	free(a);
}

/* ---- other nodes ---- */

/* Of a board: what is a time becomes an age, and back. */
static void turn_times(struct ronde_board *board, uint64_t now)
{
	board->quiet_since = ronde_stall_age(now, board->quiet_since);
	for (uint32_t k = 0; k < board->nwaits; k++)
		board->waits[k].since = ronde_stall_age(now, board->waits[k].since);
}

static void put_up(struct ronde_context *ctx, uint32_t type, int rank, uint64_t base,
		   const void *body, size_t bytes)
{
	const struct ronde_parcel head = {
		.type = type, .ranks = 1, .bytes = (uint32_t)bytes, .lane = -1, .base = base};
	uint32_t who = (uint32_t)rank;
	/* If there is no memory for it there is one report less. */
	(void)ronde_relay_put_up(ctx->stall.afar->relay, &head, &who, body);
}

static bool has_answered(const struct ronde_context *ctx, int local)
{
	const struct ronde_arena *arena = &ctx->node->arena;
	uint64_t inquiry = atomic_load_explicit(&arena->header->inquiry, memory_order_relaxed);
	return atomic_load_explicit(&arena->boards[local].answered, memory_order_acquire) ==
	       inquiry;
}

static void tell_answer(struct ronde_context *ctx, int local, uint64_t now)
{
	const struct ronde_node *node = ctx->node;
	struct ronde_stall_afar *a = ctx->stall.afar;
	if (has_answered(ctx, local)) {
		struct ronde_board board;
		memcpy(&board, &node->arena.boards[local], BOARD_BYTES);
		turn_times(&board, now);
		put_up(ctx, RONDE_PARCEL_BOARD, node->ranks[local], a->inquiry, &board,
		       BOARD_BYTES);
	} else if (now - a->asked >= ANSWER_TIME) {
		char why[300];
		ronde_stall_process_text(ctx, local, why, sizeof why);
		put_up(ctx, RONDE_PARCEL_SILENT, node->ranks[local], a->inquiry, why,
		       strlen(why) + 1);
	} else {
		return;
	}
	a->told[local] = true;
	a->left--;
}

/* The longest wait of a rank of this node. */
static uint64_t oldest_here(const struct ronde_context *ctx, uint64_t now)
{
	uint64_t oldest = 0;
	for (int i = 0; i < ctx->node->local_size; i++) {
		uint64_t since = atomic_load_explicit(&ctx->node->arena.boards[i].oldest,
						      memory_order_relaxed);
		uint64_t age = since ? ronde_stall_age(now, since) : 0;
		oldest = age > oldest ? age : oldest;
	}
	return oldest;
}

void ronde_stall_afar_tick(struct ronde_context *ctx, uint64_t now, bool due)
{
	struct ronde_stall *s = &ctx->stall;
	struct ronde_stall_afar *a = s->afar;
	atomic_store_explicit(&ctx->node->arena.header->leader_looked, now, memory_order_relaxed);
	for (int i = 0; a->left && i < ctx->node->local_size; i++)
		if (!a->told[i])
			tell_answer(ctx, i, now);
	uint64_t oldest = due ? oldest_here(ctx, now) : 0;
	if (oldest >= (s->warn < s->shutdown ? s->warn : s->shutdown))
		put_up(ctx, RONDE_PARCEL_WAITS, ctx->node->rank, oldest, NULL, 0);
}

static void be_asked(struct ronde_context *ctx, uint64_t inquiry)
{
	struct ronde_stall_afar *a = ctx->stall.afar;
	const struct ronde_node *node = ctx->node;
	a->inquiry = inquiry;
	a->asked = now_ns();
	a->left = node->local_size;
	memset(a->told, 0, (size_t)node->local_size * sizeof *a->told);
	atomic_fetch_add_explicit(&node->arena.header->inquiry, 1, memory_order_seq_cst);
	for (int i = 0; i < node->local_size; i++)
		ronde_bell_ring(&node->arena, i);
}

/* ---- node 0 ---- */

static struct answer *answer_of(struct ronde_stall_afar *a, int rank)
{
	if (!a->answers[rank])
		a->answers[rank] = calloc(1, sizeof *a->answers[rank]);
	return a->answers[rank];
}

static bool is_text(const char *text, size_t bytes)
{
	return bytes && text[bytes - 1] == 0;
}

static int keep_board(struct ronde_stall_afar *a, int rank, uint64_t inquiry, const void *body,
		      size_t bytes)
{
	struct answer *answer = answer_of(a, rank);
	if (!answer)
		return RONDE_OK; /* as if it had not come */
	if (bytes != BOARD_BYTES)
		return RONDE_ERR_INTERNAL;
	memcpy(&answer->board, body, bytes);
	if (answer->board.nwaits > RONDE_BOARD_WAITS ||
	    answer->board.blocked > answer->board.nwaits)
		return RONDE_ERR_INTERNAL;
	turn_times(&answer->board, now_ns());
	answer->silent = false;
	answer->inquiry = inquiry;
	return RONDE_OK;
}

static int keep_silence(struct ronde_stall_afar *a, int rank, uint64_t inquiry, const char *why,
			size_t bytes)
{
	struct answer *answer = answer_of(a, rank);
	if (!answer)
		return RONDE_OK;
	if (!is_text(why, bytes) || bytes > sizeof answer->why)
		return RONDE_ERR_INTERNAL;
	memcpy(answer->why, why, bytes);
	answer->silent = true;
	answer->inquiry = inquiry;
	return RONDE_OK;
}

int ronde_stall_afar_take(void *context, const struct ronde_parcel *head, const uint32_t *ranks,
			  const void *body)
{
	struct ronde_context *ctx = context;
	struct ronde_stall_afar *a = ctx->stall.afar;
	int rank = head->ranks ? (int)ranks[0] : 0;
	switch (head->type) {
	case RONDE_PARCEL_ASK:
		be_asked(ctx, head->base);
		return RONDE_OK;
	case RONDE_PARCEL_ENDED:
		if (!is_text(body, head->bytes))
			return RONDE_ERR_INTERNAL;
		ronde_stall_end_here(ctx, body);
		return RONDE_OK;
	case RONDE_PARCEL_BOARD:
		return keep_board(a, rank, head->base, body, head->bytes);
	case RONDE_PARCEL_SILENT:
		return keep_silence(a, rank, head->base, body, head->bytes);
	case RONDE_PARCEL_WAITS:
		if (head->base > a->oldest || !ronde_stall_afar_oldest(ctx, now_ns()))
			a->oldest = head->base;
		a->heard = now_ns();
		ronde_bell_ring(&ctx->node->arena, ctx->node->local_rank);
		return RONDE_OK;
	default:
		return RONDE_ERR_INTERNAL;
	}
}

uint64_t ronde_stall_afar_oldest(const struct ronde_context *ctx, uint64_t now)
{
	const struct ronde_stall_afar *a = ctx->stall.afar;
	if (!a || !a->heard || ronde_stall_age(now, a->heard) > HOLDS * ctx->stall.interval)
		return 0;
	return a->oldest + ronde_stall_age(now, a->heard);
}

static void put_down(struct ronde_context *ctx, uint32_t type, uint64_t base, const void *body,
		     size_t bytes)
{
	const struct ronde_parcel head = {
		.type = type, .bytes = (uint32_t)bytes, .lane = -1, .base = base};
	if (ctx->stall.afar)
		(void)ronde_relay_put_down(ctx->stall.afar->relay, &head, body);
}

void ronde_stall_afar_ask(struct ronde_context *ctx, uint64_t inquiry)
{
	put_down(ctx, RONDE_PARCEL_ASK, inquiry, NULL, 0);
}

void ronde_stall_afar_end(struct ronde_context *ctx, const char *text)
{
	put_down(ctx, RONDE_PARCEL_ENDED, 0, text, strlen(text) + 1);
}

static const struct answer *answered(const struct ronde_context *ctx, int rank, uint64_t inquiry)
{
	const struct ronde_stall_afar *a = ctx->stall.afar;
	const struct answer *answer = a ? a->answers[rank] : NULL;
	return answer && answer->inquiry == inquiry ? answer : NULL;
}

const struct ronde_board *ronde_stall_afar_board(const struct ronde_context *ctx, int rank,
						 uint64_t inquiry)
{
	const struct answer *answer = answered(ctx, rank, inquiry);
	return answer && !answer->silent ? &answer->board : NULL;
}

const char *ronde_stall_afar_silence(const struct ronde_context *ctx, int rank, uint64_t inquiry)
{
	const struct answer *answer = answered(ctx, rank, inquiry);
	return answer && answer->silent ? answer->why : NULL;
}

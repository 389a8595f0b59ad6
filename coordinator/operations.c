/* SPDX-License-Identifier: Apache-2.0 */
/* The operations of a rank's schedule that are being executed, and how the schedule ends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/bootstrap/wait.h"
#include "collectives/status.h"
#include "coordinator/context.h"
#include "coordinator/leader.h"
#include "coordinator/reach.h"
#include "coordinator/stall.h"
#include "coordinator/submit.h"

/* How long a rank waits for the others to let go of its memory after a loss. */
#define LET_GO_SECONDS 0.5
/* And how much longer until other nodes have heard of it, or have said why it was. */
#define HEARD_SECONDS 4.0

void ronde_schedule_init(struct ronde_schedule *s)
{
	s->end = &s->first;
}

static void free_list(struct ronde_active *a)
{
	while (a) {
		struct ronde_active *next = a->next;
		if (a->set)
			ronde_process_set_release(a->set);
		free(a->requests);
		free(a->pieces);
		free(a->inputs);
		free(a->outputs);
		free(a->present);
		free(a->present_local);
		ronde_crossing_free(a->crossing);
		free(a);
		a = next;
	}
}

void ronde_schedule_finish(struct ronde_schedule *s)
{
	free_list(s->first);
	free_list(s->spare);
}

static bool make_pieces(struct ronde_active *a, size_t npieces)
{
	if (npieces <= a->room)
		return true;
	free(a->requests);
	free(a->pieces);
	a->requests = calloc(npieces, sizeof *a->requests);
	a->pieces = calloc(npieces, sizeof *a->pieces);
	a->room = a->requests && a->pieces ? npieces : 0;
	return a->room != 0;
}

bool ronde_active_leave_out(struct ronde_active *a, const uint32_t *absent, uint32_t n)
{
	size_t room = (size_t)a->set->n;
	if (n == 0)
		return true;
	if (room > a->present_room) {
		free(a->present);
		free(a->present_local);
		a->present = calloc(room, sizeof *a->present);
		a->present_local = calloc(room, sizeof *a->present_local);
		a->present_room = a->present && a->present_local ? room : 0;
	}
	if (!a->present_room) {
		ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for an operation of %zu ranks",
			    room);
		return false;
	}
	a->npresent = 0;
	for (int m = 0, k = 0; m < a->set->n; m++) {
		const uint32_t number = (uint32_t)a->set->number[m];
		while (k < (int)n && absent[k] < number) /* on other nodes */
			k++;
		if (k < (int)n && absent[k] == number)
			continue;
		a->present[a->npresent] = m;
		a->present_local[a->npresent++] = a->set->local[m];
	}
	return true;
}

static bool make_addresses(struct ronde_active *a, size_t count)
{
	if (count <= a->addresses)
		return true;
	free(a->inputs);
	free(a->outputs);
	a->inputs = calloc(count, sizeof *a->inputs);
	a->outputs = calloc(count, sizeof *a->outputs);
	a->addresses = a->inputs && a->outputs ? count : 0;
	return a->addresses != 0;
}

struct ronde_active *ronde_active_new(struct ronde_context *ctx, struct ronde_process_set *set,
				      size_t npieces)
{
	struct ronde_schedule *s = &ctx->schedule;
	struct ronde_active *a = s->spare;
	if (a)
		s->spare = a->next;
	else if ((a = aligned_alloc(RONDE_CACHE_LINE, sizeof *a)))
		memset(a, 0, sizeof *a);
	if (!a)
		goto no_memory;
	a->context = ctx;
	a->set = ronde_process_set_hold(set);
	if (!npieces)
		npieces = 1;
	a->npresent = set->n;
	if (make_pieces(a, npieces) && make_addresses(a, npieces * (size_t)set->n))
		return a;
	free_list(a);
no_memory:
	ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for an operation of %zu tensors", npieces);
	return NULL;
}

void ronde_active_put(struct ronde_context *ctx, struct ronde_active *a)
{
	ronde_process_set_release(a->set);
	a->set = NULL;
	a->next = ctx->schedule.spare;
	ctx->schedule.spare = a;
}

void ronde_active_start(struct ronde_context *ctx, struct ronde_active *a)
{
	struct ronde_operation *op = &a->operation;
	op->status = RONDE_OK;
	op->algorithm = ronde_algorithm_select(&op->plan);
	op->algorithm->start(op);
	a->moved = true;
	a->next = NULL;
	*ctx->schedule.end = a;
	ctx->schedule.end = &a->next;
}

/* A message of another node did not come: nothing can go on behind it. */
static bool lost_on_the_way(struct ronde_context *ctx, const struct ronde_active *a)
{
	const struct ronde_plan *plan = &a->operation.plan;
	if (!plan->span || a->operation.status == RONDE_OK)
		return false;
	/* What is wrong with the application's memory it has said. */
	if (ronde_kind_has_own_rows(plan->kind) && a->requests[0]->message)
		return false;
	ronde_reach_fail(ctx, a->operation.status);
	return true;
}

static void complete(struct ronde_context *ctx, struct ronde_active *a)
{
	ronde_timeline_executed(ctx, a, a->operation.status);
	pthread_mutex_lock(&ctx->submissions.lock);
	for (size_t i = 0; i < a->operation.plan.npieces; i++) {
		struct ronde_request *r = a->requests[i];
		ronde_submit_complete(ctx, r, a->operation.status, NULL);
	}
	pthread_mutex_unlock(&ctx->submissions.lock);
	ronde_engine_completed(ctx);
}

bool ronde_schedule_step(struct ronde_context *ctx)
{
	struct ronde_schedule *s = &ctx->schedule;
	bool some = false;
	if (s->state >= RONDE_SCHEDULE_ABORTING)
		return false;
	const bool may_cross = ronde_reach_may(ctx);
	int crossing = 0;
	for (struct ronde_active **at = &s->first; *at;) {
		struct ronde_active *a = *at;
		crossing += a->operation.plan.span != NULL;
		if (a->operation.plan.span && !may_cross) {
			at = &a->next;
			continue;
		}
		enum ronde_progress progress = a->operation.algorithm->step(&a->operation);
		a->moved |= progress != RONDE_PROGRESS_NONE;
		some |= progress != RONDE_PROGRESS_NONE;
		if (progress == RONDE_PROGRESS_NONE)
			ronde_phase_enter(a->operation.plan.phases, RONDE_PHASE_WAIT);
		if (progress != RONDE_PROGRESS_DONE) {
			at = &a->next;
			continue;
		}
		if (lost_on_the_way(ctx, a))
			return true;
		*at = a->next;
		if (!*at)
			s->end = at;
		complete(ctx, a);
		ronde_active_put(ctx, a);
	}
	if (ctx->reach)
		ronde_reach_expect(ctx->reach, crossing);
	return some;
}

/* ---- the end ---- */

static void set_life(struct ronde_context *ctx, enum ronde_life life)
{
	atomic_store_explicit(&ctx->node->arena.ranks[ctx->node->local_rank].life, life,
			      memory_order_seq_cst);
}

static void end(struct ronde_context *ctx, int status, const char *text)
{
	ctx->schedule.state = RONDE_SCHEDULE_ENDED;
	ronde_timeline_end(ctx, status);
	ronde_submit_end(ctx, status, text);
	ronde_engine_completed(ctx);
	atomic_store_explicit(&ctx->schedule.ended, true, memory_order_release);
	ronde_engine_completed(ctx);
}

void ronde_schedule_loss_text(const struct ronde_context *ctx, int rank, char *text, size_t bytes)
{
	const struct ronde_node *node = ctx->node;
	int local = node->local_of_rank[rank];
	unsigned life = atomic_load(&node->arena.ranks[local].life);
	const char *how = "it crashed or was killed";
	if (life == RONDE_LIFE_EXITING || life == RONDE_LIFE_EXITED)
		how = "it left without ronde_shutdown()";
	else if (life == RONDE_LIFE_UNANSWERED)
		how = "it shut down, and had no answer in time";
	else if (life == RONDE_LIFE_ABORTED)
		how = "its runtime broke down";
	snprintf(text, bytes, "rank %d (process %d) was lost: %s", rank, node->pids[local], how);
}

static void describe_loss(const struct ronde_context *ctx, int rank, char *text, size_t bytes)
{
	const struct ronde_node *node = ctx->node;
	char why[RONDE_FABRIC_TEXT_BYTES];
	unsigned life = atomic_load(&node->arena.ranks[node->local_rank].life);
	if (rank == node->rank) {
		snprintf(text, bytes, "this rank (%d) has left: %s", rank,
			 life == RONDE_LIFE_EXITED ? "its process is in exit()"
						   : "its shutdown was not answered");
		return;
	}
	if (node->node_of_rank[rank] == node->node) {
		ronde_schedule_loss_text(ctx, rank, why, sizeof why);
	} else {
		const char *known = ronde_reach_loss(ctx, rank);
		snprintf(why, sizeof why, "%s", known ? known : "");
		if (!known)
			snprintf(why, sizeof why, "rank %d, on another node, was lost", rank);
	}
	snprintf(text, bytes,
		 "%s. Operations cannot complete without it; call ronde_shutdown(), and "
		 "ronde_init() once all ranks run again",
		 why);
}

/* True once no live rank of the node can still touch this rank's memory. */
static bool all_let_go(const struct ronde_context *ctx)
{
	const struct ronde_node *node = ctx->node;
	for (int i = 0; i < node->local_size; i++) {
		unsigned life =
			atomic_load_explicit(&node->arena.ranks[i].life, memory_order_seq_cst);
		if (life < RONDE_LIFE_DOWN && !atomic_load(&ctx->gone[i]))
			return false;
	}
	return true;
}

/* This rank steps no operation any more, and says so. Why it is at its end stays readable. */
static void let_go(struct ronde_context *ctx, int lost)
{
	const struct ronde_node *node = ctx->node;
	_Atomic uint32_t *life = &node->arena.ranks[node->local_rank].life;
	uint32_t now = RONDE_LIFE_RUNNING;
	uint32_t next = lost == node->rank ? RONDE_LIFE_UNANSWERED : RONDE_LIFE_ABORTED;
	while (now < RONDE_LIFE_DOWN &&
	       !atomic_compare_exchange_strong(
		       life, &now, now == RONDE_LIFE_EXITING ? RONDE_LIFE_EXITED : next))
		;
}

/* rank: who was lost, -1: this one has broken down. */
static bool begin_abort(struct ronde_context *ctx, int rank)
{
	struct ronde_schedule *s = &ctx->schedule;
	const struct ronde_node *node = ctx->node;
	s->state = RONDE_SCHEDULE_ABORTING;
	s->ended_by = rank;
	s->deadline = ronde_seconds() + LET_GO_SECONDS;
	let_go(ctx, rank);
	for (int i = 0; i < node->local_size; i++)
		if (i != node->local_rank)
			ronde_bell_ring(&node->arena, i);
	return true;
}

void ronde_schedule_broken(struct ronde_context *ctx, int status, const char *what)
{
	struct ronde_schedule *s = &ctx->schedule;
	if (s->state >= RONDE_SCHEDULE_ABORTING)
		return;
	s->broken = status;
	if (status == RONDE_ERR_OUT_OF_MEMORY)
		snprintf(s->broken_text, sizeof s->broken_text,
			 "Ronde on rank %d cannot go on with %s: %s; shut down and start again",
			 ctx->node->rank, what, ronde_error_message());
	else
		snprintf(s->broken_text, sizeof s->broken_text,
			 "Ronde on rank %d found %s that it cannot follow; shut down and start "
			 "again",
			 ctx->node->rank, what);
	ronde_log(ctx->log, ERROR, "%s", s->broken_text);
	begin_abort(ctx, -1);
	ronde_context_give_up(ctx);
}

/* What is to be known of a rank of another node is known. */
static bool is_explained(const struct ronde_context *ctx)
{
	const struct ronde_node *node = ctx->node;
	int rank = ctx->schedule.ended_by;
	return rank < 0 || node->node_of_rank[rank] == node->node ||
	       atomic_load_explicit(&node->arena.header->explained, memory_order_acquire);
}

static bool finish_abort(struct ronde_context *ctx)
{
	bool heard = is_explained(ctx) && ronde_reach_has_told(ctx);
	double now = ronde_seconds(), deadline = ctx->schedule.deadline;
	if ((!all_let_go(ctx) && now < deadline) || (!heard && now < deadline + HEARD_SECONDS))
		return false;
	if (ctx->schedule.stalled) {
		char story[RONDE_BOARD_TEXT];
		ronde_stall_story(ctx, story);
		end(ctx, RONDE_ERR_STALLED, story);
		return true;
	}
	if (ctx->schedule.broken) {
		end(ctx, ctx->schedule.broken, ctx->schedule.broken_text);
		return true;
	}
	char text[RONDE_FABRIC_TEXT_BYTES + 150];
	describe_loss(ctx, ctx->schedule.ended_by, text, sizeof text);
	ronde_log(ctx->log, INFO, "%s", text);
	end(ctx, RONDE_ERR_PEER_LOST, text);
	return true;
}

static bool finish_shutdown(struct ronde_context *ctx)
{
	if (ctx->schedule.first)
		return false;
	char text[200];
	snprintf(text, sizeof text,
		 "rank %d has shut Ronde down; this operation had not been agreed on by all ranks",
		 ctx->schedule.ended_by);
	set_life(ctx, RONDE_LIFE_DOWN);
	if (!ronde_reach_is_over(ctx))
		return false;
	if (ctx->leader)
		ronde_leader_down(ctx->leader);
	end(ctx, RONDE_ERR_SHUTDOWN, text);
	return true;
}

/* The leader is down, and nothing more is in the log: the shutdown entry did not fit into it. */
static bool leader_closed(struct ronde_context *ctx)
{
	const struct ronde_arena *arena = &ctx->node->arena;
	uint32_t closed = atomic_load_explicit(&arena->header->closed, memory_order_acquire);
	size_t bytes;
	if (!closed || atomic_load(&arena->ranks[0].life) < RONDE_LIFE_DOWN ||
	    ronde_ring_peek(&ctx->schedule.log, &bytes))
		return false;
	ctx->schedule.state = RONDE_SCHEDULE_DRAINING;
	ctx->schedule.ended_by = (int)closed - 1;
	return true;
}

bool ronde_schedule_look(struct ronde_context *ctx)
{
	struct ronde_schedule *s = &ctx->schedule;
	uint32_t lost = atomic_load_explicit(&ctx->node->arena.header->lost, memory_order_acquire);
	uint32_t stalled =
		atomic_load_explicit(&ctx->node->arena.header->stalled, memory_order_acquire);
	if (s->state <= RONDE_SCHEDULE_DRAINING && (lost || stalled)) {
		/*
		 * A shutdown without operations needs nobody any more. After a stall it is only how
		 * the others have left, not why it is over: who was stopped until then learns why.
		 */
		if (s->state == RONDE_SCHEDULE_DRAINING && !s->first && !stalled)
			return finish_shutdown(ctx);
		s->stalled = stalled != 0;
		return begin_abort(ctx, stalled ? -1 : (int)lost - 1);
	}
	switch (s->state) {
	case RONDE_SCHEDULE_RUNNING:
		return leader_closed(ctx);
	case RONDE_SCHEDULE_DRAINING:
		return finish_shutdown(ctx);
	case RONDE_SCHEDULE_ABORTING:
		return finish_abort(ctx);
	case RONDE_SCHEDULE_ENDED:
		break;
	}
	return false;
}

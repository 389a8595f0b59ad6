/* SPDX-License-Identifier: Apache-2.0 */
/* The stall inspector on every rank: see stall.h. */
#include "coordinator/stall.h"

#include <stdio.h>
#include <string.h>

#include "collectives/bootstrap/wait.h"
#include "coordinator/context.h"
#include "coordinator/stall_afar.h"
#include "coordinator/text.h"

/* Longest and shortest time between two ticks; ten of them make the warning time. */
#define LONGEST_INTERVAL 100000000u
#define SHORTEST_INTERVAL 10000000u
/* Turns between two looks at the clock while nobody sleeps. */
#define TURNS 256
/* A leader that has not looked for so long after it was rung does not look at all. */
#define SILENCE 500000000u
/* How long a thread of the leader sleeps while it waits for answers. */
#define ASKING_SECONDS 0.02

static uint64_t now_ns(void)
{
	return (uint64_t)(ronde_seconds() * 1e9);
}

static uint64_t limit_ns(double seconds)
{
	return seconds > 0 ? (uint64_t)(seconds * 1e9) : UINT64_MAX;
}

static struct ronde_board *own_board(const struct ronde_context *ctx)
{
	return &ctx->node->arena.boards[ctx->node->local_rank];
}

void ronde_stall_init(struct ronde_context *ctx)
{
	struct ronde_stall *s = &ctx->stall;
	*s = (struct ronde_stall){.warn = UINT64_MAX, .shutdown = UINT64_MAX};
	if (ctx->config.stall_check_disable)
		return;
	s->warn = limit_ns(ctx->config.stall_check_time_seconds);
	s->shutdown = limit_ns(ctx->config.stall_shutdown_time_seconds);
	uint64_t first = s->warn < s->shutdown ? s->warn : s->shutdown;
	s->interval = first / 10;
	if (s->interval > LONGEST_INTERVAL)
		s->interval = LONGEST_INTERVAL;
	if (s->interval < SHORTEST_INTERVAL)
		s->interval = SHORTEST_INTERVAL;
}

/* ---- what this rank waits for ---- */

static const struct ronde_key_head *key_of(const struct ronde_request *r, const char **name)
{
	*name = r->tensor ? r->tensor->key.name : "";
	return r->tensor ? &r->tensor->key.head : &r->key;
}

static uint64_t request_key(const struct ronde_request *r)
{
	const char *name;
	if (r->control)
		return r->control == RONDE_CONTROL_SET ? RONDE_STALL_KEY_SETS
						       : RONDE_STALL_KEY_JOIN;
	const struct ronde_key_head *head = key_of(r, &name);
	return ronde_stall_key(head, name);
}

static void request_what(const struct ronde_request *r, char *text, size_t bytes)
{
	const char *name;
	if (r->control) {
		snprintf(text, bytes, "%s",
			 r->control == RONDE_CONTROL_SET ? "a change of the process sets" : "join");
		return;
	}
	const struct ronde_key_head *head = key_of(r, &name);
	ronde_stall_what(head, name, r->desc.members, text, bytes);
}

/* What is being executed waits since it last got on. Under both locks. */
static void look_at_running(struct ronde_context *ctx, uint64_t now)
{
	for (struct ronde_active *a = ctx->schedule.first; a; a = a->next) {
		if (!a->moved)
			continue;
		a->moved = false;
		for (size_t i = 0; i < a->operation.plan.npieces; i++) {
			a->requests[i]->since = now;
			a->requests[i]->told = false;
		}
	}
}

/* Brings this rank's board up to date, as far as everybody may read it at any time. */
static void look_at_requests(struct ronde_context *ctx, uint64_t now)
{
	struct ronde_stall *s = &ctx->stall;
	uint64_t oldest = 0, untold = 0;
	pthread_mutex_lock(&ctx->submissions.lock);
	look_at_running(ctx, now);
	for (struct ronde_request *r = ctx->submissions.pool.live; r; r = r->next_live) {
		if (!r->since)
			r->since = now;
		if (r->control == RONDE_CONTROL_JOIN) /* may last as long as the others work */
			continue;
		if (!oldest || r->since < oldest)
			oldest = r->since;
		if (!r->told && (!untold || r->since < untold))
			untold = r->since;
	}
	pthread_mutex_unlock(&ctx->submissions.lock);
	uint64_t submitted = atomic_load_explicit(&ctx->counters.submitted, memory_order_relaxed);
	if (submitted != s->submitted || !s->quiet_since)
		s->quiet_since = now;
	s->submitted = submitted;
	struct ronde_board *board = own_board(ctx);
	atomic_store_explicit(&board->untold, untold, memory_order_relaxed);
	atomic_store_explicit(&board->oldest, oldest, memory_order_relaxed);
}

static void note_wait(struct ronde_board *board, const struct ronde_request *r, uint64_t now)
{
	struct ronde_board_wait *wait = &board->waits[board->nwaits++];
	*wait = (struct ronde_board_wait){.key = request_key(r),
					  .since = r->since ? r->since : now,
					  .said = r->said,
					  .thread = ronde_request_waiter(r),
					  .blocked = ronde_request_is_claimed(r),
					  .running = r->answered};
	request_what(r, wait->what, sizeof wait->what);
}

/* A thread waits for it. The many of a group need not all be there. */
static void note_blocked(struct ronde_board *board, const struct ronde_request *r, uint64_t now)
{
	board->waited++;
	if (board->nwaits < RONDE_BOARD_WAITS) {
		note_wait(board, r, now);
		board->blocked++;
		return;
	}
	for (uint32_t k = 0; k < board->nwaits; k++)
		if (board->waits[k].thread == ronde_request_waiter(r))
			return;
	board->unseen = 1;
}

/* Blocked ones in front, and then the oldest that there is room for. Under the submit lock. */
static void note_waits(struct ronde_context *ctx, struct ronde_board *board, uint64_t now)
{
	struct ronde_request *live = ctx->submissions.pool.live;
	uint32_t others = 0;
	board->pending = board->blocked = board->nwaits = 0;
	board->waited = board->unseen = 0;
	for (struct ronde_request *r = live; r; r = r->next_live) {
		board->pending++;
		if (ronde_request_is_claimed(r))
			note_blocked(board, r, now);
		else
			others++;
	}
	/* Newest first: all but the last few are passed over. */
	uint32_t room = RONDE_BOARD_WAITS - board->nwaits;
	for (struct ronde_request *r = live; r; r = r->next_live)
		if (!ronde_request_is_claimed(r) && others-- <= room)
			note_wait(board, r, now);
}

/* Writes down what this rank waits for. */
static void answer(struct ronde_context *ctx, uint64_t inquiry)
{
	struct ronde_stall *s = &ctx->stall;
	struct ronde_board *board = own_board(ctx);
	uint64_t now = now_ns();
	pthread_mutex_lock(&ctx->submissions.lock);
	note_waits(ctx, board, now);
	for (struct ronde_request *r = ctx->submissions.pool.live; r; r = r->next_live)
		r->told |= r->since && ronde_stall_age(now, r->since) >= s->warn / 2;
	for (int k = 0; k < RONDE_KIND_COUNT; k++)
		board->unnamed[k] = ctx->sets.world->ordinals[k];
	const struct ronde_submissions *submissions = &ctx->submissions;
	board->said = submissions->backlog ? UINT64_MAX : submissions->said;
	board->others = ronde_callers_have_others(&submissions->callers, submissions->pool.live);
	pthread_mutex_unlock(&ctx->submissions.lock);
	board->quiet_since = s->quiet_since ? s->quiet_since : now;
	s->answered = inquiry;
	atomic_store_explicit(&board->answered, inquiry, memory_order_release);
	ronde_bell_ring(&ctx->node->arena, 0);
}

_Static_assert(RONDE_KIND_COUNT <= RONDE_BOARD_KINDS, "a board has room for all kinds");

/* ---- a leader that does not look ---- */

static void describe_silence(struct ronde_context *ctx, uint64_t age, char *text, size_t bytes)
{
	const struct ronde_node *node = ctx->node;
	char what[112] = "", how[200];
	uint64_t oldest = UINT64_MAX;
	uint32_t pending = 0;
	pthread_mutex_lock(&ctx->submissions.lock);
	for (struct ronde_request *r = ctx->submissions.pool.live; r; r = r->next_live) {
		pending++;
		if (r->since <= oldest)
			request_what(r, what, sizeof what);
		oldest = r->since < oldest ? r->since : oldest;
	}
	pthread_mutex_unlock(&ctx->submissions.lock);
	size_t used = ronde_text_append(text, bytes, 0,
					"nothing has got on for %.1f s: rank %d waits for %s",
					ronde_stall_seconds(age), node->rank, what);
	if (pending > 1)
		used = ronde_text_append(text, bytes, used, " and %u more", pending - 1);
	ronde_stall_process_text(ctx, 0, how, sizeof how);
	used = ronde_text_append(text, bytes, used,
				 "\nrank %d, which orders the operations of this node, %s",
				 node->ranks[0], how);
	for (int i = 1; i < node->local_size; i++) {
		int pid;
		char state = ronde_node_process_state(node, i, &pid);
		if (i == node->local_rank || (state != 'T' && state != 't'))
			continue;
		ronde_stall_process_text(ctx, i, how, sizeof how);
		used = ronde_text_append(text, bytes, used, "\nrank %d %s", node->ranks[i], how);
	}
	if (used >= bytes)
		ronde_text_mark_cut(text, bytes);
}

/* Of the ranks that notice one tells, once a period. */
static void look_at_leader(struct ronde_context *ctx, uint64_t now, uint64_t oldest)
{
	struct ronde_stall *s = &ctx->stall;
	struct ronde_arena_header *header = ctx->node->arena.header;
	uint64_t looked = atomic_load_explicit(&header->leader_looked, memory_order_relaxed);
	uint64_t told = atomic_load_explicit(&header->told_at, memory_order_relaxed);
	if (looked >= s->rung_since)
		s->rung_since = now;
	if (now - s->rung_since < SILENCE)
		return;
	uint64_t age = ronde_stall_age(now, oldest);
	char text[RONDE_BOARD_TEXT];
	describe_silence(ctx, age, text, sizeof text);
	if (age >= s->shutdown) {
		ronde_stall_end(ctx, text);
	} else if (age >= s->warn && (!told || ronde_stall_age(now, told) >= s->warn) &&
		   atomic_compare_exchange_strong(&header->told_at, &told, now)) {
		ronde_stall_publish(ctx, text);
		ronde_log(ctx->log, WARN, "%s", text);
	}
}

static void ring_leader(struct ronde_context *ctx, uint64_t now)
{
	struct ronde_stall *s = &ctx->stall;
	uint64_t oldest = atomic_load_explicit(&own_board(ctx)->oldest, memory_order_relaxed);
	uint64_t first = s->warn < s->shutdown ? s->warn : s->shutdown;
	if (!oldest || ronde_stall_age(now, oldest) < first) {
		s->rung_since = 0;
		return;
	}
	if (!s->rung_since)
		s->rung_since = now;
	ronde_bell_ring(&ctx->node->arena, 0);
	look_at_leader(ctx, now, oldest);
}

/* ---- ticks, and sleep ---- */

void ronde_stall_tick(struct ronde_context *ctx)
{
	struct ronde_stall *s = &ctx->stall;
	if (!s->interval || ctx->schedule.state >= RONDE_SCHEDULE_ABORTING)
		return;
	uint64_t now = now_ns();
	bool due = now - s->ticked >= s->interval;
	if (due) {
		s->ticked = now;
		look_at_requests(ctx, now);
	}
	if (ctx->leader)
		ronde_stall_lead(ctx, now);
	else if (ctx->reach && ronde_context_leads(ctx)) /* it passes on what there is */
		ronde_stall_afar_tick(ctx, now, due);
	else if (due)
		ring_leader(ctx, now);
}

bool ronde_stall_turn(struct ronde_context *ctx)
{
	struct ronde_stall *s = &ctx->stall;
	uint64_t inquiry =
		atomic_load_explicit(&ctx->node->arena.header->inquiry, memory_order_acquire);
	if (inquiry != s->answered) {
		answer(ctx, inquiry);
		return true;
	}
	if (++s->turns % TURNS == 0)
		ronde_stall_tick(ctx);
	return false;
}

double ronde_stall_limit(const struct ronde_context *ctx)
{
	const struct ronde_stall *s = &ctx->stall;
	if (!s->interval || ctx->schedule.state >= RONDE_SCHEDULE_ABORTING)
		return -1;
	return s->asking ? ASKING_SECONDS : ronde_stall_seconds(s->interval);
}

double ronde_stall_rest(struct ronde_context *ctx)
{
	struct ronde_stall *s = &ctx->stall;
	double limit = ronde_stall_limit(ctx);
	uint64_t submitted = atomic_load_explicit(&ctx->counters.submitted, memory_order_relaxed);
	bool quiet = submitted == s->rested && !s->asking && !s->digest;
	s->rested = submitted;
	if (limit < 0 || !quiet)
		return limit;
	/* Either this sees the submission, or that sees the doze. */
	atomic_exchange_explicit(&s->dozing, 1, memory_order_seq_cst);
	if (atomic_load_explicit(&ctx->submissions.in_flight, memory_order_seq_cst) == 0)
		return -1;
	atomic_store_explicit(&s->dozing, 0, memory_order_relaxed);
	return limit;
}

void ronde_stall_wake(struct ronde_context *ctx)
{
	if (atomic_load_explicit(&ctx->stall.dozing, memory_order_seq_cst) &&
	    atomic_exchange_explicit(&ctx->stall.dozing, 0, memory_order_seq_cst))
		ronde_bell_ring(&ctx->node->arena, ctx->node->local_rank);
}

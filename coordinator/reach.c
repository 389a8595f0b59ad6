/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/reach.h"

#include <stdio.h>
#include <stdlib.h>

#include "collectives/bootstrap/wait.h"
#include "collectives/span.h"
#include "collectives/status.h"
#include "coordinator/context.h"
#include "coordinator/leader.h"
#include "coordinator/reach_private.h"
#include "coordinator/relay.h"

/* How long a node waits for another to say why a rank of that was lost. */
#define EXPLAIN_SECONDS 2.0

/* Turns between two looks of a rank that expects no message. */
#define IDLE_LOOKS 64

static int no_fabric(const struct ronde_context *ctx)
{
	const struct ronde_node *node = ctx->node;
	const char *apart = ronde_node_apart(node);
	return ronde_error(
		RONDE_ERR_LAUNCHER,
		"the %d ranks of this job run on %d nodes (they do not all share memory%s%s), and "
		"nothing carries bytes between them: %s. Start them with mpirun or srun",
		node->size, node->nodes, apart ? "; " : "", apart ? apart : "",
		ronde_error_message());
}

static void find_leaders(struct ronde_reach *reach)
{
	const struct ronde_node *node = reach->node;
	for (int r = node->size - 1; r >= 0; r--)
		if (node->local_of_rank[r] == 0)
			reach->leaders[node->node_of_rank[r]] = r;
}

/* Every operation over nodes must find the chunk it needs. */
static int check_staging(const struct ronde_context *ctx)
{
	const struct ronde_node *node = ctx->node;
	size_t limit = ronde_chunk_limit(node->arena.shape.staging_bytes, node->local_size);
	if (limit >= ronde_span_least(node->nodes))
		return RONDE_OK;
	return ronde_error(RONDE_ERR_CONFIGURATION,
			   "RONDE_STAGING_BYTES is %lld: too little for the chunks of %d ranks on "
			   "each of %d nodes; make it larger on all ranks",
			   (long long)ctx->config.staging_bytes, node->local_size, node->nodes);
}

int ronde_reach_open(struct ronde_context *ctx)
{
	struct ronde_reach *reach = calloc(1, sizeof *reach);
	if (reach)
		reach->leaders = calloc((size_t)ctx->node->nodes, sizeof *reach->leaders);
	if (!reach || !reach->leaders) {
		free(reach);
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for %d nodes",
				   ctx->node->nodes);
	}
	ctx->reach = reach;
	reach->node = ctx->node;
	reach->sleep = RONDE_REACH_SLEEP;
	find_leaders(reach);
	int status = ronde_fabric_open(&reach->fabric, ctx->bootstrap);
	if (status == RONDE_ERR_INVALID_ARGUMENT)
		return no_fabric(ctx);
	return status ? status : check_staging(ctx);
}

int ronde_reach_open_relay(struct ronde_context *ctx)
{
	struct ronde_reach *reach = ctx->reach;
	if (ctx->node->local_rank)
		return RONDE_OK;
	return ronde_relay_open(&reach->relay, ctx->node, reach->fabric, reach->leaders);
}

bool ronde_reach_close(struct ronde_reach *reach)
{
	if (!reach)
		return false;
	bool keep = false;
	if (reach->fabric && ronde_fabric_close(reach->fabric))
		keep = ronde_fabric_abandon(reach->fabric) != 0;
	ronde_relay_close(reach->relay, keep);
	free(reach->leaders);
	free(reach);
	return keep;
}

const struct ronde_fabric *ronde_reach_fabric(const struct ronde_reach *reach)
{
	return reach->fabric;
}

struct ronde_relay *ronde_reach_relay(const struct ronde_reach *reach)
{
	return reach ? reach->relay : NULL;
}

void ronde_reach_expect(struct ronde_reach *reach, int crossing)
{
	reach->crossing = crossing;
}

bool ronde_reach_may(const struct ronde_context *ctx)
{
	return !ctx->reach || ronde_fabric_may_call(ctx->reach->fabric);
}

/* ---- the turn ---- */

/* A rank of another node that is lost, or -1. */
static int first_lost(const struct ronde_reach *reach)
{
	if (reach->relay && ronde_relay_culprit(reach->relay) >= 0)
		return ronde_relay_culprit(reach->relay);
	for (int r = 0; r < reach->fabric->size; r++)
		if (reach->fabric->lost[r])
			return r;
	return -1;
}

static void lose(struct ronde_context *ctx, int rank)
{
	uint32_t nobody = 0;
	atomic_compare_exchange_strong(&ctx->node->arena.header->lost, &nobody, (uint32_t)rank + 1);
	for (int i = 0; i < ctx->node->local_size; i++)
		ronde_bell_ring(&ctx->node->arena, i);
}

void ronde_reach_fail(struct ronde_context *ctx, int status)
{
	struct ronde_reach *reach = ctx->reach;
	int rank = first_lost(reach);
	if (ctx->schedule.state >= RONDE_SCHEDULE_ABORTING)
		return;
	if (status == RONDE_ERR_PEER_LOST && rank >= 0)
		lose(ctx, rank);
	else
		ronde_schedule_broken(ctx, status, "a message of another node");
}

/*
 * What this node knows of a loss the others should know too. Why a rank of another node was lost
 * that node knows best: its word is waited for.
 */
static int tell_loss(struct ronde_context *ctx)
{
	const struct ronde_node *node = ctx->node;
	struct ronde_reach *reach = ctx->reach;
	uint32_t lost = atomic_load_explicit(&node->arena.header->lost, memory_order_acquire);
	if (!lost || ronde_relay_has_told(reach->relay))
		return RONDE_OK;
	char why[RONDE_FABRIC_TEXT_BYTES];
	const char *known = reach->fabric->lost[lost - 1];
	if (node->node_of_rank[lost - 1] == node->node) {
		ronde_schedule_loss_text(ctx, (int)lost - 1, why, sizeof why);
	} else {
		if (!reach->noticed)
			reach->noticed = ronde_seconds();
		if (ronde_seconds() - reach->noticed < EXPLAIN_SECONDS)
			return RONDE_OK;
		if (known)
			snprintf(why, sizeof why, "%s", known);
		else
			snprintf(why, sizeof why, "rank %d was lost: its node does not answer",
				 (int)lost - 1);
	}
	return ronde_relay_tell_lost(reach->relay, (int)lost - 1, why);
}

bool ronde_reach_turn(struct ronde_context *ctx)
{
	struct ronde_reach *reach = ctx->reach;
	if (reach->failed || !ronde_fabric_may_call(reach->fabric))
		return false;
	/* A look takes microseconds. Who relays nothing and has no operation over nodes pushes on
	 * now and then only what MPI has kept of the last one. */
	bool idle = !reach->relay && !reach->crossing && ++reach->looks % IDLE_LOOKS;
	int done = idle ? 0 : ronde_fabric_progress(reach->fabric);
	int status = done < 0 ? done : RONDE_OK;
	bool some = done > 0;
	if (!status && reach->relay)
		status = tell_loss(ctx);
	if (!status && reach->relay)
		status = ronde_relay_turn(reach->relay, &some);
	if (status)
		ronde_reach_fail(ctx, status);
	reach->failed = done < 0;
	if (some)
		reach->sleep = RONDE_REACH_SLEEP;
	return some || status;
}

double ronde_reach_rest(struct ronde_context *ctx)
{
	struct ronde_reach *reach = ctx->reach;
	if (!reach || reach->failed || !ronde_fabric_may_call(reach->fabric))
		return -1;
	if (atomic_load_explicit(&ctx->submissions.in_flight, memory_order_relaxed) ||
	    ctx->schedule.first || (reach->relay && ronde_relay_is_busy(reach->relay)))
		return reach->sleep = RONDE_REACH_SLEEP;
	double sleep = reach->sleep;
	reach->sleep = sleep < RONDE_REACH_LONGEST / 2 ? 2 * sleep : RONDE_REACH_LONGEST;
	return sleep;
}

bool ronde_reach_is_busy(const struct ronde_context *ctx)
{
	return ctx->reach && ctx->reach->relay && ronde_relay_is_busy(ctx->reach->relay);
}

bool ronde_reach_is_over(const struct ronde_context *ctx)
{
	const struct ronde_reach *reach = ctx->reach;
	return !reach || !reach->relay || reach->failed || ronde_relay_is_over(reach->relay);
}

bool ronde_reach_has_told(const struct ronde_context *ctx)
{
	const struct ronde_reach *reach = ctx->reach;
	if (!reach || !reach->relay || reach->failed)
		return true;
	bool lost = atomic_load_explicit(&ctx->node->arena.header->lost, memory_order_acquire);
	return ronde_relay_is_flushed(reach->relay) &&
	       (!lost || ronde_relay_has_told(reach->relay));
}

const char *ronde_reach_loss(const struct ronde_context *ctx, int rank)
{
	const struct ronde_arena_header *header = ctx->node->arena.header;
	if (atomic_load_explicit(&header->explained, memory_order_acquire) == (uint32_t)rank + 1)
		return header->why;
	return ctx->reach ? ctx->reach->fabric->lost[rank] : NULL;
}

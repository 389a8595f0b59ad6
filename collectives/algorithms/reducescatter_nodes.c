/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reducescatter over nodes. A chunk has a region for each node, what its members get of it, and a
 * region a slice for each carrier (regions.h, span.h). What happens to a chunk:
 *
 *   pack     every rank copies its input of all regions into its own area
 *   sums     each carrier adds up its slice of each region over the node's ranks, and sends it to
 *            the carrier of the same number on the node whose region it is
 *   total    each adds up what it has got for its own node's region in the tree over nodes
 *   unpack   every rank copies its own rows from the areas of the carriers
 *
 * On 2 nodes × 2 ranks, inputs a, b | c, d with rows 0 … 3, one for each rank (ranks 0, 1 are on
 * node 0, and so are rows 0, 1); slice 0 of region 0 is row 0, slice 1 row 1:
 *
 *             rank 0 (node 0)      rank 1               rank 2 (node 1)      rank 3
 *   sums      a0 + b0, a2 + b2     a1 + b1, a3 + b3     c0 + d0, c2 + d2     c1 + d1, c3 + d3
 *   sends     a2 + b2 to rank 2    a3 + b3 to rank 3    c0 + d0 to rank 0    c1 + d1 to rank 1
 *   total     row 0                row 1                row 2                row 3
 *
 * So a node sends (n-1)/n of the tensor, as parts.h has sums. A carrier sends to each other node in
 * every round, and be it nothing, unless its slice is beyond every region: so what is under way
 * stays bounded, as in allgather_nodes.c.
 *
 * An area: a region for each node | the own slice's sums for each node | those that are received,
 * of each node. The own slice of the own region is overwritten by the result.
 *
 * What must wait for what (c: chunk, S: slots; the counters are the others' on the node):
 *   post c, pack c   all unpacked c+1-S, and so have I
 *   sums c           all packed c+1; I have posted and packed c
 *   total c          the others' sums of c are here
 *   unpack c         the slice's carrier reduced c+1
 *   A rank says unpacked c+1 when its messages for c are through, too.
 *
 * In place, where the own rows are, and at the start of the input: a block of the output takes the
 * place of the own block, or that of the rank with the first share, whose window comes before mine
 * or is mine. So that was packed for the same chunk, or an earlier one.
 */
#include <string.h>

#include "collectives/algorithms/algorithms.h"
#include "collectives/algorithms/lane.h"
#include "collectives/algorithms/messages.h"
#include "collectives/algorithms/parts.h"
#include "collectives/algorithms/regions.h"
#include "collectives/algorithms/traffic.h"

/* Rows of messages of a slot. */
enum { IN, OUT, ROWS };
_Static_assert(ROWS *RONDE_STAGING_SLOTS <= RONDE_SPAN_FLIGHT, "no room for the messages");

struct scatter_state {
	struct ronde_regions regions;
	uint64_t posted, packed, summed, totalled; /* chunks */
	uint64_t unpacked, settled;                /* settled: and its messages are through */
	int32_t place; /* whose region is added up now, places from the next node on */
	struct ronde_cursor pack, unpack;
};
RONDE_STATE_FITS(scatter_state);

bool ronde_reducescatter_nodes_fits(const struct ronde_plan *plan)
{
	struct ronde_regions regions;
	return ronde_regions_fit(plan, &regions);
}

/* Where the own block begins in the region of chunk c. */
static void find_own(const struct ronde_plan *plan, struct scatter_state *state, uint64_t c)
{
	const struct ronde_regions *r = &state->regions;
	int node = plan->span->node;
	state->unpack.node = node;
	ronde_cursor_turn(&state->unpack, plan->me);
	if (c < r->chunks && plan->me >= ronde_region_first(r, c) &&
	    plan->me < ronde_region_end(r, c, plan->n))
		state->unpack.at = ronde_region_bytes(plan, r, c, node, plan->me);
	else
		state->unpack.member = -1;
}

void ronde_reducescatter_nodes_start(struct ronde_operation *operation)
{
	struct scatter_state *state = RONDE_STATE(operation, scatter_state);
	const struct ronde_plan *plan = &operation->plan;

	ronde_staging_check(plan);
	*state = (struct scatter_state){0};
	ronde_regions_fit(plan, &state->regions);
	find_own(plan, state, 0);
	ronde_messages_start(plan);
}

static bool carries(const struct ronde_plan *plan, const struct scatter_state *state)
{
	return plan->me < state->regions.carriers;
}

static unsigned char *region_at(const struct ronde_plan *plan, const struct scatter_state *state,
				uint64_t c, int member, int node)
{
	const struct ronde_regions *r = &state->regions;
	return ronde_staging_area(plan, c, member) +
	       (uint64_t)node * r->room * (uint64_t)r->carriers;
}

/* The own slice's sums for a node, or those it has sent. */
static unsigned char *sums_at(const struct ronde_plan *plan, const struct scatter_state *state,
			      uint64_t c, int node, bool received)
{
	uint64_t place = (uint64_t)(received ? plan->span->nodes + node : node);
	return region_at(plan, state, c, plan->me, plan->span->nodes) +
	       place * state->regions.room * (uint64_t)state->regions.wide;
}

/* Bytes that a node's region has in the own slice. */
static uint64_t own_slice(const struct ronde_plan *plan, const struct scatter_state *state,
			  uint64_t c, int node)
{
	const struct ronde_regions *r = &state->regions;
	int end = ronde_region_end(r, c, plan->span->members[node]);
	return ronde_region_part(r, c, plan->me, ronde_region_bytes(plan, r, c, node, end));
}

static int row_of(uint64_t c, int kind)
{
	return (int)(c % RONDE_STAGING_SLOTS) * ROWS + kind;
}

/* Each of the six below does some work, or returns false; errors go to *status. */

static bool post(const struct ronde_plan *plan, struct scatter_state *state, int *status)
{
	const struct ronde_regions *r = &state->regions;
	uint64_t c = state->posted;
	if (!carries(plan, state) || c == r->chunks || !ronde_slot_is_free(plan, c, state->settled))
		return false;
	bool some = ronde_region_reaches(r, c, plan->me);
	for (int k = 0; k < plan->span->nodes && some && !*status; k++) {
		if (k != plan->span->node)
			*status = ronde_message_receive(plan, row_of(c, IN), k, plan->me, 0,
							sums_at(plan, state, c, k, true),
							r->room * (uint64_t)r->wide);
	}
	state->posted++;
	return true;
}

/* Copies the own input of one node's region; false: the budget is spent. */
static bool pack_region(const struct ronde_plan *plan, struct scatter_state *state, size_t *budget)
{
	const struct ronde_regions *r = &state->regions;
	struct ronde_cursor *cursor = &state->pack;
	uint64_t c = state->packed, end = ronde_region_block(r, c).end;
	int last = ronde_region_end(r, c, plan->span->members[cursor->node]);
	unsigned char *region = region_at(plan, state, c, plan->me, cursor->node);
	while (cursor->member < last) {
		while (cursor->walk.at < end) {
			uint64_t from;
			if (!*budget)
				return false;
			struct ronde_span span =
				ronde_cursor_next(plan, r, c, cursor, *budget, &from);
			if (span.bytes)
				memcpy(region + cursor->at,
				       (const unsigned char *)span.piece->input + from, span.bytes);
			cursor->at += span.bytes;
			ronde_spend(budget, span.bytes);
		}
		ronde_cursor_turn(cursor, cursor->member + 1);
	}
	return true;
}

static bool pack(const struct ronde_plan *plan, struct scatter_state *state, size_t *budget)
{
	const struct ronde_regions *r = &state->regions;
	uint64_t c = state->packed;
	if (c == r->chunks || !ronde_slot_is_free(plan, c, state->settled))
		return false;
	ronde_phase_enter(plan->phases, RONDE_PHASE_PACK);
	while (state->pack.node < plan->span->nodes) {
		if (!pack_region(plan, state, budget))
			return true;
		state->pack.node++;
		state->pack.at = 0;
		ronde_cursor_turn(&state->pack, ronde_region_first(r, c));
	}
	ronde_cursor_pass(plan, r, c, &state->pack);
	ronde_lane_publish(plan, RONDE_PACKED, ++state->packed);
	return true;
}

static void add_inputs(const struct ronde_plan *plan, const struct scatter_state *state, int node,
		       uint64_t bytes)
{
	const void *sources[RONDE_MAX_LOCAL_SIZE];
	const struct ronde_reduce_spec spec = ronde_parts_of_node(plan);
	uint64_t c = state->summed;
	uint64_t slice = ronde_region_slice(&state->regions, c) * (uint64_t)plan->me;
	void *destination = sums_at(plan, state, c, node, false);
	for (int m = 0; m < plan->n; m++) {
		sources[m] = region_at(plan, state, c, m, node) + slice;
		ronde_traffic_read(plan, m, bytes, false);
	}
	ronde_reduce_members(plan, &spec, &destination, 1, sources, bytes / plan->element);
}

/* The next node first, the own one last: not all nodes send to the same. */
static bool sum(const struct ronde_plan *plan, struct scatter_state *state, size_t *budget,
		int *status)
{
	uint64_t c = state->summed;
	if (!carries(plan, state) || c == state->posted || c == state->packed ||
	    !ronde_lane_all_reached(plan, RONDE_PACKED, c + 1))
		return false;
	ronde_phase_enter(plan->phases, RONDE_PHASE_REDUCE);
	bool some = ronde_region_reaches(&state->regions, c, plan->me);
	while (state->place < plan->span->nodes && *budget && !*status) {
		int k = (plan->span->node + ++state->place) % plan->span->nodes;
		uint64_t bytes = some ? own_slice(plan, state, c, k) : 0;
		if (bytes)
			add_inputs(plan, state, k, bytes);
		if (some && k != plan->span->node)
			*status = ronde_message_send(plan, row_of(c, OUT), k, plan->me, 0,
						     sums_at(plan, state, c, k, false),
						     bytes * (uint64_t)state->regions.wide);
		ronde_spend(budget, bytes * (size_t)plan->n);
	}
	if (state->place == plan->span->nodes) {
		state->place = 0;
		state->summed++;
	}
	return true;
}

static bool total(const struct ronde_plan *plan, struct scatter_state *state, size_t *budget,
		  int *status)
{
	const void *leaves[RONDE_MAX_SPAN_LEAVES];
	const struct ronde_set_span *span = plan->span;
	uint64_t c = state->totalled;
	bool here;
	if (c == state->summed)
		return false;
	*status = ronde_messages_finish(plan, row_of(c, IN), &here);
	if (*status || !here)
		return false;

	ronde_phase_enter(plan->phases, RONDE_PHASE_REDUCE);
	uint64_t bytes = own_slice(plan, state, c, span->node);
	const struct ronde_reduce_spec spec = ronde_parts_of_all(plan);
	void *result = region_at(plan, state, c, plan->me, span->node) +
		       ronde_region_slice(&state->regions, c) * (uint64_t)plan->me;
	memset(leaves, 0, (size_t)ronde_span_leaves(span) * sizeof *leaves);
	for (int k = 0; k < span->nodes; k++)
		leaves[ronde_span_leaf(span, k)] = sums_at(plan, state, c, k, k != span->node);
	if (bytes)
		plan->kernels->reduce(&spec, &result, 1, leaves, ronde_span_leaves(span),
				      bytes / plan->element);
	ronde_spend(budget, bytes * (size_t)span->nodes);
	ronde_lane_publish(plan, RONDE_REDUCED, ++state->totalled);
	return true;
}

static bool results_are_here(const struct ronde_plan *plan, const struct scatter_state *state)
{
	uint64_t c = state->unpacked;
	for (int m = 0; m < state->regions.carriers; m++)
		if (m == plan->me ? state->totalled <= c
				  : !ronde_lane_reached(plan, m, RONDE_REDUCED, c + 1))
			return false;
	return true;
}

/* Copies a span of the own rows, which may lie in several carriers' slices. */
static void unpack_span(const struct ronde_plan *plan, struct scatter_state *state,
			struct ronde_span span)
{
	uint64_t c = state->unpacked, slice = ronde_region_slice(&state->regions, c);
	unsigned char *to = (unsigned char *)span.piece->output + span.offset;
	while (span.bytes) {
		int carrier = (int)(state->unpack.at / slice);
		uint64_t left = slice - state->unpack.at % slice;
		size_t now = (size_t)(left < span.bytes ? left : span.bytes);
		ronde_traffic_read(plan, carrier, now, true);
		memcpy(to, region_at(plan, state, c, carrier, plan->span->node) + state->unpack.at,
		       now);
		to += now;
		span.bytes -= now;
		state->unpack.at += now;
	}
}

static bool unpack(const struct ronde_plan *plan, struct scatter_state *state, size_t *budget)
{
	const struct ronde_regions *r = &state->regions;
	uint64_t c = state->unpacked, end = ronde_region_block(r, c).end, from;
	if (c == state->packed || !results_are_here(plan, state))
		return false;
	ronde_phase_enter(plan->phases, RONDE_PHASE_UNPACK);
	while (state->unpack.member == plan->me && state->unpack.walk.at < end) {
		if (!*budget)
			return true;
		struct ronde_span span =
			ronde_cursor_next(plan, r, c, &state->unpack, *budget, &from);
		unpack_span(plan, state, span);
		ronde_spend(budget, span.bytes);
	}
	ronde_cursor_pass(plan, r, c, &state->unpack);
	find_own(plan, state, ++state->unpacked);
	return true;
}

/* Chunk c is unpacked, and its messages are through. */
static bool settle(const struct ronde_plan *plan, struct scatter_state *state, int *status)
{
	uint64_t c = state->settled;
	return c < state->unpacked &&
	       ronde_messages_settle(plan, row_of(c, OUT), &state->settled, status);
}

enum ronde_progress ronde_reducescatter_nodes_step(struct ronde_operation *operation)
{
	struct scatter_state *state = RONDE_STATE(operation, scatter_state);
	const struct ronde_plan *plan = &operation->plan;
	size_t budget = RONDE_STEP_BYTES;
	bool worked = false;
	int *status = &operation->status;

	/* What the other nodes wait for first, then what this one does. */
	while (budget && !*status &&
	       (sum(plan, state, &budget, status) ||
		(!*status && total(plan, state, &budget, status)) ||
		(!*status && settle(plan, state, status)) ||
		(!*status && post(plan, state, status)) ||
		(!*status && (unpack(plan, state, &budget) || pack(plan, state, &budget)))))
		worked = true;

	if (*status || state->settled == state->regions.chunks)
		return ronde_lane_leave(plan, state->regions.chunks + 1);
	return worked ? RONDE_PROGRESS_SOME : RONDE_PROGRESS_NONE;
}

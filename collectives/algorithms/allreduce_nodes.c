/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allreduce over nodes, in two ways. A chunk is cut into one slice for each carrier (span.h), a
 * slice into one part for each node. Six things happen to a chunk on every rank, the middle four on
 * carriers only:
 *
 *   pack     copies the own input into the own area, but for the own slice
 *   partial  adds up the own slice over the node's ranks, and sends each other node its part of it
 *   total    adds up the own node's part over all nodes, and sends the result to all others
 *   settle   waits until all its messages are through; then the slice is in the own area, whole
 *   unpack   copies all slices from the carriers' areas to the own output
 *
 * On 2 nodes × 2 ranks, inputs a, b | c, d; slice 0 has parts 0 and 1, slice 1 parts 2 and 3:
 *
 *             rank 0 (node 0)          rank 1          rank 2 (node 1)          rank 3
 *   partial   p0 p1 = a + b            p2 p3           q0 q1 = c + d            q2 q3
 *   sends     p1 to rank 2             p3 to rank 3    q0 to rank 0             q2 to rank 1
 *   total     r0 = p0 + q0             r2 = p2 + q2    r1 = p1 + q1             r3 = p3 + q3
 *   sends     r0 to rank 2             r2 to rank 3    r1 to rank 0             r3 to rank 1
 *
 * So a node sends (n-1)/n of the sums, as parts.h has them, and as much of the results, whatever
 * its ranks; and the sums are added in the tree over nodes, whoever was first.
 *
 * The direct way has one step over the network instead of two, at the price of more bytes on 3
 * nodes and more: each node's part is all of the slice. It sends its sums to all others, each adds
 * up everything, and no results are sent.
 *
 * An area, of a carrier: the chunk as it was packed, its own slice the result | the slice's sums |
 * the own part's sums of the other nodes, as they are received.
 *
 * What must wait for what (c: chunk, S: slots; the counters are the others' on the node):
 *   pack c     all unpacked c+1-S, and so have I: what is received for c lands where I have read it
 *   partial c  all packed c+1
 *   total c    the others' sums of c are here
 *   unpack c   the slice's carrier reduced c+1, which it says when the chunk has settled
 *
 * Receives of c are posted with its pack, so before any node can have what it sends for it. Chunks
 * are begun in order everywhere, and so a node's messages for c are taken by the receives for c.
 */
#include <string.h>

#include "collectives/algorithms/algorithms.h"
#include "collectives/algorithms/lane.h"
#include "collectives/algorithms/messages.h"
#include "collectives/algorithms/parts.h"
#include "collectives/algorithms/traffic.h"

/* Added up at once: the sums stay in the first cache until they are complete. */
#define REDUCE_BLOCK ((size_t)8 << 10)

/* Under which tag, and in which row of messages of a slot. */
enum { SUMS, RESULTS, TAGS };
enum { SUMS_IN, RESULTS_IN, SUMS_OUT, RESULTS_OUT, ROWS };
_Static_assert(ROWS *RONDE_STAGING_SLOTS <= RONDE_SPAN_FLIGHT, "no room for the messages");
_Static_assert(TAGS <= RONDE_SPAN_TAGS, "too many tags");

struct phase {
	struct ronde_walk walk;
	uint64_t chunk; /* the one it works on: all before are done */
};

struct nodes_state {
	uint64_t total, chunks;
	uint64_t chunk_bytes; /* of a chunk, as it is packed */
	uint64_t posted;      /* chunks whose receives are */
	uint32_t wide;        /* bytes of a sum for each of a tensor's */
	bool direct;
	int32_t carriers;
	struct phase pack, partial, unpack;
	uint64_t totalled, settled; /* chunks */
};
RONDE_STATE_FITS(nodes_state);

static uint64_t chunk_for(const struct ronde_plan *plan, bool direct)
{
	uint64_t wide = ronde_parts_wide(plan);
	uint64_t carriers = (uint64_t)ronde_span_carriers(plan->span);
	/* Regions of sums, each a slice long: the own, and what comes of others; and what rounding
	 * up to grains may add to them. */
	uint64_t slices = direct ? (uint64_t)plan->span->nodes : 2;
	uint64_t rounding = RONDE_GRAIN * wide * ((uint64_t)plan->span->nodes + 2);
	if (plan->chunk_bytes < rounding)
		return 0;
	return (plan->chunk_bytes - rounding) * carriers / (carriers + slices * wide) &
	       ~(RONDE_GRAIN - 1);
}

bool ronde_allreduce_nodes_fits(const struct ronde_plan *plan)
{
	return chunk_for(plan, false) >= RONDE_GRAIN;
}

bool ronde_allreduce_nodes_direct_fits(const struct ronde_plan *plan)
{
	return chunk_for(plan, true) >= RONDE_GRAIN;
}

static void start(struct ronde_operation *operation, bool direct)
{
	struct nodes_state *state = RONDE_STATE(operation, nodes_state);
	const struct ronde_plan *plan = &operation->plan;

	ronde_staging_check(plan);
	*state = (struct nodes_state){.total = ronde_layout_bytes(plan),
				      .chunk_bytes = chunk_for(plan, direct),
				      .direct = direct,
				      .carriers = ronde_span_carriers(plan->span)};
	state->wide = (uint32_t)ronde_parts_wide(plan);
	state->chunks = ronde_chunk_count(state->total, state->chunk_bytes);
	ronde_messages_start(plan);
}

void ronde_allreduce_nodes_start(struct ronde_operation *operation)
{
	start(operation, false);
}

void ronde_allreduce_nodes_direct_start(struct ronde_operation *operation)
{
	start(operation, true);
}

static bool carries(const struct ronde_plan *plan, const struct nodes_state *state)
{
	return plan->me < state->carriers;
}

static struct ronde_range chunk_at(const struct nodes_state *state, uint64_t c)
{
	return ronde_layout_chunk(state->total, state->chunk_bytes, c);
}

/* The own slice; nothing for those who carry none. */
static struct ronde_range slice_at(const struct ronde_plan *plan, const struct nodes_state *state,
				   uint64_t c)
{
	struct ronde_range chunk = chunk_at(state, c);
	if (!carries(plan, state))
		return (struct ronde_range){chunk.end, chunk.end};
	return ronde_slice(chunk, state->carriers, plan->me);
}

static struct ronde_range part_at(const struct ronde_plan *plan, const struct nodes_state *state,
				  uint64_t c, int node)
{
	struct ronde_range slice = slice_at(plan, state, c);
	return state->direct ? slice : ronde_slice(slice, plan->span->nodes, node);
}

/* Where the result of a position of the own slice goes; what it was packed around. */
static unsigned char *result_at(const struct ronde_plan *plan, const struct nodes_state *state,
				uint64_t c, uint64_t at)
{
	return ronde_staging_area(plan, c, plan->me) + (at - c * state->chunk_bytes);
}

static unsigned char *sums_at(const struct ronde_plan *plan, const struct nodes_state *state,
			      uint64_t c, uint64_t at)
{
	return ronde_staging_area(plan, c, plan->me) + state->chunk_bytes +
	       (at - slice_at(plan, state, c).begin) * state->wide;
}

/* The own part's sums of another node. */
static unsigned char *others_at(const struct ronde_plan *plan, const struct nodes_state *state,
				uint64_t c, int node)
{
	struct ronde_range slice = slice_at(plan, state, c);
	uint64_t part = state->direct ? slice.end - slice.begin
				      : ronde_slice_bytes(slice, plan->span->nodes);
	uint64_t place = (uint64_t)(node < plan->span->node ? node : node - 1);
	return sums_at(plan, state, c, slice.end) + place * part * state->wide;
}

static int row_of(uint64_t c, int kind)
{
	return (int)(c % RONDE_STAGING_SLOTS) * ROWS + kind;
}

static int post_receives(const struct ronde_plan *plan, const struct nodes_state *state, uint64_t c)
{
	int status = RONDE_OK;
	struct ronde_range mine = part_at(plan, state, c, plan->span->node);
	for (int k = 0; k < plan->span->nodes && !status; k++) {
		struct ronde_range theirs = part_at(plan, state, c, k);
		if (k == plan->span->node)
			continue;
		if (mine.begin < mine.end)
			status = ronde_message_receive(plan, row_of(c, SUMS_IN), k, plan->me, SUMS,
						       others_at(plan, state, c, k),
						       (mine.end - mine.begin) * state->wide);
		if (!status && !state->direct && theirs.begin < theirs.end)
			status = ronde_message_receive(
				plan, row_of(c, RESULTS_IN), k, plan->me, RESULTS,
				result_at(plan, state, c, theirs.begin), theirs.end - theirs.begin);
	}
	return status;
}

static int send_sums(const struct ronde_plan *plan, const struct nodes_state *state, uint64_t c)
{
	int status = RONDE_OK;
	for (int k = 0; k < plan->span->nodes && !status; k++) {
		struct ronde_range theirs = part_at(plan, state, c, k);
		if (k != plan->span->node && theirs.begin < theirs.end)
			status = ronde_message_send(plan, row_of(c, SUMS_OUT), k, plan->me, SUMS,
						    sums_at(plan, state, c, theirs.begin),
						    (theirs.end - theirs.begin) * state->wide);
	}
	return status;
}

static int send_results(const struct ronde_plan *plan, const struct nodes_state *state, uint64_t c)
{
	int status = RONDE_OK;
	struct ronde_range mine = part_at(plan, state, c, plan->span->node);
	bool some = !state->direct && mine.begin < mine.end;
	for (int k = 0; k < plan->span->nodes && !status && some; k++) {
		if (k != plan->span->node)
			status = ronde_message_send(plan, row_of(c, RESULTS_OUT), k, plan->me,
						    RESULTS, result_at(plan, state, c, mine.begin),
						    mine.end - mine.begin);
	}
	return status;
}

/* Each of the five below does some work and takes it off the budget, or returns false; errors go to
 * *status. */

static bool pack(const struct ronde_plan *plan, struct nodes_state *state, size_t *budget,
		 int *status)
{
	struct phase *phase = &state->pack;
	uint64_t c = phase->chunk;
	if (c == state->chunks || !ronde_slot_is_free(plan, c, state->unpack.chunk))
		return false;

	ronde_phase_enter(plan->phases, RONDE_PHASE_PACK);
	if (state->posted == c && carries(plan, state)) {
		state->posted++;
		*status = post_receives(plan, state, c);
		if (*status)
			return false;
	}
	struct ronde_range chunk = chunk_at(state, c);
	struct ronde_range mine = slice_at(plan, state, c);
	unsigned char *area = ronde_staging_area(plan, c, plan->me);
	while (phase->walk.at < chunk.end && *budget) {
		uint64_t at = phase->walk.at;
		if (at == mine.begin && mine.begin < mine.end) {
			ronde_walk_skip(&phase->walk, plan, mine.end);
			continue;
		}
		struct ronde_span span = ronde_walk_next(
			&phase->walk, plan, at < mine.begin ? mine.begin : chunk.end, *budget);
		memcpy(area + (at - chunk.begin),
		       (const unsigned char *)span.piece->input + span.offset, span.bytes);
		ronde_spend(budget, span.bytes);
	}
	if (phase->walk.at == chunk.end) {
		phase->chunk++;
		ronde_lane_publish(plan, RONDE_PACKED, phase->chunk);
	}
	return true;
}

/* The sums of what fills a piece up to the grain are zeroes: they are sent, too. */
static void add_inputs(const struct ronde_plan *plan, const struct nodes_state *state, uint64_t c,
		       uint64_t at, uint64_t end, struct ronde_span span)
{
	const void *sources[RONDE_MAX_LOCAL_SIZE];
	const struct ronde_reduce_spec spec = ronde_parts_of_node(plan);
	unsigned char *sums = sums_at(plan, state, c, at);
	void *destination = sums;
	for (int m = 0; m < plan->n; m++) {
		sources[m] = ronde_staging_area(plan, c, m) + (at - c * state->chunk_bytes);
		ronde_traffic_read(plan, m, span.bytes, false);
	}
	sources[plan->me] = (const unsigned char *)span.piece->input + span.offset;
	ronde_reduce_members(plan, &spec, &destination, 1, sources, span.bytes / plan->element);
	memset(sums + span.bytes * state->wide, 0, (end - at - span.bytes) * state->wide);
}

static bool partial(const struct ronde_plan *plan, struct nodes_state *state, size_t *budget,
		    int *status)
{
	struct phase *phase = &state->partial;
	uint64_t c = phase->chunk;
	if (!carries(plan, state) || c == state->pack.chunk ||
	    !ronde_lane_all_reached(plan, RONDE_PACKED, c + 1))
		return false;

	ronde_phase_enter(plan->phases, RONDE_PHASE_REDUCE);
	struct ronde_range mine = slice_at(plan, state, c);
	if (phase->walk.at < mine.begin)
		ronde_walk_skip(&phase->walk, plan, mine.begin);
	while (phase->walk.at < mine.end && *budget) {
		uint64_t at = phase->walk.at;
		struct ronde_span span =
			ronde_walk_next(&phase->walk, plan, mine.end, REDUCE_BLOCK);
		add_inputs(plan, state, c, at, phase->walk.at, span);
		ronde_spend(budget, span.bytes * (size_t)plan->n);
	}
	if (phase->walk.at >= mine.end) {
		ronde_walk_skip(&phase->walk, plan, chunk_at(state, c).end);
		phase->chunk++;
		*status = send_sums(plan, state, c);
	}
	return true;
}

/* A part is not large: the n-th of a slice. */
static void add_nodes(const struct ronde_plan *plan, const struct nodes_state *state, uint64_t c,
		      struct ronde_range mine)
{
	const void *leaves[RONDE_MAX_SPAN_LEAVES];
	const struct ronde_reduce_spec spec = ronde_parts_of_all(plan);
	void *result = result_at(plan, state, c, mine.begin);
	memset(leaves, 0, (size_t)ronde_span_leaves(plan->span) * sizeof *leaves);
	for (int k = 0; k < plan->span->nodes; k++)
		leaves[ronde_span_leaf(plan->span, k)] =
			k == plan->span->node ? sums_at(plan, state, c, mine.begin)
					      : others_at(plan, state, c, k);
	plan->kernels->reduce(&spec, &result, 1, leaves, ronde_span_leaves(plan->span),
			      (mine.end - mine.begin) / plan->element);
}

static bool total(const struct ronde_plan *plan, struct nodes_state *state, size_t *budget,
		  int *status)
{
	uint64_t c = state->totalled;
	bool here;
	if (c == state->partial.chunk)
		return false;
	*status = ronde_messages_finish(plan, row_of(c, SUMS_IN), &here);
	if (*status || !here)
		return false;

	struct ronde_range mine = part_at(plan, state, c, plan->span->node);
	ronde_phase_enter(plan->phases, RONDE_PHASE_REDUCE);
	if (mine.begin < mine.end)
		add_nodes(plan, state, c, mine);
	ronde_spend(budget, (mine.end - mine.begin) * (size_t)plan->span->nodes);
	state->totalled++;
	*status = send_results(plan, state, c);
	return true;
}

static bool settle(const struct ronde_plan *plan, struct nodes_state *state, int *status)
{
	uint64_t c = state->settled;
	if (c == state->totalled)
		return false;
	for (int kind = RESULTS_IN; kind < ROWS; kind++) {
		bool all;
		*status = ronde_messages_finish(plan, row_of(c, kind), &all);
		if (*status || !all)
			return false;
	}
	state->settled++;
	ronde_lane_publish(plan, RONDE_REDUCED, state->settled);
	return true;
}

static bool unpack(const struct ronde_plan *plan, struct nodes_state *state, size_t *budget)
{
	struct phase *phase = &state->unpack;
	uint64_t c = phase->chunk;
	if (c == (carries(plan, state) ? state->settled : state->pack.chunk))
		return false;

	struct ronde_range chunk = chunk_at(state, c);
	uint64_t slice_bytes = ronde_slice_bytes(chunk, state->carriers);
	bool worked = false;
	while (phase->walk.at < chunk.end && *budget) {
		uint64_t at = phase->walk.at;
		int owner = (int)((at - chunk.begin) / slice_bytes);
		if (owner != plan->me && !ronde_lane_reached(plan, owner, RONDE_REDUCED, c + 1))
			return worked;
		ronde_phase_enter(plan->phases, RONDE_PHASE_UNPACK);
		struct ronde_span span =
			ronde_walk_next(&phase->walk, plan,
					ronde_slice(chunk, state->carriers, owner).end, *budget);
		ronde_traffic_read(plan, owner, span.bytes, true);
		memcpy((unsigned char *)span.piece->output + span.offset,
		       ronde_staging_area(plan, c, owner) + (at - chunk.begin), span.bytes);
		ronde_spend(budget, span.bytes);
		worked = true;
	}
	if (phase->walk.at == chunk.end) {
		phase->chunk++;
		ronde_lane_publish(plan, RONDE_UNPACKED, phase->chunk);
	}
	return true;
}

enum ronde_progress ronde_allreduce_nodes_step(struct ronde_operation *operation)
{
	struct nodes_state *state = RONDE_STATE(operation, nodes_state);
	const struct ronde_plan *plan = &operation->plan;
	size_t budget = RONDE_STEP_BYTES;
	bool worked = false;
	int *status = &operation->status;

	/* What others wait for first: what is seen by the other nodes before what is by this one.
	 */
	while (budget && !*status &&
	       (total(plan, state, &budget, status) ||
		(!*status && partial(plan, state, &budget, status)) ||
		(!*status && settle(plan, state, status)) ||
		(!*status && (unpack(plan, state, &budget) || pack(plan, state, &budget, status)))))
		worked = true;

	if (*status || state->unpack.chunk == state->chunks)
		return ronde_lane_leave(plan, state->chunks + 1);
	return worked ? RONDE_PROGRESS_SOME : RONDE_PROGRESS_NONE;
}

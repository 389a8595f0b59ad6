/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allgather over nodes. What the ranks of a node bring stands behind each other, and is cut into
 * chunks, a chunk into one slice for each carrier (span.h). The ranks pack a chunk straight into
 * the areas of the slices' carriers; each carrier sends its slice to the carrier of the same number
 * on every other node; all ranks copy from the carriers' areas to where rows belong in their
 * result.
 *
 * It is done twice: first for 8 bytes of each rank, its number of rows, and when that is known for
 * the rows. On 2 nodes × 2 ranks, of which rank 0 brings a b c, 1 d, 2 nothing, 3 e (ranks 0 and 1
 * are on node 0), 2 rows to a slice, after the numbers:
 *
 *             rank 0 (node 0)     rank 1             rank 2 (node 1)    rank 3
 *   chunk 0   area: a b | e       area: c d |        area: e | a b      area: | c d
 *   sends     a b to rank 2       c d to rank 3      e to rank 0        nothing to rank 1
 *
 * A carrier sends to each other node in every round, and be it nothing, unless no node has a
 * slice for its number: so none is further ahead of another than the slots of the staging, and
 * what is under way stays bounded even if one of them has nothing to say.
 *
 * An area: a slice of each node, in the order of nodes.
 *
 * What must wait for what (c: chunk, S: slots; the counters are the others' on the node):
 *   post c, pack c   all unpacked c+1-S, and so have I
 *   send c           all packed c+1; I have posted c
 *   copy c           own node's: its owner packed c+1; others': the slice's carrier reduced c+1,
 *                    which it says when all that others send it for c is here
 *   A rank says unpacked c+1 when its messages for c are through, too: they are sent from there.
 */
#include <string.h>

#include "collectives/algorithms/algorithms.h"
#include "collectives/algorithms/gather.h"
#include "collectives/algorithms/lane.h"
#include "collectives/algorithms/messages.h"
#include "collectives/algorithms/traffic.h"

/* Rows of messages of a slot. */
enum { IN, OUT, ROWS };
_Static_assert(ROWS *RONDE_STAGING_SLOTS <= RONDE_SPAN_FLIGHT, "no room for the messages");

/* What is gathered now. Between the two a rank asks for memory. */
enum stage { NUMBERS, ROWS_OF_ALL };

struct gather_state {
	enum stage stage;
	bool asked; /* for memory, and answered */
	int lost;   /* the status of a message that failed */
	int32_t carriers;
	uint64_t room;            /* for a slice, in an area */
	uint64_t first, chunks;   /* the stage's first chunk, and one past its last */
	uint64_t most;            /* bytes of the node that brings most */
	uint64_t begin, end;      /* the own bytes in those of the node … */
	uint64_t packing;         /* … and how far they are packed */
	uint64_t posted, packed;  /* chunks */
	uint64_t sent, received;  /* of the own slice */
	uint64_t copied, settled; /* settled: and the messages are through */
	int place, member;        /* whose bytes are copied now, places from the own node on */
	uint64_t before, at; /* in the node's: where the member's begin; of the chunk: copied */
	unsigned char *result;
};
RONDE_STATE_FITS(gather_state);

static uint64_t room_for(const struct ronde_plan *plan)
{
	return plan->chunk_bytes / (uint64_t)plan->span->nodes & ~(RONDE_GRAIN - 1);
}

bool ronde_allgather_nodes_fits(const struct ronde_plan *plan)
{
	return room_for(plan) >= RONDE_GRAIN;
}

/* Bytes that a member of a node brings. */
static uint64_t member_bytes(const struct ronde_plan *plan, const struct gather_state *state,
			     int node, int member)
{
	if (state->stage == NUMBERS)
		return sizeof plan->rows;
	return (uint64_t)plan->received[plan->span->positions[node][member]] * plan->row_bytes;
}

static const unsigned char *input_of(const struct ronde_plan *plan,
				     const struct gather_state *state)
{
	return state->stage == NUMBERS ? (const unsigned char *)&plan->rows
				       : (const unsigned char *)plan->pieces[0].input;
}

static uint64_t node_bytes(const struct ronde_plan *plan, const struct gather_state *state,
			   int node)
{
	uint64_t bytes = 0;
	for (int m = 0; m < plan->span->members[node]; m++)
		bytes += member_bytes(plan, state, node, m);
	return bytes;
}

static void begin_stage(const struct ronde_plan *plan, struct gather_state *state, enum stage stage)
{
	state->stage = stage;
	state->first = state->chunks;
	state->most = 0;
	for (int k = 0; k < plan->span->nodes; k++) {
		uint64_t bytes = node_bytes(plan, state, k);
		state->most = bytes > state->most ? bytes : state->most;
	}
	state->chunks += ronde_chunk_count(state->most, state->room * (uint64_t)state->carriers);
	state->begin = 0;
	for (int m = 0; m < plan->me; m++)
		state->begin += member_bytes(plan, state, plan->span->node, m);
	state->end = state->begin + member_bytes(plan, state, plan->span->node, plan->me);
	state->packing = state->begin;
}

void ronde_allgather_nodes_start(struct ronde_operation *operation)
{
	struct gather_state *state = RONDE_STATE(operation, gather_state);
	const struct ronde_plan *plan = &operation->plan;

	ronde_staging_check(plan);
	*state = (struct gather_state){.carriers = ronde_span_carriers(plan->span),
				       .room = room_for(plan)};
	ronde_messages_start(plan);
	begin_stage(plan, state, NUMBERS);
}

static bool carries(const struct ronde_plan *plan, const struct gather_state *state)
{
	return plan->me < state->carriers;
}

/* A chunk of what a node with `bytes` bytes brings; empty behind their end. */
static struct ronde_range chunk_at(const struct gather_state *state, uint64_t c, uint64_t bytes)
{
	struct ronde_range chunk = ronde_layout_chunk(
		bytes, state->room * (uint64_t)state->carriers, c - state->first);
	if (chunk.begin > chunk.end)
		chunk.begin = chunk.end;
	return chunk;
}

/* Bytes of a slice of chunk c, at most; the same for all nodes. */
static uint64_t slice_bytes(const struct gather_state *state, uint64_t c)
{
	return ronde_slice_bytes(chunk_at(state, c, state->most), state->carriers);
}

/* What a node has in the own slice. */
static uint64_t own_slice(const struct ronde_plan *plan, const struct gather_state *state,
			  uint64_t c, int node)
{
	struct ronde_range chunk = chunk_at(state, c, node_bytes(plan, state, node));
	uint64_t slice = slice_bytes(state, c), before = slice * (uint64_t)plan->me;
	uint64_t bytes = chunk.end - chunk.begin > before ? chunk.end - chunk.begin - before : 0;
	return bytes < slice ? bytes : slice;
}

/* Does any node have something in the own slice? */
static bool exchanges(const struct ronde_plan *plan, const struct gather_state *state, uint64_t c)
{
	struct ronde_range chunk = chunk_at(state, c, state->most);
	return slice_bytes(state, c) * (uint64_t)plan->me < chunk.end - chunk.begin;
}

static unsigned char *slice_place(const struct ronde_plan *plan, const struct gather_state *state,
				  uint64_t c, int carrier, int node)
{
	return ronde_staging_area(plan, c, carrier) + (uint64_t)node * state->room;
}

static int row_of(uint64_t c, int kind)
{
	return (int)(c % RONDE_STAGING_SLOTS) * ROWS + kind;
}

/* Each of these does some work, or returns false; errors of messages go to state->lost. */

static bool post(const struct ronde_plan *plan, struct gather_state *state)
{
	uint64_t c = state->posted;
	if (!carries(plan, state) || c == state->chunks ||
	    !ronde_slot_is_free(plan, c, state->settled))
		return false;
	bool some = exchanges(plan, state, c);
	for (int k = 0; k < plan->span->nodes && some && !state->lost; k++) {
		if (k != plan->span->node)
			state->lost = ronde_message_receive(
				plan, row_of(c, IN), k, plan->me, 0,
				slice_place(plan, state, c, plan->me, k), state->room);
	}
	state->posted++;
	return true;
}

static bool pack(const struct ronde_plan *plan, struct gather_state *state, size_t *budget)
{
	uint64_t c = state->packed;
	if (c == state->chunks || !ronde_slot_is_free(plan, c, state->settled))
		return false;

	ronde_phase_enter(plan->phases, RONDE_PHASE_PACK);
	struct ronde_range chunk = chunk_at(state, c, state->most);
	uint64_t slice = slice_bytes(state, c);
	uint64_t end = state->end < chunk.end ? state->end : chunk.end;
	const unsigned char *input = input_of(plan, state);
	while (state->packing < end && *budget) {
		uint64_t at = state->packing - chunk.begin, left = slice - at % slice;
		if (left > end - state->packing)
			left = end - state->packing;
		size_t now = (size_t)(left < *budget ? left : *budget);
		memcpy(slice_place(plan, state, c, (int)(at / slice), plan->span->node) +
			       at % slice,
		       input + (state->packing - state->begin), now);
		state->packing += now;
		ronde_spend(budget, now);
	}
	if (state->packing >= end)
		ronde_lane_publish(plan, RONDE_PACKED, ++state->packed);
	return true;
}

static bool send(const struct ronde_plan *plan, struct gather_state *state)
{
	uint64_t c = state->sent;
	if (!carries(plan, state) || c == state->posted || c == state->packed ||
	    !ronde_lane_all_reached(plan, RONDE_PACKED, c + 1))
		return false;
	int me = plan->span->node;
	bool some = exchanges(plan, state, c);
	uint64_t bytes = own_slice(plan, state, c, me);
	for (int k = 0; k < plan->span->nodes && some && !state->lost; k++) {
		if (k != me)
			state->lost = ronde_message_send(plan, row_of(c, OUT), k, plan->me, 0,
							 slice_place(plan, state, c, plan->me, me),
							 bytes);
	}
	state->sent++;
	return true;
}

static bool receive(const struct ronde_plan *plan, struct gather_state *state)
{
	uint64_t c = state->received;
	bool here;
	if (c == state->posted)
		return false;
	state->lost = ronde_messages_finish(plan, row_of(c, IN), &here);
	if (state->lost || !here)
		return false;
	ronde_lane_publish(plan, RONDE_REDUCED, ++state->received);
	return true;
}

/* The owner of the next byte of node k; and whether it is here. */
static bool next_source(const struct ronde_plan *plan, struct gather_state *state, int k,
			uint64_t at, int carrier)
{
	uint64_t c = state->copied, bytes = member_bytes(plan, state, k, state->member);
	while (state->before + bytes <= at) {
		state->before += bytes;
		bytes = member_bytes(plan, state, k, ++state->member);
	}
	if (k == plan->span->node)
		return state->member == plan->me ||
		       ronde_lane_reached(plan, state->member, RONDE_PACKED, c + 1);
	return carrier == plan->me ? state->received > c
				   : ronde_lane_reached(plan, carrier, RONDE_REDUCED, c + 1);
}

/* Copies some of node k's chunk; false: it is not here yet. */
static bool copy_some(const struct ronde_plan *plan, struct gather_state *state, int k,
		      struct ronde_range chunk, size_t *budget)
{
	uint64_t slice = slice_bytes(state, state->copied), at = chunk.begin + state->at;
	int carrier = (int)(state->at / slice);
	if (!next_source(plan, state, k, at, carrier))
		return false;
	uint64_t end = state->before + member_bytes(plan, state, k, state->member);
	uint64_t cut = chunk.begin + ((uint64_t)carrier + 1) * slice;
	end = end < cut ? end : cut;
	end = end < chunk.end ? end : chunk.end;
	size_t now = (size_t)(end - at < *budget ? end - at : *budget);

	int position = plan->span->positions[k][state->member];
	const unsigned char *from =
		slice_place(plan, state, state->copied, carrier, k) + state->at % slice;
	unsigned char *to = (unsigned char *)&plan->received[position];
	bool own = k == plan->span->node && state->member == plan->me;
	if (state->stage != NUMBERS)
		to = state->result + (uint64_t)plan->begins[position] * plan->row_bytes;
	if (own)
		from = input_of(plan, state) + (at - state->before);
	else
		ronde_traffic_read(plan, carrier, now, true);
	to += at - state->before;
	if (from != to)
		memcpy(to, from, now);
	state->at += now;
	ronde_spend(budget, now);
	return true;
}

static bool copy(const struct ronde_plan *plan, struct gather_state *state, size_t *budget)
{
	bool worked = false;
	if (state->copied == state->chunks || (state->stage != NUMBERS && !state->result))
		return false;
	ronde_phase_enter(plan->phases, RONDE_PHASE_UNPACK);
	while (state->place < plan->span->nodes) {
		int k = (plan->span->node + state->place) % plan->span->nodes;
		struct ronde_range chunk =
			chunk_at(state, state->copied, node_bytes(plan, state, k));
		while (chunk.begin + state->at < chunk.end) {
			if (!*budget || !copy_some(plan, state, k, chunk, budget))
				return worked;
			worked = true;
		}
		state->at = state->before = 0;
		state->member = 0;
		state->place++;
	}
	state->place = 0;
	state->copied++;
	return true;
}

/* Chunk c is copied, sent and through. */
static bool settle(const struct ronde_plan *plan, struct gather_state *state)
{
	uint64_t c = state->settled;
	if (c == state->copied || c == state->packed ||
	    (carries(plan, state) && (c == state->sent || c == state->received)))
		return false;
	return ronde_messages_settle(plan, row_of(c, OUT), &state->settled, &state->lost);
}

/* All numbers are known: where everybody's rows begin follows from them. */
static bool turn_to_rows(const struct ronde_plan *plan, struct gather_state *state)
{
	if (state->stage != NUMBERS || state->settled < state->chunks)
		return false;
	int total = ronde_span_total(plan->span);
	plan->begins[0] = 0;
	for (int p = 1; p < total; p++)
		plan->begins[p] = plan->begins[p - 1] + plan->received[p - 1];
	begin_stage(plan, state, ROWS_OF_ALL);
	return true;
}

/* A rank serves the others while it has no memory, and if it gets none. */
static bool allocate(struct ronde_operation *operation, struct gather_state *state)
{
	const struct ronde_plan *plan = &operation->plan;
	if (state->stage == NUMBERS || state->asked ||
	    !ronde_gather_allocate(operation, plan->received, &state->result))
		return false;
	state->asked = true;
	if (!state->result)
		state->copied = state->chunks;
	return true;
}

enum ronde_progress ronde_allgather_nodes_step(struct ronde_operation *operation)
{
	struct gather_state *state = RONDE_STATE(operation, gather_state);
	const struct ronde_plan *plan = &operation->plan;
	size_t budget = RONDE_STEP_BYTES;
	bool worked = false;

	/* What the other nodes wait for first, then what this one does. */
	while (budget && !state->lost &&
	       (turn_to_rows(plan, state) || allocate(operation, state) || receive(plan, state) ||
		(!state->lost && send(plan, state)) || (!state->lost && settle(plan, state)) ||
		(!state->lost && post(plan, state)) ||
		(!state->lost && (pack(plan, state, &budget) || copy(plan, state, &budget)))))
		worked = true;

	if (state->lost)
		operation->status = state->lost;
	if (state->lost || (state->asked && state->settled == state->chunks))
		return ronde_lane_leave(plan, state->chunks + 1);
	return worked ? RONDE_PROGRESS_SOME : RONDE_PROGRESS_NONE;
}

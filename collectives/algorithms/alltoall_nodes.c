/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Alltoall over nodes: pairs of ranks exchange directly, over the fabric or, on one node, through
 * its staging. In step t a rank has one peer on each node for what it sends, and one for what it
 * gets: those whose member numbers are t more, and t less, than its own, mod the members of the
 * largest node (Thakur, Rabenseifner and Gropp, "Optimization of Collective Communication
 * Operations in MPICH", 2005, section 3.4). On nodes with 2 and 1 members, 0a, 0b and 1a:
 *
 *   step 0    0a to 0a and 1a, 0b to 0b, 1a to 1a and 0a
 *   step 1    0a to 0b, 0b to 0a and 1a, 1a to 0b
 *
 * First each tells each other how many rows come; then rows go, as much as a cell holds to each
 * peer in a round of all steps, and as many rounds as the largest split takes. A pair of which one
 * has something for the other in a round sends in both directions, and be it nothing: so a rank is
 * never further ahead of another that it sends to than a round and the slots of the staging.
 *
 * An area: a cell for each node that goes out, that of the own node read by its ranks | a cell from
 * each node that has come in.
 *
 * What must wait for what (c: chunk, that is a step of a round; S: slots):
 *   post c, pack c   all on the node unpacked c+1-S, and so have I
 *   send c           I have posted and packed c
 *   copy c           what others send me for c is here; the peer on the node packed c+1
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

/* What a rank tells another first. */
struct word {
	int64_t rows, most, astray;
};
_Static_assert(sizeof(struct word) <= RONDE_GRAIN, "a word must fit the smallest cell");

enum stage { WORDS, ROWS_OF_ALL };

struct alltoall_state {
	enum stage stage;
	bool asked;                    /* for memory, and answered */
	int lost;                      /* the status of a message that failed */
	int32_t steps;                 /* members of the largest node */
	uint64_t cell;                 /* bytes */
	uint64_t first, chunks;        /* the stage's first chunk, and one past its last */
	int64_t most;                  /* rows of any rank for another, as far as known */
	uint64_t posted, packed;       /* chunks; packed: and sent */
	uint64_t received;             /* what comes from other nodes is here */
	uint64_t copied, settled;      /* settled: and the messages are through */
	int32_t pack_node, copy_node;  /* whose cell is packed and copied now … */
	uint64_t pack_done, copy_done; /* … and bytes of it that are */
	unsigned char *result;
};
RONDE_STATE_FITS(alltoall_state);

static uint64_t cell_for(const struct ronde_plan *plan)
{
	return plan->chunk_bytes / (2 * (uint64_t)plan->span->nodes) & ~(RONDE_GRAIN - 1);
}

bool ronde_alltoall_nodes_fits(const struct ronde_plan *plan)
{
	return cell_for(plan) >= RONDE_GRAIN;
}

static int position_of_me(const struct ronde_plan *plan)
{
	return plan->span->positions[plan->span->node][plan->me];
}

/* begins[]: where what is for each member begins in the input, in rows. */
void ronde_alltoall_nodes_start(struct ronde_operation *operation)
{
	struct alltoall_state *state = RONDE_STATE(operation, alltoall_state);
	const struct ronde_plan *plan = &operation->plan;
	int64_t begin = 0;

	ronde_staging_check(plan);
	*state = (struct alltoall_state){.cell = cell_for(plan)};
	for (int k = 0; k < plan->span->nodes; k++)
		if (plan->span->members[k] > state->steps)
			state->steps = plan->span->members[k];
	state->chunks = (uint64_t)state->steps;
	for (int p = 0; p < ronde_span_total(plan->span); p++) {
		plan->begins[p] = begin;
		begin += plan->splits[p];
		state->most = plan->splits[p] > state->most ? plan->splits[p] : state->most;
	}
	ronde_messages_start(plan);
}

/* ---- who, and how much ---- */

static int step_of(const struct alltoall_state *state, uint64_t c)
{
	return (int)((c - state->first) % (uint64_t)state->steps);
}

/* Where in what each has for another the cells of chunk c begin. */
static uint64_t begin_of(const struct alltoall_state *state, uint64_t c)
{
	return (c - state->first) / (uint64_t)state->steps * state->cell;
}

/* The members of a node that this rank sends to, and gets from; -1: none in this step. */
static int peer_to(const struct ronde_plan *plan, const struct alltoall_state *state, uint64_t c,
		   int node)
{
	int member = (plan->me + step_of(state, c)) % state->steps;
	return member < plan->span->members[node] ? member : -1;
}

static int peer_from(const struct ronde_plan *plan, const struct alltoall_state *state, uint64_t c,
		     int node)
{
	int member = (plan->me + state->steps - step_of(state, c)) % state->steps;
	return member < plan->span->members[node] ? member : -1;
}

/* All bytes that this rank has for a member, and gets from it. */
static uint64_t bytes_to(const struct ronde_plan *plan, const struct alltoall_state *state,
			 int position)
{
	return state->stage == WORDS ? sizeof(struct word)
				     : (uint64_t)plan->splits[position] * plan->row_bytes;
}

static uint64_t bytes_from(const struct ronde_plan *plan, const struct alltoall_state *state,
			   int position)
{
	return state->stage == WORDS ? sizeof(struct word)
				     : (uint64_t)plan->received[position] * plan->row_bytes;
}

/* How much of `bytes` is in chunk c's cell. */
static uint64_t part_of(const struct alltoall_state *state, uint64_t c, uint64_t bytes)
{
	uint64_t begin = begin_of(state, c), left = bytes > begin ? bytes - begin : 0;
	return left < state->cell ? left : state->cell;
}

/* Does this rank exchange messages with a member of another node in this round? */
static bool exchanges(const struct ronde_plan *plan, const struct alltoall_state *state, uint64_t c,
		      int node, int member)
{
	if (member < 0 || node == plan->span->node)
		return false;
	int position = plan->span->positions[node][member];
	return part_of(state, c, bytes_to(plan, state, position)) ||
	       part_of(state, c, bytes_from(plan, state, position));
}

static unsigned char *cell_at(const struct ronde_plan *plan, const struct alltoall_state *state,
			      uint64_t c, int member, int node, bool came_in)
{
	int place = came_in ? plan->span->nodes + node : node;
	return ronde_staging_area(plan, c, member) + (uint64_t)place * state->cell;
}

static int row_of(uint64_t c, int kind)
{
	return (int)(c % RONDE_STAGING_SLOTS) * ROWS + kind;
}

/* ---- what is done; each works some, or returns false; errors of messages go to state->lost ----
 */

static bool post(const struct ronde_plan *plan, struct alltoall_state *state)
{
	uint64_t c = state->posted;
	if (c == state->chunks || !ronde_slot_is_free(plan, c, state->settled))
		return false;
	for (int k = 0; k < plan->span->nodes && !state->lost; k++) {
		int from = peer_from(plan, state, c, k);
		if (exchanges(plan, state, c, k, from))
			state->lost = ronde_message_receive(
				plan, row_of(c, IN), k, from, 0,
				cell_at(plan, state, c, plan->me, k, true), state->cell);
	}
	state->posted++;
	return true;
}

/* Packs some of a cell for a node's member and sends it when it is full; false: it is not. */
static bool pack_cell(const struct ronde_plan *plan, struct alltoall_state *state, int node,
		      size_t *budget)
{
	uint64_t c = state->packed;
	int to = peer_to(plan, state, c, node);
	if (to < 0 || (node == plan->span->node && to == plan->me))
		return true;
	int position = plan->span->positions[node][to];
	uint64_t part = part_of(state, c, bytes_to(plan, state, position));
	unsigned char *cell = cell_at(plan, state, c, plan->me, node, false);
	size_t now = (size_t)(part - state->pack_done);
	now = now < *budget ? now : *budget;
	if (state->stage == WORDS) {
		struct word word = {plan->splits[position], state->most,
				    plan->astray[position_of_me(plan)]};
		memcpy(cell, &word, sizeof word);
		now = sizeof word;
	} else if (now) {
		memcpy(cell + state->pack_done,
		       (const unsigned char *)plan->pieces[0].input +
			       (uint64_t)plan->begins[position] * plan->row_bytes +
			       begin_of(state, c) + state->pack_done,
		       now);
	}
	state->pack_done += now;
	ronde_spend(budget, now);
	if (state->pack_done < part)
		return false;
	if (exchanges(plan, state, c, node, to))
		state->lost = ronde_message_send(plan, row_of(c, OUT), node, to, 0, cell, part);
	return true;
}

/* The next node first, the own one last: not all send to the same. */
static bool pack(const struct ronde_plan *plan, struct alltoall_state *state, size_t *budget)
{
	if (state->packed == state->posted)
		return false;
	ronde_phase_enter(plan->phases, RONDE_PHASE_PACK);
	while (state->pack_node < plan->span->nodes) {
		int k = (plan->span->node + 1 + state->pack_node) % plan->span->nodes;
		if (!*budget || !pack_cell(plan, state, k, budget) || state->lost)
			return true;
		state->pack_done = 0;
		state->pack_node++;
	}
	state->pack_node = 0;
	ronde_lane_publish(plan, RONDE_PACKED, ++state->packed);
	return true;
}

static bool receive(const struct ronde_plan *plan, struct alltoall_state *state)
{
	uint64_t c = state->received;
	bool here;
	if (c == state->posted)
		return false;
	state->lost = ronde_messages_finish(plan, row_of(c, IN), &here);
	if (state->lost || !here)
		return false;
	state->received++;
	return true;
}

static void hear(const struct ronde_plan *plan, struct alltoall_state *state, int position,
		 const unsigned char *cell)
{
	struct word word = {plan->splits[position], 0, plan->astray[position]};
	if (position != position_of_me(plan))
		memcpy(&word, cell, sizeof word);
	plan->received[position] = word.rows;
	plan->astray[position] = word.astray;
	state->most = word.most > state->most ? word.most : state->most;
}

/* Where the part of a member of a node is; NULL: not here yet. */
static const unsigned char *source_of(const struct ronde_plan *plan,
				      const struct alltoall_state *state, int node, int from)
{
	uint64_t c = state->copied;
	if (node != plan->span->node)
		return state->received > c ? cell_at(plan, state, c, plan->me, node, true) : NULL;
	if (from != plan->me)
		return ronde_lane_reached(plan, from, RONDE_PACKED, c + 1)
			       ? cell_at(plan, state, c, from, node, false)
			       : NULL;
	if (state->stage == WORDS)
		return (const unsigned char *)plan->splits;
	return (const unsigned char *)plan->pieces[0].input +
	       (uint64_t)plan->begins[position_of_me(plan)] * plan->row_bytes + begin_of(state, c);
}

/* Copies some of a node's cell into the result; false: it is not here, or not all done. */
static bool copy_cell(const struct ronde_plan *plan, struct alltoall_state *state, int node,
		      size_t *budget, bool *worked)
{
	uint64_t c = state->copied;
	int from = peer_from(plan, state, c, node);
	if (from < 0)
		return true;
	int position = plan->span->positions[node][from];
	uint64_t part = part_of(state, c, bytes_from(plan, state, position));
	const unsigned char *source = part ? source_of(plan, state, node, from) : NULL;
	if (!part)
		return true;
	if (!source)
		return false;
	*worked = true;
	if (state->stage == WORDS) {
		hear(plan, state, position, source);
		return true;
	}
	size_t now = (size_t)(part - state->copy_done);
	now = now < *budget ? now : *budget;
	ronde_traffic_read(plan, node == plan->span->node ? from : plan->me, now, true);
	memcpy(state->result + (uint64_t)plan->astray[position] * plan->row_bytes +
		       begin_of(state, c) + state->copy_done,
	       source + state->copy_done, now);
	state->copy_done += now;
	ronde_spend(budget, now);
	return state->copy_done == part;
}

static bool copy(const struct ronde_plan *plan, struct alltoall_state *state, size_t *budget)
{
	bool worked = false;
	if (state->copied == state->chunks || (state->stage != WORDS && !state->result))
		return false;
	ronde_phase_enter(plan->phases, RONDE_PHASE_UNPACK);
	while (state->copy_node < plan->span->nodes) {
		int k = (plan->span->node + state->copy_node) % plan->span->nodes;
		if (!*budget || !copy_cell(plan, state, k, budget, &worked))
			return worked;
		state->copy_done = 0;
		state->copy_node++;
	}
	state->copy_node = 0;
	state->copied++;
	return true;
}

/* Chunk c is copied, sent and through. */
static bool settle(const struct ronde_plan *plan, struct alltoall_state *state)
{
	uint64_t c = state->settled;
	if (c == state->copied || c == state->packed || c == state->received)
		return false;
	return ronde_messages_settle(plan, row_of(c, OUT), &state->settled, &state->lost);
}

/* All words are known. */
static bool turn_to_rows(const struct ronde_plan *plan, struct alltoall_state *state)
{
	if (state->stage != WORDS || state->settled < state->chunks)
		return false;
	state->stage = ROWS_OF_ALL;
	state->first = state->chunks;
	state->chunks += ronde_chunk_count((uint64_t)state->most * plan->row_bytes, state->cell) *
			 (uint64_t)state->steps;
	return true;
}

/* A rank serves the others while it has no memory, and if it gets none. Then astray[] is where in
 * the result what each has for this rank begins, in rows. */
static bool allocate(struct ronde_operation *operation, struct alltoall_state *state)
{
	const struct ronde_plan *plan = &operation->plan;
	int64_t begin = 0;
	if (state->stage == WORDS || state->asked ||
	    !ronde_gather_allocate(operation, plan->received, &state->result))
		return false;
	state->asked = true;
	if (!state->result)
		state->copied = state->chunks;
	for (int p = 0; p < ronde_span_total(plan->span); p++) {
		plan->astray[p] = begin;
		begin += plan->received[p];
	}
	return true;
}

enum ronde_progress ronde_alltoall_nodes_step(struct ronde_operation *operation)
{
	struct alltoall_state *state = RONDE_STATE(operation, alltoall_state);
	const struct ronde_plan *plan = &operation->plan;
	size_t budget = RONDE_STEP_BYTES;
	bool worked = false;

	/* What the other nodes wait for first, then what this one does. */
	while (budget && !state->lost &&
	       (turn_to_rows(plan, state) || allocate(operation, state) || receive(plan, state) ||
		(!state->lost && settle(plan, state)) || (!state->lost && post(plan, state)) ||
		(!state->lost && (pack(plan, state, &budget) || copy(plan, state, &budget)))))
		worked = true;

	if (state->lost)
		operation->status = state->lost;
	if (state->lost || (state->asked && state->settled == state->chunks))
		return ronde_lane_leave(plan, state->chunks + 1);
	return worked ? RONDE_PROGRESS_SOME : RONDE_PROGRESS_NONE;
}

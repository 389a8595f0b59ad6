/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broadcast over nodes. The root packs a chunk into its area; of that each carrier (span.h) of its
 * node sends one slice to the next nodes, whose carriers receive it into their own areas and send
 * it on. All ranks copy the slices from where they are on their node: the root's area, or the
 * carriers'.
 *
 * The way is a binomial tree for small tensors: few hops. For large ones it is a chain: every node
 * sends a tensor once, and chunks follow each other. From node 0 to 4 others:
 *
 *   tree    0 → 1, 2, 4; 2 → 3          chain   0 → 1 → 2 → 3 → 4
 *
 * What must wait for what (c: chunk, S: slots; the counters are the others' on the node):
 *   pack c      all unpacked c+1-S; receive c likewise, where the root is elsewhere
 *   forward c   the root packed c+1; elsewhere: the slice is received, and reduced = c+1 says so
 *   unpack c    the same, of each slice's carrier
 *   A rank says unpacked c+1 when its messages for c are through, too: they are sent from there.
 */
#include <string.h>

#include "collectives/algorithms/algorithms.h"
#include "collectives/algorithms/lane.h"
#include "collectives/algorithms/messages.h"
#include "collectives/algorithms/traffic.h"

/* From here on a tensor goes by a chain. */
#define CHAIN_BYTES ((uint64_t)1 << 20)

/* Rows of messages of a slot. */
enum { IN, OUT, ROWS };
_Static_assert(ROWS *RONDE_STAGING_SLOTS <= RONDE_SPAN_FLIGHT, "no room for the messages");

struct broadcast_state {
	struct ronde_walk walk; /* of pack, on the root; else of unpack */
	uint64_t total, chunks;
	int32_t carriers;
	bool at_root;              /* the root is on this node */
	uint64_t packed, received; /* chunks; received: of the own slice */
	uint64_t posted, forwarded;
	uint64_t copied, unpacked; /* copied: unpacked, but for the messages */
};
RONDE_STATE_FITS(broadcast_state);

void ronde_broadcast_nodes_start(struct ronde_operation *operation)
{
	struct broadcast_state *state = RONDE_STATE(operation, broadcast_state);
	const struct ronde_plan *plan = &operation->plan;

	ronde_staging_check(plan);
	*state = (struct broadcast_state){.total = ronde_layout_bytes(plan),
					  .carriers = ronde_span_carriers(plan->span),
					  .at_root = plan->span->node == plan->span->root_node};
	state->chunks = ronde_chunk_count(state->total, plan->chunk_bytes);
	ronde_messages_start(plan);
}

static bool is_root(const struct ronde_plan *plan, const struct broadcast_state *state)
{
	return state->at_root && plan->me == plan->root;
}

static bool carries(const struct ronde_plan *plan, const struct broadcast_state *state)
{
	return plan->me < state->carriers;
}

/* The own slice, of those who carry one. */
static struct ronde_range slice_at(const struct ronde_plan *plan,
				   const struct broadcast_state *state, uint64_t c)
{
	return ronde_slice(ronde_layout_chunk(state->total, plan->chunk_bytes, c), state->carriers,
			   plan->me);
}

/* Where a slice is on this node, for position `at` of the layout. */
static unsigned char *slice_place(const struct ronde_plan *plan,
				  const struct broadcast_state *state, uint64_t c, int carrier,
				  uint64_t at)
{
	return ronde_staging_area(plan, c, state->at_root ? plan->root : carrier) +
	       (at - c * plan->chunk_bytes);
}

static bool slice_is_here(const struct ronde_plan *plan, const struct broadcast_state *state,
			  uint64_t c, int carrier)
{
	if (state->at_root)
		return is_root(plan, state)
			       ? state->packed > c
			       : ronde_lane_reached(plan, plan->root, RONDE_PACKED, c + 1);
	return carrier == plan->me ? state->received > c
				   : ronde_lane_reached(plan, carrier, RONDE_REDUCED, c + 1);
}

/* The way, in numbers of nodes from the root's on. */

static int place_of(const struct ronde_plan *plan)
{
	int nodes = plan->span->nodes;
	return (plan->span->node + nodes - plan->span->root_node) % nodes;
}

static int node_at(const struct ronde_plan *plan, int place)
{
	return (place + plan->span->root_node) % plan->span->nodes;
}

static int parent_of(int place, uint64_t total)
{
	return total < CHAIN_BYTES ? place & (place - 1) : place - 1;
}

/* Each of the five below does some work, or returns false; errors go to *status. */

static bool pack(const struct ronde_plan *plan, struct broadcast_state *state, size_t *budget)
{
	uint64_t c = state->packed;
	if (!is_root(plan, state) || c == state->chunks ||
	    !ronde_slot_is_free(plan, c, state->unpacked))
		return false;

	ronde_phase_enter(plan->phases, RONDE_PHASE_PACK);
	struct ronde_range chunk = ronde_layout_chunk(state->total, plan->chunk_bytes, c);
	unsigned char *area = ronde_staging_area(plan, c, plan->me);
	while (state->walk.at < chunk.end && *budget) {
		unsigned char *to = area + (state->walk.at - chunk.begin);
		struct ronde_span span = ronde_walk_next(&state->walk, plan, chunk.end, *budget);
		const unsigned char *input = (const unsigned char *)span.piece->input;
		unsigned char *output = span.piece->output;
		memcpy(to, input + span.offset, span.bytes);
		if (output != input)
			memcpy(output + span.offset, input + span.offset, span.bytes);
		ronde_spend(budget, span.bytes);
	}
	if (state->walk.at == chunk.end) {
		ronde_lane_publish(plan, RONDE_PACKED, ++state->packed);
		state->copied = state->packed;
	}
	return true;
}

static bool post(const struct ronde_plan *plan, struct broadcast_state *state, int *status)
{
	uint64_t c = state->posted;
	if (state->at_root || !carries(plan, state) || c == state->chunks ||
	    !ronde_slot_is_free(plan, c, state->unpacked))
		return false;
	struct ronde_range mine = slice_at(plan, state, c);
	int from = node_at(plan, parent_of(place_of(plan), state->total));
	if (mine.begin < mine.end)
		*status = ronde_message_receive(
			plan, (int)(c % RONDE_STAGING_SLOTS) * ROWS + IN, from, plan->me, 0,
			slice_place(plan, state, c, plan->me, mine.begin), mine.end - mine.begin);
	state->posted++;
	return !*status;
}

static bool receive(const struct ronde_plan *plan, struct broadcast_state *state, int *status)
{
	uint64_t c = state->received;
	bool here;
	if (c == state->posted)
		return false;
	*status = ronde_messages_finish(plan, (int)(c % RONDE_STAGING_SLOTS) * ROWS + IN, &here);
	if (*status || !here)
		return false;
	ronde_lane_publish(plan, RONDE_REDUCED, ++state->received);
	return true;
}

static bool forward(const struct ronde_plan *plan, struct broadcast_state *state, int *status)
{
	uint64_t c = state->forwarded;
	if (c == state->chunks || !carries(plan, state) || !slice_is_here(plan, state, c, plan->me))
		return false;
	struct ronde_range mine = slice_at(plan, state, c);
	int me = place_of(plan);
	for (int place = me + 1; place < plan->span->nodes && !*status; place++) {
		if (parent_of(place, state->total) == me && mine.begin < mine.end)
			*status = ronde_message_send(
				plan, (int)(c % RONDE_STAGING_SLOTS) * ROWS + OUT,
				node_at(plan, place), plan->me, 0,
				slice_place(plan, state, c, plan->me, mine.begin),
				mine.end - mine.begin);
	}
	state->forwarded++;
	return !*status;
}

static bool copy(const struct ronde_plan *plan, struct broadcast_state *state, size_t *budget)
{
	uint64_t c = state->copied;
	if (is_root(plan, state) || c == state->chunks)
		return false;
	struct ronde_range chunk = ronde_layout_chunk(state->total, plan->chunk_bytes, c);
	uint64_t slice_bytes = ronde_slice_bytes(chunk, state->carriers);
	bool worked = false;
	while (state->walk.at < chunk.end && *budget) {
		uint64_t at = state->walk.at;
		int carrier = (int)((at - chunk.begin) / slice_bytes);
		if (!slice_is_here(plan, state, c, carrier))
			return worked;
		ronde_phase_enter(plan->phases, RONDE_PHASE_UNPACK);
		struct ronde_span span =
			ronde_walk_next(&state->walk, plan,
					ronde_slice(chunk, state->carriers, carrier).end, *budget);
		ronde_traffic_read(plan, state->at_root ? plan->root : carrier, span.bytes, true);
		memcpy((unsigned char *)span.piece->output + span.offset,
		       slice_place(plan, state, c, carrier, at), span.bytes);
		ronde_spend(budget, span.bytes);
		worked = true;
	}
	if (state->walk.at == chunk.end)
		state->copied++;
	return true;
}

/* Chunk c is copied, sent on and through. */
static bool settle(const struct ronde_plan *plan, struct broadcast_state *state, int *status)
{
	uint64_t c = state->unpacked;
	if (c == state->copied || (carries(plan, state) && c == state->forwarded))
		return false;
	return ronde_messages_settle(plan, (int)(c % RONDE_STAGING_SLOTS) * ROWS + OUT,
				     &state->unpacked, status);
}

enum ronde_progress ronde_broadcast_nodes_step(struct ronde_operation *operation)
{
	struct broadcast_state *state = RONDE_STATE(operation, broadcast_state);
	const struct ronde_plan *plan = &operation->plan;
	size_t budget = RONDE_STEP_BYTES;
	bool worked = false;
	int *status = &operation->status;

	while (budget && !*status &&
	       (receive(plan, state, status) || (!*status && forward(plan, state, status)) ||
		(!*status && settle(plan, state, status)) ||
		(!*status && post(plan, state, status)) ||
		(!*status && (copy(plan, state, &budget) || pack(plan, state, &budget)))))
		worked = true;

	if (*status || state->unpacked == state->chunks)
		return ronde_lane_leave(plan, state->chunks + 1);
	return worked ? RONDE_PROGRESS_SOME : RONDE_PROGRESS_NONE;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allreduce through staging on a node with several packages (or NUMA domains): each adds up what
 * its own ranks have before anything leaves it, and fetches each result once. Five things happen to
 * a chunk on every rank; a domain's r ranks share it in r parts, all n ranks in n slices:
 *
 *   pack      copies the own input into the own area, but for the own part
 *   partial   adds up the own part over the domain's ranks, one sum for each segment (segments.h)
 *   reduce    adds up the own slice over all segments' sums
 *   fetch     copies, of the own part, the results of other domains' ranks into the own area
 *   unpack    copies the results: of the own domain's slices from their owners, of others from
 *             whom of the own domain has fetched them
 *
 * On 2 packages × 2 ranks, inputs a, b | c, d; quarters 0 … 3 of a chunk, result r0 … r3:
 *
 *             rank 0 (package 0)        rank 1            rank 2 (package 1)      rank 3
 *   pack      a2 a3                     b0 b1             c2 c3                   d0 d1
 *   partial   p0 p1 = a + b             p2 p3             q0 q1 = c + d           q2 q3
 *   reduce    r0 = p0 + q0              r1 = p1 + q1      r2 = p2 + q2            r3 = p3 + q3
 *   fetch     –                         r2 r3             r0 r1                   –
 *   unpack    r1, r2 r3 from rank 1     r0                r3                      r2, r0 r1 from 2
 *
 * So of n-byte tensors 2 × n bytes cross here and not 4 × n; from p packages × r ranks 2(p-1) × n
 * and not 2(p-1)r × n. In exchange there are two more things to wait for.
 *
 * An area has two parts: a chunk as it was packed, or its result; and behind it the sums of the
 * segment whose first rank has the area, in the working type. A chunk is as large as both fit.
 *
 * What must wait for what (c: chunk, S: slots; the counters are the others'):
 *   pack c     all unpacked c+1-S: nobody reads chunk c-S any more, in any area
 *   partial c  the own domain's packed c+1
 *   reduce c   all partial c+1; it writes where it has packed what others have read for partial
 *   fetch c    the slices' owners reduced c+1
 *   unpack c   the owners reduced c+1, or the own domain's fetchers fetched c+1
 */
#include <string.h>

#include "collectives/algorithms/algorithms.h"
#include "collectives/algorithms/lane.h"
#include "collectives/algorithms/segments.h"
#include "collectives/algorithms/traffic.h"

#define REDUCE_BLOCK ((size_t)8 << 10)

struct phase {
	struct ronde_walk walk;
	uint64_t chunk; /* the one it works on: all before are done and published */
};

struct two_level_state {
	uint64_t total, chunks;
	uint64_t chunk_bytes; /* of a chunk, as it is packed */
	uint32_t wide;        /* bytes of a sum for each of a tensor's */
	int32_t index, size;  /* this rank's place in its domain, and the domain's ranks */
	struct phase pack, partial, reduce, fetch, unpack;
};
RONDE_STATE_FITS(two_level_state);

static uint64_t chunk_for(const struct ronde_plan *plan)
{
	uint64_t wide = ronde_partial_bytes(&plan->spec) / plan->element;
	return plan->chunk_bytes / (1 + wide) & ~(RONDE_GRAIN - 1);
}

bool ronde_allreduce_two_level_fits(const struct ronde_plan *plan)
{
	return plan->domains && chunk_for(plan) >= RONDE_GRAIN;
}

static bool is_near(const struct ronde_plan *plan, int member)
{
	return ronde_member_domain(plan, member) == ronde_member_domain(plan, plan->me);
}

void ronde_allreduce_two_level_start(struct ronde_operation *operation)
{
	struct two_level_state *state = RONDE_STATE(operation, two_level_state);
	const struct ronde_plan *plan = &operation->plan;

	ronde_staging_check(plan);
	*state = (struct two_level_state){.total = ronde_layout_bytes(plan),
					  .chunk_bytes = chunk_for(plan)};
	state->wide = (uint32_t)(ronde_partial_bytes(&plan->spec) / plan->element);
	state->chunks = ronde_chunk_count(state->total, state->chunk_bytes);
	for (int m = 0; m < plan->n; m++) {
		state->size += is_near(plan, m);
		state->index += m < plan->me && is_near(plan, m);
	}
}

/* The member of the own domain with a place in it. */
static int near_member(const struct ronde_plan *plan, int index)
{
	int m = 0;
	for (; m < plan->n; m++)
		if (is_near(plan, m) && index-- == 0)
			break;
	return m;
}

static struct ronde_range chunk_at(const struct two_level_state *state, uint64_t c)
{
	return ronde_layout_chunk(state->total, state->chunk_bytes, c);
}

static bool near_reached(const struct ronde_plan *plan, enum ronde_counter counter, uint64_t steps)
{
	for (int m = 0; m < plan->n; m++)
		if (m != plan->me && is_near(plan, m) &&
		    !ronde_lane_reached(plan, m, counter, steps))
			return false;
	return true;
}

static void finish_chunk(const struct ronde_plan *plan, struct phase *phase,
			 enum ronde_counter counter)
{
	phase->chunk++;
	ronde_lane_publish(plan, counter, phase->chunk);
}

static const unsigned char *input_of(struct ronde_span span)
{
	return (const unsigned char *)span.piece->input + span.offset;
}

static unsigned char *output_of(struct ronde_span span)
{
	return (unsigned char *)span.piece->output + span.offset;
}

/* Each of the five below does some work and takes it off the budget, or returns false. */

static bool pack(const struct ronde_plan *plan, struct two_level_state *state, size_t *budget)
{
	struct phase *phase = &state->pack;
	uint64_t c = phase->chunk;
	if (c == state->chunks ||
	    (c >= RONDE_STAGING_SLOTS &&
	     !ronde_lane_all_reached(plan, RONDE_UNPACKED, c + 1 - RONDE_STAGING_SLOTS)))
		return false;

	ronde_phase_enter(plan->phases, RONDE_PHASE_PACK);
	struct ronde_range chunk = chunk_at(state, c);
	struct ronde_range mine = ronde_slice(chunk, state->size, state->index);
	unsigned char *area = ronde_staging_area(plan, c, plan->me);
	while (phase->walk.at < chunk.end && *budget) {
		uint64_t at = phase->walk.at;
		if (at == mine.begin && mine.begin < mine.end) {
			ronde_walk_skip(&phase->walk, plan, mine.end);
			continue;
		}
		struct ronde_span span = ronde_walk_next(
			&phase->walk, plan, at < mine.begin ? mine.begin : chunk.end, *budget);
		memcpy(area + (at - chunk.begin), input_of(span), span.bytes);
		ronde_spend(budget, span.bytes);
	}
	if (phase->walk.at == chunk.end)
		finish_chunk(plan, phase, RONDE_PACKED);
	return true;
}

/* Where the sums of a segment are, for position `at` of the chunk. */
static unsigned char *sums_at(const struct ronde_plan *plan, const struct two_level_state *state,
			      uint64_t c, const struct ronde_segment *s, uint64_t at)
{
	return ronde_staging_area(plan, c, s->member) + state->chunk_bytes + at * state->wide;
}

static void add_segments(const struct ronde_plan *plan, const struct two_level_state *state,
			 uint64_t c, uint64_t at, struct ronde_span span)
{
	const void *leaves[RONDE_MAX_LOCAL_SIZE];
	struct ronde_reduce_spec spec = plan->spec;
	spec.part = RONDE_REDUCE_PARTIAL;
	for (struct ronde_segment s = {0}; ronde_segment_next(plan, &s);) {
		if (!is_near(plan, s.member))
			continue;
		memset(leaves, 0, (size_t)s.width * sizeof *leaves);
		for (int m = s.member; m < s.member + s.count; m++) {
			leaves[ronde_plan_leaf(plan, m) - s.leaf] =
				m == plan->me ? input_of(span)
					      : ronde_staging_area(plan, c, m) + at;
			ronde_traffic_read(plan, m, span.bytes, false);
		}
		void *sums = sums_at(plan, state, c, &s, at);
		plan->kernels->reduce(&spec, &sums, 1, leaves, s.width, span.bytes / plan->element);
	}
}

static bool partial(const struct ronde_plan *plan, struct two_level_state *state, size_t *budget)
{
	struct phase *phase = &state->partial;
	uint64_t c = phase->chunk;
	if (c == state->pack.chunk || !near_reached(plan, RONDE_PACKED, c + 1))
		return false;

	ronde_phase_enter(plan->phases, RONDE_PHASE_REDUCE);
	struct ronde_range chunk = chunk_at(state, c);
	struct ronde_range mine = ronde_slice(chunk, state->size, state->index);
	if (phase->walk.at < mine.begin)
		ronde_walk_skip(&phase->walk, plan, mine.begin);
	while (phase->walk.at < mine.end && *budget) {
		uint64_t at = phase->walk.at - chunk.begin;
		struct ronde_span span =
			ronde_walk_next(&phase->walk, plan, mine.end, REDUCE_BLOCK);
		add_segments(plan, state, c, at, span);
		ronde_spend(budget, span.bytes * (size_t)state->size);
	}
	if (phase->walk.at >= mine.end) {
		ronde_walk_skip(&phase->walk, plan, chunk.end);
		finish_chunk(plan, phase, RONDE_PARTIAL);
	}
	return true;
}

/* A segment's sum stands at its first leaf, for all of them: absent leaves pass it through. */
static void add_sums(const struct ronde_plan *plan, const struct two_level_state *state, uint64_t c,
		     uint64_t at, struct ronde_span span)
{
	const void *leaves[RONDE_MAX_LOCAL_SIZE];
	struct ronde_reduce_spec spec = plan->spec;
	void *result = ronde_staging_area(plan, c, plan->me) + at;
	spec.part = RONDE_REDUCE_FINISH;
	memset(leaves, 0, (size_t)ronde_plan_leaves(plan) * sizeof *leaves);
	for (struct ronde_segment s = {0}; ronde_segment_next(plan, &s);) {
		leaves[s.leaf] = sums_at(plan, state, c, &s, at);
		ronde_traffic_read(plan, s.member, span.bytes * state->wide, false);
	}
	plan->kernels->reduce(&spec, &result, 1, leaves, ronde_plan_leaves(plan),
			      span.bytes / plan->element);
	memcpy(output_of(span), result, span.bytes);
}

static bool reduce(const struct ronde_plan *plan, struct two_level_state *state, size_t *budget)
{
	struct phase *phase = &state->reduce;
	uint64_t c = phase->chunk;
	if (c == state->partial.chunk || !ronde_lane_all_reached(plan, RONDE_PARTIAL, c + 1))
		return false;

	ronde_phase_enter(plan->phases, RONDE_PHASE_REDUCE);
	struct ronde_range chunk = chunk_at(state, c);
	struct ronde_range mine = ronde_slice(chunk, plan->n, plan->me);
	if (phase->walk.at < mine.begin)
		ronde_walk_skip(&phase->walk, plan, mine.begin);
	while (phase->walk.at < mine.end && *budget) {
		uint64_t at = phase->walk.at - chunk.begin;
		struct ronde_span span =
			ronde_walk_next(&phase->walk, plan, mine.end, REDUCE_BLOCK);
		add_sums(plan, state, c, at, span);
		ronde_spend(budget, span.bytes * 2);
	}
	if (phase->walk.at >= mine.end) {
		ronde_walk_skip(&phase->walk, plan, chunk.end);
		finish_chunk(plan, phase, RONDE_REDUCED);
	}
	return true;
}

/* Whose slice a position of the chunk is in, and where that ends. */
static int owner_at(struct ronde_range chunk, int n, uint64_t at, uint64_t *end)
{
	int owner = (int)((at - chunk.begin) / ronde_slice_bytes(chunk, n));
	*end = ronde_slice(chunk, n, owner).end;
	return owner;
}

/* A result that `from` has in its area goes to the output, and to `keep` if others want it too. */
static void take_result(const struct ronde_plan *plan, uint64_t c, int from, uint64_t at,
			struct ronde_span span, unsigned char *keep)
{
	const unsigned char *result = ronde_staging_area(plan, c, from) + at;
	ronde_traffic_read(plan, from, span.bytes, true);
	if (keep) {
		memcpy(keep + at, result, span.bytes);
		result = keep + at;
	}
	memcpy(output_of(span), result, span.bytes);
}

static bool fetch(const struct ronde_plan *plan, struct two_level_state *state, size_t *budget)
{
	struct phase *phase = &state->fetch;
	uint64_t c = phase->chunk;
	if (c == state->reduce.chunk)
		return false;

	struct ronde_range chunk = chunk_at(state, c);
	struct ronde_range mine = ronde_slice(chunk, state->size, state->index);
	bool worked = false;
	if (phase->walk.at < mine.begin)
		ronde_walk_skip(&phase->walk, plan, mine.begin);
	while (phase->walk.at < mine.end && *budget) {
		uint64_t at = phase->walk.at, end;
		int owner = owner_at(chunk, plan->n, at, &end);
		if (end > mine.end)
			end = mine.end;
		if (is_near(plan, owner)) {
			ronde_walk_skip(&phase->walk, plan, end);
			continue;
		}
		if (!ronde_lane_reached(plan, owner, RONDE_REDUCED, c + 1))
			return worked;
		ronde_phase_enter(plan->phases, RONDE_PHASE_UNPACK);
		struct ronde_span span = ronde_walk_next(&phase->walk, plan, end, REDUCE_BLOCK);
		take_result(plan, c, owner, at - chunk.begin, span,
			    ronde_staging_area(plan, c, plan->me));
		ronde_spend(budget, span.bytes * 2);
		worked = true;
	}
	if (phase->walk.at >= mine.end) {
		ronde_walk_skip(&phase->walk, plan, chunk.end);
		finish_chunk(plan, phase, RONDE_FETCHED);
	}
	return true;
}

static bool unpack(const struct ronde_plan *plan, struct two_level_state *state, size_t *budget)
{
	struct phase *phase = &state->unpack;
	uint64_t c = phase->chunk;
	if (c == state->fetch.chunk)
		return false;

	struct ronde_range chunk = chunk_at(state, c);
	bool worked = false;
	while (phase->walk.at < chunk.end && *budget) {
		uint64_t at = phase->walk.at, end, part_end;
		int from = owner_at(chunk, plan->n, at, &end);
		enum ronde_counter counter = RONDE_REDUCED;
		if (!is_near(plan, from)) {
			from = near_member(plan, owner_at(chunk, state->size, at, &part_end));
			counter = RONDE_FETCHED;
			end = part_end < end ? part_end : end;
		}
		if (from == plan->me) {
			ronde_walk_skip(&phase->walk, plan, end);
			continue;
		}
		if (!ronde_lane_reached(plan, from, counter, c + 1))
			return worked;
		ronde_phase_enter(plan->phases, RONDE_PHASE_UNPACK);
		struct ronde_span span = ronde_walk_next(&phase->walk, plan, end, *budget);
		take_result(plan, c, from, at - chunk.begin, span, NULL);
		ronde_spend(budget, span.bytes);
		worked = true;
	}
	if (phase->walk.at == chunk.end)
		finish_chunk(plan, phase, RONDE_UNPACKED);
	return true;
}

enum ronde_progress ronde_allreduce_two_level_step(struct ronde_operation *operation)
{
	struct two_level_state *state = RONDE_STATE(operation, two_level_state);
	const struct ronde_plan *plan = &operation->plan;
	size_t budget = RONDE_STEP_BYTES;
	bool worked = false;

	/* What others wait for first. */
	while (budget && (partial(plan, state, &budget) || reduce(plan, state, &budget) ||
			  fetch(plan, state, &budget) || unpack(plan, state, &budget) ||
			  pack(plan, state, &budget)))
		worked = true;

	if (state->unpack.chunk == state->chunks)
		return ronde_lane_leave(plan, state->chunks + 1);
	return worked ? RONDE_PROGRESS_SOME : RONDE_PROGRESS_NONE;
}

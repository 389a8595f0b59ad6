/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allreduce through staging, for tensors in ordinary memory. The layout is cut into chunks, each
 * chunk into one slice a rank. Three things happen to a chunk on every rank, in this order:
 *
 *   pack     copies the *other* ranks' slices of the own input into the own area
 *   reduce   adds up the own slice: the own input from private memory, the others' from their
 *            areas; the result goes to the own output and to the own area, where pack left room
 *   unpack   copies the others' results from their areas to the own output
 *
 * So a rank copies (n-1)/n of a tensor in, as much out, and reduces 1/n. Chunks follow each other
 * through the slots, a later one is packed while an earlier one is waited for.
 *
 * On 4 ranks with inputs a, b, c, d; slices 0 … 3 of the result are r0 … r3; one chunk, base 20:
 *
 *             area 0            area 1            area 2            area 3
 *   pack      .  a1 a2 a3       b0 .  b2 b3       c0 c1 .  c3       d0 d1 d2 .      packed   = 21
 *   reduce    r0 a1 a2 a3       b0 r1 b2 b3       c0 c1 r2 c3       d0 d1 d2 r3     reduced  = 21
 *             rank 1: r1 = (a1 + b1) + (c1 + d1), b1 from its own input
 *   unpack    rank 1 has r1, and copies r0, r2 and r3 out of areas 0, 2 and 3       unpacked = 21
 *   left = 22
 *
 * What must wait for what (c: chunk, S: slots; the counters are the others'):
 *   pack c     all unpacked c+1-S: nobody reads chunk c-S in my area any more, neither to unpack
 *              nor to reduce, because a rank unpacks a chunk only after it has reduced it
 *   reduce c   all packed c+1
 *   unpack c   the slice's owner reduced c+1
 *
 * In place: unpack c writes what pack c has read, and reduce c writes only what it reads itself.
 * Later chunks' input is not touched.
 */
#include <string.h>

#include "collectives/algorithms/algorithms.h"
#include "collectives/algorithms/lane.h"
#include "collectives/algorithms/layout.h"
#include "collectives/algorithms/packing.h"
#include "collectives/algorithms/traffic.h"
#include "collectives/kernels/stream.h"

/* Reduced at once: stays in the first cache until it is copied to the area. */
#define REDUCE_BLOCK ((size_t)8 << 10)

/* How far one of the three has come. */
struct phase {
	struct ronde_walk walk;
	uint64_t chunk; /* the one it works on: all before are done and published */
};

struct staged_state {
	uint64_t total;
	uint64_t chunks;
	bool streaming; /* outputs that are no inputs go past the caches */
	struct phase pack, reduce, unpack;
	struct ronde_packing packing;
};
RONDE_STATE_FITS(staged_state);

void ronde_allreduce_staged_start(struct ronde_operation *operation)
{
	struct staged_state *state = RONDE_STATE(operation, staged_state);
	const struct ronde_plan *plan = &operation->plan;

	ronde_staging_check(plan);
	*state = (struct staged_state){.total = ronde_layout_bytes(plan)};
	state->chunks = ronde_chunk_count(state->total, plan->chunk_bytes);
	state->streaming = state->total >= RONDE_STREAM_BYTES;
	ronde_packing_start(&state->packing, plan, state->total);
}

/* An output that is the input has just been read: it is in the cache when it is written. */
static void copy_out(const struct ronde_plan *plan, const struct staged_state *state,
		     struct ronde_span span, const void *from)
{
	unsigned char *output = (unsigned char *)span.piece->output + span.offset;
	if (state->streaming && span.piece->output != span.piece->input)
		plan->kernels->stream(output, from, span.bytes);
	else
		memcpy(output, from, span.bytes);
}

static void finish_chunk(const struct ronde_plan *plan, struct phase *phase,
			 enum ronde_counter counter)
{
	phase->chunk++;
	ronde_lane_publish(plan, counter, phase->chunk);
}

/* Each of the three below does some work and takes it off the budget, or returns false. */

static bool pack(const struct ronde_plan *plan, struct staged_state *state, size_t *budget)
{
	struct phase *phase = &state->pack;
	uint64_t c = phase->chunk;
	if (c == state->chunks)
		return false;
	if (c >= RONDE_STAGING_SLOTS &&
	    !ronde_lane_all_reached(plan, RONDE_UNPACKED, c + 1 - RONDE_STAGING_SLOTS))
		return false;

	ronde_phase_enter(plan->phases, RONDE_PHASE_PACK);
	struct ronde_range chunk = ronde_layout_chunk(state->total, plan->chunk_bytes, c);
	struct ronde_range mine = ronde_slice(chunk, plan->n, plan->me);
	unsigned char *area = ronde_staging_area(plan, c, plan->me);
	uint64_t packed = 0;
	ronde_packing_begin(&state->packing);
	while (phase->walk.at < chunk.end && *budget) {
		uint64_t at = phase->walk.at;
		if (at == mine.begin && mine.begin < mine.end) {
			ronde_walk_skip(&phase->walk, plan, mine.end);
			continue;
		}
		struct ronde_span span = ronde_walk_next(
			&phase->walk, plan, at < mine.begin ? mine.begin : chunk.end, *budget);
		ronde_pack(&state->packing, plan, area + (at - chunk.begin),
			   (const unsigned char *)span.piece->input + span.offset, span.bytes);
		packed += span.bytes;
		ronde_spend(budget, span.bytes);
	}
	ronde_packing_end(&state->packing, packed);
	if (phase->walk.at == chunk.end)
		finish_chunk(plan, phase, RONDE_PACKED);
	return true;
}

/*
 * The result of one block goes to the output and, as pack's bytes do, past the caches to the area:
 * from the output, which is in the first cache now, unless it goes past the caches too.
 */
static void reduce_streaming(const struct ronde_plan *plan, const struct staged_state *state,
			     struct ronde_span span, const void *const *sources, void *area)
{
	unsigned char *output = (unsigned char *)span.piece->output + span.offset;
	struct ronde_reduce_spec spec = plan->spec;
	void *destinations[] = {output, area};
	spec.streaming = state->streaming && span.piece->output != span.piece->input;
	ronde_reduce_members(plan, &spec, destinations, spec.streaming ? 2 : 1, sources,
			     span.bytes / plan->element);
	if (!spec.streaming)
		plan->kernels->stream(area, output, span.bytes);
}

/*
 * Reduces one span; `at` is its position in the chunk. The result goes to the area and from there,
 * while it is in the first cache, to the output. Not to both in turn: stores that hit the cache
 * would be held up by the ones to lines that a peer has read.
 */
static void reduce_span(const struct ronde_plan *plan, const struct staged_state *state, uint64_t c,
			uint64_t at, struct ronde_span span)
{
	const void *sources[RONDE_MAX_LOCAL_SIZE];
	unsigned char *output = (unsigned char *)span.piece->output + span.offset;
	void *result = plan->n > 1 ? ronde_staging_area(plan, c, plan->me) + at : output;

	for (int m = 0; m < plan->n; m++) {
		sources[m] = ronde_staging_area(plan, c, m) + at;
		ronde_traffic_read(plan, m, span.bytes, false);
	}
	sources[plan->me] = (const unsigned char *)span.piece->input + span.offset;
	if (result != output && state->packing.way == RONDE_STORES_STREAMING) {
		reduce_streaming(plan, state, span, sources, result);
		return;
	}
	ronde_reduce_members(plan, &plan->spec, &result, 1, sources, span.bytes / plan->element);
	if (result != output)
		copy_out(plan, state, span, result);
}

static bool reduce(const struct ronde_plan *plan, struct staged_state *state, size_t *budget)
{
	struct phase *phase = &state->reduce;
	uint64_t c = phase->chunk;
	if (c == state->pack.chunk || !ronde_lane_all_reached(plan, RONDE_PACKED, c + 1))
		return false;

	ronde_phase_enter(plan->phases, RONDE_PHASE_REDUCE);
	struct ronde_range chunk = ronde_layout_chunk(state->total, plan->chunk_bytes, c);
	struct ronde_range mine = ronde_slice(chunk, plan->n, plan->me);
	size_t ranks = (size_t)plan->n;
	if (phase->walk.at < mine.begin)
		ronde_walk_skip(&phase->walk, plan, mine.begin);
	while (phase->walk.at < mine.end && *budget) {
		uint64_t at = phase->walk.at;
		struct ronde_span span =
			ronde_walk_next(&phase->walk, plan, mine.end, REDUCE_BLOCK);
		reduce_span(plan, state, c, at - chunk.begin, span);
		ronde_spend(budget, span.bytes * ranks);
	}
	if (state->packing.way == RONDE_STORES_STREAMING)
		ronde_stream_end();
	if (phase->walk.at >= mine.end) {
		ronde_walk_skip(&phase->walk, plan, chunk.end);
		finish_chunk(plan, phase, RONDE_REDUCED);
	}
	return true;
}

static bool unpack(const struct ronde_plan *plan, struct staged_state *state, size_t *budget)
{
	struct phase *phase = &state->unpack;
	uint64_t c = phase->chunk;
	if (c == state->reduce.chunk)
		return false;

	struct ronde_range chunk = ronde_layout_chunk(state->total, plan->chunk_bytes, c);
	uint64_t slice_bytes = ronde_slice_bytes(chunk, plan->n);
	bool worked = false;
	while (phase->walk.at < chunk.end && *budget) {
		uint64_t at = phase->walk.at;
		int owner = (int)((at - chunk.begin) / slice_bytes);
		struct ronde_range slice = ronde_slice(chunk, plan->n, owner);
		if (owner == plan->me) {
			ronde_walk_skip(&phase->walk, plan, slice.end);
			continue;
		}
		if (!ronde_lane_reached(plan, owner, RONDE_REDUCED, c + 1))
			return worked;
		ronde_phase_enter(plan->phases, RONDE_PHASE_UNPACK);
		struct ronde_span span = ronde_walk_next(&phase->walk, plan, slice.end, *budget);
		ronde_traffic_read(plan, owner, span.bytes, true);
		copy_out(plan, state, span,
			 ronde_staging_area(plan, c, owner) + (at - chunk.begin));
		ronde_spend(budget, span.bytes);
		worked = true;
	}
	if (phase->walk.at == chunk.end)
		finish_chunk(plan, phase, RONDE_UNPACKED);
	return true;
}

enum ronde_progress ronde_allreduce_staged_step(struct ronde_operation *operation)
{
	struct staged_state *state = RONDE_STATE(operation, staged_state);
	const struct ronde_plan *plan = &operation->plan;
	size_t budget = RONDE_STEP_BYTES;
	bool worked = false;

	/* What others wait for first. */
	while (budget && (reduce(plan, state, &budget) || unpack(plan, state, &budget) ||
			  pack(plan, state, &budget)))
		worked = true;

	if (state->streaming)
		ronde_stream_end();
	if (state->pack.chunk == state->chunks)
		ronde_packing_finish(&state->packing);
	if (state->unpack.chunk == state->chunks)
		return ronde_lane_leave(plan, state->chunks + 1);
	return worked ? RONDE_PROGRESS_SOME : RONDE_PROGRESS_NONE;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adasum through staging, for tensors in ordinary memory: as many passes over the tensor as
 * adasum.h says, and in each of them the tensor goes through staging chunk by chunk. Chunks of all
 * passes are numbered through: chunk c of pass p is g = p C + c.
 *
 *   pack     copies the *other* members' blocks of the own input into the own area
 *   work     the own blocks, from the others' areas and the own input: sums of a level, or in the
 *            last pass results, into the own output and the own area, where pack left room
 *   unpack   last pass: copies the others' results from their areas to the own output
 *
 * On 2 members with inputs a, b of 3 blocks in one chunk (C = 1), base 20; r0 … r2 is the result:
 *
 *             area 0        area 1
 *   pass 0    .  a1 .       b0 .  b2      packed = 21; member 0: sums of blocks 0 and 2, member 1:
 *                                         of block 1                                unpacked = 21
 *   pass 1    .  a1 .       b0 .  b2      packed = 22; all unpacked 21: factors
 *             r0 a1 r2      b0 r1 b2      reduced = 21
 *             member 1 copies r0 and r2 out of area 0, member 0 r1 out of area 1    unpacked = 22
 *   left = 23
 *
 * What must wait for what (S: slots; the counters are the others'):
 *   pack g     all unpacked g+1-S: nobody reads chunk g-S in my area any more
 *   work g     all packed g+1; for the first chunk of pass p also all unpacked p C: their sums are
 *              complete
 *   unpack g   the block's owner reduced c+1
 *
 * In place: results are written in the last pass, where pack has read, or by the block's owner.
 */
#include <string.h>

#include "collectives/algorithms/adasum.h"
#include "collectives/algorithms/algorithms.h"
#include "collectives/algorithms/lane.h"
#include "collectives/algorithms/packing.h"

/* How far one of the three has come: the next block of chunk g. */
struct progress {
	uint64_t g;
	uint64_t block;
};

struct staged_state {
	uint64_t blocks;       /* of the tensor */
	uint64_t chunk_blocks; /* of a chunk */
	uint64_t chunks;       /* of a pass */
	int levels;
	struct progress pack, work, unpack; /* unpack: of the last pass, g from 0 */
	struct ronde_packing packing;
};
RONDE_STATE_FITS(staged_state);

static size_t block_bytes(const struct ronde_plan *plan)
{
	return RONDE_ORDERED_BLOCK * plan->element;
}

void ronde_adasum_staged_start(struct ronde_operation *operation)
{
	struct staged_state *state = RONDE_STATE(operation, staged_state);
	const struct ronde_plan *plan = &operation->plan;
	*state = (struct staged_state){.blocks = (plan->pieces[0].count + RONDE_ORDERED_BLOCK - 1) /
						 RONDE_ORDERED_BLOCK,
				       .chunk_blocks = plan->chunk_bytes / block_bytes(plan),
				       .levels = ronde_adasum_levels(ronde_plan_leaves(plan))};
	state->chunks = ronde_chunk_count(state->blocks, state->chunk_blocks);
	ronde_packing_start(&state->packing, plan, plan->pieces[0].count * plan->element);
	ronde_adasum_begin_level(plan, 0);
}

/* Where chunk g is in a member's staging. */
static unsigned char *area(const struct ronde_plan *plan, uint64_t g, int member)
{
	size_t number = (size_t)(g % RONDE_STAGING_SLOTS) * (size_t)plan->n + (size_t)member;
	return ronde_lane_staging(plan->arena, plan->lane) +
	       ronde_adasum_head_bytes(ronde_plan_leaves(plan)) + number * plan->chunk_bytes;
}

static int pass_of(const struct staged_state *state, uint64_t g)
{
	return (int)(g / state->chunks);
}

static uint64_t first_block(const struct staged_state *state, uint64_t g)
{
	return g % state->chunks * state->chunk_blocks;
}

static uint64_t end_block(const struct staged_state *state, uint64_t g)
{
	uint64_t end = first_block(state, g) + state->chunk_blocks;
	return end < state->blocks ? end : state->blocks;
}

static size_t block_count(const struct ronde_plan *plan, uint64_t block)
{
	uint64_t left = plan->pieces[0].count - block * RONDE_ORDERED_BLOCK;
	return (size_t)(left < RONDE_ORDERED_BLOCK ? left : RONDE_ORDERED_BLOCK);
}

/* Each of the three below does some work and takes it off the budget, or returns false. */

static bool pack(const struct ronde_plan *plan, struct staged_state *state, size_t *budget)
{
	struct progress *at = &state->pack;
	uint64_t g = at->g;
	if (g == ((uint64_t)state->levels + 1) * state->chunks)
		return false;
	if (g >= RONDE_STAGING_SLOTS &&
	    !ronde_lane_all_reached(plan, RONDE_UNPACKED, g + 1 - RONDE_STAGING_SLOTS))
		return false;

	ronde_phase_enter(plan->phases, RONDE_PHASE_PACK);
	const unsigned char *input = plan->pieces[0].input;
	uint64_t first = first_block(state, g), end = end_block(state, g), packed = 0;
	ronde_packing_begin(&state->packing);
	while ((at->block = ronde_adasum_next_block(plan, at->block, end, false)) < end &&
	       *budget) {
		size_t bytes = block_count(plan, at->block) * plan->element;
		ronde_pack(&state->packing, plan,
			   area(plan, g, plan->me) + (at->block - first) * block_bytes(plan),
			   input + at->block * block_bytes(plan), bytes);
		packed += bytes;
		ronde_spend(budget, block_bytes(plan));
		at->block++;
	}
	ronde_packing_end(&state->packing, packed);
	if (at->block == end) {
		at->g++;
		at->block = first_block(state, at->g);
		ronde_lane_publish(plan, RONDE_PACKED, at->g);
	}
	return true;
}

/* The first chunk of a pass: what all have found out in the pass before. */
static bool begin_pass(const struct ronde_plan *plan, const struct staged_state *state, int pass)
{
	if (!ronde_lane_all_reached(plan, RONDE_UNPACKED, (uint64_t)pass * state->chunks))
		return false;
	ronde_adasum_next(plan, pass - 1);
	if (pass < state->levels)
		ronde_adasum_begin_level(plan, pass);
	return true;
}

static void work_block(const struct ronde_plan *plan, const struct staged_state *state, uint64_t g,
		       uint64_t block)
{
	const struct ronde_piece *piece = &plan->pieces[0];
	size_t in_chunk = (size_t)(block - first_block(state, g)) * block_bytes(plan);
	size_t in_tensor = (size_t)block * block_bytes(plan), count = block_count(plan, block);
	const void *inputs[RONDE_MAX_LOCAL_SIZE], *x[RONDE_MAX_LOCAL_SIZE];
	for (int m = 0; m < plan->n; m++)
		inputs[m] = area(plan, g, m) + in_chunk;
	inputs[plan->me] = (const unsigned char *)piece->input + in_tensor;
	ronde_members_to_leaves(plan, x, inputs);

	int pass = pass_of(state, g);
	if (pass < state->levels) {
		ronde_adasum_add_block(plan, pass, block, x, count);
		return;
	}
	void *y[] = {(unsigned char *)piece->output + in_tensor,
		     area(plan, g, plan->me) + in_chunk};
	ronde_adasum_finish(plan->kernels, plan->spec.dtype, ronde_plan_leaves(plan),
			    ronde_adasum_factors(plan), plan->spec.prescale * plan->spec.postscale,
			    x, count, y, plan->n > 1 ? 2 : 1);
}

static bool work(const struct ronde_plan *plan, struct staged_state *state, size_t *budget)
{
	struct progress *at = &state->work;
	uint64_t g = at->g;
	if (g == state->pack.g || !ronde_lane_all_reached(plan, RONDE_PACKED, g + 1))
		return false;
	uint64_t first = first_block(state, g), end = end_block(state, g);
	int pass = pass_of(state, g);
	if (pass && first == 0 && at->block == 0 && !begin_pass(plan, state, pass))
		return false;

	ronde_phase_enter(plan->phases, RONDE_PHASE_REDUCE);
	while ((at->block = ronde_adasum_next_block(plan, at->block, end, true)) < end && *budget) {
		work_block(plan, state, g, at->block);
		ronde_spend(budget, block_bytes(plan) * (size_t)plan->n);
		at->block++;
	}
	if (at->block < end)
		return true;
	at->g++;
	at->block = first_block(state, at->g);
	if (pass < state->levels)
		ronde_lane_publish(plan, RONDE_UNPACKED, at->g);
	else
		ronde_lane_publish(plan, RONDE_REDUCED,
				   at->g - (uint64_t)state->levels * state->chunks);
	return true;
}

static bool unpack(const struct ronde_plan *plan, struct staged_state *state, size_t *budget)
{
	struct progress *at = &state->unpack;
	uint64_t before = (uint64_t)state->levels * state->chunks, g = before + at->g;
	if (g >= state->work.g)
		return false;

	uint64_t first = first_block(state, g), end = end_block(state, g);
	unsigned char *output = plan->pieces[0].output;
	bool worked = false;
	while ((at->block = ronde_adasum_next_block(plan, at->block, end, false)) < end &&
	       *budget) {
		int from = ronde_adasum_owner(plan, at->block);
		if (!ronde_lane_reached(plan, from, RONDE_REDUCED, at->g + 1))
			return worked;
		ronde_phase_enter(plan->phases, RONDE_PHASE_UNPACK);
		memcpy(output + at->block * block_bytes(plan),
		       area(plan, g, from) + (at->block - first) * block_bytes(plan),
		       block_count(plan, at->block) * plan->element);
		ronde_spend(budget, block_bytes(plan));
		at->block++;
		worked = true;
	}
	if (at->block == end) {
		at->g++;
		at->block = first_block(state, at->g);
		ronde_lane_publish(plan, RONDE_UNPACKED, before + at->g);
	}
	return true;
}

enum ronde_progress ronde_adasum_staged_step(struct ronde_operation *operation)
{
	struct staged_state *state = RONDE_STATE(operation, staged_state);
	const struct ronde_plan *plan = &operation->plan;
	size_t budget = RONDE_STEP_BYTES;
	bool worked = false;

	/* What others wait for first. */
	while (state->chunks && budget &&
	       (work(plan, state, &budget) || unpack(plan, state, &budget) ||
		pack(plan, state, &budget)))
		worked = true;

	if (state->pack.g == ((uint64_t)state->levels + 1) * state->chunks)
		ronde_packing_finish(&state->packing);
	if (state->unpack.g == state->chunks)
		return ronde_lane_leave(plan, ((uint64_t)state->levels + 1) * state->chunks + 1);
	return worked ? RONDE_PROGRESS_SOME : RONDE_PROGRESS_NONE;
}

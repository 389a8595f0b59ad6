/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Alltoall without copies into staging: all inputs lie in memory that all ranks see. Once the
 * splits are exchanged, each rank copies its rows out of all inputs behind each other into its own
 * result, its own first, then those of the ranks after it, so that not all read the same memory at
 * once: pairwise exchange (Thakur, Rabenseifner and Gropp, "Optimization of Collective
 * Communication Operations in MPICH", 2005, section 3.4), each step a copy. At the end it waits
 * until nobody reads its input any more. A rank that got no memory only waits.
 *
 * On 3 ranks, rank 0 with rows a b c and splits 1, 2, 0; rank 1 with d e and 0, 1, 1; rank 2 with f
 * and 1, 0, 0; base 7:
 *
 *   all      words in staging; rank 1 hears 2 rows from 1 on, 1 from 0 on, 0   packed, unpacked = 8
 *   rank 0   result a, then f                                                  unpacked = 9
 *   rank 1   result . . d → b c d                                              unpacked = 9
 *   rank 2   result e                                                          unpacked = 9
 *   all      see 9, 9, 9                                                       left     = 10
 */
#include "collectives/algorithms/algorithms.h"
#include "collectives/algorithms/gather.h"
#include "collectives/algorithms/splits.h"

enum alltoall_phase { SPLIT, ALLOCATE, COPY, CLOSE };

struct zero_copy_state {
	enum alltoall_phase phase;
	struct ronde_splits splits;
	unsigned char *result;
	struct ronde_gather_copy copy;
};
RONDE_STATE_FITS(zero_copy_state);

void ronde_alltoall_zero_copy_start(struct ronde_operation *operation)
{
	struct zero_copy_state *state = RONDE_STATE(operation, zero_copy_state);
	*state = (struct zero_copy_state){.phase = SPLIT};
	ronde_splits_start(&operation->plan, &state->splits);
}

static struct ronde_source source(const struct ronde_plan *plan, int member)
{
	const unsigned char *input = plan->pieces[0].inputs[member];
	uint64_t bytes = (uint64_t)plan->received[member] * plan->row_bytes;
	if (bytes == 0) /* perhaps there is no input */
		return (struct ronde_source){NULL, 0};
	return (struct ronde_source){input + (uint64_t)plan->begins[member] * plan->row_bytes,
				     bytes};
}

enum ronde_progress ronde_alltoall_zero_copy_step(struct ronde_operation *operation)
{
	struct zero_copy_state *state = RONDE_STATE(operation, zero_copy_state);
	const struct ronde_plan *plan = &operation->plan;
	uint64_t chunks = state->splits.chunks;
	size_t budget = RONDE_STEP_BYTES;
	bool worked = false;

	switch (state->phase) {
	case SPLIT:
		if (ronde_splits_step(plan, &state->splits, &worked))
			state->phase = ALLOCATE;
		return worked ? RONDE_PROGRESS_SOME : RONDE_PROGRESS_NONE;
	case ALLOCATE:
		if (!ronde_gather_allocate(operation, plan->received, &state->result))
			return RONDE_PROGRESS_NONE;
		state->phase = COPY;
		return RONDE_PROGRESS_SOME;
	case COPY:
		ronde_phase_enter(plan->phases, RONDE_PHASE_COPY);
		if (!state->result ||
		    ronde_gather_copied(plan, &state->copy, source, state->result, &budget)) {
			ronde_lane_publish(plan, RONDE_UNPACKED, chunks + 1);
			state->phase = CLOSE;
		}
		return RONDE_PROGRESS_SOME;
	default:
		if (!ronde_lane_all_reached(plan, RONDE_UNPACKED, chunks + 1))
			return RONDE_PROGRESS_NONE;
		return ronde_lane_leave(plan, chunks + 2);
	}
}

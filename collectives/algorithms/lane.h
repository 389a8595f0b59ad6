/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lane: how the ranks of an operation tell each other how far they are, and where their staging is.
 *
 * Every rank writes only its own cell. A counter that says base + k means: k steps of that sort are
 * done, and whoever has read that may use what they left in memory. Cells keep their counters when
 * an operation is over; the next one on the lane counts from a base that none of them exceeds, so
 * nothing is ever reset.
 *
 *   staging of a lane:  rows[n] | slot 0: area of rank 0, rank 1, … | slot 1: … | slot 2: …
 *
 * An area has room for one chunk. Chunk c travels in slot c mod RONDE_STAGING_SLOTS. Before a rank
 * writes to a slot again it waits until the others have read it, which can be before it comes to
 * that chunk itself. So nobody reads in its own area what it has published there: what a rank has
 * for itself goes no way through it.
 */
#ifndef RONDE_ALGORITHMS_LANE_H
#define RONDE_ALGORITHMS_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "collectives/algorithms/layout.h"
#include "collectives/operation.h"

/* Chunks that can be in flight: one is packed while one is reduced and one copied out. */
#define RONDE_STAGING_SLOTS 3

static inline struct ronde_lane_cell *ronde_member_cell(const struct ronde_plan *plan, int member)
{
	return ronde_lane_cell(plan->arena, plan->lane, plan->members[member]);
}

/* Wakes the members that sleep until something happens. After a store to the own cell. */
void ronde_lane_wake(const struct ronde_plan *plan);

/* The counters of a cell, and what reading base + k in one allows. */
enum ronde_counter {
	RONDE_PACKED,  /* read what the rank put into its areas for the first k chunks */
	RONDE_PARTIAL, /* read the sums it has made of its domain's part of the first k chunks */
	RONDE_REDUCED, /* read its slice of the result of the first k chunks */
	RONDE_FETCHED, /* read the results of other domains that it has for its own … */
	RONDE_UNPACKED /* write again where it has read the first k chunks */
};

static inline _Atomic uint64_t *ronde_member_counter(const struct ronde_plan *plan, int member,
						     enum ronde_counter counter)
{
	struct ronde_lane_cell *cell = ronde_member_cell(plan, member);
	switch (counter) {
	case RONDE_PACKED:
		return &cell->packed;
	case RONDE_PARTIAL:
		return &cell->partial;
	case RONDE_REDUCED:
		return &cell->reduced;
	case RONDE_FETCHED:
		return &cell->fetched;
	default:
		return &cell->unpacked;
	}
}

/* Sets an own counter to base + steps and wakes the others. */
static inline void ronde_lane_publish(const struct ronde_plan *plan, enum ronde_counter counter,
				      uint64_t steps)
{
	atomic_store_explicit(ronde_member_counter(plan, plan->me, counter), plan->base + steps,
			      memory_order_seq_cst);
	ronde_lane_wake(plan);
}

/* True if a member's counter is at base + steps, or further. */
static inline bool ronde_lane_reached(const struct ronde_plan *plan, int member,
				      enum ronde_counter counter, uint64_t steps)
{
	bool reached = atomic_load_explicit(ronde_member_counter(plan, member, counter),
					    memory_order_seq_cst) >= plan->base + steps;
	if (!reached)
		ronde_phase_behind(plan->phases, member);
	return reached;
}

/* True if every other member's is. */
bool ronde_lane_all_reached(const struct ronde_plan *plan, enum ronde_counter counter,
			    uint64_t steps);

/* True if nobody reads what is in the slot of chunk `chunk` any more, where the rank itself is done
 * with `unpacked` chunks, too. */
bool ronde_slot_is_free(const struct ronde_plan *plan, uint64_t chunk, uint64_t unpacked);

/*
 * Ends the operation on this rank. `steps` is the same on all members and more than any counter of
 * theirs says. Wakes the leader too: it waits for a free lane.
 */
enum ronde_progress ronde_lane_leave(const struct ronde_plan *plan, uint64_t steps);

/* Where member `member` has its part of chunk `chunk`. */
static inline unsigned char *ronde_staging_area(const struct ronde_plan *plan, uint64_t chunk,
						int member)
{
	size_t area = (size_t)(chunk % RONDE_STAGING_SLOTS) * (size_t)plan->n + (size_t)member;
	return ronde_lane_staging(plan->arena, plan->lane) +
	       ronde_grain_up(sizeof(int64_t) * (size_t)plan->n) + area * plan->chunk_bytes;
}

/*
 * Reduces everybody's `count` elements, sources[n] in member order, into the destinations; spec is
 * the plan's, perhaps streaming.
 */
void ronde_reduce_members(const struct ronde_plan *plan, const struct ronde_reduce_spec *spec,
			  void *const *destinations, int ndestination, const void *const *sources,
			  size_t count);

/* Puts what each member has at its leaf, NULL at the others: leaves[ronde_plan_leaves()]. */
void ronde_members_to_leaves(const struct ronde_plan *plan, const void **leaves,
			     const void *const *sources);

/* One number of every member, for what data decides (allgather's rows). */
static inline int64_t *ronde_staging_rows(const struct ronde_plan *plan)
{
	return (int64_t *)(void *)ronde_lane_staging(plan->arena, plan->lane);
}

/* An operation that uses areas starts with this: a chunk that does not fit would harm others. */
void ronde_staging_check(const struct ronde_plan *plan);

#endif

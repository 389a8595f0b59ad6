/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ranks of algorithms_world.h in one thread, that take turns: between two looks that a rank
 * takes at the others' counters in one step, the others go on for as long as they can. Threads do
 * that rarely: the one would have to be interrupted there, and the others not. To be linked with
 * --wrap=ronde_lane_all_reached.
 */
#ifndef RONDE_TESTS_ALGORITHMS_TURNS_H
#define RONDE_TESTS_ALGORITHMS_TURNS_H

#include "collectives/algorithms/lane.h"
#include "tests/algorithms_world.h"

struct turns {
	struct rank *ranks;
	int n;
	int whose; /* in its step now */
	uint64_t *seed;
};

/* Of a thread whose ranks take turns, while one is in a step; else NULL. */
static _Thread_local struct turns *taking_turns;

static void others_go_on(const struct turns *t)
{
	for (bool worked = true; worked;) {
		worked = false;
		for (int i = 0; i < t->n; i++)
			if (i != t->whose)
				worked |= advance(&t->ranks[i]);
	}
}

bool __real_ronde_lane_all_reached(const struct ronde_plan *plan, enum ronde_counter counter,
				   uint64_t steps);
bool __wrap_ronde_lane_all_reached(const struct ronde_plan *plan, enum ronde_counter counter,
				   uint64_t steps);

bool __wrap_ronde_lane_all_reached(const struct ronde_plan *plan, enum ronde_counter counter,
				   uint64_t steps)
{
	struct turns *t = taking_turns;
	bool reached = __real_ronde_lane_all_reached(plan, counter, steps);
	if (t && below(t->seed, 3)) {
		taking_turns = NULL;
		others_go_on(t);
		taking_turns = t;
	}
	return reached;
}

/* As world_run(). */
static bool world_take_turns(struct world *w, uint64_t seed)
{
	struct rank ranks[MAX_RANKS];
	int size = (int)w->arena.shape.local_size, left = size;
	struct turns t = {.ranks = ranks, .n = size, .seed = &seed};
	for (int i = 0; i < size; i++)
		rank_begin(&ranks[i], w, i, 0);
	while (left) {
		t.whose = (int)below(&seed, (uint64_t)size);
		taking_turns = &t;
		advance(&ranks[t.whose]);
		taking_turns = NULL;
		left = 0;
		for (int i = 0; i < size; i++)
			left += !finished(&ranks[i]);
	}
	for (int i = 0; i < size; i++)
		free(ranks[i].lanes);
	return true;
}

#endif

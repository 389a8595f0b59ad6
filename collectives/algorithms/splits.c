/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/algorithms/splits.h"

#include <string.h>

/* What is in a cell. */
struct word {
	int64_t rows, begin, most, astray;
};
_Static_assert(sizeof(struct word) <= RONDE_GRAIN, "a word must fit the smallest cell");

void ronde_splits_start(const struct ronde_plan *plan, struct ronde_splits *s)
{
	ronde_staging_check(plan);
	*s = (struct ronde_splits){.cells = ronde_cells_fit(plan)};
	s->chunks = ronde_cells_chunks(plan, s->cells, RONDE_GRAIN);
	for (int m = 0; m < plan->n; m++) {
		if (m != plan->me && plan->splits[m] > s->most)
			s->most = plan->splits[m];
	}
}

/* The word for myself goes no way through staging: say may be more chunks ahead of hear than there
 * are slots. */
static void say_word(const struct ronde_plan *plan, const struct ronde_splits *s, uint64_t to)
{
	struct word word = {plan->splits[to], s->begin, s->most, plan->astray[plan->me]};
	if (to == (uint64_t)plan->me) {
		plan->received[to] = word.rows;
		plan->begins[to] = word.begin;
	} else {
		memcpy(ronde_cell_area(plan, s->cells, s->said, plan->me, to), &word, sizeof word);
	}
}

static bool say(const struct ronde_plan *plan, struct ronde_splits *s)
{
	uint64_t c = s->said, end = (c + 1) * s->cells.width;
	if (c == s->chunks)
		return false;
	if (c >= RONDE_STAGING_SLOTS &&
	    !ronde_lane_all_reached(plan, RONDE_UNPACKED, c + 1 - RONDE_STAGING_SLOTS))
		return false;
	for (uint64_t to = c * s->cells.width; to < end && to < (uint64_t)plan->n; to++) {
		say_word(plan, s, to);
		s->begin += plan->splits[to];
	}
	ronde_lane_publish(plan, RONDE_PACKED, ++s->said);
	return true;
}

/*
 * Only one chunk has words for me. With them this rank's maximum becomes everybody's; that others
 * may read it in words said later does no harm.
 */
static bool hear(const struct ronde_plan *plan, struct ronde_splits *s)
{
	uint64_t c = s->heard, mine = (uint64_t)plan->me;
	if (c == s->said || !ronde_lane_all_reached(plan, RONDE_PACKED, c + 1))
		return false;
	for (int m = 0; m < plan->n && mine / s->cells.width == c; m++) {
		struct word word;
		if (m == plan->me)
			continue;
		memcpy(&word, ronde_cell_area(plan, s->cells, c, m, mine), sizeof word);
		plan->received[m] = word.rows;
		plan->begins[m] = word.begin;
		plan->astray[m] = word.astray;
		if (word.most > s->most)
			s->most = word.most;
	}
	ronde_lane_publish(plan, RONDE_UNPACKED, ++s->heard);
	return true;
}

bool ronde_splits_step(const struct ronde_plan *plan, struct ronde_splits *s, bool *worked)
{
	while (hear(plan, s) || say(plan, s))
		*worked = true;
	return s->heard == s->chunks;
}

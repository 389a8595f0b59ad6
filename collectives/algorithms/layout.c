/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/algorithms/layout.h"

uint64_t ronde_layout_bytes(const struct ronde_plan *plan)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < plan->npieces; i++)
		bytes += ronde_grain_up(plan->pieces[i].count * plan->element);
	return bytes;
}

struct ronde_range ronde_slice(struct ronde_range range, int n, int rank)
{
	uint64_t slice = ronde_slice_bytes(range, n);
	uint64_t begin = range.begin + slice * (uint64_t)rank;
	uint64_t end = begin + slice;
	if (begin > range.end)
		begin = range.end;
	return (struct ronde_range){begin, end < range.end ? end : range.end};
}

struct ronde_span ronde_walk_next(struct ronde_walk *walk, const struct ronde_plan *plan,
				  uint64_t end, size_t limit)
{
	/* Empty pieces, and one that the last span ended exactly with. */
	uint64_t bytes = plan->pieces[walk->piece].count * plan->element;
	while (walk->offset >= bytes) {
		walk->piece++;
		walk->offset = 0;
		bytes = plan->pieces[walk->piece].count * plan->element;
	}

	uint64_t left = ronde_grain_up(bytes) - walk->offset;
	uint64_t most = end - walk->at;
	limit = (size_t)ronde_grain_up(limit < RONDE_SPAN_LEAST ? RONDE_SPAN_LEAST : limit);
	if (most > limit)
		most = limit;
	uint64_t moved = left < most ? left : most;
	uint64_t real = bytes - walk->offset;

	struct ronde_span span = {&plan->pieces[walk->piece], walk->offset,
				  (size_t)(real < moved ? real : moved)};
	walk->at += moved;
	walk->offset += moved;
	return span;
}

void ronde_walk_skip(struct ronde_walk *walk, const struct ronde_plan *plan, uint64_t to)
{
	uint64_t ahead = to - walk->at;
	while (ahead) {
		uint64_t padded = ronde_grain_up(plan->pieces[walk->piece].count * plan->element);
		uint64_t left = padded - walk->offset;
		if (ahead < left) {
			walk->offset += ahead;
			break;
		}
		ahead -= left;
		walk->piece++;
		walk->offset = 0;
	}
	walk->at = to;
}

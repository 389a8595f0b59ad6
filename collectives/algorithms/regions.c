/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/algorithms/regions.h"

#include "collectives/algorithms/parts.h"
#include "collectives/span.h"

bool ronde_regions_fit(const struct ronde_plan *plan, struct ronde_regions *r)
{
	uint64_t nodes = (uint64_t)plan->span->nodes;
	uint64_t wide = ronde_parts_wide(plan);
	uint64_t grains = plan->chunk_bytes / RONDE_GRAIN / nodes;
	uint64_t carriers = (uint64_t)ronde_span_carriers(plan->span);
	if (grains <= 2 * wide)
		return false;
	carriers = carriers < grains - 2 * wide ? carriers : grains - 2 * wide;
	*r = (struct ronde_regions){.total = ronde_layout_bytes(plan),
				    .room = grains / (carriers + 2 * wide) * RONDE_GRAIN,
				    .carriers = (int32_t)carriers,
				    .wide = (int32_t)wide};
	for (int k = 0; k < plan->span->nodes; k++)
		r->most = plan->span->members[k] > r->most ? plan->span->members[k] : r->most;

	uint64_t region = r->room * carriers, most = (uint64_t)r->most;
	r->block = region / most & ~(RONDE_GRAIN - 1);
	r->width = r->most;
	if (!r->block) {
		r->block = RONDE_GRAIN;
		r->width = (int32_t)(region / RONDE_GRAIN);
	}
	r->windows = ronde_chunk_count(most, (uint64_t)r->width);
	r->chunks = ronde_chunk_count(r->total, r->block) * r->windows;
	return true;
}

/* Bytes of the longest region, or more. */
static uint64_t longest(const struct ronde_regions *r, uint64_t chunk)
{
	struct ronde_range block = ronde_region_block(r, chunk);
	int members = ronde_region_end(r, chunk, r->most) - ronde_region_first(r, chunk);
	return (block.end - block.begin) * (uint64_t)members;
}

uint64_t ronde_region_slice(const struct ronde_regions *r, uint64_t chunk)
{
	return ronde_slice_bytes((struct ronde_range){0, longest(r, chunk)}, r->carriers);
}

uint64_t ronde_region_part(const struct ronde_regions *r, uint64_t chunk, int carrier,
			   uint64_t bytes)
{
	uint64_t slice = ronde_region_slice(r, chunk), before = slice * (uint64_t)carrier;
	uint64_t left = bytes > before ? bytes - before : 0;
	return left < slice ? left : slice;
}

bool ronde_region_reaches(const struct ronde_regions *r, uint64_t chunk, int carrier)
{
	return ronde_region_part(r, chunk, carrier, longest(r, chunk)) > 0;
}

struct ronde_span ronde_cursor_next(const struct ronde_plan *plan, const struct ronde_regions *r,
				    uint64_t chunk, struct ronde_cursor *cursor, size_t limit,
				    uint64_t *from)
{
	struct ronde_span span =
		ronde_walk_next(&cursor->walk, plan, ronde_region_block(r, chunk).end, limit);
	const struct ronde_set_span *set = plan->span;
	struct ronde_share share =
		ronde_share_bytes(span.piece->rows, span.piece->row_bytes, ronde_span_shares(set),
				  ronde_span_share(set, cursor->node, cursor->member));
	*from = share.first + span.offset;
	span.bytes = ronde_share_span(share, span);
	return span;
}

uint64_t ronde_region_bytes(const struct ronde_plan *plan, const struct ronde_regions *r,
			    uint64_t chunk, int node, int end)
{
	struct ronde_cursor cursor = {.node = node};
	struct ronde_range block = ronde_region_block(r, chunk);
	uint64_t bytes = 0, from;
	ronde_walk_skip(&cursor.block, plan, block.begin);
	for (int m = ronde_region_first(r, chunk); m < end; m++) {
		ronde_cursor_turn(&cursor, m);
		while (cursor.walk.at < block.end)
			bytes += ronde_cursor_next(plan, r, chunk, &cursor, SIZE_MAX / 2, &from)
					 .bytes;
	}
	return bytes;
}

void ronde_cursor_pass(const struct ronde_plan *plan, const struct ronde_regions *r, uint64_t chunk,
		       struct ronde_cursor *cursor)
{
	if ((chunk + 1) % r->windows == 0)
		ronde_walk_skip(&cursor->block, plan, ronde_region_block(r, chunk).end);
	cursor->at = 0;
	cursor->node = 0;
	ronde_cursor_turn(cursor, ronde_region_first(r, chunk + 1));
}

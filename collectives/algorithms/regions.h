/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regions: how a reducescatter over nodes is cut. The shares are cut into blocks (layout.h: a
 * position means that byte of everybody's own share). A chunk has, for each node, a region: a block
 * of each of its members behind each other, without gaps. With more members than fit it has those
 * of a window of them, and a block takes several chunks. A region is cut into one slice for each
 * carrier (span.h); slices are equally long in all regions of a chunk, but for their ends.
 *
 * 2 nodes with 3 and 2 members of which 2 fit, shares of 2 blocks; mB is block B of member m:
 *
 *   chunk      0        1       2        3
 *   node 0     00 10    20      01 11    21
 *   node 1     00 10            01 11
 */
#ifndef RONDE_ALGORITHMS_REGIONS_H
#define RONDE_ALGORITHMS_REGIONS_H

#include "collectives/algorithms/layout.h"

struct ronde_regions {
	uint64_t total;         /* bytes of the layout */
	uint64_t block, room;   /* bytes of a block, and of a slice, at most */
	uint64_t chunks;        /* all of them … */
	uint64_t windows;       /* … and those of a block */
	int32_t width, most;    /* members in a window at most, and of the largest node */
	int32_t carriers, wide; /* wide: bytes of a sum for each of a tensor's */
};

/* A place in a region: how far in which member's block. Starts as {0}. */
struct ronde_cursor {
	struct ronde_walk block; /* where the block begins … */
	struct ronde_walk walk;  /* … and how far it is */
	uint64_t at;             /* bytes of the region before it */
	int32_t node, member;
};

/* As many as fit into chunk_bytes next to the sums of a slice, own and received, for each node;
 * false if not even a grain for one carrier does. */
bool ronde_regions_fit(const struct ronde_plan *plan, struct ronde_regions *regions);

static inline struct ronde_range ronde_region_block(const struct ronde_regions *r, uint64_t chunk)
{
	return ronde_layout_chunk(r->total, r->block, chunk / r->windows);
}

/* The members of a node with `members` ones that are in a chunk: from first on, to less than end.
 */
static inline int ronde_region_first(const struct ronde_regions *r, uint64_t chunk)
{
	return (int)(chunk % r->windows) * r->width;
}

static inline int ronde_region_end(const struct ronde_regions *r, uint64_t chunk, int members)
{
	int end = ronde_region_first(r, chunk) + r->width;
	return end < members ? end : members;
}

/* Bytes of a slice of any region of a chunk, at most. */
uint64_t ronde_region_slice(const struct ronde_regions *r, uint64_t chunk);

/* What a region of `bytes` bytes has in carrier's slice. */
uint64_t ronde_region_part(const struct ronde_regions *r, uint64_t chunk, int carrier,
			   uint64_t bytes);

/* May any region have something in carrier's slice? The same on all ranks. */
bool ronde_region_reaches(const struct ronde_regions *r, uint64_t chunk, int carrier);

/* How many bytes the members before `end` have in a node's region. */
uint64_t ronde_region_bytes(const struct ronde_plan *plan, const struct ronde_regions *r,
			    uint64_t chunk, int node, int end);

/*
 * The next bytes of the cursor's member, at most about `limit`, and where in its tensor they are:
 * *from, bytes from the start of the whole piece. Its block is over where cursor->walk.at is at the
 * block's end.
 */
struct ronde_span ronde_cursor_next(const struct ronde_plan *plan, const struct ronde_regions *r,
				    uint64_t chunk, struct ronde_cursor *cursor, size_t limit,
				    uint64_t *from);

/* Moves to another member's block of the same chunk. */
static inline void ronde_cursor_turn(struct ronde_cursor *cursor, int member)
{
	cursor->member = member;
	cursor->walk = cursor->block;
}

/* Moves behind a chunk: to node 0 and the first member of the next one. */
void ronde_cursor_pass(const struct ronde_plan *plan, const struct ronde_regions *r, uint64_t chunk,
		       struct ronde_cursor *cursor);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layout: a plan's pieces as one virtual stretch of bytes, cut into chunks and slices.
 *
 * The pieces stand behind each other, each beginning at a multiple of 64 bytes: so every cut at a
 * multiple of 64 falls between elements, on a cache line of the tensor and on one of the staging.
 * Three pieces of 100, 0 and 8 bytes, cut for two ranks:
 *
 *   virtual   0         64        128       192
 *             | piece 0           | piece 2 |
 *   real        64 bytes  36 bytes  8 bytes
 *   slices    [ rank 0 0…128      [ rank 1 128…192
 *
 * In the layout of a reducescatter a piece is as long as its largest share, and a position in it
 * means that byte of everybody's own share.
 */
#ifndef RONDE_ALGORITHMS_LAYOUT_H
#define RONDE_ALGORITHMS_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "collectives/operation.h"
#include "collectives/share.h"

#define RONDE_GRAIN ((uint64_t)64)

/* A stretch [begin, end) of the layout; both are multiples of RONDE_GRAIN. */
struct ronde_range {
	uint64_t begin, end;
};

/* A position in the layout that only moves forward. Starts as {0}. */
struct ronde_walk {
	uint64_t at;     /* position in the layout */
	uint64_t piece;  /* the piece it is in … */
	uint64_t offset; /* … and the position in that piece */
};

/* Bytes of the tensors that lie in one piece. */
struct ronde_span {
	const struct ronde_piece *piece;
	uint64_t offset; /* bytes from the piece's start */
	size_t bytes;    /* real ones: without what fills up to the grain */
};

static inline uint64_t ronde_grain_up(uint64_t bytes)
{
	return (bytes + RONDE_GRAIN - 1) & ~(RONDE_GRAIN - 1);
}

/* Bytes of the whole layout; the same on all ranks. */
uint64_t ronde_layout_bytes(const struct ronde_plan *plan);

/* Chunk number `chunk` of a layout of `total` bytes. */
static inline struct ronde_range ronde_layout_chunk(uint64_t total, uint64_t chunk_bytes,
						    uint64_t chunk)
{
	uint64_t begin = chunk * chunk_bytes;
	uint64_t end = begin + chunk_bytes;
	return (struct ronde_range){begin, end < total ? end : total};
}

/* How many chunks of `chunk_bytes` cover `total` bytes. */
static inline uint64_t ronde_chunk_count(uint64_t total, uint64_t chunk_bytes)
{
	return total / chunk_bytes + (total % chunk_bytes != 0);
}

/* Bytes of a slice when n ranks share a range; the last slices may be shorter, or empty. */
static inline uint64_t ronde_slice_bytes(struct ronde_range range, int n)
{
	uint64_t bytes = range.end - range.begin;
	return ronde_grain_up((bytes + (uint64_t)n - 1) / (uint64_t)n);
}

/* Rank `rank`'s slice of a range that n ranks share. */
struct ronde_range ronde_slice(struct ronde_range range, int n, int rank);

/* What is left of a step's budget is not worth less than this. */
#define RONDE_SPAN_LEAST ((size_t)4096)

/*
 * The next bytes of one piece, at most up to position `end` and about `limit` bytes; moves the walk
 * behind them. Nothing is left before `end` exactly when walk->at == end. `end` is in the layout,
 * beyond walk->at.
 */
struct ronde_span ronde_walk_next(struct ronde_walk *walk, const struct ronde_plan *plan,
				  uint64_t end, size_t limit);

/* Moves forward to position `to`. */
void ronde_walk_skip(struct ronde_walk *walk, const struct ronde_plan *plan, uint64_t to);

/* Reducescatter: the bytes of a piece that are a member's own. The set's ranks share them, so those
 * of a rank that takes no part are nobody's. */
static inline struct ronde_share ronde_piece_share(const struct ronde_plan *plan,
						   const struct ronde_piece *piece, int member)
{
	return ronde_share_bytes(piece->rows, piece->row_bytes, ronde_plan_leaves(plan),
				 ronde_plan_leaf(plan, member));
}

/* Bytes of a span that a share has: a smaller share ends before the layout of its piece does. */
static inline size_t ronde_share_span(struct ronde_share share, struct ronde_span span)
{
	uint64_t left = share.count > span.offset ? share.count - span.offset : 0;
	return left < span.bytes ? (size_t)left : span.bytes;
}

/* From this size on results go past the caches: less would still be there when they are read. */
#define RONDE_STREAM_BYTES ((uint64_t)4 << 20)

/*
 * What is left of a step's work, in bytes. Every span costs a little more than its bytes, so that a
 * step does not go through thousands of tiny tensors.
 */
#define RONDE_SPAN_COST ((size_t)512)

static inline void ronde_spend(size_t *budget, size_t bytes)
{
	bytes += RONDE_SPAN_COST;
	*budget -= bytes < *budget ? bytes : *budget;
}

#endif

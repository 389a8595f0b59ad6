/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments: the largest subtrees of the reduction's tree whose ranks are all in one domain. A
 * domain's ranks can add up theirs before anything leaves it, and the association stays what it is.
 *
 * 3 packages of 5 ranks; the tree of 15 leaves falls into 7 segments:
 *
 *   rank      0 1 2 3 4 | 5 6 7 8 9 | a b c d e
 *   segment  0 0 0 0 1 | 2 3 3 4 4 | 5 5 6 6 6
 *
 * Where packages are aligned blocks, each is one segment.
 */
#ifndef RONDE_ALGORITHMS_SEGMENTS_H
#define RONDE_ALGORITHMS_SEGMENTS_H

#include "collectives/operation.h"

struct ronde_segment {
	int leaf, width;   /* of the tree; width is a power of two */
	int member, count; /* members in it, one after the other; count > 0 */
	int domain;
};

/* The next segment; starts with {0}. False: that was the last one. */
bool ronde_segment_next(const struct ronde_plan *plan, struct ronde_segment *segment);

/* How many there are. */
int ronde_segments(const struct ronde_plan *plan);

#endif

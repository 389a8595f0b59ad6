/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adasum: adds vectors so that what they have in common counts once and what is orthogonal counts
 * in full (Maleki et al., "Scaling Distributed Training with Adaptive Summation", MLSys 2021,
 * section 3). For two vectors
 *
 *   adasum(a, b) = (1 - a·b / (2 a·a)) a + (1 - a·b / (2 b·b)) b       the factor is 1 if a·a is 0
 *
 * and for more of them in a binary tree over the members, low bit first: members 0 and 1, 2 and 3,
 * then the two results, and so on. Where the number of members is no power of two the last one of a
 * level has no partner and passes through: 5 members are ((0,1),(2,3)),4. The paper exchanges
 * halves of vectors (section 4.2); here all members see all vectors, so it is done without copies
 * between levels: a vector of any level is a sum of inputs with coefficients,
 *
 *   level 0   needs x0·x1, x0·x0, x1·x1, likewise for 2 and 3     coefficients c0 c1 c2 c3
 *   level 1   needs a·b, a·a, b·b of a = c0 x0 + c1 x1, b = c2 x2 + c3 x3
 *   at last   c0 x0 + c1 x1 + c2 x2 + c3 x3                       rounded once, to the tensor's
 * type
 *
 * which takes one pass over the tensor a level, and one at the end. All arithmetic is float64.
 *
 * Who does what: the tensor is cut into blocks (kernels/ordered.h) from its start, and block b is
 * member (b mod n)'s. A level's sums are added up by each member over its own blocks, in order, and
 * then over the members, in order. So the bits depend on the inputs and on n only.
 */
#ifndef RONDE_ADASUM_H
#define RONDE_ADASUM_H

#include "collectives/kernels/ordered.h"
#include "collectives/operation.h"

/* Levels of the tree over n members. */
static inline int ronde_adasum_levels(int n)
{
	int levels = 0;
	while (1 << levels < n)
		levels++;
	return levels;
}

/* Most pairs of a level. */
static inline int ronde_adasum_pairs(int n)
{
	return n / 2;
}

/* Adds a block's products to the sums of each pair of a level. x: the block in each member's
 * tensor; a NULL one is a vector of zeros. sums: [pairs]. */
void ronde_adasum_block(const struct ronde_kernels *kernels, ronde_dtype dtype, int level, int n,
			const double *coefficients, const void *const *x, size_t count,
			struct ronde_dots *sums);

/* What the sums of a level, over all members, make of the coefficients. sums: [pairs]. */
void ronde_adasum_update(int level, int n, double *coefficients, const struct ronde_dots *sums);

/* The result's block, times the factor, into every destination. */
void ronde_adasum_finish(const struct ronde_kernels *kernels, ronde_dtype dtype, int n,
			 const double *coefficients, double factor, const void *const *x,
			 size_t count, void *const *destinations, int ndestination);

/* All of it by one thread, with the same bits; the destination may be one of the sources. */
void ronde_adasum_alone(const struct ronde_kernels *kernels, ronde_dtype dtype, int n,
			const void *const *sources, size_t count, double factor, void *destination);

/* ---- where the members of an operation leave their sums: at the start of the lane's staging ----
 */

/* Bytes it takes in front of the chunks. */
size_t ronde_adasum_head_bytes(int n);
/* Largest chunk: whole blocks of any type; 0: staging is too small for n members. */
size_t ronde_adasum_chunk_limit(size_t staging_bytes, int n);

/* This member's coefficients: [n]. Only it looks at them. */
double *ronde_adasum_coefficients(const struct ronde_plan *plan);
/* A member's sums of a level: [pairs]. Two levels have room, the one that is read and the next. */
struct ronde_dots *ronde_adasum_sums(const struct ronde_plan *plan, int member, int level);
/* All members are done with the level: the coefficients become those of the next. */
void ronde_adasum_next(const struct ronde_plan *plan, int level);

#endif

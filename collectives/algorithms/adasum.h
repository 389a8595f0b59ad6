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
 * halves of vectors (section 4.2); here all members see all inputs, so vectors of higher levels are
 * kept nowhere: whoever needs a block of one computes it again from the inputs, two at a time, with
 * the two factors of each pair below it. A pair is called by the first member of its right half:
 *
 *   level 0   needs x0·x1, x0·x0, x1·x1 and of x2 and x3 likewise   factors of pairs 1 and 3
 *   level 1   needs a·b, a·a, b·b of a = l1 x0 + r1 x1,
 *             b = l3 x2 + r3 x3                                     factors of pair 2
 *   at last   l2 a + r2 b                                           rounded once, to the tensor's
 *                                                                   type
 *
 * which takes one pass over the tensor a level, and one at the end. All arithmetic is float64, and
 * that of the formula, applied to vectors level by level. (With its factors multiplied out, a
 * vector is a sum of inputs with one coefficient each. But where a nearly cancels out, its factor
 * is large, and such a sum has the rounding errors of large terms where the small a was.)
 *
 * Who does what: the tensor is cut into blocks (kernels/ordered.h) from its start, and block b is
 * in group (b mod n), which is member (b mod n)'s. A level's sums are added up over the blocks of
 * each group, in order, and then over the groups, in order. So the bits depend on the inputs and on
 * n only.
 *
 * Where some have joined they are absent leaves of the tree, as good as vectors of zeros, and there
 * are as many groups as ever; group g is then worked on by present member (g mod those present).
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

/* Of a pair: what its vectors are multiplied by. */
struct ronde_adasum_factors {
	double left, right;
};

/* Adds a block's products to the sums of each pair of a level. x: the block in each member's
 * tensor; a NULL one is a vector of zeros. factors: [n], those of the levels below; see above.
 * sums: [pairs]. */
void ronde_adasum_block(const struct ronde_kernels *kernels, ronde_dtype dtype, int level, int n,
			const struct ronde_adasum_factors *factors, const void *const *x,
			size_t count, struct ronde_dots *sums);

/* The factors of a level, from its sums over all members. sums: [pairs]. */
void ronde_adasum_update(int level, int n, struct ronde_adasum_factors *factors,
			 const struct ronde_dots *sums);

/* The result's block, times the scale, into every destination. */
void ronde_adasum_finish(const struct ronde_kernels *kernels, ronde_dtype dtype, int n,
			 const struct ronde_adasum_factors *factors, double scale,
			 const void *const *x, size_t count, void *const *destinations,
			 int ndestination);

/* All of it by one thread, with the same bits; the destination may be one of the sources. */
void ronde_adasum_alone(const struct ronde_kernels *kernels, ronde_dtype dtype, int n,
			const void *const *sources, size_t count, double scale, void *destination);

/* ---- where the members of an operation leave their sums: at the start of the lane's staging ----
 */

/* Bytes it takes in front of the chunks. */
size_t ronde_adasum_head_bytes(int n);
/* Largest chunk: whole blocks of any type; 0: staging is too small for n members. */
size_t ronde_adasum_chunk_limit(size_t staging_bytes, int n);

/* The member that works on a block. */
static inline int ronde_adasum_owner(const struct ronde_plan *plan, uint64_t block)
{
	return (int)(block % (uint64_t)ronde_plan_leaves(plan) % (uint64_t)plan->n);
}

/* The first block from `block` on, before `end`, that is this member's (or is not); end: none. */
static inline uint64_t ronde_adasum_next_block(const struct ronde_plan *plan, uint64_t block,
					       uint64_t end, bool mine)
{
	while (block < end && (ronde_adasum_owner(plan, block) == plan->me) != mine)
		block++;
	return block;
}

/* This member's factors: [leaves]. Only it looks at them. */
struct ronde_adasum_factors *ronde_adasum_factors(const struct ronde_plan *plan);
/* A level begins: no sums yet in this member's groups. Two levels have room, the one that is read
 * and the next. */
void ronde_adasum_begin_level(const struct ronde_plan *plan, int level);
/* Adds this member's block to the sums of its group. x: [leaves], the block in each tensor. */
void ronde_adasum_add_block(const struct ronde_plan *plan, int level, uint64_t block,
			    const void *const *x, size_t count);
/* All members are done with the level: its factors, from everybody's sums. */
void ronde_adasum_next(const struct ronde_plan *plan, int level);

#endif

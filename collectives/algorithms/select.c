/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which algorithm does a plan: the first row that applies. What a row looks at is the same on all
 * ranks, because it comes from the entry.
 */
#include "collectives/algorithms/algorithms.h"
#include "collectives/algorithms/layout.h"
#include "collectives/algorithms/parts.h"
#include "collectives/algorithms/segments.h"

/*
 * Up to where one synchronisation less is worth adding everything up on every rank. Between 2 ranks
 * as many bytes cross as through slices, so it is worth it longer; with more it costs (n-1)/2 times
 * the transport, and bytes times ranks decide. Where the two met in perf/algorithms/: 2 ranks at
 * 512 KiB to 1 MiB, 3 ranks at 64 KiB, 4 ranks at 64 KiB.
 */
#define DIRECT_BYTES_PAIR ((uint64_t)512 << 10)
#define DIRECT_BYTES_RANKS ((uint64_t)192 << 10)

static bool is(const struct ronde_plan *plan, enum ronde_kind kind, enum ronde_path path)
{
	return !plan->span && plan->kind == kind && plan->path == path;
}

static bool is_adasum(const struct ronde_plan *plan, enum ronde_path path)
{
	return is(plan, RONDE_KIND_ALLREDUCE, path) && plan->spec.reduction == RONDE_ADASUM;
}

static bool is_adasum_zero_copy(const struct ronde_plan *plan)
{
	return is_adasum(plan, RONDE_PATH_ZERO_COPY);
}

static bool is_adasum_staged(const struct ronde_plan *plan)
{
	return is_adasum(plan, RONDE_PATH_STAGED);
}

static bool is_allreduce_zero_copy(const struct ronde_plan *plan)
{
	return is(plan, RONDE_KIND_ALLREDUCE, RONDE_PATH_ZERO_COPY);
}

static bool is_allreduce_direct(const struct ronde_plan *plan)
{
	uint64_t bytes = ronde_layout_bytes(plan);
	return is(plan, RONDE_KIND_ALLREDUCE, RONDE_PATH_STAGED) &&
	       (plan->n <= 2 ? bytes <= DIRECT_BYTES_PAIR
			     : bytes * (uint64_t)plan->n <= DIRECT_BYTES_RANKS);
}

static bool is_allreduce_staged(const struct ronde_plan *plan)
{
	return is(plan, RONDE_KIND_ALLREDUCE, RONDE_PATH_STAGED);
}

/* Worth it where packages are blocks, more or less: two ranks and more to a sum. */
static bool is_allreduce_two_level(const struct ronde_plan *plan)
{
	return is_allreduce_staged(plan) && ronde_allreduce_two_level_fits(plan) &&
	       ronde_segments(plan) > 1 && ronde_segments(plan) * 2 <= plan->n;
}

static bool is_broadcast_zero_copy(const struct ronde_plan *plan)
{
	return is(plan, RONDE_KIND_BROADCAST, RONDE_PATH_ZERO_COPY);
}

static bool is_broadcast_staged(const struct ronde_plan *plan)
{
	return is(plan, RONDE_KIND_BROADCAST, RONDE_PATH_STAGED);
}

static bool is_allgather_zero_copy(const struct ronde_plan *plan)
{
	return is(plan, RONDE_KIND_ALLGATHER, RONDE_PATH_ZERO_COPY);
}

static bool is_allgather_staged(const struct ronde_plan *plan)
{
	return is(plan, RONDE_KIND_ALLGATHER, RONDE_PATH_STAGED);
}

static bool is_reducescatter_zero_copy(const struct ronde_plan *plan)
{
	return is(plan, RONDE_KIND_REDUCESCATTER, RONDE_PATH_ZERO_COPY);
}

static bool is_reducescatter_staged(const struct ronde_plan *plan)
{
	return is(plan, RONDE_KIND_REDUCESCATTER, RONDE_PATH_STAGED);
}

static bool is_alltoall_zero_copy(const struct ronde_plan *plan)
{
	return is(plan, RONDE_KIND_ALLTOALL, RONDE_PATH_ZERO_COPY);
}

static bool is_alltoall_staged(const struct ronde_plan *plan)
{
	return is(plan, RONDE_KIND_ALLTOALL, RONDE_PATH_STAGED);
}

static bool is_barrier(const struct ronde_plan *plan)
{
	return !plan->span && plan->kind == RONDE_KIND_BARRIER;
}

/* Over nodes a rank's own addresses do, whatever the path. */
static bool is_allreduce_nodes(const struct ronde_plan *plan)
{
	return plan->span && plan->kind == RONDE_KIND_ALLREDUCE &&
	       plan->spec.reduction != RONDE_ADASUM && ronde_allreduce_nodes_fits(plan);
}

/*
 * Up to where a step over the network less is worth sending more: that many bytes of a node. Of
 * n nodes and b bytes the direct way sends (n-1)b, the other 2(n-1)b/n, where a sum is as wide as
 * the tensor: so between 2 nodes it is the direct way always. A wider sum crosses on both, but on
 * the second way results do not.
 */
#define DIRECT_NODES_BYTES ((uint64_t)32 << 10)

static bool is_allreduce_nodes_direct(const struct ronde_plan *plan)
{
	if (!is_allreduce_nodes(plan) || !ronde_allreduce_nodes_direct_fits(plan))
		return false;
	uint64_t nodes = (uint64_t)plan->span->nodes, bytes = ronde_layout_bytes(plan);
	uint64_t sums = bytes * ronde_parts_wide(plan);
	return (nodes - 1) * sums <= (nodes - 1) * (sums + bytes) / nodes + DIRECT_NODES_BYTES;
}

static bool is_broadcast_nodes(const struct ronde_plan *plan)
{
	return plan->span && plan->kind == RONDE_KIND_BROADCAST;
}

static bool is_allgather_nodes(const struct ronde_plan *plan)
{
	return plan->span && plan->kind == RONDE_KIND_ALLGATHER && ronde_allgather_nodes_fits(plan);
}

static bool is_reducescatter_nodes(const struct ronde_plan *plan)
{
	return plan->span && plan->kind == RONDE_KIND_REDUCESCATTER &&
	       ronde_reducescatter_nodes_fits(plan);
}

static bool is_alltoall_nodes(const struct ronde_plan *plan)
{
	return plan->span && plan->kind == RONDE_KIND_ALLTOALL && ronde_alltoall_nodes_fits(plan);
}

static bool is_barrier_nodes(const struct ronde_plan *plan)
{
	return plan->span && plan->kind == RONDE_KIND_BARRIER;
}

#define ROW(...)                                                                                   \
	&(const struct ronde_algorithm)                                                            \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

/* clang-format off */
static const struct ronde_algorithm *const table[] = {
	ROW("allreduce-nodes-direct", "over nodes, small or few: a slice each, added up on the node, sent to all others",
	    is_allreduce_nodes_direct,
	    ronde_allreduce_nodes_direct_start, ronde_allreduce_nodes_step),
	ROW("allreduce-nodes", "over nodes: a slice each, added up on the node, then pairwise between nodes",
	    is_allreduce_nodes,
	    ronde_allreduce_nodes_start, ronde_allreduce_nodes_step),
	ROW("broadcast-nodes", "over nodes: a slice each, by a binomial tree or, if large, a chain of nodes",
	    is_broadcast_nodes,
	    ronde_broadcast_nodes_start, ronde_broadcast_nodes_step),
	ROW("allgather-nodes", "over nodes: a slice of the node's rows each, pairwise between nodes",
	    is_allgather_nodes,
	    ronde_allgather_nodes_start, ronde_allgather_nodes_step),
	ROW("reducescatter-nodes", "over nodes: a slice each, added up on the node, sent to whose rows they are",
	    is_reducescatter_nodes,
	    ronde_reducescatter_nodes_start, ronde_reducescatter_nodes_step),
	ROW("alltoall-nodes", "over nodes: pairs of ranks exchange, one of each node at a time",
	    is_alltoall_nodes,
	    ronde_alltoall_nodes_start, ronde_alltoall_nodes_step),
	ROW("barrier-nodes", "over nodes: the node's ranks, then one of each node by dissemination",
	    is_barrier_nodes,
	    ronde_barrier_nodes_start, ronde_barrier_nodes_step),
	ROW("adasum-zero-copy", "each rank its blocks of all heaps, a pass for each level of the tree",
	    is_adasum_zero_copy,
	    ronde_adasum_zero_copy_start, ronde_adasum_zero_copy_step),
	ROW("adasum-staged", "the same through staging, chunks pipelined",
	    is_adasum_staged,
	    ronde_adasum_staged_start, ronde_adasum_staged_step),
	ROW("allreduce-zero-copy", "each rank reduces a slice from all heaps into all heaps",
	    is_allreduce_zero_copy,
	    ronde_allreduce_zero_copy_start, ronde_allreduce_zero_copy_step),
	ROW("allreduce-direct", "small: all put everything into staging, each adds up everything",
	    is_allreduce_direct,
	    ronde_allreduce_direct_start, ronde_allreduce_direct_step),
	ROW("allreduce-two-level", "several packages: each adds up its own first, all fetch results once",
	    is_allreduce_two_level,
	    ronde_allreduce_two_level_start, ronde_allreduce_two_level_step),
	ROW("allreduce-staged", "slices through staging, chunks pipelined",
	    is_allreduce_staged,
	    ronde_allreduce_staged_start, ronde_allreduce_staged_step),
	ROW("broadcast-zero-copy", "each rank copies from the root's heap",
	    is_broadcast_zero_copy,
	    ronde_broadcast_zero_copy_start, ronde_broadcast_zero_copy_step),
	ROW("broadcast-staged", "the root's chunks through staging, pipelined",
	    is_broadcast_staged,
	    ronde_broadcast_staged_start, ronde_broadcast_staged_step),
	ROW("allgather-zero-copy", "each rank copies from all heaps",
	    is_allgather_zero_copy,
	    ronde_allgather_zero_copy_start, ronde_allgather_zero_copy_step),
	ROW("allgather-staged", "everybody's chunks through staging, pipelined",
	    is_allgather_staged,
	    ronde_allgather_staged_start, ronde_allgather_staged_step),
	ROW("reducescatter-zero-copy", "each rank reduces its rows from all heaps",
	    is_reducescatter_zero_copy,
	    ronde_reducescatter_zero_copy_start, ronde_reducescatter_zero_copy_step),
	ROW("reducescatter-staged", "everybody's rows through staging, chunks pipelined",
	    is_reducescatter_staged,
	    ronde_reducescatter_staged_start, ronde_reducescatter_staged_step),
	ROW("alltoall-zero-copy", "each rank copies its rows from all heaps",
	    is_alltoall_zero_copy,
	    ronde_alltoall_zero_copy_start, ronde_alltoall_zero_copy_step),
	ROW("alltoall-staged", "everybody's rows through staging, chunks pipelined",
	    is_alltoall_staged,
	    ronde_alltoall_staged_start, ronde_alltoall_staged_step),
	ROW("barrier", "everybody says that it has come",
	    is_barrier,
	    ronde_barrier_start, ronde_barrier_step),
};
/* clang-format on */

const struct ronde_algorithm *const *ronde_algorithm_table(size_t *count)
{
	*count = sizeof table / sizeof table[0];
	return table;
}

const struct ronde_algorithm *ronde_algorithm_select(const struct ronde_plan *plan)
{
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		if (table[i]->applies(plan))
			return table[i];
	}
	return NULL;
}

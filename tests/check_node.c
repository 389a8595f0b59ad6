/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes: ranks that share an arena and each other's heaps. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>

#include "tests/node_ranks.h"

/* ---- memory is shared ---- */

/* A barrier over the local ranks, in the staging of lane 1. */
static int meet(struct node_rank *r)
{
	_Atomic uint32_t *count = (void *)ronde_lane_staging(&r->node->arena, 1);
	uint32_t n = (uint32_t)r->node->local_size, mine = atomic_fetch_add(count, 1);
	uint32_t all = (mine / n + 1) * n;
	for (long i = 0; atomic_load(count) < all; i++) {
		if (i > 2000000)
			return __LINE__;
		sched_yield();
	}
	return 0;
}

/* Everybody writes its rank into the arena and its heap, everybody reads everybody's. */
static int share(struct node_rank *r)
{
	struct ronde_node *node = r->node;
	if (node->rank != r->rank || node->size != r->size ||
	    node->arena.shape.local_size != (uint32_t)node->local_size)
		return __LINE__;
	int *mine = ronde_heap_alloc(r->heap, 100000);
	struct cell {
		_Atomic uint64_t offset;
	} *cells = (void *)ronde_lane_staging(&node->arena, 0);
	for (size_t i = 0; i < 25000; i++)
		mine[i] = r->rank * 1000003 + (int)i;
	uint64_t offset;
	if (!ronde_heap_find(r->heap, mine, 100000, &offset))
		return __LINE__;
	atomic_store(&cells[node->local_rank].offset, offset);
	int bad = meet(r);
	for (int l = 0; l < node->local_size && !bad; l++) {
		const int *theirs = (const void *)(node->heaps[l] + atomic_load(&cells[l].offset));
		for (size_t i = 0; i < 25000 && !bad; i++)
			if (theirs[i] != node->ranks[l] * 1000003 + (int)i)
				bad = __LINE__;
		if (node->arena.ranks[l].pid != (uint32_t)node->pids[l])
			bad = __LINE__;
	}
	if (node->heaps[node->local_rank] != ronde_heap_base(r->heap))
		bad = __LINE__;
	if (!bad)
		bad = meet(r);
	ronde_heap_free(r->heap, mine);
	return bad;
}

static const int rank_counts[] = {1, 2, 3, 5};

START_TEST(threads_share)
{
	struct node_ranks ranks = {.body = share};
	ck_assert_int_eq(node_ranks_threads(rank_counts[_i], NULL, &ranks), 0);
}
END_TEST

START_TEST(processes_share)
{
	struct node_ranks ranks = {.body = share};
	ck_assert_int_eq(node_ranks_fork(rank_counts[_i], &ranks), 0);
}
END_TEST

static Suite *node_suite(void)
{
	Suite *suite = suite_create("node");
	TCase *sharing = tcase_create("sharing");
	tcase_set_timeout(sharing, 60);
	tcase_add_loop_test(sharing, threads_share, 0, 4);
	tcase_add_loop_test(sharing, processes_share, 0, 4);
	suite_add_tcase(suite, sharing);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(node_suite());
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}

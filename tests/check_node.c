/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes: ranks that share an arena and each other's heaps. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <sys/resource.h>

#include "collectives/node_private.h"
#include "tests/names_left.h"
#include "tests/node_ranks.h"
#include "tests/skip.h"

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

/* More than one message of descriptors: a hundred and twenty ranks go into each. (The race checker
 * makes that many processes take minutes, and has nothing to find in processes.) */
#if defined(__SANITIZE_THREAD__)
#define MANY 10
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MANY 10
#endif
#endif
#ifndef MANY
#define MANY 130
#endif

START_TEST(many_processes_share)
{
	struct node_ranks ranks = {.body = share};
	ck_assert_int_eq(node_ranks_fork(MANY, &ranks), 0);
}
END_TEST

/* ---- fallbacks ---- */

static void no_memfd(int rank, struct ronde_node_options *options)
{
	(void)rank;
	options->no_memfd = true;
}

/* The file that the leader passes to the others: none of them can shrink it under the rest. */
START_TEST(nobody_can_resize_the_arena)
{
	struct ronde_node_options options = node_test_options();
	struct ronde_node_private private = {.threads = false};
	struct ronde_node node = {.size = 2, .local_size = 2, .priv = &private};
	int fd = -1;
	ck_assert_int_eq(ronde_node_make_arena(&node, &options, &fd), RONDE_OK);
	off_t bytes = (off_t) private.arena_bytes;
	errno = 0;
	ck_assert(ftruncate(fd, bytes - 4096) == -1 && errno == EPERM);
	errno = 0;
	ck_assert(ftruncate(fd, 2 * bytes) == -1 && errno == EPERM);
	ck_assert_int_eq(lseek(fd, 0, SEEK_END), bytes);
	munmap(private.arena, private.arena_bytes);
	close(fd);
}
END_TEST

START_TEST(processes_share_without_memfd)
{
	struct node_ranks ranks = {.body = share, .prepare = no_memfd};
	ck_assert_int_eq(node_ranks_fork(3, &ranks), 0);
	/* There may be another test's for a moment. */
	for (int i = 0; i < 2000 && names_left(); i++)
		usleep(1000);
	ck_assert_int_eq(names_left(), 0);
}
END_TEST

/* ---- ranks that can't share ---- */

static void little_address_space(int rank, struct ronde_node_options *options)
{
	(void)options;
	if (rank != 1)
		return;
	/* Room for the own heap, not for two others. */
	char text[64] = "";
	FILE *f = fopen("/proc/self/statm", "r");
	if (!f || !fgets(text, sizeof text, f))
		exit(1);
	fclose(f);
	rlim_t most = strtoul(text, NULL, 10) * 4096 + (3ul << 29);
	setrlimit(RLIMIT_AS, &(struct rlimit){most, most});
}

static int one_is_apart(struct node_rank *r)
{
	struct ronde_node *node = r->node;
	bool me = r->rank == 1;
	if (node->nodes != 2 || node->local_size != (me ? 1 : 2) || node->homogeneous)
		return __LINE__;
	if (node->node_of_rank[0] != 0 || node->node_of_rank[1] != 1 || node->node_of_rank[2] != 0)
		return __LINE__;
	const char *why = ronde_node_apart(node);
	if (me ? !why || !strstr(why, "cannot map the heap of rank") : why != NULL)
		return __LINE__;
	return share(r);
}

START_TEST(a_rank_that_cannot_map_is_a_node)
{
	struct node_ranks ranks = {.body = one_is_apart, .prepare = little_address_space};
	ck_assert_int_eq(node_ranks_fork(3, &ranks), 0);
}
END_TEST

/* Without the right to it, in a user namespace of its own, and there as the same user. */
static bool enter_own_network(void)
{
	if (!unshare(CLONE_NEWNET))
		return true;
	unsigned user = (unsigned)geteuid();
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
		return false;
	FILE *map = fopen("/proc/self/uid_map", "w");
	if (!map)
		return false;
	fprintf(map, "%u %u 1\n", user, user);
	return !fclose(map);
}

static bool may_have_own_network(void)
{
	int status;
	pid_t pid = fork();
	if (pid == 0)
		_exit(enter_own_network() ? 0 : 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status == 0;
}

static void own_network(int rank, struct ronde_node_options *options)
{
	(void)options;
	if (rank == 0 && !enter_own_network())
		exit(1);
}

/* Nobody sees the leader's socket: two ranks, two nodes, in two attempts. */
static int both_are_apart(struct node_rank *r)
{
	if (r->node->nodes != 2 || r->node->node_of_rank[0] == r->node->node_of_rank[1])
		return __LINE__;
	const char *why = ronde_node_apart(r->node);
	if (r->rank == 1 && (!why || !strstr(why, "cannot reach rank 0")))
		return __LINE__;
	return share(r);
}

START_TEST(a_rank_that_cannot_reach_is_a_node)
{
	struct node_ranks ranks = {.body = both_are_apart, .prepare = own_network};
	if (may_have_own_network())
		ck_assert_int_eq(node_ranks_fork(2, &ranks), 0);
	else
		test_skip("a_rank_that_cannot_reach_is_a_node",
			  "no right to make a network namespace here");
}
END_TEST

/* ---- opening fails ---- */

static void huge(int rank, struct ronde_node_options *options)
{
	if (rank == 0)
		options->shape.staging_bytes = (uint64_t)1 << 46;
}

static int too_little_memory(struct node_rank *r)
{
	const char *text = ronde_error_message();
	if (r->status != RONDE_ERR_OUT_OF_MEMORY || r->node)
		return __LINE__;
	if (!strstr(text, "rank 0: ") || !strstr(text, "RONDE_RING_BYTES") ||
	    !strstr(text, "2 lanes × RONDE_STAGING_BYTES") || !strstr(text, "140737488") ||
	    !strstr(text, " by "))
		return __LINE__;
	return 0;
}

START_TEST(memory_is_asked_for_first)
{
	struct node_ranks ranks = {.body = too_little_memory, .prepare = huge, .may_fail = true};
	ck_assert_int_eq(node_ranks_fork(3, &ranks), 0);
	ck_assert_int_eq(node_ranks_threads(3, NULL, &ranks), 0);
	ck_assert_int_eq(node_ranks_fork(1, &ranks), 0);
}
END_TEST

static void few_descriptors(int rank, struct ronde_node_options *options)
{
	(void)options;
	struct rlimit limit;
	int free_one = dup(0);
	close(free_one);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = (rlim_t)free_one + 10; /* heap, socket, pidfd, arena, and six more */
	if (rank == 0)
		setrlimit(RLIMIT_NOFILE, &limit);
}

static int too_few_descriptors(struct node_rank *r)
{
	const char *text = ronde_error_message();
	return r->status == RONDE_ERR_SYSTEM && strstr(text, "rank 0: ") &&
			       strstr(text, "raise `ulimit -n`")
		       ? 0
		       : __LINE__;
}

START_TEST(descriptors_run_out)
{
	struct node_ranks ranks = {
		.body = too_few_descriptors, .prepare = few_descriptors, .may_fail = true};
	time_t start = time(NULL);
	ck_assert_int_eq(node_ranks_fork(8, &ranks), 0);
	ck_assert_int_lt((int)(time(NULL) - start), 10);
}
END_TEST

/* A bootstrap that ends its process after the second exchange. */
struct leaving_bootstrap {
	struct ronde_bootstrap base, *inner;
	int exchanges;
};

static int leaving_exchange(struct ronde_bootstrap *b, const void *mine, void *all, size_t bytes)
{
	struct leaving_bootstrap *l = (struct leaving_bootstrap *)b;
	int status = l->inner->ops->exchange(l->inner, mine, all, bytes);
	if (++l->exchanges == 2)
		_exit(0);
	return status;
}

static const struct ronde_bootstrap_ops leaving_ops = {.name = "leaving",
						       .exchange = leaving_exchange};

static int leave_while_opening(struct node_rank *r)
{
	ronde_node_close(r->node);
	r->node = NULL;
	struct leaving_bootstrap l = {.base = *r->bootstrap, .inner = r->bootstrap};
	l.base.ops = &leaving_ops;
	struct ronde_node_options options = node_test_options();
	options.timeout_seconds = 2;
	time_t start = time(NULL);
	int status =
		ronde_node_open(&r->node, r->rank == 2 ? &l.base : r->bootstrap, r->heap, &options);
	if (status != RONDE_ERR_PEER_LOST || !strstr(ronde_error_message(), "rank 2") ||
	    time(NULL) - start > 5) {
		fprintf(stderr, "rank %d: status %d: %s\n", r->rank, status, ronde_error_message());
		return __LINE__;
	}
	return 0;
}

START_TEST(a_rank_that_leaves_is_named)
{
	struct node_ranks ranks = {.body = leave_while_opening};
	ck_assert_int_eq(node_ranks_fork(4, &ranks), 0);
}
END_TEST

/* ---- numbers ---- */

static int numbers_agree(struct node_rank *r)
{
	/* Nodes by lowest rank: {0 2 5 6} {1 4} {3 7}. */
	static const int node[8] = {0, 1, 0, 2, 1, 0, 0, 2}, local[8] = {0, 0, 1, 0, 1, 2, 3, 1};
	static const int local_size[8] = {4, 2, 4, 2, 2, 4, 4, 2};
	static const int cross[8] = {0, 1, 0, 2, 1, 0, 0, 2},
			 cross_size[8] = {3, 3, 3, 3, 3, 1, 1, 3};
	struct ronde_node *n = r->node;
	int me = r->rank;
	if (n->nodes != 3 || n->node != node[me] || n->local_rank != local[me] ||
	    n->local_size != local_size[me] || n->cross_rank != cross[me] ||
	    n->cross_size != cross_size[me] || n->homogeneous)
		return __LINE__;
	if (memcmp(n->node_of_rank, node, sizeof node) != 0 ||
	    memcmp(n->local_of_rank, local, sizeof local) != 0)
		return __LINE__;
	return share(r);
}

START_TEST(numbers_of_any_layout)
{
	static const int node_of[8] = {1, 0, 1, 2, 0, 1, 1, 2};
	struct node_ranks ranks = {.body = numbers_agree};
	ck_assert_int_eq(node_ranks_threads(8, node_of, &ranks), 0);
}
END_TEST

static int homogeneous(struct node_rank *r)
{
	return r->node->homogeneous && r->node->cross_size == 3 && r->node->local_size == 2
		       ? 0
		       : __LINE__;
}

START_TEST(equal_nodes_are_homogeneous)
{
	static const int node_of[6] = {0, 0, 1, 1, 2, 2};
	struct node_ranks ranks = {.body = homogeneous};
	ck_assert_int_eq(node_ranks_threads(6, node_of, &ranks), 0);
}
END_TEST

/* ---- nothing is left ---- */

static int count_entries(const char *folder)
{
	DIR *dir = opendir(folder);
	int n = 0;
	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

static int count_mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512];
	int n = 0;
	while (f && fgets(line, sizeof line, f))
		n += strstr(line, "memfd:ronde") || strstr(line, "/dev/zero");
	if (f)
		fclose(f);
	return n;
}

static int open_and_close(struct node_rank *r)
{
	struct ronde_node_options options = node_test_options();
	int descriptors = count_entries("/proc/self/fd"), mappings = count_mappings();
	for (int i = 0; i < 200; i++) {
		ronde_node_close(r->node);
		r->node = NULL;
		options.no_pidfd = i % 2;
		if (ronde_node_open(&r->node, r->bootstrap, r->heap, &options))
			return __LINE__;
		struct ronde_watcher *watcher;
		if (ronde_watcher_start(&watcher, r->node, NULL, NULL))
			return __LINE__;
		int bad = meet(r);
		ronde_watcher_stop(watcher);
		atomic_store(&r->node->arena.ranks[r->node->local_rank].life, RONDE_LIFE_DOWN);
		if (bad)
			return bad;
	}
	/* The last one was opened with a pipe, the first with a pidfd: one descriptor more. */
	if (r->bootstrap->inprocess)
		return 0; /* the other threads' are in motion */
	if (count_mappings() != mappings)
		return __LINE__;
	int more = count_entries("/proc/self/fd") - descriptors;
	return more == (r->size > 1) ? 0 : __LINE__;
}

START_TEST(cycles_leave_nothing)
{
	struct node_ranks ranks = {.body = open_and_close};
	ck_assert_int_eq(node_ranks_fork(1, &ranks), 0);
	ck_assert_int_eq(node_ranks_fork(3, &ranks), 0);
	int descriptors = count_entries("/proc/self/fd"), mappings = count_mappings();
	ck_assert_int_eq(node_ranks_threads(3, NULL, &ranks), 0);
	ck_assert_int_eq(count_entries("/proc/self/fd"), descriptors);
	ck_assert_int_eq(count_mappings(), mappings);
}
END_TEST

static Suite *node_suite(void)
{
	Suite *suite = suite_create("node");
	TCase *sharing = tcase_create("sharing");
	tcase_set_timeout(sharing, 60);
	tcase_add_loop_test(sharing, threads_share, 0, 4);
	tcase_add_loop_test(sharing, processes_share, 0, 4);
	tcase_add_test(sharing, many_processes_share);
	tcase_add_test(sharing, nobody_can_resize_the_arena);
	tcase_add_test(sharing, processes_share_without_memfd);
	tcase_add_test(sharing, a_rank_that_cannot_map_is_a_node);
	tcase_add_test(sharing, a_rank_that_cannot_reach_is_a_node);
	tcase_add_test(sharing, numbers_of_any_layout);
	tcase_add_test(sharing, equal_nodes_are_homogeneous);
	suite_add_tcase(suite, sharing);
	TCase *failing = tcase_create("failing");
	tcase_set_timeout(failing, 60);
	tcase_add_test(failing, memory_is_asked_for_first);
	tcase_add_test(failing, descriptors_run_out);
	tcase_add_test(failing, a_rank_that_leaves_is_named);
	tcase_add_test(failing, cycles_leave_nothing);
	suite_add_tcase(suite, failing);
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

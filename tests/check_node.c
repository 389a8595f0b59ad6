/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes: ranks that share an arena and each other's heaps. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/resource.h>

#include "collectives/node_private.h"
#include "tests/names_left.h"
#include "tests/node_ranks.h"
#include "tests/suite.h"

/* ---- memory is shared ---- */

static const int rank_counts[] = {1, 2, 3, 5};

START_TEST(threads_share)
{
	struct node_ranks ranks = {.body = node_rank_share};
	ck_assert_int_eq(node_ranks_threads(rank_counts[_i], NULL, &ranks), 0);
}
END_TEST

START_TEST(processes_share)
{
	struct node_ranks ranks = {.body = node_rank_share};
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
	struct node_ranks ranks = {.body = node_rank_share};
	ck_assert_int_eq(node_ranks_fork(MANY, &ranks), 0);
}
END_TEST

static void no_memfd(int rank, struct ronde_node_options *options)
{
	(void)rank;
	options->no_memfd = true;
}

/* ---- children ---- */

/* Whether a child of this process would have the mapping in which `address` lies; -1: none does. */
static int is_in_children(const void *address)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long long from, to, at = (uintptr_t)address;
	char line[512], *end;
	bool inside = false;
	int is = -1;
	while (f && is < 0 && fgets(line, sizeof line, f)) {
		from = strtoull(line, &end, 16);
		to = *end == '-' ? strtoull(end + 1, &end, 16) : 0;
		if (to && *end == ' ')
			inside = from <= at && at < to;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			is = strstr(line, " dc") == NULL;
	}
	if (f)
		fclose(f);
	return is;
}

/* A child has its parent's heap, for that is the application's memory, but no way to the others. */
static int keep_from_children(struct node_rank *r)
{
	const struct ronde_node *node = r->node;
	if (is_in_children(node->arena.header) != 0)
		return __LINE__;
	for (int l = 0; l < node->local_size; l++)
		if (is_in_children(node->heaps[l]) != (l == node->local_rank))
			return __LINE__;
	return 0;
}

START_TEST(children_are_kept_out)
{
	struct node_ranks ranks = {.body = keep_from_children,
				   .prepare = _i == 1 ? no_memfd : NULL};
	ck_assert_int_eq(node_ranks_fork(_i < 2 ? 3 : 1, &ranks), 0);
}
END_TEST

/* ---- fallbacks ---- */

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
	struct node_ranks ranks = {.body = node_rank_share, .prepare = no_memfd};
	ck_assert_int_eq(node_ranks_fork(3, &ranks), 0);
	/* There may be another test's for a moment. */
	for (int i = 0; i < 2000 && names_left(); i++)
		usleep(1000);
	ck_assert_int_eq(names_left(), 0);
}
END_TEST

/* ---- that names are seen which stay ---- */

#define KEPT_MAX 8

/* While it is there names stay, and stand here. In memory that processes share. */
static struct kept {
	_Atomic int n;
	char names[KEPT_MAX][64];
} * kept;

int __real_shm_unlink(const char *name);
int __wrap_shm_unlink(const char *name);

int __wrap_shm_unlink(const char *name)
{
	if (!kept)
		return __real_shm_unlink(name);
	int i = atomic_fetch_add(&kept->n, 1);
	snprintf(kept->names[i % KEPT_MAX], sizeof kept->names[i % KEPT_MAX], "%s", name);
	return 0;
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);

/* A folder that has no files without names, while names stay. */
int __wrap_open64(const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	bool unnamed = (flags & O_TMPFILE) == O_TMPFILE;
	mode_t mode = unnamed || flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	if (!kept || !unnamed)
		return __real_open64(path, flags, mode);
	errno = EOPNOTSUPP;
	return -1;
}

/* The library leaves every name of its memory: they are found, and only while they are there. */
START_TEST(names_that_stay_are_found)
{
	struct node_ranks ranks = {.body = node_rank_share, .prepare = no_memfd};
	kept = mmap(NULL, sizeof *kept, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(kept, MAP_FAILED);
	int bad = node_ranks_fork(2, &ranks), n = atomic_load(&kept->n), seen = names_left();
	bool rondes = true;
	for (int i = 0; i < n && i < KEPT_MAX; i++) {
		rondes &= name_is_rondes(kept->names[i] + (kept->names[i][0] == '/'));
		bad |= __real_shm_unlink(kept->names[i]);
	}
	munmap(kept, sizeof *kept);
	kept = NULL;
	ck_assert_int_eq(bad, 0);
	ck_assert_msg(n > 0 && n <= KEPT_MAX, "%d names", n);
	ck_assert(rondes);
	ck_assert_int_ge(seen, n);
	for (int i = 0; i < 2000 && names_left(); i++)
		usleep(1000);
	ck_assert_int_eq(names_left(), 0);
	ck_assert(!name_is_rondes("ronde-check-12") && !name_is_rondes("ronde"));
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
	return node_rank_share(r);
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
		int bad = node_rank_meet(r);
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

int main(void)
{
	const struct suite_test sharing[] = {
		{threads_share, 0, 4},
		{processes_share, 0, 4},
		{many_processes_share, ONCE},
		{children_are_kept_out, 0, 3},
		{nobody_can_resize_the_arena, ONCE},
		{processes_share_without_memfd, ONCE},
		{names_that_stay_are_found, ONCE},
		{numbers_of_any_layout, ONCE},
		{equal_nodes_are_homogeneous, ONCE},
	};
	const struct suite_test failing[] = {
		{memory_is_asked_for_first, ONCE},
		{descriptors_run_out, ONCE},
		{a_rank_that_leaves_is_named, ONCE},
		{cycles_leave_nothing, ONCE},
	};
	Suite *suite = suite_create("node");
	SUITE_ADD(suite, "sharing", 60, sharing);
	SUITE_ADD(suite, "failing", 60, failing);
	return suite_end(suite);
}

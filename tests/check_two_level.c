/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reductions on nodes with several packages: ranks as threads that take themselves to be there. The
 * bits are those of the flat algorithms, and what crosses between packages is counted.
 */
#define MAX_RANKS 64
#include "collectives/algorithms/algorithms.h"
#include "collectives/algorithms/segments.h"
#include "tests/algorithms_jobs.h"
#include "tests/algorithms_world.h"
#include "tests/sizes.h"
#include "tests/suite.h"

/* Whose package each rank is in, a letter a rank. */
static const struct shape {
	const char *packages;
	int segments;
	bool even; /* packages of the same size, each one segment */
} shapes[] = {
	{"aaaabbbb", 2, true},
	{"aabbccdd", 4, true},
	{"aaaaaaaabbbbbbbbccccccccdddddddd", 4, true},
	/* 2 packages x 4 NUMA domains x 8 cores, by packages and by domains */
	{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", 2, true},
	{"aaaaaaaabbbbbbbbccccccccddddddddeeeeeeeeffffffffgggggggghhhhhhhh", 8, true},
	/* 3 packages x 5 cores, unequal ones, one of a single rank, round robin */
	{"aaaaabbbbbccccc", 7, false},
	{"aaaaaab", 3, false},
	{"abbbbbbbb", 5, false},
	{"aaaabbbbbbc", 4, false},
	{"abab", 4, false},
	{"aabb", 2, true},
	{"bbaaaacc", 4, false},
	{"aaaaa", 1, false},
};
#define SHAPES (int)(sizeof shapes / sizeof *shapes)

static const struct ronde_algorithm *algorithm_named(const char *name)
{
	size_t rows;
	const struct ronde_algorithm *const *table = ronde_algorithm_table(&rows);
	for (size_t i = 0; i < rows; i++)
		if (strcmp(table[i]->name, name) == 0)
			return table[i];
	abort();
}

static int domains_of(const char *packages, int *domains)
{
	int n = (int)strlen(packages);
	for (int i = 0; i < n; i++)
		domains[i] = packages[i] - 'a';
	return n;
}

static struct job *add_job(struct world *w, const char *algorithm, int n)
{
	struct job *job = &w->jobs[w->njobs++];
	job->algorithm = algorithm ? algorithm_named(algorithm) : NULL;
	job->plan.kind = RONDE_KIND_ALLREDUCE;
	job->plan.path = RONDE_PATH_STAGED;
	job->plan.spec = (struct ronde_reduce_spec){RONDE_FLOAT32, RONDE_SUM,         1.0, 1.0, n,
						    false,         RONDE_REDUCE_WHOLE};
	for (int m = 0; m < n; m++)
		job->members[job->plan.n++] = m;
	return job;
}

/* Random types, reductions, sizes, chunks and sets, on every shape. */
START_TEST(the_bits_are_those_of_the_flat_ones)
{
	uint64_t seed = test_seed() + (uint64_t)_i;
	int domains[MAX_RANKS], n = domains_of(shapes[_i].packages, domains);
	struct world w;
	world_open(&w, n, 2, (size_t)3 * 64 * 16 * 64 * (1 + (size_t)below(&seed, 4)));
	w.domains = shapes[_i].segments > 1 ? domains : NULL; /* it is right there, too */
	w.delays = 1 + (unsigned)below(&seed, 30);
	int turns = test_turns(n > 16 ? 10 : 40);
	w.jobs = calloc((size_t)turns, sizeof *w.jobs);
	while (w.njobs < turns) {
		struct job *job = add_job(&w, "allreduce-two-level", n);
		if (below(&seed, 3) == 0) { /* some of the ranks; the others have joined, or not */
			job->plan.n = 0;
			for (int m = 0; m < n; m++) {
				job->leaf[job->plan.n] = m;
				if (below(&seed, 4) || m < 2 || m == n - 1)
					job->members[job->plan.n++] = m;
			}
			job->plan.leaves = n;
			job->plan.leaf = below(&seed, 2) ? job->leaf : NULL;
		}
		do {
			job->plan.spec.dtype = (ronde_dtype)below(&seed, RONDE_DTYPE_COUNT);
			job->plan.spec.reduction =
				(ronde_reduction)below(&seed, RONDE_REDUCTION_COUNT);
		} while (job->plan.spec.reduction == RONDE_ADASUM ||
			 (job->plan.spec.reduction == RONDE_AVERAGE &&
			  job->plan.spec.dtype == RONDE_BOOL));
		job->plan.spec.prescale = below(&seed, 2) ? 1.0 : 0.3;
		job->plan.spec.postscale = below(&seed, 2) ? 1.0 : 1.7;
		job->plan.lane = (int)below(&seed, 2);
		job->plan.npieces = 1 + below(&seed, 4);
		job->plan.chunk_bytes = 64 * (9 + below(&seed, 7));
		job->counts = calloc(job->plan.npieces, sizeof *job->counts);
		for (size_t p = 0; p < job->plan.npieces; p++)
			job->counts[p] = below(&seed, 8) ? below(&seed, 3000) : 0;
		make_job(&w, job, &seed);
	}
	ck_assert_int_eq(run_script(&w, seed), -1);
}
END_TEST

#define ELEMENTS 6000

/* Added over all ranks. */
static struct ronde_traffic traffic_of(const struct shape *shape, const char *algorithm,
				       ronde_dtype dtype, uint64_t seed)
{
	int domains[MAX_RANKS], n = domains_of(shape->packages, domains);
	struct world w;
	struct ronde_traffic all = {0};
	world_open(&w, n, 1, 1 << 19);
	w.domains = domains;
	w.jobs = calloc(1, sizeof *w.jobs);
	struct job *job = add_job(&w, algorithm, n);
	job->plan.spec.dtype = dtype;
	job->plan.npieces = 1;
	job->plan.chunk_bytes = 2048;
	job->counts = malloc(sizeof *job->counts);
	job->counts[0] = ELEMENTS;
	make_job(&w, job, &seed);
	ck_assert_int_eq(run_script(&w, seed), -1);
	for (int i = 0; i < n; i++) {
		all.sums_across += w.traffic[i].sums_across;
		all.sums_within += w.traffic[i].sums_within;
		all.results_across += w.traffic[i].results_across;
		all.results_within += w.traffic[i].results_within;
	}
	return all;
}

/* p packages of r ranks: a package's sum crosses once, where each rank's input would. */
START_TEST(a_packages_sum_crosses_once)
{
	const struct shape *shape = &shapes[_i];
	if (!shape->even)
		return;
	uint64_t n = strlen(shape->packages), p = (uint64_t)shape->segments, r = n / p;
	uint64_t bytes = ELEMENTS * sizeof(float), half = ELEMENTS * 2;
	struct ronde_traffic t =
		traffic_of(shape, "allreduce-two-level", RONDE_FLOAT32, test_seed());
	ck_assert_uint_eq(t.sums_across, (p - 1) * bytes);
	ck_assert_uint_eq(t.results_across, (p - 1) * bytes);
	t = traffic_of(shape, "allreduce-staged", RONDE_FLOAT32, test_seed());
	ck_assert_uint_eq(t.sums_across, (p - 1) * r * bytes);
	ck_assert_uint_eq(t.results_across, (p - 1) * r * bytes);
	/* Sums of 16-bit floats are in 32 bits until they are complete. */
	t = traffic_of(shape, "allreduce-two-level", RONDE_BFLOAT16, test_seed());
	ck_assert_uint_eq(t.sums_across, (p - 1) * 2 * half);
	ck_assert_uint_eq(t.results_across, (p - 1) * half);
}
END_TEST

static struct ronde_plan plan_on(int n, const int *members, const int *domains)
{
	static struct ronde_piece piece;
	piece = (struct ronde_piece){.count = 1 << 20};
	return (struct ronde_plan){.kind = RONDE_KIND_ALLREDUCE,
				   .path = RONDE_PATH_STAGED,
				   .n = n,
				   .members = members,
				   .domains = domains,
				   .element = 4,
				   .spec = {.dtype = RONDE_FLOAT32},
				   .chunk_bytes = 4096,
				   .pieces = &piece,
				   .npieces = 1};
}

START_TEST(it_is_picked_where_packages_are_blocks)
{
	int domains[MAX_RANKS], members[MAX_RANKS], n = domains_of(shapes[_i].packages, domains);
	for (int m = 0; m < n; m++)
		members[m] = m;
	struct ronde_plan plan = plan_on(n, members, domains);
	ck_assert_int_eq(ronde_segments(&plan), shapes[_i].segments);
	ck_assert_str_eq(ronde_algorithm_select(&plan)->name,
			 shapes[_i].segments > 1 && shapes[_i].segments * 2 <= n
				 ? "allreduce-two-level"
				 : "allreduce-staged");
	plan.domains = NULL;
	ck_assert_str_eq(ronde_algorithm_select(&plan)->name, "allreduce-staged");
	plan.domains = domains;
	plan.pieces->count = 100;
	ck_assert_str_eq(ronde_algorithm_select(&plan)->name, "allreduce-direct");
}
END_TEST

/* Against a slow and simple judge: each member is in one segment, which is a subtree with ranks of
 * one package, and whose parent is none. */
START_TEST(segments_are_the_largest_subtrees)
{
	uint64_t seed = test_seed() + (uint64_t)_i;
	int leaves = 1 + (int)below(&seed, 20), domains[32], members[32], leaf[32], of_leaf[64],
	    n = 0;
	memset(of_leaf, -1, sizeof of_leaf);
	for (int l = 0; l < leaves; l++) {
		if (below(&seed, 4) == 0 && (n || l + 1 < leaves))
			continue;
		domains[n] = n && below(&seed, 3) ? domains[n - 1] : (int)below(&seed, 3);
		of_leaf[l] = domains[n];
		members[n] = n;
		leaf[n++] = l;
	}
	struct ronde_plan plan = plan_on(n, members, domains);
	plan.leaf = leaf;
	plan.leaves = leaves;
	int at = 0, end = 0;
	for (struct ronde_segment s = {0}; ronde_segment_next(&plan, &s);) {
		ck_assert_int_eq(s.member, at);
		ck_assert_int_gt(s.count, 0);
		ck_assert_int_eq(s.leaf % s.width, 0);
		ck_assert_int_ge(s.leaf, end);
		bool parent = true;
		int begin = s.leaf & ~(2 * s.width - 1), others = 0;
		for (int l = begin; l < begin + 2 * s.width && l < 64; l++) {
			bool inside = l >= s.leaf && l < s.leaf + s.width;
			ck_assert(!inside || of_leaf[l] < 0 || of_leaf[l] == s.domain);
			parent &= of_leaf[l] < 0 || of_leaf[l] == s.domain;
			others += !inside;
		}
		ck_assert(others == 0 || !parent || 2 * s.width > 2 * leaves || s.width >= leaves);
		at += s.count;
		end = s.leaf + s.width;
	}
	ck_assert_int_eq(at, n);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{the_bits_are_those_of_the_flat_ones, 0, SHAPES},
		{a_packages_sum_crosses_once, 0, SHAPES},
		{it_is_picked_where_packages_are_blocks, 0, SHAPES},
		{segments_are_the_largest_subtrees, 0, 300},
	};
	return SUITE_RUN("two-level", 60, tests);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data plane's algorithms, all of them, on ranks that are threads: random scripts compared bit
 * for bit with one call of the plain kernel over whole tensors. RONDE_TEST_SEED=n repeats a run.
 */

#include "collectives/algorithms/lane.h"
#include "collectives/algorithms/layout.h"
#include "tests/algorithms_jobs.h"
#include "tests/algorithms_turns.h"
#include "tests/algorithms_world.h"
#include "tests/sizes.h"
#include "tests/suite.h"

static const int sizes[] = {1, 2, 3, 4, 5, 7, 8, 9};
#define SIZES ((int)(sizeof sizes / sizeof sizes[0]))

/* ---- random scripts ---- */

static void random_members(const struct world *w, struct job *job, bool subset, uint64_t *seed)
{
	int size = (int)w->arena.shape.local_size;
	do {
		job->plan.n = 0;
		for (int i = 0; i < size; i++) {
			if (!subset || below(seed, 2))
				job->members[job->plan.n++] = i;
		}
	} while (!job->plan.n);
}

/* Tensors of up to about `bytes` in all: one, a few, or many tiny ones; some are empty. */
static void random_counts(struct job *job, size_t bytes, uint64_t *seed)
{
	size_t element = ronde_dtype_bytes(job->plan.spec.dtype);
	static const size_t most[] = {1, 5, 60};
	size_t pieces = 1 + below(seed, most[below(seed, 3)]);
	if (job->plan.kind == RONDE_KIND_BARRIER)
		pieces = 0;
	if (job->plan.kind == RONDE_KIND_ALLGATHER || job->plan.kind == RONDE_KIND_ALLTOALL)
		pieces = 1;
	job->plan.npieces = pieces;
	job->counts = calloc(pieces + 1, sizeof *job->counts);
	for (size_t p = 0; p < pieces; p++) {
		size_t most_here = bytes / pieces / element + 1;
		job->counts[p] = below(seed, 8) ? below(seed, most_here) : below(seed, 3);
	}
}

/* Any algorithm that can do the job may be told to, also where the table would take another. */
static void random_algorithm(struct job *job, uint64_t *seed)
{
	size_t rows;
	const struct ronde_algorithm *const *table = ronde_algorithm_table(&rows);
	bool staged_allreduce =
		job->plan.kind == RONDE_KIND_ALLREDUCE && job->plan.path == RONDE_PATH_STAGED;
	if (!staged_allreduce || below(seed, 3) == 0)
		return;
	const char *name = below(seed, 2) ? "allreduce-direct" : "allreduce-staged";
	for (size_t i = 0; i < rows; i++) {
		if (strcmp(table[i]->name, name) == 0)
			job->algorithm = table[i];
	}
}

/* Each rank packs as it likes. */
static void random_stores(struct world *w, uint64_t *seed)
{
	for (int i = 0; i < MAX_RANKS; i++)
		w->stores[i].mode = (enum ronde_stores_mode)below(seed, 3);
}

static void random_script(struct world *w, int njobs, size_t bytes, bool subsets, uint64_t *seed)
{
	w->njobs = njobs;
	w->jobs = calloc((size_t)njobs, sizeof *w->jobs);
	for (int j = 0; j < njobs; j++) {
		struct job *job = &w->jobs[j];
		random_members(w, job, subsets, seed);
		job->plan.lane = (int)below(seed, w->arena.shape.lanes);
		uint64_t kind = below(seed, 8);
		job->plan.kind =
			kind < RONDE_KIND_COUNT ? (enum ronde_kind)kind : RONDE_KIND_ALLREDUCE;
		job->plan.path = below(seed, 2) ? RONDE_PATH_ZERO_COPY : RONDE_PATH_STAGED;
		job->plan.root = (int)below(seed, (uint64_t)job->plan.n);
		job->plan.spec.dtype =
			below(seed, 2) ? RONDE_FLOAT32 : (ronde_dtype)below(seed, RONDE_BOOL);
		job->plan.spec.reduction = below(seed, 2) ? RONDE_AVERAGE : RONDE_SUM;
		job->plan.spec.prescale = below(seed, 2) ? 1.0 : 0.3;
		job->plan.spec.postscale = 1.0;
		random_counts(job, bytes, seed);
		random_algorithm(job, seed);
		make_job(w, job, seed);
	}
}

START_TEST(random_scripts)
{
	uint64_t seed = test_seed() + (uint64_t)_i;
	struct world w;
	world_open(&w, sizes[_i], 3, 16384 + (below(&seed, 300000) & ~(uint64_t)63));
	w.delays = 1 + (unsigned)below(&seed, 30);
	random_stores(&w, &seed);
	random_script(&w, test_turns(60), 100000, sizes[_i] > 2 && below(&seed, 2), &seed);
	ck_assert_int_eq(run_script(&w, seed), -1);
}
END_TEST

/*
 * Whatever the others do between two looks at them. Chunks of a grain, so that there are more of
 * them than slots, also of an alltoall's words.
 */
START_TEST(others_go_on_meanwhile)
{
	uint64_t seed = test_seed() + 500 + (uint64_t)_i;
	struct world w;
	int size = sizes[_i];
	world_open(&w, size, 2, (size_t)64 * (2 + RONDE_STAGING_SLOTS * (size_t)size));
	w.run = world_take_turns;
	random_stores(&w, &seed);
	random_script(&w, test_turns(200), 2000, size > 2 && below(&seed, 2), &seed);
	ck_assert_int_eq(run_script(&w, seed), -1);
}
END_TEST

START_TEST(large_tensors)
{
	uint64_t seed = test_seed() + 100 + (uint64_t)_i;
	struct world w;
	const size_t unit = test_large((size_t)1 << 20);
	world_open(&w, sizes[_i], 2, 4 * unit);
	random_stores(&w, &seed);
	random_script(&w, test_turns(8), 3 * unit, false, &seed);
	ck_assert_int_eq(run_script(&w, seed), -1);
}
END_TEST

/* Every event wakes those that it concerns, the leader too if it is not a member. */
START_TEST(sleepers_are_woken)
{
	uint64_t seed = test_seed() + 200 + (uint64_t)_i;
	struct world w;
	world_open(&w, 6, 1, 50048);
	w.sleepy = true;
	random_script(&w, test_turns(30), 60000, false, &seed);
	ck_assert_int_eq(run_script(&w, seed), -1);
}
END_TEST

/* One reduction for local ranks `members`. */
static void single_job(struct world *w, struct job *job, const char *members, const char *name,
		       uint64_t count, uint64_t *seed)
{
	size_t rows;
	const struct ronde_algorithm *const *table = ronde_algorithm_table(&rows);
	for (size_t i = 0; i < rows; i++) {
		if (strcmp(table[i]->name, name) == 0)
			job->algorithm = table[i];
	}
	while (*members)
		job->members[job->plan.n++] = *members++ - '0';
	job->plan.kind = strncmp(name, "allreduce", 9) == 0 ? RONDE_KIND_ALLREDUCE
							    : RONDE_KIND_REDUCESCATTER;
	job->plan.path = strstr(name, "zero-copy") ? RONDE_PATH_ZERO_COPY : RONDE_PATH_STAGED;
	job->plan.npieces = 1;
	job->counts = malloc(sizeof *job->counts);
	job->counts[0] = count;
	make_job(w, job, seed);
}

static const char *const reductions[] = {"allreduce-zero-copy", "allreduce-direct",
					 "allreduce-staged", "reducescatter-zero-copy",
					 "reducescatter-staged"};
#define REDUCTIONS 5

/* Every type and reduction through every algorithm that reduces, by members {1, 3, 4} of 6 ranks.
 */
START_TEST(types_and_subset)
{
	uint64_t seed = test_seed() + 300;
	struct world w;
	world_open(&w, 6, 1, 30016);
	w.jobs = calloc(REDUCTIONS * RONDE_DTYPE_COUNT * 5, sizeof *w.jobs);
	for (int d = 0; d < RONDE_DTYPE_COUNT; d++) {
		for (int r = 0; r < RONDE_REDUCTION_COUNT; r++) {
			if (r == RONDE_ADASUM || (r == RONDE_AVERAGE && d == RONDE_BOOL))
				continue;
			uint64_t count = below(&seed, 3000);
			for (int a = 0; a < REDUCTIONS; a++) {
				struct job *job = &w.jobs[w.njobs++];
				job->plan.spec = (struct ronde_reduce_spec){
					(ronde_dtype)d, (ronde_reduction)r, 1.0, 1.0, 3,
					false,          RONDE_REDUCE_WHOLE};
				single_job(&w, job, "134", reductions[a], count, &seed);
			}
		}
	}
	ck_assert_int_eq(run_script(&w, seed), -1);
}
END_TEST

/* The same subset asleep, with the leader waiting for lanes. */
START_TEST(subset_wakes_leader)
{
	uint64_t seed = test_seed() + 400;
	struct world w;
	world_open(&w, 6, 1, 30016);
	w.sleepy = true;
	w.jobs = calloc(60, sizeof *w.jobs);
	for (; w.njobs < 60; w.njobs++) {
		struct job *job = &w.jobs[w.njobs];
		job->plan.spec = (struct ronde_reduce_spec){
			RONDE_FLOAT32, RONDE_SUM, 1.0, 1.0, 3, false, RONDE_REDUCE_WHOLE};
		single_job(&w, job, "134", reductions[w.njobs % REDUCTIONS], 5000, &seed);
	}
	ck_assert_int_eq(run_script(&w, seed), -1);
}
END_TEST

/* ((x0+x1)+(x2+x3))+… written down independently of any kernel. */
static float tree(const float *x, int n)
{
	int half = 1;
	if (n == 1)
		return x[0];
	while (half * 2 < n)
		half *= 2;
	return tree(x, half) + tree(x + half, n - half);
}

START_TEST(association)
{
	uint64_t seed = test_seed() + 500 + (uint64_t)_i;
	int n = sizes[_i];
	struct world w;
	world_open(&w, n, 2, 20032);
	w.jobs = calloc(REDUCTIONS, sizeof *w.jobs);
	for (; w.njobs < REDUCTIONS; w.njobs++) {
		struct job *job = &w.jobs[w.njobs];
		job->plan.spec = (struct ronde_reduce_spec){
			RONDE_FLOAT32, RONDE_SUM, 1.0, 1.0, n, false, RONDE_REDUCE_WHOLE};
		job->plan.lane = w.njobs % 2;
		static const char all[] = "012345678";
		single_job(&w, job, all + 9 - n, reductions[w.njobs], 9000, &seed);
		for (int m = 0; m < n; m++)
			job->members[m] = m;
		for (size_t i = 0; i < job->counts[0]; i++) {
			float x[MAX_RANKS], sum;
			for (int m = 0; m < n; m++)
				memcpy(&x[m], job->inputs[m].data + i * sizeof(float),
				       sizeof(float));
			sum = tree(x, n);
			memcpy(job->expected[0].data + i * sizeof sum, &sum, sizeof sum);
		}
	}
	ck_assert_int_eq(run_script(&w, seed), -1);
}
END_TEST

/* ---- layout ---- */

START_TEST(slices_cover)
{
	bool good = true;
	for (uint64_t bytes = 0; bytes < 3000; bytes += 64) {
		for (int n = 1; n < 40; n++) {
			struct ronde_range range = {1024, 1024 + bytes};
			uint64_t at = 1024;
			for (int r = 0; r < n; r++) {
				struct ronde_range s = ronde_slice(range, n, r);
				good &= s.begin == at && s.end >= s.begin && s.end % 64 == 0;
				at = s.end;
			}
			good &= at == range.end;
		}
	}
	ck_assert(good);
}
END_TEST

START_TEST(chunk_limit_fits)
{
	bool good = true;
	for (size_t staging = 0; staging < 100000; staging += 997) {
		for (int n = 1; n < 200; n++) {
			size_t c = ronde_chunk_limit(staging, n);
			size_t rows = ronde_grain_up(sizeof(int64_t) * (size_t)n);
			size_t areas = (size_t)n * RONDE_STAGING_SLOTS;
			good &= c % 64 == 0 && (!c || rows + areas * c <= staging) &&
				rows + areas * (c + 64) > staging;
		}
	}
	ck_assert(good);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{slices_cover, ONCE},        {chunk_limit_fits, ONCE},
		{association, 0, SIZES},     {types_and_subset, ONCE},
		{random_scripts, 0, SIZES},  {others_go_on_meanwhile, 0, SIZES},
		{large_tensors, 0, SIZES},   {sleepers_are_woken, 0, 3},
		{subset_wakes_leader, ONCE},
	};
	return SUITE_RUN("algorithms", 100, tests);
}

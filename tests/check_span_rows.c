/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations over nodes that hand out rows, ranks as threads (span_world.h): results are compared
 * with plain copies, what the fabric has sent with what must be sent. RONDE_TEST_SEED=n repeats a
 * run.
 */
#include <math.h>

#include "tests/sizes.h"
#include "tests/span_rows.h"
#include "tests/span_run.h"

/* Rows of nobody, few, of one rank alone, or of all. */
static void random_gather(const struct world *w, struct job *job, uint64_t *seed)
{
	static const uint64_t most[] = {1, 2, 30, 3000};
	uint64_t bound = most[below(seed, 4)], alone = below(seed, 3) ? 0 : 1 + below(seed, 12);
	job->kind = RONDE_KIND_ALLGATHER;
	job->spec.dtype = (ronde_dtype)below(seed, RONDE_DTYPE_COUNT);
	job->width = 1 + below(seed, 9);
	if (below(seed, 3) == 0)
		random_joined(w, job, seed);
	for (int i = 0; i < w->size; i++) {
		job->rows[i] = alone && i + 1 != (int)alone ? 0 : (int64_t)below(seed, bound + 1);
		job->no_memory[i] = below(seed, 10) == 0;
	}
	job->chunk_bytes = random_chunk(w, seed);
	make_gathered(w, job, seed);
}

/* More rows than ranks, or fewer. */
static void random_scatter(const struct world *w, struct job *job, uint64_t *seed)
{
	static const uint64_t most[] = {1, 5, 40, 4000};
	job->kind = RONDE_KIND_REDUCESCATTER;
	random_spec(job, seed);
	job->width = 1 + below(seed, 9);
	if (below(seed, 3) == 0)
		random_joined(w, job, seed);
	job->spec.divisor = position_of(job, w->size);
	job->in_place = (int)below(seed, 3);
	for (int p = 0; p < PIECES; p++)
		job->shared[p] = below(seed, most[below(seed, 4)] + 1);
	job->chunk_bytes = random_chunk(w, seed);
	make_shares(w, job, seed);
}

/* Rows for nobody, few, for one pair alone, or for all. */
static void random_exchange(const struct world *w, struct job *job, uint64_t *seed)
{
	static const uint64_t most[] = {1, 2, 30, 1000};
	uint64_t bound = most[below(seed, 4)], sparse = 1 + below(seed, 20);
	job->kind = RONDE_KIND_ALLTOALL;
	job->spec.dtype = (ronde_dtype)below(seed, RONDE_DTYPE_COUNT);
	job->width = 1 + below(seed, 9);
	if (below(seed, 3) == 0)
		random_joined(w, job, seed);
	for (int i = 0; i < w->size; i++) {
		for (int to = 0; to < w->size; to++)
			job->splits[i][to] =
				below(seed, sparse) ? 0 : (int64_t)below(seed, bound + 1);
		job->no_memory[i] = below(seed, 10) == 0;
	}
	job->chunk_bytes = random_chunk(w, seed);
	make_exchanged(w, job, seed);
}

static void random_job(const struct world *w, struct job *job, uint64_t *seed)
{
	void (*const makes[])(const struct world *, struct job *,
			      uint64_t *) = {random_gather, random_scatter, random_exchange};
	makes[below(seed, 3)](w, job, seed);
}

START_TEST(random_operations)
{
	uint64_t seed = test_seed() + (uint64_t)_i;
	struct world w;
	world_open(&w, &shapes[_i], 100032 + (below(&seed, 300000) & ~(uint64_t)63), test_turns(60),
		   seed);
	for (int j = 0; j < w.rounds * LANES; j++)
		random_job(&w, &w.jobs[j], &seed);
	run_world(&w, below(&seed, 3) * 30000);
	world_close(&w);
}
END_TEST

/* Rows go to each other node once. */
START_TEST(bytes_of_allgather)
{
	uint64_t seed = test_seed() + 200 + (uint64_t)_i;
	const struct shape *shape = &shapes[_i];
	struct world w;
	world_open(&w, shape, (size_t)4 << 20, 1, seed);
	w.jobs[0] = (struct job){
		.kind = RONDE_KIND_ALLGATHER, .width = 100, .chunk_bytes = (size_t)256 << 10};
	w.jobs[1] = (struct job){.kind = RONDE_KIND_BARRIER};
	w.jobs[0].spec.dtype = RONDE_FLOAT32;
	for (int i = 0; i < w.size; i++)
		w.jobs[0].rows[i] = 1000 * (1 + i % 2);
	make_gathered(&w, &w.jobs[0], &seed);
	run_world(&w, 0);
	double sent[MAX_NODES] = {0}, must[MAX_NODES] = {0};
	for (int i = 0; i < w.size; i++) {
		sent[w.node_of[i]] += (double)w.sent[i];
		must[w.node_of[i]] += (double)(w.jobs[0].rows[i] * 400 * (shape->nodes - 1));
	}
	world_close(&w);
	for (int k = 0; k < shape->nodes; k++) {
		ck_assert_double_ge(sent[k], must[k]);
		ck_assert_double_le(sent[k], 1.01 * must[k]);
	}
}
END_TEST

/* Sums go to whose rows they are once. */
START_TEST(bytes_of_reducescatter)
{
	uint64_t seed = test_seed() + 300 + (uint64_t)_i;
	const struct shape *shape = &shapes[_i];
	struct world w;
	world_open(&w, shape, (size_t)4 << 20, 1, seed);
	w.jobs[0] = (struct job){.kind = RONDE_KIND_REDUCESCATTER,
				 .spec = {.dtype = RONDE_FLOAT32,
					  .reduction = RONDE_SUM,
					  .prescale = 1.0,
					  .postscale = 1.0},
				 .width = 1000,
				 .shared = {300},
				 .chunk_bytes = (size_t)256 << 10};
	w.jobs[1] = (struct job){.kind = RONDE_KIND_BARRIER};
	make_shares(&w, &w.jobs[0], &seed);
	run_world(&w, 0);
	double sent[MAX_NODES] = {0}, must[MAX_NODES] = {0};
	for (int i = 0; i < w.size; i++) {
		sent[w.node_of[i]] += (double)w.sent[i];
		for (int k = 0; k < shape->nodes; k++)
			must[k] += k == w.node_of[i] ? 0 : (double)w.jobs[0].want_bytes[i][0];
	}
	world_close(&w);
	for (int k = 0; k < shape->nodes; k++) {
		ck_assert_double_ge(sent[k], must[k]);
		ck_assert_double_le(sent[k], 1.01 * must[k]);
	}
}
END_TEST

/* Rows go straight to whose they are. */
START_TEST(bytes_of_alltoall)
{
	uint64_t seed = test_seed() + 400 + (uint64_t)_i;
	const struct shape *shape = &shapes[_i];
	struct world w;
	double sent[MAX_NODES] = {0}, must[MAX_NODES] = {0};
	world_open(&w, shape, (size_t)4 << 20, 1, seed);
	w.jobs[0] = (struct job){
		.kind = RONDE_KIND_ALLTOALL, .width = 100, .chunk_bytes = (size_t)256 << 10};
	w.jobs[1] = (struct job){.kind = RONDE_KIND_BARRIER};
	w.jobs[0].spec.dtype = RONDE_FLOAT32;
	for (int i = 0; i < w.size; i++)
		for (int to = 0; to < w.size; to++) {
			w.jobs[0].splits[i][to] = 50 + i + 7 * to;
			must[w.node_of[i]] +=
				w.node_of[i] == w.node_of[to] ? 0 : 400 * (50 + i + 7 * to);
		}
	make_exchanged(&w, &w.jobs[0], &seed);
	run_world(&w, 0);
	for (int i = 0; i < w.size; i++)
		sent[w.node_of[i]] += (double)w.sent[i];
	world_close(&w);
	for (int k = 0; k < shape->nodes; k++) {
		ck_assert_double_ge(sent[k], must[k]);
		ck_assert_double_le(sent[k], 1.01 * must[k]);
	}
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{random_operations, 0, SHAPES},
		{bytes_of_allgather, 0, SHAPES},
		{bytes_of_reducescatter, 0, SHAPES},
		{bytes_of_alltoall, 0, SHAPES},
	};
	return SUITE_RUN("span_rows", 60, tests);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations over nodes, ranks as threads (span_world.h). Results are compared bit for bit with a
 * serial tree over nodes and ranks; what the fabric has sent is compared with what must be sent.
 * RONDE_TEST_SEED=n repeats a run.
 */
#include <math.h>

#include "tests/sizes.h"
#include "tests/span_run.h"

static void random_job(const struct world *w, struct job *job, uint64_t *seed)
{
	static const enum ronde_kind kinds[] = {RONDE_KIND_ALLREDUCE, RONDE_KIND_ALLREDUCE,
						RONDE_KIND_BROADCAST, RONDE_KIND_BROADCAST,
						RONDE_KIND_BARRIER};
	job->kind = kinds[below(seed, 5)];
	random_spec(job, seed);
	if (below(seed, 3) == 0)
		random_joined(w, job, seed);
	job->spec.divisor = position_of(job, w->size);
	do {
		job->root = (int)below(seed, (uint64_t)w->size);
	} while (job->joined[job->root]);
	job->in_place = (int)below(seed, 2);
	job->chunk_bytes = random_chunk(w, seed);
	for (int p = 0; p < PIECES; p++) {
		static const size_t most[] = {1, 20, 1000, 20000};
		static const size_t large[] = {1, 20, 1000, 400000};
		bool chain = job->kind == RONDE_KIND_BROADCAST && below(seed, 4) == 0;
		job->counts[p] = below(seed, (chain ? large : most)[below(seed, 4)]);
	}
	make_tensors(w, job, seed);
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

/* One float32 sum in all shapes, written down independently of any kernel. */
static float tree(const float *x, int n)
{
	int half = 1;
	if (n == 1)
		return x[0];
	while (half * 2 < n)
		half *= 2;
	return tree(x, half) + tree(x + half, n - half);
}

static void expect_tree(const struct world *w, struct job *job)
{
	for (int p = 0; p < PIECES; p++) {
		for (size_t e = 0; e < job->counts[p]; e++) {
			float sums[MAX_NODES], x[MAX_LOCAL];
			for (int k = 0; k < w->shape->nodes; k++) {
				for (int l = 0; l < w->shape->local[k]; l++)
					memcpy(&x[l],
					       job->inputs[w->rank_at[k][l]][p] + e * sizeof(float),
					       sizeof(float));
				sums[k] = tree(x, w->shape->local[k]);
			}
			sums[0] = tree(sums, w->shape->nodes);
			memcpy(job->expected[p] + e * sizeof(float), &sums[0], sizeof(float));
		}
	}
}

/* 20 runs of the same sum: other delays, other chunks, the same bits. */
START_TEST(same_bits)
{
	uint64_t seed = test_seed() + 100 + (uint64_t)_i;
	struct world w;
	world_open(&w, &shapes[_i], 200000 & ~63, 10, seed);
	for (int j = 0; j < w.rounds * LANES; j++) {
		struct job *job = &w.jobs[j];
		uint64_t inputs = 7;
		job->kind = RONDE_KIND_ALLREDUCE;
		job->spec = (struct ronde_reduce_spec){.dtype = RONDE_FLOAT32,
						       .reduction = RONDE_SUM,
						       .prescale = 1.0,
						       .postscale = 1.0};
		job->chunk_bytes = random_chunk(&w, &seed);
		job->counts[0] = 5001;
		job->counts[2] = 77;
		make_tensors(&w, job, &inputs);
		expect_tree(&w, job);
	}
	run_world(&w, 50000);
	world_close(&w);
}
END_TEST

/* No node sends more than 2(n-1)/n of the tensor, but for what rounding to grains costs: of
 * float32, and of bfloat16 with a wire of 16 bits. */
START_TEST(bytes_sent)
{
	const ronde_dtype dtype = _i < SHAPES ? RONDE_FLOAT32 : RONDE_BFLOAT16;
	uint64_t seed = test_seed() + 200 + (uint64_t)_i;
	const struct shape *shape = &shapes[_i % SHAPES];
	const size_t bytes = (size_t)1 << 20;
	struct world w;
	world_open(&w, shape, (size_t)4 << 20, 1, seed);
	w.jobs[0] = (struct job){
		.kind = RONDE_KIND_ALLREDUCE,
		.spec = {.dtype = dtype, .reduction = RONDE_SUM, .prescale = 1.0, .postscale = 1.0},
		.wire_16bit = true,
		.chunk_bytes = (size_t)256 << 10,
		.counts = {bytes / ronde_dtype_bytes(dtype)}};
	w.jobs[1] = (struct job){.kind = RONDE_KIND_BARRIER};
	make_tensors(&w, &w.jobs[0], &seed);
	run_world(&w, 0);
	double most = 0, must = 2.0 * (shape->nodes - 1) / shape->nodes * (double)bytes;
	for (int k = 0; k < shape->nodes; k++) {
		double sent = 0;
		for (int l = 0; l < shape->local[k]; l++)
			sent += (double)w.sent[w.rank_at[k][l]];
		most = fmax(most, sent);
	}
	world_close(&w);
	ck_assert_double_ge(most, must);
	ck_assert_double_le(most, 1.05 * must);
}
END_TEST

struct survivor {
	struct ronde_loopback *loopback;
	struct ronde_arena arena;
	enum ronde_kind kind;
	int root_node;
	int status;
	bool done;
	char text[RONDE_FABRIC_TEXT_BYTES];
};

/* Rank 0 of 2 on 2 nodes: the other never comes, and after a while is found to be lost. */
static void *survive(void *arg)
{
	struct survivor *s = arg;
	static const int zero = 0, ones[] = {1, 1}, ranks[] = {0, 1};
	static const int *const rows[] = {&ranks[0], &ranks[1]};
	struct ronde_fabric *fabric;
	struct ronde_fabric_operation *flight[RONDE_SPAN_FLIGHT * 2];
	float data[3000] = {0};
	struct ronde_piece piece = {.input = data, .output = data, .count = 3000};
	if (s->kind == RONDE_KIND_REDUCESCATTER)
		piece = (struct ronde_piece){
			.input = data, .output = data, .count = 1500, .rows = 30, .row_bytes = 400};
	const int64_t splits[2] = {1500, 1500};
	int64_t received[2], begins[2], astray[2] = {0};
	struct ronde_set_span span = {.tag = 1000,
				      .root_node = s->root_node,
				      .nodes = 2,
				      .members = ones,
				      .ranks = rows,
				      .positions = rows,
				      .flight = flight};
	struct ronde_operation operation = {
		.plan = {.kind = s->kind,
			 .path = RONDE_PATH_STAGED,
			 .arena = &s->arena,
			 .kernels = ronde_kernels_select(NULL),
			 .span = &span,
			 .n = 1,
			 .members = &zero,
			 .element = sizeof(float),
			 .spec = {.dtype = RONDE_FLOAT32,
				  .reduction = RONDE_SUM,
				  .prescale = 1.0,
				  .postscale = 1.0},
			 .chunk_bytes = 4096,
			 .splits = splits,
			 .astray = astray,
			 .received = received,
			 .begins = begins,
			 .pieces = &piece,
			 .npieces = s->kind == RONDE_KIND_BARRIER ? 0 : 1}};
	if (ronde_loopback_open(&fabric, s->loopback, 0))
		abort();
	span.fabric = fabric;
	operation.algorithm = ronde_algorithm_select(&operation.plan);
	operation.algorithm->start(&operation);
	for (int turn = 0; turn < 2000 && !s->done; turn++) {
		if (turn == 1000)
			ronde_fabric_lose(fabric, 1, "rank 1 was killed");
		ronde_fabric_progress(fabric);
		s->done = operation.algorithm->step(&operation) == RONDE_PROGRESS_DONE;
	}
	s->status = operation.status;
	snprintf(s->text, sizeof s->text, "%s", ronde_error_message());
	ronde_fabric_abandon(fabric);
	return NULL;
}

/* A broadcast from the other is a rank that has nothing to send: only what it waits for fails. */
static const struct survivor lost_in[] = {
	{.kind = RONDE_KIND_BARRIER},      {.kind = RONDE_KIND_ALLREDUCE},
	{.kind = RONDE_KIND_BROADCAST},    {.kind = RONDE_KIND_BROADCAST, .root_node = 1},
	{.kind = RONDE_KIND_ALLGATHER},    {.kind = RONDE_KIND_ALLTOALL},
	{.kind = RONDE_KIND_REDUCESCATTER}};
#define LOST_IN ((int)(sizeof lost_in / sizeof lost_in[0]))

/* The operation ends where its peer is lost, with that status and text; it does not wait. */
START_TEST(lost_peer)
{
	const struct ronde_loopback_settings settings = {.seed = test_seed()};
	const struct ronde_arena_shape shape = {
		.local_size = 1, .ring_cells = 4, .lanes = 1, .staging_bytes = 12352};
	struct survivor s = lost_in[_i];
	size_t bytes = (ronde_arena_bytes(&shape) + 4095) & ~(size_t)4095;
	void *memory = aligned_alloc(4096, bytes);
	pthread_t thread;
	memset(memory, 0, bytes);
	ronde_arena_format(memory, &shape);
	ck_assert_int_eq(ronde_arena_attach(&s.arena, memory), RONDE_OK);
	s.loopback = ronde_loopback_create(2, &settings);
	ck_assert_ptr_nonnull(s.loopback);
	ck_assert_int_eq(pthread_create(&thread, NULL, survive, &s), 0);
	pthread_join(thread, NULL);
	ronde_loopback_release(s.loopback);
	free(memory);
	ck_assert(s.done);
	ck_assert_int_eq(s.status, RONDE_ERR_PEER_LOST);
	ck_assert_ptr_nonnull(strstr(s.text, "rank 1"));
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{random_operations, 0, SHAPES},
		{same_bits, 0, SHAPES},
		{bytes_sent, 0, 2 * SHAPES},
		{lost_peer, 0, LOST_IN},
	};
	return SUITE_RUN("span", 60, tests);
}

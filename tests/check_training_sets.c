/* SPDX-License-Identifier: Apache-2.0 */
/* What training is built of on process sets: two halves of the ranks train models of their own. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/kernels/kernels.h"
#include "tests/fork_ranks.h"
#include "tests/suite.h"

/* This rank's half: even or odd ranks. */
struct half {
	int set, members, first, sum; /* sum of its ranks' numbers */
};

static struct half make_halves(int rank, int size)
{
	struct half mine = {.first = rank % 2};
	for (int odd = 0; odd < 2; odd++) {
		int ranks[FORK_RANKS_MAX], n = 0, set;
		for (int r = odd; r < size; r += 2)
			ranks[n++] = r;
		require_ok(ronde_process_set_add(ranks, (size_t)n, &set));
		if (odd != rank % 2)
			continue;
		mine.set = set;
		mine.members = n;
		for (int i = 0; i < n; i++)
			mine.sum += ranks[i];
	}
	return mine;
}

static int no_update(void *state)
{
	return state != NULL;
}

/* fp16 gradients whose sum no fp16 can hold, predivided or not, average to what they are. */
static void gradients(int rank, int size, const void *arg)
{
	(void)arg;
	struct half mine = make_halves(rank, size);
	for (int f = 1; f <= 4; f++) {
		const int64_t widths[] = {0, 0, 1};
		double half = 60000, back;
		float rank_of = (float)rank, row = 2;
		uint16_t large;
		const struct ronde_kernels *k = ronde_kernels_select("c");
		k->convert(&large, RONDE_FLOAT16, &half, RONDE_FLOAT64, 1);
		float table[2] = {0};
		const int64_t index = 1;
		ronde_sparse_rows rows = {1, 1, &index, &row, RONDE_FLOAT32};
		ronde_parameter list[] = {{"large", NULL, &large, 1, RONDE_FLOAT16},
					  {"rank", NULL, &rank_of, 1, RONDE_FLOAT32},
					  {"table", NULL, table, 2, RONDE_FLOAT32}};
		ronde_distributed_optimizer_options options =
			RONDE_DISTRIBUTED_OPTIMIZER_OPTIONS_INIT;
		options.process_set = mine.set;
		options.gradient_predivide_factor = f;
		options.sparse_widths = widths;
		ronde_distributed_optimizer *o;
		require_ok(
			ronde_distributed_optimizer_create(&o, no_update, NULL, list, 3, &options));
		require_ok(ronde_gradient_ready_sparse(o, 2, &rows));
		require_ok(ronde_distributed_optimizer_step(o));
		ronde_distributed_optimizer_destroy(o);
		k->convert(&back, RONDE_FLOAT64, &large, RONDE_FLOAT16, 1);
		require(fabs(back / half - 1) < 1e-3, "factor %d: %g", f, back);
		float average = (float)mine.sum / (float)mine.members;
		require(fabsf(rank_of - average) <= 1e-5F, "factor %d: %g, not %g", f,
			(double)rank_of, (double)average);
		require(table[0] == 0 && fabsf(table[1] - 2) < 1e-5F, "factor %d: row %g", f,
			(double)table[1]);
	}
}

static int take_own(void *state)
{
	float *weights = state;
	weights[0] += weights[1];
	return 0;
}

/* Orthogonal changes add up, over the members only. */
static void deltas(int rank, int size, const void *arg)
{
	(void)arg;
	struct half mine = make_halves(rank, size);
	float weights[2] = {1, 2}, gradient = 0;
	ronde_parameter list[] = {{"w", weights, &gradient, 1, RONDE_FLOAT32}};
	ronde_distributed_optimizer_options options = RONDE_DISTRIBUTED_OPTIMIZER_OPTIONS_INIT;
	options.process_set = mine.set;
	options.reduction = RONDE_ADASUM;
	ronde_distributed_optimizer *o;
	weights[1] = rank % 2 ? 2 : 3; /* equal changes of a half count once */
	require_ok(ronde_distributed_optimizer_create(&o, take_own, weights, list, 1, &options));
	require_ok(ronde_distributed_optimizer_step(o));
	require(weights[0] == (rank % 2 ? 3 : 4), "%g", (double)weights[0]);
	ronde_distributed_optimizer_destroy(o);
}

static void broadcasts(int rank, int size, const void *arg)
{
	(void)arg;
	struct half mine = make_halves(rank, size);
	int root = mine.first + 2 * (mine.members - 1), other = 1 - mine.first;
	float weights[3] = {(float)rank, 1, 2};
	ronde_parameter list[] = {{"w", weights, NULL, 3, RONDE_FLOAT32}};
	require_ok(ronde_broadcast_parameters_on(list, 1, root, mine.set));
	require(weights[0] == (float)root, "rank %d's weights, not those of %d", (int)weights[0],
		root);
	int status = ronde_broadcast_parameters_on(list, 1, other, mine.set);
	require(status == RONDE_ERR_INVALID_ARGUMENT, "a root of the other half: %s",
		ronde_error_message());

	int parity = mine.first;
	ronde_bytes object = {&parity, sizeof parity};
	require_ok(ronde_broadcast_objects("o", &object, 1, root, mine.set));
	require(object.bytes == sizeof(int) && *(int *)object.data == mine.first, "another half's");
	if (rank != root)
		free(object.data);

	ronde_state_options options = RONDE_STATE_OPTIONS_INIT;
	options.process_set = mine.set;
	float *momentum = rank == root ? calloc(2, sizeof *momentum) : NULL;
	int64_t count = 2;
	bool odd = rank == mine.first && rank != root;
	ronde_state_item item = {"m", odd ? RONDE_FLOAT64 : RONDE_FLOAT32, (void **)&momentum,
				 &count};
	char expected[200];
	snprintf(
		expected, sizeof expected,
		"ronde_broadcast_state: item \"m\" is float32 on the root, rank %d, and float64 on "
		"rank %d",
		root, mine.first);
	status = ronde_broadcast_state("s", &item, 1, root, &options);
	require(mine.members == 1
			? status == RONDE_OK
			: status == RONDE_ERR_MISMATCH && !strcmp(ronde_error_message(), expected),
		"%s", ronde_error_message());
	item.dtype = RONDE_FLOAT32;
	require_ok(ronde_broadcast_state("s", &item, 1, root, &options));
	require(momentum && momentum[1] == 0, "no momentum");
	free(momentum);
}

static const struct {
	const char *name;
	fork_ranks_fn body;
} cases[] = {{"gradients", gradients}, {"deltas", deltas}, {"broadcasts", broadcasts}};

START_TEST(bodies)
{
	for (int n = 2; n <= 7; n += n == 5 ? 2 : 1)
		ck_assert_msg(fork_ranks(n, cases[_i].body, NULL) == 0, "%s with %d ranks",
			      cases[_i].name, n);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{bodies, 0, (int)(sizeof cases / sizeof *cases)},
	};
	return SUITE_RUN("training_sets", 100, tests);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Sparse allreduce, adding rows into a dense tensor, sparse gradients of the optimizer. */
#include <limits.h>
#include <math.h>

#include "tests/floating_mode.h"
#include "tests/rank_bodies.h"
#include "tests/schedules/values.h"
#include "tests/sparse_input.h"
#include "tests/suite.h"

/* The dense sum of what all ranks give. */
static void add_all(float *dense, uint64_t seed, int size, int64_t width, int givers)
{
	static struct input in;
	memset(dense, 0, sizeof(float) * TABLE * (size_t)width);
	for (int r = 0; r < size; r++) {
		make_input(&in, seed, r, width, r < givers);
		for (int64_t i = 0; i < in.rows * width; i++)
			dense[in.indices[i / width] * width + i % width] += in.values[i];
	}
}

/* ---- the operation ---- */

static void one_allreduce(uint64_t seed, int rank, int size, int64_t width, int givers,
			  ronde_reduction reduction)
{
	static struct input mine, theirs;
	ronde_sparse sparse = {0};
	make_input(&mine, seed, rank, width, rank < givers);
	ronde_sparse_rows rows = rows_of(&mine, width);
	require_ok(ronde_sparse_allreduce(width % 2 ? "table" : NULL, &rows, reduction, NULL,
					  &sparse));
	int64_t at = 0;
	float factor = reduction == RONDE_AVERAGE ? 1 / (float)size : 1;
	for (int r = 0; r < size; r++) {
		make_input(&theirs, seed, r, width, r < givers);
		for (int64_t i = 0; i < theirs.rows; i++, at++) {
			require(at < sparse.result.rows &&
					sparse.result.indices[at] == theirs.indices[i],
				"index %lld", (long long)at);
			for (int64_t k = 0; k < width; k++)
				require(((const float *)sparse.result.values)[at * width + k] ==
						theirs.values[i * width + k] * factor,
					"row %lld of rank %d", (long long)i, r);
		}
	}
	require(at == sparse.result.rows && sparse.result.width == width, "%lld rows, not %lld",
		(long long)sparse.result.rows, (long long)at);
	if (reduction == RONDE_SUM) {
		static float dense[TABLE * WIDEST], expected[TABLE * WIDEST];
		memset(dense, 0, sizeof dense);
		require_ok(ronde_sparse_add(dense, TABLE, &sparse.result));
		add_all(expected, seed, size, width, givers);
		for (int i = 0; i < TABLE * width; i++)
			require(dense[i] == expected[i], "the dense sum is wrong at %d", i);
	}
	free(sparse.indices.data);
	free(sparse.values.data);
}

static void allreduces(int rank, int size, const void *arg)
{
	uint64_t seed = *(const uint64_t *)arg;
	static const int64_t widths[] = {1, 4, WIDEST, 0};
	for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
		for (int givers = 0; givers <= size; givers++) {
			uint64_t one = next_random(&seed);
			one_allreduce(one, rank, size, widths[i], givers, RONDE_SUM);
			one_allreduce(one, rank, size, widths[i], givers, RONDE_AVERAGE);
		}
}

/* Rank r gives r + 3 rows of any type; each value is scaled and divided by itself. */
static void one_of_type(uint64_t seed, int rank, int size, ronde_dtype dtype,
			ronde_reduction reduction, bool scaled)
{
	enum { WIDTH = 11, MOST = 20 };
	static unsigned char given[PERIOD * 8], wanted[PERIOD * 8];
	const size_t row = WIDTH * ronde_dtype_bytes(dtype);
	int64_t indices[MOST];
	ronde_options options = RONDE_OPTIONS_INIT;
	options.prescale = scaled ? 0.5 : 1;
	options.postscale = scaled ? 3 : 1;
	const struct ronde_reduce_spec spec = {.dtype = dtype,
					       .reduction = reduction,
					       .prescale = options.prescale,
					       .postscale = options.postscale,
					       .divisor = size};
	const ronde_sparse_rows rows = {rank + 3, WIDTH, indices, given, dtype};
	ronde_sparse sparse = {0};
	for (int i = 0; i < MOST; i++)
		indices[i] = 100 * rank + i;
	uint64_t state = seed + (uint64_t)rank;
	make_period(&state, dtype, false, given);
	require_ok(ronde_sparse_allreduce("typed", &rows, reduction, &options, &sparse));
	const unsigned char *at = sparse.result.values;
	const int64_t *index = sparse.result.indices;
	for (int r = 0; r < size; r++) {
		const void *theirs = given;
		state = seed + (uint64_t)r;
		make_period(&state, dtype, false, given);
		reduce_periods(&spec, &theirs, 1, wanted);
		require(memcmp(at, wanted, (size_t)(r + 3) * row) == 0,
			"rank %d's rows of %s, %s%s", r, ronde_dtype_name(dtype),
			ronde_reduction_name(reduction), scaled ? ", scaled" : "");
		for (int i = 0; i < r + 3; i++)
			require(*index++ == 100 * r + i, "an index of rank %d", r);
		at += (size_t)(r + 3) * row;
	}
	free(sparse.indices.data);
	free(sparse.values.data);
}

static void types_of_all_kinds(int rank, int size, const void *arg)
{
	for (int dtype = 0; dtype < RONDE_DTYPE_COUNT; dtype++)
		for (int how = 0; how < 4; how++)
			one_of_type(*(const uint64_t *)arg + (uint64_t)(100 * dtype), rank, size,
				    (ronde_dtype)dtype, how & 1 ? RONDE_AVERAGE : RONDE_SUM,
				    how & 2);
}

static void mismatches(int rank, int size, const void *arg)
{
	(void)arg;
	float values[6] = {1, 2, 3, 4, 5, 6};
	const int64_t indices[] = {1, 0, 2};
	bool odd = rank == size - 1;
	char expected[300], who[40] = "rank 0";
	if (size > 2)
		snprintf(who, sizeof who, "ranks 0-%d", size - 2);
	ronde_sparse_rows rows = {odd ? 3 : 2, odd ? 2 : 3, indices, values, RONDE_FLOAT32};
	ronde_sparse sparse = {0};
	int status = ronde_sparse_allreduce("emb", &rows, RONDE_SUM, NULL, &sparse);
	snprintf(expected, sizeof expected, "tensor \"emb.rows_2of2\": %s submitted ", who);
	require(status == RONDE_ERR_MISMATCH && strstr(ronde_error_message(), expected), "%s",
		ronde_error_message());
	require(!sparse.indices.data && !sparse.values.data, "memory is left");
	rows.rows = 2;
	rows.width = 3;
	require_ok(ronde_sparse_allreduce("emb", &rows, RONDE_SUM, NULL, &sparse));
	require(sparse.result.rows == 2 * size, "%lld rows", (long long)sparse.result.rows);
	free(sparse.indices.data);
	free(sparse.values.data);
}

static void refused(int rank, int size, const void *arg)
{
	(void)rank, (void)size, (void)arg;
	float values[6] = {1, 2, 3, 4, 5, 6}, dense[6] = {0};
	int64_t indices[] = {0, 3};
	char name[RONDE_MAX_NAME + 1];
	ronde_sparse_rows rows = {2, 2, indices, values, RONDE_FLOAT32};
	ronde_sparse sparse = {0};
	require_error(ronde_sparse_add(dense, 3, &rows), RONDE_ERR_INVALID_ARGUMENT,
		      "\"ronde_sparse_add\": index 1 of 2 is 3, but the tensor has 3 rows");
	require(dense[0] == 0, "something was added");
	require_error(ronde_sparse_add(NULL, 3, &rows), RONDE_ERR_INVALID_ARGUMENT,
		      "ronde_sparse_add: dense is NULL");
	require_error(ronde_sparse_allreduce("x", &rows, RONDE_MAX, NULL, &sparse),
		      RONDE_ERR_INVALID_ARGUMENT,
		      "\"x\": the reduction of a sparse allreduce is max (4): it must be RONDE_SUM "
		      "or RONDE_AVERAGE");
	require_error(ronde_sparse_allreduce("x", NULL, RONDE_SUM, NULL, &sparse),
		      RONDE_ERR_INVALID_ARGUMENT,
		      "ronde_sparse_allreduce() needs rows and a place for the result; input is "
		      "NULL");
	rows.rows = -1;
	require_error(ronde_sparse_allreduce("x", &rows, RONDE_SUM, NULL, &sparse),
		      RONDE_ERR_INVALID_ARGUMENT,
		      "\"x\": there are -1 rows of 2 elements: neither may be below 0");
	rows.rows = 2;
	rows.values = NULL;
	require_error(ronde_sparse_allreduce("x", &rows, RONDE_SUM, NULL, &sparse),
		      RONDE_ERR_INVALID_ARGUMENT,
		      "\"x\": there are 2 rows, but their values are NULL");
	rows.values = values;
	memset(name, 'n', sizeof name);
	name[RONDE_MAX_NAME - 9] = 0;
	require_error(ronde_sparse_allreduce(name, &rows, RONDE_SUM, NULL, &sparse),
		      RONDE_ERR_INVALID_ARGUMENT,
		      "the name \"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn…\" is too long: "
		      "ronde_sparse_allreduce() adds \".rows_2of2\" to it and names have at most "
		      "1023 bytes");
}

/* Any type; rows of one number as a tree: 16-bit floats are rounded once. */
static void added(int rank, int size, const void *arg)
{
	(void)rank, (void)size, (void)arg;
	const int64_t indices[] = {1, 0, 1, 1};
	uint8_t bytes[4] = {200, 1, 100, 7}, dense[2] = {1, 2};
	ronde_sparse_rows rows = {4, 1, indices, bytes, RONDE_UINT8};
	require_ok(ronde_sparse_add(dense, 2, &rows));
	require(dense[0] == 2 && dense[1] == (uint8_t)(2 + 200 + 100 + 7), "%d %d", dense[0],
		dense[1]);
	uint16_t half[4] = {0x1000, 0, 0x1000, 0}; /* 2^-11: half of what 1 can be told from */
	uint16_t sum[2] = {0, 0x3c00};             /* 0, 1 */
	rows.dtype = RONDE_FLOAT16;
	rows.values = half;
	require_ok(ronde_sparse_add(sum, 2, &rows));
	require(sum[1] == 0x3c01, "1 + 2^-11 + 2^-11 is %x", sum[1]);
}

/* Rows of one number in their order, in the default floating-point mode, whatever the caller's. */
static void added_alike(int rank, int size, const void *arg)
{
	(void)rank, (void)size, (void)arg;
	const int64_t indices[] = {0, 0, 0};
	float values[] = {1, 1, -0x1p24F}, dense[] = {0x1p24F};
	ronde_sparse_rows rows = {3, 1, indices, values, RONDE_FLOAT32};
	require_ok(ronde_sparse_add(dense, 1, &rows));
	require(dense[0] == 1, "(2^24 + 1) + (1 - 2^24) is %g", (double)dense[0]);

	static const float tiny = 1e-40F;
	values[0] = values[1] = values[2] = tiny;
	dense[0] = 0;
	unsigned int mode = ronde_floating_enter();
	ronde_floating_leave(mode | FLOATING_FLUSH_TO_ZERO);
	int status = ronde_sparse_add(dense, 1, &rows);
	unsigned int after = ronde_floating_enter();
	ronde_floating_leave(mode);
	require_ok(status);
	require(after & FLOATING_FLUSH_TO_ZERO, "the caller's mode %x became %x", mode, after);
	require(dense[0] == 3 * tiny, "denormals were flushed: %g", (double)dense[0]);
}

/* ---- the optimizer ---- */

enum memory { DENSE_TOO, ROWS_ONLY, AS_DENSE };

struct gradients {
	float weights[TABLE * WIDEST], table[TABLE * WIDEST], bias[3];
	int updates;
	ronde_distributed_optimizer *optimizer;
	bool rows; /* are told */
	int64_t told;
};

static int look(void *state)
{
	struct gradients *g = state;
	ronde_sparse_rows rows;
	g->updates++;
	if (g->rows) {
		require_ok(ronde_sparse_gradient(g->optimizer, 1, &rows));
		g->told = rows.rows;
		if (g->weights[0] > 0) /* no dense gradient: this is one */
			require_ok(ronde_sparse_add(g->table, TABLE, &rows));
	}
	return 0;
}

static void one_optimizer(uint64_t seed, int rank, int size, enum memory memory)
{
	static struct gradients g;
	static struct input in;
	static float expected[TABLE * WIDEST];
	const int64_t width = 5, widths[] = {0, width};
	memset(&g, 0, sizeof g);
	g.rows = memory != AS_DENSE;
	g.weights[0] = memory == ROWS_ONLY;
	ronde_parameter list[] = {{"bias", g.weights, g.bias, 3, RONDE_FLOAT32},
				  {"table", g.weights, memory == ROWS_ONLY ? NULL : g.table,
				   TABLE * width, RONDE_FLOAT32}};
	ronde_distributed_optimizer_options options = RONDE_DISTRIBUTED_OPTIMIZER_OPTIONS_INIT;
	options.reduction = RONDE_SUM;
	options.sparse_widths = widths;
	options.sparse_as_dense = memory == AS_DENSE;
	options.backward_passes_per_step = 2;
	require_ok(ronde_distributed_optimizer_create(&g.optimizer, look, &g, list, 2, &options));
	/* All give rows; the first ones do; nobody does (reported as absent; not reported). */
	for (int step = 0; step < 4; step++) {
		int givers = step == 0 ? size : step == 1 ? (size + 1) / 2 : 0;
		for (int i = 0; i < TABLE * WIDEST; i++) /* what is left over is not taken */
			g.table[i] = memory == ROWS_ONLY ? 0 : 99;
		g.bias[0] = 1;
		make_input(&in, seed + (uint64_t)step, rank, width, rank < givers);
		ronde_sparse_rows rows = rows_of(&in, width), none = {.width = width};
		none.dtype = RONDE_FLOAT32;
		for (int pass = 0; pass < 2; pass++) {
			if (rank < givers)
				require_ok(ronde_gradient_ready_sparse(g.optimizer, 1,
								       pass ? &rows : &none));
			else if (step < 3)
				require_ok(ronde_gradient_absent(g.optimizer, 1));
		}
		require_ok(ronde_distributed_optimizer_step(g.optimizer));
		add_all(expected, seed + (uint64_t)step, size, width, givers);
		for (int i = 0; i < TABLE * width; i++)
			require(expected[i] == g.table[i], "memory %d, %d ranks, step %d: %d",
				memory, size, step, i);
		require(g.bias[0] == (float)size, "the dense one is wrong");
		require(givers > 0 || g.told == 0, "%lld rows", (long long)g.told);
	}
	require(g.updates == 4, "%d updates", g.updates);
	ronde_distributed_optimizer_destroy(g.optimizer);
}

static void optimizers(int rank, int size, const void *arg)
{
	for (int memory = 0; memory <= AS_DENSE; memory++)
		one_optimizer(*(const uint64_t *)arg, rank, size, (enum memory)memory);
}

static void optimizer_refuses(int rank, int size, const void *arg)
{
	(void)rank, (void)arg;
	static struct gradients g;
	memset(&g, 0, sizeof g);
	float values[4] = {1, 2, 3, 4};
	int64_t indices[] = {0, 9};
	const int64_t widths[] = {0, 2};
	ronde_parameter list[] = {{"a", g.weights, g.bias, 3, RONDE_FLOAT32},
				  {"t", g.weights, g.table, 8, RONDE_FLOAT32}};
	ronde_distributed_optimizer_options options = RONDE_DISTRIBUTED_OPTIMIZER_OPTIONS_INIT;
	options.sparse_widths = widths;
	ronde_distributed_optimizer *o;
	ronde_sparse_rows rows = {2, 2, indices, values, RONDE_FLOAT32}, got;
	require_ok(ronde_distributed_optimizer_create(&o, look, &g, list, 2, &options));
	require_error(ronde_gradient_ready_sparse(o, 1, &rows), RONDE_ERR_INVALID_ARGUMENT,
		      "\"gradient.t\": index 1 of 2 is 9, but the tensor has 4 rows");
	indices[1] = -1;
	require_error(ronde_gradient_ready_sparse(o, 1, &rows), RONDE_ERR_INVALID_ARGUMENT,
		      "\"gradient.t\": index 1 of 2 is -1, but the tensor has 4 rows");
	indices[1] = 0;
	rows.width = 1;
	require_error(ronde_gradient_ready_sparse(o, 1, &rows), RONDE_ERR_INVALID_ARGUMENT,
		      "\"gradient.t\" has rows of 2 float32, and was given rows of 1 float32");
	rows.width = 2;
	require_error(ronde_gradient_ready_sparse(o, 0, &rows), RONDE_ERR_INVALID_ARGUMENT,
		      "\"gradient.a\" is dense: report it with ronde_gradient_ready(), or give it "
		      "a width in sparse_widths");
	require_error(ronde_gradient_ready(o, 1), RONDE_ERR_INVALID_ARGUMENT,
		      "\"gradient.t\" (parameter 1) is sparse: report its rows with "
		      "ronde_gradient_ready_sparse()");
	require_error(ronde_sparse_gradient(o, 0, &got), RONDE_ERR_INVALID_ARGUMENT,
		      "\"gradient.a\" (parameter 0): its gradient is dense");
	require_error(ronde_sparse_gradient(o, 1, &got), RONDE_ERR_INVALID_ARGUMENT,
		      "\"gradient.t\" (parameter 1): its rows are there between "
		      "ronde_distributed_optimizer_synchronize() and the end of the update");
	require_ok(ronde_gradient_ready_sparse(o, 1, &rows));
	require_ok(ronde_distributed_optimizer_synchronize(o));
	require_ok(ronde_sparse_gradient(o, 1, &got));
	require(got.rows == 2 * size && g.table[0] == 4 && g.table[1] == 6, "%g %g",
		(double)g.table[0], (double)g.table[1]);
	require_ok(ronde_distributed_optimizer_step(o));
	require_ok(ronde_gradient_ready_sparse(o, 1, &rows));
	ronde_distributed_optimizer_destroy(o); /* in flight */
}

/* A dense gradient that is absent on some ranks, whatever is in its memory. */
static void absent(int rank, int size, const void *arg)
{
	(void)arg;
	static struct gradients g;
	memset(&g, 0, sizeof g);
	float a = 0, b = 0;
	ronde_parameter list[] = {{"a", &a, &a, 1, RONDE_FLOAT32}, {"b", &b, &b, 1, RONDE_FLOAT32}};
	for (int zero = 0; zero < 2; zero++) {
		ronde_distributed_optimizer_options options =
			RONDE_DISTRIBUTED_OPTIMIZER_OPTIONS_INIT;
		options.unreported_is_zero = zero;
		options.backward_passes_per_step = 2;
		ronde_distributed_optimizer *o;
		require_ok(ronde_distributed_optimizer_create(&o, look, &g, list, 2, &options));
		for (int step = 0; step < 3; step++) {
			a = b = (float)size;
			for (int pass = 0; pass < 2; pass++) {
				/* Rank 0 has a gradient in one pass, the others in none. */
				if (rank == 0 && pass == step % 2)
					require_ok(ronde_gradient_ready(o, 0));
				else
					require_ok(ronde_gradient_absent(o, 0));
			}
			require_ok(ronde_distributed_optimizer_step(o));
			require(a == 1, "step %d: the average over %d ranks is %g", step, size,
				(double)a);
			require(b == (zero ? 0 : (float)size), "not reported: %g", (double)b);
		}
		ronde_distributed_optimizer_destroy(o);
	}
}

/* ---- the suite ---- */

static const struct rank_body cases[] = {
	{"allreduces", allreduces, 1, 5}, {"types_of_all_kinds", types_of_all_kinds, 1, 5},
	{"mismatches", mismatches, 2, 4}, {"refused", refused, 1, 1},
	{"added", added, 1, 1},           {"added_alike", added_alike, 1, 1},
	{"optimizers", optimizers, 1, 5}, {"optimizer_refuses", optimizer_refuses, 1, 3},
	{"absent", absent, 1, 4},
};

START_TEST(bodies)
{
	uint64_t seed = test_seed();
	rank_body_run(&cases[_i], &seed);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{bodies, 0, (int)(sizeof cases / sizeof *cases)},
	};
	return SUITE_RUN("sparse", 100, tests);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The distributed optimizer with RONDE_ADASUM, against the published formula in float64: momentum
 * SGD on every rank, Adasum of what it changed.
 */
#include <float.h>
#include <math.h>

#include "collectives/bootstrap/wait.h"
#include "collectives/kernels/kernels.h"
#include "tests/adasum_reference.h"
#include "tests/fork_ranks.h"
#include "tests/suite.h"

#define MOST 5 /* ranks */
#define PARAMETERS 4
#define LONGEST 700
#define STEPS 6
#define RATE 0.125
#define MOMENTUM 0.5

static const int lengths[PARAMETERS] = {LONGEST, 1, 0, 257};

struct variant {
	const char *name;
	ronde_dtype dtype;
	ronde_compression compression;
	int passes;
	double tolerance; /* relative to the largest weight */
};

static const struct variant variants[] = {
	{"float32", RONDE_FLOAT32, RONDE_COMPRESSION_NONE, 1, 1e-5},
	{"float64", RONDE_FLOAT64, RONDE_COMPRESSION_NONE, 2, 1e-13},
	{"bfloat16", RONDE_BFLOAT16, RONDE_COMPRESSION_NONE, 1, 6e-2},
	{"float32 as fp16", RONDE_FLOAT32, RONDE_COMPRESSION_FP16, 1, 2e-2},
	{"float64 as bf16", RONDE_FLOAT64, RONDE_COMPRESSION_BF16, 3, 6e-2},
};

/* ---- the serial computation ---- */

/* Ranks without a gradient of parameter 3 in odd steps contribute what momentum is left. */
static double gradient(int rank, int step, int parameter, int i)
{
	bool absent = parameter == 3 && step % 2 == 1 && rank % 2 == 0;
	return absent ? 0 : sin(1 + 0.7 * i + 2.1 * rank * (i % 3) + 1.3 * step + parameter);
}

struct model {
	double weights[PARAMETERS][LONGEST], velocity[PARAMETERS][LONGEST];
};

static void serial_step(struct model *ranks, int size, int step, int failing)
{
	static double delta[MOST][LONGEST];
	for (int p = 0; p < PARAMETERS; p++) {
		struct adasum_vector vectors[MOST] = {0};
		for (int r = 0; r < size; r++) {
			vectors[r].x = delta[r];
			for (int i = 0; i < lengths[p]; i++) {
				double *v = &ranks[r].velocity[p][i];
				if (r != failing)
					*v = MOMENTUM * *v + gradient(r, step, p, i);
				delta[r][i] = r == failing ? 0 : -RATE * *v;
			}
		}
		adasum_reference(vectors, size, (size_t)lengths[p]);
		for (int r = 0; r < size; r++)
			for (int i = 0; i < lengths[p]; i++)
				ranks[r].weights[p][i] += delta[0][i];
	}
}

/* ---- the same on ranks ---- */

struct training {
	const struct ronde_kernels *kernels;
	ronde_dtype dtype;
	ronde_parameter list[PARAMETERS];
	double velocity[PARAMETERS][LONGEST];
	int result; /* of the update */
};

static void put(const struct training *t, void *to, const double *values, int n)
{
	t->kernels->convert(to, t->dtype, values, RONDE_FLOAT64, (size_t)n);
}

static void get(const struct training *t, double *values, const void *from, int n)
{
	t->kernels->convert(values, RONDE_FLOAT64, from, t->dtype, (size_t)n);
}

static int update(void *state)
{
	struct training *t = state;
	for (int p = 0; p < PARAMETERS; p++) {
		double w[LONGEST], g[LONGEST];
		get(t, w, t->list[p].data, lengths[p]);
		get(t, g, t->list[p].gradient, lengths[p]);
		for (int i = 0; i < lengths[p]; i++) {
			double *v = &t->velocity[p][i];
			if (t->result == 0)
				*v = MOMENTUM * *v + g[i];
			w[i] = t->result == 0 ? w[i] - RATE * *v : NAN;
		}
		put(t, t->list[p].data, w, lengths[p]);
	}
	return t->result;
}

static void make_parameters(struct training *t)
{
	static const char *const names[PARAMETERS] = {"a", "b", "empty", "rare"};
	for (int p = 0; p < PARAMETERS; p++) {
		double start[LONGEST];
		size_t bytes = (size_t)lengths[p] * ronde_dtype_bytes(t->dtype) + 1;
		for (int i = 0; i < lengths[p]; i++)
			start[i] = 0.5 + p;
		t->list[p] = (ronde_parameter){names[p], malloc(bytes), malloc(bytes), lengths[p],
					       t->dtype};
		put(t, t->list[p].data, start, lengths[p]);
	}
}

static void backward(struct training *t, ronde_distributed_optimizer *o, int rank, int step,
		     bool last)
{
	for (int p = 0; p < PARAMETERS; p++) {
		double g[LONGEST];
		bool absent = p == 3 && step % 2 == 1 && rank % 2 == 0;
		for (int i = 0; i < lengths[p]; i++)
			g[i] = absent ? 1e3 : gradient(rank, step, p, i); /* 1e3: left over */
		put(t, t->list[p].gradient, g, lengths[p]);
		if (absent)
			require_ok(ronde_gradient_absent(o, (size_t)p));
		else if (last || p != 1) /* parameter 1 is reported too seldom: as it is */
			require_ok(ronde_gradient_ready(o, (size_t)p));
	}
}

static void compare(const struct training *t, const struct variant *v, const struct model *expected,
		    int size, int step)
{
	for (int p = 0; p < PARAMETERS; p++) {
		double w[LONGEST];
		get(t, w, t->list[p].data, lengths[p]);
		for (int i = 0; i < lengths[p]; i++)
			require(fabs(w[i] - expected->weights[p][i]) <= v->tolerance * 4,
				"%s, %d ranks, step %d: %s[%d] is %.17g, not %.17g", v->name, size,
				step, t->list[p].name, i, w[i], expected->weights[p][i]);
	}
}

static void same_bits(const struct training *t, int size)
{
	for (int p = 0; p < PARAMETERS; p++) {
		ronde_gathered all = {0};
		const int64_t bytes = (int64_t)ronde_dtype_bytes(t->dtype) * lengths[p];
		require_ok(
			ronde_allgather("weights", t->list[p].data, &bytes, 1, RONDE_UINT8, &all));
		for (int r = 0; r < size; r++)
			require(bytes == 0 || memcmp((char *)all.data + r * bytes, t->list[p].data,
						     (size_t)bytes) == 0,
				"rank %d has other weights", r);
		free(all.data);
	}
}

/* Of the changes of all weights, in all steps, whoever has no gradient. */
static uint64_t bytes_travelled(const struct variant *v)
{
	uint64_t count = 0;
	for (int p = 0; p < PARAMETERS; p++)
		count += (uint64_t)lengths[p];
	return STEPS * count * (v->compression ? 2 : ronde_dtype_bytes(v->dtype));
}

static void train(int rank, int size, const void *arg)
{
	const struct variant *v = arg;
	static struct model serial[MOST];
	static struct training t;
	t = (struct training){.kernels = ronde_kernels_select("c"), .dtype = v->dtype};
	make_parameters(&t);
	for (int r = 0; r < size; r++)
		for (int p = 0; p < PARAMETERS; p++)
			for (int i = 0; i < lengths[p]; i++)
				serial[r].weights[p][i] = 0.5 + p;
	ronde_distributed_optimizer_options options = RONDE_DISTRIBUTED_OPTIMIZER_OPTIONS_INIT;
	options.reduction = RONDE_ADASUM;
	options.compression = v->compression;
	options.backward_passes_per_step = v->passes;
	ronde_distributed_optimizer *o;
	uint64_t start = ronde_nanoseconds();
	require_ok(
		ronde_distributed_optimizer_create(&o, update, &t, t.list, PARAMETERS, &options));
	for (int step = 0; step < STEPS; step++) {
		int failing = step == 4 ? size - 1 : -1;
		for (int pass = 0; pass < v->passes; pass++)
			backward(&t, o, rank, step, pass == v->passes - 1);
		if (step % 2 == 0)
			require_ok(ronde_distributed_optimizer_synchronize(o));
		t.result = rank == failing ? 7 : 0;
		serial_step(serial, size, step, failing);
		if (rank == failing)
			require_error(ronde_distributed_optimizer_step(o), RONDE_ERR_CALLBACK,
				      "the optimizer's step function returned 7");
		else
			require_ok(ronde_distributed_optimizer_step(o));
		compare(&t, v, &serial[rank], size, step);
		same_bits(&t, size);
	}
	ronde_optimizer_counters counters = {.size = sizeof counters};
	require_ok(ronde_distributed_optimizer_get_counters(o, &counters));
	require(counters.steps == STEPS && counters.tensors == STEPS * PARAMETERS,
		"%llu steps, %llu tensors", (unsigned long long)counters.steps,
		(unsigned long long)counters.tensors);
	require(counters.bytes == bytes_travelled(v), "%llu bytes",
		(unsigned long long)counters.bytes);
	require(counters.wait_seconds > 0 &&
			counters.wait_seconds <= (double)(ronde_nanoseconds() - start) * 1e-9,
		"%g s waiting", counters.wait_seconds);
	ronde_distributed_optimizer_destroy(o);
	for (int p = 0; p < PARAMETERS; p++) {
		free(t.list[p].data);
		free(t.list[p].gradient);
	}
}

/* Ranks that disagree about one parameter: its weights are as before, the others get on. */
static int add_one(void *state)
{
	float *weights = state;
	weights[0] += 1;
	weights[1] += 1;
	return 0;
}

static void disagreement(int rank, int size, const void *arg)
{
	(void)arg;
	float w[2] = {5, 6}, g[2] = {1, 1};
	double odd = 6;
	ronde_parameter list[] = {{"a", &w[0], &g[0], 1, RONDE_FLOAT32},
				  {"b", &w[1], &g[1], 1, RONDE_FLOAT32}};
	if (rank == size - 1)
		list[1] = (ronde_parameter){"b", &odd, &odd, 1, RONDE_FLOAT64};
	ronde_distributed_optimizer_options options = RONDE_DISTRIBUTED_OPTIMIZER_OPTIONS_INIT;
	options.reduction = RONDE_ADASUM;
	ronde_distributed_optimizer *o;
	require_ok(ronde_distributed_optimizer_create(&o, add_one, w, list, 2, &options));
	int status = ronde_distributed_optimizer_step(o);
	require(status == RONDE_ERR_MISMATCH && strstr(ronde_error_message(), "gradient.b"), "%s",
		ronde_error_message());
	require(w[0] == 6, "a is %g: equal changes count once", (double)w[0]);
	require(rank == size - 1 || w[1] == 6, "b is %g", (double)w[1]);
	ronde_distributed_optimizer_destroy(o);
}

/* What cannot be asked for. */
static void refused(int rank, int size, const void *arg)
{
	(void)rank, (void)size, (void)arg;
	float w[6] = {0};
	int32_t whole[2] = {0};
	const int64_t widths[] = {0, 3}, seven[] = {0, 7};
	ronde_parameter list[] = {{"a", w, w, 1, RONDE_FLOAT32}, {"b", w, w, 6, RONDE_FLOAT32}};
	ronde_distributed_optimizer_options options = RONDE_DISTRIBUTED_OPTIMIZER_OPTIONS_INIT;
	ronde_distributed_optimizer *o = NULL;
	options.reduction = RONDE_ADASUM;
	options.sparse_widths = widths;
#define CREATE ronde_distributed_optimizer_create(&o, add_one, w, list, 2, &options)
	require_error(CREATE, RONDE_ERR_INVALID_ARGUMENT,
		      "parameter 1, \"b\", is sparse, but the changes that RONDE_ADASUM adds are "
		      "dense: set sparse_as_dense");
	options.sparse_widths = seven;
	require_error(CREATE, RONDE_ERR_INVALID_ARGUMENT,
		      "parameter 1, \"b\", has 6 elements, which are no rows of sparse_widths[1] "
		      "= 7");
	options.sparse_widths = NULL;
	list[0] = (ronde_parameter){"a", whole, whole, 2, RONDE_INT32};
	require_error(CREATE, RONDE_ERR_INVALID_ARGUMENT,
		      "parameter 0, \"a\", is int32: RONDE_ADASUM takes float16, bfloat16, float32 "
		      "and float64");
	list[0] = (ronde_parameter){"a", NULL, w, 2, RONDE_FLOAT32};
	require_error(CREATE, RONDE_ERR_INVALID_ARGUMENT,
		      "parameter 0, \"a\", of 2 elements has no data (NULL)");
	list[0].data = w;
	options.gradient_predivide_factor = 2;
	require_error(CREATE, RONDE_ERR_INVALID_ARGUMENT,
		      "gradient_predivide_factor is 2, but the reduction is adasum: it splits the "
		      "division of an average, so it needs RONDE_AVERAGE");
	require(!o, "made all the same");
}

START_TEST(like_serial)
{
	for (int n = 1; n <= MOST; n++)
		ck_assert_msg(fork_ranks(n, train, &variants[_i]) == 0, "%s with %d ranks",
			      variants[_i].name, n);
}
END_TEST

START_TEST(errors)
{
	ck_assert_int_eq(fork_ranks(1, refused, NULL), 0);
	for (int n = 2; n <= 4; n++)
		ck_assert_int_eq(fork_ranks(n, disagreement, NULL), 0);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{like_serial, 0, (int)(sizeof variants / sizeof *variants)},
		{errors, ONCE},
	};
	return SUITE_RUN("deltas", 100, tests);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The training functions one by one: errors and their texts, compression, initial weights, bytes.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "collectives/kernels/kernels.h"
#include "tests/rank_bodies.h"
#include "tests/suite.h"

#define REPORTED_TWICE                                                                             \
	"\"gradient.a\" (parameter 0) was reported 2 times since the last step, but "              \
	"backward_passes_per_step is 1: call ronde_distributed_optimizer_step() after every 1 "    \
	"backward pass(es), or create the optimizer with a larger backward_passes_per_step"
#define REPORTED_LATE                                                                              \
	"\"gradient.a\" (parameter 0) was reported after "                                         \
	"ronde_distributed_optimizer_synchronize(): call ronde_distributed_optimizer_step() "      \
	"before the next backward pass"

/* A step function that counts its calls and returns what it is told to. */
struct stepper {
	int calls, result;
};

static int count_step(void *state)
{
	struct stepper *s = state;
	s->calls++;
	return s->result;
}

static ronde_distributed_optimizer *create(struct stepper *s, const ronde_parameter *list, size_t n,
					   const ronde_distributed_optimizer_options *options)
{
	ronde_distributed_optimizer *o = NULL;
	require_ok(ronde_distributed_optimizer_create(&o, count_step, s, list, n, options));
	return o;
}

/* ---- what is refused when an optimizer is created ---- */

struct bad_options {
	ronde_distributed_optimizer_options options;
	const char *text;
};

#define OPTIONS(reduction, compression, passes, predivide)                                         \
	{                                                                                          \
		sizeof(ronde_distributed_optimizer_options), reduction, compression, passes,       \
			predivide, 0, NULL, 0, 0, NULL, 0, NULL                                    \
	}
#define NONE RONDE_COMPRESSION_NONE

static const struct bad_options bad_options[] = {
	{OPTIONS(RONDE_MAX, NONE, 1, 1), "the optimizer's reduction is max (4): it must be "
					 "RONDE_AVERAGE, RONDE_SUM or RONDE_ADASUM"},
	{OPTIONS((ronde_reduction)77, NONE, 1, 1), "the optimizer's reduction is ? (77): it must "
						   "be RONDE_AVERAGE, RONDE_SUM or RONDE_ADASUM"},
	{OPTIONS(RONDE_SUM, (ronde_compression)3, 1, 1),
	 "the optimizer's compression is 3: it must be RONDE_COMPRESSION_NONE, _FP16 or _BF16"},
	{OPTIONS(RONDE_SUM, NONE, 0, 1), "backward_passes_per_step is 0: it must be 1 or more"},
	{OPTIONS(RONDE_AVERAGE, NONE, 1, 0),
	 "gradient_predivide_factor is 0: it must be a finite number above 0"},
	{OPTIONS(RONDE_AVERAGE, NONE, 1, NAN),
	 "gradient_predivide_factor is nan: it must be a finite number above 0"},
	{OPTIONS(RONDE_SUM, NONE, 1, 2), "gradient_predivide_factor is 2, but the reduction is "
					 "sum: it splits the division of an average, so it needs "
					 "RONDE_AVERAGE"},
	{{0, RONDE_SUM, NONE, 1, 1, 0, NULL, 0, 0, NULL, 0, NULL},
	 "the size of the optimizer's options is 0: start from "
	 "RONDE_DISTRIBUTED_OPTIMIZER_OPTIONS_INIT"},
};

struct bad_list {
	ronde_parameter list[3];
	const char *text;
};

static float memory[8];

#define GOOD(name)                                                                                 \
	{                                                                                          \
		name, memory, memory, 2, RONDE_FLOAT32                                             \
	}
static const struct bad_list bad_lists[] = {
	{{GOOD("a"), GOOD("b"), GOOD("a")},
	 "parameters 0 and 2 are both named \"a\": names must "
	 "be unique, because ranks match tensors by them"},
	{{GOOD("a"), GOOD(NULL), GOOD("c")},
	 "parameter 1 has no name (name is NULL): every "
	 "parameter needs one, the same on all ranks"},
	{{GOOD("a"), {"b", memory, NULL, 2, RONDE_FLOAT32}, GOOD("c")},
	 "parameter 1, \"b\", of 2 elements has no gradient (NULL)"},
	{{GOOD("a"), {"b", memory, memory, -2, RONDE_FLOAT32}, GOOD("c")},
	 "parameter 1, \"b\", has the count -2: it must be 0 or more elements"},
	{{GOOD("a"), {"b", memory, memory, 2, (ronde_dtype)99}, GOOD("c")},
	 "parameter 1, \"b\", has the dtype 99, which is no ronde_dtype"},
};

static void create_errors(int rank, int size, const void *arg)
{
	(void)rank, (void)size, (void)arg;
	const ronde_parameter good = GOOD("a");
	char longest[RONDE_MAX_NAME + 1];
	struct stepper s = {0, 0};
	ronde_distributed_optimizer *o = NULL;
	for (size_t i = 0; i < sizeof bad_options / sizeof *bad_options; i++)
		require_error(ronde_distributed_optimizer_create(&o, count_step, &s, &good, 1,
								 &bad_options[i].options),
			      RONDE_ERR_INVALID_ARGUMENT, bad_options[i].text);
	for (size_t i = 0; i < sizeof bad_lists / sizeof *bad_lists; i++)
		require_error(ronde_distributed_optimizer_create(&o, count_step, &s,
								 bad_lists[i].list, 3, NULL),
			      RONDE_ERR_INVALID_ARGUMENT, bad_lists[i].text);
	require_error(ronde_distributed_optimizer_create(&o, count_step, &s, NULL, 3, NULL),
		      RONDE_ERR_INVALID_ARGUMENT, "the list of parameters is NULL, its count 3");
	require_error(ronde_distributed_optimizer_create(NULL, count_step, &s, &good, 1, NULL),
		      RONDE_ERR_INVALID_ARGUMENT,
		      "ronde_distributed_optimizer_create() needs a place for the optimizer, not "
		      "NULL");
	require_error(ronde_distributed_optimizer_create(&o, NULL, &s, &good, 1, NULL),
		      RONDE_ERR_INVALID_ARGUMENT,
		      "ronde_distributed_optimizer_create() needs a step function, not NULL");
	memset(longest, 'x', sizeof longest);
	longest[RONDE_MAX_NAME - strlen("gradient")] = 0; /* one too many, with the dot */
	const ronde_parameter named = GOOD(longest);
	require_error(ronde_distributed_optimizer_create(&o, count_step, &s, &named, 1, NULL),
		      RONDE_ERR_INVALID_ARGUMENT,
		      "the name of parameter 0, \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…\", has "
		      "1015 bytes: with the 9 that Ronde adds it may have at most 1023");
	require(o == NULL, "an optimizer was made all the same");
	longest[RONDE_MAX_NAME - strlen("gradient") - 1] = 0;
	o = create(&s, &named, 1, NULL);
	require_ok(ronde_distributed_optimizer_step(o));
	ronde_distributed_optimizer_destroy(o);
	o = create(&s, NULL, 0, NULL);
	require_ok(ronde_distributed_optimizer_step(o));
	require(s.calls == 2, "%d calls of the step function", s.calls);
	ronde_distributed_optimizer_destroy(o);
	ronde_distributed_optimizer_destroy(NULL);
}

/* ---- calls in the wrong order ---- */

static void state_errors(int rank, int size, const void *arg)
{
	(void)rank, (void)arg;
	float a[2] = {1, 2}, b[2] = {3, 4};
	ronde_parameter list[] = {{"a", a, a, 2, RONDE_FLOAT32}, {"b", b, b, 2, RONDE_FLOAT32}};
	struct stepper s = {0, 0};
	ronde_distributed_optimizer_options sum = OPTIONS(RONDE_SUM, NONE, 1, 1);
	ronde_distributed_optimizer *o = create(&s, list, 2, &sum);

	require_error(ronde_gradient_ready(o, 2), RONDE_ERR_INVALID_ARGUMENT,
		      "ronde_gradient_ready() was called for gradient 2, but the optimizer has 2 "
		      "parameters");
	require_error(ronde_gradient_ready(NULL, 0), RONDE_ERR_INVALID_ARGUMENT,
		      "the optimizer is NULL");
	require_error(ronde_distributed_optimizer_synchronize(NULL), RONDE_ERR_INVALID_ARGUMENT,
		      "the optimizer is NULL");
	require_error(ronde_distributed_optimizer_step(NULL), RONDE_ERR_INVALID_ARGUMENT,
		      "the optimizer is NULL");

	require_ok(ronde_gradient_ready(o, 0));
	require_error(ronde_gradient_ready(o, 0), RONDE_ERR_INVALID_ARGUMENT, REPORTED_TWICE);
	require_ok(ronde_distributed_optimizer_synchronize(o));
	require_error(ronde_gradient_ready(o, 0), RONDE_ERR_INVALID_ARGUMENT, REPORTED_LATE);
	a[0] = 100 + (float)rank; /* communicated once more, ranks would agree on it */
	require_ok(ronde_distributed_optimizer_step(o));
	require(s.calls == 1 && a[0] == 100 + (float)rank, "step reduced what was reduced");
	require(a[1] == 2 * (float)size && b[0] == 3 * (float)size, "wrong sums");

	/* A step function's error is passed on, and the next step is one like any other. */
	s.result = 42;
	require_error(ronde_distributed_optimizer_step(o), RONDE_ERR_CALLBACK,
		      "the optimizer's step function returned 42");
	s.result = 0;
	a[1] = 5;
	require_ok(ronde_gradient_ready(o, 0));
	require_ok(ronde_distributed_optimizer_step(o));
	require(s.calls == 3 && a[1] == 5 * (float)size, "not usable after an error");
	ronde_distributed_optimizer_destroy(o);
}

/* Fewer than k passes: what there is, is communicated, and counting starts anew. */
static void early_step(int rank, int size, const void *arg)
{
	(void)rank, (void)arg;
	float a[2] = {1, 2};
	ronde_parameter list[] = {{"a", a, a, 2, RONDE_FLOAT32}};
	struct stepper s = {0, 0};
	ronde_distributed_optimizer_options sum = OPTIONS(RONDE_SUM, NONE, 3, 1);
	ronde_distributed_optimizer *o = create(&s, list, 1, &sum);
	require_ok(ronde_gradient_ready(o, 0));
	require_ok(ronde_distributed_optimizer_step(o));
	require(a[0] == (float)size, "wrong sum");
	a[0] = 1;
	for (int pass = 0; pass < 3; pass++)
		require_ok(ronde_gradient_ready(o, 0));
	require(ronde_gradient_ready(o, 0) == RONDE_ERR_INVALID_ARGUMENT, "four of three passes");
	require_ok(ronde_distributed_optimizer_step(o));
	require(a[0] == (float)size, "wrong sum");
	ronde_distributed_optimizer_destroy(o);
}

static void not_initialised(int rank, int size, const void *arg)
{
	(void)rank, (void)size, (void)arg;
	float a[2] = {1, 2};
	ronde_parameter list[] = {{"a", a, a, 2, RONDE_FLOAT32}};
	struct stepper s = {0, 0};
	ronde_distributed_optimizer *o = create(&s, list, 1, NULL), *none = NULL;
	void *data = a;
	size_t bytes = 1;
	require_ok(ronde_gradient_ready(o, 0));
	require_ok(ronde_barrier()); /* or another rank's shutdown comes first */
	require_ok(ronde_shutdown());
#define NOT_INITIALISED ": Ronde is not initialised; call ronde_init() first"
	require_error(ronde_gradient_ready(o, 0), RONDE_ERR_NOT_INITIALIZED,
		      "ronde_gradient_ready" NOT_INITIALISED);
	require_error(ronde_gradient_absent(o, 0), RONDE_ERR_NOT_INITIALIZED,
		      "ronde_gradient_absent" NOT_INITIALISED);
	require_error(ronde_distributed_optimizer_synchronize(o), RONDE_ERR_NOT_INITIALIZED,
		      "ronde_distributed_optimizer_synchronize" NOT_INITIALISED);
	require_error(ronde_distributed_optimizer_step(o), RONDE_ERR_NOT_INITIALIZED,
		      "ronde_distributed_optimizer_step" NOT_INITIALISED);
	require_error(ronde_distributed_optimizer_create(&none, count_step, &s, list, 1, NULL),
		      RONDE_ERR_NOT_INITIALIZED,
		      "ronde_distributed_optimizer_create" NOT_INITIALISED);
	require_error(ronde_broadcast_parameters(list, 1, 0), RONDE_ERR_NOT_INITIALIZED,
		      "ronde_broadcast_parameters" NOT_INITIALISED);
	require_error(ronde_broadcast_bytes("x", &data, &bytes, 0), RONDE_ERR_NOT_INITIALIZED,
		      "ronde_broadcast_bytes" NOT_INITIALISED);
#undef NOT_INITIALISED
	require(s.calls == 0 && !none, "something was done");
	ronde_distributed_optimizer_destroy(o);
}

/* ---- ranks that disagree, and gradients in flight ---- */

static void mismatch(int rank, int size, const void *arg)
{
	(void)arg;
	float a[3] = {1, 1, 1}, b[3] = {1, 1, 1}, c[3] = {1, 1, 1};
	bool odd = rank == size - 1;
	ronde_parameter list[] = {{"a", a, a, 3, RONDE_FLOAT32},
				  {"b", b, b, odd ? 2 : 3, RONDE_FLOAT32},
				  {"c", c, c, 3, RONDE_FLOAT32}};
	struct stepper s = {0, 0};
	ronde_distributed_optimizer_options sum = OPTIONS(RONDE_SUM, NONE, 1, 1);
	ronde_distributed_optimizer *o = create(&s, list, 3, &sum);
	for (int round = 0; round < 2; round++) {
		a[0] = c[0] = 1;
		require_ok(ronde_gradient_ready(o, 2));
		int status = ronde_distributed_optimizer_step(o);
		require(status == RONDE_ERR_MISMATCH, "%s", ronde_status_name(status));
		require(strstr(ronde_error_message(), "gradient.b"), "%s", ronde_error_message());
		require(s.calls == 0, "the update was called");
		require(a[0] == (float)size && c[0] == (float)size, "the others were not reduced");
	}
	ronde_distributed_optimizer_destroy(o);

	/* The same names again, all agreeing. */
	list[1].count = 3;
	b[2] = 1;
	o = create(&s, list, 3, &sum);
	require_ok(ronde_distributed_optimizer_step(o));
	require(s.calls == 1 && b[2] == (float)size, "not usable after a mismatch");
	ronde_distributed_optimizer_destroy(o);
}

static void destroyed_in_flight(int rank, int size, const void *arg)
{
	(void)arg;
	float a[2], b[2];
	ronde_parameter list[] = {{"a", a, a, 2, RONDE_FLOAT32}, {"b", b, b, 2, RONDE_FLOAT32}};
	struct stepper s = {0, 0};
	ronde_distributed_optimizer_options sum = OPTIONS(RONDE_SUM, RONDE_COMPRESSION_FP16, 1, 1);
	for (int round = 0; round < 20; round++) {
		a[0] = b[0] = 1;
		ronde_distributed_optimizer *o = create(&s, list, 2, &sum);
		require_ok(ronde_gradient_ready(o, (size_t)(rank + round) % 2));
		require_ok(ronde_gradient_ready(o, (size_t)(rank + round + 1) % 2));
		if (round % 3 == 0) {
			require_ok(ronde_distributed_optimizer_step(o));
			require(a[0] == (float)size, "wrong sum");
		}
		ronde_distributed_optimizer_destroy(o);
	}
}

/* ---- compression ---- */

#define HALVES 333

/* In [1, 2): sums of up to 8 values of 16 bits are exact in float32, whatever their order. */
static float random_value(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return 1 + (float)(*seed >> 8) / (1 << 24);
}

static void compression(int rank, int size, const void *arg)
{
	const ronde_distributed_optimizer_options *options = arg;
	const struct ronde_kernels *kernels = ronde_kernels_select("c");
	ronde_dtype wire =
		options->compression == RONDE_COMPRESSION_FP16 ? RONDE_FLOAT16 : RONDE_BFLOAT16;
	float mine[HALVES], sum[HALVES] = {0}, wanted[HALVES];
	double mine_too[HALVES];
	uint16_t rounded[HALVES];
	int64_t whole[2] = {rank, 1 << 20};
	for (int r = 0; r < size; r++) {
		float values[HALVES];
		uint32_t seed = (uint32_t)r + 1;
		for (int i = 0; i < HALVES; i++)
			values[i] = random_value(&seed);
		if (r == rank)
			memcpy(mine, values, sizeof mine);
		kernels->convert(rounded, wire, values, RONDE_FLOAT32, HALVES);
		kernels->convert(values, RONDE_FLOAT32, rounded, wire, HALVES);
		for (int i = 0; i < HALVES; i++)
			sum[i] += values[i];
	}
	for (int i = 0; i < HALVES; i++)
		mine_too[i] = (double)mine[i];
	kernels->convert(rounded, wire, sum, RONDE_FLOAT32, HALVES);
	kernels->convert(wanted, RONDE_FLOAT32, rounded, wire, HALVES);

	ronde_parameter list[] = {{"float", mine, mine, HALVES, RONDE_FLOAT32},
				  {"double", mine_too, mine_too, HALVES, RONDE_FLOAT64},
				  {"whole", whole, whole, 2, RONDE_INT64}};
	struct stepper s = {0, 0};
	ronde_distributed_optimizer *o = create(&s, list, 3, options);
	require_ok(ronde_distributed_optimizer_step(o));
	ronde_distributed_optimizer_destroy(o);
	for (int i = 0; i < HALVES; i++)
		require(mine[i] == wanted[i], "float32 of %d ranks, element %d", size, i);
	for (int i = 0; i < HALVES; i++)
		require(mine_too[i] == (double)wanted[i], "float64 of %d ranks, element %d", size,
			i);
	require(whole[0] == size * (size - 1) / 2 && whole[1] == (int64_t)size << 20,
		"int64 of %d ranks", size);
}

/* ---- the suite ---- */

static const struct rank_body cases[] = {
	{"create_errors", create_errors, 1, 2}, {"state_errors", state_errors, 1, 3},
	{"early_step", early_step, 1, 2},       {"not_initialised", not_initialised, 1, 2},
	{"mismatch", mismatch, 2, 4},           {"destroyed_in_flight", destroyed_in_flight, 1, 3},
};

START_TEST(bodies)
{
	rank_body_run(&cases[_i], NULL);
}
END_TEST

START_TEST(rounded_once)
{
	static const ronde_distributed_optimizer_options options[] = {
		OPTIONS(RONDE_SUM, RONDE_COMPRESSION_FP16, 1, 1),
		OPTIONS(RONDE_SUM, RONDE_COMPRESSION_BF16, 1, 1)};
	for (int n = 1; n <= 4; n++)
		ck_assert_int_eq(fork_ranks(n, compression, &options[_i]), 0);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{bodies, 0, (int)(sizeof cases / sizeof *cases)},
		{rounded_once, 0, 2},
	};
	return SUITE_RUN("training", 100, tests);
}

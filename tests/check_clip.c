/* SPDX-License-Identifier: Apache-2.0 */
/* Clipping by the global norm: against long double, and the same bits wherever gradients lie. */
#include <float.h>
#include <math.h>

#include "collectives/kernels/kernels.h"
#include "tests/floating_mode.h"
#include "tests/fork_ranks.h"
#include "tests/seed.h"
#include "tests/suite.h"

#define PARAMETERS 5
#define LONGEST 5003

static const int lengths[PARAMETERS] = {LONGEST, 0, 1, 255, 256 * 3};
static const ronde_dtype types[PARAMETERS] = {RONDE_FLOAT32, RONDE_FLOAT16, RONDE_FLOAT64,
					      RONDE_BFLOAT16, RONDE_FLOAT16};
static const double unit[PARAMETERS] = {FLT_EPSILON, 0x1p-10, DBL_EPSILON, 0x1p-7, 0x1p-10};
static const char *const names[PARAMETERS] = {"a", "b", "c", "d", "e"};

/* The gradients as doubles, and as they lie at memory + shift. */
static void fill(uint64_t *seed, double (*values)[LONGEST], char (*memory)[LONGEST * 8 + 64],
		 int shift, ronde_parameter *list)
{
	const struct ronde_kernels *k = ronde_kernels_select("c");
	for (int p = 0; p < PARAMETERS; p++) {
		for (int i = 0; i < lengths[p]; i++)
			values[p][i] = (double)(int64_t)next_random(seed) * 0x1p-62;
		void *gradient = memory[p] + shift * (int)ronde_dtype_bytes(types[p]);
		k->convert(gradient, types[p], values[p], RONDE_FLOAT64, (size_t)lengths[p]);
		k->convert(values[p], RONDE_FLOAT64, gradient, types[p], (size_t)lengths[p]);
		list[p] = (ronde_parameter){names[p], NULL, gradient, lengths[p], types[p]};
	}
}

static double values[PARAMETERS][LONGEST];
static char memory[PARAMETERS][LONGEST * 8 + 64];

START_TEST(against_long_double)
{
	uint64_t seed = test_seed();
	ronde_parameter list[PARAMETERS];
	fill(&seed, values, memory, 0, list);
	long double sum = 0;
	for (int p = 0; p < PARAMETERS; p++)
		for (int i = 0; i < lengths[p]; i++)
			sum += (long double)values[p][i] * values[p][i];
	double expected = (double)sqrtl(sum), norm = 0, again = 0;
	ck_assert_int_eq(ronde_clip_by_global_norm(list, PARAMETERS, INFINITY, 1, &norm), 0);
	ck_assert_msg(fabs(norm - expected) <= expected * 1e-14, "%.17g, not %.17g", norm,
		      expected);
	ck_assert_int_eq(ronde_clip_by_global_norm(list, PARAMETERS, norm, 1, &again), 0);
	ck_assert_msg(again == norm, "clipping to its own norm changed something");
	ck_assert_int_eq(ronde_clip_by_global_norm(list, PARAMETERS, 1.5, 0, NULL), 0);
	for (int p = 0; p < PARAMETERS; p++) {
		static double now[LONGEST];
		ronde_kernels_select("c")->convert(now, RONDE_FLOAT64, list[p].gradient, types[p],
						   (size_t)lengths[p]);
		for (int i = 0; i < lengths[p]; i++) {
			double want = values[p][i] * 1.5 / expected;
			ck_assert_msg(fabs(now[i] - want) <= 2 * unit[p] * fabs(want) + 0x1p-24,
				      "%s[%d] is %.17g, not %.17g", names[p], i, now[i], want);
		}
	}
}
END_TEST

START_TEST(any_memory)
{
	uint64_t seed = test_seed();
	double first = 0;
	char(*heap)[LONGEST * 8 + 64] = ronde_alloc(sizeof memory);
	for (int shift = 0; shift < 8; shift++) {
		ronde_parameter list[PARAMETERS];
		uint64_t same = seed;
		double norm = 0;
		fill(&same, values, shift % 2 ? heap : memory, shift, list);
		ck_assert_int_eq(ronde_clip_by_global_norm(list, PARAMETERS, 1, 1, &norm), 0);
		if (shift == 0)
			first = norm;
		ck_assert_msg(norm > 0 && norm == first, "shift %d: %a, not %a", shift, norm,
			      first);
	}
	ronde_free(heap);
}
END_TEST

/* Denormals count, whatever the caller's floating-point mode, which stays as it is. */
START_TEST(floating_mode)
{
	float g[2] = {3e-40F, 4e-40F};
	double norm = 0;
	ronde_parameter list[] = {{"g", NULL, g, 2, RONDE_FLOAT32}};
	unsigned int mode = ronde_floating_enter();
	ronde_floating_leave(mode | FLOATING_FLUSH_TO_ZERO);
	int status = ronde_clip_by_global_norm(list, 1, 1, 1, &norm);
	unsigned int after = ronde_floating_enter();
	ronde_floating_leave(mode);
	ck_assert_int_eq(status, 0);
	ck_assert_msg(after & FLOATING_FLUSH_TO_ZERO, "%x became %x", mode, after);
	ck_assert_msg(norm > 4.99e-40 && norm < 5.01e-40, "%g", norm);
}
END_TEST

/* Norms whose squares float64 cannot hold; gradients that are not finite. */
START_TEST(extremes)
{
	double g[3] = {3e200, 4e200, 0}, norm = 0;
	float bad[2] = {1, 2};
	ronde_parameter list[] = {{"g", NULL, g, 3, RONDE_FLOAT64},
				  {"bad", NULL, bad, 2, RONDE_FLOAT32}};
	ck_assert_int_eq(ronde_clip_by_global_norm(list, 1, 10, 1, &norm), 0);
	ck_assert_msg(fabs(norm / 5e200 - 1) < 1e-15 && fabs(g[0] - 6) < 1e-14, "%g %g", norm,
		      g[0]);
	g[0] = 3e-200, g[1] = 4e-200, g[2] = 0;
	ck_assert_int_eq(ronde_clip_by_global_norm(list, 1, 5e-201, 1, &norm), 0);
	ck_assert_msg(fabs(norm / 5e-200 - 1) < 1e-15 && fabs(g[1] / 4e-201 - 1) < 1e-14, "%g %g",
		      norm, g[1]);
	memset(g, 0, sizeof g);
	ck_assert_int_eq(ronde_clip_by_global_norm(list, 1, 1, 1, &norm), 0);
	ck_assert_msg(norm == 0, "%g", norm);
	ck_assert_int_eq(ronde_clip_by_global_norm(NULL, 0, 1, 1, &norm), 0);

	g[0] = 100;
	bad[1] = -INFINITY;
	norm = 17;
	ck_assert_int_eq(ronde_clip_by_global_norm(list, 2, 1, 1, &norm),
			 RONDE_ERR_INVALID_ARGUMENT);
	ck_assert_str_eq(ronde_error_message(),
			 "the gradients' norm is infinite: parameter 1, \"bad\", is the first with "
			 "an element that is infinite or NaN");
	ck_assert_msg(norm == 17 && g[0] == 100 && bad[0] == 1, "something was changed");
	g[1] = NAN; /* two parameters are bad now */
	ck_assert_int_eq(ronde_clip_by_global_norm(list, 2, 1, 1, &norm),
			 RONDE_ERR_INVALID_ARGUMENT);
	ck_assert_str_eq(ronde_error_message(),
			 "the gradients' norm is NaN: parameter 0, \"g\", is the first with an "
			 "element that is infinite or NaN");
	g[1] = 0;
	bad[0] = NAN;
	ck_assert_int_eq(ronde_clip_by_global_norm(list, 2, 1, 0, &norm), 0);
	ck_assert_msg(isnan(norm) && g[0] == 100, "%g", norm);
	g[0] = g[1] = g[2] = DBL_MAX;
	ck_assert_int_eq(ronde_clip_by_global_norm(list, 1, 1, 1, &norm),
			 RONDE_ERR_INVALID_ARGUMENT);
	ck_assert_str_eq(ronde_error_message(),
			 "the gradients' norm is more than a float64 can hold");
}
END_TEST

START_TEST(refused)
{
	int32_t whole[2] = {1, 2};
	ronde_parameter list[] = {{"w", NULL, whole, 2, RONDE_INT32}};
	ck_assert_int_eq(ronde_clip_by_global_norm(list, 1, 1, 0, NULL),
			 RONDE_ERR_INVALID_ARGUMENT);
	ck_assert_str_eq(ronde_error_message(), "parameter 0, \"w\", is int32: only gradients of "
						"floating-point types have a norm");
	ck_assert_int_eq(ronde_clip_by_global_norm(list, 1, 0, 0, NULL),
			 RONDE_ERR_INVALID_ARGUMENT);
	ck_assert_str_eq(ronde_error_message(),
			 "ronde_clip_by_global_norm: max_norm is 0: it must be above 0");
	list[0] = (ronde_parameter){"w", NULL, NULL, 2, RONDE_FLOAT32};
	ck_assert_int_eq(ronde_clip_by_global_norm(list, 1, 1, 0, NULL),
			 RONDE_ERR_INVALID_ARGUMENT);
	ck_assert_str_eq(ronde_error_message(),
			 "parameter 0, \"w\", of 2 elements has no gradient (NULL)");
}
END_TEST

/* ---- after a synchronize ---- */

static int no_update(void *state)
{
	return state != NULL;
}

/* The norm of averaged gradients: the same bits on all ranks, however they were averaged. */
static void after_synchronize(int rank, int size, const void *arg)
{
	static const char *const settings[][3] = {
		{NULL}, {"fusion_threshold", "0", NULL}, {"carry_bytes", "0", NULL}};
	double first = 0;
	for (int round = 0; round < 6; round++) {
		ronde_init_options init = RONDE_INIT_OPTIONS_INIT;
		init.settings = settings[round % 3];
		require_ok(ronde_barrier());
		require_ok(ronde_shutdown());
		require_ok(ronde_init(&init));
		char(*at)[LONGEST * 8 + 64] = round < 3 ? memory : ronde_alloc(sizeof memory);
		ronde_parameter list[PARAMETERS];
		ronde_distributed_optimizer *o;
		uint64_t seed = *(const uint64_t *)arg + (uint64_t)rank;
		double norm = 0;
		fill(&seed, values, at, 0, list);
		require_ok(ronde_distributed_optimizer_create(&o, no_update, NULL, list, PARAMETERS,
							      NULL));
		for (int p = 0; p < PARAMETERS; p++)
			require_ok(
				ronde_gradient_ready(o, (size_t)(p + rank * round) % PARAMETERS));
		require_ok(ronde_distributed_optimizer_synchronize(o));
		require_ok(ronde_clip_by_global_norm(list, PARAMETERS, 2, 1, &norm));
		require_ok(ronde_distributed_optimizer_step(o));
		ronde_distributed_optimizer_destroy(o);
		double least = 0, most = 0;
		require_ok(ronde_allreduce("least", &norm, &least, 1, RONDE_FLOAT64, RONDE_MIN));
		require_ok(ronde_allreduce("most", &norm, &most, 1, RONDE_FLOAT64, RONDE_MAX));
		if (round == 0)
			first = norm;
		require(norm > 0 && least == norm && most == norm && first == norm,
			"round %d, %d ranks: %a, others %a to %a, at first %a", round, size, norm,
			least, most, first);
		if (at != memory)
			require_ok(ronde_free(at));
	}
}

START_TEST(on_ranks)
{
	uint64_t seed = test_seed();
	for (int n = 1; n <= 4; n++)
		ck_assert_int_eq(fork_ranks(n, after_synchronize, &seed), 0);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{against_long_double, ONCE},
		{any_memory, ONCE},
		{floating_mode, ONCE},
		{extremes, ONCE},
		{refused, ONCE},
		{on_ranks, ONCE},
	};
	return SUITE_RUN("clip", 100, tests);
}

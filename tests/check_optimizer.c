/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The distributed optimizer against a serial computation: a linear model is trained on shards of
 * the same samples by 1 to 4 ranks, with every option and in every order of reporting, and must
 * follow the weights that one process computes in double on all samples.
 */
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/fork_ranks.h"
#include "tests/sizes.h"
#include "tests/suite.h"

#define FEATURES 7
#define SAMPLES 48 /* divisible by 1, 2, 3, 4, and their shards by 3 passes */
#define STEPS (2 + test_turns(18))
#define RATE 0.05
#define LISTED 4 /* parameters: weight, bias, one that never gets a gradient, an empty one */

/* How a rank reports its gradients. */
enum reporting { NEVER, IN_ORDER, BACKWARD, OWN_ORDER, ODD_RANKS, FROM_THREADS, REPORTINGS };

struct variant {
	const char *name;
	ronde_dtype dtype;
	ronde_distributed_optimizer_options options;
	bool clip; /* synchronize, then scale the gradient, then step */
	double tolerance;
};

#define OPTIONS(reduction, compression, passes, predivide)                                         \
	{                                                                                          \
		sizeof(ronde_distributed_optimizer_options), RONDE_##reduction,                    \
			RONDE_COMPRESSION_##compression, passes, predivide, 0, NULL, 0, 0, NULL,   \
			0, NULL                                                                    \
	}

static const struct variant variants[] = {
	{"average", RONDE_FLOAT32, OPTIONS(AVERAGE, NONE, 1, 1), false, 1e-5},
	{"average of doubles", RONDE_FLOAT64, OPTIONS(AVERAGE, NONE, 1, 1), false, 1e-13},
	{"sum", RONDE_FLOAT32, OPTIONS(SUM, NONE, 1, 1), false, 1e-5},
	{"predivided", RONDE_FLOAT32, OPTIONS(AVERAGE, NONE, 1, 3), false, 1e-5},
	{"three passes", RONDE_FLOAT32, OPTIONS(AVERAGE, NONE, 3, 1), false, 1e-5},
	{"clipped", RONDE_FLOAT32, OPTIONS(AVERAGE, NONE, 1, 1), true, 1e-5},
	{"fp16", RONDE_FLOAT32, OPTIONS(AVERAGE, FP16, 1, 1), false, 4e-3},
	{"bf16", RONDE_FLOAT32, OPTIONS(SUM, BF16, 1, 1), false, 3e-2},
	{"fp16 of doubles", RONDE_FLOAT64, OPTIONS(AVERAGE, FP16, 3, 2), true, 4e-3},
};

/* ---- the samples and the serial computation ---- */

static double sample(int i, int feature)
{
	return sin(1.7 * i + 0.9 * feature * (i % 5)) + (feature == FEATURES);
}

/* Adds the gradient of half the squared errors of samples first, first+by, … to gradient. */
static void add_gradient(const double *model, int first, int by, double *gradient)
{
	for (int i = first; i < SAMPLES; i += by) {
		double error = model[FEATURES] - sample(i, FEATURES);
		for (int f = 0; f < FEATURES; f++)
			error += model[f] * sample(i, f);
		for (int f = 0; f < FEATURES; f++)
			gradient[f] += error * sample(i, f);
		gradient[FEATURES] += error;
	}
}

static double clip_factor(const double *gradient)
{
	double norm = 0;
	for (int f = 0; f <= FEATURES; f++)
		norm += gradient[f] * gradient[f];
	norm = sqrt(norm);
	return norm > 0.3 ? 0.3 / norm : 1;
}

static void train_serially(double *model, bool clip)
{
	memset(model, 0, (FEATURES + 1) * sizeof *model);
	for (int step = 0; step < STEPS; step++) {
		double gradient[FEATURES + 1] = {0};
		add_gradient(model, 0, 1, gradient);
		for (int f = 0; f <= FEATURES; f++)
			gradient[f] /= SAMPLES;
		double factor = clip ? clip_factor(gradient) : 1;
		for (int f = 0; f <= FEATURES; f++)
			model[f] -= RATE * factor * gradient[f];
	}
}

/* ---- the same on ranks ---- */

struct model {
	const struct variant *variant;
	double values[FEATURES + 2], gradients[FEATURES + 2]; /* the memory, float or double */
	int steps;
};

static double get(const struct model *m, const void *array, int i)
{
	return m->variant->dtype == RONDE_FLOAT32 ? (double)((const float *)array)[i]
						  : ((const double *)array)[i];
}

static void set(const struct model *m, void *array, int i, double value)
{
	if (m->variant->dtype == RONDE_FLOAT32)
		((float *)array)[i] = (float)value;
	else
		((double *)array)[i] = value;
}

static int take_step(void *state)
{
	struct model *m = state;
	for (int f = 0; f < FEATURES + 2; f++)
		set(m, m->values, f, get(m, m->values, f) - RATE * get(m, m->gradients, f));
	m->steps++;
	return 0;
}

static void list_parameters(struct model *m, ronde_parameter *list)
{
	const size_t e = ronde_dtype_bytes(m->variant->dtype);
	char *v = (char *)m->values, *g = (char *)m->gradients;
	ronde_dtype t = m->variant->dtype;
	list[0] = (ronde_parameter){"weight", v, g, FEATURES, t};
	list[1] = (ronde_parameter){"bias", v + FEATURES * e, g + FEATURES * e, 1, t};
	list[2] = (ronde_parameter){"unused", v + (FEATURES + 1) * e, g + (FEATURES + 1) * e, 1, t};
	list[3] = (ronde_parameter){"empty", NULL, NULL, 0, t};
}

struct report {
	ronde_distributed_optimizer *optimizer;
	size_t index;
};

static void *report_one(void *arg)
{
	const struct report *r = arg;
	require_ok(ronde_gradient_ready(r->optimizer, r->index));
	return NULL;
}

static void report(ronde_distributed_optimizer *o, enum reporting reporting, int rank)
{
	pthread_t threads[LISTED];
	struct report reports[LISTED];
	if (reporting == NEVER || (reporting == ODD_RANKS && rank % 2 == 0))
		return;
	for (size_t i = 0; i < LISTED; i++) {
		size_t j = reporting == BACKWARD    ? LISTED - 1 - i
			   : reporting == OWN_ORDER ? (i + (size_t)rank) % LISTED
						    : i;
		if (j == 2)
			continue; /* "unused" has no gradient to report */
		reports[i] = (struct report){o, j};
		if (reporting == FROM_THREADS)
			pthread_create(&threads[i], NULL, report_one, &reports[i]);
		else
			report_one(&reports[i]);
	}
	for (size_t i = 0; i < LISTED && reporting == FROM_THREADS; i++)
		if (i != 2)
			pthread_join(threads[i], NULL);
}

/* One backward pass of k over this rank's shard: its gradients are added to the model's. */
static void backward(struct model *m, int rank, int size, int pass)
{
	const ronde_distributed_optimizer_options *o = &m->variant->options;
	int k = o->backward_passes_per_step;
	double model[FEATURES + 1], gradient[FEATURES + 1] = {0};
	for (int f = 0; f <= FEATURES; f++)
		model[f] = get(m, m->values, f);
	add_gradient(model, rank + size * pass, size * k, gradient);
	double shard = o->reduction == RONDE_SUM ? SAMPLES : SAMPLES / size;
	for (int f = 0; f <= FEATURES; f++)
		set(m, m->gradients, f, get(m, m->gradients, f) + gradient[f] / shard);
}

static void clip(struct model *m)
{
	double gradient[FEATURES + 1];
	for (int f = 0; f <= FEATURES; f++)
		gradient[f] = get(m, m->gradients, f);
	double factor = clip_factor(gradient);
	for (int f = 0; f <= FEATURES; f++)
		set(m, m->gradients, f, factor * gradient[f]);
}

static void train(const struct variant *v, enum reporting reporting, int rank, int size)
{
	struct model m = {.variant = v};
	double serial[FEATURES + 1];
	ronde_parameter list[LISTED];
	ronde_distributed_optimizer *o;
	list_parameters(&m, list);
	require_ok(
		ronde_distributed_optimizer_create(&o, take_step, &m, list, LISTED, &v->options));
	for (int step = 0; step < STEPS; step++) {
		memset(m.gradients, 0, sizeof m.gradients);
		for (int pass = 0; pass < v->options.backward_passes_per_step; pass++) {
			backward(&m, rank, size, pass);
			report(o, reporting, rank);
		}
		if (v->clip) {
			require_ok(ronde_distributed_optimizer_synchronize(o));
			require_ok(ronde_distributed_optimizer_synchronize(o));
			clip(&m);
		}
		require_ok(ronde_distributed_optimizer_step(o));
	}
	require(m.steps == STEPS, "%d steps", m.steps);
	require(ronde_distributed_optimizer_wait_seconds(o) > 0, "no time passed waiting");
	ronde_distributed_optimizer_destroy(o);
	train_serially(serial, v->clip);
	for (int f = 0; f <= FEATURES; f++)
		require(fabs(get(&m, m.values, f) - serial[f]) <= v->tolerance,
			"%s, reporting %d, %d ranks: weight %d is %.9g, serially %.9g", v->name,
			reporting, size, f, get(&m, m.values, f), serial[f]);
	require(get(&m, m.values, FEATURES + 1) == 0, "the unused parameter changed");
}

static void train_all(int rank, int size, const void *arg)
{
	for (int r = 0; r < REPORTINGS; r++)
		train(arg, (enum reporting)r, rank, size);
}

START_TEST(like_serial)
{
	for (int n = 1; n <= 4; n++)
		ck_assert_int_eq(fork_ranks(n, train_all, &variants[_i]), 0);
}
END_TEST

/* ---- what a report starts ---- */

static ronde_counters counters(void)
{
	ronde_counters c = {.size = sizeof c};
	require_ok(ronde_get_counters(&c));
	return c;
}

static int count_step(void *state)
{
	++*(int *)state;
	return 0;
}

/* A report of the last pass is all it takes: no call of this rank's waits, and the gradient is
 * averaged. One of an earlier pass only counts. */
static void reports_overlap(int rank, int size, const void *arg)
{
	enum { COUNT = 50000, BOTH = 2 };
	const int passes = *(const int *)arg;
	const int sum = size * (size + 1) / 2;
	const float wanted = (float)sum;
	float *gradient[BOTH], value[COUNT];
	ronde_parameter list[BOTH];
	ronde_distributed_optimizer *o;
	ronde_distributed_optimizer_options options = OPTIONS(SUM, NONE, passes, 1);
	int steps = 0, wrong = 0;
	for (int p = 0; p < BOTH; p++) {
		gradient[p] =
			p ? ronde_alloc(COUNT * sizeof(float)) : malloc(COUNT * sizeof(float));
		for (int i = 0; i < COUNT; i++)
			gradient[p][i] = (float)(rank + 1);
		list[p] =
			(ronde_parameter){p ? "b" : "a", value, gradient[p], COUNT, RONDE_FLOAT32};
	}
	require_ok(
		ronde_distributed_optimizer_create(&o, count_step, &steps, list, BOTH, &options));
	ronde_counters before = counters();
	for (int pass = 1; pass < passes; pass++)
		for (size_t p = 0; p < BOTH; p++)
			require_ok(ronde_gradient_ready(o, p));
	require(counters().submitted == before.submitted, "an earlier pass submits");
	for (size_t p = 0; p < BOTH; p++)
		require_ok(ronde_gradient_ready(o, (p + (size_t)rank) % BOTH));
	for (int ms = 0; ms < 20000 && counters().completed < before.completed + BOTH; ms++)
		usleep(1000);
	require(counters().completed == before.completed + BOTH, "%d completed, of %d submitted",
		(int)(counters().completed - before.completed),
		(int)(counters().submitted - before.submitted));
	require(!steps, "%d steps", steps);
	/* The counters tell that they are done; memory is the application's when a call says so. */
	require_ok(ronde_distributed_optimizer_synchronize(o));
	for (int i = 0; i < BOTH * COUNT; i++)
		wrong += gradient[i % BOTH][i / BOTH] != wanted;
	require(!wrong, "%d elements are wrong", wrong);
	require_ok(ronde_distributed_optimizer_step(o));
	require(steps == 1 && counters().submitted == before.submitted + BOTH,
		"the step submits again");
	ronde_distributed_optimizer_destroy(o);
	free(gradient[0]);
	require_ok(ronde_free(gradient[1]));
}

START_TEST(reports_start_averaging)
{
	for (int n = 1; n <= 3; n++)
		ck_assert_int_eq(fork_ranks(n, reports_overlap, &_i), 0);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{like_serial, 0, (int)(sizeof variants / sizeof *variants)},
		{reports_start_averaging, 1, 4},
	};
	return SUITE_RUN("optimizer", 100, tests);
}

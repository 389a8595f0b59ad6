/* SPDX-License-Identifier: Apache-2.0 */
/* The whole runtime on machines that are only described: which algorithm it picks, and what it
 * says. */
#include <string.h>

#include "tests/ranks.h"
#include "tests/suite.h"

#define COUNT 100003

struct job {
	const char *machine;
	int n;
	bool two_levels;
};

static const struct job jobs[] = {
	{"pack:2 core:4 pu:1", 8, true},
	{"numa:2 core:2 pu:1", 4, true},
	{"pack:3 core:2 pu:1", 6, true},
	{"pack:1 core:8 pu:1", 8, false},
};

static float value(int rank, size_t i)
{
	return (float)((rank * 31 + (int)(i % 1009)) % 257) / 3.0f;
}

/* The tree of 8 leaves, low bit first; absent ones pass through. */
static float expected(int n, size_t i)
{
	float v[8];
	bool is[8];
	for (int r = 0; r < 8; r++) {
		is[r] = r < n;
		v[r] = is[r] ? value(r, i) : 0;
	}
	for (int step = 1; step < 8; step *= 2)
		for (int r = 0; r < 8; r += 2 * step) {
			v[r] = !is[r] ? v[r + step] : is[r + step] ? v[r] + v[r + step] : v[r];
			is[r] |= is[r + step];
		}
	return v[0];
}

static void reduce_once(struct rank *r)
{
	const struct job *job = r->arg;
	struct ronde_context *ctx = r->context;
	float *in = malloc(COUNT * sizeof *in), *out = malloc(COUNT * sizeof *out);
	bool wrong = false;
	if (!in || !out)
		abort();
	for (size_t i = 0; i < COUNT; i++)
		in[i] = value(r->rank, i);
	must(allreduce(r, "t", in, out, COUNT, RONDE_FLOAT32, RONDE_SUM), "allreduce");
	for (size_t i = 0; i < COUNT; i++)
		wrong |= out[i] != expected(r->size, i);
	if (wrong)
		abort();
	const struct ronde_traffic *t = &ctx->schedule.traffic;
	uint64_t across = t->sums_across + t->results_across;
	/* A rank's share of one tensor for each other package, in each direction, and no more. */
	uint64_t bytes = COUNT * sizeof *in, most = bytes * 4 / (uint64_t)r->size + 8192;
	if (job->two_levels ? across == 0 || across > most * 2 : across != 0)
		abort();
	free(in);
	free(out);
}

START_TEST(the_runtime_reduces_in_two_levels)
{
	const char *settings[] = {"topology", jobs[_i].machine, NULL};
	run_ranks(jobs[_i].n, settings, reduce_once, (void *)(uintptr_t)&jobs[_i]);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{the_runtime_reduces_in_two_levels, 0, sizeof jobs / sizeof *jobs},
	};
	return SUITE_RUN("packages", 60, tests);
}

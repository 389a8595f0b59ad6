/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranks as processes that are bound: how many cores each has is found together, and decides how
 * long it spins. (tests/check_cores.c has made-up machines.)
 */
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/c/default.h"
#include "coordinator/context.h"
#include "coordinator/cores.h"
#include "tests/fork_ranks.h"
#include "tests/skip.h"
#include "tests/suite.h"

/* What the log says of cores. */
static char has[100], share[100];

static void keep_line(ronde_log_level level, const char *message, void *arg)
{
	const char *cores = strstr(message, " core(s) per rank"), *from = cores;
	(void)arg;
	if (level != RONDE_LOG_INFO)
		return;
	while (from && from > message && from[-1] != ',')
		from--;
	if (cores)
		snprintf(has, sizeof has, "%.*s", (int)(cores - from), from);
	if (strstr(message, " ranks share "))
		snprintf(share, sizeof share, "%s", message);
}

/* Rank i is bound to the i-th processor of those there are, and round again. */
static void bind_rank(int rank, int processors)
{
	cpu_set_t allowed, mine;
	CPU_ZERO(&mine);
	require(sched_getaffinity(0, sizeof allowed, &allowed) == 0, "affinity");
	size_t cpu = 0;
	for (int skip = rank % processors; !CPU_ISSET(cpu, &allowed) || skip-- > 0; cpu++)
		;
	CPU_SET(cpu, &mine);
	require(sched_setaffinity(0, sizeof mine, &mine) == 0, "bound to processor %zu", cpu);
}

static int spins(void)
{
	struct ronde_context *ctx = ronde_default_enter("check");
	require(ctx, "%s", ronde_error_message());
	int n = ctx->engine.spins;
	ronde_default_leave();
	return n;
}

static void bound_body(int rank, int size, const void *arg)
{
	const int processors = *(const int *)arg;
	char want[100];
	require_ok(ronde_shutdown());
	bind_rank(rank, processors);
	setenv("RONDE_LOG", "info", 1);
	require_ok(ronde_set_log_function(keep_line, NULL));
	require_ok(ronde_init(NULL));
	require_ok(ronde_barrier());
	int found = spins();
	require_ok(ronde_shutdown()); /* says all there is to say */
	struct ronde_cores_report report;
	ronde_cores_look("", &report);
	double quota = ronde_cores_quota(&report), cores = (double)processors / size;
	if (quota > 0)
		cores = fmin(cores, quota / size);
	snprintf(want, sizeof want, " %.3g", cores);
	require(strcmp(has, want) == 0, "a rank has%s core(s), not%s", has, want);
	snprintf(want, sizeof want, "%d ranks share %.3g cores: waiting threads yield early", size,
		 cores * size);
	if (cores >= 1 || rank)
		want[0] = 0;
	require(strcmp(share, want) == 0, "\"%s\" is not \"%s\"", share, want);
	struct ronde_engine like;
	require_ok(ronde_engine_init(&like, -1, cores));
	require(found == like.spins, "%d spins, not %d", found, like.spins);
	ronde_engine_finish(&like);
	require_ok(ronde_init(NULL));
}

static const struct {
	int ranks, processors;
} cases[] = {{1, 1}, {2, 1}, {3, 1}, {2, 2}, {3, 2}, {5, 2}};
#define CASES ((int)(sizeof cases / sizeof *cases))

START_TEST(bound)
{
	cpu_set_t allowed;
	ck_assert_int_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
	if (CPU_COUNT(&allowed) < cases[_i].processors) {
		test_skip("bound", "there is one processor only");
		return;
	}
	ck_assert_int_eq(fork_ranks(cases[_i].ranks, bound_body, &cases[_i].processors), 0);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{bound, 0, CASES},
	};
	return SUITE_RUN("cores_ranks", 100, tests);
}

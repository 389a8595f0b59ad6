/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ronde-perf idle: what a runtime costs that has nothing to do. First every rank sleeps for some
 * seconds: how much processor time did its process take? Then every rank computes, in turns with
 * the runtime running idle and with the runtime shut down: how much slower is it? Turns that follow
 * each other are compared, and the median of these ratios taken, for a machine that is not quiet.
 */
#include "perf/ronde-perf/report.h"

#include <errno.h>
#include <sys/resource.h>

enum { PAIRS = 31, TABLE = 2048 };

static const double slice_seconds = 0.1;

static double cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static void sleep_seconds(double seconds)
{
	struct timespec left = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};

	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		;
}

/* Arithmetic on a table in the first-level cache; returns seconds. */
static double compute(long passes)
{
	float table[TABLE];
	int64_t begin = perf_now();

	for (int i = 0; i < TABLE; i++)
		table[i] = (float)i;
	for (long pass = 0; pass < passes; pass++) {
		for (int i = 0; i < TABLE; i++)
			table[i] = table[i] * 0.999f + 0.5f;
		__asm__ volatile("" : : "r"(table) : "memory");
	}
	return (double)(perf_now() - begin) * 1e-9;
}

static long passes_for(double seconds)
{
	long passes = 1000;
	double taken = compute(passes);

	while (taken < seconds / 10) {
		passes *= 2;
		taken = compute(passes);
	}
	return (long)((double)passes * seconds / taken);
}

static double idle_share(const struct perf_run *run)
{
	double before, share;

	run->world->transport->barrier(run->world);
	sleep_seconds(0.2); /* whatever winds down, does */
	before = cpu_seconds();
	sleep_seconds(run->options->seconds);
	share = (cpu_seconds() - before) / run->options->seconds;
	run->world->transport->max(run->world, &share, 1);
	return share;
}

/* Times of the same work beside an idle runtime and without one. */
static void compute_in_turns(const struct perf_run *run, double *with, double *without)
{
	long passes = passes_for(slice_seconds);

	for (int pair = 0; pair < PAIRS; pair++) {
		perf_world_meet(run->world);
		with[pair] = compute(passes);
		perf_world_meet(run->world);
		perf_check(run->world, ronde_shutdown(), "shutdown");
		perf_world_meet(run->world);
		without[pair] = compute(passes);
		perf_check(run->world, ronde_init(NULL), "init after shutdown");
	}
}

/* A figure that is not a time is written into the CSV file as if it were one of seconds. */
static void report(const struct perf_run *run, const char *what, struct perf_figures figures)
{
	struct perf_result result = {
		.contestant = "ronde",
		.memory = "none",
		.placement = what,
		.type = "none",
		.reduction = "none",
		.figures = figures,
	};

	perf_report_csv(run, &result);
}

size_t perf_idle(struct perf_run *run)
{
	double with[PAIRS], without[PAIRS], kept[PAIRS], share = idle_share(run);
	struct perf_figures speed;

	report(run, "cpu-share", (struct perf_figures){.median = share});
	if (run->world->rank == 0)
		printf("# idle for %g s: %.3f %% of a core per rank (the busiest rank)\n",
		       run->options->seconds, share * 100);
	if (!run->world->meeting)
		perf_die(run->world, "idle: the rest needs ranks that share memory");
	compute_in_turns(run, with, without);
	run->world->transport->max(run->world, with, PAIRS);
	run->world->transport->max(run->world, without, PAIRS);
	for (int pair = 0; pair < PAIRS; pair++)
		kept[pair] = without[pair] / with[pair];
	speed = perf_figures_of(kept, PAIRS);
	report(run, "speed-kept", speed);
	report(run, "beside-idle-runtime", perf_figures_of(with, PAIRS));
	report(run, "without-runtime", perf_figures_of(without, PAIRS));
	if (run->world->rank == 0)
		printf("# a compute loop beside it keeps %.2f %% of its speed (median of %d "
		       "pairs of turns of %g s, all ranks computing; the turns themselves: %.1f to "
		       "%.1f %%)\n",
		       speed.median * 100, PAIRS, slice_seconds, speed.min * 100, speed.max * 100);
	return 0;
}

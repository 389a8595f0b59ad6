/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What recording a timeline costs: turns of some steps with one and without, and for each round the
 * ratio of the two.
 */
#include "perf/ronde-perf/step.h"
#include "perf/ronde-perf/thread_time.h"

#include <stdlib.h>

/* A turn with a timeline, or without: so long that the times when the timeline's thread writes, ten
 * a second, fall into it; and how many, so that the median of their ratios is good to a percent. */
#define TIMELINE_STEPS 8
#define TIMELINE_TURNS 240

static void average_steps(void *arg)
{
	for (int i = 0; i < TIMELINE_STEPS; i++)
		perf_gradients_average(arg);
}

/* What the thread writes after the turn, in the end, does not hold the turn up. */
static void stop_recording(const struct perf_step *model)
{
	struct perf_gradients *recorded = *model->recording;
	if (recorded) {
		recorded->writing += perf_thread_time("ronde-timeline");
		recorded->recorded++;
	}
	*model->recording = NULL;
	perf_check(model->run->world, ronde_timeline_stop(), "timeline");
}

/* Both forms stop the last round's timeline, which is not timed. */
static void fill_unrecorded(void *arg, int round)
{
	struct perf_gradients *gradients = arg;

	stop_recording(gradients->model);
	perf_gradients_fill(arg, round);
}

static void fill_recorded(void *arg, int round)
{
	struct perf_gradients *gradients = arg;
	const struct perf_run *run = gradients->model->run;
	ronde_timeline_options options = RONDE_TIMELINE_OPTIONS_INIT;

	options.all_ranks = 1;
	stop_recording(gradients->model);
	perf_check(run->world, ronde_timeline_start(run->options->timeline, &options), "timeline");
	*gradients->model->recording = gradients;
	perf_gradients_fill(arg,
			    round); /* last, so that caches are as they are without a timeline */
}

static struct perf_figures of_a_step(const struct perf_figures *turn)
{
	return (struct perf_figures){
		.median = turn->median / TIMELINE_STEPS,
		.p99 = turn->p99 / TIMELINE_STEPS,
		.min = turn->min / TIMELINE_STEPS,
		.max = turn->max / TIMELINE_STEPS,
		.mean = turn->mean / TIMELINE_STEPS,
	};
}

/* Of each round: its turn with a timeline ÷ its turn without. Sorted. */
static void pair(const double *off, const double *on, int rounds, double *ratios)
{
	for (int i = 0; i < rounds; i++)
		ratios[i] = on[i] / off[i];
	perf_figures_of(ratios, (size_t)rounds);
}

/* As a row of its own: in place of microseconds there are ratios. */
static void add_ratios(const struct perf_step *model, const struct perf_gradients *gradients,
		       double *ratios, int rounds)
{
	struct perf_contestant cost = {.name = "timeline-cost", .arg = (void *)gradients};
	struct perf_figures figures = perf_figures_of(ratios, (size_t)rounds);

	figures =
		(struct perf_figures){figures.median * 1e-6, figures.p99 * 1e-6, figures.min * 1e-6,
				      figures.max * 1e-6, figures.mean * 1e-6};
	perf_gradients_csv(model, &cost, &figures, 0);
}

/* writing: seconds of a step that the timeline's thread ran; 0: the kernel does not say. */
static void add_writing(const struct perf_step *model, const struct perf_gradients *gradients,
			double writing)
{
	struct perf_contestant thread = {.name = "timeline-thread", .arg = (void *)gradients};
	struct perf_figures figures = {writing, writing, writing, writing, writing};

	if (writing > 0)
		perf_gradients_csv(model, &thread, &figures, 0);
}

static void print_recording(const struct perf_gradients *gradients, const struct perf_figures *off,
			    const struct perf_figures *on, const double *ratios, int rounds,
			    double writing)
{
	printf("# timeline, %s: off %.2f ms, on %.2f ms a step: %.3f × from turn to turn, half of "
	       "the %d pairs between %.3f and %.3f",
	       perf_memory_name(gradients->memory), off->median * 1e3, on->median * 1e3,
	       ratios[rounds / 2], rounds, ratios[rounds / 4], ratios[rounds * 3 / 4]);
	if (writing > 0)
		printf("; the thread that writes ran %.0f µs of a step, %.1f %%", writing * 1e6,
		       100 * writing / off->median);
	printf("\n");
}

size_t perf_step_timeline(const struct perf_step *model, struct perf_gradients *heap,
			  struct perf_gradients *ordinary)
{
	const struct perf_run *run = model->run;
	struct perf_rounds rounds = {run->options->warmup, TIMELINE_TURNS, 1, NULL};
	struct perf_contestant list[4] = {
		{"timeline-off", fill_unrecorded, average_steps, heap},
		{"timeline-on", fill_recorded, average_steps, heap},
		{"timeline-off", fill_unrecorded, average_steps, ordinary},
		{"timeline-on", fill_recorded, average_steps, ordinary},
	};
	struct perf_measurement measurement;
	size_t all_wrong = 0;

	if (run->options->rounds)
		rounds.rounds = run->options->rounds;
	const size_t turns = (size_t)rounds.rounds;
	double *ratios = malloc(5 * turns * sizeof(*ratios));
	if (!ratios)
		perf_die(run->world, "out of memory for %zu times", 5 * turns);
	rounds.times = ratios + turns;
	perf_measure(run->world, list, 4, &rounds, &measurement);
	stop_recording(model);
	for (int i = 0; i < 4; i += 2) {
		struct perf_figures off = of_a_step(&measurement.figures[i]);
		struct perf_figures on = of_a_step(&measurement.figures[i + 1]);
		struct perf_gradients *gradients = list[i].arg;
		double writing =
			(double)gradients->writing * 1e-9 / (gradients->recorded * TIMELINE_STEPS);

		fill_recorded(gradients, 0);
		size_t wrong = perf_gradients_wrong(gradients, perf_gradients_average);

		stop_recording(model);
		all_wrong += wrong;
		perf_gradients_csv(model, &list[i], &off, 0);
		perf_gradients_csv(model, &list[i + 1], &on, wrong);
		pair(rounds.times + (size_t)i * turns, rounds.times + (size_t)(i + 1) * turns,
		     rounds.rounds, ratios);
		add_ratios(model, gradients, ratios, rounds.rounds);
		add_writing(model, gradients, writing);
		if (run->world->rank == 0)
			print_recording(gradients, &off, &on, ratios, rounds.rounds, writing);
	}
	free(ratios);
	return all_wrong;
}

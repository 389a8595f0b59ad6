/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ronde-perf step: one training step's communication. All gradients are rewritten (not timed);
 * then they are submitted in the order of the backward pass, averaged in place, and waited for.
 * Gradients in the heap, gradients in ordinary memory, and memcpy of the same tensors by all ranks
 * at once take turns; under mpirun also one blocking MPI_Allreduce per tensor.
 */
#include "perf/ronde-perf/meeting.h"
#include "perf/ronde-perf/models.h"
#include "perf/ronde-perf/mpi-baseline.h"
#include "perf/ronde-perf/report.h"
#include "perf/ronde-perf/thread_time.h"

#include <stdlib.h>
#include <string.h>

/* A turn with a timeline, or without: so long that the times when the timeline's thread writes, ten
 * a second, fall into it; and how many, so that the median of their ratios is good to a percent. */
#define TIMELINE_STEPS 8
#define TIMELINE_TURNS 240

struct model {
	const struct perf_run *run;
	struct perf_data data;
	struct perf_model_tensor tensors[PERF_MODEL_TENSORS];
	size_t count;
	int64_t elements;
	struct gradients **recording; /* those whose turn is being recorded, or NULL */
};

/* The gradients in one kind of memory, or the copies that memcpy makes. */
struct gradients {
	const struct model *model;
	char kind; /* first letter of the tensors' names: one kind does not wait for another */
	enum perf_memory memory;
	void *data[PERF_MODEL_TENSORS];
	void *const *copy_to; /* memcpy: where to */
	ronde_handle handles[PERF_MODEL_TENSORS];
	char names[PERF_MODEL_TENSORS][PERF_MODEL_NAME + 4];
	int64_t writing;    /* nanoseconds that the timeline's thread ran in all its turns … */
	int recorded;       /* … of which there were so many */
	int64_t submitting; /* nanoseconds that submitting all of them took, at least; 0: not known
			     */
};

static void gradients_open(struct gradients *gradients, const struct model *model, char kind,
			   enum perf_memory memory)
{
	*gradients = (struct gradients){.model = model, .kind = kind, .memory = memory};
	for (size_t i = 0; i < model->count; i++) {
		size_t bytes = (size_t)model->tensors[i].count * sizeof(float);

		gradients->data[i] = perf_memory_get(model->run->world, memory, bytes);
		snprintf(gradients->names[i], sizeof(gradients->names[i]), "%c.%s", kind,
			 model->tensors[i].name);
	}
}

static void gradients_close(struct gradients *gradients)
{
	for (size_t i = 0; i < gradients->model->count; i++)
		perf_memory_put(gradients->memory, gradients->data[i]);
}

/* Each tensor starts its pattern elsewhere, so that mixed up tensors are noticed. */
static void fill(void *arg, int round)
{
	struct gradients *gradients = arg;
	const struct model *model = gradients->model;

	for (size_t i = 0; i < model->count; i++)
		perf_data_fill(&model->data, gradients->data[i], (size_t)model->tensors[i].count,
			       model->run->world->rank, round + (int)i);
}

static void note_submitting(struct gradients *gradients, int64_t begin)
{
	int64_t took = perf_now() - begin;

	if (gradients->submitting == 0 || took < gradients->submitting)
		gradients->submitting = took;
}

static void average(void *arg)
{
	struct gradients *gradients = arg;
	const struct model *model = gradients->model;
	const struct perf_world *world = model->run->world;
	int64_t begin = perf_now();

	for (size_t i = 0; i < model->count; i++)
		perf_check(world,
			   ronde_allreduce_async(gradients->names[i], gradients->data[i],
						 gradients->data[i], model->tensors[i].count,
						 RONDE_FLOAT32, RONDE_AVERAGE, NULL,
						 &gradients->handles[i]),
			   gradients->names[i]);
	note_submitting(gradients, begin);
	for (size_t i = 0; i < model->count; i++)
		perf_check(world, ronde_wait(gradients->handles[i]), gradients->names[i]);
}

static void average_steps(void *arg)
{
	for (int i = 0; i < TIMELINE_STEPS; i++)
		average(arg);
}

static void average_group(void *arg)
{
	struct gradients *gradients = arg;
	const struct model *model = gradients->model;
	const char name[] = {gradients->kind, '\0'};
	ronde_group_tensor tensors[PERF_MODEL_TENSORS];
	int64_t begin = perf_now();

	for (size_t i = 0; i < model->count; i++)
		tensors[i] = (ronde_group_tensor){.input = gradients->data[i],
						  .output = gradients->data[i],
						  .count = model->tensors[i].count,
						  .dtype = RONDE_FLOAT32};
	perf_check(model->run->world,
		   ronde_grouped_allreduce_async(name, tensors, model->count, RONDE_AVERAGE, NULL,
						 gradients->handles),
		   name);
	note_submitting(gradients, begin);
	perf_check(model->run->world, ronde_wait(gradients->handles[0]), name);
}

/* What the thread writes after the turn, in the end, does not hold the turn up. */
static void stop_recording(const struct model *model)
{
	struct gradients *recorded = *model->recording;
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
	struct gradients *gradients = arg;

	stop_recording(gradients->model);
	fill(arg, round);
}

static void fill_recorded(void *arg, int round)
{
	struct gradients *gradients = arg;
	const struct perf_run *run = gradients->model->run;
	ronde_timeline_options options = RONDE_TIMELINE_OPTIONS_INIT;

	options.all_ranks = 1;
	stop_recording(gradients->model);
	perf_check(run->world, ronde_timeline_start(run->options->timeline, &options), "timeline");
	*gradients->model->recording = gradients;
	fill(arg, round); /* last, so that caches are as they are without a timeline */
}

static void copy(void *arg)
{
	struct gradients *gradients = arg;
	const struct model *model = gradients->model;

	for (size_t i = 0; i < model->count; i++)
		memcpy(gradients->copy_to[i], gradients->data[i],
		       (size_t)model->tensors[i].count * sizeof(float));
	__asm__ volatile("" : : "r"(gradients->copy_to) : "memory");
}

static void mpi_each(void *arg)
{
	struct gradients *gradients = arg;
	const struct model *model = gradients->model;

	for (size_t i = 0; i < model->count; i++) {
		struct perf_call call = {
			.world = model->run->world,
			.kind = PERF_ALLREDUCE,
			.input = gradients->data[i],
			.output = gradients->data[i],
			.count = model->tensors[i].count,
			.data = &model->data,
		};

		perf_call_mpi(&call);
	}
}

/* Wrong elements after one more step of that form. */
static size_t check(struct gradients *gradients, void (*form)(void *gradients))
{
	const struct model *model = gradients->model;
	const int round = 1000;
	double wrong = 0;

	fill(gradients, round);
	form(gradients);
	for (size_t i = 0; i < model->count; i++)
		wrong += (double)perf_data_wrong_reduced(&model->data, gradients->data[i], 0,
							 (size_t)model->tensors[i].count,
							 round + (int)i);
	model->run->world->transport->sum(model->run->world, &wrong, 1);
	return (size_t)wrong;
}

/* Schedule entries of one step, after the names are known. */
static uint64_t entries_of_a_step(struct gradients *gradients)
{
	ronde_counters before = {.size = sizeof(before)}, after = {.size = sizeof(after)};
	const struct perf_world *world = gradients->model->run->world;

	fill(gradients, 0);
	perf_world_meet(world);
	perf_check(world, ronde_get_counters(&before), "counters");
	average(gradients);
	perf_check(world, ronde_get_counters(&after), "counters");
	return after.entries - before.entries;
}

static void add_to_csv(const struct model *model, const struct perf_contestant *contestant,
		       const struct perf_figures *figures, size_t wrong)
{
	const struct gradients *gradients = contestant->arg;
	struct perf_result result = {
		.contestant = contestant->name,
		.memory = perf_memory_name(gradients->memory),
		.placement = "in-place",
		.type = "float32",
		.reduction = "average",
		.bytes = (size_t)model->elements * sizeof(float),
		.count = model->elements,
		.figures = *figures,
		.bus_factor = 1,
		.wrong = wrong,
	};

	perf_report_csv(model->run, &result);
}

static void print_line(const struct model *model, const struct perf_contestant *contestant,
		       const struct perf_figures *figures, double memcpy_seconds, size_t wrong)
{
	size_t bytes = (size_t)model->elements * sizeof(float);
	const struct gradients *gradients = contestant->arg;

	add_to_csv(model, contestant, figures, wrong);
	if (model->run->world->rank == 0)
		printf("%10s %9s %10.2f %10.2f %8.2f %9.2f %8zu\n", contestant->name,
		       perf_memory_name(gradients->memory), figures->median * 1e3,
		       figures->min * 1e3, perf_bandwidth(bytes, figures->median),
		       figures->median / memcpy_seconds, wrong);
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
static void add_ratios(const struct model *model, const struct gradients *gradients, double *ratios,
		       int rounds)
{
	struct perf_contestant cost = {.name = "timeline-cost", .arg = (void *)gradients};
	struct perf_figures figures = perf_figures_of(ratios, (size_t)rounds);

	figures =
		(struct perf_figures){figures.median * 1e-6, figures.p99 * 1e-6, figures.min * 1e-6,
				      figures.max * 1e-6, figures.mean * 1e-6};
	add_to_csv(model, &cost, &figures, 0);
}

/* writing: seconds of a step that the timeline's thread ran; 0: the kernel does not say. */
static void add_writing(const struct model *model, const struct gradients *gradients,
			double writing)
{
	struct perf_contestant thread = {.name = "timeline-thread", .arg = (void *)gradients};
	struct perf_figures figures = {writing, writing, writing, writing, writing};

	if (writing > 0)
		add_to_csv(model, &thread, &figures, 0);
}

static void print_recording(const struct gradients *gradients, const struct perf_figures *off,
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

/* What recording costs. Returns wrong elements of a step that is recorded. */
static size_t measure_timeline(const struct model *model, struct gradients *heap,
			       struct gradients *ordinary)
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
		struct gradients *gradients = list[i].arg;
		double writing =
			(double)gradients->writing * 1e-9 / (gradients->recorded * TIMELINE_STEPS);

		fill_recorded(gradients, 0);
		size_t wrong = check(gradients, average);

		stop_recording(model);
		all_wrong += wrong;
		add_to_csv(model, &list[i], &off, 0);
		add_to_csv(model, &list[i + 1], &on, wrong);
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

/* One by one and as a group, the same gradients. Returns wrong elements of a group. */
static size_t measure_group(const struct model *model, struct gradients *gradients)
{
	const struct perf_run *run = model->run;
	struct perf_rounds rounds = {run->options->warmup, 60, 1, NULL};
	struct gradients grouped = *gradients;
	struct perf_contestant list[2] = {
		{"one-by-one", fill, average, gradients},
		{"group", fill, average_group, &grouped},
	};
	struct perf_measurement measurement;
	const struct perf_figures *figures = measurement.figures;

	if (run->options->rounds)
		rounds.rounds = run->options->rounds;
	gradients->submitting = grouped.submitting = 0;
	perf_measure(run->world, list, 2, &rounds, &measurement);
	size_t wrong = check(&grouped, average_group);

	add_to_csv(model, &list[0], &figures[0], 0);
	add_to_csv(model, &list[1], &figures[1], wrong);
	if (run->world->rank == 0)
		printf("# %s: one by one %.2f ms, as a group %.2f ms: %.3f × (fastest rounds: %.3f "
		       "×); submitting took %.1f µs and %.1f µs\n",
		       perf_memory_name(gradients->memory), figures[0].median * 1e3,
		       figures[1].median * 1e3, figures[1].median / figures[0].median,
		       figures[1].min / figures[0].min, (double)gradients->submitting * 1e-3,
		       (double)grouped.submitting * 1e-3);
	return wrong;
}

static size_t measure(const struct model *model, struct gradients *heap, struct gradients *ordinary)
{
	const struct perf_run *run = model->run;
	struct perf_rounds rounds = {run->options->warmup, 30, 1, NULL};
	struct perf_contestant list[4] = {
		{"ronde", fill, average, heap},
		{"ronde", fill, average, ordinary},
		{"memcpy", fill, copy, ordinary},
		{"mpi", fill, mpi_each, ordinary},
	};
	struct perf_measurement measurement;
	size_t wrong[4] = {0};
	uint64_t entries[2];
	int count = run->mpi ? 4 : 3;

	if (run->options->rounds)
		rounds.rounds = run->options->rounds;
	perf_measure(run->world, list, count, &rounds, &measurement);
	wrong[0] = check(heap, average);
	wrong[1] = check(ordinary, average);
	entries[0] = entries_of_a_step(heap);
	entries[1] = entries_of_a_step(ordinary);
	if (run->world->rank == 0)
		printf("#%9s %9s %10s %10s %8s %9s %8s\n", "who", "memory", "time (ms)", "min (ms)",
		       "GB/s", "/memcpy", "#wrong");
	for (int i = 0; i < count; i++)
		print_line(model, &list[i], &measurement.figures[i], measurement.figures[2].median,
			   wrong[i]);
	if (run->world->rank == 0)
		printf("# %zu tensors left in %llu schedule entries (heap), %llu (ordinary)\n",
		       model->count, (unsigned long long)entries[0],
		       (unsigned long long)entries[1]);
	return wrong[0] + wrong[1];
}

size_t perf_step(struct perf_run *run)
{
	struct gradients heap, ordinary, copies, *recording = NULL;
	struct model model = {.run = run, .recording = &recording};
	size_t wrong;

	perf_data_init(&model.data, RONDE_FLOAT32, RONDE_AVERAGE, run->world->size);
	model.count = perf_model(run->options->model, model.tensors);
	if (model.count == 0)
		perf_die(run->world, "--model \"%s\": there are resnet50 and lenet5",
			 run->options->model);
	for (size_t i = 0; i < model.count; i++)
		model.elements += model.tensors[i].count;
	if (run->world->rank == 0)
		printf("# %s: %zu gradients, %lld float32, averaged in place\n",
		       run->options->model, model.count, (long long)model.elements);
	gradients_open(&heap, &model, 'h', PERF_HEAP);
	gradients_open(&ordinary, &model, 'o', PERF_ORDINARY);
	gradients_open(&copies, &model, 'c', PERF_ORDINARY);
	ordinary.copy_to = copies.data;
	wrong = measure(&model, &heap, &ordinary);
	if (run->options->timeline)
		wrong += measure_timeline(&model, &heap, &ordinary);
	if (run->options->group) {
		wrong += measure_group(&model, &heap);
		wrong += measure_group(&model, &ordinary);
	}
	gradients_close(&copies);
	gradients_close(&ordinary);
	gradients_close(&heap);
	return wrong;
}

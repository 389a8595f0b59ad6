/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ronde-perf step: one training step's communication. All gradients are rewritten (not timed);
 * then they are submitted in the order of the backward pass, averaged in place, and waited for.
 * Gradients in the heap, gradients in ordinary memory, and memcpy of the same tensors by all ranks
 * at once take turns; under mpirun also one blocking MPI_Allreduce per tensor.
 */
#include "perf/ronde-perf/step.h"
#include "perf/ronde-perf/meeting.h"
#include "perf/ronde-perf/mpi-baseline.h"

#include <stdio.h>
#include <string.h>

static void average_group(void *arg)
{
	struct perf_gradients *gradients = arg;
	const struct perf_step *model = gradients->model;
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
	perf_gradients_note(gradients, begin);
	perf_check(model->run->world, ronde_wait(gradients->handles[0]), name);
}

static void copy(void *arg)
{
	struct perf_gradients *gradients = arg;
	const struct perf_step *model = gradients->model;

	for (size_t i = 0; i < model->count; i++)
		memcpy(gradients->copy_to[i], gradients->data[i],
		       (size_t)model->tensors[i].count * sizeof(float));
	__asm__ volatile("" : : "r"(gradients->copy_to) : "memory");
}

static void mpi_each(void *arg)
{
	struct perf_gradients *gradients = arg;
	const struct perf_step *model = gradients->model;

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

/* Schedule entries of one step, after the names are known. */
static uint64_t entries_of_a_step(struct perf_gradients *gradients)
{
	ronde_counters before = {.size = sizeof(before)}, after = {.size = sizeof(after)};
	const struct perf_world *world = gradients->model->run->world;

	perf_gradients_fill(gradients, 0);
	perf_world_meet(world);
	perf_check(world, ronde_get_counters(&before), "counters");
	perf_gradients_average(gradients);
	perf_check(world, ronde_get_counters(&after), "counters");
	return after.entries - before.entries;
}

static void print_line(const struct perf_step *model, const struct perf_contestant *contestant,
		       const struct perf_figures *figures, double memcpy_seconds, size_t wrong)
{
	size_t bytes = (size_t)model->elements * sizeof(float);
	const struct perf_gradients *gradients = contestant->arg;

	perf_gradients_csv(model, contestant, figures, wrong);
	if (model->run->world->rank == 0)
		printf("%10s %9s %10.2f %10.2f %8.2f %9.2f %8zu\n", contestant->name,
		       perf_memory_name(gradients->memory), figures->median * 1e3,
		       figures->min * 1e3, perf_bandwidth(bytes, figures->median),
		       figures->median / memcpy_seconds, wrong);
}

/* One by one and as a group, the same gradients. Returns wrong elements of a group. */
static size_t measure_group(const struct perf_step *model, struct perf_gradients *gradients)
{
	const struct perf_run *run = model->run;
	struct perf_rounds rounds = {run->options->warmup, 60, 1, NULL};
	struct perf_gradients grouped = *gradients;
	struct perf_contestant list[2] = {
		{"one-by-one", perf_gradients_fill, perf_gradients_average, gradients},
		{"group", perf_gradients_fill, average_group, &grouped},
	};
	struct perf_measurement measurement;
	const struct perf_figures *figures = measurement.figures;

	if (run->options->rounds)
		rounds.rounds = run->options->rounds;
	gradients->submitting = grouped.submitting = 0;
	perf_measure(run->world, list, 2, &rounds, &measurement);
	size_t wrong = perf_gradients_wrong(&grouped, average_group);

	perf_gradients_csv(model, &list[0], &figures[0], 0);
	perf_gradients_csv(model, &list[1], &figures[1], wrong);
	if (run->world->rank == 0)
		printf("# %s: one by one %.2f ms, as a group %.2f ms: %.3f × (fastest rounds: %.3f "
		       "×); submitting took %.1f µs and %.1f µs\n",
		       perf_memory_name(gradients->memory), figures[0].median * 1e3,
		       figures[1].median * 1e3, figures[1].median / figures[0].median,
		       figures[1].min / figures[0].min, (double)gradients->submitting * 1e-3,
		       (double)grouped.submitting * 1e-3);
	return wrong;
}

static size_t measure(const struct perf_step *model, struct perf_gradients *heap,
		      struct perf_gradients *ordinary)
{
	const struct perf_run *run = model->run;
	struct perf_rounds rounds = {run->options->warmup, 30, 1, NULL};
	struct perf_contestant list[4] = {
		{"ronde", perf_gradients_fill, perf_gradients_average, heap},
		{"ronde", perf_gradients_fill, perf_gradients_average, ordinary},
		{"memcpy", perf_gradients_fill, copy, ordinary},
		{"mpi", perf_gradients_fill, mpi_each, ordinary},
	};
	struct perf_measurement measurement;
	size_t wrong[4] = {0};
	uint64_t entries[2];
	int count = run->mpi ? 4 : 3;

	if (run->options->rounds)
		rounds.rounds = run->options->rounds;
	perf_measure(run->world, list, count, &rounds, &measurement);
	wrong[0] = perf_gradients_wrong(heap, perf_gradients_average);
	wrong[1] = perf_gradients_wrong(ordinary, perf_gradients_average);
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
	struct perf_gradients heap, ordinary, copies, *recording = NULL;
	struct perf_step model = {.run = run, .recording = &recording};
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
	perf_gradients_open(&heap, &model, 'h', PERF_HEAP);
	perf_gradients_open(&ordinary, &model, 'o', PERF_ORDINARY);
	perf_gradients_open(&copies, &model, 'c', PERF_ORDINARY);
	ordinary.copy_to = copies.data;
	wrong = measure(&model, &heap, &ordinary);
	if (run->options->timeline)
		wrong += perf_step_timeline(&model, &heap, &ordinary);
	if (run->options->group) {
		wrong += measure_group(&model, &heap);
		wrong += measure_group(&model, &ordinary);
	}
	perf_gradients_close(&copies);
	perf_gradients_close(&ordinary);
	perf_gradients_close(&heap);
	return wrong;
}

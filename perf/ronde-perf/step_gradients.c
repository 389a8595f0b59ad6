/* SPDX-License-Identifier: Apache-2.0 */
#include "perf/ronde-perf/step.h"

#include "perf/ronde-perf/meeting.h"

#include <stdio.h>

void perf_gradients_open(struct perf_gradients *gradients, const struct perf_step *model, char kind,
			 enum perf_memory memory)
{
	*gradients = (struct perf_gradients){.model = model, .kind = kind, .memory = memory};
	for (size_t i = 0; i < model->count; i++) {
		size_t bytes = (size_t)model->tensors[i].count * sizeof(float);

		gradients->data[i] = perf_memory_get(model->run->world, memory, bytes);
		snprintf(gradients->names[i], sizeof(gradients->names[i]), "%c.%s", kind,
			 model->tensors[i].name);
	}
}

void perf_gradients_close(struct perf_gradients *gradients)
{
	for (size_t i = 0; i < gradients->model->count; i++)
		perf_memory_put(gradients->memory, gradients->data[i]);
}

/* Each tensor starts its pattern elsewhere, so that mixed up tensors are noticed. */
void perf_gradients_fill(void *arg, int round)
{
	struct perf_gradients *gradients = arg;
	const struct perf_step *model = gradients->model;

	for (size_t i = 0; i < model->count; i++)
		perf_data_fill(&model->data, gradients->data[i], (size_t)model->tensors[i].count,
			       model->run->world->rank, round + (int)i);
}

void perf_gradients_note(struct perf_gradients *gradients, int64_t begin)
{
	int64_t took = perf_now() - begin;

	if (gradients->submitting == 0 || took < gradients->submitting)
		gradients->submitting = took;
}

void perf_gradients_average(void *arg)
{
	struct perf_gradients *gradients = arg;
	const struct perf_step *model = gradients->model;
	const struct perf_world *world = model->run->world;
	int64_t begin = perf_now();

	for (size_t i = 0; i < model->count; i++)
		perf_check(world,
			   ronde_allreduce_async(gradients->names[i], gradients->data[i],
						 gradients->data[i], model->tensors[i].count,
						 RONDE_FLOAT32, RONDE_AVERAGE, NULL,
						 &gradients->handles[i]),
			   gradients->names[i]);
	perf_gradients_note(gradients, begin);
	for (size_t i = 0; i < model->count; i++)
		perf_check(world, ronde_wait(gradients->handles[i]), gradients->names[i]);
}

/* Wrong elements after one more step of that form. */
size_t perf_gradients_wrong(struct perf_gradients *gradients, void (*form)(void *gradients))
{
	const struct perf_step *model = gradients->model;
	const int round = 1000;
	double wrong = 0;

	perf_gradients_fill(gradients, round);
	form(gradients);
	for (size_t i = 0; i < model->count; i++)
		wrong += (double)perf_data_wrong_reduced(&model->data, gradients->data[i], 0,
							 (size_t)model->tensors[i].count,
							 round + (int)i);
	model->run->world->transport->sum(model->run->world, &wrong, 1);
	return (size_t)wrong;
}

void perf_gradients_csv(const struct perf_step *model, const struct perf_contestant *contestant,
			const struct perf_figures *figures, size_t wrong)
{
	const struct perf_gradients *gradients = contestant->arg;
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

/* SPDX-License-Identifier: Apache-2.0 */
#include "optimizers.h"

#include <math.h>
#include <stdlib.h>

int optimizer_init(struct optimizer *optimizer, enum optimizer_kind kind, float *weights,
		   const float *gradients, size_t count)
{
	*optimizer = (struct optimizer){.kind = kind, .gradients = gradients, .count = count};
	optimizer->weights = weights;
	optimizer->first = calloc(count, sizeof(float));
	optimizer->second = kind == OPTIMIZER_ADAM ? calloc(count, sizeof(float)) : NULL;
	if (optimizer->first && (optimizer->second || kind == OPTIMIZER_SGD))
		return 0;
	optimizer_finish(optimizer);
	return -1;
}

void optimizer_finish(struct optimizer *optimizer)
{
	free(optimizer->first);
	free(optimizer->second);
	optimizer->first = optimizer->second = NULL;
}

static void sgd_step(float *restrict weights, const float *restrict gradients,
		     float *restrict velocity, size_t count, float rate)
{
	const float momentum = 0.9f;

	for (size_t i = 0; i < count; i++) {
		velocity[i] = momentum * velocity[i] + gradients[i];
		weights[i] -= rate * velocity[i];
	}
}

/* The corrections for the means' start at zero are folded into rate and epsilon, as in the paper's
 * section 2. */
static void adam_step(float *restrict weights, const float *restrict gradients,
		      float *restrict first, float *restrict second, size_t count, float rate,
		      long step)
{
	const float decay1 = 0.9f, decay2 = 0.999f;
	float correction2 = (float)sqrt(1 - pow(decay2, (double)step));
	float corrected_rate = rate * correction2 / (float)(1 - pow(decay1, (double)step));
	float epsilon = 1e-7f * correction2;

	for (size_t i = 0; i < count; i++) {
		float gradient = gradients[i];

		first[i] += (1 - decay1) * (gradient - first[i]);
		second[i] += (1 - decay2) * (gradient * gradient - second[i]);
		weights[i] -= corrected_rate * first[i] / (sqrtf(second[i]) + epsilon);
	}
}

int optimizer_step(void *state)
{
	struct optimizer *o = state;

	o->steps++;
	if (o->kind == OPTIMIZER_SGD)
		sgd_step(o->weights, o->gradients, o->first, o->count, o->rate);
	else
		adam_step(o->weights, o->gradients, o->first, o->second, o->count, o->rate,
			  o->steps);
	return 0;
}

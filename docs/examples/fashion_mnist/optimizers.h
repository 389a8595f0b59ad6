/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The application's own update rules. They know nothing of other ranks: Ronde calls them as
 * step(optimizer) once the gradients are averages over all ranks.
 */
#ifndef FASHION_MNIST_OPTIMIZERS_H
#define FASHION_MNIST_OPTIMIZERS_H

#include <stddef.h>

enum optimizer_kind { OPTIMIZER_SGD, OPTIMIZER_ADAM };

struct optimizer {
	enum optimizer_kind kind;
	float *weights;
	const float *gradients;
	size_t count;
	float *first;  /* SGD: velocity; Adam: mean of gradients */
	float *second; /* Adam: mean of squared gradients */
	float rate;    /* may be changed between steps */
	long steps;
};

int optimizer_init(struct optimizer *optimizer, enum optimizer_kind kind, float *weights,
		   const float *gradients, size_t count);
void optimizer_finish(struct optimizer *optimizer);

/* A ronde_step_fn: state is a struct optimizer. */
int optimizer_step(void *state);

#endif

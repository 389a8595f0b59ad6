/* SPDX-License-Identifier: Apache-2.0 */
/* The parameters of well-known models, derived from their architectures. */
#ifndef RONDE_PERF_MODELS_H
#define RONDE_PERF_MODELS_H

#include <stddef.h>
#include <stdint.h>

enum { PERF_MODEL_TENSORS = 161 /* of the largest */, PERF_MODEL_NAME = 48 };

struct perf_model_tensor {
	char name[PERF_MODEL_NAME];
	int64_t count;
};

/*
 * Writes the tensors in the order of the backward pass, last layer first. Returns their number; 0
 * if no model of this name is known. Known are "resnet50" (He et al. 2015; 1000 classes) and
 * "lenet5" (LeCun et al. 1998, as it is built today: all maps connected).
 */
size_t perf_model(const char *name, struct perf_model_tensor tensors[PERF_MODEL_TENSORS]);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The parameters of ResNet-50 (He et al. 2015; 1000 classes), derived from its architecture. */
#ifndef RONDE_PERF_RESNET50_H
#define RONDE_PERF_RESNET50_H

#include <stddef.h>
#include <stdint.h>

enum { PERF_RESNET50_TENSORS = 161, PERF_MODEL_NAME = 48 };

struct perf_model_tensor {
	char name[PERF_MODEL_NAME];
	int64_t count;
};

/* Writes the tensors in the order of the backward pass: last layer first. Returns their number. */
size_t perf_resnet50(struct perf_model_tensor tensors[PERF_RESNET50_TENSORS]);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ResNet-50: a 7×7 convolution with 64 channels, four stages of 3, 4, 6 and 3 bottleneck blocks,
 * and a linear layer. A block of width w takes `in` channels through 1×1 → w, 3×3 → w, 1×1 → 4w,
 * each followed by a batch normalisation (weight and bias); the first block of a stage also has a
 * 1×1 convolution of its input to 4w. Convolutions have no bias. 25,557,032 numbers in 161 tensors.
 *
 * LeNet-5: 5×5 convolutions to 6 and 16 maps, linear layers of 120, 84 and 10; 61,706 in 10.
 */
#include "perf/ronde-perf/models.h"

#include <stdio.h>
#include <string.h>

struct list {
	struct perf_model_tensor *tensors;
	size_t used;
};

static void add(struct list *list, const char *layer, const char *tensor, int64_t count)
{
	struct perf_model_tensor *to = &list->tensors[list->used++];

	snprintf(to->name, sizeof(to->name), "%s.%s", layer, tensor);
	to->count = count;
}

/* A convolution and its batch normalisation. */
static void add_convolution(struct list *list, const char *block, const char *convolution,
			    const char *norm, int64_t in, int64_t out, int64_t kernel)
{
	char layer[PERF_MODEL_NAME - 8];

	snprintf(layer, sizeof(layer), "%s%s", block, convolution);
	add(list, layer, "weight", in * out * kernel * kernel);
	snprintf(layer, sizeof(layer), "%s%s", block, norm);
	add(list, layer, "weight", out);
	add(list, layer, "bias", out);
}

static void add_stage(struct list *list, int stage, int blocks, int64_t in, int64_t width)
{
	for (int block = 0; block < blocks; block++) {
		char prefix[24];

		snprintf(prefix, sizeof(prefix), "layer%d.%d.", stage, block);
		add_convolution(list, prefix, "conv1", "bn1", in, width, 1);
		add_convolution(list, prefix, "conv2", "bn2", width, width, 3);
		add_convolution(list, prefix, "conv3", "bn3", width, 4 * width, 1);
		if (block == 0)
			add_convolution(list, prefix, "downsample.0", "downsample.1", in, 4 * width,
					1);
		in = 4 * width;
	}
}

static void resnet50(struct list *list)
{
	static const int blocks[] = {3, 4, 6, 3};
	int64_t in = 64;

	add_convolution(list, "", "conv1", "bn1", 3, 64, 7);
	for (int stage = 0; stage < 4; stage++) {
		int64_t width = (int64_t)64 << stage;

		add_stage(list, stage + 1, blocks[stage], in, width);
		in = 4 * width;
	}
	add(list, "fc", "weight", 2048 * 1000);
	add(list, "fc", "bias", 1000);
}

static void add_layer(struct list *list, const char *layer, int64_t weights, int64_t biases)
{
	add(list, layer, "weight", weights);
	add(list, layer, "bias", biases);
}

static void lenet5(struct list *list)
{
	add_layer(list, "conv1", 6 * 5 * 5, 6);
	add_layer(list, "conv2", 16 * 6 * 5 * 5, 16);
	add_layer(list, "fc1", 16 * 5 * 5 * 120, 120);
	add_layer(list, "fc2", 120 * 84, 84);
	add_layer(list, "fc3", 84 * 10, 10);
}

size_t perf_model(const char *name, struct perf_model_tensor tensors[PERF_MODEL_TENSORS])
{
	struct list list = {tensors, 0};

	if (strcmp(name, "resnet50") == 0)
		resnet50(&list);
	else if (strcmp(name, "lenet5") == 0)
		lenet5(&list);
	for (size_t i = 0; i < list.used / 2; i++) {
		struct perf_model_tensor swap = tensors[i];

		tensors[i] = tensors[list.used - 1 - i];
		tensors[list.used - 1 - i] = swap;
	}
	return list.used;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "net.h"

#include "idx.h"

#include <stdlib.h>
#include <string.h>

enum {
	CHANNELS1 = 16,
	CHANNELS2 = 32,
	SIDE2 = IMAGE_SIDE / 2,
	FEATURES = (SIDE2 / 2) * (SIDE2 / 2) * CHANNELS2,
	HIDDEN = 128,
	ALIGNMENT = 64, /* bytes: a cache line */
};

enum { CONV1_W, CONV1_B, CONV2_W, CONV2_B, DENSE1_W, DENSE1_B, DENSE2_W, DENSE2_B };

/* inputs: values that one output adds up; 0 for a bias. */
static const struct {
	const char *name;
	int inputs, outputs;
} shapes[NET_PARAMETERS] = {
	[CONV1_W] = {"conv1.weight", KERNEL *KERNEL, CHANNELS1},
	[CONV1_B] = {"conv1.bias", 0, CHANNELS1},
	[CONV2_W] = {"conv2.weight", KERNEL *KERNEL *CHANNELS1, CHANNELS2},
	[CONV2_B] = {"conv2.bias", 0, CHANNELS2},
	[DENSE1_W] = {"dense1.weight", FEATURES, HIDDEN},
	[DENSE1_B] = {"dense1.bias", 0, HIDDEN},
	[DENSE2_W] = {"dense2.weight", HIDDEN, CLASSES},
	[DENSE2_B] = {"dense2.bias", 0, CLASSES},
};

/* Of the last layer's first weights: so small that all classes start about equally likely. */
static const double SCORES_DEVIATION = 0.01;

static size_t aligned_floats(size_t count)
{
	const size_t line = ALIGNMENT / sizeof(float);

	return (count + line - 1) / line * line;
}

static size_t parameter_count(int index)
{
	int inputs = shapes[index].inputs;

	return (size_t)(inputs ? inputs : 1) * (size_t)shapes[index].outputs;
}

size_t net_floats(void)
{
	size_t sum = 0;

	for (int i = 0; i < NET_PARAMETERS; i++)
		sum += aligned_floats(parameter_count(i));
	return sum;
}

static void set_parameters(struct net *net, float *weights, float *gradients)
{
	net->weights = weights;
	net->gradients = gradients;
	net->count = net_floats();
	for (int i = 0; i < NET_PARAMETERS; i++) {
		size_t count = parameter_count(i);

		net->parameters[i] = (ronde_parameter){shapes[i].name, weights, gradients,
						       (int64_t)count, RONDE_FLOAT32};
		weights += aligned_floats(count);
		gradients += aligned_floats(count);
	}
}

/* What the layers hand to each other, for max_images images, in one zeroed piece. */
static int allocate(struct net *net)
{
	struct {
		float **pointer;
		size_t floats;
	} parts[] = {
		{&net->input, conv_input_floats(&net->conv1)},
		{&net->hidden1, conv_input_floats(&net->conv2)},
		{&net->hidden1_gradient, conv_input_floats(&net->conv2)},
		{&net->hidden2, FEATURES},
		{&net->hidden2_gradient, FEATURES},
		{&net->hidden3, HIDDEN},
		{&net->hidden3_gradient, HIDDEN},
		{&net->scores, CLASSES},
		{&net->scores_gradient, CLASSES},
	};
	size_t images = (size_t)net->max_images, bytes = 0;
	size_t choices1 = images * conv_pooled(&net->conv1);
	size_t choices2 = images * conv_pooled(&net->conv2);
	char *at;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		bytes += aligned_floats(images * parts[i].floats) * sizeof(float);
	bytes += (aligned_floats(choices1) + aligned_floats(choices2)) * sizeof(int32_t);
	at = net->memory = aligned_alloc(ALIGNMENT, bytes);
	if (!at)
		return -1;
	memset(at, 0, bytes);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		*parts[i].pointer = (float *)at;
		at += aligned_floats(images * parts[i].floats) * sizeof(float);
	}
	net->choice1 = (int32_t *)at;
	net->choice2 = net->choice1 + aligned_floats(choices1);
	return 0;
}

int net_init(struct net *net, float *weights, float *gradients, int max_images)
{
	*net = (struct net){.max_images = max_images};
	set_parameters(net, weights, gradients);
	if (!conv_init(&net->conv1, IMAGE_SIDE, 1, CHANNELS1, BORDER) &&
	    !conv_init(&net->conv2, SIDE2, CHANNELS1, CHANNELS2, 0) && !allocate(net))
		return 0;
	net_finish(net);
	return -1;
}

void net_finish(struct net *net)
{
	conv_finish(&net->conv1);
	conv_finish(&net->conv2);
	free(net->memory);
	net->memory = NULL;
}

void net_randomize(struct net *net, struct random random)
{
	memset(net->weights, 0, net->count * sizeof(float));
	for (int i = 0; i < NET_PARAMETERS; i++) {
		float *weights = net->parameters[i].data;
		double deviation = i == DENSE2_W ? SCORES_DEVIATION : sqrt(2.0 / shapes[i].inputs);

		if (!shapes[i].inputs)
			continue;
		for (size_t j = 0; j < parameter_count(i); j++)
			weights[j] = (float)(deviation * random_normal(&random));
	}
}

void net_set_image(struct net *net, int image, const uint8_t *pixels, float mean, float scale)
{
	const size_t line = IMAGE_SIDE + 2 * BORDER;
	float *to = net->input + (size_t)image * conv_input_floats(&net->conv1) + BORDER * line +
		    BORDER;

	for (int y = 0; y < IMAGE_SIDE; y++, to += line, pixels += IMAGE_SIDE)
		for (int x = 0; x < IMAGE_SIDE; x++)
			to[x] = ((float)pixels[x] - mean) * scale;
}

static const float *weights_of(const struct net *net, int index)
{
	return net->parameters[index].data;
}

double net_forward(struct net *net, const uint8_t *labels, int images, float scale, int *correct)
{
	conv_forward(&net->conv1, weights_of(net, CONV1_W), weights_of(net, CONV1_B), net->input,
		     net->hidden1, net->choice1, images);
	conv_forward(&net->conv2, weights_of(net, CONV2_W), weights_of(net, CONV2_B), net->hidden1,
		     net->hidden2, net->choice2, images);
	dense_forward(weights_of(net, DENSE1_W), weights_of(net, DENSE1_B), net->hidden2,
		      net->hidden3, images, FEATURES, HIDDEN, 1);
	dense_forward(weights_of(net, DENSE2_W), weights_of(net, DENSE2_B), net->hidden3,
		      net->scores, images, HIDDEN, CLASSES, 0);
	return softmax_loss(net->scores, labels, images, CLASSES, scale,
			    scale != 0 ? net->scores_gradient : NULL, correct);
}

size_t net_offset(const struct net *net, size_t index)
{
	return (size_t)(weights_of(net, (int)index) - net->weights);
}

/* The gradients of weights first, of the input after: what is final can travel meanwhile. */
int net_backward(struct net *net, float *gradients, int images, net_ready_fn ready, void *arg)
{
	float *g[NET_PARAMETERS];
	int status;

	for (size_t i = 0; i < NET_PARAMETERS; i++)
		g[i] = gradients + net_offset(net, i);

	dense_backward_weights(net->hidden3, net->scores_gradient, g[DENSE2_W], g[DENSE2_B], images,
			       HIDDEN, CLASSES);
	if ((status = ready(arg, DENSE2_B)) || (status = ready(arg, DENSE2_W)))
		return status;
	dense_backward_input(weights_of(net, DENSE2_W), net->hidden3, net->scores_gradient,
			     net->hidden3_gradient, images, HIDDEN, CLASSES, 1);

	dense_backward_weights(net->hidden2, net->hidden3_gradient, g[DENSE1_W], g[DENSE1_B],
			       images, FEATURES, HIDDEN);
	if ((status = ready(arg, DENSE1_B)) || (status = ready(arg, DENSE1_W)))
		return status;
	dense_backward_input(weights_of(net, DENSE1_W), net->hidden2, net->hidden3_gradient,
			     net->hidden2_gradient, images, FEATURES, HIDDEN, 0);

	conv_backward(&net->conv2, weights_of(net, CONV2_W), net->hidden1, net->choice2,
		      net->hidden2_gradient, g[CONV2_W], g[CONV2_B], net->hidden1_gradient, images);
	if ((status = ready(arg, CONV2_B)) || (status = ready(arg, CONV2_W)))
		return status;

	conv_backward(&net->conv1, weights_of(net, CONV1_W), net->input, net->choice1,
		      net->hidden1_gradient, g[CONV1_W], g[CONV1_B], NULL, images);
	if ((status = ready(arg, CONV1_B)) || (status = ready(arg, CONV1_W)))
		return status;
	return 0;
}

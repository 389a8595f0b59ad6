/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network: convolution 1 → 16 channels, convolution 16 → 32, dense 1568 → 128, dense 128 → 10;
 * each convolution with max-pool 2 × 2, ReLU in between, softmax and cross-entropy at the end.
 */
#ifndef FASHION_MNIST_NET_H
#define FASHION_MNIST_NET_H

#include "layers.h"
#include "random.h"

#include <ronde/ronde.h>

enum { NET_PARAMETERS = 8 };

struct net {
	ronde_parameter parameters[NET_PARAMETERS]; /* what Ronde is told about */
	float *weights, *gradients;                 /* all of them, in one piece each */
	size_t count;
	int max_images;
	struct conv conv1, conv2;
	float *input, *hidden1, *hidden2, *hidden3, *scores;
	int32_t *choice1, *choice2;
	float *scores_gradient, *hidden3_gradient, *hidden2_gradient, *hidden1_gradient;
	void *memory; /* all of the above */
};

/* Floats that weights and gradients need each. */
size_t net_floats(void);

/* weights, gradients: zeroed memory of net_floats() floats each; they stay the caller's. */
int net_init(struct net *net, float *weights, float *gradients, int max_images);
void net_finish(struct net *net);

/* He's initialisation: normal weights of variance 2 / inputs, biases zero; the last layer's are
 * smaller. */
void net_randomize(struct net *net, struct random random);

/* Where parameters[index] begins in weights and gradients. */
size_t net_offset(const struct net *net, size_t index);

/* Where the pixels of image number `image` go: IMAGE_SIDE + 2 rows and columns, the border zero. */
void net_set_image(struct net *net, int image, const uint8_t *pixels, float mean, float scale);

/*
 * Scores the first `images` images. Returns the sum of their losses and counts right answers.
 * scale: factor of the gradients; 0: no backward pass will follow.
 */
double net_forward(struct net *net, const uint8_t *labels, int images, float scale, int *correct);

/* Called as the gradient of parameters[index] is there; non-zero ends the backward pass. */
typedef int (*net_ready_fn)(void *arg, size_t index);

/* Writes the gradients to net_floats() floats, laid out as the weights are. */
int net_backward(struct net *net, float *gradients, int images, net_ready_fn ready, void *arg);

#endif

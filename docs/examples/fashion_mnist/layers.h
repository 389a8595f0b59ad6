/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layers of the network, forward and backward, in float32. Images are stored row by row, the
 * channels of a pixel side by side, and every matrix product is one cblas_sgemm.
 *
 * A convolution layer is convolution → max-pool 2×2 → bias → ReLU. That is the same, bit for bit,
 * as convolution → bias → ReLU → max-pool (adding a bias and ReLU never change which of four values
 * is the largest), and looks at a quarter of the values. It works on tiles of a few images, so that
 * the im2col matrix and the full-size result stay in the second-level cache and are never stored:
 * the backward pass makes the matrix again from the input, which costs less than fetching it.
 */
#ifndef FASHION_MNIST_LAYERS_H
#define FASHION_MNIST_LAYERS_H

#include <stddef.h>
#include <stdint.h>

enum {
	KERNEL = 3, /* convolution kernels are KERNEL × KERNEL */
	BORDER = KERNEL / 2,
	LANES = 4 /* a convolution's outputs come in multiples of this */
};

/* A 2 × 2 cell of the pool that ReLU has switched off; 0 … 3 say which value was the largest. */
enum { POOL_OFF = 4 };

struct conv {
	int side;       /* of input without its border, and of the convolution's result; even */
	int inputs;     /* channels */
	int outputs;    /* channels */
	int out_border; /* zero pixels around the pooled result: BORDER if a convolution follows */
	int tile;       /* images at a time */
	float *columns; /* tile × side² rows of KERNEL² · inputs */
	float *result;  /* tile × side² rows of outputs */
};

int conv_init(struct conv *conv, int side, int inputs, int outputs, int out_border);
void conv_finish(struct conv *conv);

/* Floats of one image of the input (with its border), and of the output (with its). */
size_t conv_input_floats(const struct conv *conv);
size_t conv_output_floats(const struct conv *conv);
/* Values of one image after the pool, without border. */
size_t conv_pooled(const struct conv *conv);

/*
 * weights: KERNEL² · inputs rows of outputs. choice: per pooled value which of the four won, or
 * POOL_OFF. The output's border is left alone.
 */
void conv_forward(const struct conv *conv, const float *weights, const float *bias,
		  const float *input, float *output, int32_t *choice, int images);

/* input_gradient may be NULL; the border of what is written there has no meaning. */
void conv_backward(const struct conv *conv, const float *weights, const float *input,
		   const int32_t *choice, const float *output_gradient, float *weights_gradient,
		   float *bias_gradient, float *input_gradient, int images);

/* output[images × outputs] = input[images × inputs] · weights + bias, then ReLU if wanted. */
void dense_forward(const float *weights, const float *bias, const float *input, float *output,
		   int images, int inputs, int outputs, int relu);

/* Gradients of weights and bias, from the gradient after ReLU has been undone. */
void dense_backward_weights(const float *input, const float *output_gradient,
			    float *weights_gradient, float *bias_gradient, int images, int inputs,
			    int outputs);

/* Gradient of the input. relu: the input came out of a ReLU, undo it. */
void dense_backward_input(const float *weights, const float *input, const float *output_gradient,
			  float *input_gradient, int images, int inputs, int outputs, int relu);

/*
 * Softmax and cross-entropy of `images` rows of `classes` scores. Returns the sum of the losses,
 * counts the rows whose largest score is the label's in *correct, and, if gradient is not NULL,
 * writes scale · d(sum of losses)/d(scores) there.
 */
double softmax_loss(const float *scores, const uint8_t *labels, int images, int classes,
		    float scale, float *gradient, int *correct);

#endif

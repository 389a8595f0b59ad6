/* SPDX-License-Identifier: Apache-2.0 */
#include "layers.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A tile's matrices should fit into the second-level cache beside the weights. */
enum { TILE_BYTES = 5 << 18, ALIGNMENT = 64 };

static void *floats(size_t count)
{
	return aligned_alloc(ALIGNMENT,
			     (count * sizeof(float) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
}

int conv_init(struct conv *conv, int side, int inputs, int outputs, int out_border)
{
	size_t pixels = (size_t)side * (size_t)side;
	size_t row = (size_t)(KERNEL * KERNEL * inputs + outputs);
	size_t tile = 1;

	/* A power of two: most batches are too, and then no small tile is left over. */
	while (2 * tile * pixels * row * sizeof(float) <= TILE_BYTES)
		tile *= 2;
	*conv = (struct conv){.side = side,
			      .inputs = inputs,
			      .outputs = outputs,
			      .out_border = out_border,
			      .tile = (int)tile};
	conv->columns = floats((size_t)conv->tile * pixels * (size_t)(KERNEL * KERNEL * inputs));
	conv->result = floats((size_t)conv->tile * pixels * (size_t)outputs);
	if (conv->columns && conv->result)
		return 0;
	conv_finish(conv);
	return -1;
}

void conv_finish(struct conv *conv)
{
	free(conv->columns);
	free(conv->result);
	conv->columns = conv->result = NULL;
}

size_t conv_input_floats(const struct conv *conv)
{
	size_t side = (size_t)(conv->side + 2 * BORDER);

	return side * side * (size_t)conv->inputs;
}

size_t conv_output_floats(const struct conv *conv)
{
	size_t side = (size_t)(conv->side / 2 + 2 * conv->out_border);

	return side * side * (size_t)conv->outputs;
}

size_t conv_pooled(const struct conv *conv)
{
	return (size_t)(conv->side / 2) * (size_t)(conv->side / 2) * (size_t)conv->outputs;
}

/* Where row y of the pooled image begins, in an image with out_border. */
static size_t pooled_row(const struct conv *conv, int y)
{
	size_t side = (size_t)(conv->side / 2 + 2 * conv->out_border);

	return ((size_t)(y + conv->out_border) * side + (size_t)conv->out_border) *
	       (size_t)conv->outputs;
}

/* One matrix row per pixel: its KERNEL × KERNEL neighbourhood. */
static inline __attribute__((always_inline)) void im2col_channels(const struct conv *conv,
								  const float *restrict input,
								  float *restrict columns,
								  int images, int inputs)
{
	const size_t line = (size_t)((conv->side + 2 * BORDER) * inputs);

	for (int image = 0; image < images; image++, input += conv_input_floats(conv))
		for (int y = 0; y < conv->side; y++)
			for (int x = 0; x < conv->side; x++)
				for (int k = 0; k < KERNEL; k++) {
					const float *from =
						input + (size_t)(y + k) * line + x * inputs;

					for (int i = 0; i < KERNEL * inputs; i++)
						columns[i] = from[i];
					columns += KERNEL * inputs;
				}
}

static void im2col(const struct conv *conv, const float *input, float *columns, int images)
{
	/* A single channel makes runs so short that the compiler has to know their length. */
	if (conv->inputs == 1)
		im2col_channels(conv, input, columns, images, 1);
	else
		im2col_channels(conv, input, columns, images, conv->inputs);
}

/* The transpose of im2col: adds each matrix row to its neighbourhood. */
static void col2im(const struct conv *conv, const float *columns, float *input, int images)
{
	const size_t run = (size_t)(KERNEL * conv->inputs);
	const size_t line = (size_t)((conv->side + 2 * BORDER) * conv->inputs);

	memset(input, 0, (size_t)images * conv_input_floats(conv) * sizeof(float));
	for (int image = 0; image < images; image++, input += conv_input_floats(conv))
		for (int y = 0; y < conv->side; y++)
			for (int x = 0; x < conv->side; x++)
				for (int k = 0; k < KERNEL; k++) {
					float *restrict to = input + (size_t)(y + k) * line +
							     (size_t)(x * conv->inputs);

					for (size_t i = 0; i < run; i++)
						to[i] += columns[i];
					columns += run;
				}
}

/*
 * Four channels at a time, in the compilers' vector types: the choices depend on the data, and
 * branches on them would be mispredicted half of the time. A comparison gives all bits set or none.
 */
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));

static inline ivec choose(ivec condition, ivec yes, ivec no)
{
	return (condition & yes) | (~condition & no);
}

/* One pooled pixel, all channels: the largest of four, bias, ReLU. */
static void pool_pixel(const float *upper, const float *lower, const float *bias, float *output,
		       int32_t *choice, int channels)
{
	const ivec zero = {0};

	for (int c = 0; c < channels; c += LANES) {
		vec left = *(const vec *)(upper + c), right = *(const vec *)(upper + channels + c);
		vec left2 = *(const vec *)(lower + c),
		    right2 = *(const vec *)(lower + channels + c);
		ivec is_right = left < right, is_right2 = left2 < right2;
		vec top = (vec)choose(is_right, (ivec)right, (ivec)left);
		vec bottom = (vec)choose(is_right2, (ivec)right2, (ivec)left2);
		ivec is_bottom = top < bottom;
		vec best = (vec)choose(is_bottom, (ivec)bottom, (ivec)top);
		vec value = best + *(const vec *)(bias + c);
		ivec on = value > 0;

		*(vec *)(output + c) = (vec)((ivec)value & on);
		/* Minus a comparison is 0 or 1. */
		*(ivec *)(choice + c) =
			choose(on, choose(is_bottom, 2 - is_right2, -is_right), zero + POOL_OFF);
	}
}

static void unpool_pixel(const float *gradient, const int32_t *choice, float *upper, float *lower,
			 float *bias, int channels)
{
	for (int c = 0; c < channels; c += LANES) {
		ivec best = *(const ivec *)(choice + c);
		ivec value = *(const ivec *)(gradient + c);

		*(ivec *)(upper + c) = value & (best == 0);
		*(ivec *)(upper + channels + c) = value & (best == 1);
		*(ivec *)(lower + c) = value & (best == 2);
		*(ivec *)(lower + channels + c) = value & (best == 3);
		*(vec *)(bias + c) += (vec)(value & (best != POOL_OFF));
	}
}

static void pool(const struct conv *conv, const float *bias, float *output, int32_t *choice,
		 int images)
{
	const int half = conv->side / 2, channels = conv->outputs;
	const size_t line = (size_t)(conv->side * channels);
	const float *from = conv->result;

	for (int image = 0; image < images; image++, output += conv_output_floats(conv))
		for (int y = 0; y < half; y++, from += 2 * line) {
			float *row = output + pooled_row(conv, y);

			for (int x = 0; x < half; x++, choice += channels)
				pool_pixel(from + 2 * x * channels, from + line + 2 * x * channels,
					   bias, row + x * channels, choice, channels);
		}
}

static void unpool(const struct conv *conv, const float *output_gradient, const int32_t *choice,
		   float *bias_gradient, int images)
{
	const int half = conv->side / 2, channels = conv->outputs;
	const size_t line = (size_t)(conv->side * channels);
	float *to = conv->result;

	for (int image = 0; image < images; image++, output_gradient += conv_output_floats(conv))
		for (int y = 0; y < half; y++, to += 2 * line) {
			const float *row = output_gradient + pooled_row(conv, y);

			for (int x = 0; x < half; x++, choice += channels)
				unpool_pixel(row + x * channels, choice, to + 2 * x * channels,
					     to + line + 2 * x * channels, bias_gradient, channels);
		}
}

void conv_forward(const struct conv *conv, const float *weights, const float *bias,
		  const float *input, float *output, int32_t *choice, int images)
{
	const int k = KERNEL * KERNEL * conv->inputs;

	for (int done = 0; done < images; done += conv->tile) {
		int tile = images - done < conv->tile ? images - done : conv->tile;
		size_t first = (size_t)done;

		im2col(conv, input + first * conv_input_floats(conv), conv->columns, tile);
		cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans,
			    tile * conv->side * conv->side, conv->outputs, k, 1, conv->columns, k,
			    weights, conv->outputs, 0, conv->result, conv->outputs);
		pool(conv, bias, output + first * conv_output_floats(conv),
		     choice + first * conv_pooled(conv), tile);
	}
}

void conv_backward(const struct conv *conv, const float *weights, const float *input,
		   const int32_t *choice, const float *output_gradient, float *weights_gradient,
		   float *bias_gradient, float *input_gradient, int images)
{
	const int k = KERNEL * KERNEL * conv->inputs, n = conv->outputs;

	memset(weights_gradient, 0, (size_t)k * (size_t)n * sizeof(float));
	memset(bias_gradient, 0, (size_t)n * sizeof(float));
	for (int done = 0; done < images; done += conv->tile) {
		int tile = images - done < conv->tile ? images - done : conv->tile;
		int rows = tile * conv->side * conv->side;
		size_t first = (size_t)done;

		unpool(conv, output_gradient + first * conv_output_floats(conv),
		       choice + first * conv_pooled(conv), bias_gradient, tile);
		im2col(conv, input + first * conv_input_floats(conv), conv->columns, tile);
		cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, k, n, rows, 1, conv->columns,
			    k, conv->result, n, 1, weights_gradient, n);
		if (!input_gradient)
			continue;
		cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, k, n, 1, conv->result, n,
			    weights, n, 0, conv->columns, k);
		col2im(conv, conv->columns, input_gradient + first * conv_input_floats(conv), tile);
	}
}

void dense_forward(const float *weights, const float *bias, const float *input, float *output,
		   int images, int inputs, int outputs, int relu)
{
	for (int i = 0; i < images; i++)
		memcpy(output + (size_t)i * (size_t)outputs, bias, (size_t)outputs * sizeof(float));
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, images, outputs, inputs, 1, input,
		    inputs, weights, outputs, 1, output, outputs);
	if (!relu)
		return;
	for (size_t i = 0; i < (size_t)images * (size_t)outputs; i++)
		output[i] = output[i] > 0 ? output[i] : 0;
}

void dense_backward_weights(const float *input, const float *output_gradient,
			    float *weights_gradient, float *bias_gradient, int images, int inputs,
			    int outputs)
{
	cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, inputs, outputs, images, 1, input,
		    inputs, output_gradient, outputs, 0, weights_gradient, outputs);
	memset(bias_gradient, 0, (size_t)outputs * sizeof(float));
	for (int i = 0; i < images; i++)
		for (int j = 0; j < outputs; j++)
			bias_gradient[j] +=
				output_gradient[(size_t)i * (size_t)outputs + (size_t)j];
}

void dense_backward_input(const float *weights, const float *input, const float *output_gradient,
			  float *input_gradient, int images, int inputs, int outputs, int relu)
{
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, images, inputs, outputs, 1,
		    output_gradient, outputs, weights, outputs, 0, input_gradient, inputs);
	if (!relu)
		return;
	for (size_t i = 0; i < (size_t)images * (size_t)inputs; i++)
		input_gradient[i] = input[i] > 0 ? input_gradient[i] : 0;
}

double softmax_loss(const float *scores, const uint8_t *labels, int images, int classes,
		    float scale, float *gradient, int *correct)
{
	double loss = 0;

	*correct = 0;
	for (int i = 0; i < images; i++, scores += classes) {
		int best = 0;
		double sum = 0;

		for (int j = 1; j < classes; j++)
			best = scores[j] > scores[best] ? j : best;
		for (int j = 0; j < classes; j++)
			sum += exp((double)scores[j] - scores[best]);
		loss += log(sum) - ((double)scores[labels[i]] - scores[best]);
		*correct += best == labels[i];
		if (!gradient)
			continue;
		for (int j = 0; j < classes; j++) {
			double p = exp((double)scores[j] - scores[best]) / sum;

			gradient[j] = scale * (float)(p - (j == labels[i]));
		}
		gradient += classes;
	}
	return loss;
}

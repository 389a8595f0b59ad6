/* SPDX-License-Identifier: Apache-2.0 */
#include "train.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Streams of random numbers drawn from the seed. */
enum { STREAM_WEIGHTS = 0, STREAM_EPOCHS = 1 << 20 };

/* The first steps are small: with random weights gradients are large and point anywhere. */
enum { WARM_UP_STEPS = 500 };

/* Images that go through the network at a time. Small parts stay in the caches; and where shares
 * are made of whole parts, sums do not depend on the number of ranks (see accumulator.h). */
enum { PART = 32 };

/* Rank `rank`'s part of `count` things: neighbouring, and as equal as can be. */
static void share(uint32_t count, int rank, int size, uint32_t *first, uint32_t *mine)
{
	uint32_t each = count / (uint32_t)size, extra = count % (uint32_t)size;
	uint32_t r = (uint32_t)rank;

	*first = r * each + (r < extra ? r : extra);
	*mine = each + (r < extra);
}

static int allocate(struct trainer *t, char *error, size_t error_bytes)
{
	size_t bytes = net_floats() * sizeof(float);
	uint32_t max_parts = (uint32_t)(t->options->batch / t->size) / PART + 1;

	if (t->options->heap) {
		t->weights = ronde_alloc(bytes);
		t->gradients = ronde_alloc(bytes);
		if (!t->weights || !t->gradients) {
			snprintf(error, error_bytes, "%s", ronde_error_message());
			return -1;
		}
	} else {
		t->weights = calloc(1, bytes);
		t->gradients = calloc(1, bytes);
	}
	t->order = malloc(t->train.count * sizeof(*t->order));
	if (t->weights && t->gradients && t->order &&
	    !net_init(&t->net, t->weights, t->gradients, PART) &&
	    !accumulator_init(&t->accumulator, t->gradients, t->net.count, max_parts) &&
	    !optimizer_init(&t->optimizer, t->options->optimizer, t->weights, t->gradients,
			    t->net.count))
		return 0;
	snprintf(error, error_bytes, "no memory for the network with a batch of %d images",
		 t->options->batch);
	return -1;
}

int trainer_init(struct trainer *t, const struct options *options, char *error, size_t error_bytes)
{
	double mean, deviation;

	*t = (struct trainer){.options = options, .rank = ronde_rank(), .size = ronde_size()};
	if (dataset_load(&t->train, options->data, "train", error, error_bytes) ||
	    dataset_load(&t->test, options->data, "t10k", error, error_bytes) ||
	    allocate(t, error, error_bytes))
		return -1;
	if (options->losses && t->rank == 0) {
		t->losses = fopen(options->losses, "w");
		if (!t->losses) {
			snprintf(error, error_bytes, "--losses: %s cannot be written: %s",
				 options->losses, strerror(errno));
			return -1;
		}
	}
	dataset_statistics(&t->train, &mean, &deviation);
	t->mean = (float)mean;
	t->scale = (float)(1 / fmax(deviation, 1));
	t->total_steps = (long)options->epochs *
			 ((t->train.count + (long)options->batch - 1) / options->batch);
	progress_init(&t->progress, t->rank == 0);
	return 0;
}

static void release(bool heap, void *memory)
{
	if (heap)
		ronde_free(memory);
	else
		free(memory);
}

void trainer_finish(struct trainer *t)
{
	ronde_distributed_optimizer_destroy(t->distributed);
	optimizer_finish(&t->optimizer);
	net_finish(&t->net);
	release(t->options->heap, t->weights);
	release(t->options->heap, t->gradients);
	accumulator_finish(&t->accumulator);
	free(t->order);
	dataset_finish(&t->train);
	dataset_finish(&t->test);
	if (t->losses && fclose(t->losses))
		fprintf(stderr, "fashion_mnist: --losses: %s could not be written to its end\n",
			t->options->losses);
}

int trainer_start(struct trainer *t)
{
	ronde_distributed_optimizer_options wrapping = RONDE_DISTRIBUTED_OPTIMIZER_OPTIONS_INIT;
	uint64_t seed = t->options->seed + (uint64_t)t->rank;
	int status;

	/* Each rank draws weights of its own, so that it shows if the broadcast did not happen. */
	net_randomize(&t->net, random_stream(seed, STREAM_WEIGHTS));
	status = ronde_broadcast_parameters(t->net.parameters, NET_PARAMETERS, 0);
	if (status)
		return status;
	wrapping.compression = t->options->compression;
	return ronde_distributed_optimizer_create(&t->distributed, optimizer_step, &t->optimizer,
						  t->net.parameters, NET_PARAMETERS, &wrapping);
}

/* Rises to --lr along a line, then falls to 0 along a cosine. */
static float learning_rate(const struct trainer *t)
{
	double step = (double)t->step, warm_up = fmin(WARM_UP_STEPS, 0.1 * (double)t->total_steps);
	double progress = step / (double)t->total_steps;

	return (float)(t->options->rate * fmin(1, (step + 1) / (warm_up + 1)) * 0.5 *
		       (1 + cos(3.14159265358979 * progress)));
}

/* What the ranks add up in every step. */
struct tally {
	double loss, stop;
};

/* A gradient of one part is there; after the last part Ronde can have the sum. */
static int gradient_ready(void *arg, size_t index)
{
	struct trainer *t = arg;

	if (!accumulator_add(&t->accumulator, net_offset(&t->net, index),
			     (size_t)t->net.parameters[index].count))
		return RONDE_OK;
	return ronde_gradient_ready(t->distributed, index);
}

/* Shows the network some images of the training set and adds to the tally. */
static void forward_part(struct trainer *t, const uint32_t *order, uint32_t count, float scale,
			 struct tally *tally)
{
	uint8_t labels[PART];
	int correct;

	for (uint32_t i = 0; i < count; i++) {
		net_set_image(&t->net, (int)i, t->train.pixels + (size_t)order[i] * IMAGE_PIXELS,
			      t->mean, t->scale);
		labels[i] = t->train.labels[order[i]];
	}
	tally->loss += net_forward(&t->net, labels, (int)count, scale, &correct);
}

/* All gradients of this rank's share, each given to Ronde as soon as it is final; and the tally, of
 * which *handle becomes the sum over the ranks. */
static int compute_gradients(struct trainer *t, const uint32_t *order, uint32_t count, float scale,
			     struct tally *mine, struct tally *all, ronde_handle *handle)
{
	uint32_t parts = count > 0 ? (count + PART - 1) / PART : 1;

	for (uint32_t part = 0; part < parts; part++) {
		uint32_t first = part * PART, images = count - first < PART ? count - first : PART;
		float *gradients = accumulator_begin(&t->accumulator, part, parts);
		int status = RONDE_OK;

		forward_part(t, order + first, images, scale, mine);
		if (part + 1 == parts)
			status = ronde_allreduce_async("tally", mine, all, 2, RONDE_FLOAT64,
						       RONDE_SUM, NULL, handle);
		if (!status)
			status = net_backward(&t->net, gradients, (int)images, gradient_ready, t);
		if (status)
			return status;
	}
	return RONDE_OK;
}

static int train_step(struct trainer *t, const uint32_t *order, uint32_t batch)
{
	const struct options *options = t->options;
	struct tally mine = {0}, all = {0};
	uint32_t first, count;
	ronde_handle handle = 0;
	double before;
	int status;

	share(batch, t->rank, t->size, &first, &count);
	mine.stop = options->time_limit > 0 && t->seconds >= options->time_limit;
	/* Scaled so that the average over the ranks is the average over the batch, whatever each
	 * rank's share of it. */
	status = compute_gradients(t, order + first, count, (float)t->size / (float)batch, &mine,
				   &all, &handle);
	if (!status) {
		t->optimizer.rate = learning_rate(t);
		status = ronde_distributed_optimizer_step(t->distributed);
	}
	before = now();
	if (!status)
		status = ronde_wait(handle);
	else if (handle)
		ronde_wait(handle); /* it writes into this function's variables */
	t->waiting += now() - before;
	if (status)
		return status;
	t->step++;
	t->images += batch;
	t->stop = all.stop > 0 || (options->steps && t->step >= options->steps);
	t->recent_loss += (t->step == 1 ? 1 : 0.02) * (all.loss / batch - t->recent_loss);
	if (t->losses)
		fprintf(t->losses, "%.9g\n", all.loss / batch);
	return RONDE_OK;
}

double trainer_waiting(const struct trainer *t)
{
	double waited = t->waiting + ronde_distributed_optimizer_wait_seconds(t->distributed);

	return t->seconds > 0 ? waited / t->seconds : 0;
}

int trainer_epoch(struct trainer *t, int epoch)
{
	const uint32_t count = t->train.count, batch = (uint32_t)t->options->batch;
	struct random random = random_stream(t->options->seed, (uint64_t)(STREAM_EPOCHS + epoch));
	double earlier = t->seconds, start = now();
	int status = RONDE_OK;

	random_permutation(&random, t->order, count);
	for (uint32_t done = 0; done < count && !t->stop && !status;) {
		uint32_t taken = count - done < batch ? count - done : batch;

		status = train_step(t, t->order + done, taken);
		done += taken;
		t->seconds = earlier + now() - start;
		progress_show(&t->progress,
			      &(struct progress_state){.epoch = epoch + 1,
						       .epochs = t->options->epochs,
						       .done = (double)done / count,
						       .loss = t->recent_loss,
						       .images_per_second =
							       (double)t->images / t->seconds,
						       .waiting = trainer_waiting(t)});
	}
	return status;
}

int trainer_accuracy(struct trainer *t, double *accuracy)
{
	const uint32_t most = (uint32_t)t->net.max_images;
	uint32_t first, count;
	int64_t right = 0, all;
	int status;

	share(t->test.count, t->rank, t->size, &first, &count);
	for (uint32_t done = 0; done < count;) {
		uint32_t images = count - done < most ? count - done : most;
		int correct;

		for (uint32_t i = 0; i < images; i++)
			net_set_image(&t->net, (int)i,
				      t->test.pixels + (size_t)(first + done + i) * IMAGE_PIXELS,
				      t->mean, t->scale);
		net_forward(&t->net, t->test.labels + first + done, (int)images, 0, &correct);
		right += correct;
		done += images;
	}
	status = ronde_allreduce("right answers", &right, &all, 1, RONDE_INT64, RONDE_SUM);
	if (status)
		return status;
	*accuracy = (double)all / t->test.count;
	return RONDE_OK;
}

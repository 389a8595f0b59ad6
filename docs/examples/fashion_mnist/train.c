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

/* Images of the least batch that evaluation works with. */
enum { EVALUATION_BATCH = 64 };

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
	int images = t->options->batch / t->size + 1;

	if (images < EVALUATION_BATCH)
		images = EVALUATION_BATCH;
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
	t->labels = malloc((size_t)images);
	t->order = malloc(t->train.count * sizeof(*t->order));
	if (t->weights && t->gradients && t->labels && t->order &&
	    !net_init(&t->net, t->weights, t->gradients, images) &&
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
	free(t->labels);
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

static int gradient_ready(void *distributed, size_t index)
{
	return ronde_gradient_ready(distributed, index);
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
	double loss, correct, stop;
};

static int train_step(struct trainer *t, const uint32_t *order, uint32_t batch)
{
	const struct options *options = t->options;
	struct tally mine = {0}, all;
	uint32_t first, count;
	ronde_handle handle;
	int correct, status;
	double before;

	share(batch, t->rank, t->size, &first, &count);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t image = order[first + i];

		net_set_image(&t->net, (int)i, t->train.pixels + (size_t)image * IMAGE_PIXELS,
			      t->mean, t->scale);
		t->labels[i] = t->train.labels[image];
	}
	/* Scaled so that the average over the ranks is the average over the batch, whatever each
	 * rank's share of it. */
	mine.loss = net_forward(&t->net, t->labels, (int)count, (float)t->size / (float)batch,
				&correct);
	mine.correct = correct;
	mine.stop = options->time_limit > 0 && t->seconds >= options->time_limit;
	status = ronde_allreduce_async("tally", &mine, &all, 3, RONDE_FLOAT64, RONDE_SUM, NULL,
				       &handle);
	if (status)
		return status;
	status = net_backward(&t->net, (int)count, gradient_ready, t->distributed);
	if (!status) {
		t->optimizer.rate = learning_rate(t);
		status = ronde_distributed_optimizer_step(t->distributed);
	}
	before = now();
	if (status)
		ronde_wait(handle); /* it writes into this function's variables */
	else
		status = ronde_wait(handle);
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

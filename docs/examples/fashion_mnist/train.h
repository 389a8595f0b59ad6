/* SPDX-License-Identifier: Apache-2.0 */
/* Everything a training run needs, and the loop itself. */
#ifndef FASHION_MNIST_TRAIN_H
#define FASHION_MNIST_TRAIN_H

#include "accumulator.h"
#include "idx.h"
#include "net.h"
#include "optimizers.h"
#include "options.h"
#include "progress.h"

#include <stdio.h>

struct trainer {
	const struct options *options;
	int rank, size;
	struct dataset train, test;
	float mean, scale; /* pixels are shown to the network as (pixel - mean) · scale */
	struct net net;
	float *weights, *gradients;
	struct accumulator accumulator; /* of gradients, over the parts of this rank's share */
	uint32_t *order;                /* in which this epoch takes the training images */
	struct optimizer optimizer;
	ronde_distributed_optimizer *distributed;
	FILE *losses; /* on rank 0, if wanted */
	struct progress progress;
	long step, total_steps;
	double recent_loss; /* a running average */
	uint64_t images;    /* of all ranks, trained on */
	double seconds;     /* of training, without loading and evaluation */
	double waiting;     /* of them, for the tally of losses */
	bool stop;          /* a limit is reached; the same on all ranks */
};

/*
 * Prepares this rank; no communication. Returns 0, or -1 with a text in `error`. Either way
 * trainer_finish() cleans up.
 */
int trainer_init(struct trainer *trainer, const struct options *options, char *error,
		 size_t error_bytes);
void trainer_finish(struct trainer *trainer);

/* Gives all ranks rank 0's weights and wraps the optimizer. All these return a ronde_status. */
int trainer_start(struct trainer *trainer);
int trainer_epoch(struct trainer *trainer, int epoch);
/* Share of right answers on the test images, the same on all ranks. */
int trainer_accuracy(struct trainer *trainer, double *accuracy);

/* Share of the training time that this rank waited for others. */
double trainer_waiting(const struct trainer *trainer);

#endif

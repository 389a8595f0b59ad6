/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows how training goes: a bar that is redrawn on a terminal, a line now and then elsewhere.
 */
#ifndef FASHION_MNIST_PROGRESS_H
#define FASHION_MNIST_PROGRESS_H

#include <stdbool.h>

struct progress {
	bool shown;    /* only rank 0 shows anything */
	bool terminal; /* what the user sees is a terminal */
	double next;   /* when to show something again, in seconds of now() */
};

struct progress_state {
	int epoch, epochs;
	double done; /* of this epoch, 0 to 1 */
	double loss; /* a recent average */
	double images_per_second;
	double waiting; /* share of time spent waiting for communication, 0 to 1 */
};

/* Seconds on a clock that only goes forward. */
double now(void);

void progress_init(struct progress *progress, bool shown);
void progress_show(struct progress *progress, const struct progress_state *state);
/* Ends the bar; an ordinary line can follow. */
void progress_clear(struct progress *progress);

#endif

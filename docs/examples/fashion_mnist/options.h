/* SPDX-License-Identifier: Apache-2.0 */
/* What the user can choose, from the command line. */
#ifndef FASHION_MNIST_OPTIONS_H
#define FASHION_MNIST_OPTIONS_H

#include "optimizers.h"

#include <ronde/ronde.h>

#include <stdbool.h>
#include <stdint.h>

struct options {
	const char *data;
	const char *losses; /* file, or NULL */
	int epochs;
	int batch;              /* images of all ranks in one step */
	long steps;             /* 0: as many as the epochs have */
	double rate;            /* 0: the optimizer's default */
	double target_accuracy; /* 0: none */
	double time_limit;      /* seconds; 0: none */
	uint64_t seed;
	enum optimizer_kind optimizer;
	ronde_compression compression;
	bool heap;
};

/* Parses; ends the program by itself after --help and for options it does not understand. */
void options_parse(struct options *options, int argc, char **argv);

#endif

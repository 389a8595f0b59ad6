/* SPDX-License-Identifier: Apache-2.0 */
/* What the command line says. */
#ifndef RONDE_PERF_OPTIONS_H
#define RONDE_PERF_OPTIONS_H

#include "ronde/ronde.h"

#include <stdbool.h>
#include <stddef.h>

/* Bits. */
enum perf_placement { PERF_OUT_OF_PLACE = 1, PERF_IN_PLACE = 2 };
enum perf_memory { PERF_HEAP = 1, PERF_ORDINARY = 2 };

struct perf_options {
	const char *command; /* allreduce … overlap; known to exist */
	size_t min_bytes, max_bytes;
	size_t step_bytes; /* not 0: sizes grow by it, else by step_factor */
	double step_factor;
	ronde_dtype dtype;
	ronde_reduction reduction;
	int root;
	int rounds; /* 0: chosen by size, at least 30 */
	int warmup;
	int checks; /* rounds whose results are compared element by element */
	unsigned placements, memories;
	bool compare;
	bool latency;
	double seconds; /* idle: how long to sit still */
	const char *model;
	const char *timeline; /* step: file of the timeline that is recorded in turns, or NULL */
	bool group;           /* step: also as one group */
	const char *csv;      /* file that results are appended to, or NULL */
};

/* Ends the program after --help, and with a message if something is wrong. */
void perf_options_parse(struct perf_options *options, int argc, char **argv);

#endif

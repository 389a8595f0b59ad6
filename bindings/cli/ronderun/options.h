/* SPDX-License-Identifier: Apache-2.0 */
/* What ronderun was asked to do. */
#ifndef RONDE_RUN_OPTIONS_H
#define RONDE_RUN_OPTIONS_H

#include <stdbool.h>

/* Exit status for wrong arguments, as ronde-info's. */
#define RUN_STATUS_USAGE 64

struct run_options {
	int ranks;
	bool dry_run;
	bool bind;            /* each rank to its share of the cores */
	bool prefix;          /* lines begin with "[rank] " */
	double grace;         /* seconds from asking a rank to end until it is killed */
	const char *output;   /* folder of a file per rank, or NULL: all into ronderun's own */
	char *const *command; /* program and arguments, NULL at the end */
};

/*
 * Reads the arguments; puts into the environment what the ranks shall find there (-x, and an option
 * for each setting of the configuration). Wrong ones end the program with RUN_STATUS_USAGE and a
 * text. The strings are argv's.
 */
void run_options_read(struct run_options *options, int argc, char **argv);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The processes of a job: how they are started, asked to end, and ended. */
#ifndef RONDE_RUN_RANKS_H
#define RONDE_RUN_RANKS_H

#include <sys/resource.h>
#include <sys/types.h>

#include "bindings/cli/ronderun/options.h"
#include "bindings/cli/ronderun/output.h"

struct run_rank {
	pid_t pid; /* 0: it has ended; also its process group's number while that lives */
	pid_t group;
	struct run_stream streams[2]; /* standard output and error */
};

/* What all ranks have in common, beside the options. */
struct run_place {
	const char *address;
	struct run_sink *sinks;    /* two, where their streams go */
	struct rlimit descriptors; /* the limit that ronderun was started with */
};

/* Prints what run_rank_start() would do, as lines a shell would take. */
void run_ranks_print(const struct run_options *options, const char *address);

/*
 * Starts a rank in a process group of its own, with the variables that Ronde meets by. It is killed
 * when the calling process dies. Standard input is empty, but for rank 0's if it is no terminal.
 * Returns 0, or the status that ronderun ends with, with a text on standard error: 127 no such
 * program, 126 it cannot be run, 1 anything else.
 */
int run_rank_start(struct run_rank *rank, const struct run_options *options, int index,
		   const struct run_place *place);

/* Sends a signal to what is left of all ranks' process groups. */
void run_ranks_signal(const struct run_rank *ranks, int count, int signal);

#endif

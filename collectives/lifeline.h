/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A descriptor by which other processes notice that this one is gone: a pidfd, or where there is
 * none the read end of a pipe whose write end only this process holds.
 */
#ifndef RONDE_LIFELINE_H
#define RONDE_LIFELINE_H

#include <stdbool.h>

struct ronde_lifeline {
	int give; /* to pass to the others; poll() reports something once the process is gone */
	int keep; /* write end of the pipe; -1 with a pidfd */
	struct ronde_lifeline *next; /* in the list of pipes a forked child must close */
};

/* Before opening and after closing. Closing it is fine. */
#define RONDE_LIFELINE_NONE                                                                        \
	{                                                                                          \
		-1, -1, NULL                                                                       \
	}

/* `pipe`: do as if there were no pidfd. The struct must stay where it is. ERR_SYSTEM, described. */
int ronde_lifeline_open(struct ronde_lifeline *lifeline, bool pipe);
/* Closes `give` only, once it has been passed on. */
void ronde_lifeline_given(struct ronde_lifeline *lifeline);
void ronde_lifeline_close(struct ronde_lifeline *lifeline);

#endif

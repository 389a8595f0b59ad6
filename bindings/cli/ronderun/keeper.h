/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that keeps a job: it starts the ranks, hands on what they print, and ends them all
 * when one fails, when it is told to, or when ronderun has died. All that the ranks ever start
 * become its children when their own parents die (PR_SET_CHILD_SUBREAPER), so it can end those too;
 * it ends itself when it has none left.
 */
#ifndef RONDE_RUN_KEEPER_H
#define RONDE_RUN_KEEPER_H

#include "bindings/cli/ronderun/options.h"

/*
 * Blocks until the job has ended; returns its exit status. orders: a pipe; a byte in it is a signal
 * that the ranks shall get, and the job is to end; its end says that ronderun has died.
 */
int run_keep(const struct run_options *options, const char *address, int orders);

#endif

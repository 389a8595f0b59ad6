/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job over hosts: the command of the MPI launcher that starts it. The launcher's kind is found by
 * what it says of itself, and must be that of the MPI that Ronde was built for.
 */
#ifndef RONDE_RUN_LAUNCHER_H
#define RONDE_RUN_LAUNCHER_H

#include "bindings/cli/ronderun/hosts.h"
#include "bindings/cli/ronderun/options.h"

/*
 * Blocks while the launcher says its version. Sets *command, an array that the caller frees; its
 * words are options', hosts' and the process's own. Returns 0, or the status that ronderun ends
 * with, with a text on standard error.
 */
int run_launcher_make(const struct run_options *options, const struct run_hosts *hosts,
		      char ***command);

#endif

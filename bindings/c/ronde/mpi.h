/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file mpi.h
 * Ronde on a communicator of an MPI program. A header of its own, so that ronde.h needs no mpi.h;
 * compile with that of the MPI Ronde's MPI module is built for. Usable from C99 and C++.
 */
#ifndef RONDE_MPI_H
#define RONDE_MPI_H

#include <mpi.h>
#include <string.h>

#include "ronde/ronde.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * ronde_init() on the ranks of an MPI communicator: the job is these processes, and a rank's number
 * is the one it has there. Disjoint communicators are jobs that know nothing of each other. What
 * RONDE_RANK and the like say does not count. Collective over the communicator; blocks. Does
 * nothing when already initialised: ronde_shutdown() first, to go from one communicator to another.
 * MPI_Finalize() calls ronde_shutdown() if the program has not.
 * @param communicator an intracommunicator of the running MPI. It is copied: the program may free
 *                     it after this call
 * @param options      NULL, or as for ronde_init()
 * Errors: INVALID_ARGUMENT (MPI_COMM_NULL, an intercommunicator), LAUNCHER (MPI is not initialised,
 * or not the one that Ronde's MPI module is built for), and those of ronde_init().
 */
static inline int ronde_init_mpi(MPI_Comm communicator, const ronde_init_options *options)
{
	ronde_init_options all = RONDE_INIT_OPTIONS_INIT;

	if (options)
		memcpy(&all, options, options->size < sizeof(all) ? options->size : sizeof(all));
	if (all.size >= offsetof(ronde_init_options, process_sets))
		all.size = sizeof(all); /* else ronde_init() says what is wrong with it */
	all.mpi_communicator = &communicator;
	return ronde_init(&all);
}

#ifdef __cplusplus
}
#endif

#endif

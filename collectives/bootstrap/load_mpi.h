/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the MPI module, makes sure that it fits the process and its launcher, and opens it. */
#ifndef RONDE_BOOTSTRAP_LOAD_MPI_H
#define RONDE_BOOTSTRAP_LOAD_MPI_H

#include "collectives/bootstrap/launch.h"
#include "collectives/bootstrap/process_mpi.h"

int ronde_mpi_open(struct ronde_bootstrap **bootstrap, const struct ronde_launch *launch,
		   const struct ronde_process_mpi *mpi, double timeout_seconds);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the MPI module, makes sure that it fits the process and its launcher, and opens it. */
#ifndef RONDE_BOOTSTRAP_LOAD_MPI_H
#define RONDE_BOOTSTRAP_LOAD_MPI_H

#include <stddef.h>

#include "collectives/bootstrap/launch.h"
#include "collectives/bootstrap/process_mpi.h"

/*
 * Sets path to the module's file. ERR_LAUNCHER if there is none, with where it was looked for; the
 * text begins with why it is needed, if that can be seen from launch and mpi.
 */
int ronde_mpi_find_module(char *path, size_t bytes, const struct ronde_launch *launch,
			  const struct ronde_process_mpi *mpi);

/* The module's table, or NULL and why in *status. */
const struct ronde_mpi_module *ronde_mpi_load_module(const char *path, int *status);

/* Finds the module, loads it and opens its bootstrap; communicator: see ronde_mpi_request. */
int ronde_mpi_open(struct ronde_bootstrap **bootstrap, const struct ronde_launch *launch,
		   const struct ronde_process_mpi *mpi, double timeout_seconds,
		   const void *communicator);

#endif

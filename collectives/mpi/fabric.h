/* SPDX-License-Identifier: Apache-2.0 */
/* The fabric over MPI, in two files: what it does, and how its communicator is made. */
#ifndef RONDE_MPI_FABRIC_H
#define RONDE_MPI_FABRIC_H

#include "collectives/fabric.h"
#include "collectives/mpi/mpi_state.h"

/* The contract of ronde_fabric_open(). */
int ronde_mpi_open_fabric(struct ronde_bootstrap *bootstrap, struct ronde_fabric **fabric);

/* On the team's communicator for it, which is made. Errors: OUT_OF_MEMORY. */
int ronde_mpi_fabric_create(struct ronde_fabric **fabric, struct ronde_mpi_state *s);

#endif

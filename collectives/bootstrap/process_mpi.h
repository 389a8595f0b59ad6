/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MPI that is already in this process, whoever brought it: the program that is linked to it, or
 * something it has loaded. Found and asked by name, without any mpi.h.
 */
#ifndef RONDE_BOOTSTRAP_PROCESS_MPI_H
#define RONDE_BOOTSTRAP_PROCESS_MPI_H

#include <stdbool.h>

#include "collectives/mpi/module.h"

struct ronde_process_mpi {
	bool found;
	bool running; /* initialised and not finalised */
	enum ronde_mpi_family family;
	char version[128]; /* "Open MPI v4.1.4", as it says itself */
	char file[512];    /* the library it is in */
	int (*initialized)(int *flag);
};

void ronde_process_mpi_find(struct ronde_process_mpi *mpi);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The MPI module, seen by trying it. */
#ifndef RONDE_CLI_MPI_VIEW_H
#define RONDE_CLI_MPI_VIEW_H

#include <stdbool.h>

struct mpi_view {
	char path[2048];       /* "": it is not found */
	char library[128];     /* what it was built for; "": it can't be loaded */
	char thread_level[64]; /* "": MPI does not start */
	char error[4096];      /* why one of these is missing */
};

/*
 * Looks. `running`: this process takes part in a job over MPI; else MPI is started in a child
 * process, which has SECONDS to answer: an MPI that is broken may abort, or never return.
 */
#define MPI_VIEW_SECONDS 20
void mpi_view_look(struct mpi_view *view, bool running);

#endif

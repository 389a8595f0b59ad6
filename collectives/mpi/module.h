/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MPI module: all that includes mpi.h, as a shared object of its own (ronde_mpi.so), built for
 * one MPI and loaded only when that MPI is needed. It exports one symbol, the table below, and does
 * not link to libronde: errors are described through a function it is given.
 *
 * MPI is one per process, and so is what the module keeps of it: whether Ronde initialised it, a
 * private copy of each communicator it was opened on, one more for the fabric, and the numbers of
 * the nodes. It is never unloaded.
 *
 * The end of MPI. If Ronde initialised it, the module finalises it at exit(), but only if the last
 * bootstrap was closed clean (all ranks shut down), because MPI_Finalize() waits for all of them: a
 * rank that leaves early, or calls _exit(), skips it. If the application initialised MPI, its own
 * MPI_Finalize() first ends an open bootstrap; see `finalizing` in bootstrap.h.
 */
#ifndef RONDE_MPI_MODULE_H
#define RONDE_MPI_MODULE_H

#include <stdint.h>

#include "collectives/bootstrap.h"

#define RONDE_MPI_MODULE_ABI 4u
#define RONDE_MPI_MODULE_SYMBOL "ronde_mpi_module"

/* MPIs with the same binary interface, and launched alike. */
enum ronde_mpi_family {
	RONDE_MPI_OTHER = 0,
	RONDE_MPI_OPEN_MPI = 1,
	RONDE_MPI_MPICH = 2 /* and Intel MPI, MVAPICH */
};

struct ronde_mpi_request {
	double timeout_seconds;
	const char *launcher; /* "Open MPI's mpirun (OMPI_COMM_WORLD_SIZE=2)", or NULL: none seen */
	int launcher_size;    /* ranks the launcher says there are; 0: it does not say */
	const char *remedy;   /* what to do when MPI knows of another number: sentences */
	/*
	 * An MPI_Comm of the program, whose ranks are the job; NULL: MPI_COMM_WORLD. It is copied,
	 * and may be freed once the bootstrap is open.
	 */
	const void *communicator;
	/* ronde_error(); kept for as long as the process lives. */
	int (*error)(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
};

struct ronde_mpi_module {
	uint32_t abi; /* RONDE_MPI_MODULE_ABI; nothing else is looked at if it differs */
	int32_t family;
	const char *library; /* "Open MPI 4.1.4": what it was built for */
	/* MPI_Initialized as the module sees it: tells whether it shares the program's MPI. */
	int (*initialized)(int *flag);
	/* What MPI_Query_thread() says, in words: "MPI_THREAD_MULTIPLE". Once MPI is initialised.
	 */
	const char *(*thread_level)(void);
	/*
	 * Opens the one MPI bootstrap of the process; initialises MPI if nobody has. Collective
	 * over the request's communicator. Errors: LAUNCHER, PEER_LOST, BUSY (it is open),
	 * INVALID_ARGUMENT (the communicator), OUT_OF_MEMORY, SYSTEM.
	 */
	int (*open)(struct ronde_bootstrap **bootstrap, const struct ronde_mpi_request *request);
};

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How this process was started, as its environment tells. Read before MPI is touched, because a
 * launcher that MPI does not understand gives n worlds of one, or an abort in MPI_Init().
 */
#ifndef RONDE_BOOTSTRAP_LAUNCH_H
#define RONDE_BOOTSTRAP_LAUNCH_H

#include "collectives/mpi/module.h"

/* How a launcher tells an MPI process who it is. */
enum ronde_speaks {
	RONDE_SPEAKS_PMIX,
	RONDE_SPEAKS_PMI, /* versions 1 and 2 */
	RONDE_SPEAKS_NOTHING
};

/* One row of the table of launchers. */
struct ronde_launcher {
	const char *name;
	const char *marks[3];      /* variables that must be set; NULL: no more */
	const char *size_variable; /* or NULL: the launcher does not say how many ranks there are */
	enum ronde_speaks speaks;
};

enum ronde_launch_kind {
	RONDE_LAUNCH_NONE, /* a world of one */
	RONDE_LAUNCH_UNIX, /* RONDE_RANK, RONDE_SIZE, RONDE_ADDRESS */
	RONDE_LAUNCH_MPI   /* a launcher of MPI programs */
};

struct ronde_launch {
	enum ronde_launch_kind kind;
	int rank, size;                        /* UNIX */
	const char *address;                   /* UNIX; belongs to the environment */
	const struct ronde_launcher *launcher; /* NULL: none seen */
	int launcher_size;                     /* 0: it does not say */
	char launcher_text[128]; /* "Open MPI's mpirun (OMPI_COMM_WORLD_SIZE=2)"; "" if none */
};

/*
 * Reads the environment through lookup(name, arg) (getenv's contract). ERR_CONFIGURATION for
 * RONDE_* variables that are missing or wrong, ERR_LAUNCHER for a launcher's that are no numbers.
 */
int ronde_launch_read(struct ronde_launch *launch,
		      const char *(*lookup)(const char *name, void *arg), void *arg);

/*
 * What to do when an MPI of this family, called `library`, was not started by this launcher:
 * sentences with the command that works.
 */
void ronde_launch_remedy(char *text, size_t bytes, const struct ronde_launch *launch,
			 enum ronde_mpi_family family, const char *library);

/* RONDE_OK, or ERR_LAUNCHER for an MPI that is known not to understand this launcher. */
int ronde_launch_check(const struct ronde_launch *launch, enum ronde_mpi_family family,
		       const char *library);

#endif

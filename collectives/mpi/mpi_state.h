/* SPDX-License-Identifier: Apache-2.0 */
/* What the module's files share. */
#ifndef RONDE_MPI_STATE_H
#define RONDE_MPI_STATE_H

#include <mpi.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "collectives/mpi/module.h"
#include "ronde/ronde.h"

/* What rank 0 says when it has heard of all ranks, or of too few. */
struct ronde_mpi_verdict {
	int32_t status;
	char text[508];
};

/* The ranks of one job, as a private copy of their communicator. */
struct ronde_mpi_team {
	bool ready; /* comm and nodes are made */
	MPI_Comm comm;
	int rank, size;
	int *node_of_rank;
	uint64_t round; /* of exchanges */
	MPI_Comm fabric_comm;
	bool fabric_clean; /* fabric_comm is made, and nothing was left under way on it */
};

/*
 * MPI in this process: there is one, so this is one, static in module.c. `lock` guards the marked
 * fields; the rest belongs to the open bootstrap, and is written before there is one.
 */
struct ronde_mpi_state {
	pthread_mutex_t lock;
	struct ronde_bootstrap *open; /* lock: NULL, or the bootstrap that is open */
	bool clean;                   /* lock: the last one was closed by all */
	bool ours;                    /* we initialised MPI */
	pid_t pid;                    /* of the process that did */
	/*
	 * A team must be made by all its ranks or by none. So that of MPI_COMM_WORLD is made once
	 * and kept, and one of another communicator is made by every opening: nobody can tell
	 * whether the other ranks still have what they made of it earlier.
	 */
	struct ronde_mpi_team world, part;
	struct ronde_mpi_team *team; /* the open bootstrap's: one of these */
	struct ronde_fabric *fabric; /* NULL, or the one that is open */
	int self_key;                /* of the attribute of MPI_COMM_SELF */
	int (*error)(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
	double timeout;
	/* Not OK: something is for ever under way on comm, and nothing else can be done with it. */
	struct ronde_mpi_verdict broken;
	void *given_up; /* what MPI may still read or write: never freed */
};

struct ronde_mpi_state *ronde_mpi_state_of(const struct ronde_bootstrap *bootstrap);

/* Makes it broken (the first cause stays), describes that and returns its status. */
int ronde_mpi_break(struct ronde_mpi_state *s, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* True when all n requests are complete; false at the deadline, or when MPI says no. */
bool ronde_mpi_wait(MPI_Request *requests, int n, double deadline);

/* The contract of ronde_bootstrap_ops.exchange. */
int ronde_mpi_exchange(struct ronde_mpi_state *s, const void *mine, void *all, size_t bytes);

#endif

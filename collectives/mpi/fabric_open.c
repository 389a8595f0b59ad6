/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fabric's communicator: a copy of the team's, of its own, so that its messages meet nobody
 * else's. It is made once and kept for the next opening, unless something was left under way on it
 * (abandon): all ranks then make a new one, since all must take part in that. The old one is never
 * freed: MPI may still be busy with it.
 */
#include <stdlib.h>

#include "collectives/bootstrap/wait.h"
#include "collectives/mpi/fabric.h"

static int check_tags(struct ronde_mpi_state *s)
{
	int *highest = NULL, found = 0;
	MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, &highest, &found);
	if (found && *highest >= (int)RONDE_FABRIC_TAG_MAX)
		return RONDE_OK;
	return s->error(RONDE_ERR_LAUNCHER,
			"this MPI has tags 0 to %d (MPI_TAG_UB), Ronde needs 0 to %u between "
			"nodes: use another MPI, or another transport of this one",
			found ? *highest : 32767, RONDE_FABRIC_TAG_MAX);
}

static int make_communicator(struct ronde_mpi_state *s)
{
	struct ronde_mpi_team *team = s->team;
	MPI_Request request;
	if (MPI_Comm_idup(team->comm, &team->fabric_comm, &request) != MPI_SUCCESS ||
	    !ronde_mpi_wait(&request, 1, ronde_seconds() + s->timeout))
		return ronde_mpi_break(s, RONDE_ERR_PEER_LOST,
				       "not all %d ranks opened the fabric over MPI within %g s",
				       team->size, s->timeout);
	MPI_Comm_set_errhandler(team->fabric_comm, MPI_ERRORS_RETURN);
	team->fabric_clean = true;
	return RONDE_OK;
}

/* Whether every rank has a communicator that can be used again: it is the same one then. */
static int agree(struct ronde_mpi_state *s, bool *all_clean)
{
	bool *clean = malloc((size_t)s->team->size * sizeof *clean);
	if (!clean)
		return ronde_mpi_break(s, RONDE_ERR_OUT_OF_MEMORY,
				       "no memory to open a fabric of %d ranks", s->team->size);
	int status = ronde_mpi_exchange(s, &s->team->fabric_clean, clean, sizeof *clean);
	*all_clean = true;
	for (int r = 0; r < s->team->size && !status; r++)
		*all_clean = *all_clean && clean[r];
	free(clean);
	return status;
}

int ronde_mpi_open_fabric(struct ronde_bootstrap *bootstrap, struct ronde_fabric **fabric)
{
	struct ronde_mpi_state *s = ronde_mpi_state_of(bootstrap);
	if (s->fabric)
		return s->error(RONDE_ERR_BUSY, "the fabric of rank %d is open already",
				s->team->rank);
	int status = check_tags(s);
	bool all_clean = false;
	if (!status)
		status = agree(s, &all_clean);
	if (!status && !all_clean)
		status = make_communicator(s);
	if (!status)
		status = ronde_mpi_fabric_create(&s->fabric, s);
	if (!status)
		*fabric = s->fabric;
	return status;
}

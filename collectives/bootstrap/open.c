/* SPDX-License-Identifier: Apache-2.0 */
/* Which bootstrap it is: asks the environment, and the process for an MPI that runs already. */
#include "collectives/bootstrap.h"

#include <stdlib.h>

#include "collectives/bootstrap/launch.h"
#include "collectives/bootstrap/load_mpi.h"
#include "collectives/bootstrap/process_mpi.h"
#include "collectives/status.h"

static const char *environment(const char *name, void *arg)
{
	(void)arg;
	return getenv(name);
}

int ronde_bootstrap_open(struct ronde_bootstrap **bootstrap, double timeout_seconds,
			 const void *mpi_communicator)
{
	struct ronde_launch launch;
	int status = ronde_launch_read(&launch, environment, NULL);
	if (status)
		return status;
	if (launch.kind == RONDE_LAUNCH_UNIX && !mpi_communicator)
		return ronde_bootstrap_unix(bootstrap, launch.rank, launch.size, launch.address,
					    timeout_seconds);
	struct ronde_process_mpi mpi;
	ronde_process_mpi_find(&mpi);
	if (launch.kind == RONDE_LAUNCH_MPI || mpi.running || mpi_communicator)
		return ronde_mpi_open(bootstrap, &launch, &mpi, timeout_seconds, mpi_communicator);
	return ronde_bootstrap_none(bootstrap);
}

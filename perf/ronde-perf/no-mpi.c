/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for mpi-baseline.c where the program is built without MPI: there is none to compare. */
#include "perf/ronde-perf/mpi-baseline.h"

#include <stdio.h>

bool perf_mpi_start(void)
{
	return false;
}

void perf_mpi_finish(void)
{
}

void perf_mpi_version(char *text, size_t bytes)
{
	snprintf(text, bytes, "none");
}

bool perf_mpi_can(const struct perf_call *call)
{
	(void)call;
	return false;
}

void perf_call_mpi(void *call)
{
	(void)call;
}

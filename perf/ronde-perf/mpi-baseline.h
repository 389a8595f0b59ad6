/* SPDX-License-Identifier: Apache-2.0 */
/* The MPI library as a contestant. Built from mpi-baseline.c, or from no-mpi.c without MPI. */
#ifndef RONDE_PERF_MPI_BASELINE_H
#define RONDE_PERF_MPI_BASELINE_H

#include "perf/ronde-perf/operation.h"

/*
 * Initialises MPI with MPI_THREAD_FUNNELED, in which MPI takes no locks, so that it is measured at
 * its best. Returns false if the program was built without MPI or no MPI launcher is seen.
 */
bool perf_mpi_start(void);
void perf_mpi_finish(void);

/* The library's name and version, short. */
void perf_mpi_version(char *text, size_t bytes);
int perf_mpi_rank(void);
int perf_mpi_size(void);

/* Bookkeeping over MPI, for a program without Ronde. */
extern const struct perf_transport perf_mpi_transport;

/* Whether MPI knows the type (it has no 16-bit floats) and can count the elements. */
bool perf_mpi_can(const struct perf_call *call);

/* For struct perf_contestant: arg is a struct perf_call. An average is measured as a sum. */
void perf_call_mpi(void *call);

#endif

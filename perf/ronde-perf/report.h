/* SPDX-License-Identifier: Apache-2.0 */
/* What is printed and what is written to the CSV file; by rank 0 only. */
#ifndef RONDE_PERF_REPORT_H
#define RONDE_PERF_REPORT_H

#include "perf/ronde-perf/commands.h"
#include "perf/ronde-perf/measure.h"
#include "perf/ronde-perf/operation.h"

/* One contestant's result. */
struct perf_result {
	const char *contestant; /* "ronde", "memcpy", "mpi" */
	const char *memory;     /* "heap", "ordinary" */
	const char *placement;  /* "out-of-place", "in-place", "back-to-back", … */
	const char *type, *reduction;
	size_t bytes;
	int64_t count;
	struct perf_figures figures;
	double bus_factor;
	size_t wrong;
};

/* All contestants of one size and placement. */
struct perf_cell {
	bool measured, has_memcpy, has_mpi;
	struct perf_figures ronde, memcpy, mpi;
	double skew; /* seconds between the ranks' starts */
	size_t wrong;
};

/* One size: a line of the table. */
struct perf_row {
	size_t bytes;
	int64_t count;
	struct perf_cell cells[2]; /* out of place, in place */
};

const char *perf_memory_name(enum perf_memory memory);

/* bytes / seconds in GB/s (10^9); 0 if nothing was timed. */
double perf_bandwidth(size_t bytes, double seconds);

void perf_report_head(const struct perf_run *run);
void perf_report_columns(const struct perf_run *run, enum perf_memory memory);
void perf_report_row(const struct perf_run *run, const struct perf_operation *operation,
		     enum perf_memory memory, const struct perf_row *row);

/* Appends a line to the CSV file, if there is one. */
void perf_report_csv(const struct perf_run *run, const struct perf_result *result);

/* Opens it, with a line of column names if it is new. Ends the program if it can't. */
FILE *perf_report_csv_open(const struct perf_world *world, const char *path);

#endif

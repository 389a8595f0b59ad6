/* SPDX-License-Identifier: Apache-2.0 */
#include "perf/ronde-perf/report.h"
#include "perf/ronde-perf/mpi-baseline.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

const char *perf_memory_name(enum perf_memory memory)
{
	return memory == PERF_HEAP ? "heap" : "ordinary";
}

double perf_bandwidth(size_t bytes, double seconds)
{
	return seconds > 0 ? (double)bytes / seconds * 1e-9 : 0;
}

void perf_report_head(const struct perf_run *run)
{
	char mpi[64] = "not compared";

	if (run->mpi)
		perf_mpi_version(mpi, sizeof(mpi));
	if (run->world->rank != 0)
		return;
	printf("# ronde-perf %s: Ronde %s, %d ranks, %ld cores, MPI: %s\n", run->options->command,
	       ronde_version(), run->world->size, sysconf(_SC_NPROCESSORS_ONLN), mpi);
}

void perf_report_columns(const struct perf_run *run, enum perf_memory memory)
{
	static const char *const titles[] = {"out of place", "in place"};
	bool compare = run->options->compare;

	if (run->world->rank != 0)
		return;
	printf("#\n# memory: %s\n#%45s", perf_memory_name(memory), "");
	for (int i = 0; i < 2; i++)
		if (run->options->placements & (1u << i))
			printf(" %-*s", compare ? 78 : 34, titles[i]);
	printf("\n#%11s %11s %8s %7s %4s", "size", "count", "type", "redop", "root");
	for (int i = 0; i < 2; i++) {
		if (!(run->options->placements & (1u << i)))
			continue;
		printf("%10s %8s %8s %6s", "time", "algbw", "busbw", "#wrong");
		if (compare)
			printf("%10s %7s %7s %10s %6s", "memcpy", "GB/s", "/memcpy", "mpi", "mpi/");
	}
	printf("\n#%11s %11s %28s", "(B)", "(elements)", "");
	for (int i = 0; i < 2; i++) {
		if (!(run->options->placements & (1u << i)))
			continue;
		printf("%2s%10s %8s %8s %6s", "", "(us)", "(GB/s)", "(GB/s)", "");
		if (compare)
			printf("%10s %7s %7s %10s %6s", "(us)", "", "(ratio)", "(us)", "ronde");
	}
	printf("\n");
	fflush(stdout);
}

static void print_cell(const struct perf_run *run, const struct perf_cell *cell, size_t bytes,
		       double bus_factor)
{
	double bandwidth = perf_bandwidth(bytes, cell->ronde.median);

	if (!cell->measured) {
		printf("%10s %8s %8s %6s", "N/A", "N/A", "N/A", "N/A");
	} else {
		printf("%10.2f %8.2f %8.2f ", cell->ronde.median * 1e6, bandwidth,
		       bandwidth * bus_factor);
		if (run->options->checks > 0)
			printf("%6zu", cell->wrong);
		else
			printf("%6s", "N/A");
	}
	if (!run->options->compare)
		return;
	if (cell->has_memcpy)
		printf("%10.2f %7.2f %7.2f ", cell->memcpy.median * 1e6,
		       perf_bandwidth(bytes, cell->memcpy.median),
		       cell->ronde.median / cell->memcpy.median);
	else
		printf("%10s %7s %7s ", "N/A", "N/A", "N/A");
	if (cell->has_mpi)
		printf("%10.2f %6.1f", cell->mpi.median * 1e6,
		       cell->mpi.median / cell->ronde.median);
	else
		printf("%10s %6s", "N/A", "N/A");
}

static void csv_cell(const struct perf_run *run, const struct perf_cell *cell,
		     struct perf_result result)
{
	if (!cell->measured)
		return;
	result.contestant = "ronde";
	result.figures = cell->ronde;
	result.wrong = cell->wrong;
	perf_report_csv(run, &result);
	result.wrong = 0;
	if (cell->has_memcpy) {
		result.contestant = "memcpy";
		result.figures = cell->memcpy;
		perf_report_csv(run, &result);
	}
	if (cell->has_mpi) {
		result.contestant = "mpi";
		result.figures = cell->mpi;
		perf_report_csv(run, &result);
	}
}

void perf_report_row(const struct perf_run *run, const struct perf_operation *operation,
		     enum perf_memory memory, const struct perf_row *row)
{
	const struct perf_options *options = run->options;
	const char *reduction =
		operation->reduces ? perf_reduction_name(options->reduction) : "none";
	const char *type = operation->has_data ? perf_dtype_name(options->dtype) : "none";
	double bus_factor = perf_operation_bus_factor(operation, run->world->size);

	if (run->world->rank != 0)
		return;
	printf("%12zu %11lld %8s %7s %4d", row->bytes, (long long)row->count, type, reduction,
	       operation->rooted ? options->root : -1);
	for (int i = 0; i < 2; i++) {
		struct perf_result result = {
			.memory = perf_memory_name(memory),
			.placement = i == 0 ? "out-of-place" : "in-place",
			.type = type,
			.reduction = reduction,
			.bytes = row->bytes,
			.count = row->count,
			.bus_factor = bus_factor,
		};

		if (!(options->placements & (1u << i)))
			continue;
		print_cell(run, &row->cells[i], row->bytes, bus_factor);
		csv_cell(run, &row->cells[i], result);
	}
	printf("\n");
	fflush(stdout);
}

FILE *perf_report_csv_open(const struct perf_world *world, const char *path)
{
	FILE *csv;

	if (!path || world->rank != 0)
		return NULL;
	csv = fopen(path, "a");
	if (!csv)
		perf_die(world, "--csv: can't write to %s: %s", path, strerror(errno));
	if (ftell(csv) == 0)
		fprintf(csv, "command,contestant,memory,placement,ranks,bytes,count,type,redop,"
			     "median_us,p99_us,min_us,max_us,mean_us,algbw,busbw,wrong\n");
	return csv;
}

void perf_report_csv(const struct perf_run *run, const struct perf_result *result)
{
	const struct perf_figures *f = &result->figures;
	double bandwidth = perf_bandwidth(result->bytes, f->median);

	if (!run->csv)
		return;
	fprintf(run->csv, "%s,%s,%s,%s,%d,%zu,%lld,%s,%s,%.4f,%.4f,%.4f,%.4f,%.4f,%.4f,%.4f,%zu\n",
		run->options->command, result->contestant, result->memory, result->placement,
		run->world->size, result->bytes, (long long)result->count, result->type,
		result->reduction, f->median * 1e6, f->p99 * 1e6, f->min * 1e6, f->max * 1e6,
		f->mean * 1e6, bandwidth, bandwidth * result->bus_factor, result->wrong);
	fflush(run->csv);
}

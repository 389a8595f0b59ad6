/* SPDX-License-Identifier: Apache-2.0 */
/* A program's frame around its command: the ranks' runtime, started and ended; its memory; what the
 * ranks tell each other besides, by Ronde itself. */
#include "perf/ronde-perf/commands.h"
#include "perf/ronde-perf/mpi-baseline.h"
#include "perf/ronde-perf/report.h"

#include <stdlib.h>
#include <string.h>

void perf_check(const struct perf_world *world, int status, const char *what)
{
	if (status < 0)
		perf_die(world, "%s: %s: %s", what, ronde_status_name(status),
			 ronde_error_message());
}

void *perf_memory_get(const struct perf_world *world, enum perf_memory kind, size_t bytes)
{
	size_t rounded = (bytes + 63) / 64 * 64 + 64;
	void *memory = kind == PERF_HEAP ? ronde_alloc(rounded) : aligned_alloc(64, rounded);

	if (!memory)
		perf_die(world, "no %zu bytes of %s memory: %s", rounded, perf_memory_name(kind),
			 kind == PERF_HEAP ? ronde_error_message() : "use a smaller -e");
	memset(memory, 0, rounded);
	return memory;
}

void perf_memory_put(enum perf_memory kind, void *memory)
{
	if (kind == PERF_HEAP)
		ronde_free(memory);
	else
		free(memory);
}

static void broadcast(const struct perf_world *world, void *data, size_t bytes)
{
	perf_check(
		world,
		ronde_broadcast("perf.world.broadcast", data, data, (int64_t)bytes, RONDE_UINT8, 0),
		"broadcast");
}

static void max(const struct perf_world *world, double *values, size_t count)
{
	perf_check(world,
		   ronde_allreduce("perf.world.max", values, values, (int64_t)count, RONDE_FLOAT64,
				   RONDE_MAX),
		   "max");
}

static void sum(const struct perf_world *world, double *values, size_t count)
{
	perf_check(world,
		   ronde_allreduce("perf.world.sum", values, values, (int64_t)count, RONDE_FLOAT64,
				   RONDE_SUM),
		   "sum");
}

static void barrier(const struct perf_world *world)
{
	perf_check(world, ronde_barrier(), "barrier");
}

static const struct perf_transport transport = {
	.broadcast = broadcast,
	.max = max,
	.sum = sum,
	.barrier = barrier,
};

int perf_main(int argc, char **argv)
{
	struct perf_world world = {0};
	struct perf_options options;
	struct perf_run run = {.options = &options, .world = &world};
	size_t wrong;

	perf_options_parse(&options, argc, argv);
	run.mpi = options.compare && perf_mpi_start();
	perf_check(&world, ronde_init(NULL), "init");
	perf_world_open(&world, ronde_rank(), ronde_size(), &transport);
	run.csv = perf_report_csv_open(&world, options.csv);
	perf_report_head(&run);
	wrong = perf_command_find(options.command)(&run);
	if (run.csv)
		fclose(run.csv);
	perf_check(&world, ronde_barrier(), "barrier at the end");
	perf_check(&world, ronde_shutdown(), "shutdown");
	perf_world_close(&world);
	if (run.mpi)
		perf_mpi_finish();
	return wrong ? 1 : 0;
}

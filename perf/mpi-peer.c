/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mpi-peer ROUNDS BYTES…: MPI_Allreduce of float32 sums, out of place in ordinary memory, measured
 * exactly as ronde-perf measures, but without Ronde. For an MPI other than the one Ronde was built
 * for: two of them can't live in one process. perf/run.sh builds it with that MPI's compiler.
 *
 * Prints lines of ronde-perf's CSV format. Sizes up to 4 KiB are also called back to back.
 */
#include "perf/ronde-perf/measure.h"
#include "perf/ronde-perf/mpi-baseline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fill(void *arg, int round)
{
	const struct perf_call *call = arg;

	perf_data_fill(call->data, call->input, (size_t)call->count, call->world->rank, round);
}

static void print(const struct perf_call *call, const char *called, const char *library,
		  const struct perf_figures *f, size_t wrong)
{
	size_t bytes = (size_t)call->count * sizeof(float);
	double bandwidth = (double)bytes / f->median * 1e-9;
	int size = call->world->size;

	if (call->world->rank != 0)
		return;
	printf("allreduce,%s,ordinary,%s,%d,%zu,%lld,float32,sum,%.4f,%.4f,%.4f,%.4f,%.4f,%.4f,"
	       "%.4f,%zu\n",
	       library, called, size, bytes, (long long)call->count, f->median * 1e6, f->p99 * 1e6,
	       f->min * 1e6, f->max * 1e6, f->mean * 1e6, bandwidth,
	       bandwidth * 2 * (size - 1) / size, wrong);
	fflush(stdout);
}

static void measure(const struct perf_world *world, struct perf_call *call, int rounds,
		    bool back_to_back, const char *library)
{
	struct perf_contestant contestant = {"mpi", fill, perf_call_mpi, call};
	struct perf_rounds plan = {2, rounds, 1, NULL};
	struct perf_measurement measurement;
	size_t wrong;

	if (back_to_back) {
		plan.repeat = rounds < 200 ? rounds : 200;
		plan.rounds = (rounds + plan.repeat - 1) / plan.repeat;
	}
	perf_measure(world, &contestant, 1, &plan, &measurement);
	wrong = perf_data_wrong_reduced(call->data, call->output, 0, (size_t)call->count,
					plan.rounds - 1);
	print(call, back_to_back ? "back-to-back" : "out-of-place", library,
	      &measurement.figures[0], wrong);
}

static void measure_size(const struct perf_world *world, const struct perf_data *data, size_t bytes,
			 int rounds, const char *library)
{
	struct perf_call call = {
		.world = world,
		.kind = PERF_ALLREDUCE,
		.count = (int64_t)(bytes / sizeof(float)),
		.data = data,
	};

	call.input = aligned_alloc(64, bytes / 64 * 64 + 64);
	call.output = aligned_alloc(64, bytes / 64 * 64 + 64);
	if (!call.input || !call.output)
		perf_die(world, "no memory for two tensors of %zu bytes", bytes);
	memset(call.output, 0, bytes);
	measure(world, &call, rounds, false, library);
	if (bytes <= 4096)
		measure(world, &call, rounds, true, library);
	free(call.output);
	free(call.input);
}

int main(int argc, char **argv)
{
	struct perf_world world;
	struct perf_data data;
	char library[64];
	int rounds;

	if (argc < 3 || (rounds = atoi(argv[1])) < 1) {
		fprintf(stderr, "usage: mpirun -np N %s ROUNDS BYTES...\n", argv[0]);
		return 2;
	}
	if (!perf_mpi_start()) {
		fprintf(stderr, "%s: start it with the mpirun of the MPI it was built for\n",
			argv[0]);
		return 2;
	}
	perf_mpi_version(library, sizeof(library));
	perf_world_open(&world, perf_mpi_rank(), perf_mpi_size(), &perf_mpi_transport);
	perf_data_init(&data, RONDE_FLOAT32, RONDE_SUM, world.size);
	for (int i = 2; i < argc; i++)
		measure_size(&world, &data, (size_t)atoll(argv[i]), rounds, library);
	perf_world_close(&world);
	perf_mpi_finish();
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Percentiles of one operation's time, for small tensors. Two ways of calling it:
 *
 *   after a meeting  the ranks rewrite their tensors, start together, and call once
 *   back to back     call after call without a pause, each timed; contestants change every 50
 *
 * As everywhere the time of a call is the slowest rank's.
 */
#include "perf/ronde-perf/collective.h"

static void print_result(const struct perf_run *run, const struct perf_result *result)
{
	const struct perf_figures *f = &result->figures;

	perf_report_csv(run, result);
	if (run->world->rank == 0)
		printf("%12zu %11lld %9s %14s %8s %9.2f %9.2f %9.2f %9.2f %9.2f\n", result->bytes,
		       (long long)result->count, result->memory, result->placement,
		       result->contestant, f->median * 1e6, f->p99 * 1e6, f->min * 1e6,
		       f->max * 1e6, f->mean * 1e6);
}

static void measure_way(const struct perf_run *run, const struct perf_operation *operation,
			const struct perf_buffers *buffers, const struct perf_data *data,
			size_t bytes, bool back_to_back)
{
	struct perf_contestant list[PERF_MAX_CONTESTANTS];
	struct perf_measurement measurement;
	struct perf_rounds rounds = {run->options->warmup, 2000, 1, NULL};
	struct perf_call ronde, copy, mpi;
	int count;

	if (run->options->rounds)
		rounds.rounds = run->options->rounds;
	if (back_to_back) {
		rounds.repeat = rounds.rounds < 50 ? rounds.rounds : 50;
		rounds.rounds = (rounds.rounds + rounds.repeat - 1) / rounds.repeat;
	}
	perf_call_init(&ronde, run, operation, data, bytes);
	ronde.input = buffers->input;
	ronde.output = buffers->output;
	mpi = ronde;
	mpi.input = buffers->ordinary_input;
	mpi.output = buffers->ordinary_output;
	copy = mpi;
	copy.output = buffers->copy;
	count = perf_contestants(run, list, &ronde, &copy, &mpi);
	perf_measure(run->world, list, count, &rounds, &measurement);
	for (int i = 0; i < count; i++) {
		struct perf_result result = {
			.contestant = list[i].name,
			.memory = perf_memory_name(buffers->memory),
			.placement = back_to_back ? "back-to-back" : "after-meeting",
			.type = operation->has_data ? perf_dtype_name(data->dtype) : "none",
			.reduction =
				operation->reduces ? perf_reduction_name(data->reduction) : "none",
			.bytes = bytes,
			.count = ronde.count,
			.figures = measurement.figures[i],
			.bus_factor = perf_operation_bus_factor(operation, run->world->size),
		};

		print_result(run, &result);
	}
}

size_t perf_latency(struct perf_run *run)
{
	const struct perf_options *options = run->options;
	const struct perf_operation *operation = perf_operation_find(options->command);
	struct perf_buffers buffers;
	struct perf_data data;

	perf_data_init(&data, options->dtype, operation->reduces ? options->reduction : RONDE_SUM,
		       run->world->size);
	if (run->world->rank == 0)
		printf("#\n#%11s %11s %9s %14s %8s %9s %9s %9s %9s %9s\n#%11s %11s %43s\n", "size",
		       "count", "memory", "called", "who", "p50", "p99", "min", "max", "mean",
		       "(B)", "(elements)", "(times in us)");
	for (unsigned memory = PERF_HEAP; memory <= PERF_ORDINARY; memory++) {
		if (!(options->memories & memory))
			continue;
		perf_buffers_open(run, &buffers, memory, options->max_bytes);
		for (size_t bytes = perf_first_size(run, operation); bytes <= options->max_bytes;
		     bytes = perf_next_size(run, operation, bytes))
			for (int way = 0; way < 2; way++)
				measure_way(run, operation, &buffers, &data, bytes, way == 1);
		perf_buffers_close(&buffers);
	}
	return 0;
}

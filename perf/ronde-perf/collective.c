/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of single operations, allreduce to barrier: a range of sizes, out of place and in
 * place, in heap and ordinary memory; and with --latency, percentiles of the same calls.
 *
 * memcpy and MPI always work on ordinary memory: the same buffers as Ronde where that is what is
 * measured, others of the same size beside the heap.
 */
#include "perf/ronde-perf/collective.h"
#include "perf/ronde-perf/mpi-baseline.h"

#include <string.h>

int perf_contestants(const struct perf_run *run, struct perf_contestant *list,
		     struct perf_call *ronde, struct perf_call *memcpy_call, struct perf_call *mpi)
{
	int count = 0;

	list[count++] = (struct perf_contestant){"ronde", perf_call_fill, perf_call_ronde, ronde};
	if (run->options->compare && ronde->kind != PERF_BARRIER)
		list[count++] = (struct perf_contestant){"memcpy", perf_call_fill, perf_call_memcpy,
							 memcpy_call};
	if (run->mpi && perf_mpi_can(mpi))
		list[count++] = (struct perf_contestant){"mpi", perf_call_fill, perf_call_mpi, mpi};
	return count;
}

void perf_buffers_open(const struct perf_run *run, struct perf_buffers *buffers,
		       enum perf_memory memory, size_t bytes)
{
	*buffers = (struct perf_buffers){.memory = memory};
	buffers->input = perf_memory_get(run->world, memory, bytes);
	buffers->output = perf_memory_get(run->world, memory, bytes);
	buffers->ordinary_input = buffers->input;
	buffers->ordinary_output = buffers->output;
	if (memory == PERF_HEAP && run->options->compare) {
		buffers->ordinary_input = perf_memory_get(run->world, PERF_ORDINARY, bytes);
		buffers->ordinary_output = perf_memory_get(run->world, PERF_ORDINARY, bytes);
	}
	if (run->options->compare)
		buffers->copy = perf_memory_get(run->world, PERF_ORDINARY, bytes);
}

void perf_buffers_close(struct perf_buffers *buffers)
{
	if (buffers->ordinary_input != buffers->input) {
		perf_memory_put(PERF_ORDINARY, buffers->ordinary_input);
		perf_memory_put(PERF_ORDINARY, buffers->ordinary_output);
	}
	if (buffers->copy)
		perf_memory_put(PERF_ORDINARY, buffers->copy);
	perf_memory_put(buffers->memory, buffers->input);
	perf_memory_put(buffers->memory, buffers->output);
}

void perf_call_init(struct perf_call *call, const struct perf_run *run,
		    const struct perf_operation *operation, const struct perf_data *data,
		    size_t bytes)
{
	size_t element = perf_dtype_bytes(data->dtype);

	if (operation->gathers)
		bytes /= (size_t)run->world->size;
	*call = (struct perf_call){
		.world = run->world,
		.kind = operation->kind,
		.count = (int64_t)(bytes / element),
		.root = run->options->root,
		.data = data,
	};
	snprintf(call->name, sizeof(call->name), "perf.%s.%zu", operation->name, bytes);
}

int perf_choose_rounds(const struct perf_options *options, size_t bytes)
{
	size_t rounds = ((size_t)256 << 20) / (bytes + 1);

	if (options->rounds)
		return options->rounds;
	return rounds < 30 ? 30 : rounds > 500 ? 500 : (int)rounds;
}

/* Operations whose results are compared with what they should be; all ranks' wrong elements. */
static size_t check(const struct perf_run *run, struct perf_call *call)
{
	double wrong = 0;

	for (int round = 0; round < run->options->checks; round++) {
		perf_call_fill(call, 1000 + round);
		perf_world_meet(run->world);
		perf_call_ronde(call);
		wrong += (double)perf_call_wrong(call, 1000 + round);
	}
	run->world->transport->sum(run->world, &wrong, 1);
	return (size_t)wrong;
}

static void measure_cell(const struct perf_run *run, const struct perf_operation *operation,
			 const struct perf_buffers *buffers, const struct perf_data *data,
			 size_t bytes, bool in_place, struct perf_cell *cell)
{
	struct perf_contestant list[PERF_MAX_CONTESTANTS];
	struct perf_measurement measurement;
	struct perf_rounds rounds = {run->options->warmup, perf_choose_rounds(run->options, bytes),
				     1, NULL};
	struct perf_call ronde, copy, mpi;
	int count;

	perf_call_init(&ronde, run, operation, data, bytes);
	ronde.output = buffers->output;
	ronde.input = in_place ? buffers->output : buffers->input;
	copy = mpi = ronde;
	copy.input = buffers->ordinary_input;
	copy.output = buffers->copy;
	mpi.output = buffers->ordinary_output;
	mpi.input = in_place ? buffers->ordinary_output : buffers->ordinary_input;
	count = perf_contestants(run, list, &ronde, &copy, &mpi);
	perf_measure(run->world, list, count, &rounds, &measurement);
	cell->measured = true;
	for (int i = 0; i < count; i++) {
		if (strcmp(list[i].name, "ronde") == 0) {
			cell->ronde = measurement.figures[i];
		} else if (strcmp(list[i].name, "memcpy") == 0) {
			cell->has_memcpy = true;
			cell->memcpy = measurement.figures[i];
		} else {
			cell->has_mpi = true;
			cell->mpi = measurement.figures[i];
		}
	}
	cell->skew = measurement.skew;
	cell->wrong = check(run, &ronde);
}

static size_t measure_row(const struct perf_run *run, const struct perf_operation *operation,
			  const struct perf_buffers *buffers, const struct perf_data *data,
			  size_t bytes, double *skew)
{
	struct perf_row row = {0};
	size_t wrong = 0;

	for (int i = 0; i < 2; i++) {
		if (!(run->options->placements & (1u << i)) || (i == 1 && !operation->in_place))
			continue;
		measure_cell(run, operation, buffers, data, bytes, i == 1, &row.cells[i]);
		wrong += row.cells[i].wrong;
		if (row.cells[i].skew > *skew)
			*skew = row.cells[i].skew;
	}
	row.bytes = bytes;
	row.count = (int64_t)(bytes / perf_dtype_bytes(data->dtype));
	perf_report_row(run, operation, buffers->memory, &row);
	return wrong;
}

static size_t unit(const struct perf_run *run, const struct perf_operation *operation)
{
	size_t element = perf_dtype_bytes(run->options->dtype);

	return operation->gathers || operation->scatters ? element * (size_t)run->world->size
							 : element;
}

size_t perf_first_size(const struct perf_run *run, const struct perf_operation *operation)
{
	size_t one = unit(run, operation);

	return (run->options->min_bytes + one - 1) / one * one;
}

size_t perf_next_size(const struct perf_run *run, const struct perf_operation *operation,
		      size_t bytes)
{
	const struct perf_options *options = run->options;
	size_t one = unit(run, operation);
	size_t next = options->step_bytes ? bytes + options->step_bytes
					  : (size_t)((double)bytes * options->step_factor);

	next -= next % one;
	return next > bytes ? next : bytes + one;
}

size_t perf_collective(struct perf_run *run)
{
	const struct perf_options *options = run->options;
	const struct perf_operation *operation = perf_operation_find(options->command);
	struct perf_buffers buffers;
	struct perf_data data;
	double skew = 0;
	size_t wrong = 0;

	if (options->latency)
		return perf_latency(run);
	if (options->root >= run->world->size)
		perf_die(run->world, "-r %d: there are only %d ranks", options->root,
			 run->world->size);
	perf_data_init(&data, options->dtype, operation->reduces ? options->reduction : RONDE_SUM,
		       run->world->size);
	for (unsigned memory = PERF_HEAP; memory <= PERF_ORDINARY; memory++) {
		if (!(options->memories & memory))
			continue;
		perf_buffers_open(run, &buffers, memory, options->max_bytes);
		perf_report_columns(run, memory);
		for (size_t bytes = perf_first_size(run, operation); bytes <= options->max_bytes;
		     bytes = perf_next_size(run, operation, bytes))
			wrong += measure_row(run, operation, &buffers, &data, bytes, &skew);
		perf_buffers_close(&buffers);
	}
	if (run->world->rank == 0)
		printf("#\n# wrong elements: %zu; ranks started at most %.0f ns apart (median of a "
		       "row's rounds)\n",
		       wrong, skew * 1e9);
	return wrong;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An allreduce taken apart. Contestants of the same rounds, on the same tensors:
 *
 *   memcpy         of the input, by all ranks at once, in ordinary memory
 *   mpi            MPI_Allreduce, in ordinary memory
 *   ronde          ronde_allreduce(), by name
 *   ronde-handle   ronde_allreduce_async() and ronde_wait()
 *   ronde-8        ronde_allreduce() of 8 floats, the tensor rewritten before it all the same: what
 *                  agreeing costs with caches as cold
 *   bare           the algorithm that the runtime picks, with its chunks and its staging, and the
 *                  ranks waiting for each other; nobody agrees on anything
 *   moves-…        its loads, sums and stores; nobody waits either (perf/algorithms/moves.c)
 *   moves-lines    with --latency: a cache line to the leader and one back (lines.h)
 *
 * So bare − the fastest moves is what the waiting costs, and those moves are the machine's part; of
 * ronde − bare, ronde-8 is the agreement, and what is left the turns of the engine. All results
 * that can be right are compared with what they should be.
 */
#include "perf/limits/inside.h"
#include "perf/ronde-perf/collective.h"
#include "perf/ronde-perf/mpi-baseline.h"
#include "perf/ronde-perf/report.h"

#include <string.h>

/* A contestant: how it is called, and on what. */
struct seat {
	struct perf_call call;
	struct perf_inside *inside;
	struct perf_call few;            /* ronde-8: the first floats of that */
	struct candidate candidate;      /* bare, moves */
	const struct perf_call *checked; /* NULL: its result can't be right */
};

/* What rides along in an announcement. */
#define FEW_BYTES (8 * sizeof(float))

struct cell {
	const struct perf_run *run;
	const struct perf_operation *operation;
	const struct perf_data *data;
	struct perf_inside *inside;
	enum perf_memory memory;
	bool in_place;
	size_t bytes;
	struct seat seats[PERF_MAX_CONTESTANTS];
	struct perf_contestant list[PERF_MAX_CONTESTANTS];
	int count;
};

/* ---- what is timed ---- */

/* Moves wait for nobody: until all have done theirs a tensor may still be read. */
static void fill(void *arg, int round)
{
	struct seat *seat = arg;

	perf_world_meet(seat->call.world);
	perf_call_fill(&seat->call, round);
}

static void run_copy(void *arg)
{
	perf_call_memcpy(&((struct seat *)arg)->call);
}

static void run_mpi(void *arg)
{
	perf_call_mpi(&((struct seat *)arg)->call);
}

static void run_ronde(void *arg)
{
	perf_call_ronde(&((struct seat *)arg)->call);
}

static void run_few(void *arg)
{
	perf_call_ronde(&((struct seat *)arg)->few);
}

static void run_handle(void *arg)
{
	struct perf_call *call = &((struct seat *)arg)->call;
	ronde_handle handle;
	int status = ronde_allreduce_async(call->name, call->input, call->output, call->count,
					   call->data->dtype, call->data->reduction, NULL, &handle);

	if (status == RONDE_OK)
		status = ronde_wait(handle);
	perf_check(call->world, status, call->name);
}

static void run_bare(void *arg)
{
	struct seat *seat = arg;

	perf_run_operation(&seat->inside->rank, &seat->candidate);
}

static void run_moves(void *arg)
{
	struct seat *seat = arg;

	seat->candidate.moves->run(&seat->inside->rank, seat->candidate.moves);
}

static void relax(void *rank)
{
	perf_relax(rank);
}

static void run_lines(void *arg)
{
	struct seat *seat = arg;

	perf_lines_add(&seat->inside->lines, seat->call.input, seat->call.output,
		       (size_t)seat->call.count, relax, &seat->inside->rank);
}

/* ---- who takes part ---- */

/* On the cell's own tensors, or on the ordinary ones beside the heap. */
static struct seat *seat(struct cell *cell, const char *name, void (*run)(void *), bool ordinary)
{
	struct perf_inside *inside = cell->inside;
	struct seat *s = &cell->seats[cell->count];
	bool heap = cell->memory == PERF_HEAP && !ordinary;

	*s = (struct seat){.inside = inside, .checked = &s->call};
	perf_call_init(&s->call, cell->run, cell->operation, cell->data, cell->bytes);
	s->call.input = heap ? inside->heap : inside->input;
	s->call.output = cell->in_place ? s->call.input
			 : heap         ? inside->heap + inside->options.to
					: inside->output;
	cell->list[cell->count++] = (struct perf_contestant){name, fill, run, s};
	return s;
}

static void seat_moves(struct cell *cell)
{
	size_t rows;
	const struct moves *table = perf_moves(&rows);

	for (size_t i = 0; i < rows; i++) {
		struct seat *s;

		/* In place nothing goes past the caches. */
		if (table[i].heap != (cell->memory == PERF_HEAP) ||
		    (table[i].streaming && cell->in_place))
			continue;
		s = seat(cell, table[i].name + strlen("allreduce-"), run_moves, false);
		s->candidate.moves = &table[i];
		if (!table[i].checked)
			s->checked = NULL;
	}
}

static void seat_few(struct cell *cell)
{
	struct seat *s = seat(cell, "ronde-8", run_few, false);

	perf_call_init(&s->few, cell->run, cell->operation, cell->data, FEW_BYTES);
	s->few.input = s->call.input;
	s->few.output = s->call.output;
	s->checked = &s->few;
}

static void seat_all(struct cell *cell, bool small)
{
	enum ronde_path path = cell->memory == PERF_HEAP ? RONDE_PATH_ZERO_COPY : RONDE_PATH_STAGED;
	struct seat *s = seat(cell, "memcpy", run_copy, true);

	s->call.output = cell->inside->copy;
	s->checked = NULL;
	if (cell->run->mpi)
		seat(cell, "mpi", run_mpi, true);
	seat(cell, "ronde", run_ronde, false);
	seat(cell, "ronde-handle", run_handle, false);
	s = seat(cell, "bare", run_bare, false);
	s->candidate = perf_inside_bare(cell->inside, path, cell->bytes);
	if (!small) {
		if (cell->bytes >= FEW_BYTES)
			seat_few(cell);
		seat_moves(cell);
	} else if (cell->bytes <= PERF_LINE_FLOATS * sizeof(float)) {
		seat(cell, "moves-lines", run_lines, false);
	}
}

/* ---- figures ---- */

/* All ranks' wrong elements of a contestant's next round. */
static size_t check(const struct cell *cell, const struct perf_contestant *contestant)
{
	struct seat *s = contestant->arg;
	double wrong = 0;

	for (int round = 1000; s->checked && round < 1000 + cell->run->options->checks; round++) {
		contestant->prepare(s, round);
		perf_world_meet(cell->run->world);
		contestant->run(s);
		perf_world_meet(cell->run->world);
		wrong += (double)perf_call_wrong(s->checked, round);
	}
	cell->run->world->transport->sum(cell->run->world, &wrong, 1);
	return (size_t)wrong;
}

static size_t measure(struct cell *cell, const struct perf_rounds *rounds, const char *placement)
{
	const struct perf_run *run = cell->run;
	struct perf_measurement measurement;
	size_t wrong = 0;

	cell->inside->rank.bytes = cell->bytes;
	cell->inside->options.out_of_place = !cell->in_place;
	perf_measure(run->world, cell->list, cell->count, rounds, &measurement);
	for (int i = 0; i < cell->count; i++) {
		struct perf_result result = {
			.contestant = cell->list[i].name,
			.memory = perf_memory_name(cell->memory),
			.placement = placement,
			.type = perf_dtype_name(cell->data->dtype),
			.reduction = perf_reduction_name(cell->data->reduction),
			.bytes = cell->bytes,
			.count = cell->seats[i].call.count,
			.figures = measurement.figures[i],
			.bus_factor = perf_operation_bus_factor(cell->operation, run->world->size),
			.wrong = check(cell, &cell->list[i]),
		};

		wrong += result.wrong;
		perf_report_csv(run, &result);
		if (run->world->rank == 0)
			printf("%12zu %9s %14s  %-16s %12.2f %8.2f %7zu\n", cell->bytes,
			       result.memory, placement, result.contestant,
			       result.figures.median * 1e6,
			       result.figures.median / measurement.figures[0].median, result.wrong);
	}
	fflush(stdout);
	return wrong;
}

static size_t measure_large(struct cell *cell)
{
	const struct perf_options *options = cell->run->options;
	struct perf_rounds rounds = {options->warmup, perf_choose_rounds(options, cell->bytes), 1,
				     NULL};
	size_t wrong = 0;

	for (int i = 0; i < 2; i++) {
		if (!(options->placements & (1u << i)))
			continue;
		cell->in_place = i == 1;
		cell->count = 0;
		seat_all(cell, false);
		wrong += measure(cell, &rounds, i == 0 ? "out-of-place" : "in-place");
	}
	return wrong;
}

/* As latency.c: call after call, contestants changing every 50; and after a meeting. */
static size_t measure_small(struct cell *cell)
{
	const struct perf_options *options = cell->run->options;
	int calls = options->rounds ? options->rounds : 2000, repeat = calls < 50 ? calls : 50;
	struct perf_rounds met = {options->warmup, calls, 1, NULL};
	struct perf_rounds after = {options->warmup, (calls + repeat - 1) / repeat, repeat, NULL};

	cell->in_place = false;
	cell->count = 0;
	seat_all(cell, true);
	return measure(cell, &met, "after-meeting") + measure(cell, &after, "back-to-back");
}

size_t perf_limits(struct perf_run *run)
{
	const struct perf_options *options = run->options;
	struct cell cell = {.run = run, .operation = perf_operation_find(options->command)};
	struct perf_inside inside;
	struct perf_data data;
	size_t wrong = 0;

	if (options->dtype != RONDE_FLOAT32 || options->reduction != RONDE_SUM)
		perf_die(run->world, "the moves are those of a sum of float32");
	perf_data_init(&data, options->dtype, options->reduction, run->world->size);
	perf_inside_open(&inside, run, (options->max_bytes + 4095) & ~(size_t)4095);
	cell.data = &data;
	cell.inside = &inside;
	if (run->world->rank == 0)
		printf("#%11s %9s %14s  %-16s %12s %8s %7s\n", "bytes", "memory", "called", "who",
		       "median (us)", "/memcpy", "#wrong");
	for (unsigned memory = PERF_HEAP; memory <= PERF_ORDINARY; memory++) {
		if (!(options->memories & memory))
			continue;
		cell.memory = memory;
		for (cell.bytes = perf_first_size(run, cell.operation);
		     cell.bytes <= options->max_bytes;
		     cell.bytes = perf_next_size(run, cell.operation, cell.bytes))
			wrong += options->latency ? measure_small(&cell) : measure_large(&cell);
	}
	perf_inside_close(&inside);
	if (run->world->rank == 0)
		printf("# wrong elements: %zu\n", wrong);
	return wrong;
}

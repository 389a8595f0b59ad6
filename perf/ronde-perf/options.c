/* SPDX-License-Identifier: Apache-2.0 */
#include "perf/ronde-perf/options.h"
#include "perf/ronde-perf/commands.h"
#include "perf/ronde-perf/data.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>

enum {
	KEY_IN_PLACE = 0x100,
	KEY_OUT_OF_PLACE,
	KEY_MEMORY,
	KEY_COMPARE,
	KEY_LATENCY,
	KEY_SECONDS,
	KEY_MODEL,
	KEY_TIMELINE,
	KEY_GROUP,
	KEY_CSV,
};

static const char summary[] =
	"Measures Ronde. Start one process a rank, with an MPI launcher (mpirun -np 2 ronde-perf "
	"…) "
	"or with RONDE_RANK, RONDE_SIZE and RONDE_ADDRESS set; a single process is a world of one."
	"\v"
	"Commands:\n"
	"  allreduce, broadcast, allgather, reduce_scatter, alltoall, barrier\n"
	"            one operation over a range of sizes\n"
	"  step      the gradients of a whole model, averaged in place\n"
	"  idle      what a runtime costs that has nothing to do\n"
	"  overlap   communication while the application computes, and how tensors are fused\n"
	"\n"
	"Every rank rewrites its whole tensor before each operation (not timed), then all ranks "
	"start together; the time is the slowest rank's, the figure the median over the rounds. "
	"algbw is size / time; busbw is algbw × 2(n−1)/n for allreduce, × (n−1)/n for "
	"allgather, "
	"reduce_scatter and alltoall, × 1 for broadcast, as in nccl-tests. The size of an "
	"allgather is "
	"that of its result.\n"
	"\n"
	"Sizes take K, M and G (powers of 1024).";

static const struct argp_option option_list[] = {
	{"minbytes", 'b', "SIZE", 0, "smallest size (8)", 1},
	{"maxbytes", 'e', "SIZE", 0,
	 "largest size; overlap: of the tensor the others wait for (64M)", 1},
	{"stepfactor", 'f', "NUMBER", 0, "each size is the one before times this (2)", 1},
	{"stepbytes", 'i', "SIZE", 0, "each size is the one before plus this", 1},
	{"datatype", 'd', "TYPE", 0, "float32, float16, bfloat16, int8, … (float32)", 2},
	{"op", 'o', "REDUCTION", 0, "sum, average, min, max, product (sum)", 2},
	{"root", 'r', "RANK", 0, "root of the broadcast (0)", 2},
	{"iters", 'n', "ROUNDS", 0, "timed rounds (30 or more, depending on the size)", 3},
	{"warmup_iters", 'w', "ROUNDS", 0, "rounds before those (5)", 3},
	{"check", 'c', "ROUNDS", 0, "rounds whose results are checked (1)", 3},
	{"inplace", KEY_IN_PLACE, NULL, 0, "only in place", 4},
	{"outofplace", KEY_OUT_OF_PLACE, NULL, 0, "only out of place", 4},
	{"memory", KEY_MEMORY, "KIND", 0,
	 "heap (ronde_alloc), ordinary (malloc) or both, the default", 4},
	{"compare", KEY_COMPARE, NULL, 0,
	 "in the same rounds also time memcpy of the same bytes by all ranks at once and, under "
	 "mpirun, the MPI library's operation; in ordinary memory",
	 5},
	{"latency", KEY_LATENCY, NULL, 0, "print percentiles, after a meeting and back to back", 5},
	{"seconds", KEY_SECONDS, "NUMBER", 0, "idle: how long to sit still (5)", 6},
	{"model", KEY_MODEL, "NAME", 0, "step: whose gradients, resnet50 or lenet5 (resnet50)", 6},
	{"timeline", KEY_TIMELINE, "FILE", 0,
	 "step: the same also with a timeline being recorded to this file by all ranks, in turns; "
	 "prints the ratio",
	 6},
	{"group", KEY_GROUP, NULL, 0,
	 "step: the same also with all gradients submitted as one group, in turns; prints the "
	 "ratio, "
	 "and what submitting takes",
	 6},
	{"csv", KEY_CSV, "FILE", 0, "append the results to this file", 7},
	{0},
};

static size_t parse_size(struct argp_state *state, const char *option, const char *text)
{
	static const char units[] = "KMG";
	char *end;
	double value = strtod(text, &end);
	const char *unit = *end ? strchr(units, *end & ~0x20) : NULL;

	if (unit) {
		value *= (double)(1ull << (10 * (unit - units + 1)));
		end++;
	}
	if (end == text || *end || !(value >= 0) || value > 1e15)
		argp_error(state, "%s \"%s\": expected a number of bytes, with K, M or G if wanted",
			   option, text);
	return (size_t)value;
}

static double parse_number(struct argp_state *state, const char *option, const char *text,
			   double least)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= least) || value > 1e9)
		argp_error(state, "%s \"%s\": expected a number, at least %g", option, text, least);
	return value;
}

/* The names of ronde.h, and those of nccl-tests. */
static ronde_dtype parse_dtype(struct argp_state *state, const char *text)
{
	static const char *const aliases[][2] = {
		{"float", "float32"}, {"double", "float64"}, {"half", "float16"}, {"int", "int32"}};

	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++)
		if (strcmp(text, aliases[i][0]) == 0)
			text = aliases[i][1];
	for (int dtype = 0; dtype < RONDE_DTYPE_COUNT; dtype++)
		if (strcmp(text, perf_dtype_name((ronde_dtype)dtype)) == 0)
			return (ronde_dtype)dtype;
	argp_error(state,
		   "-d \"%s\": there is no such type; types are uint8, int8 … uint64, int64, "
		   "float16, bfloat16, float32, float64, bool",
		   text);
	return RONDE_FLOAT32;
}

static ronde_reduction parse_reduction(struct argp_state *state, const char *text)
{
	if (strcmp(text, "prod") == 0)
		text = "product";
	if (strcmp(text, "avg") == 0)
		text = "average";
	for (int reduction = 0; reduction < RONDE_REDUCTION_COUNT; reduction++)
		if (reduction != RONDE_ADASUM &&
		    strcmp(text, perf_reduction_name((ronde_reduction)reduction)) == 0)
			return (ronde_reduction)reduction;
	argp_error(state,
		   "-o \"%s\": there is no such reduction here; reductions are sum, average, "
		   "min, max, product",
		   text);
	return RONDE_SUM;
}

static unsigned parse_memory(struct argp_state *state, const char *text)
{
	if (strcmp(text, "heap") == 0)
		return PERF_HEAP;
	if (strcmp(text, "ordinary") == 0)
		return PERF_ORDINARY;
	if (strcmp(text, "both") != 0)
		argp_error(state, "--memory \"%s\": expected heap, ordinary or both", text);
	return PERF_HEAP | PERF_ORDINARY;
}

static error_t parse_sizes(int key, char *text, struct argp_state *state)
{
	struct perf_options *options = state->input;

	switch (key) {
	case 'b':
		options->min_bytes = parse_size(state, "-b", text);
		return 0;
	case 'e':
		options->max_bytes = parse_size(state, "-e", text);
		return 0;
	case 'i':
		options->step_bytes = parse_size(state, "-i", text);
		return 0;
	case 'f':
		options->step_factor = parse_number(state, "-f", text, 1.01);
		return 0;
	case 'r':
		options->root = (int)parse_number(state, "-r", text, 0);
		return 0;
	case 'n':
		options->rounds = (int)parse_number(state, "-n", text, 1);
		return 0;
	case 'w':
		options->warmup = (int)parse_number(state, "-w", text, 0);
		return 0;
	case 'c':
		options->checks = (int)parse_number(state, "-c", text, 0);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse_words(int key, char *text, struct argp_state *state)
{
	struct perf_options *options = state->input;

	switch (key) {
	case 'd':
		options->dtype = parse_dtype(state, text);
		return 0;
	case 'o':
		options->reduction = parse_reduction(state, text);
		return 0;
	case KEY_IN_PLACE:
		options->placements = PERF_IN_PLACE;
		return 0;
	case KEY_OUT_OF_PLACE:
		options->placements = PERF_OUT_OF_PLACE;
		return 0;
	case KEY_MEMORY:
		options->memories = parse_memory(state, text);
		return 0;
	case KEY_COMPARE:
		options->compare = true;
		return 0;
	case KEY_LATENCY:
		options->latency = true;
		return 0;
	case KEY_SECONDS:
		options->seconds = parse_number(state, "--seconds", text, 0.1);
		return 0;
	case KEY_MODEL:
		options->model = text;
		return 0;
	case KEY_TIMELINE:
		options->timeline = text;
		return 0;
	case KEY_GROUP:
		options->group = true;
		return 0;
	case KEY_CSV:
		options->csv = text;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse(int key, char *text, struct argp_state *state)
{
	struct perf_options *options = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		if (options->command)
			argp_error(state, "one command at a time: \"%s\" or \"%s\"",
				   options->command, text);
		if (!perf_command_find(text))
			argp_error(state, "there is no command \"%s\"", text);
		options->command = text;
		return 0;
	case ARGP_KEY_END:
		if (!options->command)
			argp_error(state, "a command is missing");
		if (strcmp(options->command, "barrier") == 0) {
			options->min_bytes = options->max_bytes = 0;
			options->placements = PERF_OUT_OF_PLACE;
			options->memories = PERF_ORDINARY;
		}
		if (options->min_bytes > options->max_bytes)
			argp_error(state, "-b %zu is more than -e %zu", options->min_bytes,
				   options->max_bytes);
		return 0;
	default:
		return parse_sizes(key, text, state) == 0 ? 0 : parse_words(key, text, state);
	}
}

void perf_options_parse(struct perf_options *options, int argc, char **argv)
{
	static const struct argp argp = {option_list, parse, "COMMAND", summary, NULL, NULL, NULL};

	*options = (struct perf_options){
		.min_bytes = 8,
		.max_bytes = 64 << 20,
		.step_factor = 2,
		.dtype = RONDE_FLOAT32,
		.reduction = RONDE_SUM,
		.warmup = 5,
		.checks = 1,
		.placements = PERF_OUT_OF_PLACE | PERF_IN_PLACE,
		.memories = PERF_HEAP | PERF_ORDINARY,
		.seconds = 5,
		.model = "resnet50",
	};
	argp_parse(&argp, argc, argv, 0, NULL, options);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ronde-perf-algorithms: what the data plane costs without any negotiation, to tune chunk sizes and
 * the table of select.c. Forked ranks share an arena and heaps mapped before the fork.
 *
 * In every round each rank rewrites its whole tensor (not timed), all meet at a barrier, and each
 * does one thing: glibc's memcpy of as many bytes in ordinary memory, the same of what the next
 * rank has just written in memory they share (peer-copy: what no way through shared memory can do
 * without), or one operation. The time of a round is the slowest rank's; the figure is the median
 * over rounds in which all candidates of a size take turns.
 */
#include <argp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "collectives/algorithms/layout.h"
#include "collectives/operation.h"

#define MAX_RANKS 64
#define MAX_CANDIDATES 64

struct options {
	int ranks, rounds;
	size_t from, to, staging;
	const char *only; /* part of an algorithm's name */
	size_t chunks[16];
	int nchunks; /* 0: a few that fit */
	bool out_of_place;
};

/* One column: an algorithm with a chunk size; algorithm NULL: a copy. */
struct candidate {
	bool peer; /* copies what the next rank wrote */
	const struct ronde_algorithm *algorithm;
	enum ronde_kind kind;
	enum ronde_path path;
	size_t chunk;
	double *times; /* [rounds], of rank 0 */
};

struct shared {
	_Atomic uint32_t arrived;
	double seconds[MAX_RANKS]; /* of this round */
};

struct rank {
	const struct options *options;
	struct shared *shared;
	struct ronde_arena arena;
	const struct ronde_kernels *kernels;
	unsigned char **heaps; /* [ranks] input and output of each, mapped by all */
	unsigned char *input, *output, *gathered, *spare; /* ordinary memory */
	int me;
	int members[MAX_RANKS];
	uint64_t base;
	uint32_t meetings;
	bool crowded; /* more ranks than cores: yield while waiting */
	size_t bytes; /* of this size */
};

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void relax(const struct rank *r)
{
	if (r->crowded)
		sched_yield();
#if defined(__x86_64__)
	__builtin_ia32_pause();
#endif
}

static void meet(struct rank *r)
{
	uint32_t all = ++r->meetings * (uint32_t)r->options->ranks;
	atomic_fetch_add(&r->shared->arrived, 1);
	while ((int32_t)(atomic_load(&r->shared->arrived) - all) < 0)
		relax(r);
}

/* ---- one operation ---- */

static bool give_result(void *arg, const int64_t *rows, void **memory, int *status)
{
	(void)rows;
	(void)status;
	*memory = ((struct rank *)arg)->gathered;
	return true;
}

static bool is_zero_copy(const struct candidate *c)
{
	return c->path == RONDE_PATH_ZERO_COPY;
}

/* Input and output of a member; a heap holds both behind each other. */
static unsigned char *heap_output(const struct rank *r, int member)
{
	return r->heaps[member] + (r->options->out_of_place ? r->options->to : 0);
}

static unsigned char *my_input(const struct rank *r, const struct candidate *c)
{
	return c->peer || (c->algorithm && is_zero_copy(c)) ? r->heaps[r->me] : r->input;
}

static void run_operation(struct rank *r, const struct candidate *c)
{
	const void *inputs[MAX_RANKS];
	void *outputs[MAX_RANKS];
	bool zero_copy = is_zero_copy(c);
	for (int m = 0; m < r->options->ranks; m++) {
		inputs[m] = r->heaps[m];
		outputs[m] = heap_output(r, m);
	}
	struct ronde_piece piece = {
		.input = my_input(r, c),
		.output = zero_copy ? heap_output(r, r->me)
				    : (r->options->out_of_place ? r->output : r->input),
		.count = r->bytes / sizeof(float),
		.inputs = inputs,
		.outputs = outputs};
	int64_t splits[MAX_RANKS], received[3 * MAX_RANKS] = {0};
	int64_t elements = (int64_t)(r->bytes / sizeof(float));
	for (int m = 0; m < r->options->ranks; m++)
		splits[m] = elements / r->options->ranks;
	if (c->kind == RONDE_KIND_REDUCESCATTER) {
		piece.rows = piece.count;
		piece.row_bytes = sizeof(float);
		piece.count = ronde_share_rows(piece.rows, r->options->ranks, 0).count;
		/* In place: where the own rows are. */
		if (!r->options->out_of_place)
			piece.output = (float *)piece.output +
				       ronde_share_rows(piece.rows, r->options->ranks, r->me).first;
	}
	struct ronde_operation operation = {
		.algorithm = c->algorithm,
		.plan = {.kind = c->kind,
			 .path = c->path,
			 .arena = &r->arena,
			 .kernels = r->kernels,
			 .base = r->base,
			 .n = r->options->ranks,
			 .me = r->me,
			 .members = r->members,
			 .element = sizeof(float),
			 .spec = {RONDE_FLOAT32, RONDE_SUM, 1.0, 1.0, 1, false},
			 .chunk_bytes = c->chunk,
			 .pieces = &piece,
			 .npieces = 1,
			 .allocate = give_result,
			 .allocate_arg = r,
			 .splits = splits,
			 .received = received,
			 .begins = received + r->options->ranks,
			 .astray = received + 2 * r->options->ranks,
			 .rows = elements,
			 .row_bytes = sizeof(float)}};

	c->algorithm->start(&operation);
	for (;;) {
		enum ronde_progress p = c->algorithm->step(&operation);
		if (p == RONDE_PROGRESS_DONE)
			break;
		if (p == RONDE_PROGRESS_NONE)
			relax(r);
	}
	r->base = atomic_load(&ronde_lane_cell(&r->arena, 0, r->me)->left);
}

/* ---- rounds ---- */

static double one_round(struct rank *r, const struct candidate *c, int round)
{
	float *tensor = (float *)(void *)my_input(r, c);
	for (size_t i = 0; i < r->bytes / sizeof(float); i++)
		tensor[i] = (float)(r->me + round);

	meet(r);
	double start = now();
	if (c->algorithm)
		run_operation(r, c);
	else
		memcpy(r->spare, c->peer ? r->heaps[(r->me + 1) % r->options->ranks] : r->input,
		       r->bytes);
	r->shared->seconds[r->me] = now() - start;
	meet(r);

	double slowest = 0;
	for (int m = 0; m < r->options->ranks; m++) {
		if (r->shared->seconds[m] > slowest)
			slowest = r->shared->seconds[m];
	}
	meet(r);
	return slowest;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void add(struct candidate *list, int *count, struct candidate c, const struct options *o)
{
	if (*count == MAX_CANDIDATES)
		return;
	c.times = calloc((size_t)o->rounds, sizeof *c.times);
	list[(*count)++] = c;
}

/* The copies, and every algorithm that the option allows with every chunk size that makes a
 * difference. */
static int candidates(const struct options *o, size_t bytes, struct candidate *list)
{
	int count = 0;
	size_t rows;
	size_t limit = ronde_chunk_limit(o->staging, o->ranks);
	const struct ronde_algorithm *const *table = ronde_algorithm_table(&rows);

	add(list, &count, (struct candidate){.algorithm = NULL}, o);
	add(list, &count, (struct candidate){.algorithm = NULL, .peer = true}, o);
	for (size_t i = 0; i < rows; i++) {
		const char *name = table[i]->name;
		struct candidate c = {.algorithm = table[i], .chunk = RONDE_GRAIN};
		if (o->only && !strstr(name, o->only))
			continue;
		c.kind = strstr(name, "broadcast")       ? RONDE_KIND_BROADCAST
			 : strstr(name, "allgather")     ? RONDE_KIND_ALLGATHER
			 : strstr(name, "barrier")       ? RONDE_KIND_BARRIER
			 : strstr(name, "reducescatter") ? RONDE_KIND_REDUCESCATTER
			 : strstr(name, "alltoall")      ? RONDE_KIND_ALLTOALL
							 : RONDE_KIND_ALLREDUCE;
		c.path = strstr(name, "zero-copy") ? RONDE_PATH_ZERO_COPY : RONDE_PATH_STAGED;
		if (is_zero_copy(&c) || c.kind == RONDE_KIND_BARRIER) {
			add(list, &count, c, o);
			continue;
		}
		for (int k = 0; k < o->nchunks; k++) {
			c.chunk = o->chunks[k];
			if (c.chunk <= limit && (k == 0 || o->chunks[k - 1] < bytes))
				add(list, &count, c, o);
		}
	}
	return count;
}

/* The median, and the best tenth: what the machine does when nobody else is on it. */
static void print_size(const struct rank *r, struct candidate *list, int count)
{
	int rounds = r->options->rounds;
	for (int i = 0; i < count; i++)
		qsort(list[i].times, (size_t)rounds, sizeof *list[i].times, by_value);
	for (int i = 0; i < count && r->me == 0; i++) {
		const struct candidate *c = &list[i];
		double middle = c->times[rounds / 2], best = c->times[rounds / 10];
		printf("%9zu  %-20s %8zu %10.2f us %6.2f x  %10.2f us %6.2f x\n", r->bytes,
		       c->algorithm ? c->algorithm->name
		       : c->peer    ? "peer-copy"
				    : "memcpy",
		       c->algorithm ? c->chunk : 0, middle * 1e6,
		       middle / list[0].times[rounds / 2], best * 1e6,
		       best / list[0].times[rounds / 10]);
	}
}

static void measure_size(struct rank *r, size_t bytes)
{
	const struct options *o = r->options;
	struct candidate list[MAX_CANDIDATES];
	int count = candidates(o, bytes, list);
	int warm = 3;

	r->bytes = bytes;
	for (int round = -warm; round < o->rounds; round++) {
		for (int i = 0; i < count; i++) {
			double t = one_round(r, &list[i], round);
			if (round >= 0)
				list[i].times[round] = t;
		}
	}
	print_size(r, list, count);
	for (int i = 0; i < count; i++)
		free(list[i].times);
	if (r->me == 0)
		fflush(stdout);
}

/* ---- ranks ---- */

static void *map_shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) {
		perror("ronde-perf-algorithms: mmap");
		exit(1);
	}
	return p;
}

static unsigned char *touched(size_t bytes)
{
	unsigned char *p = aligned_alloc(4096, (bytes + 4095) & ~(size_t)4095);
	if (!p) {
		fprintf(stderr, "ronde-perf-algorithms: no memory for %zu bytes\n", bytes);
		exit(1);
	}
	memset(p, 1, bytes);
	return p;
}

static void run_rank(struct rank *r)
{
	const struct options *o = r->options;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET((size_t)(r->me % cores), &set);
	sched_setaffinity(0, sizeof set, &set);
	r->crowded = o->ranks > cores;

	r->input = touched(o->to);
	r->output = touched(o->to);
	r->spare = touched(o->to);
	r->gathered = touched(o->to * (size_t)o->ranks);
	memset(r->heaps[r->me], 1, 2 * o->to);
	for (size_t bytes = o->from; bytes <= o->to; bytes *= 2)
		measure_size(r, bytes);
	exit(0);
}

static int run(const struct options *o)
{
	struct ronde_arena_shape shape = {.local_size = (uint32_t)o->ranks,
					  .ring_cells = 4,
					  .lanes = 1,
					  .staging_bytes = o->staging};
	unsigned char *heaps[MAX_RANKS];
	struct rank r = {.options = o, .heaps = heaps, .kernels = ronde_kernels_select(NULL)};
	void *memory = map_shared(ronde_arena_bytes(&shape));
	ronde_arena_format(memory, &shape);
	if (ronde_arena_attach(&r.arena, memory) != RONDE_OK) {
		fprintf(stderr, "ronde-perf-algorithms: %s\n", ronde_error_message());
		return 1;
	}
	r.shared = map_shared(sizeof *r.shared);
	for (int i = 0; i < o->ranks; i++) {
		heaps[i] = map_shared(2 * o->to);
		r.members[i] = i;
	}
	printf("%d ranks, float32 sum, %s, median of %d rounds, staging %zu\n"
	       "%9s  %-20s %8s %13s %8s  %13s %8s\n",
	       o->ranks, o->out_of_place ? "out of place" : "in place", o->rounds, o->staging,
	       "bytes", "algorithm", "chunk", "median", "/ memcpy", "best tenth", "/ memcpy");
	fflush(stdout);

	pid_t pids[MAX_RANKS];
	for (r.me = 0; r.me < o->ranks; r.me++) {
		pids[r.me] = fork();
		if (pids[r.me] == 0)
			run_rank(&r);
	}
	int failed = 0;
	for (int i = 0; i < o->ranks; i++) {
		int status = 1;
		waitpid(pids[i], &status, 0);
		failed |= status;
	}
	return failed ? 1 : 0;
}

/* ---- options ---- */

static size_t parse_bytes(const char *text, struct argp_state *state)
{
	char *end;
	unsigned long long v = strtoull(text, &end, 0);
	int shift = *end == 'K' ? 10 : *end == 'M' ? 20 : 0;
	if (end == text || (shift ? end[1] : end[0]) != 0 || v << shift < 64)
		argp_error(state, "\"%s\" is no number of bytes from 64 up (K and M are known)",
			   text);
	return (size_t)(v << shift) & ~(size_t)63;
}

static int parse_count(const char *text, int most, struct argp_state *state)
{
	char *end;
	long v = strtol(text, &end, 10);
	if (end == text || *end || v < 1 || v > most)
		argp_error(state, "\"%s\" is no number from 1 to %d", text, most);
	return (int)v;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	switch (key) {
	case 'n':
		o->ranks = parse_count(arg, MAX_RANKS, state);
		return 0;
	case 'r':
		o->rounds = parse_count(arg, 100000, state);
		return 0;
	case 'b':
		o->from = parse_bytes(arg, state);
		return 0;
	case 'e':
		o->to = parse_bytes(arg, state);
		return 0;
	case 's':
		o->staging = parse_bytes(arg, state);
		return 0;
	case 'c':
		if (o->nchunks == 16)
			argp_error(state, "at most 16 chunk sizes");
		o->chunks[o->nchunks++] = parse_bytes(arg, state);
		return 0;
	case 'a':
		o->only = arg;
		return 0;
	case 'o':
		o->out_of_place = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int main(int argc, char **argv)
{
	static const struct argp_option known[] = {
		{"ranks", 'n', "N", 0, "processes (2)", 0},
		{"rounds", 'r', "N", 0, "rounds a figure is the median of (31)", 0},
		{"begin", 'b', "BYTES", 0, "smallest tensor (4K)", 0},
		{"end", 'e', "BYTES", 0, "largest tensor (64M)", 0},
		{"staging", 's', "BYTES", 0, "staging of the lane (4M)", 0},
		{"chunk", 'c', "BYTES", 0, "chunk size; can be repeated, ascending", 0},
		{"algorithm", 'a', "TEXT", 0, "only algorithms with TEXT in their name", 0},
		{"out-of-place", 'o', NULL, 0, "output apart from input", 0},
		{0}};
	static const struct argp argp = {
		known, parse, NULL, "Times the data plane's algorithms against memcpy.",
		NULL,  NULL,  NULL};
	struct options o = {.ranks = 2,
			    .rounds = 31,
			    .from = (size_t)4 << 10,
			    .to = (size_t)64 << 20,
			    .staging = (size_t)4 << 20};
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	if (!o.nchunks) {
		for (size_t c = (size_t)16 << 10; c <= o.staging && o.nchunks < 16; c *= 2)
			o.chunks[o.nchunks++] = c;
	}
	return run(&o);
}

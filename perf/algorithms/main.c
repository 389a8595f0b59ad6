/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ronde-perf-algorithms: what the data plane costs without any negotiation, to tune chunk sizes and
 * the table of select.c, and how much of it the loads and stores alone take. Forked ranks share an
 * arena and heaps mapped before the fork.
 *
 * What is compared, in turns: glibc's memcpy of as many bytes in ordinary memory; the same of what
 * the next rank has just written in memory they share (peer-copy); the moves of moves.c; and every
 * algorithm. Ends with status 1 if a sum was wrong.
 */
#include <argp.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collectives/operation.h"
#include "perf/algorithms/rig.h"

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
		perf_measure_size(r, bytes);
	exit(0);
}

static int run(const struct options *o)
{
	struct ronde_arena_shape shape = {.local_size = (uint32_t)o->ranks,
					  .ring_cells = 4,
					  .lanes = LANES,
					  .staging_bytes = o->staging};
	unsigned char *heaps[MAX_RANKS];
	struct rank r = {.options = o,
			 .heaps = heaps,
			 .kernels = ronde_kernels_select(NULL),
			 .chunk = RONDE_CHUNK_REDUCE};
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
	       "%9s  %-24s %8s %13s %8s  %13s %8s\n",
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
	uint64_t wrong = atomic_load(&r.shared->wrong);
	printf("# wrong elements: %llu\n", (unsigned long long)wrong);
	return failed || wrong ? 1 : 0;
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
	case 'p':
		if (strcmp(arg, "auto") != 0 && strcmp(arg, "always") != 0 &&
		    strcmp(arg, "never") != 0)
			argp_error(state, "\"%s\" is not auto, always or never", arg);
		o->stores = arg[1] == 'u'   ? RONDE_STORES_MEASURED
			    : arg[0] == 'a' ? RONDE_STORES_ALWAYS
					    : RONDE_STORES_NEVER;
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
		{"algorithm", 'a', "TEXT", 0, "only algorithms and moves with TEXT in their name",
		 0},
		{"packing", 'p', "WAY", 0,
		 "auto, always or never: whether algorithms pack past the caches (auto)", 0},
		{"out-of-place", 'o', NULL, 0, "output apart from input", 0},
		{0}};
	static const struct argp argp = {
		known, parse,
		NULL,  "Times the data plane's algorithms, and their bare moves, against memcpy.",
		NULL,  NULL,
		NULL};
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

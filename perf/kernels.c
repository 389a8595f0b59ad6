/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ronde-perf-kernels: how fast the reduction loops are, beside memcpy in the same run.
 *
 * It does what zero-copy does: P processes (one a core) share `sources` tensors; each reduces its
 * slice of all of them at once, in place into the first `destinations`, or elsewhere. Before every
 * round each process rewrites its own tensors whole, as a backward pass does (not timed). memcpy:
 * glibc's, in all processes at once, as many bytes as make the same traffic ((sources +
 * destinations) / 2 slices), from what the process just rewrote to private memory. A round's time
 * is the slowest process's; rounds of all sets and of memcpy alternate; figures are medians.
 */
#include <getopt.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "collectives/kernels/kernels.h"

#define MAX_PROCESSES 64
#define MAX_TENSORS 64
#define MAX_CONTESTANTS 9 /* memcpy and the sets */

struct options {
	int processes, sources, destinations, rounds;
	bool elsewhere; /* destinations that are no sources */
	size_t bytes[8];
	int nbytes;
	ronde_dtype types[RONDE_DTYPE_COUNT];
	int ntypes;
	ronde_reduction reductions[RONDE_REDUCTION_COUNT];
	int nreductions;
};

/* Shared by the processes. */
struct meeting {
	_Alignas(64) atomic_int arrived;
	_Alignas(64) atomic_int generation;
	double seconds[MAX_PROCESSES];
};

static const char help[] =
	"Usage: ronde-perf-kernels [options]\n"
	"  --bytes N,…          size of a tensor, with k or m (64k,1m,64m)\n"
	"  --types T,…          float32,… or all (float32,float64,bfloat16,float16,int32,int8)\n"
	"  --reductions R,…     sum,average,min,max,product or all (sum,average)\n"
	"  --sources N          tensors reduced (2)\n"
	"  --destinations N     tensors written (as many as sources)\n"
	"  --elsewhere          destinations are other memory, not the sources\n"
	"  --processes N        processes at once, each reduces 1/N of every tensor (2)\n"
	"  --rounds N           rounds of each contestant (41)\n"
	"Columns: GB/s is bytes read and written by all processes; ratio is time / memcpy's "
	"time.\n";

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void meet(struct meeting *m, int processes)
{
	int generation = atomic_load(&m->generation);
	if (atomic_fetch_add(&m->arrived, 1) == processes - 1) {
		atomic_store(&m->arrived, 0);
		atomic_store(&m->generation, generation + 1);
		return;
	}
	for (int spins = 0; atomic_load(&m->generation) == generation; spins++)
		if (spins > 10000)
			sched_yield();
}

static void *map(size_t bytes, int flags)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_POPULATE | flags,
		       -1, 0);
	if (p == MAP_FAILED) {
		fprintf(stderr, "ronde-perf-kernels: no memory for %zu bytes\n", bytes);
		exit(1);
	}
	return p;
}

/* One process's part in one size, type and reduction. */
struct part {
	const struct options *options;
	struct meeting *meeting;
	int me;
	size_t bytes; /* of a tensor */
	struct ronde_reduce_spec spec;
	unsigned char *tensors[MAX_TENSORS], *others[MAX_TENSORS];
	unsigned char *fresh, *private; /* tensor contents; memcpy's destination */
};

static void rewrite(const struct part *p)
{
	for (int k = p->me; k < p->options->sources; k += p->options->processes)
		memcpy(p->tensors[k], p->fresh, p->bytes);
}

static size_t slice_bytes(const struct part *p)
{
	return p->bytes / (size_t)p->options->processes & ~(size_t)63;
}

static size_t copied_bytes(const struct part *p)
{
	const struct options *o = p->options;
	return slice_bytes(p) * (size_t)(o->sources + o->destinations) / 2;
}

static void copy(const struct part *p)
{
	size_t left = copied_bytes(p), done = 0;
	int k = p->me % p->options->sources;
	for (; left > 0; k = (k + p->options->processes) % p->options->sources) {
		size_t n = left < p->bytes ? left : p->bytes;
		memcpy(p->private + done, p->tensors[k], n);
		done += n;
		left -= n;
	}
}

static void reduce(const struct part *p, const struct ronde_kernels *set)
{
	const struct options *o = p->options;
	size_t slice = slice_bytes(p), offset = (size_t)p->me * slice;
	const void *sources[MAX_TENSORS];
	void *destinations[MAX_TENSORS];
	for (int k = 0; k < o->sources; k++)
		sources[k] = p->tensors[k] + offset;
	for (int k = 0; k < o->destinations; k++)
		destinations[k] = (o->elsewhere ? p->others[k] : p->tensors[k]) + offset;
	set->reduce(&p->spec, destinations, o->destinations, sources, o->sources,
		    slice / ronde_dtype_bytes(p->spec.dtype));
}

/* A round of one contestant, NULL being memcpy; returns the slowest process's time. */
static double one_round(const struct part *p, const struct ronde_kernels *set)
{
	rewrite(p);
	meet(p->meeting, p->options->processes);
	double start = now(), slowest = 0;
	if (set)
		reduce(p, set);
	else
		copy(p);
	p->meeting->seconds[p->me] = now() - start;
	meet(p->meeting, p->options->processes);
	for (int k = 0; k < p->options->processes; k++)
		if (p->meeting->seconds[k] > slowest)
			slowest = p->meeting->seconds[k];
	return slowest;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double *x, int n)
{
	qsort(x, (size_t)n, sizeof *x, ascending);
	return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

static void print_row(const struct part *p, const char *name, double seconds, double memcpy_seconds)
{
	double moved = 2.0 * (double)copied_bytes(p) * p->options->processes;
	printf("%9zu  %-8s  %-8s  %-7s  %10.2f  %8.1f  %6.2f\n", p->bytes,
	       ronde_dtype_name(p->spec.dtype), ronde_reduction_name(p->spec.reduction), name,
	       seconds * 1e6, moved / seconds * 1e-9, seconds / memcpy_seconds);
}

static void measure(const struct part *p)
{
	size_t sets;
	const struct ronde_kernels *const *available = ronde_kernels_available(&sets);
	int rounds = p->options->rounds;
	double *times[MAX_CONTESTANTS], memcpy_median = 0;
	for (size_t k = 0; k <= sets; k++)
		times[k] = malloc((size_t)rounds * sizeof(double));
	for (int i = -2; i < rounds; i++) /* two to warm up */
		for (size_t k = 0; k <= sets; k++) {
			double t = one_round(p, k ? available[k - 1] : NULL);
			if (i >= 0)
				times[k][i] = t;
		}
	for (size_t k = 0; k <= sets; k++) {
		double m = median(times[k], rounds);
		if (k == 0)
			memcpy_median = m;
		if (p->me == 0)
			print_row(p, k ? available[k - 1]->name : "memcpy", m, memcpy_median);
		free(times[k]);
	}
}

static void pin(int me)
{
	cpu_set_t allowed, one;
	int seen = 0;
	if (sched_getaffinity(0, sizeof allowed, &allowed))
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && seen++ == me % CPU_COUNT(&allowed)) {
			CPU_ZERO(&one);
			CPU_SET(cpu, &one);
			sched_setaffinity(0, sizeof one, &one);
			return;
		}
}

static void run_process(struct part *p)
{
	const struct options *o = p->options;
	size_t most = 0;
	pin(p->me);
	for (int b = 0; b < o->nbytes; b++)
		most = o->bytes[b] > most ? o->bytes[b] : most;
	p->fresh = map(most, MAP_PRIVATE);
	p->private = map(most * (size_t)(o->sources + o->destinations) / 2, MAP_PRIVATE);
	memset(p->fresh, 0x3c, most); /* a number near 1 in all float types */
	for (int b = 0; b < o->nbytes; b++)
		for (int t = 0; t < o->ntypes; t++)
			for (int r = 0; r < o->nreductions; r++) {
				p->bytes = o->bytes[b];
				p->spec = (struct ronde_reduce_spec){
					o->types[t], o->reductions[r],  1, 1, o->sources,
					false,       RONDE_REDUCE_WHOLE};
				measure(p);
				fflush(stdout);
			}
}

/* Next word of a comma-separated list, as a number of the named ones; -2: the list is at its end.
 */
static int next_name(const char **list, const char *(*name)(int), int count, const char *what)
{
	size_t n = strcspn(*list, ",");
	if (**list == 0)
		return -2;
	for (int i = 0; i < count; i++)
		if (strlen(name(i)) == n && !memcmp(name(i), *list, n)) {
			*list += n + ((*list)[n] == ',');
			return i;
		}
	fprintf(stderr, "ronde-perf-kernels: there is no %s \"%.*s\"\n%s", what, (int)n, *list,
		help);
	exit(2);
}

static const char *type_name(int i)
{
	return ronde_dtype_name((ronde_dtype)i);
}

static const char *reduction_name(int i)
{
	return i == RONDE_ADASUM ? "-" : ronde_reduction_name((ronde_reduction)i);
}

static void read_types(struct options *o, const char *list)
{
	o->ntypes = 0;
	for (int i = 0; i < RONDE_DTYPE_COUNT && !strcmp(list, "all"); i++)
		o->types[o->ntypes++] = (ronde_dtype)i;
	while (o->ntypes < RONDE_DTYPE_COUNT) {
		int t = next_name(&list, type_name, RONDE_DTYPE_COUNT, "type");
		if (t < 0)
			return;
		o->types[o->ntypes++] = (ronde_dtype)t;
	}
}

static void read_reductions(struct options *o, const char *list)
{
	if (!strcmp(list, "all"))
		list = "sum,average,min,max,product";
	o->nreductions = 0;
	while (o->nreductions < RONDE_REDUCTION_COUNT) {
		int r = next_name(&list, reduction_name, RONDE_REDUCTION_COUNT, "reduction");
		if (r < 0)
			return;
		o->reductions[o->nreductions++] = (ronde_reduction)r;
	}
}

static void read_bytes(struct options *o, const char *list)
{
	o->nbytes = 0;
	while (*list && o->nbytes < 8) {
		char *end;
		size_t n = strtoull(list, &end, 0);
		if (*end == 'k' || *end == 'm')
			n <<= *end++ == 'k' ? 10 : 20;
		if ((*end && *end != ',') || n < 4096) {
			fprintf(stderr,
				"ronde-perf-kernels: \"%s\" is no list of sizes of at "
				"least 4k\n%s",
				list, help);
			exit(2);
		}
		o->bytes[o->nbytes++] = n;
		list = end + (*end == ',');
	}
}

static int read_number(const char *text, int least, int most, const char *what)
{
	char *end;
	long n = strtol(text, &end, 0);
	if (end == text || *end || n < least || n > most) {
		fprintf(stderr, "ronde-perf-kernels: %s is \"%s\", not a number from %d to %d\n",
			what, text, least, most);
		exit(2);
	}
	return (int)n;
}

static void read_options(struct options *o, int argc, char **argv)
{
	static const struct option table[] = {
		{"bytes", 1, NULL, 'b'},        {"types", 1, NULL, 't'},
		{"reductions", 1, NULL, 'r'},   {"sources", 1, NULL, 's'},
		{"destinations", 1, NULL, 'd'}, {"elsewhere", 0, NULL, 'e'},
		{"processes", 1, NULL, 'p'},    {"rounds", 1, NULL, 'n'},
		{"help", 0, NULL, 'h'},         {NULL, 0, NULL, 0}};
	int c;
	*o = (struct options){.processes = 2, .sources = 2, .rounds = 41};
	read_bytes(o, "64k,1m,64m");
	read_types(o, "float32,float64,bfloat16,float16,int32,int8");
	read_reductions(o, "sum,average");
	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (c == 'b')
			read_bytes(o, optarg);
		else if (c == 't')
			read_types(o, optarg);
		else if (c == 'r')
			read_reductions(o, optarg);
		else if (c == 's')
			o->sources = read_number(optarg, 1, MAX_TENSORS, "--sources");
		else if (c == 'd')
			o->destinations = read_number(optarg, 1, MAX_TENSORS, "--destinations");
		else if (c == 'e')
			o->elsewhere = true;
		else if (c == 'p')
			o->processes = read_number(optarg, 1, MAX_PROCESSES, "--processes");
		else if (c == 'n')
			o->rounds = read_number(optarg, 1, 100000, "--rounds");
		else
			exit(fputs(help, c == 'h' ? stdout : stderr) < 0 || c != 'h' ? 2 : 0);
	}
	if (o->destinations == 0)
		o->destinations = o->sources;
	if (o->destinations > o->sources)
		o->elsewhere = true;
}

int main(int argc, char **argv)
{
	struct options options;
	read_options(&options, argc, argv);
	struct part part = {.options = &options,
			    .meeting = map(sizeof(struct meeting), MAP_SHARED)};
	size_t most = 0;
	for (int b = 0; b < options.nbytes; b++)
		most = options.bytes[b] > most ? options.bytes[b] : most;
	for (int k = 0; k < options.sources; k++)
		part.tensors[k] = map(most, MAP_SHARED);
	for (int k = 0; k < options.destinations && options.elsewhere; k++)
		part.others[k] = map(most, MAP_SHARED);
	printf("%d processes, %d sources, %d destinations%s\n", options.processes, options.sources,
	       options.destinations, options.elsewhere ? " elsewhere" : " in place");
	printf("    bytes  type      op        set           time µs      GB/s   ratio\n");
	fflush(stdout);
	int status, failed = 0;
	for (part.me = 1; part.me < options.processes; part.me++)
		if (fork() == 0) {
			run_process(&part);
			_exit(0);
		}
	part.me = 0;
	run_process(&part);
	while (wait(&status) > 0)
		failed |= status;
	return failed ? 1 : 0;
}

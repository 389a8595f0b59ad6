/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tiny rank for tests/launchers.sh: opens whatever bootstrap the environment asks for, exchanges,
 * and prints one line: "rank 1 of 2 by mpi, nodes 0 0". Exits with 1 and the error's text on
 * standard error if something fails. Options:
 *
 *   --again N     opens and closes N times in all
 *   --mpi-init    the program itself initialises MPI before, and finalises it after (with
 *                 --level single|funneled|serialized|multiple)
 *   --load FILE   it loads this MPI at run time, as a Python extension does, and initialises it
 *   --in-finalize it leaves the bootstrap open: MPI_Finalize() has to close it
 *   --leave RANK  that rank leaves by exit(0) without closing, the others go on and must see it
 *   --timeout S   of the bootstrap
 *   --thread      opens on another thread than main's
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef WITH_MPI
#include <mpi.h>
#endif

#include "collectives/bootstrap.h"
#include "ronde/ronde.h"

struct options {
	int again, leave, level;
	bool mpi_init, in_finalize, thread;
	const char *load;
	double timeout;
};

static bool check_world(struct ronde_bootstrap *b)
{
	struct part {
		int rank, pid;
		char pad[1000];
	} mine = {.rank = b->rank, .pid = (int)getpid()},
	  *all = calloc((size_t)b->size, sizeof *all);
	bool good = true;
	for (int round = 0; round < 5 && good; round++) {
		good = !b->ops->exchange(b, &mine, all, sizeof mine);
		for (int r = 0; r < b->size && good; r++)
			if (all[r].rank != r || (all[r].pid == mine.pid) != (r == b->rank)) {
				fprintf(stderr, "rank %d: wrong data of rank %d\n", b->rank, r);
				exit(1);
			}
	}
	free(all);
	return good;
}

static void print_world(const struct ronde_bootstrap *b)
{
	char line[4096];
	int n = snprintf(line, sizeof line, "rank %d of %d by %s, nodes", b->rank, b->size,
			 b->ops->name);
	for (int r = 0; r < b->size && n < 4000; r++)
		n += snprintf(line + n, sizeof line - (size_t)n, " %d", b->node_of_rank[r]);
	printf("%s\n", line);
	fflush(stdout);
}

static int failed(const char *what)
{
	fprintf(stderr, "%s failed: %s\n", what, ronde_error_message());
	return 1;
}

/* What ronde_shutdown() does when the program finalises MPI. */
static void close_in_finalize(void *arg)
{
	struct ronde_bootstrap *b = arg;
	char c = 0, *all = malloc((size_t)b->size);
	if (b->ops->exchange(b, &c, all, 1))
		failed("exchange in MPI_Finalize");
	else
		printf("rank %d closes in MPI_Finalize\n", b->rank);
	fflush(stdout);
	free(all);
	b->ops->close(b, true);
}

static int run(const struct options *o)
{
	for (int i = 0; i < o->again; i++) {
		struct ronde_bootstrap *b;
		bool last = i == o->again - 1;
		if (ronde_bootstrap_open(&b, o->timeout, NULL))
			return failed("open");
		if (!check_world(b))
			return failed("exchange");
		if (last)
			print_world(b);
		if (last && o->leave == b->rank)
			exit(0);
		if (last && o->leave >= 0 && check_world(b)) {
			fprintf(stderr, "a rank left, and the exchange went well\n");
			return 1;
		}
		if (last && o->leave >= 0)
			printf("rank %d: %s\n", b->rank, ronde_error_message());
		if (last && o->in_finalize) {
			b->finalizing = close_in_finalize;
			b->finalizing_arg = b;
		} else {
			b->ops->close(b, o->leave < 0);
		}
	}
	return 0;
}

static void *run_thread(void *arg)
{
	return run(arg) ? arg : NULL;
}

static void initialise_mpi(const struct options *o)
{
#ifdef WITH_MPI
	static const int levels[] = {MPI_THREAD_SINGLE, MPI_THREAD_FUNNELED, MPI_THREAD_SERIALIZED,
				     MPI_THREAD_MULTIPLE};
	int level;
	MPI_Init_thread(NULL, NULL, levels[o->level], &level);
#else
	(void)o;
	fprintf(stderr, "built without MPI\n");
	exit(1);
#endif
}

static int finalise_mpi(void)
{
#ifdef WITH_MPI
	struct ronde_bootstrap *b;
	MPI_Finalize();
	if (getenv("OMPI_COMM_WORLD_SIZE") && !ronde_bootstrap_open(&b, 5, NULL)) {
		fprintf(stderr, "opened after MPI_Finalize\n");
		return 1;
	}
#endif
	return 0;
}

/* Calls MPI_Init() or MPI_Finalize() of an MPI that is in nobody's global scope. */
static void call_loaded(const char *file, const char *name)
{
	int (*init)(int *argc, char ***argv), (*finalize)(void);
	void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
	*(void **)&init = handle ? dlsym(handle, "MPI_Init") : NULL;
	*(void **)&finalize = handle ? dlsym(handle, "MPI_Finalize") : NULL;
	if (!init || !finalize) {
		fprintf(stderr, "%s\n", dlerror());
		exit(2);
	}
	if (!strcmp(name, "MPI_Init"))
		init(NULL, NULL);
	else
		finalize();
}

static int level_number(const char *name)
{
	static const char *const names[] = {"single", "funneled", "serialized", "multiple"};
	for (int i = 0; i < 4; i++)
		if (!strcmp(name, names[i]))
			return i;
	fprintf(stderr, "unknown thread level %s\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	struct options o = {.again = 1, .leave = -1, .level = 3, .timeout = 20};
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		if (!strcmp(argv[i], "--again"))
			o.again = (int)strtol(value, NULL, 10), i++;
		else if (!strcmp(argv[i], "--leave"))
			o.leave = (int)strtol(value, NULL, 10), i++;
		else if (!strcmp(argv[i], "--level"))
			o.level = level_number(value), i++;
		else if (!strcmp(argv[i], "--timeout"))
			o.timeout = strtod(value, NULL), i++;
		else if (!strcmp(argv[i], "--load"))
			o.load = value, i++;
		else if (!strcmp(argv[i], "--mpi-init"))
			o.mpi_init = true;
		else if (!strcmp(argv[i], "--in-finalize"))
			o.mpi_init = o.in_finalize = true;
		else if (!strcmp(argv[i], "--thread"))
			o.thread = true;
		else {
			fprintf(stderr, "unknown option %s\n", argv[i]);
			return 2;
		}
	}
	if (o.mpi_init)
		initialise_mpi(&o);
	if (o.load)
		call_loaded(o.load, "MPI_Init");
	int status;
	if (o.thread) {
		pthread_t thread;
		void *bad;
		pthread_create(&thread, NULL, run_thread, &o);
		pthread_join(thread, &bad);
		status = bad != NULL;
	} else {
		status = run(&o);
	}
	if (o.load && !status)
		call_loaded(o.load, "MPI_Finalize");
	if (o.mpi_init && !status)
		status = finalise_mpi();
	return status;
}

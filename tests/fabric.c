/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rank for tests/launchers.sh: runs one of the bodies that every fabric must pass, over the
 * fabric of the bootstrap that the environment asks for, and prints "rank 1 of 2: random over mpi".
 *
 * usage: fabric BODY [TURNS]
 *   again    opens, closes and abandons it in turn, with a body each time
 * built with MPI (fabric-mpi), as a program that uses MPI itself:
 *   busy     another thread of the program uses MPI all the while
 *   part     the ranks are a half of the program's, the other way round; several times
 *   funneled MPI_THREAD_FUNNELED: only the thread that initialised MPI may call
 *   faults   what becomes of errors that MPI returns
 *   few-tags an MPI that has too few of them
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef WITH_MPI
#include <mpi.h>
#endif

#include "collectives/bootstrap.h"
#include "collectives/bootstrap/wait.h"
#include "collectives/status.h"
#include "tests/fabric_bodies.h"
#include "tests/fabric_expect.h"
#include "tests/seed.h"

static struct ronde_fabric *open_fabric(struct ronde_bootstrap *b)
{
	struct ronde_fabric *f;
	if (ronde_fabric_open(&f, b)) {
		fprintf(stderr, "rank %d: %s\n", b->rank, ronde_error_message());
		exit(1);
	}
	return f;
}

/* The same on all ranks. */
static uint64_t common_seed(struct ronde_bootstrap *b)
{
	uint64_t mine = b->rank ? 0 : test_seed(), *all = calloc((size_t)b->size, sizeof *all);
	if (!all || b->ops->exchange(b, &mine, all, sizeof mine)) {
		fprintf(stderr, "rank %d: %s\n", b->rank, ronde_error_message());
		exit(1);
	}
	mine = all[0];
	free(all);
	return mine;
}

/* ---- programs that use MPI themselves ---- */

#ifdef WITH_MPI

/* What MPI is made to return next. The module's calls come here, since names are looked for in the
 * program first. */
#define EXPORTED __attribute__((visibility("default")))
static enum { NOTHING, START, ONE_OF_SOME, WHOLE_CALL, FEW_TAGS } fault;

EXPORTED int MPI_Isend(const void *data, int count, MPI_Datatype type, int to, int tag,
		       MPI_Comm comm, MPI_Request *request)
{
	if (fault == START)
		return MPI_ERR_OTHER;
	return PMPI_Isend(data, count, type, to, tag, comm, request);
}

EXPORTED int MPI_Testsome(int n, MPI_Request requests[], int *done, int indices[],
			  MPI_Status statuses[])
{
	if (fault == WHOLE_CALL)
		return MPI_ERR_INTERN;
	int error = PMPI_Testsome(n, requests, done, indices, statuses);
	if (fault != ONE_OF_SOME || *done < 1)
		return error;
	for (int i = 0; i < *done; i++)
		statuses[i].MPI_ERROR = i ? MPI_SUCCESS : MPI_ERR_OTHER;
	fault = NOTHING;
	return MPI_ERR_IN_STATUS;
}

EXPORTED int MPI_Comm_get_attr(MPI_Comm comm, int key, void *value, int *found)
{
	static int few = 32767;
	int error = PMPI_Comm_get_attr(comm, key, value, found);
	if (fault == FEW_TAGS && key == MPI_TAG_UB)
		*(int **)value = &few;
	return error;
}

/* The operation with the next rank is the one that fails; with the one before nothing has. */
static void faults(struct fabric_rank *r)
{
	struct ronde_fabric *f = r->fabric;
	struct ronde_fabric_operation *in, *out, *again, *none = NULL;
	const int next = (f->rank + 1) % f->size, before = (f->rank + f->size - 1) % f->size;
	char text[256], got = 0;
	r->kept = calloc(1, 64);
	fault = START;
	snprintf(text, sizeof text,
		 "rank %d cannot start a message to rank %d under tag 1; MPI says: ", f->rank,
		 next);
	FAILS(f, ronde_fabric_post_send(f, next, 1, "a", 1, &none), RONDE_ERR_PEER_LOST, text);
	EXPECT(f, !none && !f->held && !f->in_flight);
	fault = NOTHING;
	fabric_barrier(f);

	OK(f, ronde_fabric_post_receive(f, before, 2, &got, 1, &in));
	fault = ONE_OF_SOME;
	OK(f, ronde_fabric_post_send(f, next, 3, "b", 1, &out));
	while (!ronde_fabric_done(out))
		EXPECT(f, ronde_fabric_progress(f) >= 0);
	EXPECT(f, out->status == RONDE_ERR_PEER_LOST);
	snprintf(text, sizeof text,
		 "a message to rank %d under tag 3 has failed, so rank %d takes it for lost; MPI "
		 "says: ",
		 next, f->rank);
	FAILS(f, ronde_fabric_finish(out, NULL), RONDE_ERR_PEER_LOST, text);
	FAILS(f, ronde_fabric_post_send(f, next, 4, "c", 1, &none), RONDE_ERR_PEER_LOST, text);
	FAILS(f, ronde_fabric_close(f), RONDE_ERR_BUSY, "");
	EXPECT(f, f->size == 2 ? ronde_fabric_done(in) : !ronde_fabric_done(in));

	OK(f,
	   f->size == 2 ? RONDE_OK : ronde_fabric_post_receive(f, before, 5, r->kept, 1, &again));
	fault = WHOLE_CALL;
	snprintf(text, sizeof text, "rank %d cannot go on with MPI, which says: ", f->rank);
	if (f->size > 2) {
		FAILS(f, ronde_fabric_progress(f), RONDE_ERR_PEER_LOST, text);
		FAILS(f, ronde_fabric_progress(f), RONDE_ERR_PEER_LOST, text);
		FAILS(f, ronde_fabric_finish(again, NULL), RONDE_ERR_PEER_LOST, text);
		FAILS(f, ronde_fabric_post_send(f, before, 6, "d", 1, &none), RONDE_ERR_PEER_LOST,
		      text);
	}
	EXPECT(f, ronde_fabric_done(in) && ronde_fabric_finish(in, NULL));
	fault = NOTHING;
}

static atomic_bool enough;

static void *use_mpi(void *arg)
{
	int rank, size, stop = 0;
	MPI_Comm comm = *(MPI_Comm *)arg;
	MPI_Comm_rank(comm, &rank);
	MPI_Comm_size(comm, &size);
	for (int i = 0; !stop; i++) {
		int mine = atomic_load(&enough), all[64] = {0};
		MPI_Allreduce(&mine, &stop, 1, MPI_INT, MPI_MIN, comm);
		MPI_Allgather(&i, 1, MPI_INT, all, 1, MPI_INT, comm);
		for (int r = 0; r < size; r++)
			if (all[r] != i)
				abort();
	}
	return NULL;
}

static void busy(struct fabric_rank *r)
{
	pthread_t thread;
	MPI_Comm comm;
	MPI_Comm_dup(MPI_COMM_WORLD, &comm);
	pthread_create(&thread, NULL, use_mpi, &comm);
	fabric_random(r);
	fabric_threads(r);
	atomic_store(&enough, true);
	pthread_join(thread, NULL);
	MPI_Comm_free(&comm);
}

static void *may_not_call(void *arg)
{
	struct ronde_fabric *f = arg;
	EXPECT(f, !ronde_fabric_may_call(f));
	return NULL;
}

static void funneled(struct fabric_rank *r)
{
	pthread_t thread;
	EXPECT(r->fabric, ronde_fabric_may_call(r->fabric));
	pthread_create(&thread, NULL, may_not_call, r->fabric);
	pthread_join(thread, NULL);
	fabric_random(r);
}

static void before(const char *name)
{
	int level;
	if (strcmp(name, "funneled") == 0)
		MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);
	else if (strcmp(name, "busy") == 0 || strcmp(name, "part") == 0)
		MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &level);
	fault = strcmp(name, "few-tags") == 0 ? FEW_TAGS : NOTHING;
}

static void after(const char *name)
{
	if (strcmp(name, "funneled") == 0 || strcmp(name, "busy") == 0 || strcmp(name, "part") == 0)
		MPI_Finalize();
}

/* The communicator of the job; NULL: all ranks that were started. */
static const void *half(const char *name)
{
	static MPI_Comm comm;
	int rank;
	if (strcmp(name, "part") != 0)
		return NULL;
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_split(MPI_COMM_WORLD, rank % 2, -rank, &comm);
	return &comm;
}

#else
static void before(const char *name)
{
	(void)name;
}

static void after(const char *name)
{
	(void)name;
}

static const void *half(const char *name)
{
	(void)name;
	return NULL;
}
#endif

/* ---- bodies ---- */

static const struct named {
	const char *name;
	fabric_body body;
	int turns;
	bool abandons;
} bodies[] = {
	{"random", fabric_random, 2000, false},
	{"flood", fabric_flood, 5000, false},
	{"threads", fabric_threads, 500, false},
	{"errors", fabric_errors, 1, false},
	{"last", fabric_last, 1, false},
	{"huge", fabric_huge, 4, false},
	{"lost", fabric_lost, 1, true},
#ifdef WITH_MPI
	{"faults", faults, 1, true},
	{"busy", busy, 1000, false},
	{"funneled", funneled, 500, false},
	{"few-tags", fabric_random, 1, false},
#endif
};

static const struct named *find(const char *name)
{
	for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
		if (strcmp(bodies[i].name, name) == 0)
			return &bodies[i];
	fprintf(stderr, "no body \"%s\" here\n", name);
	exit(2);
}

static void run(struct ronde_bootstrap *b, const struct named *n, int turns, uint64_t seed)
{
	struct fabric_rank r = {.fabric = open_fabric(b), .seed = seed, .turns = turns};
	struct ronde_fabric *f = r.fabric, *again;
	EXPECT(f, f->rank == b->rank && f->size == b->size);
	FAILS(f, ronde_fabric_open(&again, b), RONDE_ERR_BUSY, "is open already");
	n->body(&r);
	if (!n->abandons) {
		OK(f, ronde_fabric_close(f));
		return;
	}
	/* Memory that MPI may still use is never freed. */
	size_t left = ronde_fabric_abandon(f);
	printf("rank %d leaves %zu\n", b->rank, left);
	if (!left)
		free(r.kept);
}

/* Everything in turn, and what was left in between disturbs nobody. */
static void run_again(struct ronde_bootstrap *b, uint64_t seed)
{
	run(b, find("flood"), 50, seed);
	run(b, find("lost"), 1, seed);
	run(b, find("random"), 200, seed);
	run(b, find("last"), 1, seed);
	run(b, find("errors"), 1, seed);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "random";
	const bool part = strcmp(name, "part") == 0, again = part || strcmp(name, "again") == 0;
	const struct named *n = find(again ? "random" : name);
	const int turns = argc > 2 ? (int)strtol(argv[2], NULL, 10) : n->turns;
	before(name);
	const void *communicator = half(name);
	for (int life = 0; life < (part ? 3 : 1); life++) {
		struct ronde_bootstrap *b;
		if (ronde_bootstrap_open(&b, 30, communicator)) {
			fprintf(stderr, "%s\n", ronde_error_message());
			return 1;
		}
		uint64_t seed = common_seed(b);
		run(b, n, turns, seed);
		if (again)
			run_again(b, seed);
		if (life == 0)
			printf("rank %d of %d: %s over %s\n", b->rank, b->size, name, b->ops->name);
		fflush(stdout);
		b->ops->close(b, true);
	}
	after(name);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One of four processes for tests/launchers.sh, which gives ronde_init_mpi() one communicator after
 * the other: none and wrong ones; three of the four processes in another order; two halves at once,
 * each a job of its own; all by ronde_init(); other halves; each process alone. In every job the
 * ranks add up the numbers that MPI gives them, so that a rank of another job would be seen. The
 * last job is left to MPI_Finalize().
 */
#include <ronde/mpi.h>
#include <ronde/ronde.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int self; /* this process in MPI_COMM_WORLD */

static void fail(const char *what)
{
	fprintf(stderr, "process %d: %s: %s\n", self, what, ronde_error_message());
	exit(1);
}

static void expect(int status, int wanted, const char *text)
{
	if (status != wanted || strncmp(ronde_error_message(), text, strlen(text)) != 0)
		fail("not the error that was expected");
}

/* Ronde runs on exactly the communicator's processes, numbered as there. */
static void check_job(MPI_Comm communicator, const char *what)
{
	int rank, size;
	int32_t mine = 1 << (4 * self), sum, wanted;

	MPI_Comm_rank(communicator, &rank);
	MPI_Comm_size(communicator, &size);
	MPI_Allreduce(&mine, &wanted, 1, MPI_INT32_T, MPI_SUM, communicator);
	if (ronde_rank() != rank || ronde_size() != size || ronde_local_size() != size)
		fail(what);
	for (int i = 0; i < 100; i++)
		if (ronde_allreduce("sum", &mine, &sum, 1, RONDE_INT32, RONDE_SUM) || sum != wanted)
			fail(what);
}

/* A job on `communicator`, which is freed while it runs. */
static void run_job(MPI_Comm communicator, const char *what)
{
	MPI_Comm copy;

	MPI_Comm_dup(communicator, &copy);
	if (ronde_init_mpi(copy, NULL))
		fail(what);
	MPI_Comm_free(&copy);
	check_job(communicator, what);
	if (ronde_shutdown())
		fail(what);
}

static void check_refused(void)
{
	MPI_Comm half, both;

	expect(ronde_init_mpi(MPI_COMM_NULL, NULL), RONDE_ERR_INVALID_ARGUMENT,
	       "ronde_init_mpi: the communicator is MPI_COMM_NULL, which has no ranks; a process "
	       "that is left out of a job must not call it");
	MPI_Comm_split(MPI_COMM_WORLD, self % 2, self, &half);
	MPI_Intercomm_create(half, 0, MPI_COMM_WORLD, 1 - self % 2, 0, &both);
	expect(ronde_init_mpi(both, NULL), RONDE_ERR_INVALID_ARGUMENT,
	       "ronde_init_mpi: this is an intercommunicator, whose ranks are two groups; make one "
	       "group of them by MPI_Intercomm_merge()");
	MPI_Comm_free(&both);
	MPI_Comm_free(&half);
	printf("rank %d: refused: NULL, intercommunicator\n", self);
}

/* Three of four, backwards. */
static void check_three(void)
{
	MPI_Comm three;

	MPI_Comm_split(MPI_COMM_WORLD, self == 2 ? MPI_UNDEFINED : 0, -self, &three);
	if (three == MPI_COMM_NULL) {
		printf("rank %d: not in it\n", self);
		return;
	}
	if (ronde_init_mpi(three, NULL))
		fail("three of four");
	check_job(three, "three of four");
	printf("rank %d: %d of %d\n", self, ronde_rank(), ronde_size());
	if (ronde_shutdown())
		fail("three of four");
	MPI_Comm_free(&three);
}

int main(int argc, char **argv)
{
	const char *const settings[] = {"lanes", "2", NULL};
	ronde_init_options options = RONDE_INIT_OPTIONS_INIT;
	MPI_Comm odd, low;
	int level;

	if (argc > 1) { /* --wrong-mpi: the module is another MPI's */
		MPI_Init(&argc, &argv);
		if (ronde_init_mpi(MPI_COMM_WORLD, NULL))
			fail("refused");
	}
	expect(ronde_init_mpi(MPI_COMM_WORLD, NULL), RONDE_ERR_LAUNCHER,
	       "ronde_init_mpi: MPI is not initialised; call MPI_Init_thread() before");
	MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &level);
	MPI_Comm_rank(MPI_COMM_WORLD, &self);
	check_refused();
	check_three();

	MPI_Comm_split(MPI_COMM_WORLD, self % 2, self, &odd);
	MPI_Comm_split(MPI_COMM_WORLD, self / 2, self, &low);
	run_job(odd, "odd and even");
	if (!getenv("RONDE_RANK")) {
		if (ronde_init(NULL))
			fail("the whole world");
		check_job(MPI_COMM_WORLD, "the whole world");
		ronde_shutdown();
	}
	run_job(low, "lower and upper");
	run_job(MPI_COMM_WORLD, "the whole world, given");
	options.settings = settings;
	options.size = 8;
	expect(ronde_init_mpi(MPI_COMM_SELF, &options), RONDE_ERR_INVALID_ARGUMENT,
	       "ronde_init: the options' size is 8; start from RONDE_INIT_OPTIONS_INIT");
	options.size = sizeof(options);
	if (ronde_init_mpi(MPI_COMM_SELF, &options))
		fail("alone");
	check_job(MPI_COMM_SELF, "alone");
	printf("rank %d: halves, whole, halves, self\n", self);
	fflush(stdout);
	MPI_Comm_free(&odd);
	MPI_Comm_free(&low);
	MPI_Finalize();
	return ronde_is_initialized();
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One rank of a job under an MPI launcher, for tests/launchers.sh: the whole runtime runs, an
 * operation of each rank waits for the others for ever, and the job ends without ronde_shutdown().
 *
 *   finalize    the program has initialised MPI, and calls MPI_Finalize()
 *   leave RANK  that rank calls exit(0) after a barrier; the others have to be told, and those that
 *               have not looked yet whether it is over may be told so by that barrier
 *
 * Prints one line, "rank 1: …". Exits with 1 if something is wrong.
 */
#include <stdatomic.h>

#ifdef WITH_MPI
#include <mpi.h>
#endif

#include "tests/fork_ranks.h"

struct told {
	_Atomic int status; /* 1: not called yet */
	char text[400];
};

static void tell(ronde_handle handle, int status, const char *message, void *arg)
{
	struct told *told = arg;
	(void)handle;
	snprintf(told->text, sizeof told->text, "%s", message);
	atomic_store(&told->status, status);
}

static void begin(struct told *told, float *memory)
{
	ronde_handle h;
	char name[32];
	require_ok(ronde_init(NULL));
	for (int i = 0; i < 1000; i++)
		memory[i] = (float)(ronde_rank() + 1);
	require_ok(ronde_allreduce("x", memory, memory, 1000, RONDE_FLOAT32, RONDE_SUM));
	int sum = ronde_size() * (ronde_size() + 1) / 2;
	float wanted = (float)sum;
	for (int i = 0; i < 1000; i++)
		require(memory[i] == wanted, "element %d is %g", i, (double)memory[i]);
	snprintf(name, sizeof name, "only of rank %d", ronde_rank());
	require_ok(ronde_allreduce_async(name, memory, memory, 1000, RONDE_FLOAT32, RONDE_SUM, NULL,
					 &h));
	require_ok(ronde_handle_on_done(h, tell, told));
}

static int finalize(void)
{
#ifdef WITH_MPI
	struct told told = {.status = 1};
	static float memory[1000];
	int finalized = 0;
	MPI_Init(NULL, NULL);
	begin(&told, memory);
	require_ok(ronde_barrier());
	int rank = ronde_rank();
	MPI_Finalize();
	MPI_Finalized(&finalized);
	require(finalized && !ronde_is_initialized(), "MPI_Finalize left Ronde running");
	require(told.status == RONDE_ERR_SHUTDOWN && strstr(told.text, " has shut Ronde down"),
		"told %d: %s", told.status, told.text);
	require(ronde_barrier() == RONDE_ERR_NOT_INITIALIZED, "%s", ronde_error_message());
	require_ok(ronde_shutdown());
	printf("rank %d: MPI_Finalize ended it\n", rank);
	return 0;
#else
	fprintf(stderr, "built without MPI\n");
	return 1;
#endif
}

static int leave(int leaver)
{
	static struct told told = {.status = 1};
	static float memory[1000];
	char lost[64];
	begin(&told, memory);
	int rank = ronde_rank(), status = ronde_barrier();
	if (rank == leaver) {
		require_ok(status);
		exit(0);
	}
	snprintf(lost, sizeof lost, "rank %d (process ", leaver);
	if (status == RONDE_OK)
		status = ronde_barrier();
	require(status == RONDE_ERR_PEER_LOST, "%s", ronde_error_message());
	require(strstr(ronde_error_message(), lost) &&
			strstr(ronde_error_message(), "it left without ronde_shutdown()"),
		"%s", ronde_error_message());
	require_ok(ronde_shutdown());
	require(told.status == RONDE_ERR_PEER_LOST && strstr(told.text, lost), "told %d: %s",
		told.status, told.text);
	printf("rank %d: was told that rank %d left\n", rank, leaver);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "finalize") == 0)
		return finalize();
	if (argc == 3 && strcmp(argv[1], "leave") == 0)
		return leave((int)strtol(argv[2], NULL, 10));
	fprintf(stderr, "usage: ends finalize | leave RANK\n");
	return 2;
}

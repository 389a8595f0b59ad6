/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exchange over MPI, in two steps, so that a rank that is gone is named and hangs nobody:
 *
 * 1. every rank tells rank 0 that it has come; rank 0 waits for all, or for the timeout, and tells
 *    everybody the verdict: go on, or which ranks are missing;
 * 2. a non-blocking allgather, now that all are there.
 *
 * Everything is tested, never waited for. What is under way when the time is up cannot be called
 * back (MPI has no cancel for a collective): its memory stays MPI's, and the communicator is
 * broken.
 */
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "collectives/bootstrap/wait.h"
#include "collectives/mpi/mpi_state.h"

enum { TAG_COME = 1, TAG_VERDICT = 2 };

/* The verdict comes from rank 0, which knows who is missing: wait a little longer for it. */
#define VERDICT_SECONDS 1.0
/* How long to poll at full speed before sleeping between looks. */
#define EAGER_SECONDS 0.02

struct come {
	uint64_t round, bytes;
};

int ronde_mpi_break(struct ronde_mpi_state *s, int status, const char *format, ...)
{
	if (!s->broken.status) {
		va_list args;
		va_start(args, format);
		vsnprintf(s->broken.text, sizeof s->broken.text, format, args);
		va_end(args);
		s->broken.status = status;
	}
	return s->error(s->broken.status, "%s", s->broken.text);
}

bool ronde_mpi_wait(MPI_Request *requests, int n, double deadline)
{
	const double start = ronde_seconds();
	int complete = 0; /* so many from the first on */
	while (complete < n) {
		int done = 0;
		if (MPI_Test(&requests[complete], &done, MPI_STATUS_IGNORE) != MPI_SUCCESS)
			return false;
		double now = ronde_seconds();
		if (done)
			complete++;
		else if (now > deadline)
			return false;
		else if (now - start < EAGER_SECONDS)
			sched_yield();
		else
			nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
	}
	return true;
}

/* ---- step 1, on rank 0 ---- */

/* Which ranks have not come; the receives that wait for them are called back. */
static void note_missing(struct ronde_mpi_state *s, MPI_Request *requests,
			 struct ronde_mpi_verdict *verdict)
{
	bool *missing = calloc((size_t)s->team->size, sizeof *missing);
	char who[128] = "some ranks";
	for (int r = 1; r < s->team->size; r++) {
		int done = 1;
		if (requests[r] != MPI_REQUEST_NULL)
			MPI_Test(&requests[r], &done, MPI_STATUS_IGNORE);
		if (missing)
			missing[r] = !done;
		if (!done) {
			MPI_Cancel(&requests[r]);
			MPI_Wait(&requests[r], MPI_STATUS_IGNORE);
		}
	}
	if (missing)
		ronde_ranks_text(who, sizeof who, missing, s->team->size);
	free(missing);
	verdict->status = RONDE_ERR_PEER_LOST;
	snprintf(verdict->text, sizeof verdict->text, "%s did not come to the exchange within %g s",
		 who, s->timeout);
}

static void check_come(struct ronde_mpi_state *s, const struct come *come,
		       struct ronde_mpi_verdict *verdict)
{
	for (int r = 1; r < s->team->size && !verdict->status; r++) {
		if (come[r].round == come[0].round && come[r].bytes == come[0].bytes)
			continue;
		verdict->status = RONDE_ERR_VERSION;
		snprintf(
			verdict->text, sizeof verdict->text,
			"rank %d exchanges %llu bytes in exchange %llu where rank 0 exchanges %llu "
			"in exchange %llu: they run different programs",
			r, (unsigned long long)come[r].bytes, (unsigned long long)come[r].round,
			(unsigned long long)come[0].bytes, (unsigned long long)come[0].round);
	}
}

/* The memory of a message that does not leave stays MPI's. */
static void send_verdict(struct ronde_mpi_state *s, const struct ronde_mpi_verdict *verdict,
			 MPI_Request *requests)
{
	struct ronde_mpi_verdict *copy = malloc(sizeof *copy);
	if (!copy)
		return; /* the others time out */
	*copy = *verdict;
	requests[0] = MPI_REQUEST_NULL;
	for (int r = 1; r < s->team->size; r++)
		if (MPI_Isend(copy, sizeof *copy, MPI_BYTE, r, TAG_VERDICT, s->team->comm,
			      &requests[r]) != MPI_SUCCESS)
			requests[r] = MPI_REQUEST_NULL;
	double patience = verdict->status ? VERDICT_SECONDS : s->timeout;
	if (ronde_mpi_wait(requests, s->team->size, ronde_seconds() + patience)) {
		free(copy);
		return;
	}
	s->given_up = copy;
	if (!verdict->status)
		ronde_mpi_break(s, RONDE_ERR_PEER_LOST,
				"a rank was lost: it does not take what rank 0 sends");
}

static int assemble_root(struct ronde_mpi_state *s, size_t bytes)
{
	struct come *come = calloc((size_t)s->team->size, sizeof *come);
	MPI_Request *requests = malloc((size_t)s->team->size * sizeof(MPI_Request));
	struct ronde_mpi_verdict verdict = {0};
	if (!come || !requests) {
		free(come);
		free(requests);
		return ronde_mpi_break(s, RONDE_ERR_OUT_OF_MEMORY,
				       "no memory to exchange data of %d ranks", s->team->size);
	}
	come[0] = (struct come){s->team->round, bytes};
	requests[0] = MPI_REQUEST_NULL;
	for (int r = 1; r < s->team->size; r++)
		if (MPI_Irecv(&come[r], sizeof come[r], MPI_BYTE, r, TAG_COME, s->team->comm,
			      &requests[r]) != MPI_SUCCESS)
			requests[r] = MPI_REQUEST_NULL;
	if (ronde_mpi_wait(requests, s->team->size, ronde_seconds() + s->timeout))
		check_come(s, come, &verdict);
	else
		note_missing(s, requests, &verdict);
	send_verdict(s, &verdict, requests);
	free(come);
	free(requests);
	if (verdict.status)
		return ronde_mpi_break(s, verdict.status, "%s", verdict.text);
	return s->broken.status;
}

/* ---- step 1, on the others ---- */

static int assemble_leaf(struct ronde_mpi_state *s, size_t bytes)
{
	struct message {
		struct come come;
		struct ronde_mpi_verdict verdict;
	} *m = malloc(sizeof *m);
	if (!m)
		return ronde_mpi_break(s, RONDE_ERR_OUT_OF_MEMORY, "no memory to exchange data");
	m->come = (struct come){s->team->round, bytes};
	MPI_Request requests[2] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL};
	MPI_Irecv(&m->verdict, sizeof m->verdict, MPI_BYTE, 0, TAG_VERDICT, s->team->comm,
		  &requests[0]);
	MPI_Isend(&m->come, sizeof m->come, MPI_BYTE, 0, TAG_COME, s->team->comm, &requests[1]);
	if (!ronde_mpi_wait(requests, 2, ronde_seconds() + s->timeout + VERDICT_SECONDS)) {
		s->given_up = m;
		return ronde_mpi_break(s, RONDE_ERR_PEER_LOST,
				       "rank 0 did not answer within %g s: it, or a rank it waits "
				       "for, is stopped, busy or gone",
				       s->timeout);
	}
	int status = RONDE_OK;
	if (m->verdict.status)
		status = ronde_mpi_break(s, m->verdict.status, "%s", m->verdict.text);
	free(m);
	return status;
}

/* ---- step 2 ---- */

/* In memory of its own, which is given up if it does not complete. */
static int gather(struct ronde_mpi_state *s, const void *mine, void *all, size_t bytes)
{
	unsigned char *memory = malloc(bytes * (size_t)(s->team->size + 1) + 1);
	if (!memory)
		return ronde_mpi_break(s, RONDE_ERR_OUT_OF_MEMORY,
				       "no memory to exchange %zu bytes of each of %d ranks", bytes,
				       s->team->size);
	unsigned char *whole = memory + bytes;
	MPI_Request request = MPI_REQUEST_NULL;
	if (bytes)
		memcpy(memory, mine, bytes);
	int error = MPI_Iallgather(memory, (int)bytes, MPI_BYTE, whole, (int)bytes, MPI_BYTE,
				   s->team->comm, &request);
	if (error != MPI_SUCCESS || !ronde_mpi_wait(&request, 1, ronde_seconds() + s->timeout)) {
		s->given_up = memory;
		return ronde_mpi_break(
			s, RONDE_ERR_PEER_LOST,
			"a rank was lost while %zu bytes of each rank were exchanged "
			"over MPI (%g s)",
			bytes, s->timeout);
	}
	if (bytes)
		memcpy(all, whole, bytes * (size_t)s->team->size);
	free(memory);
	return RONDE_OK;
}

int ronde_mpi_exchange(struct ronde_mpi_state *s, const void *mine, void *all, size_t bytes)
{
	if (s->broken.status)
		return s->error(s->broken.status, "%s", s->broken.text);
	if (bytes > INT_MAX)
		return s->error(RONDE_ERR_INVALID_ARGUMENT,
				"an exchange of %zu bytes: allowed is up to %d", bytes, INT_MAX);
	int status = s->team->rank == 0 ? assemble_root(s, bytes) : assemble_leaf(s, bytes);
	s->team->round++;
	return status ? status : gather(s, mine, all, bytes);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fabric over MPI: a message is a message of MPI, an operation a request. All requests in
 * flight stand in one row, which MPI_Testsome() looks at; what is done is taken out of it.
 *
 * MPI counts in int. What is longer goes as one element of a type that is as long as the message.
 */
#include "collectives/mpi/fabric.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/fabric/operations.h"

#define FIRST_ROW 256
#define BLOCK_BYTES (1 << 30)

enum kind { SEND, LAST, RECEIVE };

struct row {
	MPI_Request *requests;
	struct ronde_fabric_operation **operations; /* NULL: its peer is lost, it is nobody's */
	bool *receives;
	int *indices; /* of MPI_Testsome() */
	MPI_Status *statuses;
	int n, room;
};

struct mpi_fabric {
	struct ronde_fabric base;
	struct ronde_mpi_state *state;
	MPI_Comm comm;
	bool any_thread; /* may make MPI calls */
	bool lost;       /* some rank is: something may for ever be under way */
	int status;      /* not OK: MPI itself has failed, see text */
	char text[RONDE_FABRIC_TEXT_BYTES];
	struct row row;
};

/* ---- the row ---- */

static bool grow(struct row *row)
{
	const int room = row->room ? 2 * row->room : FIRST_ROW;
	const size_t n = (size_t)room;
	/* Each that succeeds is kept, also if the next does not. */
	void *p = realloc(row->requests, n * sizeof *row->requests);
	if (!p)
		return false;
	row->requests = p;
	p = realloc((void *)row->operations, n * sizeof *row->operations);
	if (!p)
		return false;
	row->operations = p;
	p = realloc(row->receives, n * sizeof *row->receives);
	if (!p)
		return false;
	row->receives = p;
	p = realloc(row->indices, n * sizeof *row->indices);
	if (!p)
		return false;
	row->indices = p;
	p = realloc(row->statuses, n * sizeof *row->statuses);
	if (!p)
		return false;
	row->statuses = p;
	row->room = room;
	return true;
}

static void free_row(struct row *row)
{
	free(row->requests);
	free((void *)row->operations);
	free(row->receives);
	free(row->indices);
	free(row->statuses);
}

/* ---- posting ---- */

/* A type of so many bytes; nothing is freed by an error, which is the end of everything. */
static int long_type(size_t bytes, MPI_Datatype *type)
{
	const size_t blocks = bytes / BLOCK_BYTES;
	MPI_Datatype block, many;
	int lengths[] = {1, (int)(bytes % BLOCK_BYTES)};
	MPI_Aint places[] = {0, (MPI_Aint)(blocks * BLOCK_BYTES)};
	if (blocks > INT_MAX)
		return MPI_ERR_COUNT;
	int error = MPI_Type_contiguous(BLOCK_BYTES, MPI_BYTE, &block);
	if (!error)
		error = MPI_Type_contiguous((int)blocks, block, &many);
	if (!error)
		error = MPI_Type_create_struct(2, lengths, places, (MPI_Datatype[]){many, MPI_BYTE},
					       type);
	if (!error)
		error = MPI_Type_commit(type);
	if (!error)
		error = MPI_Type_free(&block);
	if (!error)
		error = MPI_Type_free(&many);
	return error;
}

static int start(struct mpi_fabric *f, enum kind kind, void *data, size_t bytes, int peer, int tag,
		 MPI_Request *request)
{
	const bool is_long = bytes > INT_MAX;
	MPI_Datatype type = MPI_BYTE;
	int count = is_long ? 1 : (int)bytes;
	int error = is_long ? long_type(bytes, &type) : MPI_SUCCESS;
	if (error)
		return error;
	switch (kind) {
	case SEND:
		error = MPI_Isend(data, count, type, peer, tag, f->comm, request);
		break;
	case LAST:
		error = MPI_Issend(data, count, type, peer, tag, f->comm, request);
		break;
	case RECEIVE:
		error = MPI_Irecv(data, count, type, peer, tag, f->comm, request);
		break;
	}
	if (is_long) /* MPI keeps it for as long as it needs it */
		MPI_Type_free(&type);
	return error;
}

/* The first line of what MPI has to say. */
static const char *words(int error, char text[MPI_MAX_ERROR_STRING])
{
	int length;
	if (MPI_Error_string(error, text, &length) != MPI_SUCCESS)
		snprintf(text, MPI_MAX_ERROR_STRING, "error %d", error);
	text[strcspn(text, "\n")] = 0;
	return text;
}

static int post(struct ronde_fabric *fabric, enum kind kind, int peer, uint32_t tag, void *data,
		size_t bytes, struct ronde_fabric_operation **operation)
{
	struct mpi_fabric *f = (struct mpi_fabric *)fabric;
	struct row *row = &f->row;
	struct ronde_fabric_operation *o;
	if (f->status)
		return fabric->error(f->status, "%s", f->text);
	if (row->n == row->room && !grow(row))
		return fabric->error(RONDE_ERR_OUT_OF_MEMORY,
				     "no memory for a message between rank %d and rank %d, with "
				     "%d others in flight",
				     fabric->rank, peer, row->n);
	int status = ronde_fabric_take(fabric, peer, tag, bytes, kind == RECEIVE, &o);
	if (status)
		return status;
	int error = start(f, kind, data, bytes, peer, (int)tag, &row->requests[row->n]);
	if (error) {
		char said[MPI_MAX_ERROR_STRING];
		ronde_fabric_untake(o);
		return fabric->error(RONDE_ERR_PEER_LOST,
				     "rank %d cannot start a message %s rank %d under tag %u; MPI "
				     "says: %s",
				     fabric->rank, kind == RECEIVE ? "from" : "to", peer, tag,
				     said);
	}
	row->receives[row->n] = kind == RECEIVE;
	row->operations[row->n++] = o;
	if (kind != RECEIVE) {
		fabric->counters.messages_sent++;
		fabric->counters.bytes_sent += bytes;
	}
	*operation = o;
	return RONDE_OK;
}

/* MPI does not write what it sends, whatever the type of the pointer. */
static void *writable(const void *data)
{
	return (void *)(uintptr_t)data;
}

static int mpi_post_send(struct ronde_fabric *fabric, int peer, uint32_t tag, const void *data,
			 size_t bytes, struct ronde_fabric_operation **operation)
{
	return post(fabric, SEND, peer, tag, writable(data), bytes, operation);
}

static int mpi_post_last(struct ronde_fabric *fabric, int peer, uint32_t tag, const void *data,
			 size_t bytes, struct ronde_fabric_operation **operation)
{
	return post(fabric, LAST, peer, tag, writable(data), bytes, operation);
}

static int mpi_post_receive(struct ronde_fabric *fabric, int peer, uint32_t tag, void *data,
			    size_t bytes, struct ronde_fabric_operation **operation)
{
	return post(fabric, RECEIVE, peer, tag, data, bytes, operation);
}

/* ---- progress ---- */

/* Its requests stay MPI's, which may write into their memory yet. */
static void mpi_lose(struct ronde_fabric *fabric, int peer, const char *why)
{
	struct mpi_fabric *f = (struct mpi_fabric *)fabric;
	if (!ronde_fabric_note_lost(fabric, peer, why))
		return;
	f->lost = true;
	for (int i = 0; i < f->row.n; i++) {
		struct ronde_fabric_operation *o = f->row.operations[i];
		if (!o || o->peer != peer)
			continue;
		f->row.operations[i] = NULL;
		ronde_fabric_fail(o, RONDE_ERR_PEER_LOST, "%s", why);
	}
}

static void fail(struct mpi_fabric *f, struct ronde_fabric_operation *o, int error)
{
	int class;
	MPI_Error_class(error, &class);
	if (class == MPI_ERR_TRUNCATE) {
		ronde_fabric_fail(o, RONDE_ERR_INTERNAL,
				  "rank %d has sent more under tag %u than the %zu bytes that rank "
				  "%d expects",
				  o->peer, o->tag, o->bytes, f->base.rank);
		return;
	}
	char said[MPI_MAX_ERROR_STRING], why[RONDE_FABRIC_TEXT_BYTES];
	snprintf(why, sizeof why,
		 "a message %s rank %d under tag %u has failed, so rank %d takes it for lost; MPI "
		 "says: %.120s",
		 o->receives ? "from" : "to", o->peer, o->tag, f->base.rank, words(error, said));
	ronde_fabric_fail(o, RONDE_ERR_PEER_LOST, "%s", why);
	mpi_lose(&f->base, o->peer, why);
}

/* MPI itself does not work any more: nobody knows what has become of anything. */
static int fail_all(struct mpi_fabric *f, int error)
{
	char said[MPI_MAX_ERROR_STRING];
	f->status = RONDE_ERR_PEER_LOST;
	snprintf(f->text, sizeof f->text, "rank %d cannot go on with MPI, which says: %.120s",
		 f->base.rank, words(error, said));
	for (int i = 0; i < f->row.n; i++) {
		if (f->row.operations[i])
			ronde_fabric_fail(f->row.operations[i], f->status, "%s", f->text);
		f->row.operations[i] = NULL;
	}
	return f->base.error(f->status, "%s", f->text);
}

static void complete(struct mpi_fabric *f, struct ronde_fabric_operation *o,
		     const MPI_Status *status, bool has_error)
{
	MPI_Count bytes = (MPI_Count)o->bytes;
	if (has_error && status->MPI_ERROR != MPI_SUCCESS) {
		fail(f, o, status->MPI_ERROR);
		return;
	}
	if (o->receives)
		MPI_Get_elements_x(status, MPI_BYTE, &bytes);
	ronde_fabric_complete(o, (size_t)bytes);
}

/* MPI_Testsome() has made a null request of each that is done. */
static void close_ranks(struct row *row)
{
	int left = 0;
	for (int i = 0; i < row->n; i++) {
		if (row->requests[i] == MPI_REQUEST_NULL)
			continue;
		if (left != i) {
			row->requests[left] = row->requests[i];
			row->operations[left] = row->operations[i];
			row->receives[left] = row->receives[i];
		}
		left++;
	}
	row->n = left;
}

static int mpi_progress(struct ronde_fabric *fabric)
{
	struct mpi_fabric *f = (struct mpi_fabric *)fabric;
	struct row *row = &f->row;
	if (f->status)
		return fabric->error(f->status, "%s", f->text);
	int n = 0, done = 0, error;
	if (row->n == 0) { /* for what MPI has taken, and may not have sent */
		error = MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, f->comm, &n, MPI_STATUS_IGNORE);
		return error ? fail_all(f, error) : 0;
	}
	error = MPI_Testsome(row->n, row->requests, &n, row->indices, row->statuses);
	if (error && error != MPI_ERR_IN_STATUS)
		return fail_all(f, error);
	for (int i = 0; i < n; i++) {
		struct ronde_fabric_operation *o = row->operations[row->indices[i]];
		row->operations[row->indices[i]] = NULL;
		done += o != NULL;
		if (o)
			complete(f, o, &row->statuses[i], error != MPI_SUCCESS);
	}
	if (n > 0)
		close_ranks(row);
	return done;
}

static bool mpi_may_call(const struct ronde_fabric *fabric)
{
	const struct mpi_fabric *f = (const struct mpi_fabric *)fabric;
	int is_main = 1;
	if (!f->any_thread)
		MPI_Is_thread_main(&is_main);
	return is_main;
}

/* ---- ends ---- */

static void end(struct mpi_fabric *f)
{
	f->state->fabric = NULL;
	free_row(&f->row);
	ronde_fabric_free(&f->base);
	free(f);
}

static int mpi_close(struct ronde_fabric *fabric)
{
	struct mpi_fabric *f = (struct mpi_fabric *)fabric;
	int status = ronde_fabric_check_idle(fabric), come = 0;
	MPI_Status first;
	if (status)
		return status;
	if (f->status || f->lost)
		return fabric->error(RONDE_ERR_BUSY,
				     "rank %d has lost another, so its fabric can be abandoned "
				     "only, not closed",
				     fabric->rank);
	if (MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, f->comm, &come, &first) == MPI_SUCCESS && come)
		return fabric->error(RONDE_ERR_BUSY,
				     "rank %d has not received a message of rank %d under tag %d",
				     fabric->rank, first.MPI_SOURCE, first.MPI_TAG);
	end(f);
	return RONDE_OK;
}

/*
 * A receive that nothing has come for is called back, which is a matter of this rank alone; what is
 * being sent or received cannot be.
 */
static bool call_back(MPI_Request *request, bool receives)
{
	int done = 0;
	if (receives)
		MPI_Cancel(request);
	return MPI_Test(request, &done, MPI_STATUS_IGNORE) == MPI_SUCCESS && done;
}

static size_t mpi_abandon(struct ronde_fabric *fabric)
{
	struct mpi_fabric *f = (struct mpi_fabric *)fabric;
	size_t left = 0;
	for (int i = 0; i < f->row.n; i++)
		if (!call_back(&f->row.requests[i], f->row.receives[i]))
			left++;
	f->state->team->fabric_clean = false;
	end(f);
	return left;
}

static const struct ronde_fabric_ops mpi_fabric_ops = {
	.name = "mpi",
	.post_send = mpi_post_send,
	.post_last = mpi_post_last,
	.post_receive = mpi_post_receive,
	.progress = mpi_progress,
	.may_call = mpi_may_call,
	.lose = mpi_lose,
	.close = mpi_close,
	.abandon = mpi_abandon,
};

/* Below MPI_THREAD_MULTIPLE the program's threads and ours would meet, unless MPI is ours alone. */
static bool any_thread(const struct ronde_mpi_state *s)
{
	int level;
	MPI_Query_thread(&level);
	return level == MPI_THREAD_MULTIPLE || (s->ours && level == MPI_THREAD_SERIALIZED);
}

int ronde_mpi_fabric_create(struct ronde_fabric **fabric, struct ronde_mpi_state *s)
{
	struct mpi_fabric *f = calloc(1, sizeof *f);
	if (!f)
		return s->error(RONDE_ERR_OUT_OF_MEMORY, "no memory for the fabric of rank %d",
				s->team->rank);
	f->base.ops = &mpi_fabric_ops;
	f->base.rank = s->team->rank;
	f->base.size = s->team->size;
	f->base.error = s->error;
	f->state = s;
	f->comm = s->team->fabric_comm;
	f->any_thread = any_thread(s);
	int status = ronde_fabric_init(&f->base, sizeof(struct ronde_fabric_operation));
	if (status) {
		ronde_fabric_free(&f->base);
		free(f);
		return status;
	}
	*fabric = &f->base;
	return RONDE_OK;
}

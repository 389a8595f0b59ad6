/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exchange on a star: every rank sends its part to rank 0, which sends the whole to every rank.
 * It is used a few times in init, for a few bytes, so simple beats fast. Rank 0 hears at once of a
 * rank whose connection ends, and tells the others who it was.
 */
#include "collectives/bootstrap/unix.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collectives/bootstrap/wait.h"
#include "collectives/status.h"

/* Best effort: a rank that does not read within a moment finds its connection ended instead. */
static void tell_all(struct ronde_unix *u)
{
	struct ronde_frame frame = {.kind = RONDE_FRAME_FAILED,
				    .status = u->status,
				    .round = u->round,
				    .bytes = strlen(u->why)};
	double deadline = ronde_seconds() + RONDE_VERDICT_SECONDS;
	for (int r = 1; r < u->base.size; r++)
		if (u->fds[r] >= 0 && !ronde_wire_send(u->fds[r], &frame, sizeof frame, deadline))
			ronde_wire_send(u->fds[r], u->why, frame.bytes, deadline);
}

int ronde_unix_fail(struct ronde_unix *u, int status, const char *format, ...)
{
	if (!u->status) {
		va_list args;
		va_start(args, format);
		vsnprintf(u->why, sizeof u->why, format, args);
		va_end(args);
		u->status = status;
		if (u->base.rank == 0)
			tell_all(u);
	}
	return ronde_error(u->status, "%s", u->why);
}

/* The connection to rank 0 gave this error (a negative errno). */
static int lost_rank_0(struct ronde_unix *u, int error)
{
	if (error == -ETIMEDOUT)
		return ronde_unix_fail(u, RONDE_ERR_PEER_LOST,
				       "rank 0 did not answer within %g s: it, or a rank it waits "
				       "for, is stopped or busy",
				       u->timeout);
	if (error == -EPIPE && !u->welcome)
		return ronde_unix_fail(
			u, RONDE_ERR_PEER_LOST,
			"rank 0 ended the connection before it welcomed rank %d: it "
			"failed, or all its ranks had come already and RONDE_RANK=%d "
			"is given twice at RONDE_ADDRESS \"%s\"",
			u->base.rank, u->base.rank, u->address);
	return ronde_unix_fail(u, RONDE_ERR_PEER_LOST, "rank 0 was lost: its connection ended%s%s",
			       error == -EPIPE ? "" : ": ",
			       error == -EPIPE ? "" : strerror(-error));
}

int ronde_unix_hear(struct ronde_unix *u, uint32_t kind, struct ronde_frame *frame)
{
	double deadline = ronde_seconds() + u->timeout + RONDE_VERDICT_SECONDS;
	int error = ronde_wire_receive(u->fds[0], frame, sizeof *frame, deadline);
	if (error)
		return lost_rank_0(u, error);
	if (frame->kind == kind)
		return RONDE_OK;
	char text[RONDE_WIRE_TEXT] = "";
	if (frame->kind != RONDE_FRAME_FAILED || frame->status >= 0 || frame->bytes >= sizeof text)
		return ronde_unix_fail(u, RONDE_ERR_VERSION,
				       "rank 0 sent a frame of kind %u where %u was expected: the "
				       "ranks run different versions of Ronde",
				       frame->kind, kind);
	error = ronde_wire_receive(u->fds[0], text, frame->bytes, deadline);
	return error ? lost_rank_0(u, error) : ronde_unix_fail(u, frame->status, "%s", text);
}

/* ---- rank 0 ---- */

/* Rank 0's state of an exchange. */
struct gather {
	struct ronde_frame *frames; /* [size] */
	size_t *got;                /* [size] bytes of frame and part */
	bool *missing;              /* [size] */
	struct pollfd *polled;      /* [size] fd < 0: the rank's part is complete */
	int left;
};

/* Reads what rank r has sent. RONDE_OK also if there is more to come. */
static int gather_from(struct ronde_unix *u, struct gather *g, int r, unsigned char *all,
		       size_t bytes)
{
	struct ronde_frame *f = &g->frames[r];
	const size_t head = sizeof *f;
	for (;;) {
		bool in_head = g->got[r] < head;
		size_t want = in_head ? head - g->got[r] : head + bytes - g->got[r];
		if (!want)
			break;
		unsigned char *to = in_head ? (unsigned char *)f + g->got[r]
					    : all + (size_t)r * bytes + (g->got[r] - head);
		long n = ronde_wire_receive_some(u->fds[r], to, want);
		if (n < 0)
			return ronde_unix_fail(u, RONDE_ERR_PEER_LOST,
					       "rank %d was lost: its connection ended", r);
		if (n == 0)
			return RONDE_OK;
		g->got[r] += (size_t)n;
		if (g->got[r] == head &&
		    (f->kind != RONDE_FRAME_PART || f->round != u->round || f->bytes != bytes))
			return ronde_unix_fail(u, RONDE_ERR_VERSION,
					       "rank %d exchanges %llu bytes in exchange %llu "
					       "where rank 0 exchanges "
					       "%zu in exchange %llu: they run different programs",
					       r, (unsigned long long)f->bytes,
					       (unsigned long long)f->round, bytes,
					       (unsigned long long)u->round);
	}
	g->missing[r] = false;
	g->polled[r].fd = -1;
	g->left--;
	return RONDE_OK;
}

static int gather_all(struct ronde_unix *u, struct gather *g, unsigned char *all, size_t bytes)
{
	const double deadline = ronde_seconds() + u->timeout;
	const int size = u->base.size;
	for (int r = 0; r < size; r++) {
		g->polled[r] = (struct pollfd){.fd = u->fds[r], .events = POLLIN};
		g->missing[r] = r > 0;
	}
	g->left = size - 1;
	while (g->left) {
		int ready = ronde_wire_poll(g->polled, (size_t)size, deadline);
		if (ready < 0)
			return ronde_unix_fail(u, RONDE_ERR_SYSTEM, "poll failed: %s",
					       strerror(-ready));
		if (ready == 0) {
			char who[128];
			ronde_ranks_text(who, sizeof who, g->missing, size);
			return ronde_unix_fail(u, RONDE_ERR_PEER_LOST,
					       "%s did not come to the exchange within %g s", who,
					       u->timeout);
		}
		for (int r = 1; r < size; r++)
			if (g->polled[r].fd >= 0 && g->polled[r].revents) {
				int status = gather_from(u, g, r, all, bytes);
				if (status)
					return status;
			}
	}
	return RONDE_OK;
}

/*
 * All parts are there, so the exchange is a success, on every rank that still lives: who has died
 * meanwhile is missed by the next one. (Were it rank 0's error, it would be that of ranks after the
 * dead one as well, and a success for those before.)
 */
static int scatter(struct ronde_unix *u, const void *all, size_t bytes)
{
	const double deadline = ronde_seconds() + u->timeout;
	struct ronde_frame frame = {.kind = RONDE_FRAME_WHOLE,
				    .round = u->round,
				    .bytes = bytes * (size_t)u->base.size};
	for (int r = 1; r < u->base.size; r++) {
		int error = ronde_wire_send(u->fds[r], &frame, sizeof frame, deadline);
		if (!error)
			error = ronde_wire_send(u->fds[r], all, frame.bytes, deadline);
		if (error == -ETIMEDOUT)
			return ronde_unix_fail(u, RONDE_ERR_PEER_LOST,
					       "rank %d was lost: it does not read what it is sent",
					       r);
	}
	return RONDE_OK;
}

static int exchange_root(struct ronde_unix *u, const void *mine, void *all, size_t bytes)
{
	const size_t size = (size_t)u->base.size;
	struct gather g = {
		.frames = calloc(size, sizeof *g.frames),
		.got = calloc(size, sizeof *g.got),
		.missing = calloc(size, sizeof *g.missing),
		.polled = calloc(size, sizeof *g.polled),
	};
	int status;
	if (!g.frames || !g.got || !g.missing || !g.polled)
		status = ronde_unix_fail(u, RONDE_ERR_OUT_OF_MEMORY,
					 "no memory to exchange data of %zu ranks", size);
	else
		status = gather_all(u, &g, all, bytes);
	if (!status) {
		if (bytes)
			memcpy(all, mine, bytes);
		status = scatter(u, all, bytes);
	}
	free(g.frames);
	free(g.got);
	free(g.missing);
	free(g.polled);
	return status;
}

/* ---- the others ---- */

static int exchange_leaf(struct ronde_unix *u, const void *mine, void *all, size_t bytes)
{
	const double deadline = ronde_seconds() + u->timeout;
	struct ronde_frame frame = {.kind = RONDE_FRAME_PART, .round = u->round, .bytes = bytes};
	int error = ronde_wire_send(u->fds[0], &frame, sizeof frame, deadline);
	if (!error)
		error = ronde_wire_send(u->fds[0], mine, bytes, deadline);
	/* An ended connection may still hold rank 0's last words: hear them. */
	if (error && error != -EPIPE)
		return lost_rank_0(u, error);
	int status = ronde_unix_hear(u, RONDE_FRAME_WHOLE, &frame);
	if (status)
		return status;
	if (frame.round != u->round || frame.bytes != bytes * (size_t)u->base.size)
		return ronde_unix_fail(u, RONDE_ERR_VERSION,
				       "rank 0 exchanges %llu bytes where rank %d exchanges %zu: "
				       "they run different programs",
				       (unsigned long long)frame.bytes / (unsigned)u->base.size,
				       u->base.rank, bytes);
	error = ronde_wire_receive(u->fds[0], all, frame.bytes, deadline + RONDE_VERDICT_SECONDS);
	return error ? lost_rank_0(u, error) : RONDE_OK;
}

static int unix_exchange(struct ronde_bootstrap *bootstrap, const void *mine, void *all,
			 size_t bytes)
{
	struct ronde_unix *u = (struct ronde_unix *)bootstrap;
	if (u->status)
		return ronde_error(u->status, "%s", u->why);
	int status = bootstrap->rank == 0 ? exchange_root(u, mine, all, bytes)
					  : exchange_leaf(u, mine, all, bytes);
	u->round++;
	return status;
}

/* ---- opening and closing ---- */

static void unix_close(struct ronde_bootstrap *bootstrap, bool clean)
{
	(void)clean;
	struct ronde_unix *u = (struct ronde_unix *)bootstrap;
	int n = bootstrap->rank == 0 ? bootstrap->size : 1;
	for (int i = 0; i < n; i++)
		if (u->fds[i] >= 0)
			close(u->fds[i]);
	free(u->fds);
	free(u);
}

static const struct ronde_bootstrap_ops unix_ops = {
	.name = "unix",
	.exchange = unix_exchange,
	.close = unix_close,
};

int ronde_bootstrap_unix(struct ronde_bootstrap **bootstrap, int rank, int size,
			 const char *address, double timeout_seconds)
{
	if (size < 1 || size > RONDE_UNIX_MAX_RANKS || rank < 0 || rank >= size)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "rank %d of %d: allowed are 1 to %d ranks, numbered from 0",
				   rank, size, RONDE_UNIX_MAX_RANKS);
	if (!*address || strlen(address) > RONDE_ADDRESS_BYTES)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "address \"%s\": allowed is a text of 1 to %d bytes", address,
				   RONDE_ADDRESS_BYTES);
	const size_t n = rank == 0 ? (size_t)size : 1;
	struct ronde_unix *u = calloc(1, sizeof *u + (size_t)size * sizeof u->nodes[0]);
	int *fds = malloc(n * sizeof *fds);
	if (!u || !fds) {
		free(u);
		free(fds);
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY,
				   "no memory for the bootstrap of %d ranks", size);
	}
	for (size_t i = 0; i < n; i++)
		fds[i] = -1;
	u->base.ops = &unix_ops;
	u->base.rank = rank;
	u->base.size = size;
	u->base.node_of_rank = u->nodes;
	u->timeout = timeout_seconds;
	strcpy(u->address, address);
	u->fds = fds;
	int status = size > 1 ? ronde_unix_meet(u) : RONDE_OK;
	if (status) {
		unix_close(&u->base, false);
		return status;
	}
	*bootstrap = &u->base;
	return RONDE_OK;
}

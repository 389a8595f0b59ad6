/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the processes of one machine find each other: rank 0 listens on an abstract unix socket, the
 * others connect and say hello, and when all have come rank 0 welcomes them. An abstract name
 * leaves nothing behind in any folder, and belongs to nobody: so both sides check that the other
 * is a process of the same user. A connection that says nothing sensible is somebody else's
 * mistake and is dropped; a rank with a wrong number ends the job, with the same text on all.
 */
#include "collectives/bootstrap/unix.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "collectives/bootstrap/wait.h"
#include "collectives/status.h"

/*
 * Connections that have not said hello yet. When there are more, those wait in the socket's queue
 * until a guest has been silent for so long that its place is given to the next.
 */
#define GUESTS 64
#define GUEST_SECONDS 0.5
#define PREFIX "ronde-"

_Static_assert(sizeof PREFIX + RONDE_ADDRESS_BYTES <= sizeof((struct sockaddr_un *)0)->sun_path,
	       "an address fits into a socket's name");

static socklen_t socket_name(const struct ronde_unix *u, struct sockaddr_un *name)
{
	memset(name, 0, sizeof *name);
	name->sun_family = AF_UNIX;
	int n = snprintf(name->sun_path + 1, sizeof name->sun_path - 1, PREFIX "%s", u->address);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

static bool same_user(int fd, unsigned *uid)
{
	struct ucred peer = {.uid = (uid_t)-1};
	socklen_t bytes = sizeof peer;
	bool known = !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes);
	*uid = peer.uid;
	return known && peer.uid == geteuid();
}

/* ---- rank 0 ---- */

struct guest {
	int fd; /* -1: none */
	double since;
	size_t got;
	struct ronde_hello hello;
};

struct reception {
	struct ronde_unix *u;
	int listener;
	int expected; /* ranks still to come */
	struct guest guests[GUESTS];
	struct pollfd *polled; /* listener, guests, ranks */
};

static void guest_leave(struct guest *guest)
{
	if (guest->fd >= 0)
		close(guest->fd);
	*guest = (struct guest){.fd = -1};
}

/* A free place, or that of a guest that has been silent for too long, or NULL. */
static struct guest *guest_place(struct reception *r)
{
	for (int i = 0; i < GUESTS; i++)
		if (r->guests[i].fd < 0)
			return &r->guests[i];
	for (int i = 0; i < GUESTS; i++)
		if (ronde_seconds() - r->guests[i].since > GUEST_SECONDS)
			return &r->guests[i];
	return NULL;
}

static void guest_accept(struct reception *r, struct guest *place)
{
	int fd = accept4(r->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return;
	unsigned uid;
	if (!same_user(fd, &uid)) {
		close(fd);
		return;
	}
	guest_leave(place);
	place->fd = fd;
	place->since = ronde_seconds();
}

/* What is wrong with a hello; RONDE_OK if nothing is. */
static int hello_check(struct ronde_unix *u, const struct ronde_hello *h)
{
	if (h->version != RONDE_WIRE_VERSION)
		return ronde_unix_fail(u, RONDE_ERR_VERSION,
				       "a rank at RONDE_ADDRESS \"%s\" speaks version %u of the "
				       "bootstrap, rank 0 version %u: all ranks must use the same "
				       "version of Ronde",
				       u->address, h->version, RONDE_WIRE_VERSION);
	if (h->size != u->base.size)
		return ronde_unix_fail(u, RONDE_ERR_CONFIGURATION,
				       "rank %d was started with RONDE_SIZE=%d, rank 0 with "
				       "RONDE_SIZE=%d, at RONDE_ADDRESS \"%s\"",
				       h->rank, h->size, u->base.size, u->address);
	if (h->rank < 1 || h->rank >= u->base.size)
		return ronde_unix_fail(u, RONDE_ERR_CONFIGURATION,
				       "a process says it is rank %d of %d at RONDE_ADDRESS \"%s\"",
				       h->rank, u->base.size, u->address);
	if (u->fds[h->rank] >= 0)
		return ronde_unix_fail(
			u, RONDE_ERR_CONFIGURATION,
			"two processes say they are rank %d at RONDE_ADDRESS \"%s\": "
			"each needs a RONDE_RANK of its own, from 0 to %d",
			h->rank, u->address, u->base.size - 1);
	return RONDE_OK;
}

/* A guest that came too late to a job that has failed, or made it fail, is told like the others. */
static void guest_refuse(const struct ronde_unix *u, struct guest *guest)
{
	struct ronde_frame frame = {
		.kind = RONDE_FRAME_FAILED, .status = u->status, .bytes = strlen(u->why)};
	double deadline = ronde_seconds() + RONDE_VERDICT_SECONDS;
	if (!ronde_wire_send(guest->fd, &frame, sizeof frame, deadline))
		ronde_wire_send(guest->fd, u->why, frame.bytes, deadline);
	guest_leave(guest);
}

/* Reads a guest's hello, and makes it a rank once that is complete. */
static int guest_read(struct reception *r, struct guest *guest)
{
	struct ronde_unix *u = r->u;
	struct ronde_hello *h = &guest->hello;
	long n = ronde_wire_receive_some(guest->fd, (char *)h + guest->got, sizeof *h - guest->got);
	if (n > 0)
		guest->got += (size_t)n;
	bool complete = guest->got == sizeof *h;
	if (n < 0 || (complete && h->magic != RONDE_HELLO_MAGIC))
		guest_leave(guest);
	if (n < 0 || !complete || guest->fd < 0)
		return RONDE_OK;
	r->expected--;
	int status = u->status ? u->status : hello_check(u, h);
	if (status) {
		guest_refuse(u, guest);
		return status;
	}
	u->fds[h->rank] = guest->fd;
	guest->fd = -1;
	return RONDE_OK;
}

static int reception_timeout(struct reception *r)
{
	struct ronde_unix *u = r->u;
	bool *missing = calloc((size_t)u->base.size, sizeof *missing);
	char who[128] = "some ranks";
	for (int i = 1; missing && i < u->base.size; i++)
		missing[i] = u->fds[i] < 0;
	if (missing)
		ronde_ranks_text(who, sizeof who, missing, u->base.size);
	free(missing);
	return ronde_unix_fail(u, RONDE_ERR_PEER_LOST,
			       "%s of %d did not come within %g s. Every rank must be started on "
			       "this machine with the same RONDE_ADDRESS (\"%s\") and RONDE_SIZE",
			       who, u->base.size, u->timeout, u->address);
}

/* One wait, and all that it brings. */
static int reception_turn(struct reception *r, double deadline)
{
	struct ronde_unix *u = r->u;
	struct pollfd *p = r->polled;
	const int ranks = u->status ? 0 : u->base.size; /* they leave when they are told */
	struct guest *place = guest_place(r);
	const double next = ronde_seconds() + GUEST_SECONDS;
	p[0] = (struct pollfd){.fd = place ? r->listener : -1, .events = POLLIN};
	for (int i = 0; i < GUESTS; i++)
		p[1 + i] = (struct pollfd){.fd = r->guests[i].fd, .events = POLLIN};
	for (int i = 0; i < ranks; i++)
		p[1 + GUESTS + i] = (struct pollfd){.fd = u->fds[i], .events = POLLIN};
	int ready = ronde_wire_poll(p, (size_t)(1 + GUESTS + ranks),
				    place || deadline < next ? deadline : next);
	if (ready < 0)
		return ronde_unix_fail(u, RONDE_ERR_SYSTEM, "poll failed: %s", strerror(-ready));
	if (ready == 0)
		return ronde_seconds() < deadline ? RONDE_OK : reception_timeout(r);
	/* A rank that has come says nothing more for now: it can only have gone. */
	for (int i = 1; i < ranks; i++)
		if (p[1 + GUESTS + i].revents)
			return ronde_unix_fail(u, RONDE_ERR_PEER_LOST,
					       "rank %d was lost before all ranks had come: its "
					       "connection ended",
					       i);
	for (int i = 0; i < GUESTS; i++)
		if (p[1 + i].revents) {
			int status = guest_read(r, &r->guests[i]);
			if (status)
				return status;
		}
	if (p[0].revents)
		guest_accept(r, place);
	return RONDE_OK;
}

static int welcome_all(struct ronde_unix *u)
{
	struct ronde_frame frame = {.kind = RONDE_FRAME_WELCOME};
	double deadline = ronde_seconds() + u->timeout;
	for (int i = 1; i < u->base.size; i++)
		if (ronde_wire_send(u->fds[i], &frame, sizeof frame, deadline))
			return ronde_unix_fail(u, RONDE_ERR_PEER_LOST,
					       "rank %d was lost: its connection ended", i);
	return RONDE_OK;
}

static int listen_here(struct ronde_unix *u, int *listener)
{
	struct sockaddr_un name;
	socklen_t length = socket_name(u, &name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && !bind(fd, (struct sockaddr *)&name, length) && !listen(fd, SOMAXCONN)) {
		*listener = fd;
		return RONDE_OK;
	}
	int error = errno;
	if (fd >= 0)
		close(fd);
	if (error == EADDRINUSE)
		return ronde_unix_fail(u, RONDE_ERR_CONFIGURATION,
				       "RONDE_ADDRESS \"%s\" is in use: by a second process with "
				       "RONDE_RANK=0, or by another job, which needs an address of "
				       "its own",
				       u->address);
	return ronde_unix_fail(u, RONDE_ERR_SYSTEM,
			       "cannot listen on the unix socket of RONDE_ADDRESS \"%s\": %s",
			       u->address, strerror(error));
}

static void receive_ranks(struct reception *r)
{
	struct ronde_unix *u = r->u;
	double deadline = ronde_seconds() + u->timeout;
	while (r->expected && !reception_turn(r, deadline))
		;
	/* Those that have yet to come would find nobody, and wait for long. */
	double end = fmin(deadline, ronde_seconds() + RONDE_VERDICT_SECONDS);
	while (u->status && r->expected > 0 && ronde_seconds() < end)
		reception_turn(r, end);
}

static int be_root(struct ronde_unix *u)
{
	struct reception r = {.u = u, .expected = u->base.size - 1};
	for (int i = 0; i < GUESTS; i++)
		r.guests[i].fd = -1;
	r.polled = calloc((size_t)(1 + GUESTS + u->base.size), sizeof *r.polled);
	if (!r.polled)
		return ronde_unix_fail(u, RONDE_ERR_OUT_OF_MEMORY, "no memory to receive %d ranks",
				       u->base.size);
	int status = listen_here(u, &r.listener);
	if (!status) {
		receive_ranks(&r);
		status = u->status;
		close(r.listener);
	}
	for (int i = 0; i < GUESTS; i++)
		guest_leave(&r.guests[i]);
	free(r.polled);
	return status ? status : welcome_all(u);
}

/* ---- the others ---- */

/* Tries again until rank 0 listens: ranks start in any order. */
static int connect_root(struct ronde_unix *u)
{
	struct sockaddr_un name;
	socklen_t length = socket_name(u, &name);
	const double deadline = ronde_seconds() + u->timeout;
	long pause_ns = 200000;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error = fd < 0 ? errno : 0;
	while (!error && connect(fd, (struct sockaddr *)&name, length)) {
		/* EAGAIN: rank 0's queue of connections is full. */
		if (errno != ECONNREFUSED && errno != EAGAIN && errno != EINTR)
			error = errno;
		else if (ronde_seconds() > deadline)
			error = ETIMEDOUT;
		else
			nanosleep(&(struct timespec){.tv_nsec = pause_ns}, NULL);
		if (pause_ns < 10000000)
			pause_ns *= 2;
	}
	u->fds[0] = fd;
	if (error == ETIMEDOUT)
		return ronde_unix_fail(u, RONDE_ERR_PEER_LOST,
				       "rank %d: nobody listens at RONDE_ADDRESS \"%s\" for %g s. "
				       "Rank 0 must be started on this machine with the same "
				       "RONDE_ADDRESS, and with a RONDE_SIZE that counts this rank",
				       u->base.rank, u->address, u->timeout);
	if (error)
		return ronde_unix_fail(u, RONDE_ERR_SYSTEM,
				       "cannot connect to rank 0 at RONDE_ADDRESS \"%s\": %s",
				       u->address, strerror(error));
	unsigned uid;
	if (!same_user(fd, &uid))
		return ronde_unix_fail(u, RONDE_ERR_CONFIGURATION,
				       "RONDE_ADDRESS \"%s\" belongs to a process of user %u, this "
				       "is user %u: ranks of one job must be of one user",
				       u->address, uid, (unsigned)geteuid());
	return RONDE_OK;
}

static int join_root(struct ronde_unix *u)
{
	int status = connect_root(u);
	if (status)
		return status;
	struct ronde_hello hello = {.magic = RONDE_HELLO_MAGIC,
				    .version = RONDE_WIRE_VERSION,
				    .rank = u->base.rank,
				    .size = u->base.size};
	/* If this fails, hearing does too, and tells why. */
	ronde_wire_send(u->fds[0], &hello, sizeof hello, ronde_seconds() + u->timeout);
	struct ronde_frame frame;
	status = ronde_unix_hear(u, RONDE_FRAME_WELCOME, &frame);
	u->welcome = !status;
	return status;
}

int ronde_unix_meet(struct ronde_unix *u)
{
	return u->base.rank == 0 ? be_root(u) : join_root(u);
}

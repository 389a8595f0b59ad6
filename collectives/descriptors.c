/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/descriptors.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "collectives/bootstrap/wait.h"
#include "collectives/status.h"

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(RONDE_DESCRIPTORS_MAX * sizeof(int))];
};

static int silent(const char *who)
{
	return ronde_error(RONDE_ERR_PEER_LOST,
			   "%s did not answer in time while the ranks of this node shared their "
			   "memory: it is stopped, very slow, or gone; "
			   "RONDE_INIT_TIMEOUT_SECONDS sets how long to wait",
			   who);
}

static int gone(const char *who)
{
	return ronde_error(RONDE_ERR_PEER_LOST,
			   "%s went away while the ranks of this node shared their memory", who);
}

static int system_error(const char *call, const char *who)
{
	if (errno == ECONNRESET || errno == EPIPE)
		return gone(who);
	return ronde_error(RONDE_ERR_SYSTEM, "sharing memory with %s: %s: %s%s", who, call,
			   strerror(errno),
			   errno == EMFILE || errno == ETOOMANYREFS ? "; raise `ulimit -n`" : "");
}

int ronde_descriptors_wait(int socket, short events, double deadline, const char *who)
{
	for (;;) {
		double left = deadline - ronde_seconds();
		struct pollfd p = {.fd = socket, .events = events};
		int n = poll(&p, 1, left > 0 ? (int)fmin(ceil(left * 1e3), 1e9) : 0);
		if (n > 0)
			return RONDE_OK;
		if (n == 0 && left <= 0)
			return silent(who);
		if (n < 0 && errno != EINTR)
			return system_error("poll", who);
	}
}

int ronde_descriptors_send(int socket, const void *data, size_t bytes, const int *fds, int nfds,
			   double deadline, const char *who)
{
	struct iovec vector = {(void *)data, bytes};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
	union control control;
	if (nfds) {
		size_t size = (size_t)nfds * sizeof *fds;
		memset(&control, 0, CMSG_SPACE(size));
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(size);
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(size);
		memcpy(CMSG_DATA(header), fds, size);
	}
	while (sendmsg(socket, &message, MSG_NOSIGNAL) < 0) {
		if (errno == EAGAIN) {
			int status = ronde_descriptors_wait(socket, POLLOUT, deadline, who);
			if (status != RONDE_OK)
				return status;
		} else if (errno == ETOOMANYREFS && ronde_seconds() < deadline) {
			/* The system limits how many of a user's descriptors are under way. */
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		} else if (errno != EINTR) {
			return system_error("sendmsg", who);
		}
	}
	return RONDE_OK;
}

/* Takes the descriptors out of a message; returns how many, keeps at most `room`. */
static int take_descriptors(struct msghdr *message, int *fds, int room)
{
	int n = 0;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(message); h; h = CMSG_NXTHDR(message, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		int got = (int)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		for (int i = 0; i < got; i++, n++) {
			int fd;
			memcpy(&fd, CMSG_DATA(h) + (size_t)i * sizeof fd, sizeof fd);
			if (n < room)
				fds[n] = fd;
			else
				close(fd);
		}
	}
	return n;
}

int ronde_descriptors_receive(int socket, void *data, size_t bytes, int *fds, int nfds,
			      double deadline, const char *who)
{
	struct iovec vector = {data, bytes};
	union control control;
	struct msghdr message;
	ssize_t got;
	do {
		int status = ronde_descriptors_wait(socket, POLLIN, deadline, who);
		if (status != RONDE_OK)
			return status;
		message = (struct msghdr){.msg_iov = &vector,
					  .msg_iovlen = 1,
					  .msg_control = &control,
					  .msg_controllen = sizeof control};
		got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	} while (got < 0 && (errno == EINTR || errno == EAGAIN));
	if (got < 0)
		return system_error("recvmsg", who);
	if (got == 0)
		return gone(who);
	int n = take_descriptors(&message, fds, nfds);
	if (n == nfds && (size_t)got == bytes)
		return RONDE_OK;
	for (int i = 0; i < n && i < nfds; i++)
		close(fds[i]);
	if (message.msg_flags & MSG_CTRUNC)
		return ronde_error(
			RONDE_ERR_SYSTEM,
			"%s passed %d descriptors, the system let this rank have %d of "
			"them: raise `ulimit -n` (sharing memory takes up to four for each rank "
			"of its node while it starts)",
			who, nfds, n);
	return ronde_error(RONDE_ERR_VERSION,
			   "%s sent %zd bytes and %d descriptors where %zu and %d are expected: "
			   "start all ranks with one libronde.so",
			   who, got, n, bytes, nfds);
}

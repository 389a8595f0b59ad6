/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/bootstrap/wire.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "collectives/bootstrap/wait.h"

int ronde_wire_poll(struct pollfd *fds, size_t n, double deadline)
{
	for (;;) {
		double left = deadline - ronde_seconds();
		int ms = left <= 0 ? 0 : left > 1000 ? 1000000 : (int)(left * 1e3) + 1;
		int ready = poll(fds, n, ms);
		if (ready > 0)
			return ready;
		if (ready < 0 && errno != EINTR)
			return -errno;
		if (left <= 0)
			return 0;
	}
}

/* -EAGAIN: nothing now. A reset is an end like any other: data not read is nobody's loss. */
static int wire_error(int error)
{
	if (error == EWOULDBLOCK || error == EINTR)
		return -EAGAIN;
	return error == ECONNRESET ? -EPIPE : -error;
}

static int wire_wait(int fd, short events, double deadline)
{
	struct pollfd p = {.fd = fd, .events = events};
	int ready = ronde_wire_poll(&p, 1, deadline);
	return ready > 0 ? 0 : ready < 0 ? ready : -ETIMEDOUT;
}

int ronde_wire_send(int fd, const void *data, size_t bytes, double deadline)
{
	const char *at = data;
	while (bytes) {
		ssize_t n = send(fd, at, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
		int error = n < 0 ? wire_error(errno) : 0;
		if (error == -EAGAIN)
			error = wire_wait(fd, POLLOUT, deadline);
		if (error)
			return error;
		if (n > 0) {
			at += n;
			bytes -= (size_t)n;
		}
	}
	return 0;
}

long ronde_wire_receive_some(int fd, void *data, size_t bytes)
{
	if (!bytes)
		return 0;
	ssize_t n = recv(fd, data, bytes, MSG_DONTWAIT);
	if (n > 0)
		return (long)n;
	if (n == 0)
		return -EPIPE;
	int error = wire_error(errno);
	return error == -EAGAIN ? 0 : error;
}

int ronde_wire_receive(int fd, void *data, size_t bytes, double deadline)
{
	char *at = data;
	while (bytes) {
		long n = ronde_wire_receive_some(fd, at, bytes);
		int error = n < 0 ? (int)n : 0;
		if (n == 0)
			error = wire_wait(fd, POLLIN, deadline);
		if (error)
			return error;
		at += n;
		bytes -= (size_t)n;
	}
	return 0;
}

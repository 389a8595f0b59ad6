/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a test's body as n processes that meet through the environment (RONDE_RANK, RONDE_SIZE,
 * RONDE_ADDRESS), as a program started by ronderun. A rank that fails says why and ends; the others
 * are then killed, so that nothing waits for it.
 */
#ifndef RONDE_TESTS_FORK_RANKS_H
#define RONDE_TESTS_FORK_RANKS_H

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ronde/ronde.h"

#define FORK_RANKS_MAX 16
#define FORK_RANKS_SECONDS 60

/* For bodies: ends the rank, with the text, unless the condition holds. */
#define require(condition, ...)                                                                    \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "rank %s: %s:%d: ", getenv("RONDE_RANK"), __FILE__,        \
				__LINE__);                                                         \
			fprintf(stderr, __VA_ARGS__);                                              \
			fprintf(stderr, "\n");                                                     \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

/* For bodies: the call must succeed. */
#define require_ok(call)                                                                           \
	do {                                                                                       \
		int status_ = (call);                                                              \
		require(status_ == RONDE_OK, "%s: %s: %s", #call, ronde_status_name(status_),      \
			ronde_error_message());                                                    \
	} while (0)

/* For bodies: the call must fail with the status and exactly this text. */
#define require_error(call, status, text)                                                          \
	do {                                                                                       \
		int status_ = (call);                                                              \
		require(status_ == (status) && strcmp(ronde_error_message(), (text)) == 0,         \
			"%s: %s: %s", #call, ronde_status_name(status_), ronde_error_message());   \
	} while (0)

typedef void (*fork_ranks_fn)(int rank, int size, const void *arg);

static void fork_ranks_child(int rank, int size, const char *address, fork_ranks_fn body,
			     const void *arg)
{
	char number[16];
	snprintf(number, sizeof number, "%d", rank);
	setenv("RONDE_RANK", number, 1);
	snprintf(number, sizeof number, "%d", size);
	setenv("RONDE_SIZE", number, 1);
	setenv("RONDE_ADDRESS", address, 1);
	require_ok(ronde_init(NULL));
	require(ronde_rank() == rank && ronde_size() == size, "is rank %d of %d", ronde_rank(),
		ronde_size());
	body(rank, size, arg);
	if (ronde_is_initialized()) /* no rank's shutdown comes before another's last call */
		require_ok(ronde_barrier());
	require_ok(ronde_shutdown());
	_exit(0);
}

/* Returns the number of ranks that did not end well (killed ones included); 0: all is well. */
static inline int fork_ranks(int n, fork_ranks_fn body, const void *arg)
{
	static int round;
	pid_t pids[FORK_RANKS_MAX];
	char address[64];
	snprintf(address, sizeof address, "ronde-test-%d-%d", (int)getpid(), round++);
	fflush(NULL);
	for (int i = 0; i < n; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			fork_ranks_child(i, n, address, body, arg);
	}
	int left = n, bad = 0;
	time_t deadline = time(NULL) + FORK_RANKS_SECONDS;
	while (left > 0) {
		for (int i = 0; i < n; i++) {
			int status;
			if (pids[i] <= 0 || waitpid(pids[i], &status, WNOHANG) != pids[i])
				continue;
			pids[i] = 0;
			left--;
			bad += status != 0;
		}
		if (time(NULL) > deadline)
			fprintf(stderr, "%d of %d ranks still run after %d s\n", left, n,
				FORK_RANKS_SECONDS);
		for (int i = 0; i < n; i++)
			if (pids[i] > 0 && (bad || time(NULL) > deadline))
				kill(pids[i], SIGKILL);
		usleep(1000);
	}
	return bad;
}

#endif

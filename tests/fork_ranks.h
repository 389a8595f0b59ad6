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
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ronde/ronde.h"

#define FORK_RANKS_MAX 16
/* Until ranks that still run are killed: in the usual runs, in long ones. */
#define FORK_RANKS_SECONDS 60
#define FORK_RANKS_LONG 500

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

/*
 * A rank's own child ends after Ronde's exit handlers, with what comes before them left out:
 * AddressSanitizer (of gcc 12) would look for leaks, and wait for ever for a lock of its allocator
 * that another thread of the rank held at the fork. arg: the rank's process.
 */
static void fork_ranks_at_exit(int status, void *arg)
{
	if (getpid() != (pid_t)(intptr_t)arg)
		_exit(status);
}

/* To be called by a rank before its first ronde_init(). */
static inline void fork_ranks_have_children(void)
{
	on_exit(fork_ranks_at_exit, (void *)(intptr_t)getpid());
}

static void fork_ranks_child(int rank, int size, const char *address, fork_ranks_fn body,
			     const void *arg)
{
	char number[16];
	snprintf(number, sizeof number, "%d", rank);
	setenv("RONDE_RANK", number, 1);
	snprintf(number, sizeof number, "%d", size);
	setenv("RONDE_SIZE", number, 1);
	setenv("RONDE_ADDRESS", address, 1);
	fork_ranks_have_children();
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
	bool late = false;
	int patience = getenv("RONDE_TEST_LONG") ? FORK_RANKS_LONG : FORK_RANKS_SECONDS;
	time_t deadline = time(NULL) + patience;
	while (left > 0) {
		for (int i = 0; i < n; i++) {
			int status;
			if (pids[i] <= 0 || waitpid(pids[i], &status, WNOHANG) != pids[i])
				continue;
			pids[i] = 0;
			left--;
			bad += status != 0;
		}
		bool too_late = !late && time(NULL) > deadline;
		late |= too_late;
		for (int i = 0; i < n; i++) {
			if (pids[i] > 0 && too_late) /* tests/watched.sh has said where */
				fprintf(stderr,
					"rank %d of %d (process %d) still runs after %d s\n", i, n,
					(int)pids[i], patience);
			if (pids[i] > 0 && (bad || late))
				kill(pids[i], SIGKILL);
		}
		usleep(1000);
	}
	return bad;
}

#endif

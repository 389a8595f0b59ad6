/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/lifeline.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "collectives/status.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

/*
 * A forked child inherits the write end, and would keep its parent alive in the eyes of the others.
 * What pthread_atfork() calls gets no argument, so the pipes of the process hang on a list of their
 * own; it is the one piece of global state of this layer.
 */
static pthread_mutex_t pipes_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ronde_lifeline *pipes;
static pthread_once_t pipes_once = PTHREAD_ONCE_INIT;
static int pipes_error;

static void before_fork(void)
{
	pthread_mutex_lock(&pipes_lock);
}

static void after_fork_parent(void)
{
	pthread_mutex_unlock(&pipes_lock);
}

static void after_fork_child(void)
{
	for (; pipes; pipes = pipes->next) {
		close(pipes->keep);
		pipes->keep = -1;
	}
	pthread_mutex_unlock(&pipes_lock);
}

static void register_fork_handlers(void)
{
	pipes_error = pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

static int open_pipe(struct ronde_lifeline *l)
{
	pthread_once(&pipes_once, register_fork_handlers);
	if (pipes_error)
		return ronde_error(RONDE_ERR_SYSTEM, "pthread_atfork: %s", strerror(pipes_error));
	int ends[2];
	pthread_mutex_lock(&pipes_lock);
	if (pipe2(ends, O_CLOEXEC) != 0) {
		int error = errno;
		pthread_mutex_unlock(&pipes_lock);
		return ronde_error(RONDE_ERR_SYSTEM,
				   "no pipe for noticing the death of a rank: %s%s",
				   strerror(error), error == EMFILE ? "; raise `ulimit -n`" : "");
	}
	*l = (struct ronde_lifeline){.give = ends[0], .keep = ends[1], .next = pipes};
	pipes = l;
	pthread_mutex_unlock(&pipes_lock);
	return RONDE_OK;
}

int ronde_lifeline_open(struct ronde_lifeline *lifeline, bool pipe)
{
	/* It closes itself at an exec; a forked child's copy does no harm. */
	int fd = pipe ? -1 : (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (fd < 0)
		return open_pipe(lifeline);
	*lifeline = (struct ronde_lifeline){.give = fd, .keep = -1};
	return RONDE_OK;
}

void ronde_lifeline_given(struct ronde_lifeline *lifeline)
{
	if (lifeline->give >= 0)
		close(lifeline->give);
	lifeline->give = -1;
}

void ronde_lifeline_close(struct ronde_lifeline *lifeline)
{
	ronde_lifeline_given(lifeline);
	pthread_mutex_lock(&pipes_lock);
	for (struct ronde_lifeline **p = &pipes; *p; p = &(*p)->next)
		if (*p == lifeline) {
			*p = lifeline->next;
			break;
		}
	if (lifeline->keep >= 0)
		close(lifeline->keep);
	lifeline->keep = -1;
	pthread_mutex_unlock(&pipes_lock);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines: to stderr, a file per rank, or a function of the application. A log hangs on its
 * context; threads of the rank share it.
 *
 *   2026-11-22T11:40:12.123456 node1[rank 3] warn: text
 *       second line of the text
 */
#ifndef RONDE_LOG_H
#define RONDE_LOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "ronde/ronde.h"

struct ronde_log {
	int level; /* least severe level shown; constant once opened */
	int rank;  /* < 0: not known yet */
	char host[65];
	int fd;         /* stderr or the file */
	bool owns_file; /* fd is to be closed */

	pthread_mutex_t lock; /* of all that follows; never held while fn runs */
	ronde_log_fn fn;
	void *arg;
	struct ronde_log_line *first, *last; /* lines that wait for fn */
	size_t lines;
	uint64_t dropped;         /* lines there was no room for since the last one that waits */
	bool delivering, calling; /* a thread hands lines to fn; is inside fn */
	pthread_t deliverer;      /* which */
	pthread_cond_t called;    /* a call of fn has returned */
	void (*ring)(void *arg);  /* lines wait: asks the coordinator thread to deliver */
	void *ring_arg;
};

/* Lines that wait for a function at most; more are dropped, and counted. */
#define RONDE_LOG_QUEUE 1024

/* A log that was never opened: it takes a function, and lines go to stderr. */
#define RONDE_LOG_INIT                                                                             \
	{                                                                                          \
		.level = RONDE_LOG_WARN, .rank = -1, .fd = 2, .lock = PTHREAD_MUTEX_INITIALIZER,   \
		.called = PTHREAD_COND_INITIALIZER                                                 \
	}

/*
 * Opens a log. file: NULL or "" for stderr, or a path in which %r stands for the rank, %h for the
 * host and %% for a percent sign; it is appended to. Errors: CONFIGURATION, SYSTEM.
 */
int ronde_log_open(struct ronde_log *log, int level, const char *file, int rank);
/* The same for one that was open, or is RONDE_LOG_INIT: it keeps its function and what waits for
 * it. No thread may log meanwhile. */
int ronde_log_reopen(struct ronde_log *log, int level, const char *file, int rank);
/* No thread may log any more. Delivers what waits: see ronde_log_deliver(). */
void ronde_log_close(struct ronde_log *log);

/* ---- a function of the application (log_function.c) ---- */

/*
 * Lines go to fn from now on; NULL: to stderr or file again. Lines that wait go to the old function
 * first. Once this has returned the old one is not called any more; called by the function itself
 * it does not wait, and lines that wait go to the new one.
 */
void ronde_log_set_function(struct ronde_log *log, ronde_log_fn fn, void *arg);
/* Calls the function for the lines that wait, in order, unless another thread is at it. To be
 * called with no lock held. */
void ronde_log_deliver(struct ronde_log *log);
/* What to call when lines wait; NULL: nobody, ronde_log_deliver() will be called. ring runs under
 * the log's lock and must not wait. */
void ronde_log_set_ring(struct ronde_log *log, void (*ring)(void *arg), void *arg);
/* Puts a line into the queue. Under the log's lock. */
void ronde_log_queue(struct ronde_log *log, int level, const char *text);
/* Writes a line to stderr or file. */
void ronde_log_put(const struct ronde_log *log, int level, const char *message);

/* "warn" for RONDE_LOG_WARN. */
const char *ronde_log_level_name(int level);

/* Use the macros: they look at the level before anything is evaluated. */
void ronde_log_write(struct ronde_log *log, int level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static inline bool ronde_log_shows(const struct ronde_log *log, int level)
{
	return log && level <= log->level;
}

/* ronde_log(log, WARN, "format", …). A NULL log takes nothing. `log` is evaluated once. */
#define ronde_log(log, LEVEL, ...)                                                                 \
	do {                                                                                       \
		struct ronde_log *ronde_log_ = (log);                                              \
		if (ronde_log_shows(ronde_log_, RONDE_LOG_##LEVEL))                                \
			ronde_log_write(ronde_log_, RONDE_LOG_##LEVEL, __VA_ARGS__);               \
	} while (0)

/*
 * For what every rank of the job would say alike: rank 0 says it, the others only at debug. Do not
 * use it for what rank 0 may fail to see.
 */
#define ronde_log_once_per_job(log, LEVEL, ...)                                                    \
	do {                                                                                       \
		int ronde_level_ =                                                                 \
			ronde_log_speaks_for_job(log) ? RONDE_LOG_##LEVEL : RONDE_LOG_DEBUG;       \
		if (ronde_log_shows((log), ronde_level_))                                          \
			ronde_log_write((log), ronde_level_, __VA_ARGS__);                         \
	} while (0)

static inline bool ronde_log_speaks_for_job(const struct ronde_log *log)
{
	return log && log->rank <= 0;
}

#endif

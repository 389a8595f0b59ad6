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
	/* Recursive: the function may replace itself. Once ronde_log_set_function() has returned on
	 * another thread, the old function is not called any more. */
	pthread_mutex_t lock;
	ronde_log_fn fn;
	void *arg;
};

/*
 * Opens a log. file: NULL or "" for stderr, or a path in which %r stands for the rank, %h for the
 * host and %% for a percent sign; it is appended to. Errors: CONFIGURATION, SYSTEM.
 */
int ronde_log_open(struct ronde_log *log, int level, const char *file, int rank);
/* No thread may log any more. */
void ronde_log_close(struct ronde_log *log);

/* Lines go to fn from now on; NULL: to stderr or file again. */
void ronde_log_set_function(struct ronde_log *log, ronde_log_fn fn, void *arg);

/* "warn" for RONDE_LOG_WARN. */
const char *ronde_log_level_name(int level);

/* Use the macros: they look at the level before anything is evaluated. */
void ronde_log_write(struct ronde_log *log, int level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static inline bool ronde_log_shows(const struct ronde_log *log, int level)
{
	return log && level <= log->level;
}

/* ronde_log(log, WARN, "format", …). A NULL log takes nothing. */
#define ronde_log(log, LEVEL, ...)                                                                 \
	do {                                                                                       \
		if (ronde_log_shows((log), RONDE_LOG_##LEVEL))                                     \
			ronde_log_write((log), RONDE_LOG_##LEVEL, __VA_ARGS__);                    \
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

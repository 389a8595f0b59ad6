/* SPDX-License-Identifier: Apache-2.0 */
/* Formats and writes log lines: one write() a line, so that lines of many ranks never mix. */
#include "coordinator/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "collectives/status.h"
#include "coordinator/path.h"

/* Longest message and longest line with prefix and indentation; longer ones end in "…". */
#define MESSAGE_BYTES 8192
#define LINE_BYTES (MESSAGE_BYTES + 2048)

static const char more[] = "…";
static const char indent[] = "\n    ";

const char *ronde_log_level_name(int level)
{
	static const char *const names[] = {"error", "warn", "info", "debug", "trace"};
	return level >= 0 && level < (int)(sizeof names / sizeof *names) ? names[level] : "?";
}

static int open_file(struct ronde_log *log, const char *pattern)
{
	char path[PATH_MAX];
	int status = ronde_path_expand(path, sizeof path, pattern, log->rank, log->host,
				       "RONDE_LOG_FILE", RONDE_ERR_CONFIGURATION);
	if (status != RONDE_OK)
		return status;
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd < 0)
		return ronde_error(RONDE_ERR_SYSTEM,
				   "cannot open the log file \"%s\" (RONDE_LOG_FILE): %s; the "
				   "folder must exist and be writable",
				   path, strerror(errno));
	log->fd = fd;
	log->owns_file = true;
	return RONDE_OK;
}

static void close_file(struct ronde_log *log)
{
	if (log->owns_file)
		close(log->fd);
	log->fd = STDERR_FILENO;
	log->owns_file = false;
}

int ronde_log_reopen(struct ronde_log *log, int level, const char *file, int rank)
{
	close_file(log);
	log->level = level;
	log->rank = rank;
	if (gethostname(log->host, sizeof log->host) != 0)
		strcpy(log->host, "?");
	log->host[sizeof log->host - 1] = 0;
	return file && *file ? open_file(log, file) : RONDE_OK;
}

int ronde_log_open(struct ronde_log *log, int level, const char *file, int rank)
{
	*log = (struct ronde_log)RONDE_LOG_INIT;
	return ronde_log_reopen(log, level, file, rank);
}

void ronde_log_close(struct ronde_log *log)
{
	ronde_log_deliver(log);
	close_file(log);
	pthread_cond_destroy(&log->called);
	pthread_mutex_destroy(&log->lock);
}

/* Time, host, rank and level, as every line starts. Returns its length. */
static size_t put_prefix(const struct ronde_log *log, int level, char *line, size_t bytes)
{
	struct timespec now;
	struct tm local;
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &local);
	char who[32];
	if (log->rank >= 0)
		snprintf(who, sizeof who, "rank %d", log->rank);
	else
		snprintf(who, sizeof who, "pid %ld", (long)getpid());
	int n = snprintf(line, bytes,
			 "%04d-%02d-%02dT%02d:%02d:%02d.%06ld %s[%s] %s: ", local.tm_year + 1900,
			 local.tm_mon + 1, local.tm_mday, local.tm_hour, local.tm_min, local.tm_sec,
			 now.tv_nsec / 1000, log->host, who, ronde_log_level_name(level));
	return (size_t)n;
}

/* Appends the message, its later lines indented, and a newline. Returns the line's length. */
static size_t put_message(char *line, size_t used, size_t bytes, const char *message)
{
	size_t room = bytes - sizeof more - sizeof indent; /* for "…" and the newline */
	for (const char *p = message; *p; p++) {
		if (used >= room) {
			memcpy(line + used, more, sizeof more - 1);
			used += sizeof more - 1;
			break;
		}
		if (*p == '\n') {
			memcpy(line + used, indent, sizeof indent - 1);
			used += sizeof indent - 1;
		} else {
			line[used++] = *p;
		}
	}
	line[used++] = '\n';
	return used;
}

/* A log line that cannot be written is lost: there is nobody left to tell. */
static void write_line(int fd, const char *line, size_t bytes)
{
	while (bytes > 0) {
		ssize_t n = write(fd, line, bytes);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		line += n;
		bytes -= (size_t)n;
	}
}

void ronde_log_put(const struct ronde_log *log, int level, const char *message)
{
	char line[LINE_BYTES];
	size_t used = put_prefix(log, level, line, sizeof line);
	used = put_message(line, used, sizeof line, message);
	write_line(log->fd, line, used);
}

void ronde_log_write(struct ronde_log *log, int level, const char *format, ...)
{
	int saved_errno = errno;
	char message[MESSAGE_BYTES];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(message, sizeof message, format, args);
	va_end(args);
	if (n >= (int)sizeof message)
		memcpy(message + sizeof message - sizeof more, more, sizeof more);
	for (size_t end = strlen(message); end > 0 && message[end - 1] == '\n'; end--)
		message[end - 1] = 0;

	pthread_mutex_lock(&log->lock);
	if (log->fn || log->first)
		ronde_log_queue(log, level, message);
	else
		ronde_log_put(log, level, message);
	pthread_mutex_unlock(&log->lock);
	errno = saved_errno;
}

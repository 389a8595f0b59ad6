/* SPDX-License-Identifier: Apache-2.0 */
#include "bindings/cli/ronderun/output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- sinks ---- */

void run_sink_open(struct run_sink *sink, int fd)
{
	char path[32];
	struct stat stat_of;
	int own = -1;

	/* A flag on fd itself would be everybody's who has it; a file would be written from its
	 * start. */
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (!fstat(fd, &stat_of) && (S_ISFIFO(stat_of.st_mode) || isatty(fd)))
		own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	sink->to = own >= 0 ? own : fd;
	sink->begin = sink->end = 0;
}

bool run_sink_has_text(const struct run_sink *sink)
{
	return sink->end > sink->begin;
}

bool run_sink_has_room(const struct run_sink *sink)
{
	return sizeof sink->text - (sink->end - sink->begin) >= RUN_ROOM_BYTES;
}

int run_sink_write(struct run_sink *sink)
{
	size_t bytes = sink->end - sink->begin;
	/* As much as a pipe has room for once poll says that it has some. */
	ssize_t n = write(sink->to, sink->text + sink->begin, bytes < PIPE_BUF ? bytes : PIPE_BUF);

	if (n >= 0) {
		sink->begin += (size_t)n;
		return 0;
	}
	if (errno == EINTR || errno == EAGAIN)
		return 0;
	sink->begin = sink->end;
	return errno == EPIPE ? 0 : errno;
}

static void add(struct run_sink *sink, const char *text, size_t bytes)
{
	size_t left;

	if (sizeof sink->text - sink->end < bytes) {
		memmove(sink->text, sink->text + sink->begin, sink->end - sink->begin);
		sink->end -= sink->begin;
		sink->begin = 0;
	}
	left = sizeof sink->text - sink->end;
	bytes = bytes < left ? bytes : left;
	memcpy(sink->text + sink->end, text, bytes);
	sink->end += bytes;
}

void run_sink_print(struct run_sink *sink, const char *format, ...)
{
	char text[1024];
	va_list list;
	int n;

	va_start(list, format);
	n = vsnprintf(text, sizeof text, format, list);
	va_end(list);
	if (n > 0)
		add(sink, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

/* ---- streams ---- */

/* Bytes of Open MPI's tag at the line's start, and whose it is; 0: there is none. */
static size_t tag_of(const char *line, size_t bytes, int *rank)
{
	char start[40], *end;
	long value;

	snprintf(start, sizeof start, "%.*s", (int)(bytes < 39 ? bytes : 39), line);
	end = strchr(start, ',');
	if (*start != '[' || !end)
		return 0;
	value = strtol(end + 1, &end, 10);
	if (value < 0 || value > INT_MAX ||
	    (strncmp(end, "]<stdout>:", 10) != 0 && strncmp(end, "]<stderr>:", 10) != 0))
		return 0;
	*rank = (int)value;
	return (size_t)(end - start) + 10;
}

static void hand_on(const struct run_stream *stream, const char *line, size_t bytes, bool end)
{
	char prefix[16];
	int rank = stream->rank;

	if (stream->tagged) {
		size_t tag = tag_of(line, bytes, &rank);

		line += tag;
		bytes -= tag;
		rank = tag ? rank : -1;
	}
	if (rank >= 0)
		add(stream->to, prefix, (size_t)snprintf(prefix, sizeof prefix, "[%d] ", rank));
	add(stream->to, line, bytes);
	if (end)
		add(stream->to, "\n", 1);
}

static void hand_on_lines(struct run_stream *stream)
{
	char *line = stream->line, *end;

	while ((end = memchr(line, '\n', stream->used))) {
		size_t bytes = (size_t)(end - line);

		hand_on(stream, line, bytes, true);
		stream->used -= bytes + 1;
		line = end + 1;
	}
	memmove(stream->line, line, stream->used);
	/* No end of a line in sight; without prefixes nothing is kept back. */
	if (stream->used == sizeof stream->line ||
	    (stream->rank < 0 && !stream->tagged && stream->used > 0)) {
		hand_on(stream, stream->line, stream->used, stream->rank >= 0);
		stream->used = 0;
	}
}

void run_stream_read(struct run_stream *stream)
{
	ssize_t n =
		read(stream->from, stream->line + stream->used, sizeof stream->line - stream->used);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n > 0) {
		stream->used += (size_t)n;
		hand_on_lines(stream);
		return;
	}
	if (stream->used > 0)
		hand_on(stream, stream->line, stream->used, stream->rank >= 0);
	stream->used = 0;
	close(stream->from);
	stream->from = -1;
}

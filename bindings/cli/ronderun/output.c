/* SPDX-License-Identifier: Apache-2.0 */
#include "bindings/cli/ronderun/output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Nobody reads it any more: the ranks go on all the same. */
static void write_all(int to, const char *text, size_t bytes)
{
	while (bytes > 0) {
		ssize_t n = write(to, text, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		text += n;
		bytes -= (size_t)n;
	}
}

/* One write a line, so that nobody else's gets into it. */
static void hand_on(const struct run_stream *stream, const char *line, size_t bytes, bool end)
{
	char text[RUN_LINE_BYTES + 32];
	size_t used = 0;

	if (stream->rank >= 0)
		used = (size_t)snprintf(text, sizeof text, "[%d] ", stream->rank);
	memcpy(text + used, line, bytes);
	used += bytes;
	if (end)
		text[used++] = '\n';
	write_all(stream->to, text, used);
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
	if (stream->used == sizeof stream->line || (stream->rank < 0 && stream->used > 0)) {
		hand_on(stream, stream->line, stream->used, stream->rank >= 0);
		stream->used = 0;
	}
}

void run_stream_read(struct run_stream *stream)
{
	for (;;) {
		ssize_t n = read(stream->from, stream->line + stream->used,
				 sizeof stream->line - stream->used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0)
			break;
		stream->used += (size_t)n;
		hand_on_lines(stream);
	}
	if (stream->used > 0)
		hand_on(stream, stream->line, stream->used, stream->rank >= 0);
	stream->used = 0;
	close(stream->from);
	stream->from = -1;
}

void run_stream_close(struct run_stream *stream)
{
	if (stream->from >= 0)
		run_stream_read(stream);
	if (stream->from >= 0)
		close(stream->from);
	stream->from = -1;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ranks print, line by line, so that lines of several ranks don't get mixed. Nothing here
 * waits: whoever reads ronderun's output slowly, or not at all, holds up the ranks, never the
 * keeper.
 */
#ifndef RONDE_RUN_OUTPUT_H
#define RONDE_RUN_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

/* A longer line is handed on in pieces. */
#define RUN_LINE_BYTES 8192
/* What one read can become: lines without a letter, each with "[4095] " in front; then a message.
 */
#define RUN_ROOM_BYTES (9 * RUN_LINE_BYTES + 1024)

/* Standard output or error: what has not been written yet. */
struct run_sink {
	int to;
	size_t begin, end;
	char text[2 * RUN_ROOM_BYTES];
};

struct run_stream {
	int from; /* the rank's end of it, not blocking; -1: it has ended */
	struct run_sink *to;
	int rank;    /* -1: no prefix */
	bool tagged; /* "[1,3]<stdout>:" in front, of Open MPI, becomes "[3] " */
	size_t used;
	char line[RUN_LINE_BYTES];
};

/* fd stays the caller's; a pipe or a terminal is opened once more, so that writing does not block.
 */
void run_sink_open(struct run_sink *sink, int fd);
bool run_sink_has_text(const struct run_sink *sink);
bool run_sink_has_room(const struct run_sink *sink);

/* Writes some of what is there. What nobody reads any more is dropped. Returns 0, or an errno of a
 * write that failed for another reason: that text is lost, too. */
int run_sink_write(struct run_sink *sink);

/* Adds a message of ronderun's own; one that finds no room is cut off. */
__attribute__((format(printf, 2, 3))) void run_sink_print(struct run_sink *sink, const char *format,
							  ...);

/* Takes some of what is there; its sink must have room. When the stream has ended: the rest, and
 * closes it. */
void run_stream_read(struct run_stream *stream);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What a rank prints, line by line, so that lines of several ranks don't get mixed. */
#ifndef RONDE_RUN_OUTPUT_H
#define RONDE_RUN_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

/* A longer line is handed on in pieces. */
#define RUN_LINE_BYTES 8192

struct run_stream {
	int from; /* the rank's end of it, not blocking; -1: it has ended */
	int to;
	int rank; /* -1: no prefix */
	size_t used;
	char line[RUN_LINE_BYTES];
};

/* Hands on what is there. When the stream has ended: the rest, and closes it. */
void run_stream_read(struct run_stream *stream);

/* Hands on what is there, and closes it whether or not it has ended. */
void run_stream_close(struct run_stream *stream);

#endif

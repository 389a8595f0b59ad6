/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A timeline's file: an array of events in the Trace Event Format of Chrome, which Perfetto and
 * chrome://tracing read. Process: the rank. Rows (threads) are in timeline_rows.h, each
 * named when it is first used.
 *
 *   [
 *   {"name":"process_name","ph":"M","pid":0,"tid":0,"args":{"name":"rank 0 on node1",…}}
 *   ,{"name":"thread_name","ph":"M","pid":0,"tid":1,"args":{"name":"layer1"}}
 *   ,{"name":"NEGOTIATE_ALLREDUCE","ph":"X","pid":0,"tid":1,"ts":10,"dur":8.5,"args":{"entry":3,…}}
 *   …
 *   ]
 *
 * Each event is a line that begins with its comma, so that a file cut behind any line is repaired
 * by a "]". What the names and arguments mean is in docs/timeline.md.
 */
#ifndef RONDE_TIMELINE_TEXT_H
#define RONDE_TIMELINE_TEXT_H

#include "coordinator/timeline_rows.h"

struct ronde_timeline_text {
	char *at, *end;
	int rank;
	uint64_t start; /* times count from here */
	uint64_t batch; /* counts from 1: what is written to the file at once */
	struct ronde_timeline_rows rows;
};

/* What the file's first event says. */
struct ronde_timeline_head {
	int rank, size, local_rank;
	const char *host;
	uint64_t run;                     /* the same on all ranks of a run */
	uint64_t start;                   /* nanoseconds of the monotonic clock */
	uint64_t start_since_epoch_in_us; /* the same moment */
	char clock[80];                   /* equal where the monotonic clocks are the same one */
};

/* Bytes that the record's events take at most. */
size_t ronde_timeline_text_bytes(const struct ronde_timeline_record *record);
/* Bytes of head and tail, at most. */
#define RONDE_TIMELINE_FRAME_BYTES 2048

/* Each writes to text->at, where the caller has made room, and moves it. */
void ronde_timeline_text_head(struct ronde_timeline_text *text,
			      const struct ronde_timeline_head *head);
/* False: no memory for the record's row; nothing is written. */
bool ronde_timeline_text_record(struct ronde_timeline_text *text,
				const struct ronde_timeline_record *record);
void ronde_timeline_text_tail(struct ronde_timeline_text *text, uint64_t at, uint64_t recorded,
			      uint64_t dropped);

/* Writes a JSON string with its quotes; what is not UTF-8 becomes U+FFFD. At most 6 × bytes + 2. */
char *ronde_timeline_quote(char *at, const char *bytes, size_t count);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A recording: a bounded queue of records, and a thread that writes them to a file as events.
 *
 * The producer never waits: where the queue is full, and where the disk is, records are dropped and
 * counted. The thread writes whole batches of events; one that does not fit into the file is taken
 * back, so that the file is well-formed up to there, and the next is tried all the same. To end a
 * file on a full disk the last batch makes room.
 */
#ifndef RONDE_TIMELINE_FILE_H
#define RONDE_TIMELINE_FILE_H

#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "coordinator/log.h"
#include "coordinator/ring.h"
#include "coordinator/timeline_text.h"

struct ronde_recording {
	/* Constant. */
	char path[PATH_MAX];
	uint64_t start; /* nanoseconds */
	bool mark_cycles;

	/* The producer's: under its lock. */
	struct ronde_ring_producer producer;
	_Atomic uint64_t dropped; /* the queue was full */
	_Atomic bool finished;    /* nothing more will come */

	/* Between both. */
	unsigned char *queue;
	sem_t wake;
	sem_t closed;        /* posted when the file is */
	_Atomic bool called; /* `wake` was posted since the thread last looked */
	pthread_mutex_t log_lock;
	struct ronde_log *log; /* NULL once nobody waits for the thread */

	/* The thread's. */
	pthread_t thread;
	struct ronde_ring_consumer consumer;
	struct ronde_timeline_text text;
	int fd;
	char *buffer;
	size_t room;       /* bytes of buffer */
	uint64_t batched;  /* records in buffer */
	uint64_t recorded; /* records in the file */
	uint64_t lost;     /* records that could not be written */
	uint64_t noticed;  /* records dropped and lost when rows were last told so */
	off_t good;        /* the file is well-formed up to here */
	off_t before;      /* … without the last batch, … */
	uint64_t last;     /* … which has so many records */
	int error;         /* errno of the first write that failed */
};

/* Opens the file, writes its head and starts the thread. Errors: SYSTEM, OUT_OF_MEMORY. */
int ronde_recording_start(struct ronde_recording **recording, const char *path,
			  const struct ronde_timeline_head *head, size_t queue_bytes,
			  bool mark_cycles, struct ronde_log *log);

/* Room for a record, or NULL: it is dropped, and has been counted. By the producer. */
void *ronde_recording_reserve(struct ronde_recording *recording, size_t bytes);
void ronde_recording_publish(struct ronde_recording *recording);
/* Nothing more will come: the thread closes the file. By the producer. */
void ronde_recording_finish(struct ronde_recording *recording);

/* Finishes, waits (a few seconds) until the file is closed, and frees. NULL is fine. */
void ronde_recording_destroy(struct ronde_recording *recording);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timeline: what happens to each tensor, recorded while it happens. The engine says so at a few
 * places; each costs a load while nothing is recorded. All of them but ronde_timeline_ready() are
 * called under the engine lock, so the queue to the writing thread has one producer.
 *
 *   timeline.c         starts and stops, makes records
 *   timeline_file.c    queue, thread, file
 *   timeline_text.c    records to events
 *   timeline_rows.c    which row they stand in
 *
 * Starting and stopping must not wait for the engine lock, which a waiting thread may hold for
 * long. So the engine takes the recording anew each time, and says when it is inside; stopping
 * takes it away, and waits until nobody is.
 */
#ifndef RONDE_TIMELINE_H
#define RONDE_TIMELINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct ronde_active;
struct ronde_ballot;
struct ronde_context;
struct ronde_phases;
struct ronde_process_set;
struct ronde_recording;
struct ronde_request;

struct ronde_timeline {
	_Atomic(struct ronde_recording *) recording; /* NULL: off */
	_Atomic uint32_t inside;                     /* makers of records */
	pthread_mutex_t control;                     /* starting and stopping */
	bool made;                                   /* `control` is */
};

int ronde_timeline_init(struct ronde_timeline *timeline);
/* Nothing is recorded any more. One that is all zero was never made, and is fine. */
void ronde_timeline_finish(struct ronde_timeline *timeline);

/*
 * Starts to record this rank's part, if it is rank 0 or all ranks are wanted; else does nothing.
 * path: %r stands for the rank, %h for the host, %% for a percent sign; with all ranks and no %r,
 * ".RANK" is put before the extension; with life > 1, ".lLIFE" is, so that one life of the runtime
 * does not overwrite another's. Errors: BUSY, INVALID_ARGUMENT, SYSTEM, OUT_OF_MEMORY.
 */
int ronde_timeline_open(struct ronde_context *context, const char *path, bool all_ranks,
			bool mark_cycles, int life);
/* As the configuration wants it. What is wrong is a warning: nothing else depends on it. */
void ronde_timeline_configure(struct ronde_context *context, int life);
/* Ends the recording, if there is one, and closes the file. Bounded, takes no lock of the engine.
 */
void ronde_timeline_close(struct ronde_context *context);

/* ---- what the engine says; see timeline.c for what is made of it ---- */

/* The index of no entry: not agreed on, because the runtime ended, or the recording did. */
#define RONDE_TIMELINE_NO_ENTRY UINT64_MAX

/* Now, if somebody records; else 0. When a request is submitted. */
uint64_t ronde_timeline_ready(const struct ronde_context *context);

/* True if anything of the below is recorded. */
static inline bool ronde_timeline_is_on(const struct ronde_timeline *timeline)
{
	return atomic_load_explicit(&timeline->recording, memory_order_relaxed) != NULL;
}

/* Where an operation that begins is to note its times, or NULL. */
struct ronde_phases *ronde_timeline_begin(struct ronde_context *context,
					  struct ronde_phases *phases);
/* The engine takes entries. */
void ronde_timeline_cycle(struct ronde_context *context);
/* The leader puts a tensor of that set into an entry. */
void ronde_timeline_decided(struct ronde_context *context, const struct ronde_process_set *set,
			    const struct ronde_ballot *ballot, uint64_t index, int status);
/* An entry answers this rank's request; or, with index RONDE_TIMELINE_NO_ENTRY, none will. Under
 * the submit lock. */
void ronde_timeline_answered(struct ronde_context *context, const struct ronde_request *request,
			     uint64_t index, int status);
/* An operation is done: its index, requests, and of its plan path, npieces, members and phases. */
void ronde_timeline_executed(struct ronde_context *context, const struct ronde_active *active,
			     int status);
/* This rank's runtime is at its end, with this status for what is pending: no more will come. */
void ronde_timeline_end(struct ronde_context *context, int status);

#endif

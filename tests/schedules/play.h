/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Playing a program on one rank. Each step's operations are dealt out to one to three threads; each
 * submits its share in an order of its own, with delays, and then waits for its share (of the step
 * before, if steps overlap), in another order and in several ways. Unnamed operations stay in
 * program order, on one thread. What comes out is checked byte by byte.
 */
#ifndef RONDE_TESTS_SCHEDULES_PLAY_H
#define RONDE_TESTS_SCHEDULES_PLAY_H

#include <pthread.h>

#include "tests/schedules/job.h"
#include "tests/schedules/settings.h"

struct player {
	struct run *run;
	int rank;
	void *to;           /* of the port */
	uint64_t state;     /* this rank's dice */
	struct job *jobs;   /* [nops] */
	_Atomic bool ended; /* an operation said that the runtime has been shut down */
};

/* A program being played by the ranks of this process. */
struct run {
	const char *test; /* for the line that says how to play it again */
	uint64_t seed;
	const struct program *program;
	const struct settings *settings;
	const struct port *port;
	uint64_t dice; /* delays, order and memory are others than in a run with another number */
	struct player players[RANKS_MAX];
	/* That rank calls `quit` in that step: what all agreed on completes, all else must fail. */
	int quitter, quits_in; /* -1: nobody */
	void (*quit)(void *to);
	_Atomic uint64_t progress;
	_Atomic int *last; /* [steps] who was the last to join, + 1 */
	/* the watchdog */
	pthread_t watchdog;
	pthread_mutex_t lock;
	pthread_cond_t over;
	bool is_over;
};

/* Says what failed and how to play it again, and aborts. */
__attribute__((format(printf, 2, 3), noreturn)) void run_failed(struct run *run, const char *format,
								...);

/* Between them run is watched: if nothing completes for 30 s, it says what is pending and aborts.
 */
void run_begin(struct run *run);
void run_end(struct run *run);

/* Plays rank's part. The jobs stay, for run_end() to look at. */
void play(struct run *run, int rank, void *to);

#endif

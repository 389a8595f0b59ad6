/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scenes (tests/fault_ranks.h) in which something waits too long. Ranks keep what their log says,
 * so that the director can read it. Times and process numbers in a text are compared as #.
 */
#ifndef RONDE_TESTS_STALL_RANKS_H
#define RONDE_TESTS_STALL_RANKS_H

#include <check.h>

#include "tests/fault_ranks.h"

/* Warnings in seconds, and how much later they may come: 1 s is promised. */
#define WARN 0.5
#define WARN_TEXT "0.5"
#define LATER (FAULT_CHECKED ? 5.0 : 1.0)
/* The end of a runtime that has waited so long; the same promise. */
#define SHUTDOWN 1.5
#define SHUTDOWN_TEXT "1.5"
#define COUNT 40000 /* floats that do not ride */

enum phase { READY = 1, GOING, DONE };

#define MOST_REPORTS 8

/* What a rank's log says, warnings and errors. */
struct lines {
	_Atomic int n;
	struct moment at[MOST_REPORTS];
	int process[MOST_REPORTS]; /* the first that the line names by its number, or 0 */
	char text[MOST_REPORTS][RONDE_STALL_REPORT_MAX];
	char last[RONDE_STALL_REPORT_MAX]; /* what the rank keeps besides */
	_Atomic int inner;                 /* number of the process that stands for the rank */
	struct moment began;               /* see stall_waits_now() */
	_Atomic bool waits;                /* it has */
};

extern struct lines *lines; /* [FAULT_RANKS_MAX] */

#define HEAD "operations wait for other ranks, the first for # s:\n"
#define OVER "no operation waits for other ranks any more"
#define LATE                                                                                       \
	" is late: no thread of it waits for an operation, it computes or does something else; "   \
	"it last submitted one # s ago"
#define ADVICE                                                                                     \
	". Make calls that wait in the same order on all ranks, or submit without waiting "        \
	"(_async) and wait when all is submitted"
#define STOPPED " is stopped (SIGSTOP or job control; process #): kill -CONT lets it go on"
#define STUCK ": none of them can go on" ADVICE

/* ---- for ranks ---- */

/* Starts a rank that keeps its log lines. */
void stall_begin(struct scene *scene, int rank);
/* The rank's next operation waits too long. */
void stall_waits_now(int rank);
/* The same, and it is known which operation waits longest: rank 0 goes on at once, each other a
 * while after the one before it. */
void stall_take_turns(struct scene *scene, int rank);
/* Ends a rank, together with all others. */
void stall_finish(struct scene *scene, int rank);
/* Ends a rank after an operation with this status: a stall has ended the runtime, with a report. It
 * says why again, and can be shut down. */
void stall_end(struct scene *scene, int rank, int status);
/* Keeps the last error's text in lines[rank].last. */
void stall_keep_error(int rank);

/* Allreduces of COUNT floats, in process set 0 or another. */
ronde_handle stall_submit(const char *name, float *m);
ronde_handle stall_submit_to(int set, const char *name, float *m);
/* An input of the rank's own, and the sum over ranks 0 … size - 1, which is right or ends the rank.
 */
void stall_fill(float *m, int rank);
void stall_check_sum(const float *m, int size);

/* ---- for the director ---- */

/* shutdown: RONDE_STALL_SHUTDOWN_TIME_SECONDS. */
struct scene *stall_open(int n, scene_body body, const char *shutdown);
/* The ranks may go on and come to their ends. */
void stall_close(struct scene *scene, unsigned victims);
/* Waits until all ranks are at the phase. */
void stall_await_all(struct scene *scene, int phase);
/* Waits for line number k of a rank. */
void stall_await_line(struct scene *scene, int rank, int k);
/* Waits for the first line of any rank from `first` on; returns whose it is. */
int stall_await_teller(struct scene *scene, int first);
/* Waits for a line of the rank that is the text; for one that holds it. Returns its number. */
int stall_await_text(struct scene *scene, int rank, const char *text);
int stall_await_part(struct scene *scene, int rank, const char *text);
/* That line came as soon after `start` as is promised, less what was lost to others meanwhile. */
void stall_in_time(struct moment start, int rank, int k);
/* When the first rank began to wait, as it says by stall_waits_now(). */
struct moment stall_began(const struct scene *scene);
/*
 * Waits until the runtime has ended on all ranks but the victims (bit r: rank r), as they say by
 * stall_end(): as soon after stall_began() as is promised. Returns a rank that has logged it.
 */
int stall_await_ends(struct scene *scene, unsigned victims);
/* It has ended on the rank, whenever that was, for the reason in this report. */
void stall_check_end_of(struct scene *scene, int rank, const char *report);
/* Both, for all but the victims. */
void stall_check_ends(struct scene *scene, unsigned victims, const char *report);
/* A whole scene: n ranks wait for each other, which is told with this text, until the runtime ends.
 */
void stall_check_crossing(int n, scene_body body, const char *text);

/* Runs a suite's cases; main's result. */
int stall_run(Suite *suite);

#endif

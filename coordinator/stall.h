/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stall inspector: finds operations that wait too long, and says for whom and why.
 *
 *   stall.c         on every rank: how long its own operations wait, and answers to the leader
 *   stall_board.c   what ranks put on their boards, and how the end of a stall is told
 *   stall_leader.c  on the leader: when to ask, whom to wait for, what to do with the answers
 *   stall_report.c, stall_hints.c, stall_deadlock.c  on the leader: from ballots and answers to a
 * text
 *
 * Every rank looks at its own operations now and then (a tick), and notes on its board in the arena
 * since when the oldest of them waits. If that is too long it rings the leader, which may be
 * computing: its coordinator thread then makes an inquiry. Each rank, whatever its application
 * does, writes down what it waits for and whether a thread is blocked in it. Who has submitted what
 * the leader knows from its ballots; so it can tell who is missing, what the missing ones do
 * instead, and whether they wait for each other. A process that does not answer is looked up in
 * /proc. One report a node and period goes to the log of the leader's rank, and to all boards'
 * readers.
 *
 * If the leader itself does not look any more, because its process is stopped, the first rank to
 * notice tells about that instead.
 *
 * Nothing is added to the path of an operation: times are taken by the ticks. While operations are
 * submitted the coordinator thread sleeps at most one interval at a time; once nothing has been in
 * flight for an interval it dozes, until the next submission wakes it.
 */
#ifndef RONDE_STALL_H
#define RONDE_STALL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ronde_board;
struct ronde_context;
struct ronde_request;

/* Room for what heads and ends a text of RONDE_BOARD_TEXT bytes. */
#define RONDE_STALL_REPORT_BYTES 3600

struct ronde_stall {
	uint64_t interval;       /* nanoseconds between two ticks; 0: off */
	uint64_t warn, shutdown; /* nanoseconds; UINT64_MAX: never */
	_Atomic uint32_t dozing; /* the coordinator thread has to be woken for a submission */
	uint32_t turns;
	uint64_t ticked;      /* time of the last tick */
	uint64_t rested;      /* submissions when the coordinator thread last went to sleep */
	uint64_t submitted;   /* likewise at the last tick, … */
	uint64_t quiet_since; /* … and when that number last changed */
	uint64_t answered;    /* inquiry */
	uint64_t rung_since;  /* it rings the leader since then; 0: it does not */
	/* The leader's: */
	bool asking;
	uint64_t asked_at;
	uint64_t digest; /* of what was reported last; 0: nothing, or it is over */
	/* Other nodes: leaders of nodes, where there are several; else NULL. */
	struct ronde_stall_afar *afar;
};

void ronde_stall_init(struct ronde_context *context);

/* In every turn: answers an inquiry (true), and ticks now and then. Under the engine lock. */
bool ronde_stall_turn(struct ronde_context *context);
/* Before sleeping. Under the engine lock. */
void ronde_stall_tick(struct ronde_context *context);
/* How long a thread may sleep that looks after stalls, in seconds; < 0: for ever. */
double ronde_stall_limit(const struct ronde_context *context);
/* The same for the coordinator thread, which dozes (< 0) if nothing has been in flight lately. */
double ronde_stall_rest(struct ronde_context *context);
/* Something was submitted. */
void ronde_stall_wake(struct ronde_context *context);

/* Why the runtime ended: text[RONDE_BOARD_TEXT]. */
void ronde_stall_story(struct ronde_context *context, char *text);
/* The node's last report, "" if there was none: text[RONDE_BOARD_TEXT]. Any thread. */
void ronde_stall_last_report(const struct ronde_context *context, char *text);

/* ---- between its files ---- */

static inline uint64_t ronde_stall_age(uint64_t now, uint64_t since)
{
	return now > since ? now - since : 0;
}

static inline double ronde_stall_seconds(uint64_t nanoseconds)
{
	return (double)nanoseconds * 1e-9;
}

/* `allreduce "x"`, `allreduce.noname.3`, … of process set 2; of a group with so many members, or 0:
 * `allreduce.noname.3_1of2`. */
struct ronde_key_head;
void ronde_stall_what(const struct ronde_key_head *head, const char *name, uint32_t members,
		      char *text, size_t bytes);
/* Identity of what is waited for, on boards. */
uint64_t ronde_stall_key(const struct ronde_key_head *head, const char *name);
#define RONDE_STALL_KEY_SETS 1 /* a change of the process sets */
#define RONDE_STALL_KEY_JOIN 2 /* the end of a join */

/* What is known of a process that does not answer: "is stopped (…)". */
void ronde_stall_process_text(const struct ronde_context *context, int local_rank, char *text,
			      size_t bytes);
/* Puts the text on this rank's board, as the node's last report. */
void ronde_stall_publish(struct ronde_context *context, const char *text);
/* Ends the runtime everywhere, with this text as the reason; and on this node, with all of it. */
void ronde_stall_end(struct ronde_context *context, const char *text);
void ronde_stall_end_here(struct ronde_context *context, const char *why);

/* The leader's part of a tick, and what it does each time it looks. */
void ronde_stall_lead(struct ronde_context *context, uint64_t now);

/* On the leader: the rank has answered the last inquiry, and its board may be read. */
bool ronde_stall_answered(const struct ronde_context *context, int rank);
/* Its board; of a rank of another node NULL if it has not. */
const struct ronde_board *ronde_stall_board_of(const struct ronde_context *context, int rank);

/* … and all that it had said by then has been heard: what its votes do not say, it did not submit.
 */
bool ronde_stall_heard(const struct ronde_context *context, int rank);

/* What the leader knows about a stall. */
struct ronde_stall_report {
	char text[RONDE_STALL_REPORT_BYTES];
	uint64_t since;  /* nanoseconds: the oldest thing in it; 0: nothing is stalled */
	uint64_t digest; /* of all but the times; not 0 */
};
/* Writes it from ballots and answers. */
void ronde_stall_report_write(struct ronde_context *context, uint64_t now,
			      struct ronde_stall_report *report);

#endif

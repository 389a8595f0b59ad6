/* SPDX-License-Identifier: Apache-2.0 */
/* A stall report being written: what its files share. */
#ifndef RONDE_STALL_WRITER_H
#define RONDE_STALL_WRITER_H

#include "coordinator/context.h"
#include "coordinator/leader.h"
#include "coordinator/stall.h"
#include "coordinator/text.h"

/* Something pending that some have submitted and others not. */
struct ronde_stall_item {
	const struct ronde_ballot *ballot; /* NULL: a change of the process sets */
	uint64_t key, since;
	bool told;
};

struct ronde_stall_writer {
	struct ronde_context *ctx;
	const struct ronde_leader *leader;
	uint64_t now;
	struct ronde_stall_report *report;
	size_t used;
	struct ronde_stall_item *items; /* oldest first */
	size_t n;
	int *edges;    /* [ranks][ranks] number of the wait by which p waits for q, or -1 */
	bool *who;     /* [size] scratch: global ranks */
	bool *missing; /* [ranks] somewhere */
	bool *stuck;   /* [ranks] see stall_deadlock.c */
};

#define SAY(w, ...)                                                                                \
	((w)->used = ronde_text_append((w)->report->text, sizeof(w)->report->text, (w)->used,      \
				       __VA_ARGS__))

/* NULL: it is on another node and has not answered. "Local ranks" are those that the leader sees,
 * as in leader.h. */
static inline const struct ronde_board *ronde_stall_board(const struct ronde_stall_writer *w,
							  int local)
{
	return ronde_stall_board_of(w->ctx, local);
}

/* Has waited long enough to be told of. */
bool ronde_stall_is_old(const struct ronde_stall_writer *writer, uint64_t since);

/* The how-manieth announcement of the local rank asked for the item; 0: none that was heard. */
uint64_t ronde_stall_said(const struct ronde_stall_writer *writer,
			  const struct ronde_stall_item *item, int local);
/* True if there is one. */
bool ronde_stall_has_submitted(const struct ronde_stall_writer *writer,
			       const struct ronde_stall_item *item, int local);
/* True if the item waits for that local rank. */
bool ronde_stall_is_missing(const struct ronde_stall_writer *writer,
			    const struct ronde_stall_item *item, int local);

/* What a wait on the board of a local rank is for, if that still waits for a rank; else NULL. */
const struct ronde_stall_item *ronde_stall_item_of(const struct ronde_stall_writer *writer,
						   int local, const struct ronde_board_wait *wait);

void ronde_stall_item_text(const struct ronde_stall_item *item, char *text, size_t bytes);
typedef bool (*ronde_stall_rank_fn)(const struct ronde_stall_writer *writer,
				    const struct ronde_stall_item *item, int local);
/* "ranks 0-2": those of which it is true. */
void ronde_stall_ranks_text(struct ronde_stall_writer *writer, const struct ronde_stall_item *item,
			    ronde_stall_rank_fn is, char *text, size_t bytes);

/* Appends what looks like a mistake. */
void ronde_stall_say_hints(struct ronde_stall_writer *writer);
/* Appends the shortest deadlock there is. */
void ronde_stall_say_deadlock(struct ronde_stall_writer *writer);

#endif

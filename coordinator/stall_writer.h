/* SPDX-License-Identifier: Apache-2.0 */
/* A stall report being written: what its two files share. */
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
	int *edges; /* [local_size][local_size] number of the wait by which p waits for q, or -1 */
	bool *who;  /* [size] scratch: global ranks */
	bool *missing; /* [local_size] somewhere */
};

#define SAY(w, ...)                                                                                \
	((w)->used = ronde_text_append((w)->report->text, sizeof(w)->report->text, (w)->used,      \
				       __VA_ARGS__))

static inline const struct ronde_board *ronde_stall_board(const struct ronde_stall_writer *w,
							  int local)
{
	return &w->ctx->node->arena.boards[local];
}

/* True if the item waits for that local rank. */
bool ronde_stall_is_missing(const struct ronde_stall_writer *writer,
			    const struct ronde_stall_item *item, int local);
/* Appends the shortest deadlock there is. */
void ronde_stall_say_deadlock(struct ronde_stall_writer *writer);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stall inspector over nodes. The leader of each node is for its ranks what the job's leader is
 * on a single one: they ring it when they wait too long, and answer its inquiries on their boards.
 *
 *   WAITS   up     a rank here has waited for so long; again in every interval
 *   ASK     down   an inquiry: each node makes one of its own
 *   BOARD   up     what a rank has answered
 *   SILENT  up     why one does not answer
 *   ENDED   down   the runtime ends, and why
 *
 * Times travel as ages: every machine has a clock of its own.
 */
#ifndef RONDE_STALL_AFAR_H
#define RONDE_STALL_AFAR_H

#include "coordinator/link.h"
#include "coordinator/stall.h"

struct ronde_board;
struct ronde_stall_afar;

/* Leaders of nodes, where there are several. Errors: OUT_OF_MEMORY. */
int ronde_stall_afar_open(struct ronde_context *context);
void ronde_stall_afar_close(struct ronde_stall_afar *afar);

/* Takes a parcel of those above: see ronde_relay_set_stalls(). */
int ronde_stall_afar_take(void *context, const struct ronde_parcel *head, const uint32_t *ranks,
			  const void *body);

/* On every node but 0, part of the leader's ticks. due: an interval has gone by. */
void ronde_stall_afar_tick(struct ronde_context *context, uint64_t now, bool due);

/* On node 0. The longest that a rank of another node has waited, in nanoseconds. */
uint64_t ronde_stall_afar_oldest(const struct ronde_context *context, uint64_t now);
void ronde_stall_afar_ask(struct ronde_context *context, uint64_t inquiry);
void ronde_stall_afar_end(struct ronde_context *context, const char *text);
/* What a rank of another node has answered to the inquiry, or NULL. */
const struct ronde_board *ronde_stall_afar_board(const struct ronde_context *context, int rank,
						 uint64_t inquiry);
/* Why it has not, or NULL: that is not known yet. */
const char *ronde_stall_afar_silence(const struct ronde_context *context, int rank,
				     uint64_t inquiry);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows (threads) of a timeline. Viewers show spans of a row only if they are nested or behind
 * each other, so what goes on at the same time needs rows of its own:
 *
 *   row 1           the engine's marks (not row 0: viewers take a thread 0 for something else)
 *   a row a tensor  named ones: a name is in flight once only
 *   shared rows     unnamed operations, and named tensors beyond RONDE_TIMELINE_ROWS. Each span
 *                   takes a row that is free since before it begins, or else a new one; an unnamed
 *                   operation keeps its row from its negotiation to its end
 *
 * Records come in the order in which their spans end. So shared rows become free in that order,
 * and the one that waits longest is free since the longest time: only it need be looked at.
 */
#ifndef RONDE_TIMELINE_ROWS_H
#define RONDE_TIMELINE_ROWS_H

#include "coordinator/hash.h"

#include "coordinator/timeline_record.h"

#define RONDE_TIMELINE_ENGINE 1

/* Named tensors with a row of their own. */
#define RONDE_TIMELINE_ROWS 16384

struct ronde_timeline_row {
	UT_hash_handle hh;
	struct ronde_timeline_row *next; /* of the free ones */
	uint32_t number;
	uint32_t shared; /* counts the shared rows from 1; 0: a tensor's own */
	uint64_t named;  /* the batch that brought its name; 0: none did */
	uint64_t end;    /* of its last span */
	/* As in a struct ronde_key: of its tensor, or of the operation that keeps it. */
	struct ronde_key_head key;
	char name[];
};

struct ronde_timeline_rows {
	uint32_t made, shared;                 /* how many */
	struct ronde_timeline_row *own;        /* by tensor */
	struct ronde_timeline_row *kept;       /* by unnamed operation */
	struct ronde_timeline_row *free, *end; /* first and last of the shared ones */
};

/* A row for the record's spans, which the caller leaves again; NULL: no memory. */
struct ronde_timeline_row *ronde_timeline_rows_enter(struct ronde_timeline_rows *rows,
						     const struct ronde_timeline_record *record);
/* rank: whose timeline it is. */
void ronde_timeline_rows_leave(struct ronde_timeline_rows *rows, struct ronde_timeline_row *row,
			       const struct ronde_timeline_record *record, int rank);
/* Records are missing: rows do not wait for the end of their operations any more. */
void ronde_timeline_rows_forget(struct ronde_timeline_rows *rows);
/* Rows that this batch named have no name again. */
void ronde_timeline_rows_unname(struct ronde_timeline_rows *rows, uint64_t batch);
void ronde_timeline_rows_finish(struct ronde_timeline_rows *rows);

#endif

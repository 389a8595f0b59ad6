/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/timeline_rows.h"

#include <stdlib.h>
#include <string.h>

static struct ronde_timeline_row *make_row(struct ronde_timeline_rows *rows, size_t name_bytes)
{
	struct ronde_timeline_row *row = calloc(1, sizeof *row + name_bytes + 1);
	if (row)
		row->number = RONDE_TIMELINE_ENGINE + ++rows->made;
	return row;
}

static void add_free(struct ronde_timeline_rows *rows, struct ronde_timeline_row *row)
{
	row->next = NULL;
	if (rows->free)
		rows->end->next = row;
	else
		rows->free = row;
	rows->end = row;
}

static struct ronde_timeline_row *enter_shared(struct ronde_timeline_rows *rows, uint64_t begin)
{
	struct ronde_timeline_row *row = rows->free;
	if (row && row->end <= begin) {
		rows->free = row->next;
		return row;
	}
	row = make_row(rows, 0);
	if (row)
		row->shared = ++rows->shared;
	return row;
}

static struct ronde_timeline_row *enter_own(struct ronde_timeline_rows *rows,
					    const struct ronde_timeline_record *r)
{
	struct ronde_key key;
	struct ronde_timeline_row *row;
	ronde_key_set(&key, (enum ronde_kind)r->key.kind, r->key.set, ronde_timeline_name(r),
		      r->key.name_bytes, 0);
	size_t bytes = ronde_key_bytes(&key);
	HASH_FIND(hh, rows->own, &key, bytes, row);
	if (row)
		return row;
	if (HASH_COUNT(rows->own) >= RONDE_TIMELINE_ROWS)
		return enter_shared(rows, r->begin);
	row = make_row(rows, r->key.name_bytes);
	if (!row)
		return NULL;
	row->key = key.head;
	memcpy(row->name, key.name, key.head.name_bytes);
	HASH_ADD_KEYPTR(hh, rows->own, &row->key, bytes, row);
	return row;
}

struct ronde_timeline_row *ronde_timeline_rows_enter(struct ronde_timeline_rows *rows,
						     const struct ronde_timeline_record *r)
{
	struct ronde_timeline_row *row;
	if (r->key.named)
		return enter_own(rows, r);
	HASH_FIND(hh, rows->kept, &r->key, sizeof r->key, row);
	if (!row)
		return enter_shared(rows, r->begin);
	HASH_DELETE(hh, rows->kept, row);
	return row;
}

/* Whether this rank is going to execute what the record says was negotiated. */
static bool will_execute(const struct ronde_timeline_record *r, int rank)
{
	const struct ronde_timeline_ready *ready = ronde_timeline_readies(r);
	if (r->type != RONDE_TIMELINE_NEGOTIATED || r->status ||
	    r->entry == RONDE_TIMELINE_NO_ENTRY)
		return false;
	for (uint32_t i = 0; i < r->nready; i++)
		if (ready[i].rank == rank)
			return true;
	return false;
}

void ronde_timeline_rows_leave(struct ronde_timeline_rows *rows, struct ronde_timeline_row *row,
			       const struct ronde_timeline_record *r, int rank)
{
	if (r->end > row->end)
		row->end = r->end;
	if (!row->shared)
		return;
	if (r->key.named || !will_execute(r, rank)) {
		add_free(rows, row);
		return;
	}
	row->key = r->key;
	HASH_ADD_KEYPTR(hh, rows->kept, &row->key, sizeof row->key, row);
}

void ronde_timeline_rows_forget(struct ronde_timeline_rows *rows)
{
	struct ronde_timeline_row *row, *next;
	HASH_ITER (hh, rows->kept, row, next) {
		HASH_DELETE(hh, rows->kept, row);
		add_free(rows, row);
	}
}

static void unname(struct ronde_timeline_row *row, uint64_t batch)
{
	if (row->named == batch)
		row->named = 0;
}

void ronde_timeline_rows_unname(struct ronde_timeline_rows *rows, uint64_t batch)
{
	for (struct ronde_timeline_row *row = rows->own; row; row = row->hh.next)
		unname(row, batch);
	for (struct ronde_timeline_row *row = rows->kept; row; row = row->hh.next)
		unname(row, batch);
	for (struct ronde_timeline_row *row = rows->free; row; row = row->next)
		unname(row, batch);
}

void ronde_timeline_rows_finish(struct ronde_timeline_rows *rows)
{
	struct ronde_timeline_row *row, *next;
	ronde_timeline_rows_forget(rows);
	for (row = rows->free; row; row = next) {
		next = row->next;
		free(row);
	}
	HASH_ITER (hh, rows->own, row, next) {
		HASH_DELETE(hh, rows->own, row);
		free(row);
	}
}

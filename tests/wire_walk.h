/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a record and, if it is taken, touches all that it gave and checks that it hangs together.
 * Used with random bytes (check_wire.c) and by the fuzzers. The record lies alone in memory of its
 * exact size, so that the address checker sees a step beside it.
 */
#ifndef RONDE_TESTS_WIRE_WALK_H
#define RONDE_TESTS_WIRE_WALK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/entry.h"

/* Ends the program, which tells both Check and libFuzzer. */
#define walk_must(condition)                                                                       \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);    \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static inline void *walk_copy(const void *data, size_t bytes)
{
	void *record = malloc(bytes ? bytes : 1);
	walk_must(record);
	if (bytes)
		memcpy(record, data, bytes);
	return record;
}

/* Reads every byte; volatile, so that the reads are made. */
static inline void walk_touch(const void *data, size_t bytes)
{
	volatile unsigned char sink = 0;
	for (size_t i = 0; i < bytes; i++)
		sink ^= ((const unsigned char *)data)[i];
	(void)sink;
}

/* True if the record was taken. */
static inline bool walk_announcement(const void *data, size_t bytes)
{
	unsigned char *record = walk_copy(data, bytes);
	struct ronde_heard h;
	bool taken = ronde_announcement_read(record, bytes, &h);
	if (taken) {
		bool full = h.head.type == RONDE_ANNOUNCE_FULL;
		walk_must(bytes == ronde_announcement_bytes(&h.head, &h.desc));
		walk_must(h.payload + ronde_wire_pad(h.head.payload_bytes) == record + bytes);
		walk_touch(h.payload, h.head.payload_bytes);
		if (full) {
			char text[RONDE_MAX_NAME + 1], shape[RONDE_SHAPE_TEXT];
			walk_must(ronde_desc_valid(&h.desc));
			walk_must(h.key.head.name_bytes == h.head.name_bytes);
			ronde_key_text(&h.key, text, sizeof text);
			ronde_desc_shape_text(&h.desc, shape, sizeof shape);
			walk_must(strlen(shape) < sizeof shape - 1);
		}
	}
	free(record);
	return taken;
}

static inline void walk_definitions(const struct ronde_entry_view *v,
				    const struct ronde_entry_limits *limits)
{
	struct ronde_reader r = v->definitions;
	struct ronde_defined d;
	for (uint32_t i = 0; i < v->head->definitions; i++) {
		ronde_entry_next(&r, &d);
		walk_must(!r.failed && ronde_desc_valid(&d.desc));
		walk_must(d.slot.slot < limits->slots || d.slot.slot == RONDE_NO_SLOT);
		walk_must(d.key.head.kind == d.desc.kind && d.key.head.set == d.desc.set);
		walk_must(d.key.head.name_bytes <= RONDE_MAX_NAME);
	}
	walk_must(r.at == (const unsigned char *)v->items);
}

static inline void walk_data(const struct ronde_entry_view *v,
			     const struct ronde_entry_limits *limits)
{
	const struct ronde_entry *head = v->head;
	uint64_t results = 0;
	for (uint32_t i = 0; i < head->items; i++)
		if (v->like.kind != RONDE_KIND_BARRIER)
			results += ronde_wire_pad(v->items[i].count *
						  ronde_dtype_bytes((ronde_dtype)v->like.dtype));
	walk_must((v->locations != NULL) == (head->path == RONDE_PATH_ZERO_COPY));
	if (v->locations)
		walk_touch(v->locations,
			   head->items * (size_t)limits->members * sizeof *v->locations);
	if (head->path == RONDE_PATH_CARRIED) {
		walk_must(head->payload_bytes == results);
		return;
	}
	walk_must(head->lane >= 0 && (uint32_t)head->lane < limits->lanes);
	walk_must(head->chunk_bytes > 0 && head->chunk_bytes <= limits->chunk_bytes);
}

static inline void walk_change(const struct ronde_entry_view *v,
			       const struct ronde_entry_limits *limits)
{
	walk_touch(v->payload, v->head->payload_bytes);
	if (v->change->status)
		walk_must(strlen((const char *)v->payload) < v->head->payload_bytes);
	else
		walk_must(v->change->ranks <= (uint32_t)limits->ranks &&
			  v->head->payload_bytes == v->change->ranks * sizeof(int32_t));
}

/* True if the record was taken for a brief entry of a tensor of that description. */
static inline bool walk_brief(const void *data, size_t bytes, const struct ronde_desc *desc)
{
	unsigned char *record = walk_copy(data, bytes);
	struct ronde_brief_view v;
	struct ronde_brief_entry e;
	bool taken = ronde_entry_is_brief(record, bytes) && ronde_brief_read(record, bytes, &v) &&
		     ronde_brief_expand(&v, desc, &e);
	if (taken) {
		const struct ronde_entry_limits none = {.members = 1};
		walk_must(e.view.head->items == 1 && ronde_desc_equal(&e.view.like, desc));
		walk_touch(e.view.payload, e.view.head->payload_bytes);
		walk_data(&e.view, &none);
	}
	free(record);
	return taken;
}

/* True if the record was taken. */
static inline bool walk_entry(const void *data, size_t bytes,
			      const struct ronde_entry_limits *limits)
{
	unsigned char *record = walk_copy(data, bytes);
	struct ronde_entry_view v;
	bool taken = ronde_entry_read(record, bytes, limits, &v);
	if (taken)
		walk_must(v.head->root >= 0 && v.head->root < limits->ranks);
	if (taken && v.head->type == RONDE_ENTRY_SET)
		walk_change(&v, limits);
	if (taken && (v.head->type == RONDE_ENTRY_DATA || v.head->type == RONDE_ENTRY_ERROR ||
		      v.head->type == RONDE_ENTRY_NOTICE))
		for (uint32_t i = 0; i < v.head->evictions; i++)
			walk_must(v.evictions[i].slot < limits->slots);
	if (taken && (v.head->type == RONDE_ENTRY_DATA || v.head->type == RONDE_ENTRY_ERROR)) {
		walk_definitions(&v, limits);
		for (uint32_t i = 0; i < v.head->items; i++)
			walk_must(v.items[i].definition <= v.head->definitions);
		walk_touch(v.payload, v.head->payload_bytes);
		if (v.head->type == RONDE_ENTRY_ERROR)
			walk_must(strlen((const char *)v.payload) < v.head->payload_bytes);
		else
			walk_data(&v, limits);
	}
	free(record);
	return taken;
}

/* A job of three ranks on one node with a small cache. */
static const struct ronde_entry_limits walk_limits = {
	.members = 3, .ranks = 3, .slots = 16, .lanes = 4, .chunk_bytes = 1 << 16};

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records that go through the rings: announcements (rank → leader) and entries (leader → rank).
 * Native byte order and layout: both ends are the same build (checked when the node is opened).
 *
 * Writing goes through a `ronde_writer`, reading through a `ronde_reader`; both are bounded, and a
 * reader that ran over its end has failed set: a damaged record is reported, never followed.
 */
#ifndef RONDE_WIRE_H
#define RONDE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "coordinator/tensor.h"

/* ---- bounded cursors; every item starts at a multiple of 8 ---- */

struct ronde_writer {
	unsigned char *at, *end;
	bool failed;
};

struct ronde_reader {
	const unsigned char *at, *end;
	bool failed;
};

static inline size_t ronde_wire_pad(size_t bytes)
{
	return (bytes + 7) & ~(size_t)7;
}

/* Room for `bytes` bytes (padding zeroed), or NULL and failed. */
static inline void *ronde_write_room(struct ronde_writer *w, size_t bytes)
{
	size_t padded = ronde_wire_pad(bytes);
	if (w->failed || (size_t)(w->end - w->at) < padded) {
		w->failed = true;
		return NULL;
	}
	unsigned char *room = w->at;
	if (padded != bytes)
		memset(room + padded - 8, 0, 8);
	w->at += padded;
	return room;
}

static inline void ronde_write(struct ronde_writer *w, const void *data, size_t bytes)
{
	void *room = ronde_write_room(w, bytes);
	if (room && bytes)
		memcpy(room, data, bytes);
}

/* The next `bytes` bytes in place, or NULL and failed. */
static inline const void *ronde_read(struct ronde_reader *r, size_t bytes)
{
	size_t padded = ronde_wire_pad(bytes);
	if (r->failed || padded < bytes || (size_t)(r->end - r->at) < padded) {
		r->failed = true;
		return NULL;
	}
	const unsigned char *at = r->at;
	r->at += padded;
	return at;
}

/* A description and nothing else; false if it is none that a submit makes. */
bool ronde_desc_read(struct ronde_reader *r, struct ronde_desc *desc);

/* ---- announcements ---- */

enum ronde_announcement_type {
	RONDE_ANNOUNCE_FULL = 1,     /* head, description, name, [locations], [time], payload */
	RONDE_ANNOUNCE_READY = 2,    /* head, [locations], [time], payload */
	RONDE_ANNOUNCE_SHUTDOWN = 3, /* head */
	RONDE_ANNOUNCE_SET = 4,      /* head with slot and generation, ranks as payload */
	RONDE_ANNOUNCE_JOIN = 5,     /* head */
};

/* Offsets of this rank's tensor in its heap. */
struct ronde_location {
	uint64_t input, output;
};
#define RONDE_NOT_IN_HEAP UINT64_MAX
#define RONDE_NOWHERE (UINT64_MAX - 1) /* no bytes: they are in every heap */

/* The head of every announcement; with the ring's 8 bytes and 32 of payload it fills one cell. */
struct ronde_announcement {
	uint8_t type;
	uint8_t located : 1;    /* a struct ronde_location follows */
	uint8_t again : 1;      /* the answer to an eviction notice */
	uint8_t timed : 1;      /* then the time at which the rank was ready */
	uint8_t unused : 5;     /* 0 */
	uint16_t name_bytes;    /* FULL, named */
	uint32_t payload_bytes; /* the tensor's data, if it rides along */
	uint32_t slot;          /* READY; SET: enum ronde_set_change */
	uint32_t generation;    /* READY; SET, REMOVE: the set */
	uint64_t ordinal;       /* unnamed: which one */
};

_Static_assert(sizeof(struct ronde_announcement) == 24, "eight floats ride in one cell");

/* A change of the process sets. All ranks have to make the same ones in the same order. */
enum ronde_set_change {
	RONDE_SET_ADD = 0,    /* payload: int32_t, ascending */
	RONDE_SET_REMOVE = 1, /* no payload */
	RONDE_SET_NO_MORE = 2 /* no payload: these were the sets given to ronde_init() */
};

/* An announcement taken apart. Pointers lead into the record. */
struct ronde_heard {
	struct ronde_announcement head;
	struct ronde_desc desc; /* FULL */
	struct ronde_key key;   /* FULL */
	struct ronde_location location;
	uint64_t ready_ns; /* 0: not said */
	const unsigned char *payload;
};

/* Bytes of the record that ronde_announcement_write() writes. */
size_t ronde_announcement_bytes(const struct ronde_announcement *head,
				const struct ronde_desc *desc);
/* desc and name only for FULL, location only if located, ready_ns only if timed, payload only if
 * payload_bytes. */
void ronde_announcement_write(void *record, const struct ronde_announcement *head,
			      const struct ronde_desc *desc, const char *name,
			      const struct ronde_location *location, uint64_t ready_ns,
			      const void *payload);
/* False if the record is damaged. */
bool ronde_announcement_read(const void *record, size_t bytes, struct ronde_heard *heard);

/* ---- entries ---- */

enum ronde_entry_type {
	RONDE_ENTRY_DATA = 1,     /* execute the items */
	RONDE_ENTRY_ERROR = 2,    /* the items fail with the text */
	RONDE_ENTRY_SHUTDOWN = 3, /* the runtime ends; `root` is the rank that asked first */
	RONDE_ENTRY_NOTICE = 4,   /* one eviction: what was announced by that slot was not heard */
	RONDE_ENTRY_SET = 5,      /* a struct ronde_set_entry follows, then ranks or a text */
	RONDE_ENTRY_JOINED = 6,   /* all ranks have joined; `root` was the last */
	RONDE_ENTRY_BRIEF = 7,    /* a struct ronde_brief: DATA of one tensor, carried */
};

#define RONDE_NO_SLOT UINT32_MAX

struct ronde_slot_name {
	uint32_t slot, generation;
};

/* Head of an entry. Behind it: absent members, evictions, definitions, items, locations, payload or
 * text. */
struct ronde_entry {
	uint8_t type;
	uint8_t path; /* enum ronde_path */
	uint16_t evictions;
	uint32_t definitions;
	uint32_t items;
	uint32_t payload_bytes; /* CARRIED: results; ERROR: the text; SET: ranks or a text */
	uint64_t index;         /* in the log */
	int32_t root;
	int32_t lane;
	uint32_t absent; /* members that have joined and take no part */
	int32_t divisor; /* of an average */
	uint64_t base;   /* see struct ronde_plan; NOTICE: the ordinal */
	uint64_t chunk_bytes;
	/* The first item's description without its extents: fused tensors differ in shape only. */
	unsigned char like[offsetof(struct ronde_desc, dims)];
};

/*
 * An entry of a single carried tensor that all members know by its slot, and that all take part in:
 * the slot says the rest. Behind it: the ordinal of an unnamed one, the result. With the ring's 8
 * bytes and eight floats it fills one cell, so a rank that waits for it fetches one cache line.
 */
struct ronde_brief {
	uint8_t type;
	uint8_t unnamed;
	uint16_t pad;
	uint32_t payload_bytes;
	uint64_t index;
	uint32_t slot, generation;
};

_Static_assert(sizeof(struct ronde_brief) == 24, "the sum of eight floats fits one cell");

/* How a change of the process sets came out. */
struct ronde_set_entry {
	int32_t status;  /* not OK: nothing changed, and the payload is a text */
	uint32_t change; /* enum ronde_set_change */
	uint32_t set;    /* its number */
	uint32_t ranks;  /* ADD: how many, in the payload */
};

/* A tensor that gets a slot, or (NO_SLOT) is named in this entry only. Then: description, name. */
struct ronde_definition {
	uint32_t slot, generation;
	struct ronde_key_head key; /* named tensor; an unnamed slot only describes: ordinal 0 */
};

/* A tensor of the entry. Named: by slot, or by definition. Unnamed: by ordinal. */
struct ronde_item {
	uint32_t slot, generation;
	uint32_t definition; /* number + 1; 0: the slot was known before */
	uint32_t named;
	uint64_t ordinal;
	uint64_t count; /* elements */
};

/* Locations of an item: one per member, in member order; ZERO_COPY only. Entries are read by
 * entry.h. */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An entry of the log taken apart and checked: whatever bytes it is made from, what is in a view
 * lies inside the record, and every number in it is one that a leader of this job can have written.
 * Only places in heaps are taken on trust.
 */
#ifndef RONDE_ENTRY_H
#define RONDE_ENTRY_H

#include "coordinator/wire.h"

/* What numbers in an entry are bounded by. */
struct ronde_entry_limits {
	uint32_t set; /* of the entry, see ronde_entry_set() */
	int members;  /* of the set, on this node */
	int ranks;    /* of the job */
	uint32_t slots, lanes;
	size_t chunk_bytes;
};

/* Pointers lead into the record. */
struct ronde_entry_view {
	const struct ronde_entry *head;
	struct ronde_desc like;
	const uint32_t *absent; /* member numbers, ascending */
	const struct ronde_slot_name *evictions;
	struct ronde_reader definitions; /* at the first */
	const struct ronde_item *items;
	const struct ronde_location *locations; /* [items][members]; NULL unless ZERO_COPY */
	const struct ronde_set_entry *change;   /* SET */
	const unsigned char *payload;           /* ERROR, failed SET: a text with its zero */
};

/* A brief entry taken apart. */
struct ronde_brief_view {
	const struct ronde_brief *head;
	uint64_t ordinal; /* unnamed */
	const unsigned char *payload;
};

/* A brief entry in full. */
struct ronde_brief_entry {
	struct ronde_entry head;
	struct ronde_item item;
	struct ronde_entry_view view; /* leads to these, and into the record */
};

/* A definition of a view. */
struct ronde_defined {
	struct ronde_slot_name slot; /* slot NO_SLOT: named in this entry only */
	struct ronde_desc desc;
	struct ronde_key key; /* of the tensor, or of the pattern */
};

/* The process set whose entry this is; 0 also for one of no set, and a damaged one. */
uint32_t ronde_entry_set(const void *record, size_t bytes);

/* False if the record is damaged. It starts at a multiple of 8. */
bool ronde_entry_read(const void *record, size_t bytes, const struct ronde_entry_limits *limits,
		      struct ronde_entry_view *view);

/* True if the record is an entry of type BRIEF, which only the next function reads. */
bool ronde_entry_is_brief(const void *record, size_t bytes);
/* False if the record is damaged. */
bool ronde_brief_read(const void *record, size_t bytes, struct ronde_brief_view *view);
/* The entry in full, of a tensor of that description. False: its payload is none of such a tensor.
 */
bool ronde_brief_expand(const struct ronde_brief_view *brief, const struct ronde_desc *desc,
			struct ronde_brief_entry *entry);

/* True if that member takes no part. */
bool ronde_entry_absent(const struct ronde_entry_view *view, int member);

/* The next of the view's head->definitions; the view has been read, so there is no error. */
void ronde_entry_next(struct ronde_reader *definitions, struct ronde_defined *defined);

#endif

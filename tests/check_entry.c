/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of the log: what a leader writes is read, and what none writes is refused. */
#include <stdlib.h>
#include <string.h>

#include "tests/sizes.h"
#include "tests/suite.h"
#include "tests/wire_random.h"

/* An entry as a leader of walk_limits' job writes one. */
struct draft {
	struct ronde_entry head;
	uint32_t absent[2];
	struct ronde_slot_name evictions[4];
	struct ronde_definition definitions[4];
	struct ronde_desc descs[4];
	char names[4][RONDE_MAX_NAME + 8];
	struct ronde_item items[4];
	struct ronde_location locations[4][3];
	unsigned char payload[4096];
};

static void draft_definition(unsigned *seed, struct draft *d, uint32_t i)
{
	bool named = below(seed, 2);
	d->descs[i] = random_desc(seed);
	d->definitions[i] = (struct ronde_definition){
		.slot = named && below(seed, 4) == 0 ? RONDE_NO_SLOT : (uint32_t)below(seed, 16),
		.generation = (uint32_t)rand_r(seed),
		.key = {.kind = d->descs[i].kind, .named = named, .set = d->descs[i].set}};
	if (named)
		d->definitions[i].key.name_bytes = (uint16_t)random_name(seed, d->names[i]);
}

static void draft_item(unsigned *seed, struct draft *d, uint32_t i)
{
	bool named = below(seed, 2);
	d->items[i] = (struct ronde_item){.slot = (uint32_t)below(seed, 16),
					  .generation = (uint32_t)rand_r(seed),
					  .named = named,
					  .ordinal = named ? 0 : below(seed, UINT64_MAX),
					  .count = below(seed, 40)};
	if (named)
		d->items[i].definition = (uint32_t)below(seed, d->head.definitions + 1);
}

static void draft_payload(unsigned *seed, struct draft *d, const struct ronde_desc *like)
{
	struct ronde_entry *head = &d->head;
	random_bytes(seed, d->payload, sizeof d->payload);
	if (head->type == RONDE_ENTRY_ERROR) {
		head->lane = -1;
		head->payload_bytes = 1 + (uint32_t)below(seed, 500);
		d->payload[head->payload_bytes - 1] = 0;
	} else if (head->path == RONDE_PATH_CARRIED) {
		head->lane = -1;
		for (uint32_t i = 0; i < head->items && like->kind != RONDE_KIND_BARRIER; i++)
			head->payload_bytes += (uint32_t)ronde_wire_pad(
				d->items[i].count * ronde_dtype_bytes((ronde_dtype)like->dtype));
	} else {
		head->lane = (int)below(seed, 4);
		head->chunk_bytes = 64 * (1 + below(seed, 1024));
	}
}

static size_t write_draft(const struct draft *d, unsigned char *record)
{
	struct ronde_writer w = {record, record + RECORD_BYTES, false};
	ronde_write(&w, &d->head, sizeof d->head);
	ronde_write(&w, d->absent, d->head.absent * sizeof *d->absent);
	ronde_write(&w, d->evictions, d->head.evictions * sizeof *d->evictions);
	for (uint32_t i = 0; i < d->head.definitions; i++) {
		ronde_write(&w, &d->definitions[i], sizeof *d->definitions);
		ronde_write(&w, &d->descs[i], ronde_desc_bytes(&d->descs[i]));
		ronde_write(&w, d->names[i], d->definitions[i].key.name_bytes);
	}
	ronde_write(&w, d->items, d->head.items * sizeof *d->items);
	if (d->head.type == RONDE_ENTRY_DATA && d->head.path == RONDE_PATH_ZERO_COPY)
		ronde_write(&w, d->locations, d->head.items * sizeof *d->locations);
	ronde_write(&w, d->payload, d->head.payload_bytes);
	ck_assert(!w.failed);
	return (size_t)(w.at - record);
}

static size_t random_entry(unsigned *seed, struct draft *d, unsigned char *record)
{
	memset(d, 0, sizeof *d);
	struct ronde_desc like = random_desc(seed);
	d->head = (struct ronde_entry){.type = (uint8_t)(1 + below(seed, 8) / 7),
				       .path = (uint8_t)below(seed, 3),
				       .evictions = (uint16_t)below(seed, 5),
				       .definitions = (uint32_t)below(seed, 5),
				       .items = 1 + (uint32_t)below(seed, 4),
				       .index = below(seed, UINT64_MAX),
				       .root = like.root,
				       .absent = (uint32_t)below(seed, 3),
				       .divisor = 1 + (int32_t)below(seed, 3),
				       .base = below(seed, UINT64_MAX)};
	memcpy(d->head.like, &like, sizeof d->head.like);
	d->absent[0] = (uint32_t)below(seed, 2);
	d->absent[1] = 2;
	for (uint32_t i = 0; i < 4; i++) {
		d->evictions[i].slot = (uint32_t)below(seed, 16);
		draft_definition(seed, d, i);
		draft_item(seed, d, i);
		for (int m = 0; m < 3; m++)
			d->locations[i][m] =
				(struct ronde_location){below(seed, 99999), below(seed, 99999)};
	}
	draft_payload(seed, d, &like);
	return write_draft(d, record);
}

static const char *compare_entry(const struct draft *d, const struct ronde_entry_view *v)
{
	if (memcmp(&d->head, v->head, sizeof d->head) != 0 ||
	    memcmp(&v->like, d->head.like, sizeof d->head.like) != 0)
		return "head";
	if (memcmp(d->absent, v->absent, d->head.absent * sizeof *d->absent) != 0)
		return "absent";
	if (memcmp(d->evictions, v->evictions, d->head.evictions * sizeof *d->evictions) != 0)
		return "evictions";
	if (memcmp(d->items, v->items, d->head.items * sizeof *d->items) != 0)
		return "items";
	if (v->locations &&
	    memcmp(d->locations, v->locations, d->head.items * sizeof *d->locations) != 0)
		return "locations";
	if (memcmp(d->payload, v->payload, d->head.payload_bytes) != 0)
		return "payload";
	struct ronde_reader r = v->definitions;
	for (uint32_t i = 0; i < d->head.definitions; i++) {
		const struct ronde_definition *def = &d->definitions[i];
		struct ronde_defined got;
		ronde_entry_next(&r, &got);
		if (got.slot.slot != def->slot || got.slot.generation != def->generation ||
		    !ronde_desc_equal(&got.desc, &d->descs[i]))
			return "definitions";
		if (def->key.named && (got.key.head.name_bytes != def->key.name_bytes ||
				       memcmp(got.key.name, d->names[i], def->key.name_bytes) != 0))
			return "names";
	}
	return NULL;
}

START_TEST(entries_come_back)
{
	static struct draft d;
	static alignas(8) unsigned char record[RECORD_BYTES];
	unsigned seed = seed_of(_i);
	const char *wrong = NULL;
	int k = 0;
	for (; k < 3000 && !wrong; k++) {
		struct ronde_entry_view v;
		size_t bytes = random_entry(&seed, &d, record);
		wrong = ronde_entry_read(record, bytes, &walk_limits, &v) ? compare_entry(&d, &v)
									  : "refused";
		if (!wrong && (ronde_entry_read(record, bytes - 8, &walk_limits, &v) ||
			       ronde_entry_read(record, bytes + 8, &walk_limits, &v)))
			wrong = "taken with another size";
	}
	ck_assert_msg(!wrong, "seed %u, entry %d: %s", seed_of(_i), k, wrong);
}
END_TEST

START_TEST(damaged_entries)
{
	static struct draft d;
	static alignas(8) unsigned char record[RECORD_BYTES];
	unsigned seed = seed_of(_i);
	int taken = 0, refused = 0, turns = test_turns(5000);
	for (int k = 0; k < turns; k++) {
		size_t bytes = damage(&seed, record, random_entry(&seed, &d, record));
		*(walk_entry(record, bytes, &walk_limits) ? &taken : &refused) += 1;
		bytes = below(&seed, 300);
		random_bytes(&seed, record, bytes);
		record[0] = (unsigned char)(1 + k % 3);
		walk_entry(record, bytes, &walk_limits);
	}
	ck_assert_int_gt(taken, turns / 50);
	ck_assert_int_gt(refused, turns / 5);
}
END_TEST

/* ---- fields with a number that no leader writes ---- */

/* An entry that is right: a staged allreduce, one eviction, one definition, two ranks absent. */
static void right_draft(struct draft *d, unsigned char *record)
{
	unsigned seed = 7;
	random_entry(&seed, d, record);
	struct ronde_desc like = {.kind = RONDE_KIND_ALLREDUCE, .dtype = RONDE_FLOAT32};
	d->head.type = RONDE_ENTRY_DATA, d->head.path = RONDE_PATH_STAGED;
	d->head.evictions = d->head.definitions = d->head.items = 1;
	d->head.absent = 2, d->absent[0] = 0, d->absent[1] = 2;
	d->head.payload_bytes = 0, d->head.lane = 3, d->head.chunk_bytes = 1 << 16;
	memcpy(d->head.like, &like, sizeof d->head.like);
	d->definitions[0].key.named = 1, d->definitions[0].key.name_bytes = 1;
	d->definitions[0].key.kind = d->descs[0].kind;
	d->items[0] = (struct ronde_item){.slot = 15, .named = 1, .count = 5};
}

/* The field takes the low bytes of the value; there is no big-endian machine to run on. */
#define WRONG(what, field, value)                                                                  \
	{                                                                                          \
		what, offsetof(struct draft, field), sizeof((struct draft *)0)->field, value       \
	}

START_TEST(entries_refused)
{
	static const struct {
		const char *what;
		size_t offset, bytes;
		int64_t value;
	} wrong[] = {
		WRONG("type", head.type, 4),
		WRONG("no items", head.items, 0),
		WRONG("root", head.root, 3),
		WRONG("root below", head.root, -1),
		WRONG("lane", head.lane, 4),
		WRONG("no lane", head.lane, -1),
		WRONG("no chunk", head.chunk_bytes, 0),
		WRONG("chunk", head.chunk_bytes, (1 << 16) + 64),
		WRONG("odd chunk", head.chunk_bytes, 65),
		WRONG("path", head.path, 3),
		WRONG("eviction", evictions[0].slot, 16),
		WRONG("definition's slot", definitions[0].slot, 16),
		WRONG("its kind", definitions[0].key.kind, RONDE_KIND_BROADCAST),
		WRONG("its set", definitions[0].key.set, 1),
		WRONG("its name", definitions[0].key.named, 0),
		WRONG("item's slot", items[0].slot, 16),
		WRONG("its number", items[0].named, 2),
		WRONG("its definition", items[0].definition, 2),
		WRONG("staged payload", head.payload_bytes, 8),
		WRONG("long name", definitions[0].key.name_bytes, RONDE_MAX_NAME + 1),
		WRONG("divisor", head.divisor, 4),
		WRONG("number of absent", head.absent, 3),
		WRONG("absent", absent[1], 3),
		WRONG("order of absent", absent[0], 2),
	};
	static struct draft good, d;
	static alignas(8) unsigned char record[RECORD_BYTES];
	right_draft(&good, record);
	ck_assert(walk_entry(record, write_draft(&good, record), &walk_limits));
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		d = good;
		memcpy((char *)&d + wrong[i].offset, &wrong[i].value, wrong[i].bytes);
		ck_assert_mem_ne(&d, &good, sizeof d);
		ck_assert_msg(!walk_entry(record, write_draft(&d, record), &walk_limits),
			      "taken with a wrong %s", wrong[i].what);
	}
}
END_TEST

/* An entry of one tensor that is known by its slot. */
static size_t random_brief(unsigned *seed, const struct ronde_desc *desc, unsigned char *record)
{
	const uint64_t data = desc->kind == RONDE_KIND_BARRIER ? 0 : ronde_desc_data_bytes(desc),
		       ordinal = 77;
	struct ronde_writer w = {record, record + RECORD_BYTES, false};
	struct ronde_brief head = {.type = RONDE_ENTRY_BRIEF,
				   .unnamed = below(seed, 2) != 0,
				   .payload_bytes = (uint32_t)ronde_wire_pad(data),
				   .index = below(seed, UINT64_MAX),
				   .slot = (uint32_t)below(seed, 16),
				   .generation = (uint32_t)below(seed, 9)};
	ronde_write(&w, &head, sizeof head);
	if (head.unnamed)
		ronde_write(&w, &ordinal, sizeof ordinal);
	random_bytes(seed, w.at, head.payload_bytes);
	w.at += head.payload_bytes;
	return (size_t)(w.at - record);
}

static const char *compare_brief(const unsigned char *record, size_t bytes,
				 const struct ronde_desc *desc)
{
	const struct ronde_brief *head = (const void *)record;
	struct ronde_brief_view v;
	struct ronde_brief_entry e;
	if (!ronde_entry_is_brief(record, bytes) || !ronde_brief_read(record, bytes, &v) ||
	    !ronde_brief_expand(&v, desc, &e))
		return "refused";
	const struct ronde_entry *full = e.view.head;
	const struct ronde_item *item = e.view.items;
	if (full->type != RONDE_ENTRY_DATA || full->path != RONDE_PATH_CARRIED ||
	    full->items != 1 || full->index != head->index || full->lane != -1 || full->absent ||
	    full->evictions || full->definitions)
		return "head";
	if (item->slot != head->slot || item->generation != head->generation ||
	    item->named == head->unnamed || item->ordinal != (head->unnamed ? 77 : 0) ||
	    item->definition || item->count != ronde_desc_count(desc))
		return "item";
	if (!ronde_desc_equal(&e.view.like, desc) ||
	    e.view.payload != record + sizeof *head + (head->unnamed ? 8 : 0))
		return "description";
	return NULL;
}

START_TEST(brief_entries)
{
	static alignas(8) unsigned char record[RECORD_BYTES];
	unsigned seed = seed_of(_i);
	const char *wrong = NULL;
	int k = 0, others = 0;
	for (; k < 3000 && !wrong; k++) {
		struct ronde_desc desc = random_desc(&seed), other = desc;
		if (ronde_kind_has_own_rows((enum ronde_kind)desc.kind) ||
		    ronde_desc_data_bytes(&desc) > RECORD_BYTES / 2)
			continue;
		size_t bytes = random_brief(&seed, &desc, record);
		wrong = compare_brief(record, bytes, &desc);
		if (!wrong &&
		    (walk_brief(record, bytes - 8, &desc) || walk_brief(record, bytes + 8, &desc)))
			wrong = "taken with another size";
		other.kind = RONDE_KIND_ALLGATHER;
		if (!wrong && walk_brief(record, bytes, &other))
			wrong = "taken for an operation with rows of each rank's own";
		other.kind = RONDE_KIND_ALLREDUCE, other.ndim = 1, other.dtype = RONDE_FLOAT64;
		other.dims[0] = 1 + (int64_t)bytes;
		if (!wrong && walk_brief(record, bytes, &other))
			wrong = "taken for a tensor of another size";
		bytes = damage(&seed, record, bytes);
		others += !walk_brief(record, bytes, &desc);
	}
	ck_assert_msg(!wrong, "seed %u, entry %d: %s", seed_of(_i), k, wrong);
	ck_assert_int_gt(others, 100);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{entries_come_back, 0, 3},
		{damaged_entries, 0, 6},
		{entries_refused, ONCE},
		{brief_entries, 0, 3},
	};
	return SUITE_RUN("entry", 100, tests);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/entry.h"

#include "collectives/arena.h"
#include "coordinator/directory.h"

static bool read_definition(struct ronde_reader *r, struct ronde_defined *d)
{
	struct ronde_definition head;
	const void *from = ronde_read(r, sizeof head);
	if (!from)
		return false;
	memcpy(&head, from, sizeof head);
	if (!ronde_desc_read(r, &d->desc) || head.key.name_bytes > RONDE_MAX_NAME)
		return false;
	const char *name = ronde_read(r, head.key.name_bytes);
	if (!name || head.key.kind != d->desc.kind || head.key.set != d->desc.set ||
	    head.key.named != (head.key.name_bytes != 0))
		return false;
	d->slot = (struct ronde_slot_name){head.slot, head.generation};
	if (head.key.named)
		ronde_key_set(&d->key, (enum ronde_kind)head.key.kind, head.key.set, name,
			      head.key.name_bytes, 0);
	else
		ronde_pattern_key(&d->key, &d->desc);
	return true;
}

void ronde_entry_next(struct ronde_reader *definitions, struct ronde_defined *defined)
{
	read_definition(definitions, defined);
}

static bool read_slots(struct ronde_reader *r, const struct ronde_entry_limits *limits,
		       struct ronde_entry_view *v)
{
	v->evictions = ronde_read(r, v->head->evictions * sizeof *v->evictions);
	if (!v->evictions)
		return false;
	for (uint32_t i = 0; i < v->head->evictions; i++)
		if (v->evictions[i].slot >= limits->slots)
			return false;
	v->definitions = *r;
	struct ronde_defined d;
	for (uint32_t i = 0; i < v->head->definitions; i++) {
		if (!read_definition(r, &d))
			return false;
		if (d.slot.slot >= limits->slots &&
		    (d.slot.slot != RONDE_NO_SLOT || !d.key.head.named))
			return false;
	}
	return true;
}

static bool good_item(const struct ronde_entry_view *v, const struct ronde_item *item,
		      const struct ronde_entry_limits *limits)
{
	uint64_t element = ronde_dtype_bytes((ronde_dtype)v->like.dtype);
	if (item->named > 1 || item->count > (uint64_t)INT64_MAX / element)
		return false;
	if (!item->named)
		return item->definition == 0;
	return item->definition ? item->definition <= v->head->definitions
				: item->slot < limits->slots;
}

/* *data: bytes of the items' results, were they carried. */
static bool read_items(struct ronde_reader *r, const struct ronde_entry_limits *limits,
		       struct ronde_entry_view *v, uint64_t *data)
{
	const uint64_t element = ronde_dtype_bytes((ronde_dtype)v->like.dtype);
	v->items = ronde_read(r, v->head->items * sizeof *v->items);
	if (!v->items || v->head->items == 0)
		return false;
	*data = 0;
	for (uint32_t i = 0; i < v->head->items; i++) {
		if (!good_item(v, &v->items[i], limits))
			return false;
		if (v->like.kind != RONDE_KIND_BARRIER)
			*data += ronde_wire_pad(v->items[i].count * element);
		if (*data > (uint64_t)INT64_MAX)
			return false;
	}
	return true;
}

static bool read_data(struct ronde_reader *r, const struct ronde_entry_limits *limits,
		      struct ronde_entry_view *v, uint64_t carried)
{
	const struct ronde_entry *head = v->head;
	if (head->path == RONDE_PATH_CARRIED)
		return head->lane == -1 && head->payload_bytes == carried;
	if (head->payload_bytes || head->lane < 0 || (uint32_t)head->lane >= limits->lanes ||
	    head->chunk_bytes == 0 || head->chunk_bytes > limits->chunk_bytes ||
	    head->chunk_bytes % RONDE_CACHE_LINE)
		return false;
	if (head->path == RONDE_PATH_ZERO_COPY)
		v->locations = ronde_read(r, (size_t)head->items * (size_t)limits->members *
						     sizeof *v->locations);
	return head->path <= RONDE_PATH_STAGED;
}

static bool is_text(const struct ronde_entry_view *v)
{
	return v->payload && v->head->payload_bytes && v->payload[v->head->payload_bytes - 1] == 0;
}

static bool read_absent(struct ronde_reader *r, const struct ronde_entry_limits *limits,
			struct ronde_entry_view *v)
{
	if (v->head->absent >= (uint32_t)limits->members || v->head->divisor < 1 ||
	    v->head->divisor > limits->ranks)
		return false;
	v->absent = ronde_read(r, v->head->absent * sizeof *v->absent);
	for (uint32_t i = 0; v->absent && i < v->head->absent; i++)
		if (v->absent[i] >= (uint32_t)limits->members ||
		    (i && v->absent[i] <= v->absent[i - 1]))
			return false;
	return v->absent != NULL;
}

bool ronde_entry_absent(const struct ronde_entry_view *v, int member)
{
	for (uint32_t i = 0; i < v->head->absent; i++)
		if (v->absent[i] == (uint32_t)member)
			return true;
	return false;
}

/* What an entry with items holds behind its head. */
static bool read_body(struct ronde_reader *r, const struct ronde_entry_limits *limits,
		      struct ronde_entry_view *v)
{
	uint64_t carried;
	memcpy(&v->like, v->head->like, sizeof v->head->like);
	struct ronde_desc scalar = v->like; /* its extents are the items' */
	scalar.ndim = 0;
	if (!ronde_desc_valid(&scalar) || v->like.ndim > RONDE_MAX_DIMS ||
	    v->like.set != limits->set || v->like.root < 0 || v->like.root >= limits->ranks)
		return false;
	if (!read_absent(r, limits, v) || !read_slots(r, limits, v) ||
	    !read_items(r, limits, v, &carried))
		return false;
	if (v->head->type == RONDE_ENTRY_DATA && !read_data(r, limits, v, carried))
		return false;
	v->payload = ronde_read(r, v->head->payload_bytes);
	return v->head->type != RONDE_ENTRY_ERROR || is_text(v);
}

static bool good_ranks(const struct ronde_entry_view *v, const struct ronde_entry_limits *limits)
{
	int32_t before = -1, rank;
	if (v->head->payload_bytes != v->change->ranks * sizeof rank)
		return false;
	for (uint32_t i = 0; i < v->change->ranks; i++) {
		memcpy(&rank, v->payload + i * sizeof rank, sizeof rank);
		if (rank <= before || rank >= limits->ranks)
			return false;
		before = rank;
	}
	return true;
}

static bool read_change(struct ronde_reader *r, const struct ronde_entry_limits *limits,
			struct ronde_entry_view *v)
{
	v->change = ronde_read(r, sizeof *v->change);
	v->payload = ronde_read(r, v->head->payload_bytes);
	if (!v->change || !v->payload || v->change->change > RONDE_SET_NO_MORE)
		return false;
	if (v->change->status)
		return v->change->status < 0 && is_text(v);
	if (v->change->ranks > (uint32_t)limits->ranks ||
	    (v->change->change == RONDE_SET_NO_MORE) != (v->change->set == 0) ||
	    (v->change->change == RONDE_SET_ADD) != (v->change->ranks > 0))
		return false;
	return good_ranks(v, limits);
}

static bool read_notice(struct ronde_reader *r, const struct ronde_entry_limits *limits,
			struct ronde_entry_view *v)
{
	return v->head->evictions == 1 && v->head->definitions == 0 && read_slots(r, limits, v);
}

uint32_t ronde_entry_set(const void *record, size_t bytes)
{
	const struct ronde_entry *head = record;
	struct ronde_desc like;
	if (bytes < sizeof *head ||
	    (head->type != RONDE_ENTRY_DATA && head->type != RONDE_ENTRY_ERROR))
		return 0;
	memcpy(&like, head->like, sizeof head->like);
	return like.set;
}

bool ronde_entry_read(const void *record, size_t bytes, const struct ronde_entry_limits *limits,
		      struct ronde_entry_view *v)
{
	struct ronde_reader r = {record, (const unsigned char *)record + bytes, false};
	*v = (struct ronde_entry_view){.head = ronde_read(&r, sizeof *v->head)};
	if (!v->head || v->head->root < 0 || v->head->root >= limits->ranks)
		return false;
	switch (v->head->type) {
	case RONDE_ENTRY_DATA:
	case RONDE_ENTRY_ERROR:
		return read_body(&r, limits, v) && !r.failed && r.at == r.end;
	case RONDE_ENTRY_NOTICE:
		return read_notice(&r, limits, v) && r.at == r.end;
	case RONDE_ENTRY_SET:
		return read_change(&r, limits, v) && r.at == r.end;
	case RONDE_ENTRY_SHUTDOWN:
	case RONDE_ENTRY_JOINED:
		return r.at == r.end;
	default:
		return false;
	}
}

/* ---- brief entries ---- */

bool ronde_entry_is_brief(const void *record, size_t bytes)
{
	return bytes >= sizeof(struct ronde_brief) && *(const uint8_t *)record == RONDE_ENTRY_BRIEF;
}

bool ronde_brief_read(const void *record, size_t bytes, struct ronde_brief_view *v)
{
	struct ronde_reader r = {record, (const unsigned char *)record + bytes, false};
	*v = (struct ronde_brief_view){.head = ronde_read(&r, sizeof *v->head)};
	if (!v->head || v->head->unnamed > 1 || v->head->pad)
		return false;
	if (v->head->unnamed) {
		const uint64_t *ordinal = ronde_read(&r, sizeof *ordinal);
		if (ordinal)
			v->ordinal = *ordinal;
	}
	v->payload = ronde_read(&r, v->head->payload_bytes);
	return !r.failed && r.at == r.end;
}

bool ronde_brief_expand(const struct ronde_brief_view *brief, const struct ronde_desc *desc,
			struct ronde_brief_entry *e)
{
	uint64_t bytes = desc->kind == RONDE_KIND_BARRIER ? 0 : ronde_desc_data_bytes(desc);
	if (brief->head->payload_bytes != ronde_wire_pad(bytes) ||
	    ronde_kind_has_own_rows((enum ronde_kind)desc->kind))
		return false;
	e->head = (struct ronde_entry){.type = RONDE_ENTRY_DATA,
				       .path = RONDE_PATH_CARRIED,
				       .items = 1,
				       .payload_bytes = brief->head->payload_bytes,
				       .index = brief->head->index,
				       .root = desc->root,
				       .lane = -1,
				       .divisor = 1};
	e->item = (struct ronde_item){.slot = brief->head->slot,
				      .generation = brief->head->generation,
				      .named = !brief->head->unnamed,
				      .ordinal = brief->ordinal,
				      .count = ronde_desc_count(desc)};
	e->view = (struct ronde_entry_view){
		.head = &e->head, .like = *desc, .items = &e->item, .payload = brief->payload};
	return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing entries: evictions and definitions of slots first, so that every rank's directory is
 * right when it comes to the items; then where the tensors lie, or their results.
 */
#include <stdio.h>
#include <stdlib.h>

#include "collectives/algorithms/adasum.h"
#include "coordinator/leader.h"
#include "coordinator/validate.h"

size_t ronde_leader_head_bytes(const struct ronde_ballot *first)
{
	uint32_t absent = (uint32_t)first->set->n - first->heard;
	return sizeof(struct ronde_entry) + ronde_wire_pad(absent * sizeof absent);
}

size_t ronde_leader_item_bytes(const struct ronde_ballot *b, enum ronde_path path)
{
	size_t bytes = sizeof(struct ronde_slot_name) + sizeof(struct ronde_definition) +
		       ronde_desc_bytes(&b->round) + ronde_wire_pad(b->key.head.name_bytes) +
		       sizeof(struct ronde_item);
	if (path == RONDE_PATH_ZERO_COPY)
		bytes += (size_t)b->set->n * sizeof(struct ronde_location);
	if (path == RONDE_PATH_CARRIED && b->round.kind != RONDE_KIND_BARRIER)
		bytes += ronde_wire_pad(ronde_desc_data_bytes(&b->round));
	return bytes;
}

/* What the batch does to the slots, before anything is written. Arrays of at most nbatch. */
struct slots {
	struct ronde_slot_name *evicted;
	struct ronde_ballot **defined; /* ballot or pattern whose definition the entry brings */
	uint32_t *definition;          /* [nbatch] number + 1, or 0 */
	uint32_t evictions, definitions;
};

static void define(struct ronde_leader *l, struct slots *s, struct ronde_ballot *b,
		   bool without_slot)
{
	struct ronde_slot_name evicted = {RONDE_NO_SLOT, 0};
	if (!without_slot)
		ronde_ballots_define(&l->ballots, b, &evicted);
	if (evicted.slot != RONDE_NO_SLOT)
		s->evicted[s->evictions++] = evicted;
	s->defined[s->definitions++] = b;
}

static void define_pattern(struct ronde_leader *l, struct slots *s, struct ronde_ballot *b)
{
	/* Who announced it by a slot has found it already. */
	struct ronde_ballot *pattern = b->votes[0].pattern;
	if (!pattern)
		pattern = ronde_ballots_pattern(&l->ballots, &b->round);
	if (!pattern || pattern->slot.slot != RONDE_NO_SLOT) {
		if (pattern)
			ronde_ballots_touch(&l->ballots, pattern);
		return;
	}
	struct ronde_slot_name evicted;
	if (!ronde_ballots_define(&l->ballots, pattern, &evicted)) {
		ronde_ballots_forget(&l->ballots, pattern);
		return;
	}
	if (evicted.slot != RONDE_NO_SLOT)
		s->evicted[s->evictions++] = evicted;
	s->defined[s->definitions++] = pattern;
	/* This entry's next definitions must not evict it. */
	b->pattern = pattern;
	pattern->heard++;
}

static void assign_slots(struct ronde_leader *l, const struct ronde_decision *d, struct slots *s)
{
	bool error = d->type == RONDE_ENTRY_ERROR;
	for (int i = 0; i < d->nbatch; i++) {
		struct ronde_ballot *b = l->batch[i];
		s->definition[i] = 0;
		if (!b->key.head.named) {
			if (!error)
				define_pattern(l, s, b);
			continue;
		}
		bool known = b->slot.slot != RONDE_NO_SLOT;
		if (known && (error || ronde_desc_equal(&b->round, &b->desc)))
			continue;
		define(l, s, b, error);
		s->definition[i] = s->definitions;
	}
}

static void write_definition(struct ronde_writer *w, const struct ronde_ballot *b)
{
	struct ronde_definition head = {b->slot.slot, b->slot.generation, b->key.head};
	if (b->is_pattern)
		head.key.name_bytes = 0; /* its key is its description */
	ronde_write(w, &head, sizeof head);
	ronde_write(w, &b->round, ronde_desc_bytes(&b->round));
	ronde_write(w, b->key.name, head.key.name_bytes);
}

static void write_item(struct ronde_writer *w, const struct ronde_ballot *b, uint32_t definition)
{
	struct ronde_item item = {.slot = b->slot.slot,
				  .generation = b->slot.generation,
				  .definition = definition,
				  .named = b->key.head.named,
				  .ordinal = b->key.head.ordinal,
				  .count = ronde_desc_count(&b->round)};
	ronde_write(w, &item, sizeof item);
}

static size_t carried_bytes(const struct ronde_leader *l, const struct ronde_decision *d)
{
	size_t bytes = 0;
	for (int i = 0; i < d->nbatch; i++)
		if (l->batch[i]->round.kind != RONDE_KIND_BARRIER)
			bytes += ronde_wire_pad(ronde_desc_data_bytes(&l->batch[i]->round));
	return bytes;
}

/* The same sum as that of an operation over nodes: each node's, then theirs. */
static void reduce_over_nodes(const struct ronde_leader *l, const struct ronde_ballot *b,
			      const struct ronde_reduce_spec *spec, void *result,
			      const void **sources)
{
	const struct ronde_process_set *set = b->set;
	size_t stride = ronde_wire_pad(ronde_desc_data_bytes(&b->round));
	memset(sources, 0, (size_t)set->leaves * sizeof *sources);
	for (int m = 0; m < set->n; m++)
		if (b->votes[m].heard)
			sources[set->leaf[m]] = b->payloads + stride * (size_t)m;
	l->context->kernels->reduce(spec, &result, 1, sources, set->leaves,
				    ronde_desc_count(&b->round));
}

/* The result of a tensor whose data the announcements brought. */
static void reduce_carried(struct ronde_leader *l, struct ronde_ballot *b, unsigned char *result,
			   const void **sources)
{
	const struct ronde_context *ctx = l->context;
	const struct ronde_desc *desc = &b->round;
	size_t bytes = ronde_desc_data_bytes(desc), stride = ronde_wire_pad(bytes);
	if (desc->kind == RONDE_KIND_BROADCAST) {
		int root = ronde_process_set_member(b->set, l->view->local_of_rank[desc->root]);
		memcpy(result, b->payloads + stride * (size_t)root, bytes);
		return;
	}
	struct ronde_reduce_spec spec = {.dtype = (ronde_dtype)desc->dtype,
					 .reduction = (ronde_reduction)desc->reduction,
					 .prescale = desc->prescale,
					 .postscale = desc->postscale,
					 .divisor = ronde_leader_divisor(l, b)};
	if (b->set->leaf && desc->reduction != RONDE_ADASUM) {
		reduce_over_nodes(l, b, &spec, result, sources);
		return;
	}
	for (int m = 0; m < b->set->n; m++)
		sources[m] = b->votes[m].heard ? b->payloads + stride * (size_t)m : NULL;
	if (desc->reduction == RONDE_ADASUM) {
		ronde_adasum_alone(ctx->kernels, spec.dtype, b->set->n, sources,
				   ronde_desc_count(desc), spec.prescale * spec.postscale, result);
		return;
	}
	void *destination = result;
	ctx->kernels->reduce(&spec, &destination, 1, sources, b->set->n, ronde_desc_count(desc));
}

static void write_payload(struct ronde_leader *l, const struct ronde_decision *d,
			  struct ronde_writer *w)
{
	for (int i = 0; i < d->nbatch; i++) {
		struct ronde_ballot *b = l->batch[i];
		size_t bytes =
			b->round.kind == RONDE_KIND_BARRIER ? 0 : ronde_desc_data_bytes(&b->round);
		unsigned char *result = ronde_write_room(w, bytes);
		if (bytes && result)
			reduce_carried(l, b, result, l->sources);
	}
}

static void write_locations(struct ronde_leader *l, const struct ronde_decision *d,
			    struct ronde_writer *w)
{
	for (int i = 0; i < d->nbatch; i++)
		for (int m = 0; m < l->batch[i]->set->n; m++)
			ronde_write(w, &l->batch[i]->votes[m].location,
				    sizeof(struct ronde_location));
}

static void write_text(struct ronde_leader *l, struct ronde_entry *head, struct ronde_writer *w)
{
	char text[2048];
	size_t most = (size_t)(w->end - w->at) - 8;
	const struct ronde_process_set *set = l->batch[0]->set;
	const struct ronde_ballot *b = l->batch[0];
	if (most > sizeof text)
		most = sizeof text;
	if (b->text)
		snprintf(text, most, "%s", b->text);
	else if (b->refused)
		ronde_leader_refusal(b, text, most);
	else
		ronde_mismatch_text(b, set->ranks, set->n, l->view->size, text, most);
	head->payload_bytes = (uint32_t)strlen(text) + 1;
	ronde_write(w, text, head->payload_bytes);
}

/* The members that take no part. */
static uint32_t write_absent(const struct ronde_ballot *b, struct ronde_writer *w)
{
	uint32_t n = (uint32_t)b->set->n - b->heard;
	uint32_t *absent = ronde_write_room(w, n * sizeof *absent);
	for (uint32_t m = 0, k = 0; absent && k < n; m++)
		if (!b->votes[m].heard)
			absent[k++] = m;
	return n;
}

/* The ballot or pattern whose slot says all about the entry to be made but the result, or NULL. */
static struct ronde_ballot *known_by_slot(const struct ronde_leader *l,
					  const struct ronde_decision *d)
{
	struct ronde_ballot *b = l->batch[0];
	if (d->type != RONDE_ENTRY_DATA || d->path != RONDE_PATH_CARRIED || d->nbatch > 1 ||
	    b->heard < (uint32_t)b->set->n)
		return NULL;
	struct ronde_ballot *known = b->key.head.named ? b : b->votes[0].pattern;
	return known && known->slot.slot != RONDE_NO_SLOT &&
			       ronde_desc_equal(&known->desc, &b->round)
		       ? known
		       : NULL;
}

static void append_brief(struct ronde_leader *l, const struct ronde_decision *d,
			 struct ronde_ballot *known)
{
	struct ronde_ballot *b = l->batch[0];
	struct ronde_writer w = {l->record, l->record + l->record_limit, false};
	struct ronde_brief head = {.type = RONDE_ENTRY_BRIEF,
				   .unnamed = !b->key.head.named,
				   .payload_bytes = (uint32_t)carried_bytes(l, d),
				   .index = l->index++,
				   .slot = known->slot.slot,
				   .generation = known->slot.generation};
	ronde_write(&w, &head, sizeof head);
	if (head.unnamed) {
		ronde_write(&w, &b->key.head.ordinal, sizeof b->key.head.ordinal);
		ronde_ballots_touch(&l->ballots, known);
	}
	write_payload(l, d, &w);
	ronde_leader_send_all(l, b->set, (size_t)(w.at - l->record), -1);
	ronde_timeline_decided(l->context, b->set, b, head.index, RONDE_OK);
}

void ronde_leader_append(struct ronde_leader *l, const struct ronde_decision *d)
{
	struct ronde_ballot *known = known_by_slot(l, d);
	if (known) {
		append_brief(l, d, known);
		return;
	}
	const struct ronde_process_set *set = l->batch[0]->set;
	const struct ronde_desc *like = &l->batch[0]->round;
	struct slots s = {
		.evicted = l->evicted, .defined = l->defined, .definition = l->definition};
	assign_slots(l, d, &s);

	struct ronde_writer w = {l->record, l->record + l->record_limit, false};
	struct ronde_entry *head = ronde_write_room(&w, sizeof *head);
	*head = (struct ronde_entry){.type = (uint8_t)d->type,
				     .path = (uint8_t)d->path,
				     .evictions = (uint16_t)s.evictions,
				     .definitions = s.definitions,
				     .items = (uint32_t)d->nbatch,
				     .index = l->index++,
				     .root = like->root,
				     .lane = d->lane,
				     .divisor = ronde_leader_divisor(l, l->batch[0]),
				     .base = d->lane >= 0 ? l->lanes[d->lane].base : 0,
				     .chunk_bytes = d->chunk_bytes};
	memcpy(head->like, like, sizeof head->like);
	head->absent = write_absent(l->batch[0], &w);
	ronde_write(&w, s.evicted, s.evictions * sizeof *s.evicted);
	for (uint32_t i = 0; i < s.definitions; i++)
		write_definition(&w, s.defined[i]);
	for (int i = 0; i < d->nbatch; i++)
		write_item(&w, l->batch[i], s.definition[i]);
	if (d->type == RONDE_ENTRY_ERROR) {
		write_text(l, head, &w);
	} else if (d->path == RONDE_PATH_ZERO_COPY) {
		write_locations(l, d, &w);
	} else if (d->path == RONDE_PATH_CARRIED) {
		head->payload_bytes = (uint32_t)carried_bytes(l, d);
		write_payload(l, d, &w);
	}
	ronde_leader_send_all(l, set, (size_t)(w.at - l->record), d->lane);
	for (int i = 0; i < d->nbatch; i++)
		ronde_timeline_decided(l->context, set, l->batch[i], head->index,
				       d->type == RONDE_ENTRY_ERROR ? RONDE_ERR_MISMATCH
								    : RONDE_OK);
}

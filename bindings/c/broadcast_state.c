/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Optimizer state, of which only the root knows what exists, in three collective steps:
 *
 *   NAME.table   the root's list as two objects: a struct entry for each item, and all names
 *   NAME.agree   allgather of what each rank finds wrong with it, one struct finding a rank: with
 *                all of them every rank comes to the same conclusion and the same text
 *   NAME.item.i  broadcasts of the root's items that exist; the i-th in the root's list
 *
 * Nothing is replaced before the last step: new memory is kept aside until all has arrived. A rank
 * whose own list cannot be right takes part in the first two steps all the same, for the others.
 */
#include "bindings/c/broadcast_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/c/default.h"
#include "bindings/c/flight.h"

/* "NAME.suffix", or NULL for NULL: matched by order. */
static const char *step_name(char *text, size_t bytes, const char *name, const char *suffix)
{
	if (!name)
		return NULL;
	snprintf(text, bytes, "%s.%s", name, suffix);
	return text;
}

/* ---- the root's table ---- */

/* As a list that cannot be right: this rank goes on until all ranks know. */
static void note_no_memory(struct ronde_state_call *c, size_t items)
{
	ronde_first_error_note(&c->broken, ronde_error(RONDE_ERR_OUT_OF_MEMORY,
						       "no memory for a list of %zu items", items));
}

static void fill_table(struct ronde_state_call *c)
{
	char *at = c->names;
	for (size_t i = 0; i < c->count; i++) {
		const ronde_state_item *item = &c->items[i];
		bool exists = *item->data != NULL;
		c->entries[i] = (struct ronde_state_entry){.dtype = item->dtype,
							   .exists = exists,
							   .count = exists ? *item->count : 0,
							   .name = at - c->names};
		at = stpcpy(at, item->name) + 1;
	}
}

static void make_table(struct ronde_state_call *c)
{
	size_t bytes = 0;
	for (size_t i = 0; i < c->count && c->broken.status == RONDE_OK; i++)
		bytes += strlen(c->items[i].name) + 1;
	c->entries = calloc(c->count + 1, sizeof *c->entries);
	c->names = malloc(bytes + 1);
	if (!c->entries || !c->names)
		note_no_memory(c, c->count);
	if (c->broken.status == RONDE_OK) {
		fill_table(c);
		c->table[0] = (ronde_bytes){c->entries, c->count * sizeof *c->entries};
		c->table[1] = (ronde_bytes){c->names, bytes};
		return;
	}
	free(c->names); /* instead of entries and names: what is wrong */
	c->names = strdup(c->broken.text);
	c->table[1] = (ronde_bytes){c->names, c->names ? strlen(c->names) + 1 : 0};
}

static int share_table(struct ronde_state_call *c)
{
	char text[RONDE_MAX_NAME + 1];
	ronde_bytes table[2];
	memcpy(table, c->table, sizeof table);
	int status = ronde_broadcast_objects(step_name(text, sizeof text, c->name, "table"), table,
					     2, c->root, c->options.process_set);
	if (status != RONDE_OK)
		return status;
	if (c->rank != c->root) {
		c->entries = table[0].data;
		c->names = table[1].data;
	}
	c->listed = table[0].bytes / sizeof *c->entries;
	if (c->listed == 0 && table[1].bytes > 0)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT, "%s", c->names);
	c->mine = calloc(c->listed + 1, sizeof *c->mine);
	c->memory = calloc(c->listed + 1, sizeof *c->memory);
	if (!c->mine || !c->memory)
		note_no_memory(c, c->listed);
	return RONDE_OK;
}

/* ---- the elements ---- */

static int receive(const struct ronde_state_call *c)
{
	struct ronde_flight flight;
	ronde_options on = RONDE_OPTIONS_INIT;
	on.process_set = c->options.process_set;
	int status = ronde_flight_init(&flight, c->listed);
	if (status != RONDE_OK)
		return status;
	for (size_t i = 0; i < c->listed; i++) {
		char text[RONDE_MAX_NAME + 1], suffix[40];
		const struct ronde_state_entry *e = &c->entries[i];
		ronde_handle handle = 0;
		if (e->count == 0)
			continue;
		snprintf(suffix, sizeof suffix, "item.%zu", i);
		status = ronde_broadcast_async(step_name(text, sizeof text, c->name, suffix),
					       c->memory[i], c->memory[i], e->count,
					       (ronde_dtype)e->dtype, c->root, &on, &handle);
		ronde_flight_add(&flight, status, handle);
	}
	return ronde_flight_land(&flight);
}

static void replace(const struct ronde_state_call *c)
{
	for (size_t i = 0; i < c->listed; i++) {
		void **data = c->mine[i]->data;
		if (*data && *data != c->memory[i])
			c->options.release(*data, c->options.arg);
		*data = c->memory[i];
		*c->mine[i]->count = c->entries[i].count;
	}
}

static void give_up(const struct ronde_state_call *c)
{
	for (size_t i = 0; i < c->listed && c->mine && c->memory; i++)
		if (c->memory[i] && c->memory[i] != *c->mine[i]->data)
			c->options.release(c->memory[i], c->options.arg);
}

/* ---- the call ---- */

static int take_part(struct ronde_state_call *c)
{
	if (c->rank == c->root)
		make_table(c);
	int status = share_table(c);
	if (status == RONDE_OK)
		status = ronde_state_agree(c);
	if (status == RONDE_OK)
		status = receive(c);
	if (c->rank == c->root)
		return status;
	if (status == RONDE_OK)
		replace(c);
	else
		give_up(c);
	return status;
}

static void *plain_alloc(size_t bytes, void *arg)
{
	(void)arg;
	return malloc(bytes);
}

static void plain_release(void *memory, void *arg)
{
	(void)arg;
	free(memory);
}

static int read_options(struct ronde_state_call *c, const ronde_state_options *options)
{
	c->options = (ronde_state_options)RONDE_STATE_OPTIONS_INIT;
	if (options && options->size < sizeof *options)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "ronde_broadcast_state: the options' size is %zu; start from "
				   "RONDE_STATE_OPTIONS_INIT",
				   options->size);
	if (options)
		c->options = *options;
	if (!c->options.alloc != !c->options.release)
		return ronde_error(
			RONDE_ERR_INVALID_ARGUMENT,
			"ronde_broadcast_state: give both alloc and release, or neither");
	if (!c->options.alloc) {
		c->options.alloc = plain_alloc;
		c->options.release = plain_release;
	}
	if (c->name && strnlen(c->name, RONDE_MAX_NAME) > RONDE_MAX_NAME - RONDE_STATE_SUFFIX)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "ronde_broadcast_state: the name \"%.40s…\" has more than %d "
				   "bytes",
				   c->name, RONDE_MAX_NAME - RONDE_STATE_SUFFIX);
	return RONDE_OK;
}

int ronde_broadcast_state(const char *name, const ronde_state_item *items, size_t count, int root,
			  const ronde_state_options *options)
{
	int status = ronde_default_check("ronde_broadcast_state");
	if (status != RONDE_OK)
		return status;
	struct ronde_state_call c = {.name = name,
				     .items = items,
				     .count = count,
				     .rank = ronde_rank(),
				     .root = root,
				     .broken = {.status = RONDE_OK}};
	status = c.rank < 0 ? c.rank : read_options(&c, options);
	if (status != RONDE_OK)
		return status;
	ronde_first_error_note(&c.broken, ronde_state_sort(&c));
	status = take_part(&c);
	if (c.broken.status != RONDE_OK)
		status = ronde_first_error_return(&c.broken);
	free(c.entries);
	free(c.names);
	free(c.mine);
	free(c.memory);
	free(c.sorted);
	return status;
}

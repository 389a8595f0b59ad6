/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects, each of bytes whose number only the root knows, in three collective steps:
 *
 *   NAME.length  broadcast of the numbers of bytes; -1: the root's arguments are wrong
 *   NAME.memory  allreduce (Min) of "the first rank that has no memory for them"
 *   NAME.bytes   one broadcast an object that has any, all in flight at once, if every rank has the
 *                memory; of several objects NAME.bytes.0, NAME.bytes.1, …
 *
 * The second makes all ranks agree whether there is a third: a rank without memory cannot take part
 * in it, and the others would wait for it.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/c/default.h"
#include "bindings/c/flight.h"

#define NOBODY INT64_MAX

/* A call: what all its steps need. */
struct call {
	const char *function, *name;
	int rank, root;
	size_t count;
	ronde_bytes *given; /* [count], of the caller */
	int64_t *lengths;   /* [count], of the root */
	void **memory;      /* [count], NULL where there are no bytes */
	ronde_options on;   /* the process set */
};

/* "NAME.suffix", or NULL for NULL: matched by order. */
static const char *step_name(char *text, size_t bytes, const struct call *c, const char *suffix)
{
	if (!c->name)
		return NULL;
	snprintf(text, bytes, "%s.%s", c->name, suffix);
	return text;
}

static const char *shown(const struct call *c)
{
	return c->name ? c->name : "(unnamed)";
}

static int check_arguments(struct call *c)
{
	char longest[40] = ".length";
	if (c->count > 1)
		snprintf(longest, sizeof longest, ".bytes.%zu", c->count - 1);
	if (c->name && strnlen(c->name, RONDE_MAX_NAME + 1) + strlen(longest) > RONDE_MAX_NAME)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "the name \"%.40s…\" has %zu bytes: %s() adds \"%s\" to it and "
				   "names have at most %d",
				   c->name, strlen(c->name), c->function, longest, RONDE_MAX_NAME);
	if (c->given || c->count == 0)
		return RONDE_OK;
	return ronde_error(RONDE_ERR_INVALID_ARGUMENT, "%s: the list of %zu objects is NULL",
			   c->function, c->count);
}

static bool is_valid(const ronde_bytes *object)
{
	return object->bytes <= INT64_MAX && (object->data || object->bytes == 0);
}

/* Of the root's objects the first that cannot be. */
static int describe_invalid(const struct call *c)
{
	size_t i = 0;
	while (i + 1 < c->count && c->lengths[i] >= 0)
		i++;
	if (c->rank != c->root)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "the root, rank %d, gave %s() no valid bytes for \"%s\"",
				   c->root, c->function, shown(c));
	return ronde_error(RONDE_ERR_INVALID_ARGUMENT, "%s() was given %zu bytes, but %s",
			   c->function, c->given[i].bytes,
			   c->given[i].data ? "2^63 - 1 is the most" : "data is NULL");
}

/* Sends or learns the lengths. A root with wrong arguments tells the others before it fails. */
static int agree_on_lengths(struct call *c)
{
	char text[RONDE_MAX_NAME + 1];
	const char *step = step_name(text, sizeof text, c, "length");
	ronde_handle handle;
	for (size_t i = 0; i < c->count && c->rank == c->root; i++)
		c->lengths[i] = is_valid(&c->given[i]) ? (int64_t)c->given[i].bytes : -1;
	int status = ronde_broadcast_async(step, c->lengths, c->lengths, (int64_t)c->count,
					   RONDE_INT64, c->root, &c->on, &handle);
	if (status == RONDE_OK)
		status = ronde_wait(handle);
	for (size_t i = 0; i < c->count && status == RONDE_OK; i++)
		if (c->lengths[i] < 0)
			status = describe_invalid(c);
	return status;
}

/* All ranks learn whether all have memory; if not, which rank has not. */
static int agree_on_memory(const struct call *c, bool enough)
{
	char text[RONDE_MAX_NAME + 1];
	const char *step = step_name(text, sizeof text, c, "memory");
	int64_t lacking = enough ? NOBODY : c->rank, total = 0;
	ronde_handle handle;
	int status = ronde_allreduce_async(step, &lacking, &lacking, 1, RONDE_INT64, RONDE_MIN,
					   &c->on, &handle);
	if (status == RONDE_OK)
		status = ronde_wait(handle);
	if (status != RONDE_OK || lacking == NOBODY)
		return status;
	for (size_t i = 0; i < c->count; i++)
		total = total > INT64_MAX - c->lengths[i] ? INT64_MAX : total + c->lengths[i];
	return ronde_error(RONDE_ERR_OUT_OF_MEMORY,
			   "rank %" PRId64 " has no memory for the %" PRId64 " bytes of \"%s\"",
			   lacking, total, shown(c));
}

static int get_memory(struct call *c)
{
	bool enough = true, any = false;
	for (size_t i = 0; i < c->count; i++) {
		if (c->lengths[i] == 0)
			continue;
		c->memory[i] =
			c->rank == c->root ? c->given[i].data : malloc((size_t)c->lengths[i]);
		enough = enough && c->memory[i];
		any = true;
	}
	return any ? agree_on_memory(c, enough) : RONDE_OK;
}

static int send_bytes(const struct call *c)
{
	struct ronde_flight flight;
	int status = ronde_flight_init(&flight, c->count);
	if (status != RONDE_OK)
		return status;
	for (size_t i = 0; i < c->count; i++) {
		char text[RONDE_MAX_NAME + 1], suffix[40] = "bytes";
		ronde_handle handle = 0;
		if (c->lengths[i] == 0)
			continue;
		if (c->count > 1)
			snprintf(suffix, sizeof suffix, "bytes.%zu", i);
		status = ronde_broadcast_async(step_name(text, sizeof text, c, suffix),
					       c->memory[i], c->memory[i], c->lengths[i],
					       RONDE_UINT8, c->root, &c->on, &handle);
		ronde_flight_add(&flight, status, handle);
	}
	return ronde_flight_land(&flight);
}

static int broadcast(struct call *c)
{
	int status = agree_on_lengths(c);
	if (status == RONDE_OK)
		status = get_memory(c);
	if (status == RONDE_OK)
		status = send_bytes(c);
	for (size_t i = 0; i < c->count && c->rank != c->root; i++) {
		if (status == RONDE_OK)
			c->given[i] = (ronde_bytes){c->memory[i], (size_t)c->lengths[i]};
		else
			free(c->memory[i]);
	}
	return status;
}

static int call(const char *function, const char *name, ronde_bytes *objects, size_t count,
		int root, int process_set)
{
	int status = ronde_default_check(function);
	if (status != RONDE_OK)
		return status;
	struct call c = {.function = function,
			 .name = name,
			 .rank = ronde_rank(),
			 .root = root,
			 .count = count,
			 .given = objects,
			 .on = RONDE_OPTIONS_INIT};
	c.on.process_set = process_set;
	status = c.rank < 0 ? c.rank : check_arguments(&c);
	if (status != RONDE_OK)
		return status;
	c.lengths = calloc(count + 1, sizeof *c.lengths);
	c.memory = calloc(count + 1, sizeof *c.memory);
	if (c.lengths && c.memory)
		status = broadcast(&c);
	else
		status = ronde_error(RONDE_ERR_OUT_OF_MEMORY, "%s: no memory for %zu objects",
				     function, count);
	free(c.lengths);
	free(c.memory);
	return status;
}

int ronde_broadcast_objects(const char *name, ronde_bytes *objects, size_t count, int root,
			    int process_set)
{
	return call("ronde_broadcast_objects", name, objects, count, root, process_set);
}

int ronde_broadcast_bytes(const char *name, void **data, size_t *bytes, int root)
{
	int status = ronde_default_check("ronde_broadcast_bytes");
	if (status != RONDE_OK)
		return status;
	if (!data || !bytes)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "ronde_broadcast_bytes() needs a place for both data and bytes; "
				   "%s is NULL",
				   data ? "bytes" : "data");
	ronde_bytes one = {*data, *bytes};
	status = call("ronde_broadcast_bytes", name, &one, 1, root, 0);
	if (status == RONDE_OK) {
		*data = one.data;
		*bytes = one.bytes;
	}
	return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes whose number only the root knows, in three collective steps:
 *
 *   NAME.length  broadcast of the number of bytes; -1: the root's arguments are wrong
 *   NAME.memory  allreduce (Min) of "the first rank that has no memory for them"
 *   NAME.bytes   broadcast of the bytes, if there are any and every rank has the memory
 *
 * The second makes all ranks agree whether there is a third: a rank without memory cannot take part
 * in it, and the others would wait for it.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/status.h"

#define LONGEST_SUFFIX ".length"
#define NOBODY INT64_MAX

/* "NAME.suffix", or NULL for NULL: matched by order. */
static const char *step_name(char *text, size_t bytes, const char *name, const char *suffix)
{
	if (!name)
		return NULL;
	snprintf(text, bytes, "%s.%s", name, suffix);
	return text;
}

static int check_arguments(const char *name, void *const *data, const size_t *bytes)
{
	if (!data || !bytes)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "ronde_broadcast_bytes() needs a place for both data and bytes; "
				   "%s is NULL",
				   data ? "bytes" : "data");
	if (name && strlen(name) + strlen(LONGEST_SUFFIX) > RONDE_MAX_NAME)
		return ronde_error(
			RONDE_ERR_INVALID_ARGUMENT,
			"the name \"%.40s…\" has %zu bytes: ronde_broadcast_bytes() adds "
			"\"" LONGEST_SUFFIX "\" to it and names have at most %d",
			name, strlen(name), RONDE_MAX_NAME);
	return RONDE_OK;
}

/* Sends or learns the length. A root with wrong arguments tells the others before it fails. */
static int agree_on_length(const char *name, int root, int rank, void *const *data,
			   const size_t *bytes, int64_t *length)
{
	char text[RONDE_MAX_NAME + 1];
	const char *step = step_name(text, sizeof text, name, "length");
	if (rank == root) {
		bool good = *bytes <= INT64_MAX && (*data || *bytes == 0);
		*length = good ? (int64_t)*bytes : -1;
	}
	int status = ronde_broadcast(step, length, length, 1, RONDE_INT64, root);
	if (status != RONDE_OK || *length >= 0)
		return status;
	if (rank == root)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "ronde_broadcast_bytes() was given %zu bytes, but %s", *bytes,
				   *data ? "2^63 - 1 is the most" : "data is NULL");
	return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
			   "the root, rank %d, gave ronde_broadcast_bytes() no valid bytes for "
			   "\"%s\"",
			   root, name ? name : "(unnamed)");
}

/* All ranks learn whether all have memory; if not, which rank has not. */
static int agree_on_memory(const char *name, int rank, const void *memory, int64_t length)
{
	char text[RONDE_MAX_NAME + 1];
	const char *step = step_name(text, sizeof text, name, "memory");
	int64_t lacking = memory ? NOBODY : rank;
	int status = ronde_allreduce(step, &lacking, &lacking, 1, RONDE_INT64, RONDE_MIN);
	if (status != RONDE_OK || lacking == NOBODY)
		return status;
	return ronde_error(RONDE_ERR_OUT_OF_MEMORY,
			   "rank %" PRId64 " has no memory for the %" PRId64 " bytes of \"%s\"",
			   lacking, length, name ? name : "(unnamed)");
}

int ronde_broadcast_bytes(const char *name, void **data, size_t *bytes, int root)
{
	int rank = ronde_rank();
	int status = rank < 0 ? rank : check_arguments(name, data, bytes);
	if (status != RONDE_OK)
		return status;
	int64_t length = 0;
	status = agree_on_length(name, root, rank, data, bytes, &length);
	if (status != RONDE_OK)
		return status;
	void *memory = NULL;
	if (length > 0) {
		memory = rank == root ? *data : malloc((size_t)length);
		status = agree_on_memory(name, rank, memory, length);
	}
	if (length > 0 && status == RONDE_OK) {
		char text[RONDE_MAX_NAME + 1];
		status = ronde_broadcast(step_name(text, sizeof text, name, "bytes"), memory,
					 memory, length, RONDE_UINT8, root);
	}
	if (rank == root)
		return status;
	if (status != RONDE_OK) {
		free(memory);
		return status;
	}
	*data = memory;
	*bytes = (size_t)length;
	return RONDE_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/schedules/block.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GUARD_BYTES 64
#define GUARD 0xa5

static void *get_memory(const struct port *port, void *to, bool heap, size_t bytes)
{
	void *memory = heap ? port->alloc(to, bytes) : malloc(bytes);
	if (!memory) {
		fprintf(stderr, "no memory for %zu bytes: %s\n", bytes, ronde_error_message());
		abort();
	}
	return memory;
}

void block_make(const struct port *port, void *to, struct block *b, bool heap, size_t offset,
		size_t bytes)
{
	*b = (struct block){.offset = offset, .bytes = bytes, .heap = heap};
	b->base = get_memory(port, to, heap, GUARD_BYTES + offset + bytes + GUARD_BYTES);
	b->data = b->base + GUARD_BYTES + offset;
	memset(b->base, GUARD, GUARD_BYTES + offset);
	memset(b->data, BLOCK_UNTOUCHED, bytes);
	memset(b->data + bytes, GUARD, GUARD_BYTES);
}

bool block_guarded(const struct block *b)
{
	size_t before = GUARD_BYTES + b->offset;
	for (size_t i = 0; b->base && i < before; i++)
		if (b->base[i] != GUARD)
			return false;
	for (size_t i = 0; b->base && i < GUARD_BYTES; i++)
		if (b->data[b->bytes + i] != GUARD)
			return false;
	return true;
}

void block_free(const struct port *port, void *to, struct block *b)
{
	if (b->heap && b->base)
		must(port->free(to, b->base), "free");
	else
		free(b->base);
	b->base = NULL;
}

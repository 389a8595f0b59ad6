/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for a tensor, of either kind and at any alignment, with guards on both sides. */
#ifndef RONDE_TESTS_SCHEDULES_BLOCK_H
#define RONDE_TESTS_SCHEDULES_BLOCK_H

#include "tests/schedules/port.h"

struct block {
	unsigned char *base, *data; /* base NULL: there is none */
	size_t offset, bytes;
	bool heap;
};

/* Every byte of data is BLOCK_UNTOUCHED. Aborts if there is no memory. */
#define BLOCK_UNTOUCHED 0x5e
void block_make(const struct port *port, void *to, struct block *block, bool heap, size_t offset,
		size_t bytes);
/* True if nothing was written beside data; true for no block. */
bool block_guarded(const struct block *block);
void block_free(const struct port *port, void *to, struct block *block);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What every bootstrap must do: exchange parts of all kinds of sizes, many times. */
#ifndef RONDE_TESTS_EXCHANGE_H
#define RONDE_TESTS_EXCHANGE_H

#include <stdlib.h>
#include <string.h>

#include "collectives/bootstrap.h"

static inline unsigned char part_byte(int rank, int round, size_t i)
{
	return (unsigned char)(rank * 37 + round * 11 + (int)i);
}

/* One exchange of `bytes` bytes per rank. 0, or a line number. */
static inline int exchange_round(struct ronde_bootstrap *b, int round, size_t bytes)
{
	unsigned char *mine = malloc(bytes + 1), *all = malloc(bytes * (size_t)b->size + 1);
	int bad = 0;
	for (size_t i = 0; i < bytes; i++)
		mine[i] = part_byte(b->rank, round, i);
	memset(all, 0xee, bytes * (size_t)b->size + 1);
	if (b->ops->exchange(b, mine, all, bytes))
		bad = __LINE__;
	for (int r = 0; r < b->size && !bad; r++)
		for (size_t i = 0; i < bytes && !bad; i++)
			if (all[(size_t)r * bytes + i] != part_byte(r, round, i))
				bad = __LINE__;
	if (all[bytes * (size_t)b->size] != 0xee)
		bad = __LINE__;
	free(mine);
	free(all);
	return bad;
}

/* Many rounds of all kinds of sizes. 0, or a line number. */
static inline int exchange_rounds(struct ronde_bootstrap *b, int rounds)
{
	static const size_t sizes[] = {1, 8, 0, 3, 4096, 64, 5000};
	int bad = 0;
	for (int i = 0; i < rounds && !bad; i++)
		bad = exchange_round(b, i, sizes[(size_t)i % (sizeof sizes / sizeof *sizes)]);
	return bad;
}

#endif

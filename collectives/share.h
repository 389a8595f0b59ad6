/* SPDX-License-Identifier: Apache-2.0 */
/* How the rows of a reducescatter are shared out: the first members get one more each. */
#ifndef RONDE_SHARE_H
#define RONDE_SHARE_H

#include <stdint.h>

/* Consecutive rows, bytes or elements of a tensor. */
struct ronde_share {
	uint64_t first, count;
};

/* Member's share of `rows` rows that n members share: of 8 rows 3, 3 and 2. */
static inline struct ronde_share ronde_share_rows(uint64_t rows, int n, int member)
{
	uint64_t m = (uint64_t)member;
	uint64_t each = rows / (uint64_t)n, more = rows % (uint64_t)n;
	return (struct ronde_share){m * each + (m < more ? m : more), each + (m < more)};
}

/* The same in bytes. Member 0 never has less than another. */
static inline struct ronde_share ronde_share_bytes(uint64_t rows, uint64_t row_bytes, int n,
						   int member)
{
	struct ronde_share share = ronde_share_rows(rows, n, member);
	return (struct ronde_share){share.first * row_bytes, share.count * row_bytes};
}

#endif

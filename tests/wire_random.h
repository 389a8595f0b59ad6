/* SPDX-License-Identifier: Apache-2.0 */
/* Random parts of records, and damage done to records; from a seed that failing tests print. */
#ifndef RONDE_TESTS_WIRE_RANDOM_H
#define RONDE_TESTS_WIRE_RANDOM_H

#include "tests/wire_walk.h"

static inline unsigned seed_of(int i)
{
	return 20261122u + (unsigned)i;
}

static inline uint64_t below(unsigned *seed, uint64_t n)
{
	uint64_t high = (uint64_t)rand_r(seed);
	return (high << 31 | (uint64_t)rand_r(seed)) % n;
}

static inline struct ronde_desc random_desc(unsigned *seed)
{
	struct ronde_desc d = {.kind = (uint8_t)below(seed, RONDE_KIND_COUNT),
			       .dtype = (uint8_t)below(seed, RONDE_DTYPE_COUNT),
			       .reduction = (uint8_t)below(seed, RONDE_REDUCTION_COUNT),
			       .ndim = (uint8_t)below(seed, RONDE_MAX_DIMS + 1),
			       .root = (int)below(seed, 3),
			       .prescale = 0.25 * (double)below(seed, 9),
			       .postscale = 1};
	for (int i = 0; i < d.ndim; i++)
		d.dims[i] = (int64_t)below(seed, 5);
	return d;
}

/* Of any bytes but zero. */
static inline size_t random_name(unsigned *seed, char *name)
{
	size_t n = below(seed, 4) ? 1 + below(seed, 30) : 1 + below(seed, RONDE_MAX_NAME);
	for (size_t i = 0; i < n; i++)
		name[i] = (char)(1 + below(seed, 255));
	name[n] = 0;
	return n;
}

static inline void random_bytes(unsigned *seed, unsigned char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		bytes[i] = (unsigned char)rand_r(seed);
}

#define RECORD_BYTES 16384

/* A few bytes changed, cut or added. */
static inline size_t damage(unsigned *seed, unsigned char *record, size_t bytes)
{
	static const unsigned char likely[] = {0, 1, 2, 3, 0x7f, 0x80, 0xff};
	switch (below(seed, 4)) {
	case 0:
		return below(seed, bytes + 1);
	case 1:
		random_bytes(seed, record + bytes, 64);
		return bytes + 8 * (1 + below(seed, 8));
	default:
		for (uint64_t n = 1 + below(seed, 4); n > 0; n--) {
			/* Mostly where the head is. */
			size_t span = below(seed, 3) && bytes > 96 ? 96 : bytes;
			record[below(seed, span)] = below(seed, 2) ? likely[below(seed, 7)]
								   : (unsigned char)rand_r(seed);
		}
		return bytes;
	}
}

#endif

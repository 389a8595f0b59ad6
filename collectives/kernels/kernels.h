/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reduction and conversion loops, one set per instruction set, bit-identical to each other.
 *
 * They block nowhere, allocate nothing, keep no pointer, and write nothing outside [dst, dst +
 * count). Pointers need no alignment. They run under the default MXCSR (the engine sees to that).
 */
#ifndef RONDE_KERNELS_H
#define RONDE_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ronde/ronde.h"

/*
 * A reduction of many sources in two steps gives the bits of one in one step if each first step
 * takes a subtree of the tree over all sources, and at least two sources are there in all.
 */
enum ronde_reduce_part {
	RONDE_REDUCE_WHOLE = 0,
	RONDE_REDUCE_PARTIAL, /* scales and combines sources; the result stays in the working type
			       */
	RONDE_REDUCE_FINISH   /* combines such results, and makes of them what WHOLE gives */
};

/* What a reduction does to every element. The same on all ranks: it comes from the schedule's
 * entry. */
struct ronde_reduce_spec {
	ronde_dtype dtype;
	ronde_reduction reduction; /* ADASUM is not a kernel's business */
	double prescale;           /* every input is multiplied by it first */
	double postscale;          /* the result is multiplied by it last */
	int divisor; /* AVERAGE: how many ranks the sum is divided by; else not read */
	/*
	 * The destinations are no sources and are not read soon: they are written past the caches.
	 * Does not change the result.
	 */
	bool streaming;
	enum ronde_reduce_part part;
};

/* Bytes of an element of a partial result: of float32 for 16-bit floats, of float64 for averages of
 * integers, else of the type. */
size_t ronde_partial_bytes(const struct ronde_reduce_spec *spec);

struct ronde_kernels {
	const char *name; /* "c", "avx2", "avx512", "neon" */

	/*
	 * For every i < count: r = reduction of sources[0][i] … sources[nsource-1][i] in the fixed
	 * association of a binary tree over the index, low bit first, ((s0+s1)+(s2+s3)); a NULL
	 * source is an absent leaf that passes through (at least one is present). Then every
	 * destination[k][i] = r. A destination may be identical to a source; any other overlap is
	 * not allowed. 16-bit floats are read, scaled and added as float32 and rounded once, at the
	 * end.
	 */
	void (*reduce)(const struct ronde_reduce_spec *spec, void *const *destinations,
		       int ndestination, const void *const *sources, int nsource, size_t count);

	/*
	 * destination[i] = source[i] converted between FLOAT16, BFLOAT16, FLOAT32 and FLOAT64,
	 * rounded to nearest even. Not in place. float64 to 16 bits goes through float32. No other
	 * types.
	 */
	void (*convert)(void *destination, ronde_dtype to, const void *source, ronde_dtype from,
			size_t count);

	/* memcpy() past the caches (stream.h). */
	void (*stream)(void *destination, const void *source, size_t bytes);
};

/*
 * The best set this processor has; at most `cap` if that is "c", "avx2", "avx512" ("c", "neon" on
 * aarch64), NULL or "": no cap. Returns NULL, with the error described, if cap names no known
 * set or one this processor lacks.
 */
const struct ronde_kernels *ronde_kernels_select(const char *cap);

/* All sets this processor can run, best first; *count of them. For tests, benchmarks and
 * ronde-info. */
const struct ronde_kernels *const *ronde_kernels_available(size_t *count);

#endif

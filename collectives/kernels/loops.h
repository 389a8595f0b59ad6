/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What differs between instruction sets: plain loops over one stretch of memory. reduce.c builds
 * everything else from them, once for all sets.
 *
 * Every loop reads element i of its inputs before it writes element i of its outputs, and an output
 * may be identical to an input. Pointers need no alignment. NULL in a table: there is no such loop.
 */
#ifndef RONDE_LOOPS_H
#define RONDE_LOOPS_H

#include <stddef.h>

#include "collectives/kernels/exact.h"
#include "ronde/ronde.h"

/*
 * Combines nsource = 2 or 4 sources as (s0·s1) or (s0·s1)·(s2·s3) into `first`, and with 2 sources
 * also into `second` unless that is NULL (which it is with 4).
 */
typedef void (*ronde_combine_fn)(void *first, void *second, const void *const *sources, int nsource,
				 size_t count);

/* (a·prescale + b·prescale)·postscale into `first` and, unless that is NULL, into `second`. */
typedef void (*ronde_sum2_fn)(void *first, void *second, const void *a, const void *b,
			      double prescale, double postscale, size_t count);

/* What stream2 writes at once; whole cache lines. */
#define RONDE_RUN_BYTES 128

/* Element by element from one memory to another; what `factor` and `divisor` do is said below. */
typedef void (*ronde_map_fn)(void *destination, const void *source, double factor, double divisor,
			     size_t count);

struct ronde_loops {
	/* In the type itself, unscaled. Not for the 16-bit floats and bool. */
	ronde_combine_fn combine[RONDE_DTYPE_COUNT][RONDE_REDUCTION_COUNT];
	/* The sum of two with scales, in one pass. Floating-point types. */
	ronde_sum2_fn sum2[RONDE_DTYPE_COUNT];
	/*
	 * The same past the caches, line by line; ronde_stream_end() must follow. The destinations
	 * begin with a cache line and are no sources; count makes whole RONDE_RUN_BYTES.
	 */
	ronde_sum2_fn stream2[RONDE_DTYPE_COUNT];
	/* T → T, times factor. Not for the 16-bit floats; bool: any non-zero byte becomes 1. */
	ronde_map_fn scale[RONDE_DTYPE_COUNT];
	/* T → the type reductions work in: float32 for 16-bit floats, float64 for integers. */
	ronde_map_fn widen[RONDE_DTYPE_COUNT];
	/* Back: times factor, integers also divided by divisor; rounded, or cut and saturated. */
	ronde_map_fn narrow[RONDE_DTYPE_COUNT];
	ronde_map_fn float_from_double, double_from_float;
	/* As in kernels.h. */
	void (*stream)(void *destination, const void *source, size_t bytes);
};

/* The sets there are; each is one compilation of set.c. */
struct ronde_kernels;
extern const struct ronde_kernels ronde_kernels_c, ronde_kernels_avx2, ronde_kernels_avx512,
	ronde_kernels_neon;

/* The bodies of a set's functions (kernels.h has their contracts), given its loops. */
struct ronde_reduce_spec;
void ronde_reduce_with(const struct ronde_loops *loops, const struct ronde_reduce_spec *spec,
		       void *const *destinations, int ndestination, const void *const *sources,
		       int nsource, size_t count);
void ronde_convert_with(const struct ronde_loops *loops, void *destination, ronde_dtype to,
			const void *source, ronde_dtype from, size_t count);

#endif

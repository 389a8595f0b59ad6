/* SPDX-License-Identifier: Apache-2.0 */
/* Conversions between float types. What no single loop does goes through a block of float32. */
#include <string.h>

#include "collectives/kernels/kernels.h"
#include "collectives/kernels/loops.h"

#define BLOCK 1024

/* The loop that converts in one step, or NULL. */
static ronde_map_fn single_step(const struct ronde_loops *loops, ronde_dtype to, ronde_dtype from)
{
	if (to == RONDE_FLOAT32)
		return from == RONDE_FLOAT64 ? loops->float_from_double : loops->widen[from];
	if (from == RONDE_FLOAT32)
		return to == RONDE_FLOAT64 ? loops->double_from_float : loops->narrow[to];
	return NULL;
}

void ronde_convert_with(const struct ronde_loops *loops, void *destination, ronde_dtype to,
			const void *source, ronde_dtype from, size_t count)
{
	size_t to_bytes = ronde_dtype_bytes(to), from_bytes = ronde_dtype_bytes(from);
	unsigned char *d = destination;
	const unsigned char *s = source;
	if (count == 0)
		return;
	if (to == from) {
		memcpy(d, s, count * to_bytes);
		return;
	}
	ronde_map_fn step = single_step(loops, to, from);
	if (step) {
		step(d, s, 1, 1, count);
		return;
	}
	ronde_map_fn in = single_step(loops, RONDE_FLOAT32, from);
	ronde_map_fn out = single_step(loops, to, RONDE_FLOAT32);
	float between[BLOCK];
	for (size_t done = 0; done < count; done += BLOCK) {
		size_t n = count - done < BLOCK ? count - done : BLOCK;
		in(between, s + done * from_bytes, 1, 1, n);
		out(d + done * to_bytes, between, 1, 1, n);
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "bindings/c/compression.h"

#include "coordinator/floating.h"

ronde_dtype ronde_compression_dtype(ronde_compression compression, ronde_dtype dtype)
{
	if (dtype != RONDE_FLOAT32 && dtype != RONDE_FLOAT64)
		return dtype;
	switch (compression) {
	case RONDE_COMPRESSION_FP16:
		return RONDE_FLOAT16;
	case RONDE_COMPRESSION_BF16:
		return RONDE_BFLOAT16;
	default:
		return dtype;
	}
}

/* A program built with -ffast-math flushes denormals on its threads; the same gradients must give
 * the same bits all the same. */
void ronde_compression_convert(const struct ronde_kernels *kernels, void *destination,
			       ronde_dtype to, const void *source, ronde_dtype from, size_t count)
{
	unsigned int mode = ronde_floating_enter();
	kernels->convert(destination, to, source, from, count);
	ronde_floating_leave(mode);
}

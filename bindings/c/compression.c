/* SPDX-License-Identifier: Apache-2.0 */
#include "bindings/c/compression.h"

#include <fenv.h>

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

/*
 * A program built with -ffast-math flushes denormals on its threads; the same gradients must give
 * the same bits all the same. Flags raised meanwhile are not the application's.
 */
void ronde_compression_convert(const struct ronde_kernels *kernels, void *destination,
			       ronde_dtype to, const void *source, ronde_dtype from, size_t count)
{
	fenv_t callers;
	fegetenv(&callers);
	fesetenv(FE_DFL_ENV);
	kernels->convert(destination, to, source, from, count);
	fesetenv(&callers);
}

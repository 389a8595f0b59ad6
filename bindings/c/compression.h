/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compression of gradients: a copy in 16 bits travels in their place. As if the application had
 * cast them before and after.
 */
#ifndef RONDE_COMPRESSION_H
#define RONDE_COMPRESSION_H

#include <stddef.h>

#include "collectives/kernels/kernels.h"

/* The type in which a tensor of `dtype` travels: 16 bits for float32 and float64, else itself. */
ronde_dtype ronde_compression_dtype(ronde_compression compression, ronde_dtype dtype);

/* kernels->convert() for any thread of the application, whatever its floating-point modes. */
void ronde_compression_convert(const struct ronde_kernels *kernels, void *destination,
			       ronde_dtype to, const void *source, ronde_dtype from, size_t count);

#endif

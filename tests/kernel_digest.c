/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A digest of the results of every kernel: element type × reduction × scaling, conversions, and
 * sums along a tensor, for each set of kernels this processor can run. Printed in lines that must
 * be the same on every processor; tests/checks/aarch64.sh compares them. No inputs give a NaN,
 * whose bits are free.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/kernels/kernels.h"
#include "collectives/kernels/ordered.h"

#define COUNT 4099
#define SOURCES 5

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* FNV-1a. */
static uint64_t digest(uint64_t hash, const void *data, size_t bytes)
{
	const unsigned char *at = data;
	for (size_t i = 0; i < bytes; i++)
		hash = (hash ^ at[i]) * 0x100000001b3;
	return hash;
}

static bool is_float(ronde_dtype dtype)
{
	return dtype == RONDE_FLOAT16 || dtype == RONDE_BFLOAT16 || dtype == RONDE_FLOAT32 ||
	       dtype == RONDE_FLOAT64;
}

/*
 * Integers: any bits. Floats: sign and mantissa at random, exponents that no product of five takes
 * out of range, and denormals and zeros among them.
 */
static void fill(void *data, ronde_dtype dtype, uint64_t *random)
{
	static const struct {
		int mantissa, exponent;
	} shapes[] = {[RONDE_FLOAT16] = {10, 15},
		      [RONDE_BFLOAT16] = {7, 127},
		      [RONDE_FLOAT32] = {23, 127},
		      [RONDE_FLOAT64] = {52, 1023}};
	size_t bytes = ronde_dtype_bytes(dtype);
	unsigned char *at = data;
	for (size_t i = 0; i < COUNT; i++, at += bytes) {
		uint64_t bits = next_random(random);
		if (dtype == RONDE_BOOL)
			bits &= 1;
		if (is_float(dtype)) {
			int mantissa = shapes[dtype].mantissa;
			uint64_t exponent = (uint64_t)shapes[dtype].exponent + bits % 5 - 2;
			if (bits >> 40 & 1 && i % 7 == 0)
				exponent = 0;
			bits = (bits >> 63) << (8 * bytes - 1) | exponent << mantissa |
			       (bits >> 8 & (((uint64_t)1 << mantissa) - 1));
		}
		memcpy(at, &bits, bytes);
	}
}

static void print_reductions(const struct ronde_kernels *kernels, void *const *sources, void *out,
			     ronde_dtype dtype)
{
	static const double scales[][2] = {{1, 1}, {0.75, 1}, {1, 0.3}, {1.25, 0.2}};
	for (int reduction = 0; reduction < RONDE_REDUCTION_COUNT; reduction++) {
		if (reduction == RONDE_ADASUM)
			continue;
		uint64_t hash = 0xcbf29ce484222325;
		for (size_t s = 0; s < sizeof scales / sizeof *scales; s++)
			for (int n = 1; n <= SOURCES; n++) {
				const struct ronde_reduce_spec spec = {
					.dtype = dtype,
					.reduction = (ronde_reduction)reduction,
					.prescale = scales[s][0],
					.postscale = scales[s][1],
					.divisor = n};
				kernels->reduce(&spec, &out, 1, (const void *const *)sources, n,
						COUNT);
				hash = digest(hash, out, COUNT * ronde_dtype_bytes(dtype));
			}
		printf("%s %s %016" PRIx64 "\n", ronde_dtype_name(dtype),
		       ronde_reduction_name((ronde_reduction)reduction), hash);
	}
}

static void print_conversions(const struct ronde_kernels *kernels, const void *source, void *out,
			      ronde_dtype from)
{
	for (int to = 0; to < RONDE_DTYPE_COUNT; to++) {
		if (!is_float(from) || !is_float((ronde_dtype)to))
			continue;
		kernels->convert(out, (ronde_dtype)to, source, from, COUNT);
		printf("%s to %s %016" PRIx64 "\n", ronde_dtype_name(from),
		       ronde_dtype_name((ronde_dtype)to),
		       digest(0xcbf29ce484222325, out, COUNT * ronde_dtype_bytes((ronde_dtype)to)));
	}
}

/* Sums along a tensor: what adasum and norms are made of. */
static void print_ordered(const struct ronde_kernels *kernels, const void *source,
			  const void *other, ronde_dtype dtype)
{
	double sum[COUNT], a[COUNT], b[COUNT];
	struct ronde_dots dots = {0};
	double square = ronde_ordered_square(kernels, source, dtype, COUNT);
	const size_t bytes = ronde_dtype_bytes(dtype);
	kernels->convert(a, RONDE_FLOAT64, source, dtype, COUNT);
	kernels->convert(b, RONDE_FLOAT64, other, dtype, COUNT);
	for (size_t at = 0; at < COUNT; at += RONDE_ORDERED_BLOCK) {
		size_t n = COUNT - at < RONDE_ORDERED_BLOCK ? COUNT - at : RONDE_ORDERED_BLOCK;
		ronde_ordered_dots(&dots, a + at, b + at, n);
		ronde_ordered_combine(kernels, sum + at, true, 0.75,
				      (const unsigned char *)source + at * bytes, dtype, n);
		ronde_ordered_combine(kernels, sum + at, false, 1.0 / 3,
				      (const unsigned char *)other + at * bytes, dtype, n);
	}
	uint64_t hash = digest(0xcbf29ce484222325, &square, sizeof square);
	hash = digest(hash, &dots, sizeof dots);
	printf("%s ordered %016" PRIx64 "\n", ronde_dtype_name(dtype),
	       digest(hash, sum, sizeof sum));
}

/* usage: kernel-digest [SET]; no SET: prints the names of the sets */
int main(int argc, char **argv)
{
	size_t sets;
	const struct ronde_kernels *const *available = ronde_kernels_available(&sets);
	if (argc < 2) {
		for (size_t s = 0; s < sets; s++)
			printf("%s\n", available[s]->name);
		return EXIT_SUCCESS;
	}
	const struct ronde_kernels *kernels = ronde_kernels_select(argv[1]);
	if (!kernels) {
		fprintf(stderr, "%s\n", ronde_error_message());
		return EXIT_FAILURE;
	}
	uint64_t random = 2026;
	void *sources[SOURCES], *out = malloc(COUNT * sizeof(double));
	for (int s = 0; s < SOURCES; s++)
		sources[s] = malloc(COUNT * sizeof(double));
	for (int dtype = 0; dtype < RONDE_DTYPE_COUNT; dtype++) {
		for (int s = 0; s < SOURCES; s++)
			fill(sources[s], (ronde_dtype)dtype, &random);
		print_reductions(kernels, sources, out, (ronde_dtype)dtype);
		print_conversions(kernels, sources[0], out, (ronde_dtype)dtype);
		if (is_float((ronde_dtype)dtype))
			print_ordered(kernels, sources[0], sources[1], (ronde_dtype)dtype);
	}
	for (int s = 0; s < SOURCES; s++)
		free(sources[s]);
	free(out);
	return EXIT_SUCCESS;
}

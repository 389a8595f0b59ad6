/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pattern of 127 blocks of 64 bytes serves all ranks and rounds: each starts it at a block of
 * its own. So filling is copying, and what must come out has the same period.
 */
#include "perf/ronde-perf/data.h"
#include "perf/ronde-perf/number.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { PERIOD = PERF_PATTERN_BLOCKS * PERF_BLOCK };

size_t perf_dtype_bytes(ronde_dtype dtype)
{
	static const unsigned char bytes_of[] = {
#define X(name, value, bytes, text) [value] = bytes,
		RONDE_DTYPE_MAP(X)
#undef X
	};

	return bytes_of[dtype];
}

const char *perf_dtype_name(ronde_dtype dtype)
{
	static const char *const names[] = {
#define X(name, value, bytes, text) [value] = text,
		RONDE_DTYPE_MAP(X)
#undef X
	};

	return names[dtype];
}

const char *perf_reduction_name(ronde_reduction reduction)
{
	static const char *const names[] = {
#define X(name, value, text) [value] = text,
		RONDE_REDUCTION_MAP(X)
#undef X
	};

	return names[reduction];
}

/* Block of the pattern a rank starts at; distinct for the ranks of a round. */
static size_t first_block(int rank, int round)
{
	return (size_t)((rank * 7 + (round + 1000) * 13) % PERF_PATTERN_BLOCKS);
}

/*
 * Element i of the pattern. A product of many ranks must stay small: mostly ones, and a few blocks
 * of twos. A sum must fit the smallest type.
 */
static double pattern_value(const struct perf_data *data, size_t i)
{
	size_t block = i * perf_dtype_bytes(data->dtype) / PERF_BLOCK;
	unsigned most = 127 / (unsigned)data->size;

	if (data->dtype == RONDE_BOOL)
		most = 1;
	else if (most > 15)
		most = 15;
	else if (most < 1)
		most = 1;
	if (data->reduction == RONDE_PRODUCT && data->dtype != RONDE_BOOL)
		return block % 32 == 0 ? 2 : 1;
	return ((uint32_t)i * 2654435761u >> 12) % (most + 1);
}

void perf_data_init(struct perf_data *data, ronde_dtype dtype, ronde_reduction reduction, int size)
{
	size_t bytes = perf_dtype_bytes(dtype);

	*data = (struct perf_data){.dtype = dtype, .reduction = reduction, .size = size};
	for (size_t i = 0; i < PERIOD / bytes; i++)
		perf_number_store(dtype, data->pattern + i * bytes, pattern_value(data, i));
	memcpy(data->pattern + PERIOD, data->pattern, PERIOD);
}

void perf_data_fill(const struct perf_data *data, void *tensor, size_t count, int rank, int round)
{
	const unsigned char *from = data->pattern + first_block(rank, round) * PERF_BLOCK;
	unsigned char *to = tensor;
	size_t bytes = count * perf_dtype_bytes(data->dtype), block = 0;

	/* Blocks one by one: a long memcpy might store past the caches, which a backward pass
	 * does not. */
	for (; bytes >= PERF_BLOCK; bytes -= PERF_BLOCK) {
		memcpy(to, from + block * PERF_BLOCK, PERF_BLOCK);
		to += PERF_BLOCK;
		block = block + 1 == PERF_PATTERN_BLOCKS ? 0 : block + 1;
	}
	memcpy(to, from + block * PERF_BLOCK, bytes);
}

/* Two numbers of the pattern, reduced. */
static double combine(const struct perf_data *data, double a, double b)
{
	switch (data->reduction) {
	case RONDE_MIN:
		return a < b ? a : b;
	case RONDE_MAX:
		return a > b ? a : b;
	case RONDE_PRODUCT:
		return a * b;
	default:
		return a + b;
	}
}

/* One period of what must come out, computed in double, where all of it is exact but an average. */
static void expected_period(const struct perf_data *data, int round, unsigned char *expected)
{
	size_t bytes = perf_dtype_bytes(data->dtype);

	for (size_t i = 0; i < PERIOD / bytes; i++) {
		double value = 0;

		for (int rank = 0; rank < data->size; rank++) {
			const unsigned char *from =
				data->pattern + first_block(rank, round) * PERF_BLOCK;
			double mine = perf_number_load(data->dtype, from + i * bytes);

			value = rank == 0 ? mine : combine(data, value, mine);
		}
		if (data->reduction == RONDE_AVERAGE)
			value *= 1.0 / data->size;
		perf_number_store(data->dtype, expected + i * bytes, value);
	}
}

/* An average over a number of ranks that is no power of two may be off by its last bit. */
static bool close_enough(const struct perf_data *data, const void *got, const void *expected)
{
	double x = perf_number_load(data->dtype, got), y = perf_number_load(data->dtype, expected);
	int precision = perf_number_precision(data->dtype);

	if (data->reduction != RONDE_AVERAGE || !precision)
		return false;
	return fabs(x - y) <= ldexp(fabs(y), -precision);
}

static size_t count_wrong(const struct perf_data *data, const unsigned char *got, size_t first,
			  size_t count, const unsigned char *from_zero, bool exact)
{
	unsigned char period[PERIOD];
	size_t bytes = perf_dtype_bytes(data->dtype), total = count * bytes, wrong = 0;
	size_t before = first * bytes % PERIOD;

	memcpy(period, from_zero + before, PERIOD - before);
	memcpy(period + PERIOD - before, from_zero, before);
	for (size_t at = 0; at < total; at += PERIOD) {
		size_t here = total - at < PERIOD ? total - at : PERIOD;

		if (memcmp(got + at, period, here) == 0)
			continue;
		for (size_t i = 0; i < here; i += bytes)
			wrong += memcmp(got + at + i, period + i, bytes) != 0 &&
				 (exact || !close_enough(data, got + at + i, period + i));
	}
	return wrong;
}

size_t perf_data_wrong_reduced(const struct perf_data *data, const void *tensor, size_t first,
			       size_t count, int round)
{
	unsigned char expected[PERIOD];

	expected_period(data, round, expected);
	return count_wrong(data, tensor, first, count, expected, false);
}

size_t perf_data_wrong_copy(const struct perf_data *data, const void *tensor, size_t first,
			    size_t count, int rank, int round)
{
	return count_wrong(data, tensor, first, count,
			   data->pattern + first_block(rank, round) * PERF_BLOCK, true);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/schedules/values.h"

#include <string.h>

#include "tests/kernels_reference.h"

uint64_t random_bits(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

uint64_t below(uint64_t *state, uint64_t n)
{
	return random_bits(state) % n;
}

bool once_in(uint64_t *state, uint64_t n)
{
	return below(state, n) == 0;
}

/* A float with e exponent and m mantissa bits, 2^-6 … 2^6, so that rounding shows which was added
 * to which. */
static uint64_t make_float(uint64_t bits, int e, int m)
{
	uint64_t bias = (1u << (e - 1)) - 1;
	uint64_t exponent = bias - 6 + (bits >> 52) % 12;
	uint64_t sign = bits >> 51 & 1;
	return sign << (e + m) | exponent << m | (bits & ((1ULL << m) - 1));
}

/* Zero, denormal, infinity or NaN. */
static uint64_t make_special(uint64_t bits, int e, int m)
{
	uint64_t sign = bits >> 63, infinity = ((1ULL << e) - 1) << m;
	const uint64_t all[] = {0, 1 + (bits & 7), infinity, infinity | 1ULL << (m - 1)};
	return sign << (e + m) | all[bits >> 40 & 3];
}

static uint64_t make_element(uint64_t *state, ronde_dtype dtype, bool specials)
{
	static const int exponent[RONDE_DTYPE_COUNT] = {[RONDE_FLOAT16] = 5,
							[RONDE_BFLOAT16] = 8,
							[RONDE_FLOAT32] = 8,
							[RONDE_FLOAT64] = 11};
	uint64_t bits = random_bits(state);
	int e = exponent[dtype], m = types[dtype].bits - 1 - e;
	if (dtype == RONDE_BOOL)
		return bits & 1;
	if (!e)
		return bits;
	return specials && once_in(state, 8) ? make_special(bits, e, m) : make_float(bits, e, m);
}

void make_period(uint64_t *state, ronde_dtype dtype, bool specials, void *period)
{
	size_t element = bytes_of(dtype);
	for (int i = 0; i < PERIOD; i++) {
		uint64_t bits = make_element(state, dtype, specials);
		memcpy((char *)period + (size_t)i * element, &bits, element);
	}
}

void reduce_periods(const struct ronde_reduce_spec *spec, const void *const *periods, int n,
		    void *result)
{
	size_t element = bytes_of(spec->dtype);
	for (size_t at = 0; at < PERIOD * element; at += element) {
		uint64_t bits = reference(spec, periods, n, at);
		memcpy((char *)result + at, &bits, element);
	}
}

double real_of(ronde_dtype dtype, const void *element)
{
	return read_element(element, dtype).real;
}

void set_real(ronde_dtype dtype, void *element, double value)
{
	uint64_t bits = write_element((union value){.real = value}, dtype);
	memcpy(element, &bits, bytes_of(dtype));
}

uint64_t whole_of(ronde_dtype dtype, const void *element)
{
	return read_element(element, dtype).whole;
}

void spread(void *memory, size_t bytes, const void *period, size_t element)
{
	size_t most = PERIOD * element;
	for (size_t at = 0; at < bytes; at += most)
		memcpy((char *)memory + at, period, bytes - at < most ? bytes - at : most);
}

int64_t find_wrong(const void *memory, size_t bytes, const void *period, ronde_dtype dtype,
		   bool any_nan)
{
	size_t element = bytes_of(dtype), most = PERIOD * element;
	for (size_t at = 0; at < bytes; at += most) {
		const char *got = (const char *)memory + at, *want = period;
		size_t part = bytes - at < most ? bytes - at : most;
		if (memcmp(got, want, part) == 0)
			continue;
		for (size_t i = 0; i < part; i += element)
			if (memcmp(got + i, want + i, element) &&
			    !(any_nan && same_bits(load_bits(got + i, element),
						   load_bits(want + i, element), dtype)))
				return (int64_t)((at + i) / element);
	}
	return -1;
}

int64_t find_wrong_from(uint64_t first, const void *memory, size_t bytes, const void *period,
			ronde_dtype dtype, bool any_nan)
{
	char turned[PERIOD * 8];
	size_t element = bytes_of(dtype), before = (size_t)(first % PERIOD) * element;
	memcpy(turned, (const char *)period + before, PERIOD * element - before);
	memcpy(turned + PERIOD * element - before, period, before);
	return find_wrong(memory, bytes, turned, dtype, any_nan);
}

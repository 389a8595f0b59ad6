/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every set of kernels against a naive reference, written from the table in reduce.c and from
 * IEEE 754, sharing no code with the kernels; and against plain C, bit by bit. In the manner of
 * dav1d's checkasm: random and special data, odd sizes, misaligned pointers, guard bytes, in place.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "collectives/kernels/kernels.h"
#include "tests/kernels_reference.h"
#include "tests/sizes.h"
#include "tests/skip.h"

#define GUARD 64
#define MAX_SOURCES 33

/* ---- random numbers, the same for the same RONDE_TEST_SEED ---- */

static uint64_t state;

static uint64_t draw(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * 0x2545f4914f6cdd1dULL;
}

static uint32_t below(uint32_t n)
{
	return (uint32_t)(draw() >> 33) % n;
}

static uint64_t the_seed; /* set by main() before Check forks */

/* `which` makes the rounds of a loop test differ. */
static void seed(int which)
{
	state = (the_seed + 1) * 0x9e3779b97f4a7c15ULL + (uint64_t)which * 2 + 1;
	for (int i = 0; i < 8; i++)
		draw();
}

/* ---- data ---- */

enum data { DATA_BITS, DATA_SPECIAL, DATA_ORDINARY, DATA_KINDS };

/* Float patterns where things go wrong: NaNs, infinities, zeros, denormals, extremes, ones. */
static uint64_t special(ronde_dtype t)
{
	int m = t == RONDE_FLOAT16 ? 10 : t == RONDE_BFLOAT16 ? 7 : t == RONDE_FLOAT32 ? 23 : 52;
	int e = types[t].bits - 1 - m;
	uint64_t one = 1, infinite = ((one << e) - 1) << m, unit = one << m;
	const uint64_t patterns[] = {0,
				     1,
				     unit - 1,
				     unit,
				     unit + 1,
				     infinite - 1,
				     infinite - unit,
				     infinite,
				     infinite + 1,
				     infinite | unit >> 1,
				     infinite >> 1 & ~(unit - 1),
				     (infinite >> 1 & ~(unit - 1)) + 1,
				     draw() & (unit - 1)};
	uint64_t u = patterns[below(sizeof patterns / sizeof *patterns)];
	return draw() & 1 ? u : u | one << (e + m);
}

static void fill(void *memory, ronde_dtype t, size_t count, enum data kind)
{
	unsigned char *p = memory;
	for (size_t i = 0; i < count; i++, p += bytes_of(t)) {
		uint64_t u = draw();
		union value v;
		if (kind == DATA_SPECIAL && types[t].is_float) {
			u = special(t);
		} else if (kind == DATA_SPECIAL && below(2)) {
			/* integers: the extremes and their neighbours, and zeros for bool */
			u = (below(2) ? 0 : 1ULL << (types[t].bits - 1)) + below(3) - 1;
		} else if (kind == DATA_ORDINARY && types[t].is_float) {
			v.real = ((double)(int64_t)u) * 0x1p-60;
			u = write_element(v, t);
		} else if (kind == DATA_ORDINARY) {
			u = below(21) - (types[t].is_signed ? 10 : 0);
		}
		memcpy(p, &u, bytes_of(t));
	}
}

/* ---- one case, on every set ---- */

struct a_case {
	struct ronde_reduce_spec spec;
	int nsource, ndestination;
	bool present[MAX_SOURCES];
	int in_place; /* destination k is source in_place + k, where there is one; < 0: nowhere */
	size_t count, misalignment;
	enum data data;
};

/* A buffer of a case: guard, elements, guard. */
static unsigned char *buffer(const struct a_case *c, size_t *total)
{
	*total = GUARD + c->misalignment + c->count * bytes_of(c->spec.dtype) + GUARD;
	return malloc(*total);
}

static void complain(const struct a_case *c, const char *set, const char *what, size_t i,
		     uint64_t got, uint64_t expected)
{
	ck_abort_msg("%s %s %s, %d sources, %d destinations, in place %d, count %zu, +%zu, "
		     "prescale %g, postscale %g, divisor %d: %s at %zu: %#llx instead of %#llx",
		     set, ronde_dtype_name(c->spec.dtype), ronde_reduction_name(c->spec.reduction),
		     c->nsource, c->ndestination, c->in_place, c->count, c->misalignment,
		     c->spec.prescale, c->spec.postscale, c->spec.divisor, what, i,
		     (unsigned long long)got, (unsigned long long)expected);
}

/* Result against expectation; the bytes around it untouched. */
static void compare(const struct a_case *c, const char *set, const unsigned char *got,
		    const unsigned char *expected, size_t total)
{
	size_t element = bytes_of(c->spec.dtype), start = GUARD + c->misalignment;
	size_t end = start + c->count * element;
	if (!memcmp(got, expected, total))
		return;
	for (size_t i = 0; i < total; i++)
		if ((i < start || i >= end) && got[i] != expected[i])
			complain(c, set, "guard byte", i, got[i], expected[i]);
	for (size_t i = 0; i < c->count; i++) {
		uint64_t g = load_bits(got + start + i * element, element);
		uint64_t e = load_bits(expected + start + i * element, element);
		if (!same_bits(g, e, c->spec.dtype))
			complain(c, set, "element", i, g, e);
	}
}

static void run_set(const struct a_case *c, const struct ronde_kernels *set,
		    unsigned char *const *originals, const unsigned char *expected)
{
	size_t total = 0, start = GUARD + c->misalignment;
	unsigned char *copies[MAX_SOURCES] = {0}, *own[MAX_SOURCES] = {0};
	const void *sources[MAX_SOURCES] = {0};
	void *destinations[MAX_SOURCES];
	bool written[MAX_SOURCES] = {0};
	for (int k = 0; k < c->nsource; k++) {
		copies[k] = buffer(c, &total);
		memcpy(copies[k], originals[k], total);
		if (c->present[k])
			sources[k] = copies[k] + start;
	}
	for (int k = 0; k < c->ndestination; k++) {
		int twin = c->in_place + k;
		own[k] = buffer(c, &total);
		memset(own[k], 0xa5, total);
		destinations[k] = own[k] + start;
		if (c->in_place >= 0 && twin < c->nsource && c->present[twin]) {
			destinations[k] = copies[twin] + start;
			written[twin] = true;
		}
	}
	set->reduce(&c->spec, destinations, c->ndestination, sources, c->nsource, c->count);
	for (int k = 0; k < c->ndestination; k++)
		compare(c, set->name, (unsigned char *)destinations[k] - start, expected, total);
	for (int k = 0; k < c->nsource; k++) {
		if (!written[k] && memcmp(copies[k], originals[k], total))
			complain(c, set->name, "a source was written", (size_t)k, 1, 0);
		free(copies[k]);
	}
	for (int k = 0; k < c->ndestination; k++)
		free(own[k]);
}

static void run_case(const struct a_case *c)
{
	size_t total, start = GUARD + c->misalignment, element = bytes_of(c->spec.dtype), sets;
	const struct ronde_kernels *const *available = ronde_kernels_available(&sets);
	unsigned char *originals[MAX_SOURCES], *expected = buffer(c, &total);
	const void *sources[MAX_SOURCES] = {0};
	memset(expected, 0xa5, total);
	for (int k = 0; k < c->nsource; k++) {
		originals[k] = buffer(c, &total);
		memset(originals[k], 0xa5, total);
		fill(originals[k] + start, c->spec.dtype, c->count, c->data);
		if (c->present[k])
			sources[k] = originals[k] + start;
	}
	for (size_t i = 0; i < c->count; i++) {
		uint64_t r = reference(&c->spec, sources, c->nsource, i * element);
		memcpy(expected + start + i * element, &r, element);
	}
	for (size_t k = 0; k < sets; k++)
		run_set(c, available[k], originals, expected);
	for (int k = 0; k < c->nsource; k++)
		free(originals[k]);
	free(expected);
}

/* ---- cases ---- */

static const ronde_reduction reductions[] = {RONDE_SUM, RONDE_AVERAGE, RONDE_MIN, RONDE_MAX,
					     RONDE_PRODUCT};
#define REDUCTIONS (sizeof reductions / sizeof *reductions)

static double draw_scale(void)
{
	static const double scales[] = {0.5,  2,        1.0 / 3, -1.5,        1e-3, 1e10,
					1e30, 0x1p-149, 0,       (double)NAN, 1.1};
	return below(2) ? 1 : scales[below(sizeof scales / sizeof *scales)];
}

static struct a_case draw_case(ronde_dtype t, ronde_reduction reduction)
{
	struct a_case c = {.spec = {.dtype = t, .reduction = reduction}};
	int n = (int)below(20);
	c.nsource = n < 10 ? 2 : n < 19 ? n - 9 : MAX_SOURCES;
	c.ndestination = below(2) ? 2 : 1 + (int)below(5);
	for (int k = 0; k < c.nsource; k++)
		c.present[k] = below(8) != 0;
	c.present[below((uint32_t)c.nsource)] = true;
	if (below(2))
		memset(c.present, true, sizeof c.present);
	c.in_place = (int)below((uint32_t)c.nsource + 1) - 1;
	c.spec.streaming = c.in_place < 0 && below(2);
	c.count = below(4) ? below(200) : below(3000);
	c.misalignment = below(2) ? 0 : below(64);
	c.data = (enum data)below(DATA_KINDS);
	c.spec.prescale = draw_scale();
	c.spec.postscale = draw_scale();
	c.spec.divisor = below(2) ? c.nsource : 1 + (int)below(7);
	return c;
}

/* Loop index: type and reduction. */
START_TEST(random_cases)
{
	seed(_i);
	for (int i = 0; i < test_turns(60); i++) {
		struct a_case c = draw_case((ronde_dtype)(_i / (int)REDUCTIONS),
					    reductions[_i % (int)REDUCTIONS]);
		run_case(&c);
	}
}
END_TEST

/* Every count around the width of a vector, the way zero-copy on two ranks calls. Index: type. */
START_TEST(every_small_count)
{
	seed(_i);
	for (size_t count = 0; count <= 140; count += (size_t)test_stride())
		for (size_t r = 0; r < REDUCTIONS; r++) {
			struct a_case c = {.spec = {(ronde_dtype)_i, reductions[r], 1, 1, 2, false,
						    RONDE_REDUCE_WHOLE},
					   .nsource = 2,
					   .ndestination = 2,
					   .present = {true, true},
					   .count = count,
					   .data = DATA_BITS};
			run_case(&c);
		}
}
END_TEST

/* Destination 0 is each source in turn, alone and with its neighbours following. Index: type. */
START_TEST(in_place_with_each)
{
	seed(_i);
	for (int n = 1; n <= 9; n++)
		for (int k = 0; k < n; k++)
			for (size_t r = 0; r < REDUCTIONS; r++) {
				struct a_case c = {.spec = {(ronde_dtype)_i, reductions[r], 1,
							    below(2) ? 1 : 0.5, n, false,
							    RONDE_REDUCE_WHOLE},
						   .nsource = n,
						   .ndestination = 1 + (int)below((uint32_t)n),
						   .in_place = k,
						   .count = 100 + below((uint32_t)test_turns(1100)),
						   .data = DATA_ORDINARY};
				memset(c.present, true, sizeof c.present);
				run_case(&c);
			}
}
END_TEST

START_TEST(large)
{
	seed(_i);
	for (int t = 0; t < RONDE_DTYPE_COUNT; t++)
		for (int n = 2; n <= 5; n += 3) {
			struct a_case c = draw_case((ronde_dtype)t, RONDE_AVERAGE);
			c.nsource = n;
			c.count = test_large(70000) + below(1000);
			memset(c.present, true, sizeof c.present);
			if (c.in_place >= n)
				c.in_place = 0;
			run_case(&c);
		}
}
END_TEST

/* What documentation promises in so many words. */
START_TEST(promises)
{
	size_t sets;
	const struct ronde_kernels *const *available = ronde_kernels_available(&sets);
	for (size_t k = 0; k < sets; k++) {
		int8_t hundred = 100, one = 1, i8;
		const void *a[49] = {&hundred, &hundred};
		void *d[1] = {&i8};
		struct ronde_reduce_spec spec = {RONDE_INT8, RONDE_AVERAGE,     1, 1, 2,
						 false,      RONDE_REDUCE_WHOLE};
		available[k]->reduce(&spec, d, 1, a, 2, 1);
		ck_assert_int_eq(i8, 100);
		for (int i = 0; i < 49; i++)
			a[i] = &one;
		spec.divisor = 49;
		available[k]->reduce(&spec, d, 1, a, 49, 1);
		ck_assert_int_eq(i8, 1);
		int64_t big = INT64_MAX, i64;
		spec = (struct ronde_reduce_spec){RONDE_INT64, RONDE_AVERAGE,     1, 1, 1,
						  false,       RONDE_REDUCE_WHOLE};
		a[0] = &big;
		d[0] = &i64;
		available[k]->reduce(&spec, d, 1, a, 1, 1);
		ck_assert_int_eq(i64, INT64_MAX);
		/* a signalling NaN comes out quiet */
		uint16_t nan = 0x7c01, zero = 0, sum;
		spec = (struct ronde_reduce_spec){RONDE_FLOAT16, RONDE_SUM,         1, 1, 1,
						  false,         RONDE_REDUCE_WHOLE};
		a[0] = &nan;
		a[1] = &zero;
		d[0] = &sum;
		available[k]->reduce(&spec, d, 1, a, 2, 1);
		ck_assert_uint_eq(sum & 0x7e00, 0x7e00);
		nan = 0x7f81;
		spec.dtype = RONDE_BFLOAT16;
		available[k]->reduce(&spec, d, 1, a, 2, 1);
		ck_assert_uint_eq(sum & 0x7fc0, 0x7fc0);
	}
}
END_TEST

/* ---- conversions ---- */

static void check_convert(ronde_dtype to, ronde_dtype from, const void *source, size_t count)
{
	size_t sets, in = bytes_of(from), out = bytes_of(to);
	const struct ronde_kernels *const *available = ronde_kernels_available(&sets);
	unsigned char *got = malloc(count * out + 2 * GUARD);
	for (size_t k = 0; k < sets; k++) {
		memset(got, 0xa5, count * out + 2 * GUARD);
		available[k]->convert(got + GUARD, to, source, from, count);
		for (size_t i = 0; i < GUARD; i++)
			if (got[i] != 0xa5 || got[GUARD + count * out + i] != 0xa5)
				ck_abort_msg("%s: convert wrote outside", available[k]->name);
		for (size_t i = 0; i < count; i++) {
			union value v = read_element((const char *)source + i * in, from);
			if (from == RONDE_FLOAT64)
				v.real = working(v.real, RONDE_FLOAT32);
			uint64_t e = write_element(v, to);
			uint64_t g = load_bits(got + GUARD + i * out, out);
			if (!same_bits(g, e, to))
				ck_abort_msg("%s: %s %#llx to %s is %#llx, not %#llx",
					     available[k]->name, ronde_dtype_name(from),
					     (unsigned long long)load_bits(
						     (const char *)source + i * in, in),
					     ronde_dtype_name(to), (unsigned long long)g,
					     (unsigned long long)e);
		}
	}
	free(got);
}

static const ronde_dtype floats[] = {RONDE_FLOAT16, RONDE_BFLOAT16, RONDE_FLOAT32, RONDE_FLOAT64};

START_TEST(convert_all_16_bit_patterns)
{
	uint16_t *all = malloc(65536 * sizeof *all);
	for (uint32_t i = 0; i < 65536; i++)
		all[i] = (uint16_t)i;
	for (int f = 0; f < 2; f++)
		for (int t = 0; t < 4; t++)
			if (f != t)
				check_convert(floats[t], floats[f], all, 65536);
	free(all);
}
END_TEST

/* Between any two neighbours of a 16-bit type: the midpoint, and just beside it. */
START_TEST(convert_ties)
{
	ronde_dtype t = floats[_i];
	float *ties = malloc(65536 * 3 * sizeof *ties);
	for (uint32_t h = 0; h < 65536; h++) {
		uint16_t pair[2] = {(uint16_t)h, (uint16_t)(h + 1)};
		double a = read_element(&pair[0], t).real, b = read_element(&pair[1], t).real;
		/* above the largest number lies what would be the next if there were one */
		if (isinf(b) && !isinf(a))
			b = copysign(t == RONDE_FLOAT16 ? 65536 : 0x1p128, a);
		float middle = (float)((a + b) / 2);
		ties[3 * h] = middle;
		ties[3 * h + 1] = nextafterf(middle, INFINITY);
		ties[3 * h + 2] = nextafterf(middle, -INFINITY);
	}
	check_convert(t, RONDE_FLOAT32, ties, 65536 * 3);
	free(ties);
}
END_TEST

START_TEST(convert_random)
{
	seed(_i);
	double *data = malloc(5000 * sizeof *data);
	for (int f = 0; f < 4; f++)
		for (int t = 0; t < 4; t++)
			for (int kind = 0; kind < DATA_KINDS && f != t; kind++) {
				fill(data, floats[f], 5000, (enum data)kind);
				check_convert(floats[t], floats[f], data, 5000);
				for (size_t n = 0; n < 70; n++)
					check_convert(floats[t], floats[f], (char *)data + n, n);
			}
	free(data);
}
END_TEST

/* ---- choosing ---- */

START_TEST(selection)
{
	size_t sets;
	const struct ronde_kernels *const *available = ronde_kernels_available(&sets);
	ck_assert_uint_ge(sets, 1);
	ck_assert_str_eq(available[sets - 1]->name, "c");
	ck_assert_ptr_eq(ronde_kernels_select(NULL), available[0]);
	ck_assert_ptr_eq(ronde_kernels_select(""), available[0]);
	for (size_t k = 0; k < sets; k++)
		ck_assert_ptr_eq(ronde_kernels_select(available[k]->name), available[k]);
	ck_assert_ptr_null(ronde_kernels_select("sse9"));
	ck_assert_ptr_nonnull(strstr(ronde_error_message(), "\"sse9\""));
	ck_assert_ptr_nonnull(strstr(ronde_error_message(), available[0]->name));
	ck_assert_ptr_null(ronde_kernels_select("AVX2"));
}
END_TEST

/* Every case above goes over the sets there are: those that are built and not there are untested.
 */
START_TEST(sets_of_other_processors)
{
	static const char *const names[] = {"avx512", "avx2", "neon"};
	size_t built = 1, sets;
	ronde_kernels_available(&sets);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		bool here = ronde_kernels_select(names[i]) != NULL;
		if (!here && strstr(ronde_error_message(), "no reduction kernels called"))
			continue;
		built++;
		if (!here)
			test_skip(names[i], "this processor does not have its instructions");
		sets += !here;
	}
	ck_assert_uint_eq(sets, built); /* none is missing in names[] */
}
END_TEST

int main(void)
{
	const char *text = getenv("RONDE_TEST_SEED");
	the_seed = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);
	printf("RONDE_TEST_SEED=%llu\n", (unsigned long long)the_seed);
	fflush(stdout);
	Suite *suite = suite_create("kernels");
	TCase *reduce = tcase_create("reduce"), *convert = tcase_create("convert");
	tcase_set_timeout(reduce, 60);
	tcase_set_timeout(convert, 60);
	tcase_add_loop_test(reduce, random_cases, 0, RONDE_DTYPE_COUNT * (int)REDUCTIONS);
	tcase_add_loop_test(reduce, every_small_count, 0, RONDE_DTYPE_COUNT);
	tcase_add_loop_test(reduce, in_place_with_each, 0, RONDE_DTYPE_COUNT);
	tcase_add_test(reduce, large);
	tcase_add_test(reduce, promises);
	tcase_add_test(convert, convert_all_16_bit_patterns);
	tcase_add_loop_test(convert, convert_ties, 0, 2);
	tcase_add_test(convert, convert_random);
	tcase_add_test(convert, selection);
	tcase_add_test(convert, sets_of_other_processors);
	suite_add_tcase(suite, reduce);
	suite_add_tcase(suite, convert);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

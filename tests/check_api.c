/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What bad input gets: every argument of allreduce, broadcast, barrier and handles (check_api_rows:
 * operations on rows; check_before_init: no runtime). The code, the whole text, and that nothing is
 * broken: after each refusal an operation works.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/refusals.h"
#include "tests/suite.h"

/* ---- names ---- */

START_TEST(names_of_everything)
{
	char version[40];
	snprintf(version, sizeof version, "%d.%d.%d", RONDE_VERSION_MAJOR, RONDE_VERSION_MINOR,
		 RONDE_VERSION_PATCH);
	ck_assert_str_eq(ronde_version(), version);
#define STATUS(name, value, text)                                                                  \
	ck_assert_str_eq(ronde_status_name(value), "RONDE_" #name);                                \
	ck_assert_str_eq(ronde_status_text(value), text);
	RONDE_STATUS_MAP(STATUS)
#define TYPE(name, value, bytes, text)                                                             \
	ck_assert_uint_eq(ronde_dtype_bytes(RONDE_##name), bytes);                                 \
	ck_assert_str_eq(ronde_dtype_name(RONDE_##name), text);
	RONDE_DTYPE_MAP(TYPE)
#define REDUCTION(name, value, text) ck_assert_str_eq(ronde_reduction_name(RONDE_##name), text);
	RONDE_REDUCTION_MAP(REDUCTION)
	static const int none[] = {-1, RONDE_DTYPE_COUNT, 1000, INT32_MIN, INT32_MAX};
	for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
		ck_assert_uint_eq(ronde_dtype_bytes((ronde_dtype)none[i]), 0);
		ck_assert_str_eq(ronde_dtype_name((ronde_dtype)none[i]), "?");
		ck_assert_str_eq(ronde_reduction_name((ronde_reduction)none[i]), "?");
		if (none[i] != -1)
			ck_assert_str_eq(ronde_status_name(none[i]), "RONDE_ERR_?");
		ck_assert(ronde_status_text(none[i])[0]);
	}
}
END_TEST

/* ---- allreduce ---- */

#define reduce_async(name, input, output, count, dtype, op, options)                               \
	ronde_allreduce_async(name, input, output, count, dtype, op, options, &handle)
#define SHAPED(n, s)                                                                               \
	&(ronde_options)                                                                           \
	{                                                                                          \
		.size = sizeof(ronde_options), .ndim = (n), .shape = (s), .prescale = 1,           \
		.postscale = 1                                                                     \
	}
#define T "ronde_allreduce_async: tensor \"t\": "

static void allreduce_names_and_types(int rank, int size, const void *arg)
{
	(void)rank, (void)size, (void)arg;
	static char name[RONDE_MAX_NAME + 2];
	memset(name, 'n', RONDE_MAX_NAME + 1);
	refused(ronde_allreduce("", in, out, 1, RONDE_FLOAT32, RONDE_SUM),
		"ronde_allreduce: tensor \"\": the name is empty; give NULL for an unnamed tensor");
	refused(reduce_async(name, in, out, 1, RONDE_FLOAT32, RONDE_SUM, NULL),
		"ronde_allreduce_async: the name is longer than 1023 bytes");
	name[RONDE_MAX_NAME] = '\0';
	require_ok(ronde_allreduce(name, in, out, 1, RONDE_FLOAT32, RONDE_SUM));

	refused(ronde_allreduce(NULL, in, out, 1, (ronde_dtype)13, RONDE_SUM),
		"ronde_allreduce: 13 is not a type (enum ronde_dtype)");
	refused(reduce_async("t", in, out, 1, (ronde_dtype)-1, RONDE_SUM, NULL),
		T "-1 is not a type (enum ronde_dtype)");
	refused(reduce_async("t", in, out, 1, RONDE_FLOAT32, (ronde_reduction)6, NULL),
		T "6 is not a reduction (enum ronde_reduction)");
	refused(reduce_async("t", in, out, 1, RONDE_FLOAT32, (ronde_reduction)-1, NULL),
		T "-1 is not a reduction (enum ronde_reduction)");
	refused(reduce_async("t", in, out, 1, RONDE_INT32, RONDE_ADASUM, NULL),
		T "adasum takes float16, bfloat16, float32 and float64, and this is int32");

	refused(reduce_async("t", in, out, -1, RONDE_FLOAT32, RONDE_SUM, NULL),
		T "the count is negative: -1");
	refused(reduce_async("t", in, out, INT64_MIN, RONDE_FLOAT32, RONDE_SUM, NULL),
		T "the count is negative: -9223372036854775808");
	refused(reduce_async("t", in, out, INT64_MAX, RONDE_FLOAT64, RONDE_SUM, NULL),
		T "9223372036854775807 elements of float64 are more bytes than memory can have");
}

static void allreduce_memory(int rank, int size, const void *arg)
{
	(void)rank, (void)size, (void)arg;
	refused(reduce_async("t", NULL, out, 3, RONDE_FLOAT32, RONDE_SUM, NULL),
		T "the input is NULL, but the count is 3");
	refused(reduce_async("t", in, NULL, 3, RONDE_FLOAT32, RONDE_SUM, NULL),
		T "the output is NULL, but the count is 3");
	refused(reduce_async("t", in, in + 2, 3, RONDE_FLOAT32, RONDE_SUM, NULL),
		T "input and output overlap without being the same");
	refused(reduce_async("t", in + 2, in, 3, RONDE_FLOAT32, RONDE_SUM, NULL),
		T "input and output overlap without being the same");
	refused(ronde_allreduce_async("t", in, out, 1, RONDE_FLOAT32, RONDE_SUM, NULL, NULL),
		"ronde_allreduce_async: handle is NULL");
	require_ok(ronde_allreduce("t", in, in + 3, 3, RONDE_FLOAT32, RONDE_SUM));
	require_ok(ronde_allreduce("t", in + 3, in, 3, RONDE_FLOAT32, RONDE_SUM));
	require_ok(ronde_allreduce("t", NULL, NULL, 0, RONDE_FLOAT32, RONDE_SUM));
	require_ok(ronde_allreduce(NULL, NULL, NULL, 0, RONDE_FLOAT32, RONDE_AVERAGE));
}

static void allreduce_options(int rank, int size, const void *arg)
{
	(void)rank, (void)size, (void)arg;
	ronde_options o = RONDE_OPTIONS_INIT;
	o.size = 0;
	refused(reduce_async("t", in, out, 1, RONDE_FLOAT32, RONDE_SUM, &o),
		T "the options' size is 0; start from RONDE_OPTIONS_INIT");
	o = (ronde_options)RONDE_OPTIONS_INIT;
	o.process_set = 1;
	refused(reduce_async("t", in, out, 1, RONDE_FLOAT32, RONDE_SUM, &o),
		T "process set 1 does not exist; 0 is the set of all ranks");
	o.process_set = -1;
	refused(reduce_async("t", in, out, 1, RONDE_FLOAT32, RONDE_SUM, &o),
		T "process set -1 does not exist; 0 is the set of all ranks");
	o = (ronde_options)RONDE_OPTIONS_INIT;
	o.prescale = (double)INFINITY;
	refused(reduce_async("t", in, out, 1, RONDE_FLOAT32, RONDE_SUM, &o),
		T "prescale inf and postscale 1 must be finite");
	o.prescale = 0.5;
	o.postscale = (double)NAN;
	refused(reduce_async("t", in, out, 1, RONDE_FLOAT32, RONDE_SUM, &o),
		T "prescale 0.5 and postscale nan must be finite");
	o = (ronde_options)RONDE_OPTIONS_INIT;
	o.size += 8; /* of a later version */
	require_ok(reduce_async("t", in, out, 1, RONDE_FLOAT32, RONDE_SUM, &o));
	require_ok(ronde_wait(handle));
}

#define EXTENTS "the extents in options.shape must be at least 0 and their product the count, "

static void allreduce_shapes(int rank, int size, const void *arg)
{
	(void)rank, (void)size, (void)arg;
	static const int64_t ones[RONDE_MAX_DIMS + 1] = {1, 1, 1, 1, 1, 1, 1, 1, 1,
							 1, 1, 1, 1, 1, 1, 1, 1};
	static const int64_t negative[] = {-2, -3}, two[] = {2, 3}, huge[] = {INT64_MAX, 2},
			     wraps[] = {1ll << 32, 1ll << 32};
	refused(reduce_async("t", in, out, 1, RONDE_FLOAT32, RONDE_SUM, SHAPED(1, NULL)),
		T "options.ndim is 1, but options.shape is NULL");
	refused(reduce_async("t", in, out, 1, RONDE_FLOAT32, RONDE_SUM, SHAPED(17, ones)),
		T "options.ndim is 17; allowed is 0 to 16");
	refused(reduce_async("t", in, out, 1, RONDE_FLOAT32, RONDE_SUM, SHAPED(-1, ones)),
		T "options.ndim is -1; allowed is 0 to 16");
	refused(reduce_async("t", in, out, 5, RONDE_FLOAT32, RONDE_SUM, SHAPED(2, two)),
		T EXTENTS "5");
	refused(reduce_async("t", in, out, 6, RONDE_FLOAT32, RONDE_SUM, SHAPED(2, negative)),
		T EXTENTS "6");
	refused(reduce_async("t", in, out, 6, RONDE_FLOAT32, RONDE_SUM, SHAPED(2, huge)),
		T EXTENTS "6");
	refused(reduce_async("t", in, out, 0, RONDE_FLOAT32, RONDE_SUM, SHAPED(2, wraps)),
		T EXTENTS "0");
	require_ok(reduce_async("t", in, out, 6, RONDE_FLOAT32, RONDE_SUM, SHAPED(2, two)));
	require_ok(ronde_wait(handle));
	require_ok(reduce_async("t", in, out, 1, RONDE_FLOAT32, RONDE_SUM,
				SHAPED(RONDE_MAX_DIMS, ones)));
	require_ok(ronde_wait(handle));
	require_ok(reduce_async("t", in, out, 1, RONDE_FLOAT32, RONDE_SUM, SHAPED(0, ones)));
	require_ok(ronde_wait(handle));
}

/* ---- broadcast ---- */

#undef T
#define T "ronde_broadcast_async: tensor \"t\": "
#define send_async(name, input, output, count, dtype, root, options)                               \
	ronde_broadcast_async(name, input, output, count, dtype, root, options, &handle)

static void broadcast_arguments(int rank, int size, const void *arg)
{
	(void)arg;
	char text[200];
	float *mine = rank == 0 ? in : NULL;
	ronde_options o = RONDE_OPTIONS_INIT;
	refused(ronde_broadcast("", in, out, 1, RONDE_FLOAT32, 0),
		"ronde_broadcast: tensor \"\": the name is empty; give NULL for an unnamed tensor");
	refused(send_async("t", in, out, 1, (ronde_dtype)99, 0, NULL),
		T "99 is not a type (enum ronde_dtype)");
	refused(send_async("t", in, out, -4, RONDE_FLOAT32, 0, NULL),
		T "the count is negative: -4");
	snprintf(text, sizeof text, T "root -1 is not a rank; allowed is 0 to %d", size - 1);
	refused(send_async("t", in, out, 1, RONDE_FLOAT32, -1, NULL), text);
	snprintf(text, sizeof text, T "root %d is not a rank; allowed is 0 to %d", size, size - 1);
	refused(send_async("t", in, out, 1, RONDE_FLOAT32, size, NULL), text);
	refused(send_async("t", NULL, out, 2, RONDE_FLOAT32, rank, NULL),
		T "the root's input is NULL, but the count is 2");
	refused(send_async("t", in, NULL, 2, RONDE_FLOAT32, 0, NULL),
		T "the output is NULL, but the count is 2");
	refused(send_async("t", in, in + 1, 2, RONDE_FLOAT32, rank, NULL),
		T "input and output overlap without being the same");
	o.process_set = 5;
	refused(send_async("t", in, out, 2, RONDE_FLOAT32, 0, &o),
		T "process set 5 does not exist; 0 is the set of all ranks");
	refused(ronde_broadcast_async("t", in, out, 1, RONDE_FLOAT32, 0, NULL, NULL),
		"ronde_broadcast_async: handle is NULL");
	require_ok(ronde_broadcast("t", mine, out, 2, RONDE_FLOAT32, 0));
	require_ok(ronde_broadcast("t", NULL, NULL, 0, RONDE_FLOAT32, 0));
}

/* ---- the rest ---- */

static void barrier_and_handles(int rank, int size, const void *arg)
{
	(void)rank, (void)size, (void)arg;
	ronde_options o = RONDE_OPTIONS_INIT;
	ronde_counters counters = {.size = 0};
	int done = 7;
	refused(ronde_barrier_async(NULL, NULL), "ronde_barrier_async: handle is NULL");
	o.process_set = 3;
	refused(ronde_barrier_async(&o, &handle),
		"ronde_barrier_async: process set 3 does not exist; 0 is the set of all ranks");
	o.process_set = 0;
	o.size = 4;
	refused(ronde_barrier_async(&o, &handle),
		"ronde_barrier_async: the options' size is 4; start from RONDE_OPTIONS_INIT");
	o = (ronde_options)RONDE_OPTIONS_INIT;
	o.prescale = rank; /* no scale of a barrier is looked at */
	require_ok(ronde_barrier_async(&o, &handle));
	require_ok(ronde_wait(handle));

	refused(ronde_test(handle, NULL), "ronde_test: done is NULL");
	refused(ronde_handle_on_done(handle, NULL, NULL),
		"ronde_handle_on_done: the function is NULL");
	static const ronde_handle unknown[] = {0, 1, 0xffffffff, UINT64_MAX, UINT64_MAX << 20};
	for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
		require(ronde_test(unknown[i], &done) == RONDE_ERR_UNKNOWN_HANDLE, "test");
		require(ronde_wait(unknown[i]) == RONDE_ERR_UNKNOWN_HANDLE, "wait");
		require(ronde_handle_on_done(unknown[i], (ronde_done_fn)abort, NULL) ==
				RONDE_ERR_UNKNOWN_HANDLE,
			"on_done");
	}
	require(done == 7, "an output was set");
	require_error(ronde_test(0xffffffff, &done), RONDE_ERR_UNKNOWN_HANDLE,
		      "ronde_test: handle 0xffffffff is not in flight: it was never given out, was "
		      "already waited for, or is of a runtime that has been shut down");
	require_error(ronde_wait(0xffffffff), RONDE_ERR_UNKNOWN_HANDLE,
		      "ronde_wait: handle 0xffffffff is not in flight: it was never given out, was "
		      "already waited for, or is of a runtime that has been shut down");
	works();

	refused(ronde_get_counters(NULL), "ronde_get_counters: counters is NULL");
	refused(ronde_get_counters(&counters), "ronde_get_counters: the struct's size is not set");
}

static const fork_ranks_fn bodies[] = {allreduce_names_and_types, allreduce_memory,
				       allreduce_options,         allreduce_shapes,
				       broadcast_arguments,       barrier_and_handles};
#define BODIES ((int)(sizeof bodies / sizeof *bodies))

START_TEST(refusals)
{
	ck_assert_int_eq(fork_ranks(1, bodies[_i], NULL), 0);
	ck_assert_int_eq(fork_ranks(2, bodies[_i], NULL), 0);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{names_of_everything, ONCE},
		{refusals, 0, BODIES},
	};
	return SUITE_RUN("api", 60, tests);
}

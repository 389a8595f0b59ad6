/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What bad input gets, of operations on rows: allgather, reducescatter, alltoall. As check_api.
 */
#include <math.h>
#include <string.h>

#include "tests/refusals.h"
#include "tests/suite.h"

/* ---- allgather ---- */

#define T "ronde_allgather_async: tensor \"t\": "
#define SHAPE                                                                                      \
	T "an allgather needs a shape of 1 to 16 extents, none of them negative; shape is given "  \
	  "and ndim "

static void allgather_arguments(int rank, int size, const void *arg)
{
	(void)rank, (void)arg;
	ronde_options o = RONDE_OPTIONS_INIT;
	ronde_gathered g = {.data = out, .capacity_bytes = sizeof out};
	int64_t shape[RONDE_MAX_DIMS + 1] = {2, 1}, negative[] = {2, -1}, huge[] = {INT64_MAX, 4};
	refused(ronde_allgather("", in, shape, 1, RONDE_FLOAT32, &g),
		"ronde_allgather: tensor \"\": the name is empty; give NULL for an unnamed tensor");
	refused(ronde_allgather_async("t", in, NULL, 1, RONDE_FLOAT32, &g, NULL, &handle),
		T "an allgather needs a shape of 1 to 16 extents, none of them negative; shape is "
		  "NULL and ndim 1");
	refused(ronde_allgather_async("t", in, shape, 0, RONDE_FLOAT32, &g, NULL, &handle),
		SHAPE "0");
	refused(ronde_allgather_async("t", in, shape, 17, RONDE_FLOAT32, &g, NULL, &handle),
		SHAPE "17");
	refused(ronde_allgather_async("t", in, shape, -1, RONDE_FLOAT32, &g, NULL, &handle),
		SHAPE "-1");
	refused(ronde_allgather_async("t", in, negative, 2, RONDE_FLOAT32, &g, NULL, &handle),
		SHAPE "2");
	require(ronde_allgather_async("t", in, huge, 2, RONDE_FLOAT32, &g, NULL, &handle) ==
			RONDE_ERR_INVALID_ARGUMENT,
		"%s", ronde_error_message());
	refused(ronde_allgather_async("t", in, shape, 2, (ronde_dtype)13, &g, NULL, &handle),
		T "13 is not a type (enum ronde_dtype)");
	refused(ronde_allgather_async("t", NULL, shape, 2, RONDE_FLOAT32, &g, NULL, &handle),
		T "the input is NULL, but the count is 2");
	refused(ronde_allgather_async("t", in, shape, 2, RONDE_FLOAT32, NULL, NULL, &handle),
		T "output is NULL");
	refused(ronde_allgather_async("t", in, shape, 2, RONDE_FLOAT32, &g, NULL, NULL),
		"ronde_allgather_async: handle is NULL");
	o.process_set = 2;
	refused(ronde_allgather_async("t", in, shape, 2, RONDE_FLOAT32, &g, &o, &handle),
		T "process set 2 does not exist; 0 is the set of all ranks");
	o = (ronde_options)RONDE_OPTIONS_INIT;
	o.size = 1;
	refused(ronde_allgather_async("t", in, shape, 2, RONDE_FLOAT32, &g, &o, &handle),
		T "the options' size is 1; start from RONDE_OPTIONS_INIT");
	require_ok(ronde_allgather("t", in, shape, 2, RONDE_FLOAT32, &g));
	require(g.rows == 2 * size && g.data == out, "%lld rows", (long long)g.rows);
}

/* ---- reducescatter ---- */

#undef T
#define T "ronde_reducescatter_async: tensor \"t\": "

static void reducescatter_arguments(int rank, int size, const void *arg)
{
	(void)arg;
	ronde_options o = RONDE_OPTIONS_INIT;
	int64_t first = -1, count = -1, shape[] = {5, 2};
	require_ok(ronde_reducescatter_rows(5, size, rank, &first, &count));
	require_error(ronde_reducescatter_rows(5, 2, 2, &first, &count), RONDE_ERR_INVALID_ARGUMENT,
		      "ronde_reducescatter_rows: 5 rows have no share of member 2 of 2");
	require_error(ronde_reducescatter_rows(5, 2, 1, &first, NULL), RONDE_ERR_INVALID_ARGUMENT,
		      "ronde_reducescatter_rows: count is NULL");
	refused(ronde_reducescatter("t", in, out, shape, 0, RONDE_FLOAT32, RONDE_SUM),
		"ronde_reducescatter: tensor \"t\": a reducescatter needs a shape of 1 to 16 "
		"extents, none of them negative; shape is given and ndim 0");
	refused(ronde_reducescatter_async("t", in, out, shape, 2, RONDE_FLOAT32, RONDE_ADASUM, NULL,
					  &handle),
		T "there is no adasum of a reducescatter");
	refused(ronde_reducescatter_async("t", in, out, shape, 2, RONDE_FLOAT32, (ronde_reduction)6,
					  NULL, &handle),
		T "6 is not a reduction (enum ronde_reduction)");
	refused(ronde_reducescatter_async("t", NULL, out, shape, 2, RONDE_FLOAT32, RONDE_SUM, NULL,
					  &handle),
		T "the input is NULL, but the count is 10");
	refused(ronde_reducescatter_async("t", in, out, shape, 2, RONDE_FLOAT32, RONDE_SUM, NULL,
					  NULL),
		"ronde_reducescatter_async: handle is NULL");
	o.postscale = NAN;
	refused(ronde_reducescatter_async("t", in, out, shape, 2, RONDE_FLOAT32, RONDE_SUM, &o,
					  &handle),
		T "prescale 1 and postscale nan must be finite");
	char text[300];
	snprintf(text, sizeof text,
		 T "the output is NULL, but %d bytes of the result are this rank's",
		 (int)count * 8);
	refused(ronde_reducescatter_async("t", in, NULL, shape, 2, RONDE_FLOAT32, RONDE_SUM, NULL,
					  &handle),
		text);
	snprintf(text, sizeof text,
		 T "the output overlaps the input, but begins neither where that does nor at this "
		   "rank's rows, %d bytes behind",
		 (int)first * 8);
	refused(ronde_reducescatter_async("t", in, (char *)in + first * 8 + 4, shape, 2,
					  RONDE_FLOAT32, RONDE_SUM, NULL, &handle),
		text);
	for (int i = 0; i < 10; i++)
		in[i] = (float)(i + rank);
	require_ok(ronde_reducescatter("t", in, out, shape, 2, RONDE_FLOAT32, RONDE_MAX));
	for (int64_t i = 0; i < count * 2; i++)
		require(out[i] == (float)(first * 2 + i + size - 1), "row %lld", (long long)i / 2);
	memset(in, 0, sizeof in);
	memset(out, 0, sizeof out);
}

/* ---- alltoall ---- */

#undef T
#define T "ronde_alltoall_async: tensor \"t\": "
#define SEND(shape, splits, nsplits)                                                               \
	ronde_alltoall_async("t", in, shape, 2, RONDE_FLOAT32, splits, nsplits, &g, &o, &handle)

static void alltoall_arguments(int rank, int size, const void *arg)
{
	(void)arg;
	ronde_options o = RONDE_OPTIONS_INIT;
	ronde_gathered g = {.data = out, .capacity_bytes = sizeof out};
	int64_t shape[] = {3, 2}, even[] = {2 * size, 2}, received[2];
	int64_t all[] = {size == 1 ? 3 : 1, 2}, more[] = {4, 0}, negative[] = {-1, 4};
	int64_t fewer[] = {1, 1};
	char text[300];
	refused(ronde_alltoall("t", in, shape, 0, RONDE_FLOAT32, NULL, 0, &g),
		"ronde_alltoall: tensor \"t\": an alltoall needs a shape of 1 to 16 extents, none "
		"of them negative; shape is given and ndim 0");
	refused(ronde_alltoall_async("t", NULL, shape, 2, RONDE_FLOAT32, all, size, &g, NULL,
				     &handle),
		T "the input is NULL, but the count is 6");
	refused(ronde_alltoall_async("t", in, shape, 2, RONDE_FLOAT32, all, size, NULL, NULL,
				     &handle),
		T "output is NULL");
	refused(ronde_alltoall_async("t", in, shape, 2, RONDE_FLOAT32, all, size, &g, NULL, NULL),
		"ronde_alltoall_async: handle is NULL");
	refused(SEND(shape, NULL, 2), T "splits is NULL, but their number is 2");
	if (size == 2)
		refused(SEND(shape, NULL, 0),
			T "3 rows cannot be split evenly over 2 members; give splits");
	snprintf(text, sizeof text, T "there are 5 splits for %d members", size);
	refused(SEND(shape, all, 5), text);
	refused(SEND(shape, negative, size), T "split 0 is negative: -1");
	refused(SEND(shape, more, size), T "the splits take more than the 3 rows there are");
	snprintf(text, sizeof text,
		 T "the splits take only %d of 3 rows; to send fewer on purpose set "
		   "options.partial_splits",
		 size);
	refused(SEND(shape, fewer, size), text);
	o.process_set = 2;
	refused(SEND(shape, all, size),
		T "process set 2 does not exist; 0 is the set of all ranks");
	o = (ronde_options)RONDE_OPTIONS_INIT;
	o.partial_splits = 1;
	for (int i = 0; i < 16; i++)
		in[i] = (float)(100 * rank + i);
	g.rows_per_rank = received;
	require_ok(SEND(shape, fewer, size));
	require_ok(ronde_wait(handle));
	handle = 0;
	for (int m = 0; m < size; m++)
		require(received[m] == 1 && out[2 * m] == (float)(100 * m + 2 * rank),
			"row of rank %d", m);
	require_ok(ronde_alltoall(NULL, in, even, 2, RONDE_FLOAT32, NULL, 0, &g));
	require(g.rows == 2 * size && out[4 * size - 1] == (float)(100 * (size - 1) + 4 * rank + 3),
		"the last of %lld rows", (long long)g.rows);
	memset(in, 0, sizeof in);
	memset(out, 0, sizeof out);
}

static const fork_ranks_fn bodies[] = {allgather_arguments, reducescatter_arguments,
				       alltoall_arguments};
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
		{refusals, 0, BODIES},
	};
	return SUITE_RUN("api_rows", 60, tests);
}

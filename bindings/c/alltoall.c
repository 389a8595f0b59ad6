/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "bindings/c/arguments.h"
#include "bindings/c/default.h"
#include "bindings/c/operations.h"
#include "collectives/status.h"

/* Splits as the application gave them; NULL: none. */
struct splits {
	const int64_t *rows;
	int count;
	bool partial; /* they need not take all rows */
};

static int check_even(const struct ronde_arguments *a, int count, int64_t rows, int members)
{
	if (count)
		return ronde_arguments_error(a, "splits is NULL, but their number is %d", count);
	if (rows % members == 0)
		return RONDE_OK;
	return ronde_arguments_error(a,
				     "%" PRId64
				     " rows cannot be split evenly over %d members; give "
				     "splits",
				     rows, members);
}

static int check_splits(const struct ronde_arguments *a, const struct splits *splits, int64_t rows,
			int members)
{
	int64_t left = rows;
	if (!splits->rows)
		return check_even(a, splits->count, rows, members);
	if (splits->count != members)
		return ronde_arguments_error(a, "there are %d splits for %d members", splits->count,
					     members);
	for (int m = 0; m < members; m++) {
		if (splits->rows[m] < 0)
			return ronde_arguments_error(a, "split %d is negative: %" PRId64, m,
						     splits->rows[m]);
		if (splits->rows[m] > left)
			return ronde_arguments_error(
				a, "the splits take more than the %" PRId64 " rows there are",
				rows);
		left -= splits->rows[m];
	}
	if (left == 0 || splits->partial)
		return RONDE_OK;
	return ronde_arguments_error(a,
				     "the splits take only %" PRId64 " of %" PRId64
				     " rows; to send fewer on purpose set options.partial_splits",
				     rows - left, rows);
}

static int alltoall(const char *function, const char *name, const void *input, const int64_t *shape,
		    int ndim, ronde_dtype dtype, const int64_t *splits, int nsplits,
		    ronde_gathered *output, const ronde_options *options, ronde_handle *handle)
{
	struct ronde_submission s;
	ronde_options plain = RONDE_OPTIONS_INIT;
	struct splits given = {splits, nsplits, false};
	if (options)
		ronde_operation_take_set(&plain, options);
	if (options && options->size >= offsetof(ronde_options, partial_splits) +
						sizeof options->partial_splits)
		given.partial = options->partial_splits != 0;
	struct ronde_arguments a = {
		.function = function, .name = name, .dtype = dtype, .options = &plain};
	struct ronde_context *ctx = ronde_default_enter(function);
	if (!ctx)
		return RONDE_ERR_NOT_INITIALIZED;
	int status = ronde_arguments_rows(&a, "an alltoall", shape, ndim, &plain);
	if (!status)
		status = ronde_arguments_check(ctx, &a, RONDE_KIND_ALLTOALL, &s);
	if (!status && !output)
		status = ronde_arguments_error(&a, "output is NULL");
	if (!status)
		status = ronde_arguments_memory(&a, "input", input);
	if (!status)
		status = check_splits(&a, &given, shape[0], s.members);
	if (!status) {
		s.input = input;
		s.gathered = output;
		s.splits = splits;
		s.rows = shape[0];
		s.desc.dims[0] = 0; /* may differ over ranks */
	}
	return ronde_operation_finish(ctx, status, &s, handle);
}

int ronde_alltoall(const char *name, const void *input, const int64_t *shape, int ndim,
		   ronde_dtype dtype, const int64_t *splits, int nsplits, ronde_gathered *output)
{
	return alltoall("ronde_alltoall", name, input, shape, ndim, dtype, splits, nsplits, output,
			NULL, NULL);
}

int ronde_alltoall_async(const char *name, const void *input, const int64_t *shape, int ndim,
			 ronde_dtype dtype, const int64_t *splits, int nsplits,
			 ronde_gathered *output, const ronde_options *options, ronde_handle *handle)
{
	static const char function[] = "ronde_alltoall_async";
	if (!handle)
		return ronde_operation_no_handle(function);
	return alltoall(function, name, input, shape, ndim, dtype, splits, nsplits, output, options,
			handle);
}

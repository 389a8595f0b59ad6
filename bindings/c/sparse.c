/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sparse tensors: rows with their numbers. A sum over ranks is all rows of all ranks one after the
 * other, a grouped allgather NAME.rows of two tensors:
 *
 *   NAME.rows_1of2   rows numbers of each rank
 *   NAME.rows_2of2   the rows; ranks that give other widths are found out here
 *
 * A group, so that no rank has numbers there without rows: neither where one of them is refused,
 * nor where another thread joins in between.
 *
 * 2 ranks: rank 0 has row 4 = [1 2], rank 1 rows 0 = [3 4] and 4 = [5 6]. All get
 * indices 4 0 4, values [1 2] [3 4] [5 6]; into a dense tensor they add 0: [3 4] and 4: [6 8].
 */
#include "bindings/c/sparse.h"
#include "bindings/c/arguments.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/c/default.h"
#include "collectives/kernels/kernels.h"
#include "collectives/status.h"
#include "coordinator/floating.h"

#define GROUP_SUFFIX ".rows"

/* ---- what is refused ---- */

static int check_rows(const ronde_sparse_rows *r, const char *what)
{
	if (r->rows < 0 || r->width < 0)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "\"%s\": there are %" PRId64 " rows of %" PRId64
				   " elements: neither may be below 0",
				   what, r->rows, r->width);
	if (ronde_dtype_bytes(r->dtype) == 0)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "\"%s\": the rows have the dtype %d, which is no ronde_dtype",
				   what, (int)r->dtype);
	if (r->rows > 0 && (!r->indices || (!r->values && r->width > 0)))
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "\"%s\": there are %" PRId64 " rows, but their %s are NULL",
				   what, r->rows, r->indices ? "values" : "indices");
	return RONDE_OK;
}

int ronde_sparse_check(const ronde_sparse_rows *rows, int64_t dense_rows, const char *what)
{
	int status = check_rows(rows, what);
	for (int64_t i = 0; status == RONDE_OK && i < rows->rows; i++)
		if (rows->indices[i] < 0 || rows->indices[i] >= dense_rows)
			status = ronde_error(RONDE_ERR_INVALID_ARGUMENT,
					     "\"%s\": index %" PRId64 " of %" PRId64 " is %" PRId64
					     ", but the tensor has %" PRId64 " rows",
					     what, i, rows->rows, rows->indices[i], dense_rows);
	return status;
}

static int check_allreduce(const char *name, const ronde_sparse_rows *input,
			   ronde_reduction reduction, const ronde_sparse *sparse)
{
	if (!input || !sparse)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "ronde_sparse_allreduce() needs rows and a place for the "
				   "result; %s is NULL",
				   input ? "sparse" : "input");
	if (name &&
	    strnlen(name, RONDE_MAX_NAME + 1) + strlen(RONDE_SPARSE_SUFFIX) > RONDE_MAX_NAME)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "the name \"%.40s…\" is too long: ronde_sparse_allreduce() adds "
				   "\"" RONDE_SPARSE_SUFFIX
				   "\" to it and names have at most %d bytes",
				   name, RONDE_MAX_NAME);
	if (reduction != RONDE_SUM && reduction != RONDE_AVERAGE)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "\"%s\": the reduction of a sparse allreduce is %s (%d): it "
				   "must be RONDE_SUM or RONDE_AVERAGE",
				   name ? name : "(unnamed)", ronde_reduction_name(reduction),
				   (int)reduction);
	return check_rows(input, name ? name : "(unnamed)");
}

/* ---- the sum over ranks ---- */

/* After an error: memory of malloc() is nobody's. */
static void forget(ronde_sparse *sparse)
{
	ronde_gathered *parts[] = {&sparse->indices, &sparse->values};
	for (int i = 0; i < 2; i++)
		if (sparse->owned[i]) {
			free(parts[i]->data);
			parts[i]->data = NULL;
		}
}

static int submit(const char *name, const ronde_sparse_rows *input, const ronde_options *options,
		  ronde_sparse *sparse)
{
	char group[RONDE_MAX_NAME + 1];
	const int64_t shape[] = {input->rows, input->width};
	const ronde_group_tensor parts[] = {{.input = input->indices,
					     .gathered = &sparse->indices,
					     .shape = shape,
					     .ndim = 1,
					     .dtype = RONDE_INT64},
					    {.input = input->values,
					     .gathered = &sparse->values,
					     .shape = shape,
					     .ndim = 2,
					     .dtype = input->dtype}};
	snprintf(group, sizeof group, "%s" GROUP_SUFFIX, name ? name : "");
	return ronde_grouped_allgather_async(name ? group : NULL, parts, 2, options,
					     &sparse->handle);
}

static int start(const char *function, const char *name, const ronde_sparse_rows *input,
		 ronde_reduction reduction, const ronde_options *options, ronde_sparse *sparse)
{
	int status = ronde_default_check(function);
	if (status == RONDE_OK)
		status = check_allreduce(name, input, reduction, sparse);
	if (status == RONDE_OK)
		status = ronde_arguments_options(&(struct ronde_arguments){
			.function = function, .name = name, .options = options});
	if (status != RONDE_OK)
		return status;
	sparse->result = (ronde_sparse_rows){.width = input->width, .dtype = input->dtype};
	sparse->reduction = reduction;
	sparse->owned[0] = !sparse->indices.data && !sparse->indices.alloc;
	sparse->owned[1] = !sparse->values.data && !sparse->values.alloc;
	sparse->scale[0] = options ? options->prescale : 1;
	sparse->scale[1] = options ? options->postscale : 1;
	return submit(name, input, options, sparse);
}

int ronde_sparse_allreduce_async(const char *name, const ronde_sparse_rows *input,
				 ronde_reduction reduction, const ronde_options *options,
				 ronde_sparse *sparse)
{
	return start("ronde_sparse_allreduce_async", name, input, reduction, options, sparse);
}

static int scale(ronde_sparse *sparse)
{
	const struct ronde_kernels *kernels = ronde_kernels_select(NULL);
	ronde_sparse_rows *r = &sparse->result;
	struct ronde_reduce_spec spec = {.dtype = r->dtype,
					 .reduction = sparse->reduction,
					 .prescale = sparse->scale[0],
					 .postscale = sparse->scale[1],
					 .divisor = sparse->values.divisor};
	void *values = sparse->values.data;
	const void *source = values;
	if (!kernels)
		return RONDE_ERR_INTERNAL;
	if (r->rows == 0 || r->width == 0)
		return RONDE_OK;
	unsigned int mode = ronde_floating_enter();
	kernels->reduce(&spec, &values, 1, &source, 1, (size_t)(r->rows * r->width));
	ronde_floating_leave(mode);
	return RONDE_OK;
}

int ronde_sparse_finish(ronde_sparse *sparse)
{
	sparse->result.rows = sparse->indices.rows;
	sparse->result.indices = sparse->indices.data;
	sparse->result.values = sparse->values.data;
	return scale(sparse);
}

int ronde_sparse_wait(ronde_sparse *sparse)
{
	if (!sparse)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT, "ronde_sparse_wait: sparse is NULL");
	int status = ronde_default_check("ronde_sparse_wait");
	if (status == RONDE_OK)
		status = ronde_wait(sparse->handle);
	if (status != RONDE_OK) {
		forget(sparse);
		return status;
	}
	return ronde_sparse_finish(sparse);
}

int ronde_sparse_allreduce(const char *name, const ronde_sparse_rows *input,
			   ronde_reduction reduction, const ronde_options *options,
			   ronde_sparse *sparse)
{
	int status = start("ronde_sparse_allreduce", name, input, reduction, options, sparse);
	return status == RONDE_OK ? ronde_sparse_wait(sparse) : status;
}

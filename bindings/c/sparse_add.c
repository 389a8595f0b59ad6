/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adds sparse rows into a dense tensor, reproducibly: the rows are sorted by number, rows of one
 * number keeping their order, and each dense row and all that is added to it are reduced by one
 * call of the kernel that also adds up ranks. Indices 4 0 4 2: dense 0 and row 1; dense 2 and row
 * 3; dense 4, row 0 and row 2 as (d+r0)+r2.
 */
#include <stdlib.h>

#include "bindings/c/sparse.h"
#include "collectives/kernels/kernels.h"
#include "collectives/status.h"
#include "coordinator/floating.h"

/* Of two places in the list: by index, then by place. */
static int compare(const void *a, const void *b, void *indices)
{
	size_t i = *(const size_t *)a, j = *(const size_t *)b;
	const int64_t *list = indices;
	if (list[i] != list[j])
		return list[i] < list[j] ? -1 : 1;
	return (i > j) - (i < j);
}

/* The rows in sorted order; room for one source more than there are rows. */
static void add(const struct ronde_kernels *kernels, char *dense, const ronde_sparse_rows *rows,
		const size_t *order, const void **sources)
{
	const struct ronde_reduce_spec spec = {
		.dtype = rows->dtype, .reduction = RONDE_SUM, .prescale = 1, .postscale = 1};
	size_t bytes = (size_t)rows->width * ronde_dtype_bytes(rows->dtype);
	size_t count = (size_t)rows->rows;
	for (size_t i = 0; i < count;) {
		int64_t index = rows->indices[order[i]];
		void *row = dense + (size_t)index * bytes;
		int n = 0;
		sources[n++] = row;
		for (; i < count && rows->indices[order[i]] == index; i++)
			sources[n++] = (const char *)rows->values + order[i] * bytes;
		kernels->reduce(&spec, &row, 1, sources, n, (size_t)rows->width);
	}
}

int ronde_sparse_add(void *dense, int64_t dense_rows, const ronde_sparse_rows *rows)
{
	if (!rows || (!dense && dense_rows > 0 && rows->width > 0))
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT, "ronde_sparse_add: %s is NULL",
				   rows ? "dense" : "rows");
	int status = ronde_sparse_check(rows, dense_rows, "ronde_sparse_add");
	if (status != RONDE_OK || rows->rows == 0 || rows->width == 0)
		return status;
	size_t count = (size_t)rows->rows;
	const struct ronde_kernels *kernels = ronde_kernels_select(NULL);
	size_t *order = malloc(count * sizeof *order);
	const void **sources = malloc((count + 1) * sizeof *sources);
	if (!kernels || !order || !sources) {
		status = ronde_error(RONDE_ERR_OUT_OF_MEMORY,
				     "no memory to sort the numbers of %zu rows", count);
	} else {
		for (size_t i = 0; i < count; i++)
			order[i] = i;
		qsort_r(order, count, sizeof *order, compare, (void *)rows->indices);
		unsigned int mode = ronde_floating_enter();
		add(kernels, dense, rows, order, sources);
		ronde_floating_leave(mode);
	}
	free(order);
	free(sources);
	return status;
}

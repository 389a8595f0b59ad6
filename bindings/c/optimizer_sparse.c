/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sparse gradients of the distributed optimizer: the rows of all ranks are gathered, and added into
 * the parameter's dense gradient if it has one. Or, if they are made dense before they are sent,
 * added into it at once; then they are gradients like any others.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/c/optimizer.h"
#include "bindings/c/sparse.h"
#include "collectives/status.h"

/* The dense gradient becomes the sum of the rows. */
static int make_dense(const struct ronde_exchanged *x, const ronde_sparse_rows *rows)
{
	if (x->count > 0)
		memset(x->gradient, 0, (size_t)x->count * ronde_dtype_bytes(x->dtype));
	return ronde_sparse_add(x->gradient, x->count / x->width, rows);
}

int ronde_exchanged_give_rows(struct ronde_exchanged *x, const ronde_sparse_rows *rows)
{
	if (!rows)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT, "\"%s\": the rows are NULL",
				   x->name);
	if (x->width == 0)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "\"%s\" is dense: report it with ronde_gradient_ready(), or "
				   "give it a width in sparse_widths",
				   x->name);
	if (rows->width != x->width || rows->dtype != x->dtype)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "\"%s\" has rows of %" PRId64 " %s, and was given rows of "
				   "%" PRId64 " %s",
				   x->name, x->width, ronde_dtype_name(x->dtype), rows->width,
				   ronde_dtype_name(rows->dtype));
	int status = ronde_sparse_check(rows, x->count / x->width, x->name);
	if (status == RONDE_OK && !x->sparse)
		status = make_dense(x, rows);
	if (status != RONDE_OK)
		return status;
	x->rows = *rows;
	x->present = true;
	return RONDE_OK;
}

/* What an earlier step left is freed, so that the result is of this one. */
static void forget(ronde_sparse *sparse)
{
	free(sparse->indices.data);
	free(sparse->values.data);
	memset(sparse, 0, sizeof *sparse);
}

static void prepare_sparse(const ronde_distributed_optimizer *o, struct ronde_exchanged *x)
{
	(void)o;
	if (!x->present)
		x->rows = (ronde_sparse_rows){.width = x->width, .dtype = x->dtype};
	forget(x->sparse);
	x->bytes = (uint64_t)x->rows.rows *
		   (sizeof(int64_t) + (uint64_t)x->width * ronde_dtype_bytes(x->dtype));
}

static int submit_sparse(const ronde_distributed_optimizer *o, struct ronde_exchanged *x)
{
	return ronde_sparse_allreduce_async(x->name, &x->rows, o->reduction, &o->operation,
					    x->sparse);
}

static int wait_sparse(struct ronde_exchanged *x)
{
	return ronde_sparse_wait(x->sparse);
}

static int apply_sparse(const ronde_distributed_optimizer *o, struct ronde_exchanged *x)
{
	(void)o;
	return x->gradient ? make_dense(x, &x->sparse->result) : RONDE_OK;
}

const struct ronde_exchange ronde_exchange_sparse = {.prepare = prepare_sparse,
						     .submit = submit_sparse,
						     .wait = wait_sparse,
						     .apply = apply_sparse};

int ronde_sparse_gradient(const ronde_distributed_optimizer *optimizer, size_t index,
			  ronde_sparse_rows *rows)
{
	int status = ronde_optimizer_check("ronde_sparse_gradient", optimizer, index);
	if (status != RONDE_OK)
		return status;
	const struct ronde_exchanged *x = &optimizer->parameters[index];
	if (!x->sparse || !rows)
		return ronde_error(
			RONDE_ERR_INVALID_ARGUMENT, "\"%s\" (parameter %zu): %s", x->name, index,
			rows ? "its gradient is dense" : "the place for its rows is NULL");
	if (!optimizer->synchronized)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "\"%s\" (parameter %zu): its rows are there between "
				   "ronde_distributed_optimizer_synchronize() and the end of the "
				   "update",
				   x->name, index);
	*rows = x->sparse->result;
	return RONDE_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* One parameter of the distributed optimizer: its memory, and how a dense gradient travels. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/c/compression.h"
#include "bindings/c/optimizer.h"
#include "collectives/status.h"

/* ---- memory ---- */

static size_t wire_bytes(const struct ronde_exchanged *x)
{
	return (size_t)x->count * ronde_dtype_bytes(x->wire_dtype);
}

static int no_memory(const char *what, const ronde_parameter *p)
{
	return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for %s of parameter \"%s\"", what,
			   p->name);
}

static int init_name(struct ronde_exchanged *x, const ronde_parameter *p, const char *prefix)
{
	size_t bytes = strlen(prefix) + 1 + strlen(p->name) + 1;
	x->name = malloc(bytes);
	if (!x->name)
		return no_memory("the tensor name", p);
	snprintf(x->name, bytes, "%s.%s", prefix, p->name);
	return RONDE_OK;
}

static int init_sparse(struct ronde_exchanged *x, const ronde_parameter *p)
{
	x->exchange = &ronde_exchange_sparse;
	x->sparse = calloc(1, sizeof *x->sparse);
	return x->sparse ? RONDE_OK : no_memory("the rows", p);
}

static int init_delta(struct ronde_exchanged *x, const ronde_parameter *p)
{
	x->exchange = &ronde_exchange_delta;
	x->before = malloc((size_t)p->count * ronde_dtype_bytes(p->dtype) + 1);
	return x->before ? RONDE_OK : no_memory("a copy", p);
}

int ronde_exchanged_init(struct ronde_exchanged *x, const ronde_parameter *p, int64_t width,
			 const ronde_distributed_optimizer_options *options)
{
	int status = init_name(x, p, options->name);
	x->exchange = &ronde_exchange_dense;
	x->data = p->data;
	x->gradient = x->wire = p->gradient;
	x->count = p->count;
	x->dtype = p->dtype;
	x->width = width;
	x->wire_dtype = ronde_compression_dtype(options->compression, p->dtype);
	if (status == RONDE_OK && width > 0 && !options->sparse_as_dense)
		return init_sparse(x, p);
	if (status == RONDE_OK && options->reduction == RONDE_ADASUM)
		status = init_delta(x, p);
	if (status != RONDE_OK || (!x->before && x->wire_dtype == x->dtype))
		return status;
	x->wire = ronde_alloc(wire_bytes(x));
	return x->wire ? RONDE_OK : RONDE_ERR_OUT_OF_MEMORY;
}

void ronde_exchanged_free(struct ronde_exchanged *x)
{
	if (x->sparse) {
		free(x->sparse->indices.data);
		free(x->sparse->values.data);
	}
	free(x->sparse);
	free(x->before);
	if (x->wire != x->gradient)
		ronde_free(x->wire);
	free(x->name);
}

/* ---- gradients by allreduce ---- */

void ronde_exchanged_settle(const ronde_distributed_optimizer *o, struct ronde_exchanged *x)
{
	bool absent = !x->present && (x->passes > 0 || x->width > 0 || o->unreported_is_zero);
	if (absent && !x->sparse && x->count > 0)
		memset(x->gradient, 0, (size_t)x->count * ronde_dtype_bytes(x->dtype));
}

static void prepare_dense(const ronde_distributed_optimizer *o, struct ronde_exchanged *x)
{
	ronde_exchanged_settle(o, x);
	if (x->wire_dtype != x->dtype)
		ronde_compression_convert(o->kernels, x->wire, x->wire_dtype, x->gradient, x->dtype,
					  (size_t)x->count);
	x->bytes = wire_bytes(x);
}

static int apply_dense(const ronde_distributed_optimizer *o, struct ronde_exchanged *x)
{
	if (x->wire_dtype != x->dtype)
		ronde_compression_convert(o->kernels, x->gradient, x->dtype, x->wire, x->wire_dtype,
					  (size_t)x->count);
	return RONDE_OK;
}

const struct ronde_exchange ronde_exchange_dense = {.prepare = prepare_dense, .apply = apply_dense};

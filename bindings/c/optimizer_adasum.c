/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adasum of what each rank's own update changed (Maleki et al., MLSys 2021, section 3.4: with an
 * update that is no plain SGD it is the changes that are combined, not the gradients).
 *
 * For every parameter of 2 ranks that start from w:
 *
 *   before = w;  update makes w0 and w1;  d0 = w0 - before, d1 = w1 - before
 *   weights = before + adasum(d0, d1)         d0 and d1 orthogonal: w + d0 + d1; equal: w + d0
 *
 * Differences and sums are rounded once, to the type that travels and to that of the weights.
 */
#include <stdlib.h>
#include <string.h>

#include "bindings/c/first_error.h"
#include "bindings/c/optimizer.h"
#include "collectives/kernels/ordered.h"
#include "coordinator/floating.h"

/* One of the two, of count elements: out = a + factor * b. */
struct combination {
	const void *a, *b;
	double factor;
	void *out;
	ronde_dtype a_dtype, b_dtype, out_dtype;
};

static void combine(const struct ronde_kernels *kernels, const struct combination *c, size_t count)
{
	double sum[RONDE_ORDERED_BLOCK];
	unsigned int mode = ronde_floating_enter();
	for (size_t done = 0, n; done < count; done += n) {
		n = count - done < RONDE_ORDERED_BLOCK ? count - done : RONDE_ORDERED_BLOCK;
		const char *a = (const char *)c->a + done * ronde_dtype_bytes(c->a_dtype);
		const char *b = (const char *)c->b + done * ronde_dtype_bytes(c->b_dtype);
		char *out = (char *)c->out + done * ronde_dtype_bytes(c->out_dtype);
		ronde_ordered_combine(kernels, sum, true, 1, a, c->a_dtype, n);
		ronde_ordered_combine(kernels, sum, false, c->factor, b, c->b_dtype, n);
		kernels->convert(out, c->out_dtype, sum, RONDE_FLOAT64, n);
	}
	ronde_floating_leave(mode);
}

/* The update is undone on this rank. */
static void restore(const struct ronde_exchanged *x)
{
	if (x->count > 0)
		memcpy(x->data, x->before, (size_t)x->count * ronde_dtype_bytes(x->dtype));
}

static void prepare_delta(const ronde_distributed_optimizer *o, struct ronde_exchanged *x)
{
	struct combination change = {.a = x->data,
				     .b = x->before,
				     .factor = -1,
				     .out = x->wire,
				     .a_dtype = x->dtype,
				     .b_dtype = x->dtype,
				     .out_dtype = x->wire_dtype};
	combine(o->kernels, &change, (size_t)x->count);
	restore(x);
	x->bytes = (uint64_t)x->count * ronde_dtype_bytes(x->wire_dtype);
}

static int apply_delta(const ronde_distributed_optimizer *o, struct ronde_exchanged *x)
{
	struct combination weights = {.a = x->before,
				      .b = x->wire,
				      .factor = 1,
				      .out = x->data,
				      .a_dtype = x->dtype,
				      .b_dtype = x->wire_dtype,
				      .out_dtype = x->dtype};
	combine(o->kernels, &weights, (size_t)x->count);
	return RONDE_OK;
}

const struct ronde_exchange ronde_exchange_delta = {.prepare = prepare_delta, .apply = apply_delta};

int ronde_adasum_step(ronde_distributed_optimizer *o)
{
	struct ronde_first_error first = {.status = RONDE_OK};
	for (size_t i = 0; i < o->count; i++) {
		struct ronde_exchanged *x = &o->parameters[i];
		if (x->count > 0)
			memcpy(x->before, x->data, (size_t)x->count * ronde_dtype_bytes(x->dtype));
	}
	int status = ronde_optimizer_update(o);
	ronde_first_error_note(&first, status);
	/* The other ranks wait for this one's changes also if its update failed: there are none. */
	for (size_t i = 0; i < o->count && status != RONDE_OK; i++)
		restore(&o->parameters[i]);
	ronde_first_error_note(&first, ronde_exchange_all(o));
	return ronde_first_error_return(&first);
}

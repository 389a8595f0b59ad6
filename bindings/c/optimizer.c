/* SPDX-License-Identifier: Apache-2.0 */
/* The distributed optimizer: what may be called when. See optimizer.h. */
#include "bindings/c/optimizer.h"

#include <stdlib.h>
#include <string.h>

#include "bindings/c/default.h"
#include "bindings/c/optimizer_options.h"
#include "bindings/c/parameters.h"
#include "collectives/status.h"

/* ---- creating and destroying ---- */

static void free_optimizer(ronde_distributed_optimizer *o)
{
	ronde_bundles_free(o);
	for (size_t i = 0; i < o->count; i++)
		ronde_exchanged_free(&o->parameters[i]);
	free(o->parameters);
	free(o);
}

static int init_optimizer(ronde_distributed_optimizer *o, const ronde_parameter *parameters,
			  size_t count, const ronde_distributed_optimizer_options *options)
{
	o->reduction = options->reduction;
	o->passes_per_step = options->backward_passes_per_step;
	o->unreported_is_zero = options->unreported_is_zero != 0;
	o->operation = (ronde_options)RONDE_OPTIONS_INIT;
	o->operation.process_set = options->process_set;
	o->operation.prescale = 1 / options->gradient_predivide_factor;
	o->operation.postscale = options->gradient_predivide_factor;
	o->kernels = ronde_kernels_select(NULL);
	if (!o->kernels)
		return RONDE_ERR_INTERNAL;
	o->parameters = calloc(count + 1, sizeof *o->parameters);
	if (!o->parameters)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY,
				   "no memory for an optimizer of %zu parameters", count);
	int status = RONDE_OK;
	while (o->count < count && status == RONDE_OK) {
		int64_t width = options->sparse_widths ? options->sparse_widths[o->count] : 0;
		status = ronde_exchanged_init(&o->parameters[o->count], &parameters[o->count],
					      width, options);
		o->count++;
	}
	return status == RONDE_OK ? ronde_bundles_init(o, options) : status;
}

int ronde_distributed_optimizer_create(ronde_distributed_optimizer **optimizer, ronde_step_fn step,
				       void *state, const ronde_parameter *parameters, size_t count,
				       const ronde_distributed_optimizer_options *options)
{
	int status = ronde_default_check("ronde_distributed_optimizer_create");
	if (status != RONDE_OK)
		return status;
	if (!optimizer || !step)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "ronde_distributed_optimizer_create() needs %s, not NULL",
				   step ? "a place for the optimizer" : "a step function");
	ronde_distributed_optimizer_options all;
	status = ronde_optimizer_options_read(&all, options);
	if (status == RONDE_OK)
		status = ronde_optimizer_parameters_check(&all, parameters, count);
	if (status != RONDE_OK)
		return status;
	ronde_distributed_optimizer *o = calloc(1, sizeof *o);
	if (!o)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for an optimizer");
	o->step = step;
	o->state = state;
	status = init_optimizer(o, parameters, count, &all);
	if (status != RONDE_OK) {
		free_optimizer(o);
		return status;
	}
	*optimizer = o;
	return RONDE_OK;
}

void ronde_distributed_optimizer_destroy(ronde_distributed_optimizer *optimizer)
{
	if (optimizer)
		free_optimizer(optimizer);
}

/* ---- one gradient ---- */

static int check_optimizer(const ronde_distributed_optimizer *o)
{
	return o ? RONDE_OK : ronde_error(RONDE_ERR_INVALID_ARGUMENT, "the optimizer is NULL");
}

int ronde_optimizer_check(const char *function, const ronde_distributed_optimizer *o, size_t index)
{
	int status = check_optimizer(o);
	if (status == RONDE_OK && index >= o->count)
		status = ronde_error(
			RONDE_ERR_INVALID_ARGUMENT,
			"%s() was called for gradient %zu, but the optimizer has %zu parameters",
			function, index, o->count);
	return status;
}

static int check_report(const char *function, const ronde_distributed_optimizer *o, size_t index)
{
	int status = ronde_default_check(function);
	if (status == RONDE_OK)
		status = ronde_optimizer_check(function, o, index);
	if (status != RONDE_OK)
		return status;
	const struct ronde_exchanged *x = &o->parameters[index];
	if (o->synchronized)
		return ronde_error(
			RONDE_ERR_INVALID_ARGUMENT,
			"\"%s\" (parameter %zu) was reported after "
			"ronde_distributed_optimizer_synchronize(): call "
			"ronde_distributed_optimizer_step() before the next backward pass",
			x->name, index);
	if (x->passes == o->passes_per_step)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "\"%s\" (parameter %zu) was reported %d times since the last "
				   "step, but backward_passes_per_step is %d: call "
				   "ronde_distributed_optimizer_step() after every %d backward "
				   "pass(es), or create the optimizer with a larger "
				   "backward_passes_per_step",
				   x->name, index, x->passes + 1, x->passes, x->passes);
	return RONDE_OK;
}

/* Counts a report, and starts the bundle with the last; changes have to wait for the update. What
 * other threads have reported of the bundle is seen by the one that starts it. */
static int count_pass(ronde_distributed_optimizer *o, struct ronde_exchanged *x)
{
	struct ronde_bundle *b = x->bundle;
	if (++x->passes < o->passes_per_step || o->reduction == RONDE_ADASUM)
		return RONDE_OK;
	uint32_t before = atomic_fetch_add_explicit(&b->reported, 1, memory_order_acq_rel);
	return before + 1 == b->count ? ronde_bundle_start(o, b) : RONDE_OK;
}

int ronde_gradient_ready(ronde_distributed_optimizer *optimizer, size_t index)
{
	int status = check_report("ronde_gradient_ready", optimizer, index);
	if (status != RONDE_OK)
		return status;
	struct ronde_exchanged *x = &optimizer->parameters[index];
	if (x->sparse)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "\"%s\" (parameter %zu) is sparse: report its rows with "
				   "ronde_gradient_ready_sparse()",
				   x->name, index);
	x->present = true;
	return count_pass(optimizer, x);
}

int ronde_gradient_absent(ronde_distributed_optimizer *optimizer, size_t index)
{
	int status = check_report("ronde_gradient_absent", optimizer, index);
	return status == RONDE_OK ? count_pass(optimizer, &optimizer->parameters[index]) : status;
}

int ronde_gradient_ready_sparse(ronde_distributed_optimizer *optimizer, size_t index,
				const ronde_sparse_rows *rows)
{
	int status = check_report("ronde_gradient_ready_sparse", optimizer, index);
	if (status != RONDE_OK)
		return status;
	struct ronde_exchanged *x = &optimizer->parameters[index];
	status = ronde_exchanged_give_rows(x, rows);
	return status == RONDE_OK ? count_pass(optimizer, x) : status;
}

/* ---- all gradients ---- */

/* Everything counts from 0: after a step, and after an error. */
static void start_over(ronde_distributed_optimizer *o)
{
	for (size_t i = 0; i < o->count; i++) {
		o->parameters[i].passes = 0;
		o->parameters[i].present = false;
	}
	for (size_t i = 0; i < o->bundle_count; i++)
		atomic_store_explicit(&o->bundles[i].reported, 0, memory_order_relaxed);
	o->synchronized = false;
}

static int synchronize(const char *function, ronde_distributed_optimizer *o)
{
	int status = ronde_default_check(function);
	if (status == RONDE_OK)
		status = check_optimizer(o);
	if (status != RONDE_OK || o->synchronized)
		return status;
	if (o->reduction == RONDE_ADASUM)
		for (size_t i = 0; i < o->count; i++)
			ronde_exchanged_settle(o, &o->parameters[i]);
	else
		status = ronde_exchange_all(o);
	o->synchronized = status == RONDE_OK;
	if (!o->synchronized)
		start_over(o);
	return status;
}

int ronde_distributed_optimizer_synchronize(ronde_distributed_optimizer *optimizer)
{
	return synchronize("ronde_distributed_optimizer_synchronize", optimizer);
}

int ronde_optimizer_update(ronde_distributed_optimizer *o)
{
	int result = o->step(o->state);
	atomic_fetch_add_explicit(&o->steps, 1, memory_order_relaxed);
	if (result == 0)
		return RONDE_OK;
	return ronde_error(RONDE_ERR_CALLBACK, "the optimizer's step function returned %d", result);
}

int ronde_distributed_optimizer_step(ronde_distributed_optimizer *optimizer)
{
	int status = synchronize("ronde_distributed_optimizer_step", optimizer);
	if (status != RONDE_OK)
		return status;
	status = optimizer->reduction == RONDE_ADASUM ? ronde_adasum_step(optimizer)
						      : ronde_optimizer_update(optimizer);
	start_over(optimizer);
	return status;
}

/* ---- looking inside ---- */

int ronde_distributed_optimizer_get_counters(const ronde_distributed_optimizer *optimizer,
					     ronde_optimizer_counters *counters)
{
	const ronde_distributed_optimizer *o = optimizer;
	int status = check_optimizer(o);
	if (status != RONDE_OK)
		return status;
	if (!counters || counters->size < sizeof counters->size)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT, "the optimizer's counters: %s",
				   counters ? "the struct's size is not set" : "counters is NULL");
	ronde_optimizer_counters now = {
		.size = counters->size < sizeof now ? counters->size : sizeof now,
		.steps = atomic_load_explicit(&o->steps, memory_order_relaxed),
		.tensors = atomic_load_explicit(&o->tensors, memory_order_relaxed),
		.bytes = atomic_load_explicit(&o->bytes, memory_order_relaxed),
		.wait_seconds =
			(double)atomic_load_explicit(&o->wait_ns, memory_order_relaxed) * 1e-9,
	};
	memcpy(counters, &now, now.size);
	return RONDE_OK;
}

double ronde_distributed_optimizer_wait_seconds(const ronde_distributed_optimizer *optimizer)
{
	ronde_optimizer_counters counters = {.size = sizeof counters};
	int status = ronde_distributed_optimizer_get_counters(optimizer, &counters);
	return status == RONDE_OK ? counters.wait_seconds : 0;
}

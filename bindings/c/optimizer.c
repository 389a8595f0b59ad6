/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The distributed optimizer, on the public operations only.
 *
 * A gradient's life between two steps, with k = backward_passes_per_step:
 *
 *   counting --(reported for the k-th time, or synchronize)--> in flight --(synchronize)--> reduced
 *      ^                                                                                       |
 *      +------------------------------------- step -------------------------------------------+
 *
 * Only synchronize and step look at more than one gradient, so that gradients can be reported by
 * several threads without a lock: one thread a gradient, and all of them before synchronize or step
 * is called. After an error everything counts from 0 again.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bindings/c/compression.h"
#include "bindings/c/first_error.h"
#include "bindings/c/optimizer_options.h"
#include "bindings/c/parameters.h"

struct gradient {
	char *name; /* of the tensor, with the prefix */
	void *memory;
	int64_t count;
	ronde_dtype dtype;
	void *wire; /* what travels: memory itself, or a copy in 16 bits */
	ronde_dtype wire_dtype;
	int passes; /* backward passes reported since the last step */
	bool in_flight;
	ronde_handle handle;
};

struct ronde_distributed_optimizer {
	ronde_step_fn step;
	void *state;
	ronde_reduction reduction;
	int passes_per_step;
	ronde_options operation;
	const struct ronde_kernels *kernels; /* NULL without compression */
	bool synchronized;                   /* since the last step */
	_Atomic uint64_t wait_ns;
	size_t count;
	struct gradient *gradients; /* [count] */
};

/* ---- creating and destroying ---- */

static int init_gradient(struct gradient *g, const ronde_parameter *p,
			 const ronde_distributed_optimizer_options *options)
{
	size_t bytes = strlen(options->name) + 1 + strlen(p->name) + 1;
	g->name = malloc(bytes);
	if (!g->name)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY,
				   "no memory for the tensor name of parameter \"%s\"", p->name);
	snprintf(g->name, bytes, "%s.%s", options->name, p->name);
	g->memory = p->gradient;
	g->count = p->count;
	g->dtype = p->dtype;
	g->wire = p->gradient;
	g->wire_dtype = ronde_compression_dtype(options->compression, p->dtype);
	if (g->wire_dtype == g->dtype)
		return RONDE_OK;
	g->wire = ronde_alloc((size_t)g->count * ronde_dtype_bytes(g->wire_dtype));
	return g->wire ? RONDE_OK : RONDE_ERR_OUT_OF_MEMORY;
}

static void free_optimizer(ronde_distributed_optimizer *o)
{
	for (size_t i = 0; i < o->count; i++) {
		struct gradient *g = &o->gradients[i];
		if (g->wire != g->memory)
			ronde_free(g->wire);
		free(g->name);
	}
	free(o->gradients);
	free(o);
}

static int init_optimizer(ronde_distributed_optimizer *o, const ronde_parameter *parameters,
			  size_t count, const ronde_distributed_optimizer_options *options)
{
	o->reduction = options->reduction;
	o->passes_per_step = options->backward_passes_per_step;
	o->operation = (ronde_options)RONDE_OPTIONS_INIT;
	o->operation.process_set = options->process_set;
	o->operation.prescale = 1 / options->gradient_predivide_factor;
	o->operation.postscale = options->gradient_predivide_factor;
	if (options->compression != RONDE_COMPRESSION_NONE) {
		o->kernels = ronde_kernels_select(NULL);
		if (!o->kernels)
			return RONDE_ERR_INTERNAL;
	}
	o->gradients = calloc(count + 1, sizeof *o->gradients);
	if (!o->gradients)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY,
				   "no memory for an optimizer of %zu parameters", count);
	int status = RONDE_OK;
	while (o->count < count && status == RONDE_OK) {
		status = init_gradient(&o->gradients[o->count], &parameters[o->count], options);
		o->count++;
	}
	return status;
}

int ronde_distributed_optimizer_create(ronde_distributed_optimizer **optimizer, ronde_step_fn step,
				       void *state, const ronde_parameter *parameters, size_t count,
				       const ronde_distributed_optimizer_options *options)
{
	if (!optimizer || !step)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "ronde_distributed_optimizer_create() needs %s, not NULL",
				   step ? "a place for the optimizer" : "a step function");
	ronde_distributed_optimizer_options all;
	int status = ronde_size();
	if (status >= 0)
		status = ronde_optimizer_options_read(&all, options);
	if (status == RONDE_OK)
		status = ronde_parameters_check(parameters, count, RONDE_PARAMETER_GRADIENT,
						strlen(all.name) + 1);
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
	if (!optimizer)
		return;
	for (size_t i = 0; i < optimizer->count; i++)
		if (optimizer->gradients[i].in_flight)
			ronde_wait(optimizer->gradients[i].handle);
	free_optimizer(optimizer);
}

/* ---- one gradient ---- */

static int submit(ronde_distributed_optimizer *o, struct gradient *g)
{
	if (g->wire_dtype != g->dtype)
		ronde_compression_convert(o->kernels, g->wire, g->wire_dtype, g->memory, g->dtype,
					  (size_t)g->count);
	int status = ronde_allreduce_async(g->name, g->wire, g->wire, g->count, g->wire_dtype,
					   o->reduction, &o->operation, &g->handle);
	g->in_flight = status == RONDE_OK;
	return status;
}

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int finish(ronde_distributed_optimizer *o, struct gradient *g)
{
	uint64_t start = now_ns();
	int status = ronde_wait(g->handle);
	atomic_fetch_add_explicit(&o->wait_ns, now_ns() - start, memory_order_relaxed);
	g->in_flight = false;
	if (status == RONDE_OK && g->wire_dtype != g->dtype)
		ronde_compression_convert(o->kernels, g->memory, g->dtype, g->wire, g->wire_dtype,
					  (size_t)g->count);
	return status;
}

static int check_optimizer(const ronde_distributed_optimizer *o)
{
	return o ? RONDE_OK : ronde_error(RONDE_ERR_INVALID_ARGUMENT, "the optimizer is NULL");
}

int ronde_gradient_ready(ronde_distributed_optimizer *optimizer, size_t index)
{
	ronde_distributed_optimizer *o = optimizer;
	if (check_optimizer(o) != RONDE_OK)
		return RONDE_ERR_INVALID_ARGUMENT;
	if (index >= o->count)
		return ronde_error(
			RONDE_ERR_INVALID_ARGUMENT,
			"gradient %zu was reported, but the optimizer has %zu parameters", index,
			o->count);
	struct gradient *g = &o->gradients[index];
	if (o->synchronized)
		return ronde_error(
			RONDE_ERR_INVALID_ARGUMENT,
			"\"%s\" (parameter %zu) was reported after "
			"ronde_distributed_optimizer_synchronize(): call "
			"ronde_distributed_optimizer_step() before the next backward pass",
			g->name, index);
	if (g->passes == o->passes_per_step)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "\"%s\" (parameter %zu) was reported %d times since the last "
				   "step, but backward_passes_per_step is %d: call "
				   "ronde_distributed_optimizer_step() after every %d backward "
				   "pass(es), or create the optimizer with a larger "
				   "backward_passes_per_step",
				   g->name, index, g->passes + 1, g->passes, g->passes);
	if (++g->passes < o->passes_per_step)
		return RONDE_OK;
	return submit(o, g);
}

/* ---- all gradients ---- */

/* Everything counts from 0: after a step, and after an error. */
static void start_over(ronde_distributed_optimizer *o)
{
	for (size_t i = 0; i < o->count; i++)
		o->gradients[i].passes = 0;
	o->synchronized = false;
}

int ronde_distributed_optimizer_synchronize(ronde_distributed_optimizer *optimizer)
{
	ronde_distributed_optimizer *o = optimizer;
	int status = check_optimizer(o);
	if (status == RONDE_OK)
		status = ronde_size();
	if (status < 0)
		return status;
	if (o->synchronized)
		return RONDE_OK;
	struct ronde_first_error first = {.status = RONDE_OK};
	for (size_t i = 0; i < o->count; i++)
		if (!o->gradients[i].in_flight)
			ronde_first_error_note(&first, submit(o, &o->gradients[i]));
	for (size_t i = 0; i < o->count; i++)
		if (o->gradients[i].in_flight)
			ronde_first_error_note(&first, finish(o, &o->gradients[i]));
	o->synchronized = first.status == RONDE_OK;
	if (!o->synchronized)
		start_over(o);
	return ronde_first_error_return(&first);
}

int ronde_distributed_optimizer_step(ronde_distributed_optimizer *optimizer)
{
	int status = ronde_distributed_optimizer_synchronize(optimizer);
	if (status != RONDE_OK)
		return status;
	int result = optimizer->step(optimizer->state);
	start_over(optimizer);
	if (result != 0)
		return ronde_error(RONDE_ERR_CALLBACK, "the optimizer's step function returned %d",
				   result);
	return RONDE_OK;
}

double ronde_distributed_optimizer_wait_seconds(const ronde_distributed_optimizer *optimizer)
{
	if (check_optimizer(optimizer) != RONDE_OK)
		return 0;
	return (double)atomic_load_explicit(&optimizer->wait_ns, memory_order_relaxed) * 1e-9;
}

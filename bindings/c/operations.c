/* SPDX-License-Identifier: Apache-2.0 */
/* The operations: each in its asynchronous and its blocking form, which differ in who makes
 * progress. */
#include <stdint.h>

#include "bindings/c/arguments.h"
#include "bindings/c/default.h"
#include "bindings/c/operations.h"
#include "collectives/algorithms/adasum.h"
#include "collectives/status.h"
#include "coordinator/application.h"

/* n 0: the submission is of no group. */
static int finish(struct ronde_context *ctx, int status, const char *group,
		  struct ronde_submission *s, uint32_t n, ronde_handle *handle)
{
	ronde_handle own, *to = handle ? handle : &own;
	if (!status && !handle && ronde_application_is_called())
		status = ronde_application_refuse("a blocking operation");
	if (!status) {
		s->will_wait = !handle;
		status = n ? ronde_submit_group(ctx, group, s, n, to) : ronde_submit(ctx, s, to);
	}
	if (!status && !handle)
		status = ronde_submit_wait(ctx, own);
	ronde_default_leave();
	return status;
}

int ronde_operation_finish(struct ronde_context *ctx, int status, struct ronde_submission *s,
			   ronde_handle *handle)
{
	return finish(ctx, status, NULL, s, 0, handle);
}

int ronde_operation_finish_group(struct ronde_context *ctx, int status, const char *name,
				 struct ronde_submission *members, uint32_t n, ronde_handle *handle)
{
	return finish(ctx, status, name, members, n, handle);
}

int ronde_operation_no_handle(const char *function)
{
	return ronde_error(RONDE_ERR_INVALID_ARGUMENT, "%s: handle is NULL", function);
}

void ronde_operation_take_set(ronde_options *plain, const ronde_options *options)
{
	plain->size = options->size;
	if (options->size >= RONDE_OPTIONS_1)
		plain->process_set = options->process_set;
}

/* ---- allreduce ---- */

static int overlap(const struct ronde_arguments *a, const void *input, const void *output)
{
	uintptr_t in = (uintptr_t)input, out = (uintptr_t)output;
	size_t bytes = (size_t)a->count * ronde_dtype_bytes(a->dtype);
	if (in == out || in + bytes <= out || out + bytes <= in || bytes == 0)
		return RONDE_OK;
	return ronde_arguments_error(a, "input and output overlap without being the same");
}

/* What an adasum needs beyond any allreduce. */
static int adasum(const struct ronde_context *ctx, const struct ronde_arguments *a)
{
	const struct ronde_arena_shape *shape = &ctx->node->arena.shape;
	if (a->dtype < RONDE_FLOAT16 || a->dtype > RONDE_FLOAT64)
		return ronde_arguments_error(
			a, "adasum takes float16, bfloat16, float32 and float64, and this is %s",
			ronde_dtype_name(a->dtype));
	if (ronde_adasum_chunk_limit(shape->staging_bytes, ctx->node->local_size) == 0)
		return ronde_arguments_error(a,
					     "RONDE_STAGING_BYTES is %lld: too little for an "
					     "adasum of %d ranks on a node",
					     (long long)shape->staging_bytes,
					     ctx->node->local_size);
	return RONDE_OK;
}

int ronde_operation_fill_allreduce(struct ronde_context *ctx, struct ronde_arguments *a,
				   const ronde_group_tensor *t, ronde_reduction reduction,
				   struct ronde_submission *s)
{
	a->count = t->count;
	a->dtype = t->dtype;
	int status = ronde_arguments_check(ctx, a, RONDE_KIND_ALLREDUCE, s);
	if (!status)
		status = ronde_arguments_reduction(a, reduction);
	if (!status && reduction == RONDE_ADASUM)
		status = adasum(ctx, a);
	if (!status)
		status = ronde_arguments_memory(a, "input", t->input);
	if (!status)
		status = ronde_arguments_memory(a, "output", t->output);
	if (!status)
		status = overlap(a, t->input, t->output);
	s->desc.reduction = (uint8_t)reduction;
	s->input = t->input;
	s->output = t->output;
	return status;
}

static int allreduce(const char *function, const char *name, const ronde_group_tensor *t,
		     ronde_reduction reduction, const ronde_options *options, ronde_handle *handle)
{
	struct ronde_submission s;
	struct ronde_arguments a = {.function = function, .name = name, .options = options};
	struct ronde_context *ctx = ronde_default_enter(function);
	if (!ctx)
		return RONDE_ERR_NOT_INITIALIZED;
	int status = ronde_operation_fill_allreduce(ctx, &a, t, reduction, &s);
	return ronde_operation_finish(ctx, status, &s, handle);
}

int ronde_allreduce(const char *name, const void *input, void *output, int64_t count,
		    ronde_dtype dtype, ronde_reduction reduction)
{
	ronde_group_tensor t = {.input = input, .output = output, .count = count, .dtype = dtype};
	return allreduce("ronde_allreduce", name, &t, reduction, NULL, NULL);
}

int ronde_allreduce_async(const char *name, const void *input, void *output, int64_t count,
			  ronde_dtype dtype, ronde_reduction reduction,
			  const ronde_options *options, ronde_handle *handle)
{
	static const char function[] = "ronde_allreduce_async";
	ronde_group_tensor t = {.input = input, .output = output, .count = count, .dtype = dtype};
	return handle ? allreduce(function, name, &t, reduction, options, handle)
		      : ronde_operation_no_handle(function);
}

/* ---- broadcast ---- */

static int broadcast(const struct ronde_arguments *a, const void *input, void *output, int root,
		     ronde_handle *handle)
{
	struct ronde_submission s;
	struct ronde_context *ctx = ronde_default_enter(a->function);
	if (!ctx)
		return RONDE_ERR_NOT_INITIALIZED;
	bool am_root = root == ctx->node->rank;
	int status = ronde_arguments_check(ctx, a, RONDE_KIND_BROADCAST, &s);
	if (!status)
		status = ronde_arguments_root(ctx, a, root, &s);
	if (!status && am_root)
		status = ronde_arguments_memory(a, "root's input", input);
	if (!status)
		status = ronde_arguments_memory(a, "output", output);
	if (!status && am_root)
		status = overlap(a, input, output);
	s.desc.root = root;
	s.desc.prescale = s.desc.postscale = 1.0;
	s.input = am_root ? input : NULL;
	s.output = output;
	return ronde_operation_finish(ctx, status, &s, handle);
}

int ronde_broadcast(const char *name, const void *input, void *output, int64_t count,
		    ronde_dtype dtype, int root)
{
	struct ronde_arguments a = {
		.function = "ronde_broadcast", .name = name, .count = count, .dtype = dtype};
	return broadcast(&a, input, output, root, NULL);
}

int ronde_broadcast_async(const char *name, const void *input, void *output, int64_t count,
			  ronde_dtype dtype, int root, const ronde_options *options,
			  ronde_handle *handle)
{
	struct ronde_arguments a = {.function = "ronde_broadcast_async",
				    .name = name,
				    .count = count,
				    .dtype = dtype,
				    .options = options};
	return handle ? broadcast(&a, input, output, root, handle)
		      : ronde_operation_no_handle(a.function);
}

/* ---- allgather ---- */

int ronde_operation_fill_allgather(struct ronde_context *ctx, struct ronde_arguments *a,
				   const ronde_group_tensor *t, ronde_reduction unused,
				   struct ronde_submission *s)
{
	ronde_options plain = RONDE_OPTIONS_INIT;
	(void)unused;
	a->dtype = t->dtype;
	if (a->options)
		ronde_operation_take_set(&plain, a->options);
	int status = ronde_arguments_rows(a, "an allgather", t->shape, t->ndim, &plain);
	if (!status)
		status = ronde_arguments_check(ctx, a, RONDE_KIND_ALLGATHER, s);
	if (!status && !t->gathered)
		status = ronde_arguments_error(a, "output is NULL");
	if (!status)
		status = ronde_arguments_memory(a, "input", t->input);
	if (!status) {
		s->input = t->input;
		s->gathered = t->gathered;
		s->rows = t->shape[0];
		s->desc.dims[0] = 0; /* may differ over ranks */
	}
	a->options = NULL; /* it was ours */
	return status;
}

static int allgather(const char *function, const char *name, const ronde_group_tensor *t,
		     const ronde_options *options, ronde_handle *handle)
{
	struct ronde_submission s;
	struct ronde_arguments a = {.function = function, .name = name, .options = options};
	struct ronde_context *ctx = ronde_default_enter(function);
	if (!ctx)
		return RONDE_ERR_NOT_INITIALIZED;
	int status = ronde_operation_fill_allgather(ctx, &a, t, RONDE_SUM, &s);
	return ronde_operation_finish(ctx, status, &s, handle);
}

int ronde_allgather(const char *name, const void *input, const int64_t *shape, int ndim,
		    ronde_dtype dtype, ronde_gathered *output)
{
	ronde_group_tensor t = {
		.input = input, .gathered = output, .shape = shape, .ndim = ndim, .dtype = dtype};
	return allgather("ronde_allgather", name, &t, NULL, NULL);
}

int ronde_allgather_async(const char *name, const void *input, const int64_t *shape, int ndim,
			  ronde_dtype dtype, ronde_gathered *output, const ronde_options *options,
			  ronde_handle *handle)
{
	static const char function[] = "ronde_allgather_async";
	ronde_group_tensor t = {
		.input = input, .gathered = output, .shape = shape, .ndim = ndim, .dtype = dtype};
	return handle ? allgather(function, name, &t, options, handle)
		      : ronde_operation_no_handle(function);
}

/* ---- barrier ---- */

static int barrier(const char *function, const ronde_options *options, ronde_handle *handle)
{
	struct ronde_submission s;
	ronde_options plain = RONDE_OPTIONS_INIT; /* shape and scales are no part of a barrier */
	if (options)
		ronde_operation_take_set(&plain, options);
	struct ronde_arguments a = {.function = function, .dtype = RONDE_UINT8, .options = &plain};
	struct ronde_context *ctx = ronde_default_enter(function);
	if (!ctx)
		return RONDE_ERR_NOT_INITIALIZED;
	int status = ronde_arguments_check(ctx, &a, RONDE_KIND_BARRIER, &s);
	return ronde_operation_finish(ctx, status, &s, handle);
}

int ronde_barrier(void)
{
	return barrier("ronde_barrier", NULL, NULL);
}

int ronde_barrier_async(const ronde_options *options, ronde_handle *handle)
{
	return handle ? barrier("ronde_barrier_async", options, handle)
		      : ronde_operation_no_handle("ronde_barrier_async");
}

/* ---- handles ---- */

int ronde_test(ronde_handle handle, int *done)
{
	if (!done)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT, "ronde_test: done is NULL");
	struct ronde_context *ctx = ronde_default_enter("ronde_test");
	if (!ctx)
		return RONDE_ERR_NOT_INITIALIZED;
	enum ronde_request_state state;
	int status = RONDE_OK;
	if (ronde_request_find(&ctx->submissions.pool, handle, &state))
		*done = state == RONDE_REQUEST_DONE;
	else
		status = ronde_submit_unknown("ronde_test", handle);
	ronde_default_leave();
	return status;
}

int ronde_wait(ronde_handle handle)
{
	struct ronde_context *ctx = ronde_default_enter("ronde_wait");
	if (!ctx)
		return RONDE_ERR_NOT_INITIALIZED;
	int status = ronde_submit_wait(ctx, handle);
	ronde_default_leave();
	return status;
}

int ronde_handle_on_done(ronde_handle handle, ronde_done_fn fn, void *arg)
{
	struct ronde_context *ctx = ronde_default_enter("ronde_handle_on_done");
	if (!ctx)
		return RONDE_ERR_NOT_INITIALIZED;
	int status = ronde_submit_on_done(ctx, handle, fn, arg);
	ronde_default_leave();
	return status;
}

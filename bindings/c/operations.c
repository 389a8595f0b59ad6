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

int ronde_operation_finish(struct ronde_context *ctx, int status, struct ronde_submission *s,
			   ronde_handle *handle)
{
	ronde_handle own;
	s->will_wait = !handle;
	if (!status && s->will_wait && ronde_application_is_called())
		status = ronde_application_refuse("a blocking operation");
	if (!status)
		status = ronde_submit(ctx, s, handle ? handle : &own);
	if (!status && !handle)
		status = ronde_submit_wait(ctx, own);
	ronde_default_leave();
	return status;
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

static int allreduce(const struct ronde_arguments *a, const void *input, void *output,
		     ronde_reduction reduction, ronde_handle *handle)
{
	struct ronde_submission s;
	struct ronde_context *ctx = ronde_default_enter(a->function);
	if (!ctx)
		return RONDE_ERR_NOT_INITIALIZED;
	int status = ronde_arguments_check(ctx, a, RONDE_KIND_ALLREDUCE, &s);
	if (!status)
		status = ronde_arguments_reduction(a, reduction);
	if (!status && reduction == RONDE_ADASUM)
		status = adasum(ctx, a);
	if (!status)
		status = ronde_arguments_memory(a, "input", input);
	if (!status)
		status = ronde_arguments_memory(a, "output", output);
	if (!status)
		status = overlap(a, input, output);
	s.desc.reduction = (uint8_t)reduction;
	s.input = input;
	s.output = output;
	return ronde_operation_finish(ctx, status, &s, handle);
}

int ronde_allreduce(const char *name, const void *input, void *output, int64_t count,
		    ronde_dtype dtype, ronde_reduction reduction)
{
	struct ronde_arguments a = {"ronde_allreduce", name, count, dtype, NULL};
	return allreduce(&a, input, output, reduction, NULL);
}

int ronde_allreduce_async(const char *name, const void *input, void *output, int64_t count,
			  ronde_dtype dtype, ronde_reduction reduction,
			  const ronde_options *options, ronde_handle *handle)
{
	struct ronde_arguments a = {"ronde_allreduce_async", name, count, dtype, options};
	return handle ? allreduce(&a, input, output, reduction, handle)
		      : ronde_operation_no_handle(a.function);
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
	struct ronde_arguments a = {"ronde_broadcast", name, count, dtype, NULL};
	return broadcast(&a, input, output, root, NULL);
}

int ronde_broadcast_async(const char *name, const void *input, void *output, int64_t count,
			  ronde_dtype dtype, int root, const ronde_options *options,
			  ronde_handle *handle)
{
	struct ronde_arguments a = {"ronde_broadcast_async", name, count, dtype, options};
	return handle ? broadcast(&a, input, output, root, handle)
		      : ronde_operation_no_handle(a.function);
}

/* ---- allgather ---- */

static int allgather(const char *function, const char *name, const void *input,
		     const int64_t *shape, int ndim, ronde_dtype dtype, ronde_gathered *output,
		     const ronde_options *options, ronde_handle *handle)
{
	struct ronde_submission s;
	ronde_options plain = RONDE_OPTIONS_INIT;
	if (options)
		ronde_operation_take_set(&plain, options);
	struct ronde_arguments a = {function, name, 0, dtype, &plain};
	struct ronde_context *ctx = ronde_default_enter(function);
	if (!ctx)
		return RONDE_ERR_NOT_INITIALIZED;
	int status = ronde_arguments_rows(&a, "an allgather", shape, ndim, &plain);
	if (!status)
		status = ronde_arguments_check(ctx, &a, RONDE_KIND_ALLGATHER, &s);
	if (!status && !output)
		status = ronde_arguments_error(&a, "output is NULL");
	if (!status)
		status = ronde_arguments_memory(&a, "input", input);
	if (!status) {
		s.input = input;
		s.gathered = output;
		s.rows = shape[0];
		s.desc.dims[0] = 0; /* may differ over ranks */
	}
	return ronde_operation_finish(ctx, status, &s, handle);
}

int ronde_allgather(const char *name, const void *input, const int64_t *shape, int ndim,
		    ronde_dtype dtype, ronde_gathered *output)
{
	return allgather("ronde_allgather", name, input, shape, ndim, dtype, output, NULL, NULL);
}

int ronde_allgather_async(const char *name, const void *input, const int64_t *shape, int ndim,
			  ronde_dtype dtype, ronde_gathered *output, const ronde_options *options,
			  ronde_handle *handle)
{
	if (!handle)
		return ronde_operation_no_handle("ronde_allgather_async");
	return allgather("ronde_allgather_async", name, input, shape, ndim, dtype, output, options,
			 handle);
}

/* ---- barrier ---- */

static int barrier(const char *function, const ronde_options *options, ronde_handle *handle)
{
	struct ronde_submission s;
	ronde_options plain = RONDE_OPTIONS_INIT; /* shape and scales are no part of a barrier */
	if (options)
		ronde_operation_take_set(&plain, options);
	struct ronde_arguments a = {function, NULL, 0, RONDE_UINT8, &plain};
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

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/schedules/port.h"

static void *public_alloc(void *to, size_t bytes)
{
	(void)to;
	return ronde_alloc(bytes);
}

static int public_free(void *to, void *memory)
{
	(void)to;
	return ronde_free(memory);
}

static int public_submit(void *to, const struct op *op, int rank, struct buffers *b,
			 ronde_handle *handle)
{
	(void)to;
	ronde_options options = RONDE_OPTIONS_INIT;
	options.ndim = op->ndim;
	options.shape = op->dims;
	if (op->kind == RONDE_KIND_ALLREDUCE) {
		options.prescale = op->prescale;
		options.postscale = op->postscale;
		return ronde_allreduce_async(op->name, b->input, b->output, op->count, op->dtype,
					     op->reduction, &options, handle);
	}
	if (op->kind == RONDE_KIND_BROADCAST)
		return ronde_broadcast_async(op->name, b->input, b->output, op->count, op->dtype,
					     op->root, op->ndim == 1 ? NULL : &options, handle);
	if (op->kind == RONDE_KIND_BARRIER)
		return ronde_barrier_async(NULL, handle);
	const int64_t shape[] = {op->rows[rank], op->columns};
	return ronde_allgather_async(op->name, b->input, shape, 2, op->dtype, &b->gathered, NULL,
				     handle);
}

/* The blocking forms take no options; what needs some waits for the other form. */
static int public_execute(void *to, const struct op *op, int rank, struct buffers *b)
{
	bool plain = op->prescale == 1 && op->postscale == 1 && op->ndim == 1;
	if (op->kind == RONDE_KIND_ALLREDUCE && plain)
		return ronde_allreduce(op->name, b->input, b->output, op->count, op->dtype,
				       op->reduction);
	if (op->kind == RONDE_KIND_BROADCAST && op->ndim == 1)
		return ronde_broadcast(op->name, b->input, b->output, op->count, op->dtype,
				       op->root);
	if (op->kind == RONDE_KIND_BARRIER)
		return ronde_barrier();
	if (op->kind == RONDE_KIND_ALLGATHER) {
		const int64_t shape[] = {op->rows[rank], op->columns};
		return ronde_allgather(op->name, b->input, shape, 2, op->dtype, &b->gathered);
	}
	ronde_handle handle;
	int status = public_submit(to, op, rank, b, &handle);
	return status ? status : ronde_wait(handle);
}

static int public_test(void *to, ronde_handle handle, int *done)
{
	(void)to;
	return ronde_test(handle, done);
}

static int public_wait(void *to, ronde_handle handle)
{
	(void)to;
	return ronde_wait(handle);
}

static int public_on_done(void *to, ronde_handle handle, ronde_done_fn fn, void *arg)
{
	(void)to;
	return ronde_handle_on_done(handle, fn, arg);
}

const struct port port_public = {.alloc = public_alloc,
				 .free = public_free,
				 .submit = public_submit,
				 .execute = public_execute,
				 .test = public_test,
				 .wait = public_wait,
				 .on_done = public_on_done};

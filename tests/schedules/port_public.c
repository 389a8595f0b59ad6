/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

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

/* A member's own number of rows comes first. */
static void own_shape(const struct op *op, int member, int64_t *shape)
{
	memcpy(shape, op->dims, (size_t)op->ndim * sizeof *shape);
	shape[0] = op->rows[member];
}

static void public_counters(void *to, ronde_counters *counters)
{
	(void)to;
	counters->size = sizeof *counters;
	must(ronde_get_counters(counters), "counters");
}

static int submit_sparse(const struct op *op, int member, struct buffers *b, ronde_options *options,
			 ronde_handle *handle)
{
	const ronde_sparse_rows rows = {op->rows[member], op->columns, b->indices, b->input,
					op->dtype};
	options->prescale = op->prescale;
	options->postscale = op->postscale;
	int status =
		ronde_sparse_allreduce_async(op->name, &rows, op->reduction, options, &b->sparse);
	*handle = b->sparse.handle;
	return status;
}

static int public_submit(void *to, const struct op *op, int member, struct buffers *b,
			 ronde_handle *handle)
{
	(void)to;
	ronde_options options = RONDE_OPTIONS_INIT;
	options.process_set = op->set ? op->set->number : 0;
	if (op->kind == RONDE_KIND_BARRIER)
		return ronde_barrier_async(&options, handle);
	if (op->sparse)
		return submit_sparse(op, member, b, &options, handle);
	if (op_has_own_rows(op)) {
		int64_t shape[RONDE_MAX_DIMS];
		own_shape(op, member, shape);
		if (op->kind == RONDE_KIND_ALLGATHER)
			return ronde_allgather_async(op->name, b->input, shape, op->ndim, op->dtype,
						     &b->gathered, &options, handle);
		return ronde_alltoall_async(op->name, b->input, shape, op->ndim, op->dtype,
					    op->splits[member], op_size(op, ronde_size()),
					    &b->gathered, &options, handle);
	}
	options.ndim = op->ndim;
	options.shape = op->dims;
	if (op->kind == RONDE_KIND_ALLREDUCE || op->kind == RONDE_KIND_REDUCESCATTER) {
		options.prescale = op->prescale;
		options.postscale = op->postscale;
	}
	if (op->kind == RONDE_KIND_ALLREDUCE)
		return ronde_allreduce_async(op->name, b->input, b->output, op->count, op->dtype,
					     op->reduction, &options, handle);
	if (op->kind == RONDE_KIND_BROADCAST)
		return ronde_broadcast_async(op->name, b->input, b->output, op->count, op->dtype,
					     op->root, op->ndim == 1 && !op->set ? NULL : &options,
					     handle);
	return ronde_reducescatter_async(op->name, b->input, b->output, op->dims, op->ndim,
					 op->dtype, op->reduction, &options, handle);
}

static int public_submit_group(void *to, const char *name, const struct op *const *ops, int n,
			       int member, struct buffers *const *buffers, ronde_handle *handle)
{
	const struct op *first = ops[0];
	ronde_group_tensor all[PORT_GROUP_MOST];
	int64_t shapes[PORT_GROUP_MOST][RONDE_MAX_DIMS];
	ronde_options options = RONDE_OPTIONS_INIT;
	(void)to;
	options.process_set = first->set ? first->set->number : 0;
	for (int i = 0; i < n; i++) {
		memcpy(shapes[i], ops[i]->dims, (size_t)ops[i]->ndim * sizeof **shapes);
		if (op_has_own_rows(ops[i]))
			shapes[i][0] = ops[i]->rows[member];
		all[i] = (ronde_group_tensor){.input = buffers[i]->input,
					      .output = buffers[i]->output,
					      .gathered = &buffers[i]->gathered,
					      .shape = shapes[i],
					      .ndim = ops[i]->ndim,
					      .count = ops[i]->count,
					      .dtype = ops[i]->dtype};
	}
	if (first->kind == RONDE_KIND_ALLGATHER)
		return ronde_grouped_allgather_async(name, all, (size_t)n, &options, handle);
	options.prescale = first->prescale;
	options.postscale = first->postscale;
	if (first->kind == RONDE_KIND_ALLREDUCE)
		return ronde_grouped_allreduce_async(name, all, (size_t)n, first->reduction,
						     &options, handle);
	return ronde_grouped_reducescatter_async(name, all, (size_t)n, first->reduction, &options,
						 handle);
}

/* The blocking forms take no options; what needs some waits for the other form. */
static int public_execute(void *to, const struct op *op, int member, struct buffers *b)
{
	bool plain = op->prescale == 1 && op->postscale == 1 && !op->set;
	int64_t shape[RONDE_MAX_DIMS];
	own_shape(op, member, shape);
	if (op->kind == RONDE_KIND_ALLREDUCE && plain && op->ndim == 1)
		return ronde_allreduce(op->name, b->input, b->output, op->count, op->dtype,
				       op->reduction);
	if (op->kind == RONDE_KIND_BROADCAST && op->ndim == 1 && !op->set)
		return ronde_broadcast(op->name, b->input, b->output, op->count, op->dtype,
				       op->root);
	if (op->kind == RONDE_KIND_BARRIER && !op->set)
		return ronde_barrier();
	if (op->kind == RONDE_KIND_ALLGATHER && !op->set)
		return ronde_allgather(op->name, b->input, shape, op->ndim, op->dtype,
				       &b->gathered);
	if (op->kind == RONDE_KIND_ALLTOALL && !op->set)
		return ronde_alltoall(op->name, b->input, shape, op->ndim, op->dtype,
				      op->splits[member], ronde_size(), &b->gathered);
	if (op->kind == RONDE_KIND_REDUCESCATTER && plain)
		return ronde_reducescatter(op->name, b->input, b->output, op->dims, op->ndim,
					   op->dtype, op->reduction);
	ronde_handle handle;
	int status = public_submit(to, op, member, b, &handle);
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

static int public_wait_sparse(void *to, struct buffers *buffers)
{
	(void)to;
	return ronde_sparse_wait(&buffers->sparse);
}

static int public_on_done(void *to, ronde_handle handle, ronde_done_fn fn, void *arg)
{
	(void)to;
	return ronde_handle_on_done(handle, fn, arg);
}

static int public_add_set(void *to, const int *ranks, size_t count, int *set)
{
	(void)to;
	return ronde_process_set_add(ranks, count, set);
}

static int public_remove_set(void *to, int set)
{
	(void)to;
	return ronde_process_set_remove(set);
}

static int public_join(void *to, int *last_rank)
{
	(void)to;
	return ronde_join(last_rank);
}

const struct port port_public = {.alloc = public_alloc,
				 .free = public_free,
				 .submit = public_submit,
				 .submit_group = public_submit_group,
				 .execute = public_execute,
				 .test = public_test,
				 .wait = public_wait,
				 .wait_sparse = public_wait_sparse,
				 .on_done = public_on_done,
				 .add_set = public_add_set,
				 .remove_set = public_remove_set,
				 .join = public_join,
				 .counters = public_counters};

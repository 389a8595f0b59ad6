/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "bindings/c/sparse.h"
#include "coordinator/control.h"
#include "tests/schedules/port.h"

static void *context_alloc(void *to, size_t bytes)
{
	return ronde_heap_alloc(((struct rank *)to)->heap, bytes);
}

static int context_free(void *to, void *memory)
{
	return ronde_heap_free(((struct rank *)to)->heap, memory);
}

/* What bindings/c makes of a call. */
static struct ronde_submission translate(const struct op *op, int member, struct buffers *b)
{
	struct ronde_submission s = {.name = op->name,
				     .input = b->input,
				     .output = b->output,
				     .count = (uint64_t)op->count};
	s.desc = (struct ronde_desc){.kind = (uint8_t)op->kind,
				     .dtype = (uint8_t)op->dtype,
				     .ndim = (uint8_t)op->ndim,
				     .set = op->set ? (uint32_t)op->set->number : 0,
				     .prescale = 1,
				     .postscale = 1};
	memcpy(s.desc.dims, op->dims, (size_t)op->ndim * sizeof *op->dims);
	if (op->kind == RONDE_KIND_ALLREDUCE || op->kind == RONDE_KIND_REDUCESCATTER) {
		s.desc.reduction = (uint8_t)op->reduction;
		s.desc.prescale = op->prescale;
		s.desc.postscale = op->postscale;
	} else if (op->kind == RONDE_KIND_BROADCAST) {
		s.desc.root = op->root;
	} else if (op_has_own_rows(op)) {
		s.desc.dims[0] = 0;
		s.rows = op->rows[member];
		s.count = (uint64_t)(op->rows[member] * op->columns);
		s.gathered = &b->gathered;
		s.splits = op->splits[member];
	} else {
		s.desc.ndim = 1;
	}
	return s;
}

static void context_counters(void *to, ronde_counters *counters)
{
	const struct ronde_counters_atomic *c = &((struct rank *)to)->context->counters;
#define COPY(name) counters->name = atomic_load(&c->name);
	RONDE_COUNTER_MAP(COPY)
#undef COPY
}

/* As bindings/c/sparse.c: a group of two. */
static int submit_sparse(struct ronde_context *context, const struct op *op, int member,
			 struct buffers *b, ronde_handle *handle)
{
	char name[RONDE_MAX_NAME + 1];
	struct ronde_submission two[2];
	b->sparse.result = (ronde_sparse_rows){.width = op->columns, .dtype = op->dtype};
	b->sparse.reduction = op->reduction;
	b->sparse.scale[0] = op->prescale;
	b->sparse.scale[1] = op->postscale;
	two[0] = two[1] = translate(op, member, b);
	two[0].input = b->indices;
	two[0].count = (uint64_t)op->rows[member];
	two[0].gathered = &b->sparse.indices;
	two[0].desc.dtype = RONDE_INT64;
	two[0].desc.ndim = 1;
	two[1].gathered = &b->sparse.values;
	snprintf(name, sizeof name, "%s.rows", op->name ? op->name : "");
	int status = ronde_submit_group(context, op->name ? name : NULL, two, 2, handle);
	b->sparse.handle = *handle;
	return status;
}

static int context_submit(void *to, const struct op *op, int member, struct buffers *b,
			  ronde_handle *handle)
{
	struct ronde_submission s = translate(op, member, b);
	if (op->sparse)
		return submit_sparse(((struct rank *)to)->context, op, member, b, handle);
	return ronde_submit(((struct rank *)to)->context, &s, handle);
}

static int context_submit_group(void *to, const char *name, const struct op *const *ops, int n,
				int member, struct buffers *const *buffers, ronde_handle *handle)
{
	struct ronde_submission all[PORT_GROUP_MOST];
	for (int i = 0; i < n; i++)
		all[i] = translate(ops[i], member, buffers[i]);
	return ronde_submit_group(((struct rank *)to)->context, name, all, (uint32_t)n, handle);
}

static int wait_if(struct ronde_context *context, int status, ronde_handle handle)
{
	return status ? status : ronde_submit_wait(context, handle);
}

static int context_execute(void *to, const struct op *op, int member, struct buffers *b)
{
	struct ronde_context *context = ((struct rank *)to)->context;
	struct ronde_submission s = translate(op, member, b);
	ronde_handle handle;
	s.will_wait = true;
	int status = ronde_submit(context, &s, &handle);
	return wait_if(context, status, handle);
}

static int context_test(void *to, ronde_handle handle, int *done)
{
	struct ronde_context *context = ((struct rank *)to)->context;
	enum ronde_request_state state;
	if (!ronde_request_find(&context->submissions.pool, handle, &state))
		return RONDE_ERR_UNKNOWN_HANDLE;
	*done = state == RONDE_REQUEST_DONE;
	return RONDE_OK;
}

static int context_wait(void *to, ronde_handle handle)
{
	return ronde_submit_wait(((struct rank *)to)->context, handle);
}

static int context_wait_sparse(void *to, struct buffers *b)
{
	int status = context_wait(to, b->sparse.handle);
	return status ? status : ronde_sparse_finish(&b->sparse);
}

static int context_on_done(void *to, ronde_handle handle, ronde_done_fn fn, void *arg)
{
	return ronde_submit_on_done(((struct rank *)to)->context, handle, fn, arg);
}

static int context_add_set(void *to, const int *ranks, size_t count, int *set)
{
	struct ronde_context *context = ((struct rank *)to)->context;
	ronde_handle handle;
	int status =
		ronde_control_change_sets(context, RONDE_SET_ADD, ranks, count, 0, set, &handle);
	return wait_if(context, status, handle);
}

static int context_remove_set(void *to, int set)
{
	struct ronde_context *context = ((struct rank *)to)->context;
	ronde_handle handle;
	int status = ronde_control_change_sets(context, RONDE_SET_REMOVE, NULL, 0, (uint32_t)set,
					       NULL, &handle);
	return wait_if(context, status, handle);
}

static int context_join(void *to, int *last_rank)
{
	struct ronde_context *context = ((struct rank *)to)->context;
	ronde_handle handle;
	int status = ronde_control_join(context, last_rank, &handle);
	return wait_if(context, status, handle);
}

/*
 * Who holds the engine lock runs the turns: here nobody does. Submitting needs another lock. No
 * waiting for it: a thread that waits for an operation sleeps with it.
 */
static bool context_hold(void *to)
{
	return pthread_mutex_trylock(&((struct rank *)to)->context->engine.lock) == 0;
}

static void context_let_go(void *to)
{
	struct ronde_context *context = ((struct rank *)to)->context;
	pthread_mutex_unlock(&context->engine.lock);
	/* As every drop of the lock: threads that wait, and the coordinator thread, look again. */
	ronde_engine_completed(context);
	ronde_bell_ring(&context->node->arena, context->node->local_rank);
}

const struct port port_context = {.alloc = context_alloc,
				  .free = context_free,
				  .submit = context_submit,
				  .submit_group = context_submit_group,
				  .execute = context_execute,
				  .test = context_test,
				  .wait = context_wait,
				  .wait_sparse = context_wait_sparse,
				  .on_done = context_on_done,
				  .add_set = context_add_set,
				  .remove_set = context_remove_set,
				  .join = context_join,
				  .counters = context_counters,
				  .hold = context_hold,
				  .let_go = context_let_go};

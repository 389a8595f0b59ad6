/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <string.h>

#include "bindings/c/arguments.h"
#include "bindings/c/default.h"
#include "bindings/c/operations.h"
#include "collectives/share.h"
#include "collectives/status.h"

int ronde_reducescatter_rows(int64_t rows, int members, int member, int64_t *first, int64_t *count)
{
	static const char function[] = "ronde_reducescatter_rows";
	if (rows < 0 || members < 1 || member < 0 || member >= members)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "%s: %lld rows have no share of member %d of %d", function,
				   (long long)rows, member, members);
	if (!first || !count)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT, "%s: %s is NULL", function,
				   first ? "count" : "first");
	struct ronde_share share = ronde_share_rows((uint64_t)rows, members, member);
	*first = (int64_t)share.first;
	*count = (int64_t)share.count;
	return RONDE_OK;
}

/* The output: there, and nowhere in the input but at its start or where the own rows are. */
static int check_output(const struct ronde_arguments *a, const struct ronde_submission *s,
			const void *input, const void *output)
{
	struct ronde_share mine = ronde_share_bytes(
		(uint64_t)s->desc.dims[0], ronde_desc_row_bytes(&s->desc), s->members, s->me);
	uintptr_t in = (uintptr_t)input, out = (uintptr_t)output;
	if (mine.count == 0)
		return RONDE_OK;
	if (!output)
		return ronde_arguments_error(
			a, "the output is NULL, but %llu bytes of the result are this rank's",
			(unsigned long long)mine.count);
	if (out == in || out == in + mine.first || out + mine.count <= in ||
	    in + s->count * ronde_dtype_bytes(a->dtype) <= out)
		return RONDE_OK;
	return ronde_arguments_error(a,
				     "the output overlaps the input, but begins neither where that "
				     "does nor at this rank's rows, %llu bytes behind",
				     (unsigned long long)mine.first);
}

int ronde_operation_fill_reducescatter(struct ronde_context *ctx, struct ronde_arguments *a,
				       const ronde_group_tensor *t, ronde_reduction reduction,
				       struct ronde_submission *s)
{
	ronde_options given = RONDE_OPTIONS_INIT;
	const ronde_options *options = a->options;
	if (options && options->size >= RONDE_OPTIONS_1)
		memcpy(&given, options,
		       options->size < sizeof given ? options->size : sizeof given);
	else if (options)
		given.size = options->size; /* refused below */
	a->dtype = t->dtype;
	int status = ronde_arguments_rows(a, "a reducescatter", t->shape, t->ndim, &given);
	if (!status)
		status = ronde_arguments_check(ctx, a, RONDE_KIND_REDUCESCATTER, s);
	if (!status)
		status = ronde_arguments_reduction(a, reduction);
	if (!status && reduction == RONDE_ADASUM)
		status = ronde_arguments_error(a, "there is no adasum of a reducescatter");
	if (!status)
		status = ronde_arguments_memory(a, "input", t->input);
	if (!status)
		status = check_output(a, s, t->input, t->output);
	s->desc.reduction = (uint8_t)reduction;
	s->input = t->input;
	s->output = t->output;
	a->options = NULL; /* it was ours */
	return status;
}

static int reducescatter(const char *function, const char *name, const ronde_group_tensor *t,
			 ronde_reduction reduction, const ronde_options *options,
			 ronde_handle *handle)
{
	struct ronde_submission s;
	struct ronde_arguments a = {.function = function, .name = name, .options = options};
	struct ronde_context *ctx = ronde_default_enter(function);
	if (!ctx)
		return RONDE_ERR_NOT_INITIALIZED;
	int status = ronde_operation_fill_reducescatter(ctx, &a, t, reduction, &s);
	return ronde_operation_finish(ctx, status, &s, handle);
}

int ronde_reducescatter(const char *name, const void *input, void *output, const int64_t *shape,
			int ndim, ronde_dtype dtype, ronde_reduction reduction)
{
	ronde_group_tensor t = {
		.input = input, .output = output, .shape = shape, .ndim = ndim, .dtype = dtype};
	return reducescatter("ronde_reducescatter", name, &t, reduction, NULL, NULL);
}

int ronde_reducescatter_async(const char *name, const void *input, void *output,
			      const int64_t *shape, int ndim, ronde_dtype dtype,
			      ronde_reduction reduction, const ronde_options *options,
			      ronde_handle *handle)
{
	static const char function[] = "ronde_reducescatter_async";
	ronde_group_tensor t = {
		.input = input, .output = output, .shape = shape, .ndim = ndim, .dtype = dtype};
	return handle ? reducescatter(function, name, &t, reduction, options, handle)
		      : ronde_operation_no_handle(function);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "bindings/c/arguments.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "collectives/status.h"

int ronde_arguments_error(const struct ronde_arguments *a, const char *format, ...)
{
	char text[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (a->name && strnlen(a->name, RONDE_MAX_NAME + 1) <= RONDE_MAX_NAME)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT, "%s: tensor \"%s\": %s", a->function,
				   a->name, text);
	if (a->members)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT, "%s: tensor %u of %u: %s",
				   a->function, a->member, a->members, text);
	return ronde_error(RONDE_ERR_INVALID_ARGUMENT, "%s: %s", a->function, text);
}

static int check_name(const struct ronde_arguments *a)
{
	if (!a->name)
		return RONDE_OK;
	if (!a->name[0])
		return ronde_arguments_error(a,
					     "the name is empty; give NULL for an unnamed tensor");
	if (strnlen(a->name, RONDE_MAX_NAME + 1) > RONDE_MAX_NAME)
		return ronde_arguments_error(a, "the name is longer than %d bytes", RONDE_MAX_NAME);
	return RONDE_OK;
}

static int check_type(const struct ronde_arguments *a)
{
	if ((int)a->dtype < 0 || a->dtype >= RONDE_DTYPE_COUNT)
		return ronde_arguments_error(a, "%d is not a type (enum ronde_dtype)",
					     (int)a->dtype);
	if (a->count < 0)
		return ronde_arguments_error(a, "the count is negative: %" PRId64, a->count);
	if ((uint64_t)a->count > INT64_MAX / ronde_dtype_bytes(a->dtype))
		return ronde_arguments_error(
			a, "%" PRId64 " elements of %s are more bytes than memory can have",
			a->count, ronde_dtype_name(a->dtype));
	return RONDE_OK;
}

static int check_shape(const struct ronde_arguments *a, struct ronde_desc *desc)
{
	const ronde_options *o = a->options;
	if (!o || !o->shape) {
		if (o && o->ndim)
			return ronde_arguments_error(
				a, "options.ndim is %d, but options.shape is NULL", o->ndim);
		desc->ndim = 1;
		desc->dims[0] = a->count;
		return RONDE_OK;
	}
	if (o->ndim < 0 || o->ndim > RONDE_MAX_DIMS)
		return ronde_arguments_error(a, "options.ndim is %d; allowed is 0 to %d", o->ndim,
					     RONDE_MAX_DIMS);
	desc->ndim = (uint8_t)o->ndim;
	memcpy(desc->dims, o->shape, (size_t)o->ndim * sizeof *o->shape);
	struct ronde_desc bounded = *desc;
	if (!ronde_desc_valid(&bounded) || ronde_desc_count(desc) != (uint64_t)a->count)
		return ronde_arguments_error(
			a,
			"the extents in options.shape must be at least 0 and their product the "
			"count, %" PRId64,
			a->count);
	return RONDE_OK;
}

int ronde_arguments_options(const struct ronde_arguments *a)
{
	const ronde_options *o = a->options;
	if (!o)
		return RONDE_OK;
	if (o->size < RONDE_OPTIONS_1)
		return ronde_arguments_error(
			a, "the options' size is %zu; start from RONDE_OPTIONS_INIT", o->size);
	if (!isfinite(o->prescale) || !isfinite(o->postscale))
		return ronde_arguments_error(a, "prescale %g and postscale %g must be finite",
					     o->prescale, o->postscale);
	return RONDE_OK;
}

/* The set exists and this rank, and a root (-1: there is none), are in it. */
static int check_set(struct ronde_context *ctx, const struct ronde_arguments *a, int root,
		     struct ronde_submission *s)
{
	struct ronde_process_set *set = ctx->sets.world;
	int id = a->options ? a->options->process_set : 0;
	s->members = set->size;
	s->me = set->self;
	if (id == 0)
		return RONDE_OK;
	pthread_mutex_lock(&ctx->submissions.lock);
	int status = ronde_submit_find_set(ctx, (uint32_t)id, &set);
	s->members = set->size;
	s->me = set->self;
	if (!status && root >= 0 && !ronde_process_set_has(set, root))
		status = ronde_error(RONDE_ERR_INVALID_ARGUMENT, "root %d is not in process set %d",
				     root, id);
	pthread_mutex_unlock(&ctx->submissions.lock);
	return status ? ronde_arguments_error(a, "%s", ronde_error_message()) : RONDE_OK;
}

int ronde_arguments_check(struct ronde_context *ctx, const struct ronde_arguments *a,
			  enum ronde_kind kind, struct ronde_submission *s)
{
	memset(s, 0, sizeof *s);
	s->desc.kind = (uint8_t)kind;
	int status = check_name(a);
	if (!status)
		status = check_type(a);
	if (!status)
		status = ronde_arguments_options(a);
	if (!status)
		status = check_set(ctx, a, -1, s);
	if (status)
		return status;
	s->name = a->name;
	s->count = (uint64_t)a->count;
	s->desc.set = a->options ? (uint32_t)a->options->process_set : 0;
	s->desc.dtype = (uint8_t)a->dtype;
	s->desc.prescale = a->options ? a->options->prescale : 1.0;
	s->desc.postscale = a->options ? a->options->postscale : 1.0;
	return check_shape(a, &s->desc);
}

int ronde_arguments_memory(const struct ronde_arguments *a, const char *what, const void *memory)
{
	if (memory || a->count == 0)
		return RONDE_OK;
	return ronde_arguments_error(a, "the %s is NULL, but the count is %" PRId64, what,
				     a->count);
}

int ronde_arguments_root(struct ronde_context *ctx, const struct ronde_arguments *a, int root,
			 struct ronde_submission *s)
{
	if (root >= 0 && root < ctx->node->size)
		return check_set(ctx, a, root, s);
	return ronde_arguments_error(a, "root %d is not a rank; allowed is 0 to %d", root,
				     ctx->node->size - 1);
}

int ronde_arguments_reduction(const struct ronde_arguments *a, ronde_reduction reduction)
{
	if ((int)reduction >= 0 && reduction < RONDE_REDUCTION_COUNT)
		return RONDE_OK;
	return ronde_arguments_error(a, "%d is not a reduction (enum ronde_reduction)",
				     (int)reduction);
}

/* The elements in shape, or -1 if it is no shape of rows. */
static int64_t shape_count(const int64_t *shape, int ndim)
{
	int64_t count = 1;
	if (!shape || ndim < 1 || ndim > RONDE_MAX_DIMS)
		return -1;
	for (int i = 0; i < ndim; i++)
		if (shape[i] < 0 || __builtin_mul_overflow(count, shape[i], &count))
			return -1;
	return count;
}

int ronde_arguments_rows(struct ronde_arguments *a, const char *what, const int64_t *shape,
			 int ndim, ronde_options *options)
{
	a->count = shape_count(shape, ndim);
	options->shape = shape;
	options->ndim = ndim;
	a->options = options;
	if (a->count >= 0)
		return RONDE_OK;
	return ronde_arguments_error(
		a,
		"%s needs a shape of 1 to %d extents, none of them negative; shape is %s and ndim "
		"%d",
		what, RONDE_MAX_DIMS, shape ? "given" : "NULL", ndim);
}

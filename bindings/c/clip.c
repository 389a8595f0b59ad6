/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clipping by the global norm. The sum of squares is a sum over the parameters, in the order of the
 * list, of sums in the fixed order of kernels/ordered.h; so ranks that hold the same gradients find
 * the same bits without asking each other.
 *
 * A float64 of 1e200 has no square, nor has one of 1e-200: where the sum is out of range it is
 * taken again of gradients scaled by a power of two, which costs no accuracy.
 */
#include <math.h>
#include <stdbool.h>

#include "bindings/c/parameters.h"
#include "collectives/kernels/ordered.h"
#include "collectives/status.h"
#include "coordinator/floating.h"

#define TOO_SMALL 0x1p-900 /* a sum of squares that may have lost some of them */
#define RAISE 0x1p700
#define LOWER 0x1p-600

static int check(const ronde_parameter *list, size_t count, double max_norm)
{
	if (isnan(max_norm) || max_norm <= 0)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "ronde_clip_by_global_norm: max_norm is %g: it must be above 0",
				   max_norm);
	int status = ronde_parameters_check(list, count, RONDE_PARAMETER_GRADIENT, 0);
	for (size_t i = 0; i < count && status == RONDE_OK; i++)
		if (list[i].dtype < RONDE_FLOAT16 || list[i].dtype > RONDE_FLOAT64)
			status = ronde_error(RONDE_ERR_INVALID_ARGUMENT,
					     "parameter %zu, \"%s\", is %s: only gradients of "
					     "floating-point types have a norm",
					     i, list[i].name, ronde_dtype_name(list[i].dtype));
	return status;
}

/* The sum of squares of one gradient, each element times the factor. */
static double scaled_square(const struct ronde_kernels *kernels, const ronde_parameter *p,
			    double factor)
{
	static const double zero[RONDE_ORDERED_BLOCK];
	double values[RONDE_ORDERED_BLOCK];
	struct ronde_dots sums = {0};
	size_t count = (size_t)p->count;
	if (factor == 1)
		return ronde_ordered_square(kernels, p->gradient, p->dtype, count);
	for (size_t done = 0, n; done < count; done += n) {
		n = count - done < RONDE_ORDERED_BLOCK ? count - done : RONDE_ORDERED_BLOCK;
		const char *at = (const char *)p->gradient + done * ronde_dtype_bytes(p->dtype);
		ronde_ordered_combine(kernels, values, true, factor, at, p->dtype, n);
		ronde_ordered_dots(&sums, values, zero, n);
	}
	return sums.aa;
}

/* The norm; *blame: the first parameter that makes it infinite or NaN. */
static double scaled_norm(const struct ronde_kernels *kernels, const ronde_parameter *list,
			  size_t count, double factor, size_t *blame)
{
	double sum = 0;
	*blame = count;
	for (size_t i = 0; i < count; i++) {
		double square = scaled_square(kernels, &list[i], factor);
		if (!isfinite(square) && *blame == count)
			*blame = i;
		sum += square;
	}
	return sqrt(sum) / factor;
}

static double global_norm(const struct ronde_kernels *kernels, const ronde_parameter *list,
			  size_t count, size_t *blame)
{
	double norm = scaled_norm(kernels, list, count, 1, blame);
	if (isfinite(norm) && norm >= sqrt(TOO_SMALL))
		return norm;
	return scaled_norm(kernels, list, count, isfinite(norm) ? RAISE : LOWER, blame);
}

static void shorten(const struct ronde_kernels *kernels, const ronde_parameter *p, double factor)
{
	const struct ronde_reduce_spec spec = {
		.dtype = p->dtype, .reduction = RONDE_SUM, .prescale = 1, .postscale = factor};
	void *gradient = p->gradient;
	const void *source = gradient;
	if (p->count > 0)
		kernels->reduce(&spec, &gradient, 1, &source, 1, (size_t)p->count);
}

static int not_finite(const ronde_parameter *list, size_t count, double norm, size_t blame)
{
	const char *what = isnan(norm) ? "NaN" : "infinite";
	if (blame == count)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "the gradients' norm is more than a float64 can hold");
	return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
			   "the gradients' norm is %s: parameter %zu, \"%s\", is the first with an "
			   "element that is infinite or NaN",
			   what, blame, list[blame].name);
}

int ronde_clip_by_global_norm(const ronde_parameter *parameters, size_t count, double max_norm,
			      int error_if_nonfinite, double *norm)
{
	size_t blame;
	int status = check(parameters, count, max_norm);
	const struct ronde_kernels *kernels = ronde_kernels_select(NULL);
	if (status != RONDE_OK || !kernels)
		return status != RONDE_OK ? status : RONDE_ERR_INTERNAL;
	unsigned int mode = ronde_floating_enter();
	double length = global_norm(kernels, parameters, count, &blame);
	for (size_t i = 0; i < count && isfinite(length) && length > max_norm; i++)
		shorten(kernels, &parameters[i], max_norm / length);
	ronde_floating_leave(mode);
	if (!isfinite(length) && error_if_nonfinite)
		return not_finite(parameters, count, length, blame);
	if (norm)
		*norm = length;
	return RONDE_OK;
}

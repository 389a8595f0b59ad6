/* SPDX-License-Identifier: Apache-2.0 */
#include "bindings/c/optimizer_options.h"

#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "bindings/c/parameters.h"
#include "bindings/c/sparse.h"
#include "collectives/status.h"
#include "coordinator/tensor.h"

static int check_scaling(const ronde_distributed_optimizer_options *o)
{
	double f = o->gradient_predivide_factor;
	if (!isfinite(f) || f <= 0 || !isfinite(1 / f))
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "gradient_predivide_factor is %g: it must be a finite number "
				   "above 0",
				   f);
	if (f != 1 && o->reduction != RONDE_AVERAGE)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "gradient_predivide_factor is %g, but the reduction is %s: it "
				   "splits the division of an average, so it needs RONDE_AVERAGE",
				   f, ronde_reduction_name(o->reduction));
	return RONDE_OK;
}

static int check_groups(const ronde_distributed_optimizer_options *o)
{
	char number[RONDE_OPTIMIZER_GROUP_NAME], member[RONDE_MEMBER_SUFFIX];
	if (o->num_groups < 0)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "num_groups is %d: it must be 0 (no groups) or more",
				   o->num_groups);
	if (o->num_groups > 0 && o->groups)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "num_groups is %d and groups is given too: only one of them "
				   "says what the groups are",
				   o->num_groups);
	if (o->num_groups == 0 && !o->groups)
		return RONDE_OK;
	size_t added = (size_t)snprintf(number, sizeof number, ".group.%d", INT_MAX) +
		       ronde_member_suffix(member, RONDE_MOST_MEMBERS - 1, RONDE_MOST_MEMBERS);
	if (strlen(o->name) + added > RONDE_MAX_NAME)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "the name \"%.40s…\" is too long: up to %zu bytes are added to "
				   "it for the tensors of groups, and names have at most %d",
				   o->name, added, RONDE_MAX_NAME);
	return RONDE_OK;
}

static int check(const ronde_distributed_optimizer_options *o)
{
	if (o->reduction != RONDE_AVERAGE && o->reduction != RONDE_SUM &&
	    o->reduction != RONDE_ADASUM)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "the optimizer's reduction is %s (%d): it must be "
				   "RONDE_AVERAGE, RONDE_SUM or RONDE_ADASUM",
				   ronde_reduction_name(o->reduction), (int)o->reduction);
	if ((int)o->compression < RONDE_COMPRESSION_NONE ||
	    (int)o->compression > RONDE_COMPRESSION_BF16)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "the optimizer's compression is %d: it must be "
				   "RONDE_COMPRESSION_NONE, _FP16 or _BF16",
				   (int)o->compression);
	if (o->backward_passes_per_step < 1)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "backward_passes_per_step is %d: it must be 1 or more",
				   o->backward_passes_per_step);
	int status = check_scaling(o);
	return status == RONDE_OK ? check_groups(o) : status;
}

int ronde_optimizer_options_read(ronde_distributed_optimizer_options *all,
				 const ronde_distributed_optimizer_options *options)
{
	*all = (ronde_distributed_optimizer_options)RONDE_DISTRIBUTED_OPTIMIZER_OPTIONS_INIT;
	if (options) {
		size_t size = options->size;
		if (size < offsetof(ronde_distributed_optimizer_options, compression))
			return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
					   "the size of the optimizer's options is %zu: start from "
					   "RONDE_DISTRIBUTED_OPTIMIZER_OPTIONS_INIT",
					   size);
		memcpy(all, options, size < sizeof *all ? size : sizeof *all);
		all->size = sizeof *all;
	}
	if (!all->name)
		all->name = "gradient";
	return check(all);
}

static int check_sparse(const ronde_distributed_optimizer_options *o, const ronde_parameter *p,
			size_t index, int64_t width)
{
	if (width < 0 || p->count % width != 0)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "parameter %zu, \"%s\", has %lld elements, which are no rows of "
				   "sparse_widths[%zu] = %lld",
				   index, p->name, (long long)p->count, index, (long long)width);
	if (o->reduction == RONDE_ADASUM && !o->sparse_as_dense)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "parameter %zu, \"%s\", is sparse, but the changes that "
				   "RONDE_ADASUM adds are dense: set sparse_as_dense",
				   index, p->name);
	return o->sparse_as_dense ? ronde_parameter_memory(p, index, RONDE_PARAMETER_GRADIENT)
				  : RONDE_OK;
}

/* An allgather of rows is no member of a group of allreduces. */
static int check_group(const ronde_distributed_optimizer_options *o, const ronde_parameter *p,
		       size_t index)
{
	if (o->groups[index] < -1)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "groups[%zu], of parameter \"%s\", is %d: it must be the number "
				   "of a group, 0 or more, or -1: none",
				   index, p->name, o->groups[index]);
	if (o->groups[index] >= 0 && o->sparse_widths && o->sparse_widths[index] &&
	    !o->sparse_as_dense)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "parameter %zu, \"%s\", is sparse, and in group %d: give it to "
				   "none (-1), or set sparse_as_dense",
				   index, p->name, o->groups[index]);
	return RONDE_OK;
}

static int check_adasum(const ronde_parameter *p, size_t index)
{
	if (p->dtype < RONDE_FLOAT16 || p->dtype > RONDE_FLOAT64)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "parameter %zu, \"%s\", is %s: RONDE_ADASUM takes float16, "
				   "bfloat16, float32 and float64",
				   index, p->name, ronde_dtype_name(p->dtype));
	return ronde_parameter_memory(p, index, RONDE_PARAMETER_DATA);
}

int ronde_optimizer_parameters_check(const ronde_distributed_optimizer_options *o,
				     const ronde_parameter *parameters, size_t count)
{
	size_t added = strlen(o->name) + 1;
	if (o->sparse_widths && !o->sparse_as_dense)
		added += strlen(RONDE_SPARSE_SUFFIX);
	int status = ronde_parameters_check(parameters, count, RONDE_PARAMETER_NEITHER, added);
	for (size_t i = 0; i < count && status == RONDE_OK; i++) {
		const ronde_parameter *p = &parameters[i];
		int64_t width = o->sparse_widths ? o->sparse_widths[i] : 0;
		status = width ? check_sparse(o, p, i, width)
			       : ronde_parameter_memory(p, i, RONDE_PARAMETER_GRADIENT);
		if (status == RONDE_OK && o->reduction == RONDE_ADASUM)
			status = check_adasum(p, i);
		if (status == RONDE_OK && o->groups)
			status = check_group(o, p, i);
	}
	return status;
}

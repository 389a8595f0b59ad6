/* SPDX-License-Identifier: Apache-2.0 */
#include "bindings/c/optimizer_options.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "collectives/status.h"

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

static int check(const ronde_distributed_optimizer_options *o)
{
	if (o->reduction != RONDE_AVERAGE && o->reduction != RONDE_SUM)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "the optimizer's reduction is %s (%d): it must be RONDE_AVERAGE "
				   "or RONDE_SUM",
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
	return check_scaling(o);
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

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RONDE_OPTIMIZER_OPTIONS_H
#define RONDE_OPTIMIZER_OPTIONS_H

#include "ronde/ronde.h"

/* Room for what stands behind the prefix in a group's name, ".group.2147483647". */
#define RONDE_OPTIMIZER_GROUP_NAME 24

/*
 * Fills `all` with the defaults and what the caller's struct (maybe of an older, shorter version;
 * NULL: none) says, and checks it. The name is never NULL afterwards. Errors: INVALID_ARGUMENT.
 */
int ronde_optimizer_options_read(ronde_distributed_optimizer_options *all,
				 const ronde_distributed_optimizer_options *options);

/* Whether an optimizer with these options can have these parameters. Errors: INVALID_ARGUMENT,
 * OUT_OF_MEMORY. */
int ronde_optimizer_parameters_check(const ronde_distributed_optimizer_options *options,
				     const ronde_parameter *parameters, size_t count);

#endif

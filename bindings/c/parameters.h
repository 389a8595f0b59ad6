/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of parameters, as the training functions of ronde.h take them. */
#ifndef RONDE_PARAMETERS_H
#define RONDE_PARAMETERS_H

#include <stdbool.h>
#include <stddef.h>

#include "ronde/ronde.h"

/* Which memory of a parameter the caller works on. */
enum ronde_parameter_part {
	RONDE_PARAMETER_NEITHER,
	RONDE_PARAMETER_DATA,
	RONDE_PARAMETER_GRADIENT
};

/*
 * Checks a list before anything is done with it, so that all ranks with the same list fail alike:
 * names (present, unique, at most RONDE_MAX_NAME with added_bytes more around them), counts, types
 * and memory. Errors: INVALID_ARGUMENT, OUT_OF_MEMORY.
 */
int ronde_parameters_check(const ronde_parameter *parameters, size_t count,
			   enum ronde_parameter_part part, size_t added_bytes);

/* Whether the parameter has the memory, or no elements. Errors: INVALID_ARGUMENT. */
int ronde_parameter_memory(const ronde_parameter *parameter, size_t index,
			   enum ronde_parameter_part part);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "bindings/c/parameters.h"

#include <stdlib.h>
#include <string.h>

#include "collectives/status.h"

int ronde_parameter_memory(const ronde_parameter *p, size_t index, enum ronde_parameter_part part)
{
	const void *memory = part == RONDE_PARAMETER_DATA ? p->data : p->gradient;
	if (part == RONDE_PARAMETER_NEITHER || memory || p->count == 0)
		return RONDE_OK;
	return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
			   "parameter %zu, \"%s\", of %lld elements has no %s (NULL)", index,
			   p->name, (long long)p->count,
			   part == RONDE_PARAMETER_DATA ? "data" : "gradient");
}

static int check_one(const ronde_parameter *p, size_t index, enum ronde_parameter_part part,
		     size_t added_bytes)
{
	if (!p->name)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "parameter %zu has no name (name is NULL): every parameter "
				   "needs one, the same on all ranks",
				   index);
	if (strlen(p->name) + added_bytes > RONDE_MAX_NAME)
		return ronde_error(
			RONDE_ERR_INVALID_ARGUMENT,
			"the name of parameter %zu, \"%.40s…\", has %zu bytes: with the %zu "
			"that Ronde adds it may have at most %d",
			index, p->name, strlen(p->name), added_bytes, RONDE_MAX_NAME);
	if (p->count < 0)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "parameter %zu, \"%s\", has the count %lld: it must be 0 or "
				   "more elements",
				   index, p->name, (long long)p->count);
	if (ronde_dtype_bytes(p->dtype) == 0)
		return ronde_error(
			RONDE_ERR_INVALID_ARGUMENT,
			"parameter %zu, \"%s\", has the dtype %d, which is no ronde_dtype", index,
			p->name, (int)p->dtype);
	return ronde_parameter_memory(p, index, part);
}

/* Of two places in the list: by name, then by place. */
static int compare(const void *a, const void *b, void *parameters)
{
	size_t i = *(const size_t *)a, j = *(const size_t *)b;
	const ronde_parameter *list = parameters;
	int order = strcmp(list[i].name, list[j].name);
	return order ? order : (i > j) - (i < j);
}

static int check_unique(const ronde_parameter *parameters, size_t count)
{
	size_t *sorted = malloc((count + 1) * sizeof *sorted);
	if (!sorted)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY,
				   "no memory to sort the names of %zu parameters", count);
	for (size_t i = 0; i < count; i++)
		sorted[i] = i;
	qsort_r(sorted, count, sizeof *sorted, compare, (void *)parameters);
	int status = RONDE_OK;
	for (size_t i = 1; i < count && status == RONDE_OK; i++) {
		const char *name = parameters[sorted[i]].name;
		if (strcmp(parameters[sorted[i - 1]].name, name) == 0)
			status = ronde_error(RONDE_ERR_INVALID_ARGUMENT,
					     "parameters %zu and %zu are both named \"%s\": names "
					     "must be unique, because ranks match tensors by them",
					     sorted[i - 1], sorted[i], name);
	}
	free(sorted);
	return status;
}

int ronde_parameters_check(const ronde_parameter *parameters, size_t count,
			   enum ronde_parameter_part part, size_t added_bytes)
{
	if (!parameters && count > 0)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "the list of parameters is NULL, its count %zu", count);
	int status = RONDE_OK;
	for (size_t i = 0; i < count && status == RONDE_OK; i++)
		status = check_one(&parameters[i], i, part, added_bytes);
	return status == RONDE_OK ? check_unique(parameters, count) : status;
}

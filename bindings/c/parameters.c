/* SPDX-License-Identifier: Apache-2.0 */
#include "bindings/c/parameters.h"

#include <stdlib.h>
#include <string.h>

#include "collectives/status.h"

static int check_one(const ronde_parameter *p, size_t index, enum ronde_parameter_part part,
		     size_t prefix_bytes)
{
	const void *memory = part == RONDE_PARAMETER_DATA ? p->data : p->gradient;
	if (!p->name)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "parameter %zu has no name (name is NULL): every parameter "
				   "needs one, the same on all ranks",
				   index);
	if (strlen(p->name) + prefix_bytes > RONDE_MAX_NAME)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "the name of parameter %zu, \"%.40s…\", has %zu bytes: with its "
				   "prefix of %zu it may have at most %d",
				   index, p->name, strlen(p->name), prefix_bytes, RONDE_MAX_NAME);
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
	if (!memory && p->count > 0)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "parameter %zu, \"%s\", of %lld elements has no %s (NULL)",
				   index, p->name, (long long)p->count,
				   part == RONDE_PARAMETER_DATA ? "data" : "gradient");
	return RONDE_OK;
}

/* By name, then by place in the list. */
static int compare(const void *a, const void *b)
{
	const ronde_parameter *p = *(const ronde_parameter *const *)a;
	const ronde_parameter *q = *(const ronde_parameter *const *)b;
	int order = strcmp(p->name, q->name);
	return order ? order : (p > q) - (p < q);
}

static int check_unique(const ronde_parameter *parameters, size_t count)
{
	const ronde_parameter **sorted = malloc((count + 1) * sizeof *sorted);
	if (!sorted)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY,
				   "no memory to sort the names of %zu parameters", count);
	for (size_t i = 0; i < count; i++)
		sorted[i] = &parameters[i];
	qsort(sorted, count, sizeof *sorted, compare);
	int status = RONDE_OK;
	for (size_t i = 1; i < count && status == RONDE_OK; i++)
		if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
			status = ronde_error(
				RONDE_ERR_INVALID_ARGUMENT,
				"parameters %zu and %zu are both named \"%s\": names must be "
				"unique, because ranks match tensors by them",
				(size_t)(sorted[i - 1] - parameters),
				(size_t)(sorted[i] - parameters), sorted[i]->name);
	free(sorted);
	return status;
}

int ronde_parameters_check(const ronde_parameter *parameters, size_t count,
			   enum ronde_parameter_part part, size_t prefix_bytes)
{
	if (!parameters && count > 0)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "the list of parameters is NULL, its count %zu", count);
	int status = RONDE_OK;
	for (size_t i = 0; i < count && status == RONDE_OK; i++)
		status = check_one(&parameters[i], i, part, prefix_bytes);
	return status == RONDE_OK ? check_unique(parameters, count) : status;
}

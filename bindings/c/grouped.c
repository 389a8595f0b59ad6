/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on groups of tensors: every member is checked as an operation of its own would be,
 * and nothing is submitted unless all are good. */
#include <inttypes.h>
#include <stdlib.h>

#include "bindings/c/default.h"
#include "bindings/c/operations.h"
#include "collectives/status.h"

/* What all members have in common. */
struct group {
	const char *function, *name;
	ronde_operation_fill_fn fill;
	ronde_reduction reduction;
	const ronde_options *options; /* or NULL */
};

static int check_group(const struct group *g, const ronde_group_tensor *tensors, size_t n)
{
	struct ronde_arguments a = {.function = g->function};
	char suffix[RONDE_MEMBER_SUFFIX];
	if (n == 0 || n > RONDE_MOST_MEMBERS)
		return ronde_arguments_error(&a, "a group has 1 to %u tensors, and this has %zu",
					     RONDE_MOST_MEMBERS, n);
	if (!tensors)
		return ronde_arguments_error(&a, "tensors is NULL");
	if (g->options && g->options->size < RONDE_OPTIONS_1)
		return ronde_arguments_error(
			&a, "the options' size is %zu; start from RONDE_OPTIONS_INIT",
			g->options->size);
	if (!g->name)
		return RONDE_OK;
	if (!g->name[0])
		return ronde_arguments_error(&a,
					     "the name is empty; give NULL for an unnamed group");
	size_t most = RONDE_MAX_NAME - ronde_member_suffix(suffix, (uint32_t)n - 1, (uint32_t)n);
	if (strnlen(g->name, most + 1) > most)
		return ronde_arguments_error(
			&a,
			"the name is longer than %zu bytes: its tensors' names "
			"have \"%s\" behind it, and names at most %d",
			most, suffix, RONDE_MAX_NAME);
	return RONDE_OK;
}

/* An allreduce's tensor has a shape too, for the ranks to agree on. */
static int take_shape(const struct ronde_arguments *a, const ronde_group_tensor *t,
		      ronde_options *own)
{
	int64_t product = 1;
	bool good = t->ndim >= 0 && t->ndim <= RONDE_MAX_DIMS && (t->shape || t->ndim == 0);
	own->shape = t->shape;
	own->ndim = t->ndim;
	for (int i = 0; good && i < t->ndim; i++)
		good = t->shape[i] >= 0 && !__builtin_mul_overflow(product, t->shape[i], &product);
	if (good && (!t->shape || product == t->count))
		return RONDE_OK;
	return ronde_arguments_error(a,
				     "shape needs 0 to %d extents, none negative, whose product is "
				     "the count, %" PRId64 "; shape is %s and ndim %d",
				     RONDE_MAX_DIMS, t->count, t->shape ? "given" : "NULL",
				     t->ndim);
}

static int fill_members(struct ronde_context *ctx, const struct group *g,
			const ronde_group_tensor *tensors, uint32_t n,
			struct ronde_submission *members)
{
	char name[RONDE_MAX_NAME + 1];
	size_t base = g->name ? strlen(g->name) : 0;
	ronde_options own = RONDE_OPTIONS_INIT;
	int status = RONDE_OK;
	if (g->name)
		memcpy(name, g->name, base);
	if (g->options)
		memcpy(&own, g->options,
		       g->options->size < sizeof own ? g->options->size : sizeof own);
	own.size = sizeof own;
	for (uint32_t i = 0; i < n && !status; i++) {
		struct ronde_arguments a = {.function = g->function,
					    .name = g->name ? name : NULL,
					    .options = &own,
					    .member = i + 1,
					    .members = n};
		if (g->name)
			ronde_member_suffix(name + base, i, n);
		if (g->fill == ronde_operation_fill_allreduce)
			status = take_shape(&a, &tensors[i], &own);
		if (!status)
			status = g->fill(ctx, &a, &tensors[i], g->reduction, &members[i]);
	}
	return status;
}

static int submit(const struct group *g, const ronde_group_tensor *tensors, size_t n,
		  ronde_handle *handle)
{
	struct ronde_context *ctx = ronde_default_enter(g->function);
	struct ronde_submission *members = NULL;
	if (!ctx)
		return RONDE_ERR_NOT_INITIALIZED;
	int status = check_group(g, tensors, n);
	if (!status && !(members = malloc(n * sizeof *members)))
		status = ronde_error(RONDE_ERR_OUT_OF_MEMORY,
				     "%s: no memory for a group of %zu tensors", g->function, n);
	if (!status)
		status = fill_members(ctx, g, tensors, (uint32_t)n, members);
	status = ronde_operation_finish_group(ctx, status, g->name, members, (uint32_t)n, handle);
	free(members);
	return status;
}

int ronde_grouped_allreduce(const char *name, const ronde_group_tensor *tensors, size_t count,
			    ronde_reduction reduction)
{
	struct group g = {"ronde_grouped_allreduce", name, ronde_operation_fill_allreduce,
			  reduction, NULL};
	return submit(&g, tensors, count, NULL);
}

int ronde_grouped_allreduce_async(const char *name, const ronde_group_tensor *tensors, size_t count,
				  ronde_reduction reduction, const ronde_options *options,
				  ronde_handle *handle)
{
	struct group g = {"ronde_grouped_allreduce_async", name, ronde_operation_fill_allreduce,
			  reduction, options};
	return handle ? submit(&g, tensors, count, handle) : ronde_operation_no_handle(g.function);
}

int ronde_grouped_allgather(const char *name, const ronde_group_tensor *tensors, size_t count)
{
	struct group g = {"ronde_grouped_allgather", name, ronde_operation_fill_allgather,
			  RONDE_SUM, NULL};
	return submit(&g, tensors, count, NULL);
}

int ronde_grouped_allgather_async(const char *name, const ronde_group_tensor *tensors, size_t count,
				  const ronde_options *options, ronde_handle *handle)
{
	struct group g = {"ronde_grouped_allgather_async", name, ronde_operation_fill_allgather,
			  RONDE_SUM, options};
	return handle ? submit(&g, tensors, count, handle) : ronde_operation_no_handle(g.function);
}

int ronde_grouped_reducescatter(const char *name, const ronde_group_tensor *tensors, size_t count,
				ronde_reduction reduction)
{
	struct group g = {"ronde_grouped_reducescatter", name, ronde_operation_fill_reducescatter,
			  reduction, NULL};
	return submit(&g, tensors, count, NULL);
}

int ronde_grouped_reducescatter_async(const char *name, const ronde_group_tensor *tensors,
				      size_t count, ronde_reduction reduction,
				      const ronde_options *options, ronde_handle *handle)
{
	struct group g = {"ronde_grouped_reducescatter_async", name,
			  ronde_operation_fill_reducescatter, reduction, options};
	return handle ? submit(&g, tensors, count, handle) : ronde_operation_no_handle(g.function);
}

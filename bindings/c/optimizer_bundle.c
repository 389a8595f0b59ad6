/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What parameters of the distributed optimizer travel together: a group by one grouped allreduce,
 * any other parameter alone. Which they are is told by the options:
 *
 *   parameters    a  b  c  d  e
 *   num_groups 2  0  0  0  1  1     bundles {a b c} {d e}
 *   groups        5 -1  5 -1  2     bundles {a c} {b} {d} {e}: of one there is no group
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bindings/c/first_error.h"
#include "bindings/c/optimizer.h"
#include "bindings/c/optimizer_options.h"
#include "collectives/share.h"
#include "coordinator/text.h"

/* ---- making them ---- */

/* Each parameter's group, or -1. */
static void number_groups(const ronde_distributed_optimizer *o,
			  const ronde_distributed_optimizer_options *options, int *group)
{
	size_t dense = 0, i = 0;
	for (size_t k = 0; k < o->count; k++) {
		group[k] = options->groups ? options->groups[k] : -1;
		dense += !o->parameters[k].exchange->submit;
	}
	size_t last = (size_t)options->num_groups < dense ? (size_t)options->num_groups : dense;
	for (size_t g = 0; g < last; g++) {
		uint64_t left = ronde_share_rows(dense, options->num_groups, (int)g).count;
		for (; left > 0; i++)
			if (!o->parameters[i].exchange->submit) {
				group[i] = (int)g;
				left--;
			}
	}
}

static int no_memory(const ronde_distributed_optimizer *o)
{
	return ronde_error(RONDE_ERR_OUT_OF_MEMORY,
			   "no memory for the groups of an optimizer of %zu parameters", o->count);
}

/* The bundle of parameter `first` and those behind it that are of its group. */
static int init_bundle(ronde_distributed_optimizer *o, const int *group, size_t first,
		       struct ronde_bundle *b)
{
	b->count = 1;
	for (size_t i = first + 1; group[first] >= 0 && i < o->count; i++)
		b->count += group[i] == group[first];
	b->members = calloc(b->count, sizeof *b->members);
	b->tensors = calloc(b->count, sizeof *b->tensors);
	if (!b->members || !b->tensors)
		return no_memory(o);
	uint32_t n = 0;
	for (size_t i = first; n < b->count; i++) {
		struct ronde_exchanged *x = &o->parameters[i];
		if (i > first && group[i] != group[first])
			continue;
		x->bundle = b;
		b->members[n] = x;
		b->tensors[n++] = (ronde_group_tensor){.input = x->wire,
						       .output = x->wire,
						       .count = x->count,
						       .dtype = x->wire_dtype};
	}
	return RONDE_OK;
}

static int init_name(struct ronde_bundle *b, const char *prefix, int group)
{
	size_t bytes = strlen(prefix) + RONDE_OPTIMIZER_GROUP_NAME;
	b->name = malloc(bytes);
	if (!b->name)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for a group's name");
	snprintf(b->name, bytes, "%s.group.%d", prefix, group);
	return RONDE_OK;
}

int ronde_bundles_init(ronde_distributed_optimizer *o,
		       const ronde_distributed_optimizer_options *options)
{
	int *group = calloc(o->count + 1, sizeof *group), status = RONDE_OK;
	o->bundles = calloc(o->count + 1, sizeof *o->bundles);
	if (!group || !o->bundles) {
		free(group);
		return no_memory(o);
	}
	number_groups(o, options, group);
	for (size_t i = 0; i < o->count && status == RONDE_OK; i++) {
		if (o->parameters[i].bundle)
			continue;
		struct ronde_bundle *b = &o->bundles[o->bundle_count++];
		status = init_bundle(o, group, i, b);
		if (status == RONDE_OK && b->count > 1)
			status = init_name(b, options->name, group[i]);
	}
	free(group);
	return status;
}

static int wait(const struct ronde_bundle *b)
{
	struct ronde_exchanged *x = b->members[0];
	return x->exchange->wait ? x->exchange->wait(x) : ronde_wait(b->handle);
}

void ronde_bundles_free(ronde_distributed_optimizer *o)
{
	for (size_t i = 0; i < o->bundle_count; i++) {
		struct ronde_bundle *b = &o->bundles[i];
		if (b->in_flight)
			wait(b);
		free(b->name);
		free(b->members);
		free(b->tensors);
	}
	free(o->bundles);
}

/* ---- travelling ---- */

static int submit(const ronde_distributed_optimizer *o, struct ronde_bundle *b)
{
	struct ronde_exchanged *x = b->members[0];
	if (x->exchange->submit)
		return x->exchange->submit(o, x);
	if (b->name)
		return ronde_grouped_allreduce_async(b->name, b->tensors, b->count, o->reduction,
						     &o->operation, &b->handle);
	return ronde_allreduce_async(x->name, x->wire, x->wire, x->count, x->wire_dtype,
				     o->reduction, &o->operation, &b->handle);
}

int ronde_bundle_start(ronde_distributed_optimizer *o, struct ronde_bundle *b)
{
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < b->count; i++) {
		struct ronde_exchanged *x = b->members[i];
		x->exchange->prepare(o, x);
		bytes += x->bytes;
	}
	int status = submit(o, b);
	b->in_flight = status == RONDE_OK;
	if (!b->in_flight)
		return status;
	atomic_fetch_add_explicit(&o->tensors, b->count, memory_order_relaxed);
	atomic_fetch_add_explicit(&o->bytes, bytes, memory_order_relaxed);
	return RONDE_OK;
}

/* The tensors of a group are told by number: says which parameters that are. */
static int explain(const struct ronde_bundle *b, int status)
{
	char text[RONDE_ERROR_BYTES];
	if (!b->name || status != RONDE_ERR_MISMATCH)
		return status;
	size_t used = ronde_text_append(text, sizeof text, 0, "%s; this group's tensors are",
					ronde_error_message());
	for (uint32_t i = 0; i < b->count; i++)
		used = ronde_text_append(text, sizeof text, used, "%s \"%s\"", i ? "," : "",
					 b->members[i]->name);
	if (used >= sizeof text)
		ronde_text_mark_cut(text, sizeof text);
	return ronde_error(status, "%s", text);
}

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int ronde_bundle_finish(ronde_distributed_optimizer *o, struct ronde_bundle *b)
{
	struct ronde_first_error first = {.status = RONDE_OK};
	uint64_t start = now_ns();
	int status = explain(b, wait(b));
	ronde_first_error_note(&first, status);
	for (uint32_t i = 0; i < b->count && status == RONDE_OK; i++)
		ronde_first_error_note(&first, b->members[i]->exchange->apply(o, b->members[i]));
	atomic_fetch_add_explicit(&o->wait_ns, now_ns() - start, memory_order_relaxed);
	b->in_flight = false;
	return ronde_first_error_return(&first);
}

int ronde_exchange_all(ronde_distributed_optimizer *o)
{
	struct ronde_first_error first = {.status = RONDE_OK};
	for (size_t i = 0; i < o->bundle_count; i++)
		if (!o->bundles[i].in_flight)
			ronde_first_error_note(&first, ronde_bundle_start(o, &o->bundles[i]));
	for (size_t i = 0; i < o->bundle_count; i++)
		if (o->bundles[i].in_flight)
			ronde_first_error_note(&first, ronde_bundle_finish(o, &o->bundles[i]));
	return ronde_first_error_return(&first);
}

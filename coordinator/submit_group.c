/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Submitting a group: its members are requests like any others, taken and announced under one hold
 * of the submit lock, so a rank announces all of them or none. What makes them a group is in their
 * descriptions (how many there are) and in their names or ordinals (which group, which of them): a
 * member the leader knows is announced by its slot, in one cell. The leader keeps them together
 * (leader_groups.c). Here one more request, which is never announced, is the group's handle.
 */
#include <stdio.h>
#include <string.h>

#include "collectives/status.h"
#include "coordinator/take.h"

/* The group's own name, so that it is in flight once. */
static int enter_name(struct ronde_context *ctx, const char *name, const struct ronde_desc *desc,
		      struct ronde_tensor **entered)
{
	struct ronde_key key;
	enum ronde_kind kind = (enum ronde_kind)desc->kind;
	ronde_key_set(&key, kind, desc->set, name, strlen(name), 0);
	ronde_key_of_group(&key);
	struct ronde_tensor *t = ronde_directory_add(&ctx->submissions.directory, &key);
	if (!t)
		return ronde_take_no_memory(ctx);
	if (t->request)
		return ronde_error(RONDE_ERR_DUPLICATE_NAME,
				   "group \"%s\": its previous grouped %s is still in flight on "
				   "this rank; wait for it, or give this one another name",
				   name, ronde_kind_name(kind));
	*entered = t;
	return RONDE_OK;
}

static int enter_group(struct ronde_context *ctx, const char *name, const struct ronde_desc *desc,
		       struct ronde_request **group)
{
	struct ronde_submissions *s = &ctx->submissions;
	struct ronde_tensor *t = NULL;
	int status = name ? enter_name(ctx, name, desc, &t) : RONDE_OK;
	if (status)
		return status;
	struct ronde_request *g = ronde_request_new(&s->pool);
	if (!g) {
		ronde_directory_drop(&s->directory, t);
		return ronde_take_no_memory(ctx);
	}
	ronde_request_set_apart(&s->pool, g);
	g->control = RONDE_CONTROL_GROUP;
	g->pending = 0;
	g->tensor = t;
	if (t)
		t->request = g;
	*group = g;
	return RONDE_OK;
}

/* All members, linked by next, or none. */
static int take_members(struct ronde_context *ctx, struct ronde_process_set *set, const char *name,
			struct ronde_submission *members, uint32_t n, struct ronde_request **first)
{
	char text[RONDE_MAX_NAME + 1];
	size_t base = name ? strlen(name) : 0;
	struct ronde_request **end = first, *next;
	int status = RONDE_OK;
	if (name)
		memcpy(text, name, base + 1);
	for (uint32_t i = 0; i < n && !status; i++) {
		struct ronde_submission *m = &members[i];
		m->name = name ? text : NULL;
		m->desc.members = n;
		if (name)
			ronde_member_suffix(text + base, i, n);
		status =
			ronde_take(ctx, set, m, ronde_ordinal(set->ordinals[m->desc.kind], i), end);
		m->name = NULL;
		if (!status)
			end = &(*end)->next;
	}
	if (!status)
		return RONDE_OK;
	for (struct ronde_request *r = *first; r; r = next) {
		next = r->next;
		ronde_take_back(ctx, r);
	}
	return status;
}

int ronde_submit_group(struct ronde_context *ctx, const char *name,
		       struct ronde_submission *members, uint32_t n, ronde_handle *handle)
{
	struct ronde_submissions *s = &ctx->submissions;
	const struct ronde_desc *desc = &members[0].desc;
	struct ronde_process_set *set = NULL;
	struct ronde_request *group = NULL, *first = NULL;
	pthread_mutex_lock(&s->lock);
	int status = ronde_take_open(ctx, desc->set, &set);
	if (!status)
		status = enter_group(ctx, name, desc, &group);
	if (!status)
		status = take_members(ctx, set, name, members, n, &first);
	if (status) {
		if (group)
			ronde_take_back(ctx, group);
		pthread_mutex_unlock(&s->lock);
		return status;
	}
	for (struct ronde_request *r = first; r; r = r->next) {
		r->group = group;
		group->pending++;
	}
	set->ordinals[desc->kind] += !name;
	*handle = ronde_request_handle(group);
	ronde_submit_announce(ctx, first, members[0].will_wait);
	return RONDE_OK;
}

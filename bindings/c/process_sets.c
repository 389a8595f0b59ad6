/* SPDX-License-Identifier: Apache-2.0 */
#include "bindings/c/process_sets.h"

#include <stdio.h>
#include <stdlib.h>

#include "bindings/c/default.h"
#include "collectives/status.h"
#include "coordinator/application.h"
#include "coordinator/control.h"

/* ---- changes ---- */

static int change_sets(struct ronde_context *ctx, enum ronde_set_change change, const int *ranks,
		       size_t count, int set, int *result)
{
	ronde_handle handle;
	if (ronde_application_is_called())
		return ronde_application_refuse("a change of the process sets");
	int status = ronde_control_change_sets(ctx, change, ranks, count, (uint32_t)set, result,
					       &handle);
	return status ? status : ronde_submit_wait(ctx, handle);
}

/* Says which function it was that failed. */
static int finish(const char *function, int status)
{
	char text[1200];
	if (status) {
		snprintf(text, sizeof text, "%s", ronde_error_message());
		ronde_error(status, "%s: %s", function, text);
	}
	ronde_default_leave();
	return status;
}

int ronde_process_set_add(const int *ranks, size_t count, int *set)
{
	int made = 0, status;
	struct ronde_context *ctx = ronde_default_enter("ronde_process_set_add");
	if (!ctx)
		return RONDE_ERR_NOT_INITIALIZED;
	if ((!ranks && count) || !set)
		status = ronde_error(RONDE_ERR_INVALID_ARGUMENT, "%s is NULL",
				     set ? "ranks" : "set");
	else
		status = change_sets(ctx, RONDE_SET_ADD, ranks, count, 0, &made);
	if (!status)
		*set = made;
	return finish("ronde_process_set_add", status);
}

int ronde_process_set_remove(int set)
{
	struct ronde_context *ctx = ronde_default_enter("ronde_process_set_remove");
	if (!ctx)
		return RONDE_ERR_NOT_INITIALIZED;
	return finish("ronde_process_set_remove",
		      change_sets(ctx, RONDE_SET_REMOVE, NULL, 0, set, NULL));
}

int ronde_process_sets_begin(struct ronde_context *ctx, const ronde_init_options *options)
{
	size_t n = options ? options->process_set_count : 0;
	int status = RONDE_OK;
	for (size_t i = 0; i < n && !status; i++)
		status = change_sets(ctx, RONDE_SET_ADD, options->process_sets[i].ranks,
				     options->process_sets[i].count, 0, NULL);
	/* Every rank says that these were all: so that nobody waits for more. */
	return status ? status : change_sets(ctx, RONDE_SET_NO_MORE, NULL, 0, 0, NULL);
}

/* ---- questions ---- */

typedef int (*question_fn)(const struct ronde_process_set *set, const struct ronde_context *ctx);

static int size_of(const struct ronde_process_set *set, const struct ronde_context *ctx)
{
	(void)ctx;
	return set->size;
}

static int rank_in(const struct ronde_process_set *set, const struct ronde_context *ctx)
{
	char ranks[500];
	const int *found = bsearch(&ctx->node->rank, set->ranks, (size_t)set->size,
				   sizeof *set->ranks, ronde_process_set_compare);
	if (found)
		return (int)(found - set->ranks);
	ronde_process_set_text(set->ranks, (size_t)set->size, ranks, sizeof ranks);
	return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
			   "ronde_process_set_rank: rank %d is not in process set %u (ranks %s)",
			   ctx->node->rank, set->id, ranks);
}

static int included_in(const struct ronde_process_set *set, const struct ronde_context *ctx)
{
	return ronde_process_set_has(set, ctx->node->rank);
}

/* The set's ranks are copied too, if there is room for any. */
static int ask(const char *function, int id, question_fn question, int *ranks, size_t room)
{
	struct ronde_context *ctx = ronde_default_enter(function);
	if (!ctx)
		return RONDE_ERR_NOT_INITIALIZED;
	pthread_mutex_lock(&ctx->submissions.lock);
	const struct ronde_process_set *set = ronde_process_sets_find(&ctx->sets, (uint32_t)id);
	int answer = set ? question(set, ctx)
			 : ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				       "%s: process set %d does not exist", function, id);
	for (size_t i = 0; set && i < room && i < (size_t)set->size; i++)
		ranks[i] = set->ranks[i];
	pthread_mutex_unlock(&ctx->submissions.lock);
	ronde_default_leave();
	return answer;
}

int ronde_process_set_size(int set)
{
	return ask("ronde_process_set_size", set, size_of, NULL, 0);
}

int ronde_process_set_rank(int set)
{
	return ask("ronde_process_set_rank", set, rank_in, NULL, 0);
}

int ronde_process_set_included(int set)
{
	return ask("ronde_process_set_included", set, included_in, NULL, 0);
}

static int no_room(const char *function, const char *what, size_t room)
{
	return ronde_error(RONDE_ERR_INVALID_ARGUMENT, "%s: %s is NULL, but room is %zu", function,
			   what, room);
}

int ronde_process_set_ranks(int set, int *ranks, size_t room)
{
	int status = ronde_default_check("ronde_process_set_ranks");
	if (status != RONDE_OK)
		return status;
	if (!ranks && room)
		return no_room("ronde_process_set_ranks", "ranks", room);
	return ask("ronde_process_set_ranks", set, size_of, ranks, room);
}

int ronde_process_set_ids(int *sets, size_t room)
{
	struct ronde_context *ctx = ronde_default_enter("ronde_process_set_ids");
	if (!ctx)
		return RONDE_ERR_NOT_INITIALIZED;
	if (!sets && room) {
		ronde_default_leave();
		return no_room("ronde_process_set_ids", "sets", room);
	}
	int n = 0;
	pthread_mutex_lock(&ctx->submissions.lock);
	/* The table is in the order in which they were made. */
	for (const struct ronde_process_set *s = ctx->sets.all; s; s = s->hh.next, n++)
		if ((size_t)n < room)
			sets[n] = (int)s->id;
	pthread_mutex_unlock(&ctx->submissions.lock);
	ronde_default_leave();
	return n;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Questions about the world and the runtime. */
#include <string.h>

#include "bindings/c/default.h"
#include "collectives/status.h"
#include "coordinator/text.h"

#define QUERY(function, value)                                                                     \
	int function(void)                                                                         \
	{                                                                                          \
		struct ronde_context *ctx = ronde_default_enter(#function);                        \
		if (!ctx)                                                                          \
			return RONDE_ERR_NOT_INITIALIZED;                                          \
		int result = value;                                                                \
		ronde_default_leave();                                                             \
		return result;                                                                     \
	}

QUERY(ronde_rank, ctx->node->rank)
QUERY(ronde_size, ctx->node->size)
QUERY(ronde_local_rank, ctx->node->local_rank)
QUERY(ronde_local_size, ctx->node->local_size)
QUERY(ronde_cross_rank, ctx->node->cross_rank)
QUERY(ronde_cross_size, ctx->node->cross_size)
QUERY(ronde_is_homogeneous, ctx->node->homogeneous)

int ronde_get_counters(ronde_counters *counters)
{
	struct ronde_context *ctx = ronde_default_enter("ronde_get_counters");
	if (!ctx)
		return RONDE_ERR_NOT_INITIALIZED;
	if (!counters || counters->size < sizeof counters->size) {
		ronde_default_leave();
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT, "ronde_get_counters: %s",
				   counters ? "the struct's size is not set" : "counters is NULL");
	}
	ronde_counters now = {.size = sizeof now};
#define COPY(name) now.name = atomic_load_explicit(&ctx->counters.name, memory_order_relaxed);
	RONDE_COUNTER_MAP(COPY)
#undef COPY
	ronde_default_leave();
	size_t size = counters->size < sizeof now ? counters->size : sizeof now;
	now.size = size;
	memcpy(counters, &now, size);
	return RONDE_OK;
}

int ronde_stall_report(char *text, size_t bytes)
{
	char report[RONDE_STALL_REPORT_MAX];
	_Static_assert(sizeof report == RONDE_BOARD_TEXT,
		       "a report has the size of a board's text");
	struct ronde_context *ctx = ronde_default_enter("ronde_stall_report");
	if (!ctx)
		return RONDE_ERR_NOT_INITIALIZED;
	if (!text || !bytes) {
		ronde_default_leave();
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "ronde_stall_report: no room for a text");
	}
	ronde_stall_last_report(ctx, report);
	ronde_default_leave();
	if (ronde_text_append(text, bytes, 0, "%s", report) >= bytes)
		ronde_text_mark_cut(text, bytes);
	return RONDE_OK;
}

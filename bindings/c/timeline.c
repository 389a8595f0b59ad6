/* SPDX-License-Identifier: Apache-2.0 */
/* Recording a timeline at run time. */
#include "bindings/c/default.h"
#include "collectives/status.h"

static int check(const char *path, const ronde_timeline_options *options)
{
	if (!path || !*path)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "ronde_timeline_start: the path is %s", path ? "empty" : "NULL");
	if (options && options->size < sizeof *options)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "ronde_timeline_start: the options' size is %zu; start from "
				   "RONDE_TIMELINE_OPTIONS_INIT",
				   options->size);
	return RONDE_OK;
}

int ronde_timeline_start(const char *path, const ronde_timeline_options *options)
{
	ronde_timeline_options plain = RONDE_TIMELINE_OPTIONS_INIT;
	struct ronde_context *ctx = ronde_default_enter("ronde_timeline_start");
	if (!ctx)
		return RONDE_ERR_NOT_INITIALIZED;
	int status = check(path, options);
	if (!status && options)
		plain = *options;
	if (!status)
		status = ronde_timeline_open(ctx, path, plain.all_ranks != 0,
					     plain.mark_cycles != 0, 1);
	ronde_default_leave();
	return status;
}

int ronde_timeline_stop(void)
{
	struct ronde_context *ctx = ronde_default_enter("ronde_timeline_stop");
	if (!ctx)
		return RONDE_ERR_NOT_INITIALIZED;
	ronde_timeline_close(ctx);
	ronde_default_leave();
	return RONDE_OK;
}

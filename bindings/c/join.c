/* SPDX-License-Identifier: Apache-2.0 */
#include "bindings/c/default.h"
#include "collectives/status.h"
#include "coordinator/application.h"
#include "coordinator/control.h"

int ronde_join(int *last_rank)
{
	ronde_handle handle;
	int last = 0;
	struct ronde_context *ctx = ronde_default_enter("ronde_join");
	if (!ctx)
		return RONDE_ERR_NOT_INITIALIZED;
	int status = ronde_application_is_called() ? ronde_application_refuse("ronde_join")
						   : ronde_control_join(ctx, &last, &handle);
	if (!status)
		status = ronde_submit_wait(ctx, handle);
	if (!status && last_rank)
		*last_rank = last;
	ronde_default_leave();
	return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/application.h"

#include "collectives/status.h"

static _Thread_local bool inside;

bool ronde_application_enter(void)
{
	bool before = inside;
	inside = true;
	return before;
}

void ronde_application_leave(bool before)
{
	inside = before;
}

bool ronde_application_is_called(void)
{
	return inside;
}

int ronde_application_refuse(const char *function)
{
	return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
			   "%s: called from a function that Ronde calls (a completion function, an "
			   "allgather's alloc or a log function), where nothing may wait; have it "
			   "tell another "
			   "thread to call it",
			   function);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/callers.h"

#include "coordinator/request.h"

void ronde_callers_add(struct ronde_callers *c, uintptr_t caller)
{
	c->last = caller;
	for (uint32_t i = 0; i < c->n; i++)
		if (c->all[i] == caller)
			return;
	if (c->n < RONDE_CALLERS)
		c->all[c->n++] = caller;
	else
		c->more = true;
}

static bool waits(uintptr_t caller, const struct ronde_request *live)
{
	for (const struct ronde_request *r = live; r; r = r->next_live)
		if (ronde_request_waiter(r) == caller)
			return true;
	return false;
}

bool ronde_callers_have_others(const struct ronde_callers *c, const struct ronde_request *live)
{
	bool others = c->more;
	for (uint32_t i = 0; i < c->n && !others; i++)
		others = !waits(c->all[i], live);
	return others;
}

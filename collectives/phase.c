/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/phase.h"

#include "collectives/bootstrap/wait.h"

void ronde_phases_start(struct ronde_phases *p)
{
	*p = (struct ronde_phases){.behind = -1, .slowest = -1};
	p->begin = p->since = ronde_nanoseconds();
}

static void keep_span(struct ronde_phases *p, uint64_t until)
{
	struct ronde_phase_span *last = p->nspans ? &p->spans[p->nspans - 1] : NULL;
	int member = p->now == RONDE_PHASE_WAIT ? p->behind : -1;
	if (last && last->phase == (int32_t)p->now && last->member == member &&
	    p->since - last->end < RONDE_PHASE_LEAST_NS) {
		last->end = until;
	} else if (p->now == RONDE_PHASE_OTHER || until - p->since < RONDE_PHASE_LEAST_NS) {
		return;
	} else if (p->nspans < RONDE_PHASE_SPANS) {
		p->spans[p->nspans++] = (struct ronde_phase_span){.begin = p->since,
								  .end = until,
								  .phase = (int32_t)p->now,
								  .member = member};
	} else {
		*last = (struct ronde_phase_span){.begin = last->begin,
						  .end = until,
						  .phase = RONDE_PHASE_PIPELINE,
						  .member = -1};
	}
}

void ronde_phases_change(struct ronde_phases *p, enum ronde_phase phase)
{
	uint64_t now = ronde_nanoseconds();
	uint64_t took = now - p->since;
	p->total[p->now] += took;
	if (p->now == RONDE_PHASE_WAIT && took > p->slowest_ns) {
		p->slowest = p->behind;
		p->slowest_ns = took;
	}
	keep_span(p, now);
	p->now = phase;
	p->since = now;
}

void ronde_phases_finish(struct ronde_phases *p)
{
	ronde_phases_change(p, RONDE_PHASE_OTHER);
	p->end = p->since;
}

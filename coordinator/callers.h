/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which threads of the application submit operations. Whether a rank is stuck depends on it: a
 * thread that has submitted before, and does not wait now, may yet submit what others wait for.
 *
 * Threads are known by their address, so one that has ended counts until another takes its place.
 */
#ifndef RONDE_CALLERS_H
#define RONDE_CALLERS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Most that are told apart. */
#define RONDE_CALLERS 16

/* Under the submit lock. */
struct ronde_callers {
	uintptr_t last; /* who submitted last */
	uintptr_t all[RONDE_CALLERS];
	uint32_t n;
	bool more; /* than there is room for */
};

static inline uintptr_t ronde_caller(void)
{
	return (uintptr_t)pthread_self();
}

void ronde_callers_add(struct ronde_callers *callers, uintptr_t caller);

/* This thread submits. */
static inline void ronde_callers_note(struct ronde_callers *callers)
{
	uintptr_t caller = ronde_caller();
	if (callers->last != caller)
		ronde_callers_add(callers, caller);
}

struct ronde_request;
/* True if one of them waits for none of the requests of this list (by next_live). */
bool ronde_callers_have_others(const struct ronde_callers *callers,
			       const struct ronde_request *live);

#endif

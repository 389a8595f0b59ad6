/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Phases: what an operation spends its time with, for a timeline. Whoever starts an operation may
 * hang a struct ronde_phases on its plan; algorithms say with one call what they do next, and are
 * not asked otherwise. A phase lasts until the next one is entered.
 *
 *   ronde_phase_enter(plan->phases, RONDE_PHASE_PACK);
 *
 * Totals are exact. Of the single stretches, those of at least RONDE_PHASE_LEAST_NS are kept, in
 * order, up to RONDE_PHASE_SPANS - 1; all that comes later is one last span of phase PIPELINE.
 *
 *   entered   PACK  REDUCE  WAIT    UNPACK  WAIT  UNPACK
 *   at (µs)   0     5       8       9       15    15.4      done at 20
 *   totals    PACK 5, REDUCE 3, WAIT 1.4, UNPACK 10.6
 *   spans     PACK 0-5, REDUCE 5-8, WAIT 8-9, UNPACK 9-20
 */
#ifndef RONDE_PHASE_H
#define RONDE_PHASE_H

#include <stddef.h>
#include <stdint.h>

enum ronde_phase {
	RONDE_PHASE_OTHER = 0, /* bookkeeping, and other operations' turns */
	RONDE_PHASE_PACK,      /* own tensors to where others read them */
	RONDE_PHASE_REDUCE,
	RONDE_PHASE_UNPACK, /* results to own tensors */
	RONDE_PHASE_COPY,   /* straight from another rank's tensors to own ones */
	RONDE_PHASE_WAIT,   /* for another rank */
	RONDE_PHASE_PIPELINE,
	RONDE_PHASE_COUNT
};

#define RONDE_PHASE_SPANS 8
#define RONDE_PHASE_LEAST_NS 1000

struct ronde_phase_span {
	uint64_t begin, end; /* nanoseconds of the monotonic clock */
	int32_t phase;
	int32_t member; /* WAIT: for which member; else -1 */
};

struct ronde_phases {
	uint64_t begin, end; /* of the operation */
	uint64_t since;      /* `now` began */
	enum ronde_phase now;
	int behind;  /* member that was last seen not to be as far as needed, or -1 */
	int slowest; /* member that the longest wait was for, or -1 */
	uint64_t slowest_ns;
	uint64_t total[RONDE_PHASE_COUNT]; /* nanoseconds */
	int nspans;
	struct ronde_phase_span spans[RONDE_PHASE_SPANS];
};

/* The operation begins, in phase OTHER. */
void ronde_phases_start(struct ronde_phases *phases);
/* Another phase than before begins. */
void ronde_phases_change(struct ronde_phases *phases, enum ronde_phase phase);
/* The operation is over. */
void ronde_phases_finish(struct ronde_phases *phases);

/* What an algorithm does next. Takes its plan's phases; costs a load where nobody asks. */
static inline void ronde_phase_enter(struct ronde_phases *phases, enum ronde_phase phase)
{
	if (phases && phases->now != phase)
		ronde_phases_change(phases, phase);
}

/* A member is not yet as far as this rank needs it to be. */
static inline void ronde_phase_behind(struct ronde_phases *phases, int member)
{
	if (phases)
		phases->behind = member;
}

#endif

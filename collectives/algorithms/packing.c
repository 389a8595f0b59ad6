/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/algorithms/packing.h"

#include <time.h>

#include "collectives/algorithms/layout.h"
#include "collectives/kernels/stream.h"

/* The first operations of a size meet memory that nobody has touched. */
#define WARM_UP 4
/* Operations of a comparison, and how many come between two: at first and at most. */
#define TRIALS 3
#define INTERVAL_FIRST 16
#define INTERVAL_MOST 512
/* Of those in between one in so many is measured: looking at the clock is not free. */
#define MEASURED_EACH 4

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static struct ronde_stores_class *class_of(struct ronde_stores_class *classes, uint64_t bytes)
{
	int k = 0;
	while (k < RONDE_STORES_CLASSES - 1 && bytes >= RONDE_STORES_LEAST << (k + 1))
		k++;
	return &classes[k];
}

/* True if the class wants to be told about its next operation. */
static bool measures(struct ronde_stores_class *class)
{
	if (class->uses < WARM_UP) {
		class->uses++;
		return false;
	}
	return class->trials || !class->cost[class->chosen] || class->left % MEASURED_EACH == 0;
}

static void start(struct ronde_packing *packing, struct ronde_stores_class *class)
{
	packing->way = class->trials ? !class->chosen : class->chosen;
	if (measures(class))
		packing->class = class;
	if (!class->trials && class->left)
		class->left--;
}

void ronde_packing_start(struct ronde_packing *packing, const struct ronde_plan *plan,
			 uint64_t bytes)
{
	struct ronde_stores *stores = plan->stores;
	*packing = (struct ronde_packing){.way = RONDE_STORES_ORDINARY};
	if (!stores || bytes < RONDE_STORES_LEAST || stores->mode == RONDE_STORES_NEVER)
		return;
	if (stores->mode == RONDE_STORES_ALWAYS) {
		packing->way = RONDE_STORES_STREAMING;
		return;
	}
	start(packing, class_of(stores->classes, bytes));
}

void ronde_packing_start_results(struct ronde_packing *packing, const struct ronde_plan *plan,
				 uint64_t bytes)
{
	struct ronde_stores *stores = plan->stores;
	*packing = (struct ronde_packing){.way = RONDE_STORES_ORDINARY};
	if (bytes < RONDE_STREAM_BYTES || (stores && stores->mode == RONDE_STORES_NEVER))
		return;
	packing->way = RONDE_STORES_STREAMING;
	if (!stores || stores->mode == RONDE_STORES_ALWAYS)
		return;
	struct ronde_stores_class *class = class_of(stores->results, bytes);
	if (!class->results) {
		class->results = true;
		class->chosen = RONDE_STORES_STREAMING;
	}
	start(packing, class);
}

void ronde_packing_begin(struct ronde_packing *packing)
{
	if (packing->class)
		packing->since = now();
}

void ronde_packing_end(struct ronde_packing *packing, uint64_t bytes)
{
	if (packing->way == RONDE_STORES_STREAMING)
		ronde_stream_end();
	if (packing->class) {
		packing->ns += now() - packing->since;
		packing->bytes += bytes;
	}
}

void ronde_packing_finish(struct ronde_packing *packing)
{
	if (packing->class && packing->bytes)
		ronde_stores_tell(packing->class, packing->way, packing->ns, packing->bytes);
	packing->class = NULL;
}

/* ---- the choice ---- */

/*
 * Streaming stores have to win clearly, for what they cost those who read is not in the figure:
 * measured, ranks that share a cache read as much longer as twice to three times the packing was
 * shorter. In between nothing changes. Of results the figure says all.
 */
static bool streaming_is_better(const struct ronde_stores_class *class)
{
	uint64_t ordinary = class->cost[RONDE_STORES_ORDINARY];
	uint64_t streaming = class->cost[RONDE_STORES_STREAMING];
	if (class->results) /* nobody waits for them: the least time, if it is clearly less */
		return class->chosen == RONDE_STORES_STREAMING ? ordinary > streaming / 10 * 9
							       : ordinary > streaming;
	return class->chosen == RONDE_STORES_STREAMING ? ordinary > streaming * 2
						       : ordinary > streaming * 3;
}

static void compare(struct ronde_stores_class *class)
{
	uint8_t better =
		streaming_is_better(class) ? RONDE_STORES_STREAMING : RONDE_STORES_ORDINARY;
	if (better != class->chosen || !class->interval)
		class->interval = INTERVAL_FIRST;
	else if (class->interval < INTERVAL_MOST)
		class->interval *= 2;
	class->chosen = better;
	class->agreed = class->cost[better];
	class->left = class->interval;
}

/*
 * The least of late: a time is too long because of an interruption, never too short. So it rises by
 * a quarter at most, and only what lasts is believed.
 */
static uint32_t least(uint32_t known, uint32_t cost)
{
	if (!known || cost < known)
		return cost;
	uint32_t rise = known / 4 + 1;
	return cost - known < rise || known > UINT32_MAX - rise ? cost : known + rise;
}

void ronde_stores_tell(struct ronde_stores_class *class, enum ronde_stores_way way, uint64_t ns,
		       uint64_t bytes)
{
	uint64_t ps = ns * 1000 / bytes;
	uint32_t cost = ps > UINT32_MAX ? UINT32_MAX : ps < 1 ? 1 : (uint32_t)ps;
	uint32_t *own = &class->cost[way];
	if (way != class->chosen) {
		/* Another operation in flight may have ended the comparison meanwhile. */
		if (!class->trials)
			return;
		*own = class->trials == TRIALS || cost < *own ? cost : *own;
		if (--class->trials == 0)
			compare(class);
		return;
	}
	*own = least(*own, cost);
	if (!class->trials && (!class->left || *own > class->agreed + class->agreed / 2))
		class->trials = TRIALS;
}

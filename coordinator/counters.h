/* SPDX-License-Identifier: Apache-2.0 */
/* The counters of ronde_get_counters(), each written under one lock only and read by anybody. */
#ifndef RONDE_COUNTERS_H
#define RONDE_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

#define RONDE_COUNTER_MAP(X)                                                                       \
	X(submitted)                                                                               \
	X(completed)                                                                               \
	X(descriptions_sent)                                                                       \
	X(ready_sent)                                                                              \
	X(entries)                                                                                 \
	X(entries_carried)                                                                         \
	X(entries_zero_copy)                                                                       \
	X(entries_staged)                                                                          \
	X(tensors)                                                                                 \
	X(bytes)                                                                                   \
	X(evictions)                                                                               \
	X(errors)                                                                                  \
	X(turns)                                                                                   \
	X(sleeps)

struct ronde_counters_atomic {
#define RONDE_COUNTER_FIELD(name) _Atomic uint64_t name;
	RONDE_COUNTER_MAP(RONDE_COUNTER_FIELD)
#undef RONDE_COUNTER_FIELD
};

/* Not a read-modify-write: the caller holds the lock the counter belongs to. */
static inline void ronde_count(_Atomic uint64_t *counter, uint64_t more)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more,
			      memory_order_relaxed);
}

#endif

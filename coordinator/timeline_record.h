/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the engine hands to the thread that writes a timeline: records in a ring, each a head with
 * two arrays and a name behind it. Times are nanoseconds of the monotonic clock.
 */
#ifndef RONDE_TIMELINE_RECORD_H
#define RONDE_TIMELINE_RECORD_H

#include "collectives/phase.h"
#include "coordinator/tensor.h"
#include "coordinator/timeline.h"

enum ronde_timeline_type {
	RONDE_TIMELINE_NEGOTIATED = 1, /* a tensor, from ready to its entry */
	RONDE_TIMELINE_EXECUTED,       /* a tensor's operation */
	RONDE_TIMELINE_CYCLE           /* the engine took entries */
};

/* NEGOTIATED: when a rank was ready. */
struct ronde_timeline_ready {
	uint64_t at;
	int32_t rank;
	uint32_t pad;
};

struct ronde_timeline_record {
	uint8_t type;    /* enum ronde_timeline_type */
	uint8_t path;    /* enum ronde_path */
	uint16_t nspans; /* EXECUTED */
	uint32_t nready; /* NEGOTIATED */
	int32_t status;
	int32_t slowest; /* EXECUTED: rank that the longest wait was for, or -1 */
	uint64_t entry;  /* index in the log */
	uint64_t begin, end;
	uint64_t bytes;   /* of this rank's tensor */
	uint64_t tensors; /* of the entry */
	uint64_t total[RONDE_PHASE_COUNT];
	uint32_t members; /* of the tensor's group, 0: it is in none */
	struct ronde_key_head key;
	/* struct ronde_timeline_ready[nready]; struct ronde_phase_span[nspans], whose members are
	 * ranks; the name's bytes */
};

static inline struct ronde_timeline_ready *
ronde_timeline_readies(const struct ronde_timeline_record *r)
{
	return (struct ronde_timeline_ready *)(uintptr_t)(r + 1);
}

static inline struct ronde_phase_span *ronde_timeline_spans(const struct ronde_timeline_record *r)
{
	return (struct ronde_phase_span *)(void *)(ronde_timeline_readies(r) + r->nready);
}

static inline char *ronde_timeline_name(const struct ronde_timeline_record *r)
{
	return (char *)(ronde_timeline_spans(r) + r->nspans);
}

static inline size_t ronde_timeline_record_bytes(size_t nready, size_t nspans, size_t name_bytes)
{
	return sizeof(struct ronde_timeline_record) + nready * sizeof(struct ronde_timeline_ready) +
	       nspans * sizeof(struct ronde_phase_span) + name_bytes;
}

#endif

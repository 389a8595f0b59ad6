/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packing: a rank puts bytes into its staging, where the others read them. There are two ways, and
 * which is faster the processor does not say:
 *
 *   ordinary stores    the lines are in a cache that the others may share. But a store to a line
 *                      that another core has read must first take it away from there, which
 *                      between cores without a common cache costs as much as a message
 *   streaming stores   to memory, past the caches, without asking what is there
 *
 * A virtual machine's cores may even be moved from one case to the other while it runs. So each
 * rank measures, for every size of operation: now and then it packs a few operations the other way,
 * and stays with what took less. The bytes are the same, so ranks need not agree.
 *
 *	ronde_packing_start(&state->packing, plan, bytes);          once an operation
 *	ronde_packing_begin(&state->packing);                       then, as often as needed:
 *	ronde_pack(&state->packing, plan, area, input, n);
 *	ronde_packing_end(&state->packing, bytes packed since begin);   before peers are told
 *	ronde_packing_finish(&state->packing);                      when nothing is left to pack
 *
 * The same choice is there for large results that are no inputs (ronde_packing_start_results()):
 * ordinary stores first read every line that they write, streaming ones leave none in the caches.
 */
#ifndef RONDE_PACKING_H
#define RONDE_PACKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "collectives/operation.h"

/* Sizes of operations: from so many bytes, doubling. Smaller ones have ordinary stores. */
#define RONDE_STORES_LEAST ((uint64_t)2 << 10)
#define RONDE_STORES_CLASSES 16

enum ronde_stores_way { RONDE_STORES_ORDINARY = 0, RONDE_STORES_STREAMING = 1 };

enum ronde_stores_mode { RONDE_STORES_MEASURED = 0, RONDE_STORES_ALWAYS, RONDE_STORES_NEVER };

/* What a rank has found out about operations of one size. */
struct ronde_stores_class {
	/* Picoseconds a byte, by way: the least of late; 0: not measured yet. */
	uint32_t cost[2];
	uint32_t agreed; /* what the chosen way took when it was compared */
	uint16_t uses;
	uint16_t interval; /* operations from one comparison to the next … */
	uint16_t left;     /* … and until it */
	uint8_t trials;    /* operations still to be packed the other way */
	uint8_t chosen;
	bool results; /* not what is packed: nobody has to read it */
};

/* Of one rank; its operations' plans lead to it. Zeroes: nothing is known yet. */
struct ronde_stores {
	enum ronde_stores_mode mode; /* streaming stores are chosen by measuring, or not at all */
	struct ronde_stores_class classes[RONDE_STORES_CLASSES]; /* of what is packed … */
	struct ronde_stores_class results[RONDE_STORES_CLASSES]; /* … and of results */
};

/* Of one operation. */
struct ronde_packing {
	struct ronde_stores_class *class; /* to be told about it, or NULL */
	uint64_t since, ns, bytes;
	uint8_t way; /* enum ronde_stores_way */
};

/* The operation will pack about `bytes` bytes. */
void ronde_packing_start(struct ronde_packing *packing, const struct ronde_plan *plan,
			 uint64_t bytes);
/* The same for results. Those of less than RONDE_STREAM_BYTES have ordinary stores. */
void ronde_packing_start_results(struct ronde_packing *packing, const struct ronde_plan *plan,
				 uint64_t bytes);
void ronde_packing_begin(struct ronde_packing *packing);
void ronde_packing_end(struct ronde_packing *packing, uint64_t bytes);
/* The operation is packed; later calls do nothing. */
void ronde_packing_finish(struct ronde_packing *packing);

static inline void ronde_pack(const struct ronde_packing *packing, const struct ronde_plan *plan,
			      void *to, const void *from, size_t bytes)
{
	if (packing->way == RONDE_STORES_STREAMING)
		plan->kernels->stream(to, from, bytes);
	else
		memcpy(to, from, bytes);
}

/* Packing so many bytes that way took so long: what finish() says, and tests. */
void ronde_stores_tell(struct ronde_stores_class *class, enum ronde_stores_way way, uint64_t ns,
		       uint64_t bytes);

#endif

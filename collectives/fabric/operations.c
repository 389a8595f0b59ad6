/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations come in slabs, which are never given back before the fabric closes: posting asks for
 * memory only when more are in flight than ever before.
 */
#include "collectives/fabric/operations.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ronde/ronde.h"

#define SLAB_OPERATIONS 64

/* Why a rank is lost, if there is no memory for the words. */
static const char speechless[] = "a rank was lost, and there is no memory left to say why";

struct ronde_fabric_slab {
	struct ronde_fabric_slab *next;
	_Alignas(64) unsigned char operations[];
};

static struct ronde_fabric_operation *at(const struct ronde_fabric *fabric,
					 struct ronde_fabric_slab *slab, size_t i)
{
	return (struct ronde_fabric_operation *)(void *)(slab->operations +
							 i * fabric->operation_bytes);
}

/* ---- its life ---- */

int ronde_fabric_init(struct ronde_fabric *fabric, size_t operation_bytes)
{
	fabric->operation_bytes = (operation_bytes + 63) / 64 * 64;
	fabric->lost = calloc((size_t)fabric->size, sizeof *fabric->lost);
	if (!fabric->lost)
		return fabric->error(RONDE_ERR_OUT_OF_MEMORY, "no memory for a fabric of %d ranks",
				     fabric->size);
	return RONDE_OK;
}

void ronde_fabric_free(struct ronde_fabric *fabric)
{
	while (fabric->slabs) {
		struct ronde_fabric_slab *slab = fabric->slabs;
		fabric->slabs = slab->next;
		free(slab);
	}
	for (int r = 0; fabric->lost && r < fabric->size; r++)
		if (fabric->lost[r] != speechless)
			free((void *)(uintptr_t)fabric->lost[r]);
	free((void *)fabric->lost);
}

/* ---- the pool ---- */

static bool grow(struct ronde_fabric *fabric)
{
	const size_t bytes =
		sizeof(struct ronde_fabric_slab) + SLAB_OPERATIONS * fabric->operation_bytes;
	struct ronde_fabric_slab *slab = aligned_alloc(64, bytes);
	if (!slab)
		return false;
	memset(slab, 0, bytes);
	slab->next = fabric->slabs;
	fabric->slabs = slab;
	for (size_t i = SLAB_OPERATIONS; i-- > 0;) {
		struct ronde_fabric_operation *o = at(fabric, slab, i);
		o->fabric = fabric;
		o->next = fabric->free_operations;
		fabric->free_operations = o;
	}
	return true;
}

static int refused(struct ronde_fabric *fabric, int peer, uint32_t tag)
{
	if (peer < 0 || peer >= fabric->size)
		return fabric->error(RONDE_ERR_INVALID_ARGUMENT,
				     "a message between rank %d and rank %d: there are ranks 0 to "
				     "%d",
				     fabric->rank, peer, fabric->size - 1);
	if (tag > RONDE_FABRIC_TAG_MAX)
		return fabric->error(RONDE_ERR_INVALID_ARGUMENT,
				     "a message between rank %d and rank %d under tag %u: tags are "
				     "0 to %u",
				     fabric->rank, peer, tag, RONDE_FABRIC_TAG_MAX);
	return fabric->error(RONDE_ERR_PEER_LOST, "%s", fabric->lost[peer]);
}

int ronde_fabric_take(struct ronde_fabric *fabric, int peer, uint32_t tag, size_t bytes,
		      bool receives, struct ronde_fabric_operation **operation)
{
	if (peer < 0 || peer >= fabric->size || tag > RONDE_FABRIC_TAG_MAX || fabric->lost[peer])
		return refused(fabric, peer, tag);
	if (!fabric->free_operations && !grow(fabric))
		return fabric->error(RONDE_ERR_OUT_OF_MEMORY,
				     "no memory for a message between rank %d and rank %d, with "
				     "%zu others in flight",
				     fabric->rank, peer, fabric->in_flight);
	struct ronde_fabric_operation *o = fabric->free_operations;
	fabric->free_operations = o->next;
	fabric->held++;
	fabric->in_flight++;
	o->taken = true;
	o->done = false;
	o->receives = receives;
	o->peer = peer;
	o->tag = tag;
	o->bytes = bytes;
	o->status = RONDE_OK;
	*operation = o;
	return RONDE_OK;
}

static void give_back(struct ronde_fabric_operation *o)
{
	struct ronde_fabric *fabric = o->fabric;
	o->taken = false;
	o->next = fabric->free_operations;
	fabric->free_operations = o;
	fabric->held--;
}

void ronde_fabric_untake(struct ronde_fabric_operation *o)
{
	o->fabric->in_flight--;
	give_back(o);
}

/* ---- how it comes out ---- */

void ronde_fabric_complete(struct ronde_fabric_operation *o, size_t bytes)
{
	struct ronde_fabric *fabric = o->fabric;
	fabric->in_flight--;
	if (o->receives) {
		fabric->counters.messages_received++;
		fabric->counters.bytes_received += bytes;
	}
	o->bytes = bytes;
	o->done = true;
}

void ronde_fabric_fail(struct ronde_fabric_operation *o, int status, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(o->text, sizeof o->text, format, args);
	va_end(args);
	o->fabric->in_flight--;
	o->status = status;
	o->done = true;
}

int ronde_fabric_finish(struct ronde_fabric_operation *o, size_t *bytes)
{
	int status = o->status;
	if (!o->taken || !o->done)
		return o->fabric->error(
			RONDE_ERR_INTERNAL, "a message of rank %d is finished that is %s",
			o->fabric->rank, o->taken ? "not done" : "finished already");
	if (status)
		o->fabric->error(status, "%s", o->text);
	else if (bytes)
		*bytes = o->bytes;
	give_back(o);
	return status;
}

bool ronde_fabric_note_lost(struct ronde_fabric *fabric, int peer, const char *why)
{
	if (fabric->lost[peer])
		return false;
	fabric->lost[peer] = strdup(why);
	if (!fabric->lost[peer])
		fabric->lost[peer] = speechless;
	return true;
}

int ronde_fabric_check_idle(struct ronde_fabric *fabric)
{
	if (!fabric->held)
		return RONDE_OK;
	struct ronde_fabric_operation *o = NULL;
	for (struct ronde_fabric_slab *slab = fabric->slabs; slab; slab = slab->next)
		for (size_t i = 0; i < SLAB_OPERATIONS; i++)
			if (at(fabric, slab, i)->taken)
				o = at(fabric, slab, i);
	return fabric->error(RONDE_ERR_BUSY,
			     "rank %d has %zu messages that are not finished; one is %s rank %d "
			     "under tag %u, %s",
			     fabric->rank, fabric->held, o && o->receives ? "from" : "to",
			     o ? o->peer : -1, o ? o->tag : 0, o && o->done ? "done" : "in flight");
}

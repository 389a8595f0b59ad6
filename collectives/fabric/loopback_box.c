/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/fabric/loopback_box.h"

#include <stdlib.h>

#include <utlist.h>

#include "collectives/status.h"

/* ---- messages ---- */

void ronde_message_let_go(struct ronde_message *message)
{
	if (atomic_fetch_sub_explicit(&message->owners, 1, memory_order_acq_rel) == 1)
		free(message);
}

/* ---- boxes ---- */

int ronde_loopback_enter(struct ronde_loopback *world, int rank)
{
	struct ronde_loopback_box *box = &world->boxes[rank];
	int status = RONDE_OK;
	pthread_mutex_lock(&box->lock);
	if (box->open)
		status = ronde_error(RONDE_ERR_BUSY, "the fabric of rank %d is open already", rank);
	else if (atomic_load_explicit(&box->gone, memory_order_relaxed))
		status = ronde_error(RONDE_ERR_PEER_LOST, "rank %d has left this fabric", rank);
	else
		box->open = true;
	pthread_mutex_unlock(&box->lock);
	return status;
}

void ronde_loopback_leave(struct ronde_loopback *world, int rank, bool gone)
{
	struct ronde_loopback_box *box = &world->boxes[rank];
	pthread_mutex_lock(&box->lock);
	box->open = false;
	if (gone) {
		atomic_store_explicit(&box->gone, true, memory_order_release);
		atomic_fetch_add_explicit(&world->departures, 1, memory_order_release);
	}
	pthread_mutex_unlock(&box->lock);
}

bool ronde_loopback_deliver(struct ronde_loopback *world, int rank, struct ronde_message *message)
{
	struct ronde_loopback_box *box = &world->boxes[rank];
	pthread_mutex_lock(&box->lock);
	bool gone = atomic_load_explicit(&box->gone, memory_order_relaxed);
	if (!gone)
		DL_APPEND(box->messages, message);
	pthread_mutex_unlock(&box->lock);
	return !gone;
}

struct ronde_message *ronde_loopback_empty(struct ronde_loopback *world, int rank)
{
	struct ronde_loopback_box *box = &world->boxes[rank];
	pthread_mutex_lock(&box->lock);
	struct ronde_message *messages = box->messages;
	box->messages = NULL;
	pthread_mutex_unlock(&box->lock);
	return messages;
}

/* ---- the world ---- */

struct ronde_loopback *ronde_loopback_create(int size,
					     const struct ronde_loopback_settings *settings)
{
	struct ronde_loopback *world =
		size < 1 ? NULL : calloc(1, sizeof *world + (size_t)size * sizeof *world->boxes);
	if (!world) {
		ronde_error(size < 1 ? RONDE_ERR_INVALID_ARGUMENT : RONDE_ERR_OUT_OF_MEMORY,
			    "no loopback fabric of %d ranks: it has at least one, and takes memory "
			    "for each",
			    size);
		return NULL;
	}
	world->size = size;
	world->settings = *settings;
	atomic_init(&world->users, 1);
	for (int r = 0; r < size; r++)
		pthread_mutex_init(&world->boxes[r].lock, NULL);
	return world;
}

void ronde_loopback_share(struct ronde_loopback *world)
{
	atomic_store_explicit(&world->users, world->size, memory_order_relaxed);
}

/* Eager messages that nobody has received may lie in boxes. */
void ronde_loopback_release(struct ronde_loopback *world)
{
	if (!world || atomic_fetch_sub_explicit(&world->users, 1, memory_order_acq_rel) > 1)
		return;
	for (int r = 0; r < world->size; r++) {
		struct ronde_message *m, *next;
		DL_FOREACH_SAFE(world->boxes[r].messages, m, next)
		ronde_message_let_go(m);
		pthread_mutex_destroy(&world->boxes[r].lock);
	}
	free(world);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/link.h"

#include <stdlib.h>
#include <string.h>

#include "collectives/status.h"
#include "coordinator/wire.h"

/* A message has at least so much room, for many small parcels. */
#define LEAST_MESSAGE ((size_t)64 << 10)

static int no_memory(const struct ronde_link *link)
{
	return ronde_error(RONDE_ERR_OUT_OF_MEMORY,
			   "no memory for what this node's leader says to rank %d", link->peer);
}

static int listen(struct ronde_link *link)
{
	return ronde_fabric_post_receive(link->fabric, link->peer, RONDE_TAG_LINK, link->in,
					 link->limit, &link->receiving);
}

int ronde_link_open(struct ronde_link *link, struct ronde_fabric *fabric, int peer, size_t limit)
{
	*link = (struct ronde_link){.fabric = fabric,
				    .peer = peer,
				    .limit = limit < LEAST_MESSAGE ? LEAST_MESSAGE : limit};
	link->in = malloc(link->limit);
	link->out = malloc(link->limit);
	return link->in && link->out ? listen(link) : no_memory(link);
}

void ronde_link_free(struct ronde_link *link, bool keep)
{
	if (!keep) {
		free(link->in);
		free(link->out);
	}
	free(link->queue);
	*link = (struct ronde_link){0};
}

size_t ronde_parcel_bytes(size_t ranks, size_t bytes)
{
	return sizeof(struct ronde_parcel) + ronde_wire_pad(ranks * sizeof(uint32_t)) +
	       ronde_wire_pad(bytes);
}

static bool make_room(struct ronde_link *link, size_t bytes)
{
	if (link->room - link->end >= bytes)
		return true;
	size_t used = link->end - link->first;
	if (link->first) {
		memmove(link->queue, link->queue + link->first, used);
		link->first = 0;
		link->end = used;
	}
	if (link->room - used >= bytes)
		return true;
	size_t room = 2 * (used + bytes);
	unsigned char *queue = realloc(link->queue, room);
	if (!queue)
		return false;
	link->queue = queue;
	link->room = room;
	return true;
}

int ronde_link_put(struct ronde_link *link, const struct ronde_parcel *head, const void *body,
		   uint32_t **ranks)
{
	size_t bytes = ronde_parcel_bytes(head->ranks, head->bytes);
	if (link->said_end) /* the runtime ends, and nobody listens any more */
		return ronde_error(RONDE_ERR_INTERNAL, "a parcel for rank %d behind the last one",
				   link->peer);
	if (!make_room(link, bytes))
		return no_memory(link);
	struct ronde_writer w = {link->queue + link->end, link->queue + link->end + bytes, false};
	ronde_write(&w, head, sizeof *head);
	uint32_t *list = ronde_write_room(&w, head->ranks * sizeof *list);
	if (ranks)
		*ranks = list;
	ronde_write(&w, body, head->bytes);
	link->end += bytes;
	link->parcels++;
	return RONDE_OK;
}

int ronde_link_end(struct ronde_link *link)
{
	const struct ronde_parcel head = {.type = RONDE_PARCEL_END, .lane = -1};
	int status = ronde_link_put(link, &head, NULL, NULL);
	link->said_end = !status;
	return status;
}

/* ---- taking ---- */

static int take_all(struct ronde_link *link, size_t bytes, ronde_parcel_fn take, void *arg)
{
	struct ronde_reader r = {link->in, link->in + bytes, false};
	int status = RONDE_OK;
	while (!status && r.at < r.end) {
		const struct ronde_parcel *head = ronde_read(&r, sizeof *head);
		const uint32_t *ranks = head ? ronde_read(&r, head->ranks * sizeof *ranks) : NULL;
		const void *body = ranks ? ronde_read(&r, head->bytes) : NULL;
		if (!body || link->heard_end)
			return ronde_error(RONDE_ERR_INTERNAL, "rank %d has sent a damaged message",
					   link->peer);
		link->parcels++;
		if (head->type == RONDE_PARCEL_END)
			link->heard_end = true;
		status = take(arg, link, head, ranks, body);
	}
	return status;
}

static int receive(struct ronde_link *link, ronde_parcel_fn take, void *arg, bool *some)
{
	while (link->receiving && ronde_fabric_done(link->receiving)) {
		size_t bytes;
		int status = ronde_fabric_finish(link->receiving, &bytes);
		link->receiving = NULL;
		*some = true;
		if (!status)
			status = take_all(link, bytes, take, arg);
		if (!status && !link->heard_end)
			status = listen(link);
		if (status)
			return status;
	}
	return RONDE_OK;
}

/* ---- sending ---- */

/* Whole parcels that fit into a message. */
static size_t fitting(const struct ronde_link *link)
{
	size_t all = link->end - link->first, bytes = 0;
	if (all <= link->limit)
		return all;
	for (;;) {
		struct ronde_parcel head;
		memcpy(&head, link->queue + link->first + bytes, sizeof head);
		size_t next = bytes + ronde_parcel_bytes(head.ranks, head.bytes);
		if (next > link->limit)
			return bytes;
		bytes = next;
	}
}

static int send(struct ronde_link *link, bool *some)
{
	int status = RONDE_OK;
	while (!status) {
		if (link->sending && !ronde_fabric_done(link->sending))
			break;
		if (link->sending)
			status = ronde_fabric_finish(link->sending, NULL);
		link->sending = NULL;
		if (status || link->first == link->end)
			break;
		size_t bytes = fitting(link);
		memcpy(link->out, link->queue + link->first, bytes);
		link->first += bytes;
		bool last = link->said_end && link->first == link->end;
		if (link->first == link->end)
			link->first = link->end = 0;
		*some = true;
		status = (last || link->to_arrive ? ronde_fabric_post_last
						  : ronde_fabric_post_send)(
			link->fabric, link->peer, RONDE_TAG_LINK, link->out, bytes, &link->sending);
	}
	return status;
}

int ronde_link_turn(struct ronde_link *link, ronde_parcel_fn take, void *arg, bool *some)
{
	int status = receive(link, take, arg, some);
	return status ? status : send(link, some);
}

bool ronde_link_is_flushed(const struct ronde_link *link)
{
	return link->broken || (!link->sending && link->first == link->end);
}

bool ronde_link_is_over(const struct ronde_link *link)
{
	return link->said_end && link->heard_end && !link->sending && !link->receiving &&
	       link->first == link->end;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sender puts its message into the receiver's box, the only thing that two ranks' threads share
 * under a lock. All else is done by the receiver, in its own progress(): it empties the box,
 * matches what has come with its receives, and when a message is due copies it. See loopback_box.h.
 */
#include "collectives/fabric/loopback.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "collectives/bootstrap/wait.h"
#include "collectives/fabric/loopback_box.h"
#include "collectives/fabric/operations.h"
#include "collectives/status.h"

struct operation {
	struct ronde_fabric_operation base;
	struct ronde_message *message; /* a receive's: once matched; a send's: NULL if eager */
	uint64_t due;                  /* an eager send's */
};

struct loopback {
	struct ronde_fabric base;
	struct ronde_loopback *world;
	bool adopted; /* this rank releases the world */
	uint64_t random;
	int departures;                         /* that have been seen */
	struct ronde_message *unexpected;       /* have come, and nobody has asked for them */
	struct ronde_fabric_operation *posted;  /* receives without a message */
	struct ronde_fabric_operation *matched; /* receives whose message is not due */
	struct ronde_fabric_operation *sends;
};

/* ---- chance ---- */

/* xorshift64* (Marsaglia 2003, Vigna 2016) */
static uint64_t draw(struct loopback *f)
{
	f->random ^= f->random >> 12;
	f->random ^= f->random << 25;
	f->random ^= f->random >> 27;
	return f->random * 0x2545f4914f6cdd1d;
}

static uint64_t due(struct loopback *f)
{
	const uint64_t delay = f->world->settings.delay_ns;
	return delay ? ronde_nanoseconds() + draw(f) % (delay + 1) : 0;
}

static struct operation *of(struct ronde_fabric_operation *o)
{
	return (struct operation *)o;
}

static int fail_gone(struct loopback *f, struct ronde_fabric_operation *o)
{
	const char *why = f->base.lost[o->peer];
	if (why)
		ronde_fabric_fail(o, RONDE_ERR_PEER_LOST, "%s", why);
	else
		ronde_fabric_fail(o, RONDE_ERR_PEER_LOST, "rank %d has left", o->peer);
	return 1;
}

/* ---- sending ---- */

static int send_message(struct ronde_fabric *fabric, int peer, uint32_t tag, const void *data,
			size_t bytes, bool may_be_eager, struct ronde_fabric_operation **operation)
{
	struct loopback *f = (struct loopback *)fabric;
	struct ronde_fabric_operation *o;
	int status = ronde_fabric_take(fabric, peer, tag, bytes, false, &o);
	if (status)
		return status;
	const bool eager = may_be_eager && bytes <= f->world->settings.eager_bytes && draw(f) % 2;
	struct ronde_message *m = malloc(sizeof *m + (eager ? bytes : 0));
	if (!m) {
		ronde_fabric_untake(o);
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY,
				   "no memory for a message of rank %d to rank %d", fabric->rank,
				   peer);
	}
	*m = (struct ronde_message){.from = fabric->rank,
				    .tag = tag,
				    .bytes = bytes,
				    .data = data,
				    .due = due(f),
				    .state = RONDE_MESSAGE_WAITING,
				    .owners = eager ? 1 : 2};
	if (eager) {
		m->data = m->copy;
		if (bytes)
			memcpy(m->copy, data, bytes);
	}
	of(o)->message = eager ? NULL : m;
	of(o)->due = eager && draw(f) % 2 ? due(f) : 0;
	fabric->counters.messages_sent++;
	fabric->counters.bytes_sent += bytes;
	if (!ronde_loopback_deliver(f->world, peer, m)) {
		free(m);
		fail_gone(f, o);
	} else if (eager && !of(o)->due) {
		ronde_fabric_complete(o, bytes);
	} else {
		DL_APPEND(f->sends, o);
	}
	*operation = o;
	return RONDE_OK;
}

static int loopback_post_send(struct ronde_fabric *fabric, int peer, uint32_t tag, const void *data,
			      size_t bytes, struct ronde_fabric_operation **operation)
{
	return send_message(fabric, peer, tag, data, bytes, true, operation);
}

static int loopback_post_last(struct ronde_fabric *fabric, int peer, uint32_t tag, const void *data,
			      size_t bytes, struct ronde_fabric_operation **operation)
{
	return send_message(fabric, peer, tag, data, bytes, false, operation);
}

static int progress_sends(struct loopback *f, uint64_t now)
{
	int done = 0;
	struct ronde_fabric_operation *o, *next;
	DL_FOREACH_SAFE(f->sends, o, next)
	{
		struct ronde_message *m = of(o)->message;
		int state = m                   ? ronde_message_state(m)
			    : now >= of(o)->due ? RONDE_MESSAGE_RECEIVED
						: RONDE_MESSAGE_WAITING;
		if (state != RONDE_MESSAGE_RECEIVED && state != RONDE_MESSAGE_REFUSED)
			continue;
		DL_DELETE(f->sends, o);
		if (m)
			ronde_message_let_go(m);
		if (state == RONDE_MESSAGE_RECEIVED)
			ronde_fabric_complete(o, o->bytes);
		else
			fail_gone(f, o);
		done++;
	}
	return done;
}

/* ---- receiving ---- */

static struct ronde_message *find_message(struct loopback *f, int from, uint32_t tag)
{
	struct ronde_message *m;
	DL_FOREACH (f->unexpected, m)
		if (m->from == from && m->tag == tag)
			return m;
	return NULL;
}

static void match(struct loopback *f, struct ronde_fabric_operation *o, struct ronde_message *m)
{
	of(o)->message = m;
	DL_APPEND(f->matched, o);
}

static int loopback_post_receive(struct ronde_fabric *fabric, int peer, uint32_t tag, void *data,
				 size_t bytes, struct ronde_fabric_operation **operation)
{
	struct loopback *f = (struct loopback *)fabric;
	struct ronde_fabric_operation *o;
	int status = ronde_fabric_take(fabric, peer, tag, bytes, true, &o);
	if (status)
		return status;
	o->data = data;
	struct ronde_message *m = find_message(f, peer, tag);
	if (m) {
		DL_DELETE(f->unexpected, m);
		match(f, o, m);
	} else {
		of(o)->message = NULL;
		DL_APPEND(f->posted, o);
		f->departures = -1; /* look again at who is gone */
	}
	*operation = o;
	return RONDE_OK;
}

/* The message goes to the first receive that was posted for its kind. */
static void take_in(struct loopback *f, struct ronde_message *m)
{
	struct ronde_fabric_operation *o;
	DL_FOREACH (f->posted, o)
		if (o->peer == m->from && o->tag == m->tag)
			break;
	if (o) {
		DL_DELETE(f->posted, o);
		match(f, o, m);
	} else {
		DL_APPEND(f->unexpected, m);
	}
}

static void empty_box(struct loopback *f)
{
	struct ronde_message *m = ronde_loopback_empty(f->world, f->base.rank);
	while (m) {
		struct ronde_message *first = m;
		DL_DELETE(m, first);
		if (f->base.lost[first->from]) {
			ronde_message_advance(first, RONDE_MESSAGE_REFUSED);
			ronde_message_let_go(first);
		} else {
			take_in(f, first);
		}
	}
}

static void receive(struct loopback *f, struct ronde_fabric_operation *o, struct ronde_message *m)
{
	if (!ronde_message_advance(m, RONDE_MESSAGE_COPYING)) { /* it was withdrawn */
		fail_gone(f, o);
	} else {
		bool fits = m->bytes <= o->bytes;
		if (fits && m->bytes)
			memcpy(o->data, m->data, m->bytes);
		atomic_store_explicit(&m->state, RONDE_MESSAGE_RECEIVED, memory_order_release);
		if (fits)
			ronde_fabric_complete(o, m->bytes);
		else
			ronde_fabric_fail(o, RONDE_ERR_INTERNAL,
					  "rank %d has sent %zu bytes under tag %u, where rank %d "
					  "expects at most %zu",
					  o->peer, m->bytes, o->tag, f->base.rank, o->bytes);
	}
	ronde_message_let_go(m);
}

static int progress_receives(struct loopback *f, uint64_t now)
{
	int done = 0;
	struct ronde_fabric_operation *o, *next;
	DL_FOREACH_SAFE(f->matched, o, next)
	{
		struct ronde_message *m = of(o)->message;
		if (m->due > now)
			continue;
		DL_DELETE(f->matched, o);
		receive(f, o, m);
		done++;
	}
	return done;
}

/* What a rank that is gone has sent has come before; the rest of it never will. */
static int fail_abandoned(struct loopback *f)
{
	int done = 0;
	struct ronde_fabric_operation *o, *next;
	DL_FOREACH_SAFE(f->posted, o, next)
	{
		if (!atomic_load_explicit(&f->world->boxes[o->peer].gone, memory_order_acquire))
			continue;
		DL_DELETE(f->posted, o);
		done += fail_gone(f, o);
	}
	return done;
}

static int loopback_progress(struct ronde_fabric *fabric)
{
	struct loopback *f = (struct loopback *)fabric;
	const uint64_t now = f->world->settings.delay_ns ? ronde_nanoseconds() : 1;
	int done = 0;
	/* Read before the box: whoever was gone by then has put everything into it. */
	int departures = atomic_load_explicit(&f->world->departures, memory_order_acquire);
	empty_box(f);
	if (departures != f->departures) {
		f->departures = departures;
		if (departures)
			done += fail_abandoned(f);
	}
	done += progress_receives(f, now);
	return done + progress_sends(f, now);
}

static bool loopback_may_call(const struct ronde_fabric *fabric)
{
	(void)fabric;
	return true;
}

/* ---- ends ---- */

/* After this nobody reads the memory of the send. */
static void withdraw(struct ronde_fabric_operation *o)
{
	struct ronde_message *m = of(o)->message;
	if (!m)
		return;
	if (!ronde_message_advance(m, RONDE_MESSAGE_WITHDRAWN))
		while (ronde_message_state(m) == RONDE_MESSAGE_COPYING)
			sched_yield();
	ronde_message_let_go(m);
}

static void refuse(struct ronde_message *m)
{
	ronde_message_advance(m, RONDE_MESSAGE_REFUSED);
	ronde_message_let_go(m);
}

/* Ends what is in flight with a rank (< 0: with all). */
static void drop(struct loopback *f, int peer)
{
	struct ronde_fabric_operation **const lists[] = {&f->posted, &f->matched, &f->sends};
	struct ronde_fabric_operation *o, *next;
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		DL_FOREACH_SAFE(*lists[i], o, next)
		{
			if (peer >= 0 && o->peer != peer)
				continue;
			DL_DELETE(*lists[i], o);
			if (!o->receives)
				withdraw(o);
			else if (of(o)->message)
				refuse(of(o)->message);
			if (peer >= 0)
				fail_gone(f, o);
		}
	struct ronde_message *m, *after;
	DL_FOREACH_SAFE(f->unexpected, m, after)
	if (peer < 0 || m->from == peer) {
		DL_DELETE(f->unexpected, m);
		refuse(m);
	}
}

static void loopback_lose(struct ronde_fabric *fabric, int peer, const char *why)
{
	if (ronde_fabric_note_lost(fabric, peer, why))
		drop((struct loopback *)fabric, peer);
}

static void end(struct loopback *f)
{
	struct ronde_loopback *world = f->adopted ? f->world : NULL;
	ronde_fabric_free(&f->base);
	free(f);
	ronde_loopback_release(world);
}

static int loopback_close(struct ronde_fabric *fabric)
{
	struct loopback *f = (struct loopback *)fabric;
	int status = ronde_fabric_check_idle(fabric);
	if (status)
		return status;
	empty_box(f);
	if (f->unexpected)
		return ronde_error(RONDE_ERR_BUSY,
				   "rank %d has not received a message of rank %d under tag %u",
				   fabric->rank, f->unexpected->from, f->unexpected->tag);
	ronde_loopback_leave(f->world, fabric->rank, false);
	end(f);
	return RONDE_OK;
}

/* Everything can be called back, always. */
static size_t loopback_abandon(struct ronde_fabric *fabric)
{
	struct loopback *f = (struct loopback *)fabric;
	ronde_loopback_leave(f->world, fabric->rank, true);
	empty_box(f); /* nothing comes after that */
	drop(f, -1);
	end(f);
	return 0;
}

static const struct ronde_fabric_ops loopback_ops = {
	.name = "loopback",
	.post_send = loopback_post_send,
	.post_last = loopback_post_last,
	.post_receive = loopback_post_receive,
	.progress = loopback_progress,
	.may_call = loopback_may_call,
	.lose = loopback_lose,
	.close = loopback_close,
	.abandon = loopback_abandon,
};

int ronde_loopback_open(struct ronde_fabric **fabric, struct ronde_loopback *world, int rank)
{
	if (rank < 0 || rank >= world->size)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "rank %d of a fabric of %d: allowed is 0 to %d", rank,
				   world->size, world->size - 1);
	struct loopback *f = calloc(1, sizeof *f);
	if (!f)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for the fabric of rank %d",
				   rank);
	f->base.ops = &loopback_ops;
	f->base.rank = rank;
	f->base.size = world->size;
	f->base.error = ronde_error;
	f->world = world;
	f->departures = -1;
	/* Never 0, of which nothing but 0 would be drawn. */
	f->random = (world->settings.seed * 0x9e3779b97f4a7c15 ^ (uint64_t)rank << 32) | 1;
	int status = ronde_fabric_init(&f->base, sizeof(struct operation));
	if (!status)
		status = ronde_loopback_enter(world, rank);
	if (status) {
		ronde_fabric_free(&f->base);
		free(f);
		return status;
	}
	*fabric = &f->base;
	return RONDE_OK;
}

int ronde_loopback_adopt(struct ronde_fabric **fabric, struct ronde_loopback *world, int rank)
{
	int status = ronde_loopback_open(fabric, world, rank);
	if (status)
		ronde_loopback_release(world);
	else
		((struct loopback *)*fabric)->adopted = true;
	return status;
}

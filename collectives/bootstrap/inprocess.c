/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranks as threads of one process.
 *
 * The k-th opening of each rank belongs to session k. A session is a row of rounds; in each round
 * every rank puts its part into the round's buffer, and leaves with a copy of the whole when the
 * last has come. Two buffers in turn are enough: round r+2 cannot begin to be filled before every
 * rank has entered round r+1, hence has left round r. Sessions are apart so that a rank that gave
 * up, closed and opened again never meets ranks that have not noticed yet.
 */
#include "collectives/bootstrap.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/bootstrap/wait.h"
#include "collectives/fabric/loopback.h"
#include "collectives/status.h"

#define DEFAULT_TIMEOUT 60.0
/* Of ronde_inprocess_share(). */
#define FABRIC_KEY (-1)

struct round {
	unsigned char *data; /* size × bytes */
	size_t capacity;
	size_t bytes; /* of each rank's part: as the first to arrive says */
	int first;    /* who that was */
};

struct session {
	struct session *next;
	uint64_t number;
	int closed;        /* ranks that have closed it; at size it is freed */
	int arrived;       /* ranks in the round that is being filled */
	uint64_t done;     /* complete rounds */
	bool *missing;     /* [size] who has not */
	struct round r[2]; /* of even and odd rounds */
	int status;        /* not OK: the session is broken */
	char why[256];     /* and this is why */
};

/* What ronde_inprocess_share() gave out in a round. */
struct shared {
	struct shared *next;
	uint64_t round;
	int key;
	void *pointer;
};

struct ronde_inprocess {
	pthread_mutex_t lock;
	pthread_cond_t change;
	int size;
	double timeout;
	struct ronde_loopback_settings fabric;
	int *node_of_rank;
	uint64_t *opened; /* [size] how often each rank has opened it */
	uint64_t rounds;  /* complete rounds of all sessions */
	struct session *sessions;
	struct shared *shared;
};

struct inprocess {
	struct ronde_bootstrap base;
	struct session *session;
	uint64_t rounds; /* this rank has been through */
};

static void session_free(struct session *s)
{
	free(s->missing);
	free(s->r[0].data);
	free(s->r[1].data);
	free(s);
}

void ronde_inprocess_destroy(struct ronde_inprocess *world)
{
	if (!world)
		return;
	while (world->sessions) {
		struct session *s = world->sessions;
		world->sessions = s->next;
		session_free(s);
	}
	while (world->shared) {
		struct shared *s = world->shared;
		world->shared = s->next;
		free(s);
	}
	pthread_cond_destroy(&world->change);
	pthread_mutex_destroy(&world->lock);
	free(world->opened);
	free(world->node_of_rank);
	free(world);
}

struct ronde_inprocess *ronde_inprocess_create(int size, const int *node_of_rank)
{
	struct ronde_inprocess *world = size >= 1 ? calloc(1, sizeof *world) : NULL;
	if (!world) {
		ronde_error(size >= 1 ? RONDE_ERR_OUT_OF_MEMORY : RONDE_ERR_INVALID_ARGUMENT,
			    "no world of %d ranks as threads: a world has at least one rank, and "
			    "takes %zu bytes",
			    size, sizeof *world);
		return NULL;
	}
	world->size = size;
	world->timeout = DEFAULT_TIMEOUT;
	world->fabric = RONDE_LOOPBACK_SETTINGS;
	pthread_mutex_init(&world->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&world->change, &attr);
	pthread_condattr_destroy(&attr);
	world->node_of_rank = calloc((size_t)size, sizeof *world->node_of_rank);
	world->opened = calloc((size_t)size, sizeof *world->opened);
	if (!world->node_of_rank || !world->opened) {
		ronde_inprocess_destroy(world);
		ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for a world of %d ranks as threads",
			    size);
		return NULL;
	}
	if (node_of_rank)
		memcpy(world->node_of_rank, node_of_rank, (size_t)size * sizeof *node_of_rank);
	return world;
}

void ronde_inprocess_set_timeout(struct ronde_inprocess *world, double timeout_seconds)
{
	pthread_mutex_lock(&world->lock);
	world->timeout = timeout_seconds;
	pthread_mutex_unlock(&world->lock);
}

void ronde_inprocess_set_fabric(struct ronde_inprocess *world,
				const struct ronde_loopback_settings *settings)
{
	pthread_mutex_lock(&world->lock);
	world->fabric = *settings;
	pthread_mutex_unlock(&world->lock);
}

/* The first cause stays. Everybody in the session gets it, now or at the next exchange. */
static void session_break(struct ronde_inprocess *world, struct session *s, int status,
			  const char *why)
{
	if (s->status)
		return;
	s->status = status;
	snprintf(s->why, sizeof s->why, "%s", why);
	pthread_cond_broadcast(&world->change);
}

/* Puts this rank's part into the round. Under the lock. */
static int round_enter(struct ronde_inprocess *world, struct inprocess *me, const void *mine,
		       size_t bytes)
{
	struct session *s = me->session;
	struct round *r = &s->r[me->rounds % 2];
	size_t total = bytes * (size_t)world->size;
	char why[128];
	if (!s->arrived) {
		if (total > r->capacity) {
			unsigned char *data = realloc(r->data, total);
			if (!data) {
				snprintf(why, sizeof why, "no memory to exchange %zu bytes", total);
				session_break(world, s, RONDE_ERR_OUT_OF_MEMORY, why);
				return s->status;
			}
			r->data = data;
			r->capacity = total;
		}
		r->bytes = bytes;
		r->first = me->base.rank;
	}
	if (r->bytes != bytes) {
		snprintf(why, sizeof why,
			 "rank %d exchanges %zu bytes where rank %d exchanges %zu: they run "
			 "different programs",
			 me->base.rank, bytes, r->first, r->bytes);
		session_break(world, s, RONDE_ERR_VERSION, why);
		return s->status;
	}
	if (bytes)
		memcpy(r->data + bytes * (size_t)me->base.rank, mine, bytes);
	s->missing[me->base.rank] = false;
	if (++s->arrived == world->size) {
		s->arrived = 0;
		memset(s->missing, true, (size_t)world->size);
		s->done++;
		world->rounds++;
		pthread_cond_broadcast(&world->change);
	}
	return RONDE_OK;
}

/* Waits until the round is complete. Under the lock. */
static int round_wait(struct ronde_inprocess *world, struct inprocess *me)
{
	struct session *s = me->session;
	const struct timespec until = ronde_timespec(ronde_seconds() + world->timeout);
	while (s->done == me->rounds && !s->status) {
		int error = pthread_cond_timedwait(&world->change, &world->lock, &until);
		if (error != ETIMEDOUT || s->done != me->rounds || s->status)
			continue;
		char who[128], why[sizeof s->why];
		ronde_ranks_text(who, sizeof who, s->missing, world->size);
		snprintf(why, sizeof why, "%s did not come to the exchange within %g s", who,
			 world->timeout);
		session_break(world, s, RONDE_ERR_PEER_LOST, why);
	}
	return s->done == me->rounds ? s->status : RONDE_OK;
}

static int inprocess_exchange(struct ronde_bootstrap *bootstrap, const void *mine, void *all,
			      size_t bytes)
{
	struct inprocess *me = (struct inprocess *)bootstrap;
	struct ronde_inprocess *world = bootstrap->inprocess;
	struct session *s = me->session;

	pthread_mutex_lock(&world->lock);
	int status = s->status;
	if (!status)
		status = round_enter(world, me, mine, bytes);
	if (!status)
		status = round_wait(world, me);
	if (status)
		ronde_error(status, "%s", s->why);
	else if (bytes)
		memcpy(all, s->r[me->rounds % 2].data, bytes * (size_t)world->size);
	me->rounds++;
	pthread_mutex_unlock(&world->lock);
	return status;
}

/* Whoever still waits in this session, or will, waits for nothing: this rank is not coming back. */
static void inprocess_close(struct ronde_bootstrap *bootstrap, bool clean)
{
	(void)clean;
	struct inprocess *me = (struct inprocess *)bootstrap;
	struct ronde_inprocess *world = bootstrap->inprocess;
	struct session *s = me->session;
	char why[64];
	snprintf(why, sizeof why, "rank %d has left", bootstrap->rank);

	pthread_mutex_lock(&world->lock);
	session_break(world, s, RONDE_ERR_PEER_LOST, why);
	if (++s->closed == world->size) {
		struct session **at = &world->sessions;
		while (*at != s)
			at = &(*at)->next;
		*at = s->next;
		session_free(s);
	}
	pthread_mutex_unlock(&world->lock);
	free(me);
}

/* Under the world's lock. */
static void *make_fabric(void *arg)
{
	const struct ronde_inprocess *world = arg;
	struct ronde_loopback *loopback = ronde_loopback_create(world->size, &world->fabric);
	if (loopback)
		ronde_loopback_share(loopback);
	return loopback;
}

static int inprocess_open_fabric(struct ronde_bootstrap *bootstrap, struct ronde_fabric **fabric)
{
	struct ronde_inprocess *world = bootstrap->inprocess;
	int status = inprocess_exchange(bootstrap, NULL, NULL, 0);
	if (status)
		return status;
	struct ronde_loopback *loopback =
		ronde_inprocess_share(world, FABRIC_KEY, make_fabric, world);
	if (!loopback)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY,
				   "no memory for the fabric of %d ranks as threads", world->size);
	return ronde_loopback_adopt(fabric, loopback, bootstrap->rank);
}

static const struct ronde_bootstrap_ops inprocess_ops = {
	.name = "in-process",
	.exchange = inprocess_exchange,
	.open_fabric = inprocess_open_fabric,
	.close = inprocess_close,
};

/* The session with this number, made if this rank is the first to open it. Under the lock. */
static struct session *session_find(struct ronde_inprocess *world, uint64_t number)
{
	for (struct session *s = world->sessions; s; s = s->next)
		if (s->number == number)
			return s;
	struct session *s = calloc(1, sizeof *s);
	bool *missing = malloc((size_t)world->size);
	if (!s || !missing) {
		free(missing);
		free(s);
		return NULL;
	}
	memset(missing, true, (size_t)world->size);
	s->missing = missing;
	s->number = number;
	s->next = world->sessions;
	world->sessions = s;
	return s;
}

int ronde_bootstrap_inprocess(struct ronde_bootstrap **bootstrap, struct ronde_inprocess *world,
			      int rank)
{
	if (rank < 0 || rank >= world->size)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "rank %d of a world of %d: allowed is 0 to %d", rank,
				   world->size, world->size - 1);
	struct inprocess *me = calloc(1, sizeof *me);
	if (!me)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory to open rank %d", rank);
	me->base.ops = &inprocess_ops;
	me->base.rank = rank;
	me->base.size = world->size;
	me->base.node_of_rank = world->node_of_rank;
	me->base.inprocess = world;

	pthread_mutex_lock(&world->lock);
	me->session = session_find(world, world->opened[rank]);
	if (me->session)
		world->opened[rank]++;
	pthread_mutex_unlock(&world->lock);
	if (!me->session) {
		free(me);
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory to open rank %d", rank);
	}
	*bootstrap = &me->base;
	return RONDE_OK;
}

/* No round can complete while its caller is between two, so all callers agree on its number. */
void *ronde_inprocess_share(struct ronde_inprocess *world, int key, void *(*make)(void *arg),
			    void *arg)
{
	void *pointer = NULL;
	pthread_mutex_lock(&world->lock);
	struct shared **at = &world->shared;
	while (*at) {
		struct shared *s = *at;
		if (s->round != world->rounds) {
			*at = s->next;
			free(s);
			continue;
		}
		if (s->key == key)
			pointer = s->pointer;
		at = &s->next;
	}
	if (!pointer) {
		struct shared *s = malloc(sizeof *s);
		pointer = s ? make(arg) : NULL;
		if (pointer) {
			*s = (struct shared){world->shared, world->rounds, key, pointer};
			world->shared = s;
		} else {
			free(s);
		}
	}
	pthread_mutex_unlock(&world->lock);
	return pointer;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fabric_bodies.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "collectives/bootstrap/wait.h"
#include "ronde/ronde.h"
#include "tests/fabric_expect.h"

#define BARRIER_TAG RONDE_FABRIC_TAG_MAX

int fabric_wait(struct ronde_fabric_operation *o, size_t *bytes)
{
	struct ronde_fabric *f = o->fabric;
	const double deadline = ronde_seconds() + 100;
	while (!ronde_fabric_done(o)) {
		EXPECT(f, ronde_fabric_progress(f) >= 0);
		EXPECT(f, ronde_seconds() < deadline);
		sched_yield();
	}
	return ronde_fabric_finish(o, bytes);
}

/* Everybody's last message to everybody: it has left when it was received. */
void fabric_barrier(struct ronde_fabric *f)
{
	for (int step = 1; step < f->size; step++) {
		struct ronde_fabric_operation *in, *out;
		int to = (f->rank + step) % f->size, from = (f->rank + f->size - step) % f->size;
		OK(f, ronde_fabric_post_receive(f, from, BARRIER_TAG, NULL, 0, &in));
		OK(f, ronde_fabric_post_last(f, to, BARRIER_TAG, NULL, 0, &out));
		OK(f, fabric_wait(out, NULL));
		OK(f, fabric_wait(in, NULL));
	}
}

/* ---- many at once ---- */

void fabric_flood(struct fabric_rank *r)
{
	struct ronde_fabric *f = r->fabric;
	const size_t n = (size_t)r->turns * (size_t)f->size;
	struct ronde_fabric_operation **in = calloc(n, sizeof(void *));
	struct ronde_fabric_operation **out = calloc(n, sizeof(void *));
	uint64_t *what = calloc(n, sizeof *what), *got = calloc(n, sizeof *got);
	EXPECT(f, in && out && what && got);
	for (size_t i = 0; i < n; i++)
		what[i] = (uint64_t)f->rank << 32 | i / (size_t)f->size;
	const struct ronde_fabric_counters before = f->counters;
	/* Half of the ranks receive first, the others send first. */
	for (int half = 0; half < 2; half++)
		for (size_t i = 0; i < n; i++) {
			int peer = (int)(i % (size_t)f->size);
			if (half == f->rank % 2)
				OK(f, ronde_fabric_post_send(f, peer, 7, &what[i], sizeof *what,
							     &out[i]));
			else
				OK(f, ronde_fabric_post_receive(f, peer, 7, &got[i], sizeof *got,
								&in[i]));
		}
	for (size_t i = 0; i < n; i++) {
		size_t bytes;
		OK(f, fabric_wait(in[i], &bytes));
		OK(f, fabric_wait(out[i], NULL));
		EXPECT(f, bytes == sizeof *got);
		EXPECT(f, got[i] == (i % (size_t)f->size << 32 | i / (size_t)f->size));
	}
	EXPECT(f, f->in_flight == 0);
	EXPECT(f, f->counters.messages_sent - before.messages_sent == n);
	EXPECT(f, f->counters.messages_received - before.messages_received == n);
	EXPECT(f, f->counters.bytes_sent - before.bytes_sent == n * sizeof *got);
	EXPECT(f, f->counters.bytes_received - before.bytes_received == n * sizeof *got);
	free(got);
	free(what);
	free(out);
	free(in);
	fabric_barrier(f);
}

/* ---- by several threads ---- */

struct baton {
	struct fabric_rank *rank;
	pthread_mutex_t lock;
	int turn;
};

/* A ring of messages; each hop is made by whoever gets the lock. */
static void *hop(void *arg)
{
	struct baton *b = arg;
	struct ronde_fabric *f = b->rank->fabric;
	bool more = true;
	while (more) {
		pthread_mutex_lock(&b->lock);
		more = b->turn < b->rank->turns;
		if (more) {
			int out = b->turn * f->size + f->rank, in = -1;
			struct ronde_fabric_operation *send, *receive;
			int from = (f->rank + f->size - 1) % f->size;
			EXPECT(f, ronde_fabric_may_call(f));
			OK(f, ronde_fabric_post_receive(f, from, 1, &in, sizeof in, &receive));
			OK(f, ronde_fabric_post_send(f, (f->rank + 1) % f->size, 1, &out,
						     sizeof out, &send));
			OK(f, fabric_wait(receive, NULL));
			OK(f, fabric_wait(send, NULL));
			EXPECT(f, in == b->turn * f->size + from);
			b->turn++;
		}
		pthread_mutex_unlock(&b->lock);
		sched_yield();
	}
	return NULL;
}

void fabric_threads(struct fabric_rank *r)
{
	struct baton b = {.rank = r, .lock = PTHREAD_MUTEX_INITIALIZER};
	pthread_t thread;
	EXPECT(r->fabric, !pthread_create(&thread, NULL, hop, &b));
	hop(&b);
	pthread_join(thread, NULL);
	fabric_barrier(r->fabric);
}

/* ---- errors ---- */

static void refused(struct ronde_fabric *f)
{
	struct ronde_fabric_operation *o = NULL;
	char byte = 0, text[256];
	FAILS(f, ronde_fabric_post_send(f, f->size, 0, &byte, 1, &o), RONDE_ERR_INVALID_ARGUMENT,
	      "there are ranks 0 to");
	FAILS(f, ronde_fabric_post_receive(f, -1, 0, &byte, 1, &o), RONDE_ERR_INVALID_ARGUMENT,
	      "rank -1");
	snprintf(text, sizeof text, "rank %d and rank %d under tag 8388608: tags are 0 to 8388607",
		 f->rank, f->rank);
	FAILS(f, ronde_fabric_post_last(f, f->rank, 1u << 23, &byte, 1, &o),
	      RONDE_ERR_INVALID_ARGUMENT, text);
	EXPECT(f, !o && !f->in_flight && !f->held);
}

/* Rank 0 sends more than the others expect: that is an error of the one operation. */
static void too_long(struct ronde_fabric *f)
{
	const size_t lengths[] = {100, 100000};
	unsigned char *memory = calloc(1, lengths[1]);
	for (size_t i = 0; i < 2; i++) {
		struct ronde_fabric_operation *o;
		if (f->rank == 0)
			for (int peer = 1; peer < f->size; peer++) {
				OK(f, ronde_fabric_post_send(f, peer, 3, memory, lengths[i], &o));
				OK(f, fabric_wait(o, NULL));
				OK(f, ronde_fabric_post_send(f, peer, 3, "next", 4, &o));
				OK(f, fabric_wait(o, NULL));
			}
		if (f->rank != 0) {
			size_t bytes = 99;
			char next[5] = "";
			OK(f, ronde_fabric_post_receive(f, 0, 3, memory, 64, &o));
			FAILS(f, fabric_wait(o, &bytes), RONDE_ERR_INTERNAL, "rank 0 has sent");
			EXPECT(f, bytes == 99 && memory[64] == 0);
			OK(f, ronde_fabric_post_receive(f, 0, 3, next, 4, &o));
			OK(f, fabric_wait(o, NULL));
			EXPECT(f, !strcmp(next, "next"));
		}
	}
	free(memory);
}

void fabric_errors(struct fabric_rank *r)
{
	struct ronde_fabric *f = r->fabric;
	struct ronde_fabric_operation *in, *out;
	char text[256], got = 0;
	refused(f);
	too_long(f);
	fabric_barrier(f);
	OK(f, ronde_fabric_post_receive(f, f->rank, 5, &got, 1, &in));
	snprintf(text, sizeof text,
		 "rank %d has 1 messages that are not finished; one is from rank %d under tag 5, "
		 "in flight",
		 f->rank, f->rank);
	FAILS(f, ronde_fabric_finish(in, NULL), RONDE_ERR_INTERNAL, "not done");
	FAILS(f, ronde_fabric_close(f), RONDE_ERR_BUSY, text);
	OK(f, ronde_fabric_post_send(f, f->rank, 5, "x", 1, &out));
	OK(f, fabric_wait(out, NULL));
	while (!ronde_fabric_done(in))
		ronde_fabric_progress(f);
	FAILS(f, ronde_fabric_close(f), RONDE_ERR_BUSY, "under tag 5, done");
	OK(f, ronde_fabric_finish(in, NULL));
	FAILS(f, ronde_fabric_finish(in, NULL), RONDE_ERR_INTERNAL, "finished already");
	EXPECT(f, got == 'x');
}

/* ---- ends ---- */

void fabric_last(struct fabric_rank *r)
{
	struct ronde_fabric *f = r->fabric;
	struct ronde_fabric_operation *in, *out, *word;
	const int to = (f->rank + 1) % f->size, from = (f->rank + f->size - 1) % f->size;
	char got = 0, unused;
	char text[256];
	OK(f, ronde_fabric_post_last(f, to, 9, "l", 1, &out));
	for (double until = ronde_seconds() + 0.05; ronde_seconds() < until;)
		EXPECT(f, ronde_fabric_progress(f) == 0);
	EXPECT(f, !ronde_fabric_done(out));
	fabric_barrier(f); /* so nobody receives before all have seen that */
	snprintf(text, sizeof text, "rank %d has 1 messages that are not finished; one is to",
		 f->rank);
	FAILS(f, ronde_fabric_close(f), RONDE_ERR_BUSY, text);
	OK(f, ronde_fabric_post_receive(f, from, 9, &got, 1, &in));
	OK(f, fabric_wait(in, NULL));
	OK(f, fabric_wait(out, NULL));
	EXPECT(f, got == 'l');
	/* One that nobody asks for: it has come when what was sent behind it has. */
	OK(f, ronde_fabric_post_send(f, to, 11, "u", 1, &out));
	OK(f, ronde_fabric_post_receive(f, from, 12, &got, 1, &in));
	OK(f, ronde_fabric_post_send(f, to, 12, "v", 1, &word));
	OK(f, fabric_wait(in, NULL));
	OK(f, fabric_wait(word, NULL));
	while (!ronde_fabric_done(out) && f->ops->name[0] == 'm')
		ronde_fabric_progress(f);
	bool sent = ronde_fabric_done(out);
	if (sent) {
		OK(f, ronde_fabric_finish(out, NULL));
		snprintf(text, sizeof text,
			 "rank %d has not received a message of rank %d under tag 11", f->rank,
			 from);
		FAILS(f, ronde_fabric_close(f), RONDE_ERR_BUSY, text);
	}
	OK(f, ronde_fabric_post_receive(f, from, 11, &unused, 1, &in));
	OK(f, fabric_wait(in, NULL));
	if (!sent)
		OK(f, fabric_wait(out, NULL));
	fabric_barrier(f);
}

/*
 * Memory of any size that takes little: the same pages again and again, so the last bytes, which
 * nothing else is written over, are what tells.
 */
static unsigned char *wide(struct ronde_fabric *f, size_t bytes, size_t page)
{
	int fd = memfd_create("wide", MFD_CLOEXEC);
	EXPECT(f, fd >= 0 && !ftruncate(fd, (off_t)page));
	unsigned char *memory =
		mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	EXPECT(f, memory != MAP_FAILED);
	for (size_t at = 0; at < bytes; at += page)
		EXPECT(f, mmap(memory + at, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			       fd, 0) != MAP_FAILED);
	close(fd);
	return memory;
}

void fabric_huge(struct fabric_rank *r)
{
	struct ronde_fabric *f = r->fabric;
	const size_t page = (size_t)16 << 20, room = (size_t)3 << 30;
	const size_t lengths[] = {((size_t)2 << 30) + 12345, (size_t)5, ((size_t)1 << 31) - 1,
				  (size_t)1 << 31};
	const int to = (f->rank + 1) % f->size, from = (f->rank + f->size - 1) % f->size;
	unsigned char *source = wide(f, room, page), *target = wide(f, room, page);
	for (size_t i = 0; i < page; i++)
		source[i] = (unsigned char)(i * 2654435761u >> 24);
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths && i < (size_t)r->turns; i++) {
		struct ronde_fabric_operation *in, *out;
		size_t got = 0, n = lengths[i], end = n % page ? n % page : page;
		memset(target, 0, page);
		OK(f, ronde_fabric_post_receive(f, from, 21, target, room, &in));
		OK(f, ronde_fabric_post_send(f, to, 21, source, n, &out));
		OK(f, fabric_wait(in, &got));
		OK(f, fabric_wait(out, NULL));
		EXPECT(f, got == n);
		EXPECT(f, !memcmp(source, target, end));
		if (n < page)
			EXPECT(f, target[end] == 0);
		fabric_barrier(f);
	}
	munmap(source, room);
	munmap(target, room);
}

/* Everybody gives the last rank up, which gives up all the others. */
void fabric_lost(struct fabric_rank *r)
{
	struct ronde_fabric *f = r->fabric;
	const int lost = f->size - 1;
	const size_t bytes = (size_t)1 << 20;
	unsigned char *memory = r->kept = calloc(1, bytes + 64);
	char word[16] = "";
	struct ronde_fabric_operation *in, *out, *later = NULL;
	int peer = f->rank == lost ? 0 : lost;
	char text[64];
	fabric_barrier(f);
	snprintf(text, sizeof text, "rank %d has crashed", peer);
	OK(f, ronde_fabric_post_receive(f, peer, 100, memory + bytes, 64, &in));
	OK(f, ronde_fabric_post_last(f, peer, 101, memory, bytes, &out));
	for (int i = 0; i < 10; i++)
		EXPECT(f, ronde_fabric_progress(f) == 0);
	fabric_barrier(f);
	ronde_fabric_lose(f, peer, text);
	ronde_fabric_lose(f, peer, "the first reason stays");
	EXPECT(f, ronde_fabric_done(in) && ronde_fabric_done(out) && f->in_flight == 0);
	/* The peer may have been quicker to give us up, and have left. */
	FAILS(f, ronde_fabric_finish(in, NULL), RONDE_ERR_PEER_LOST, " has ");
	FAILS(f, ronde_fabric_finish(out, NULL), RONDE_ERR_PEER_LOST, " has ");
	FAILS(f, ronde_fabric_post_send(f, peer, 102, memory, 1, &later), RONDE_ERR_PEER_LOST,
	      text);
	EXPECT(f, !later);
	/* The others go on. */
	if (f->rank != lost && f->size > 2) {
		int next = (f->rank + 1) % lost, before = (f->rank + lost - 1) % lost;
		OK(f, ronde_fabric_post_receive(f, before, 103, word, sizeof word, &in));
		OK(f, ronde_fabric_post_send(f, next, 103, "still here", 10, &out));
		OK(f, fabric_wait(in, NULL));
		OK(f, fabric_wait(out, NULL));
		EXPECT(f, !strcmp(word, "still here"));
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan is drawn from the seed, the same on all ranks: a list of messages. Each rank posts its
 * own sends and receives, in an order that differs from the list's within a window, lets some of
 * them be in flight, and looks at each that is done.
 *
 * No rank ever waits for what another cannot do: consider the first message of the list that is not
 * through. All that stand a window or more in front of it are, so both of its ranks have room for
 * it.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "collectives/bootstrap/wait.h"
#include "tests/fabric_bodies.h"
#include "tests/fabric_expect.h"
#include "tests/seed.h"

#define WINDOW 16
#define GUARD 32

struct planned {
	int from, to;
	uint32_t tag;
	size_t bytes;
};

/* One of this rank's ends of a message, while it is in flight. */
struct flight {
	struct ronde_fabric_operation *operation;
	const struct planned *message;
	size_t room; /* a receive's */
	unsigned char *memory;
	uint64_t number;
};

struct course { /* this rank's sends, or its receives */
	size_t *order;
	size_t n, posted;
	struct flight flights[2 * WINDOW];
	size_t in_flight;
};

static size_t draw_bytes(uint64_t *seed)
{
	static const size_t around[] = {0, 1, 64, 4096, 65536, 262144, (size_t)4 << 20};
	uint64_t lot = next_random(seed);
	size_t i = lot % 64 == 0 ? 6 : lot % 16 == 0 ? 5 : lot % 5;
	size_t bytes = around[i] / 2 + next_random(seed) % (around[i] + 1);
	return lot >> 8 & 1 ? bytes : around[i];
}

static void draw_plan(struct planned *plan, size_t n, int size, uint64_t *seed)
{
	static const uint32_t tags[] = {0, 1, 77, 32768, RONDE_FABRIC_TAG_MAX - 1};
	for (size_t i = 0; i < n; i++) {
		plan[i].from = (int)(next_random(seed) % (uint64_t)size);
		plan[i].to = (int)(next_random(seed) % (uint64_t)size);
		/* Few, so that many have the same; or each its own. */
		plan[i].tag =
			next_random(seed) % 4 ? tags[next_random(seed) % 5] : (uint32_t)(1000 + i);
		plan[i].bytes = draw_bytes(seed);
	}
}

/* Byte j of message i. */
static unsigned char content(uint64_t i, size_t j)
{
	return (unsigned char)((i * 0x9e3779b97f4a7c15 >> 40) + j * 31 + (j >> 8));
}

/* Mixed within windows of the plan; those of one kind stay in their order. */
static void draw_order(struct course *c, const struct planned *plan, size_t n, int rank, bool sends,
		       uint64_t *random)
{
	c->order = calloc(n, sizeof *c->order);
	for (size_t i = 0; i < n; i++)
		if ((sends ? plan[i].from : plan[i].to) == rank)
			c->order[c->n++] = i;
	for (size_t k = 0; k < 4 * c->n; k++) {
		size_t i = next_random(random) % c->n;
		if (i + 1 == c->n)
			continue;
		const size_t a = c->order[i], b = c->order[i + 1];
		bool same = plan[a].from == plan[b].from && plan[a].to == plan[b].to &&
			    plan[a].tag == plan[b].tag;
		if (!same && a / WINDOW == b / WINDOW) {
			c->order[i] = b;
			c->order[i + 1] = a;
		}
	}
}

static void post(struct ronde_fabric *f, struct course *c, const struct planned *plan, bool sends,
		 uint64_t *random)
{
	const size_t i = c->order[c->posted++];
	struct flight *fly = &c->flights[c->in_flight++];
	fly->message = &plan[i];
	fly->number = i;
	fly->room =
		plan[i].bytes + (sends || next_random(random) % 2 ? 0 : next_random(random) % 5000);
	fly->memory = malloc(fly->room + GUARD);
	EXPECT(f, fly->memory);
	if (sends) {
		for (size_t j = 0; j < plan[i].bytes; j++)
			fly->memory[j] = content(i, j);
		OK(f, ronde_fabric_post_send(f, plan[i].to, plan[i].tag, fly->memory, plan[i].bytes,
					     &fly->operation));
	} else {
		memset(fly->memory, 0xaa, fly->room + GUARD);
		OK(f, ronde_fabric_post_receive(f, plan[i].from, plan[i].tag, fly->memory,
						fly->room, &fly->operation));
	}
}

static void judge(struct ronde_fabric *f, struct flight *fly, bool sends)
{
	size_t bytes = (size_t)-1, right = 0;
	OK(f, ronde_fabric_finish(fly->operation, &bytes));
	EXPECT(f, bytes == fly->message->bytes);
	if (sends) { /* free to be written again */
		memset(fly->memory, 0x55, bytes);
	} else {
		while (right < bytes && fly->memory[right] == content(fly->number, right))
			right++;
		EXPECT(f, right == bytes);
		while (right < fly->room + GUARD && fly->memory[right] == 0xaa)
			right++;
		EXPECT(f, right == fly->room + GUARD);
	}
	free(fly->memory);
}

static void look(struct ronde_fabric *f, struct course *c, bool sends)
{
	for (size_t i = 0; i < c->in_flight;) {
		if (!ronde_fabric_done(c->flights[i].operation)) {
			i++;
			continue;
		}
		judge(f, &c->flights[i], sends);
		c->flights[i] = c->flights[--c->in_flight];
	}
}

static void dawdle(uint64_t *random)
{
	uint64_t lot = next_random(random) % 200;
	if (lot == 0)
		nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
	else if (lot < 40)
		sched_yield();
}

void fabric_random(struct fabric_rank *r)
{
	struct ronde_fabric *f = r->fabric;
	uint64_t seed = r->seed, random = r->seed + 1 + (uint64_t)f->rank;
	const size_t n = (size_t)r->turns;
	struct planned *plan = calloc(n, sizeof *plan);
	struct course *courses = calloc(2, sizeof *courses);
	EXPECT(f, plan && courses);
	draw_plan(plan, n, f->size, &seed);
	for (int sends = 0; sends < 2; sends++)
		draw_order(&courses[sends], plan, n, f->rank, sends, &random);
	const double deadline = ronde_seconds() + 200;
	for (bool more = true; more;) {
		more = false;
		for (int sends = 0; sends < 2; sends++) {
			struct course *c = &courses[sends];
			/* At least a window, so that what the plan puts first is always there. */
			size_t limit = WINDOW + next_random(&random) % WINDOW;
			while (c->posted < c->n && c->in_flight < limit)
				post(f, c, plan, sends, &random);
			look(f, c, sends);
			more |= c->posted < c->n || c->in_flight;
		}
		EXPECT(f, ronde_fabric_progress(f) >= 0);
		EXPECT(f, ronde_seconds() < deadline);
		dawdle(&random);
	}
	EXPECT(f, f->in_flight == 0 && f->held == 0);
	free(courses[0].order);
	free(courses[1].order);
	free(courses);
	free(plan);
	fabric_barrier(f);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What travels between nodes, and what has to wait there: ranks as threads, loopback fabric. */
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "collectives/fabric.h"
#include "coordinator/reach.h"
#include "tests/ranks.h"
#include "tests/suite.h"

/* ---- a rank that takes nothing ---- */

#define CARRIED 900 /* floats that ride */
#define MANY 100    /* of these: several times what a ring holds */

/* What the last rank's ring has no room for waits in its node's relay, and holds up nobody. */
static void fill_a_ring(struct rank *r)
{
	_Atomic int *done = r->arg;
	const bool held = r->rank == r->size - 1;
	ronde_handle h[MANY];
	float *x = calloc((size_t)MANY * CARRIED, sizeof *x);
	if (!x)
		abort();
	must(barrier(r), "barrier");
	if (held)
		pthread_mutex_lock(&r->context->engine.lock);
	for (int i = 0; i < MANY; i++) {
		for (int k = 0; k < CARRIED && r->rank == 0; k++)
			x[i * CARRIED + k] = (float)(i + k);
		must(submit_broadcast(r, NULL, x + (size_t)i * CARRIED, x + (size_t)i * CARRIED,
				      CARRIED, RONDE_FLOAT32, 0, &h[i]),
		     "submit");
	}
	while (held && atomic_load(done) < r->size - 1)
		usleep(1000);
	if (held)
		pthread_mutex_unlock(&r->context->engine.lock);
	for (int i = 0; i < MANY; i++) {
		must(wait_for(r, h[i]), "broadcast");
		for (int k = 0; k < CARRIED; k++)
			if (x[i * CARRIED + k] != (float)(i + k))
				abort();
	}
	atomic_fetch_add(done, 1);
	must(barrier(r), "barrier");
	free(x);
}

START_TEST(full_ring)
{
	static const char *const small[] = {"ring_bytes", "64K", NULL};
	_Atomic int done = 0;
	run_ranks_on("2", 13, 0, 4, small, fill_a_ring, &done);
}
END_TEST

/* ---- 16 bits on the wire ---- */

#define WIDE 40000

struct wire {
	uint64_t sent; /* bytes, of rank 0 */
};

/* What this rank has sent so far: counted by whoever makes turns. */
static uint64_t bytes_sent(struct rank *r)
{
	pthread_mutex_lock(&r->context->engine.lock);
	uint64_t sent = ronde_reach_fabric(r->context->reach)->counters.bytes_sent;
	pthread_mutex_unlock(&r->context->engine.lock);
	return sent;
}

static void send_bfloat16(struct rank *r)
{
	static const uint16_t ones = 0x3f80, twos = 0x4000;
	struct wire *w = r->arg;
	uint16_t *x = malloc(WIDE * sizeof *x);
	if (!x)
		abort();
	for (size_t i = 0; i < WIDE; i++)
		x[i] = ones;
	must(barrier(r), "barrier");
	uint64_t before = bytes_sent(r);
	must(allreduce(r, "x", x, x, WIDE, RONDE_BFLOAT16, RONDE_SUM), "sum");
	if (r->rank == 0)
		w->sent = bytes_sent(r) - before;
	for (size_t i = 0; i < WIDE; i++)
		if (x[i] != twos)
			abort();
	must(barrier(r), "barrier");
	free(x);
}

/* The setting reaches the operation: about half as much is sent. */
START_TEST(wire_16bit)
{
	static const char *const narrow[] = {"wire_16bit", "yes", NULL};
	struct wire wide = {0}, half = {0};
	run_ranks_on("1", 11, 0, 2, NULL, send_bfloat16, &wide);
	run_ranks_on("1", 11, 0, 2, narrow, send_bfloat16, &half);
	ck_assert_uint_ge(half.sent, WIDE * 2);
	ck_assert_uint_lt(half.sent, WIDE * 2 + WIDE / 2);
	ck_assert_uint_gt(wide.sent, half.sent + WIDE / 2);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{full_ring, ONCE},
		{wire_16bit, ONCE},
	};
	return SUITE_RUN("nodes-traffic", 60, tests);
}

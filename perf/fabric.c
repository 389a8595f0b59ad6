/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ronde-perf-fabric [ROUNDS]: what the fabric adds to MPI. Two ranks; the fabric and plain MPI take
 * turns, round by round, on the same memory, at the same thread level (that which Ronde asks for).
 *
 *   ping-pong   one message there and back, half of the time; MPI: MPI_Send and MPI_Recv
 *   both ways   several messages each way at once, bytes one way by the time; MPI: MPI_Isend,
 *               MPI_Irecv and MPI_Waitall
 *   waiting     what progress() costs while so many receives wait for something
 *
 * Medians of the rounds; the ratio is that of the rounds' ratios, of times: above 1 the fabric
 * takes longer.
 *
 * usage: mpirun -np 2 ronde-perf-fabric [ROUNDS]
 */
#include <mpi.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/bootstrap.h"
#include "collectives/bootstrap/wait.h"
#include "collectives/fabric.h"
#include "perf/ronde-perf/measure.h"
#include "ronde/ronde.h"

#define MOST_BYTES ((size_t)16 << 20)
#define MOST_AT_ONCE 64
#define MOST_ROUNDS 10000
#define MOST_WAITING 4096
#define WARMUP 3

struct pair {
	struct ronde_fabric *fabric;
	MPI_Comm comm;
	int me, peer;
	unsigned char *out, *in;
	size_t bytes;
	int at_once, repeat;
};

static void need(int status, const char *what)
{
	if (status == RONDE_OK)
		return;
	fprintf(stderr, "ronde-perf-fabric: %s: %s\n", what, ronde_error_message());
	MPI_Abort(MPI_COMM_WORLD, 1);
}

/* ---- the fabric ---- */

static void finish(struct ronde_fabric_operation *o)
{
	while (!ronde_fabric_done(o))
		if (ronde_fabric_progress(o->fabric) < 0)
			need(RONDE_ERR_PEER_LOST, "progress");
	need(ronde_fabric_finish(o, NULL), "a message");
}

static void fabric_send(struct pair *p)
{
	struct ronde_fabric_operation *o;
	need(ronde_fabric_post_send(p->fabric, p->peer, 1, p->out, p->bytes, &o), "send");
	finish(o);
}

static void fabric_receive(struct pair *p)
{
	struct ronde_fabric_operation *o;
	need(ronde_fabric_post_receive(p->fabric, p->peer, 1, p->in, p->bytes, &o), "receive");
	finish(o);
}

static void fabric_ping_pong(struct pair *p)
{
	for (int i = 0; i < p->repeat; i++) {
		if (p->me == 0)
			fabric_send(p);
		fabric_receive(p);
		if (p->me == 1)
			fabric_send(p);
	}
}

static void fabric_both_ways(struct pair *p)
{
	struct ronde_fabric_operation *in[MOST_AT_ONCE], *out[MOST_AT_ONCE];
	for (int i = 0; i < p->at_once; i++)
		need(ronde_fabric_post_receive(p->fabric, p->peer, 1, p->in + (size_t)i * p->bytes,
					       p->bytes, &in[i]),
		     "receive");
	for (int i = 0; i < p->at_once; i++)
		need(ronde_fabric_post_send(p->fabric, p->peer, 1, p->out + (size_t)i * p->bytes,
					    p->bytes, &out[i]),
		     "send");
	for (int i = 0; i < p->at_once; i++) {
		finish(in[i]);
		finish(out[i]);
	}
}

/* ---- plain MPI ---- */

static void mpi_ping_pong(struct pair *p)
{
	for (int i = 0; i < p->repeat; i++) {
		if (p->me == 0)
			MPI_Send(p->out, (int)p->bytes, MPI_BYTE, p->peer, 1, p->comm);
		MPI_Recv(p->in, (int)p->bytes, MPI_BYTE, p->peer, 1, p->comm, MPI_STATUS_IGNORE);
		if (p->me == 1)
			MPI_Send(p->out, (int)p->bytes, MPI_BYTE, p->peer, 1, p->comm);
	}
}

static void mpi_both_ways(struct pair *p)
{
	MPI_Request requests[2 * MOST_AT_ONCE];
	MPI_Status statuses[2 * MOST_AT_ONCE];
	for (int i = 0; i < p->at_once; i++)
		MPI_Irecv(p->in + (size_t)i * p->bytes, (int)p->bytes, MPI_BYTE, p->peer, 1,
			  p->comm, &requests[i]);
	for (int i = 0; i < p->at_once; i++)
		MPI_Isend(p->out + (size_t)i * p->bytes, (int)p->bytes, MPI_BYTE, p->peer, 1,
			  p->comm, &requests[p->at_once + i]);
	MPI_Waitall(2 * p->at_once, requests, statuses);
}

/* ---- measuring ---- */

/* One round's seconds; what has come is looked at, not timed. */
static double time_of(struct pair *p, void (*run)(struct pair *p), int round)
{
	const size_t all = p->bytes * (size_t)p->at_once;
	memset(p->out, round, all);
	memset(p->in, ~round, all);
	MPI_Barrier(p->comm);
	double since = ronde_seconds();
	run(p);
	double seconds = ronde_seconds() - since;
	for (size_t i = 0; i < all; i++)
		if (p->in[i] != (unsigned char)round) {
			fprintf(stderr, "ronde-perf-fabric: byte %zu of %zu is wrong\n", i, all);
			MPI_Abort(MPI_COMM_WORLD, 1);
		}
	return seconds;
}

/* In [0] the fabric's median, in [1] MPI's, in [2] that of their ratios. */
static void compare(struct pair *p, void (*fabric)(struct pair *p), void (*mpi)(struct pair *p),
		    int rounds, double medians[3])
{
	static double seconds[3][MOST_ROUNDS];
	for (int round = -WARMUP; round < rounds; round++) {
		/* Who comes first changes. */
		double a = round % 2 ? time_of(p, fabric, round) : 0;
		double b = time_of(p, mpi, round);
		a = round % 2 ? a : time_of(p, fabric, round);
		if (round < 0)
			continue;
		seconds[0][round] = a;
		seconds[1][round] = b;
		seconds[2][round] = a / b;
	}
	for (int i = 0; i < 3; i++)
		medians[i] = perf_figures_of(seconds[i], (size_t)rounds).median;
}

static void ping_pong(struct pair *p, int rounds)
{
	double medians[3];
	p->at_once = 1;
	p->repeat = p->bytes <= 4096 ? 100 : p->bytes <= 262144 ? 10 : 1;
	compare(p, fabric_ping_pong, mpi_ping_pong, rounds, medians);
	const double way = 1e6 / (2 * p->repeat);
	if (p->me == 0)
		printf("ping-pong  %9zu B        fabric %9.2f us    MPI %9.2f us    ratio %5.2f\n",
		       p->bytes, medians[0] * way, medians[1] * way, medians[2]);
}

static void both_ways(struct pair *p, int rounds)
{
	double medians[3];
	p->at_once = p->bytes <= 65536 ? MOST_AT_ONCE : (int)(MOST_BYTES / p->bytes);
	if (p->at_once > MOST_AT_ONCE)
		p->at_once = MOST_AT_ONCE;
	compare(p, fabric_both_ways, mpi_both_ways, rounds, medians);
	const double bytes = (double)p->bytes * p->at_once * 1e-9;
	if (p->me == 0)
		printf("both ways  %9zu B × %2d   fabric %7.3f GB/s    MPI %7.3f GB/s    ratio "
		       "%5.2f\n",
		       p->bytes, p->at_once, bytes / medians[0], bytes / medians[1], medians[2]);
}

/* The receives are ended by last messages, as everybody has to. */
static void waiting(struct pair *p, int n, int rounds)
{
	static struct ronde_fabric_operation *in[MOST_WAITING];
	static double seconds[MOST_ROUNDS];
	struct ronde_fabric_operation *last;
	const int calls = 100;
	for (int i = 0; i < n; i++)
		need(ronde_fabric_post_receive(p->fabric, p->peer, 2 + (uint32_t)i, NULL, 0,
					       &in[i]),
		     "receive");
	MPI_Barrier(p->comm);
	for (int round = 0; round < rounds; round++) {
		double since = ronde_seconds();
		for (int i = 0; i < calls; i++)
			ronde_fabric_progress(p->fabric);
		seconds[round] = (ronde_seconds() - since) / calls;
	}
	MPI_Barrier(p->comm);
	for (int i = 0; i < n; i++) {
		need(ronde_fabric_post_send(p->fabric, p->peer, 2 + (uint32_t)i, NULL, 0, &last),
		     "last message");
		finish(last);
	}
	for (int i = 0; i < n; i++)
		finish(in[i]);
	if (p->me == 0)
		printf("waiting    %9d receives progress() %7.3f us\n", n,
		       perf_figures_of(seconds, (size_t)rounds).median * 1e6);
}

static void measure(struct pair *p, int rounds)
{
	static const size_t sizes[] = {0,     8,      64,      512,     4096,
				       65536, 262144, 1048576, 4194304, MOST_BYTES};
	const size_t n = sizeof sizes / sizeof *sizes;
	for (size_t i = 0; i < n; i++) {
		p->bytes = sizes[i];
		ping_pong(p, rounds);
	}
	for (size_t i = 1; i < n; i++) {
		p->bytes = sizes[i];
		both_ways(p, rounds);
	}
	for (int i = 0; i <= MOST_WAITING; i = i ? 4 * i : 1)
		waiting(p, i, rounds);
}

int main(int argc, char **argv)
{
	const long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 200;
	struct ronde_bootstrap *b;
	struct pair p = {.comm = MPI_COMM_WORLD};
	if (rounds < 1 || rounds > MOST_ROUNDS) {
		fprintf(stderr, "usage: mpirun -np 2 %s [ROUNDS], 1 to %d\n", argv[0], MOST_ROUNDS);
		return 2;
	}
	if (ronde_bootstrap_open(&b, 60, NULL) || ronde_fabric_open(&p.fabric, b)) {
		fprintf(stderr, "ronde-perf-fabric: %s\n", ronde_error_message());
		return 1;
	}
	if (b->size != 2 || strcmp(b->ops->name, "mpi") != 0) {
		fprintf(stderr, "ronde-perf-fabric measures 2 ranks over MPI, not %d over %s\n",
			b->size, b->ops->name);
		return 2;
	}
	const size_t room = MOST_AT_ONCE * (size_t)65536 > MOST_BYTES ? MOST_AT_ONCE * (size_t)65536
								      : MOST_BYTES;
	p.me = b->rank;
	p.peer = 1 - b->rank;
	p.out = aligned_alloc(64, room);
	p.in = aligned_alloc(64, room);
	if (!p.out || !p.in) {
		fprintf(stderr, "ronde-perf-fabric: no memory for 2 × %zu bytes\n", room);
		MPI_Abort(MPI_COMM_WORLD, 1);
	}
	measure(&p, (int)rounds);
	need(ronde_fabric_close(p.fabric), "close");
	free(p.in);
	free(p.out);
	b->ops->close(b, true);
	return 0;
}

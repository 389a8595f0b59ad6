/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ranks on several nodes are told when one is lost or late, and what they do while nothing is:
 * ranks as threads, with the loopback fabric between nodes.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "collectives/bootstrap/wait.h"
#include "collectives/status.h"
#include "tests/ranks.h"
#include "tests/suite.h"

/* Reads a flag, or a state, until it is there; the suite's time ends it if it never is. */
#define UNTIL(is)                                                                                  \
	while (!(is))                                                                              \
	usleep(1000)

/* ---- losses ---- */

struct loss {
	int rank;
	_Atomic int ready; /* ranks that have left the barrier: nobody needs the lost one for it */
};

static void lose_one(struct rank *r)
{
	struct loss *loss = r->arg;
	const int lost = loss->rank;
	float x[2000];
	must(barrier(r), "barrier");
	atomic_fetch_add(&loss->ready, 1);
	if (r->rank == lost) {
		UNTIL(atomic_load(&loss->ready) == r->size);
		ronde_context_leave(r->context);
		UNTIL(ronde_context_ended(r->context));
		return;
	}
	double since = ronde_seconds();
	int status = allreduce(r, "x", x, x, 2000, RONDE_FLOAT32, RONDE_SUM);
	char who[20];
	snprintf(who, sizeof who, "rank %d ", lost);
	if (status != RONDE_ERR_PEER_LOST || strncmp(ronde_error_message(), who, strlen(who)) ||
	    !strstr(ronde_error_message(), "it left without ronde_shutdown()") ||
	    ronde_seconds() - since > 20) {
		fprintf(stderr, "rank %d: %s: %s\n", r->rank, ronde_status_name(status),
			ronde_error_message());
		abort();
	}
}

START_TEST(losses)
{
	struct loss loss = {.rank = _i};
	run_ranks_on("2+1+2", 7, 20000, 5, NULL, lose_one, &loss);
}
END_TEST

/* ---- stalls ---- */

static const char *const impatient[] = {"stall_check_time_seconds", "0.3", NULL};
static const char *const strict[] = {"stall_shutdown_time_seconds", "0.6",
				     "stall_check_time_seconds", "0.3", NULL};

struct stall {
	int late;    /* the rank that all others wait for */
	bool silent; /* its runtime gets no turn */
	_Atomic bool told;
};

static void wait_for_late(struct rank *r)
{
	struct stall *s = r->arg;
	char text[RONDE_BOARD_TEXT], lacks[60], does[60];
	float x[2] = {1, 2};
	ronde_handle h;
	must(barrier(r), "barrier");
	if (r->rank != s->late)
		must(submit_allreduce(r, "x", x, x, 2, RONDE_FLOAT32, RONDE_SUM, &h), "submit");
	snprintf(lacks, sizeof lacks, "not by rank %d\n", s->late);
	snprintf(does, sizeof does, "rank %d %s", s->late,
		 s->silent ? "does not answer" : "is late");
	if (s->silent && r->rank == s->late)
		pthread_mutex_lock(&r->context->engine.lock);
	while (r->rank == 0 && !atomic_load(&s->told)) {
		ronde_stall_last_report(r->context, text);
		if (strstr(text, "allreduce \"x\"") && strstr(text, lacks) && strstr(text, does))
			atomic_store(&s->told, true);
		usleep(1000);
	}
	UNTIL(atomic_load(&s->told));
	if (s->silent && r->rank == s->late)
		pthread_mutex_unlock(&r->context->engine.lock);
	if (r->rank == s->late)
		must(submit_allreduce(r, "x", x, x, 2, RONDE_FLOAT32, RONDE_SUM, &h), "submit");
	must(wait_for(r, h), "x");
}

/* Each rank is the late one: of node 0, its leader, another node's leader and its other rank. */
START_TEST(stalls)
{
	struct stall s = {.late = _i};
	run_ranks_on("2+2", 9, 20000, 4, impatient, wait_for_late, &s);
}
END_TEST

/* Nobody on the leader's node waits. */
START_TEST(waits_elsewhere)
{
	struct stall s = {.late = 0};
	run_ranks_on("1+2", 9, 20000, 3, impatient, wait_for_late, &s);
}
END_TEST

/* A rank of another node that is not its leader. */
START_TEST(silence)
{
	struct stall s = {.late = 3, .silent = true};
	run_ranks_on("2+2", 9, 20000, 4, impatient, wait_for_late, &s);
}
END_TEST

static void end_by_stall(struct rank *r)
{
	struct stall *s = r->arg;
	float x[2] = {1, 2};
	must(barrier(r), "barrier");
	if (r->rank == s->late) {
		UNTIL(ronde_context_ended(r->context));
		return;
	}
	int status = allreduce(r, "x", x, x, 2, RONDE_FLOAT32, RONDE_SUM);
	if (status != RONDE_ERR_STALLED || !strstr(ronde_error_message(), "Ronde has ended") ||
	    !strstr(ronde_error_message(), "not by rank")) {
		fprintf(stderr, "rank %d: %s: %s\n", r->rank, ronde_status_name(status),
			ronde_error_message());
		abort();
	}
}

START_TEST(stalls_end)
{
	struct stall s = {.late = _i};
	run_ranks_on("2+2", 9, 20000, 4, strict, end_by_stall, &s);
}
END_TEST

/* Two ranks of two nodes wait for each other. */
static void cross(struct rank *r)
{
	struct stall *s = r->arg;
	char text[RONDE_BOARD_TEXT];
	float x[2] = {1, 2};
	must(barrier(r), "barrier");
	int status = allreduce(r, r->rank ? "a" : "b", x, x, 2, RONDE_FLOAT32, RONDE_SUM);
	ronde_stall_last_report(r->context, text);
	if (status != RONDE_ERR_STALLED)
		abort();
	if (strstr(text, "deadlock: rank 0 waits in allreduce \"b\" for rank 1, rank 1 waits in "
			 "allreduce \"a\" for rank 0"))
		atomic_store(&s->told, true);
	else
		fprintf(stderr, "rank %d: %s\n", r->rank, text);
}

START_TEST(deadlock)
{
	struct stall s = {0};
	run_ranks_on("1", 9, 20000, 2, strict, cross, &s);
	ck_assert(atomic_load(&s.told));
}
END_TEST

/* ---- an idle job ---- */

static uint64_t turns_of(const struct rank *r)
{
	return atomic_load_explicit(&r->context->counters.turns, memory_order_relaxed);
}

/* 50 looks in a second, and one more each time it wakes, not hundreds. */
static void idle(struct rank *r)
{
	_Atomic int *measured = r->arg;
	must(barrier(r), "barrier");
	sleep(1);
	uint64_t before = turns_of(r);
	sleep(2);
	uint64_t turns = turns_of(r) - before;
	/* Whoever submits the barrier sooner gives its node something to look for. */
	atomic_fetch_add(measured, 1);
	UNTIL(atomic_load(measured) == r->size);
	must(barrier(r), "barrier");
	if (turns > 600) {
		fprintf(stderr, "rank %d: %llu turns in 2 s in which nothing was submitted\n",
			r->rank, (unsigned long long)turns);
		abort();
	}
}

START_TEST(idleness)
{
	_Atomic int measured = 0;
	run_ranks_on("2", 1, 0, 4, NULL, idle, &measured);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{losses, 0, 5},  {stalls, 0, 4},   {stalls_end, 0, 4}, {waits_elsewhere, ONCE},
		{silence, ONCE}, {deadlock, ONCE}, {idleness, ONCE},
	};
	return SUITE_RUN("nodes-ends", 120, tests);
}

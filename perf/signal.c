/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ronde-perf-signal: what one core needs to hear from another. Two processes on two cores take
 * turns in writing a word of a page they share; all that is between them is one cache line that
 * goes there and back. Two ranks that swap what they have need one way at least; a leader's answer
 * needs two.
 */
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 1001
#define TURNS 200 /* of a round, which is timed as a whole */
#define LIMIT_SECONDS 60

struct words {
	_Alignas(128) _Atomic uint64_t there;
	_Alignas(128) _Atomic uint64_t back;
};

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The number-th core of those this process may use; -1: there are fewer. */
static int core_of(int number)
{
	cpu_set_t may;
	if (sched_getaffinity(0, sizeof may, &may))
		return -1;
	for (int core = 0; core < CPU_SETSIZE; core++)
		if (CPU_ISSET(core, &may) && number-- == 0)
			return core;
	return -1;
}

static void bind_to(int core)
{
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(core, &one);
	if (sched_setaffinity(0, sizeof one, &one))
		perror("ronde-perf-signal: sched_setaffinity");
}

static void wait_for(_Atomic uint64_t *word, uint64_t value)
{
	while (atomic_load_explicit(word, memory_order_acquire) != value)
		;
}

static void answer(struct words *w)
{
	for (uint64_t i = 1; i <= (uint64_t)ROUNDS * TURNS; i++) {
		wait_for(&w->there, i);
		atomic_store_explicit(&w->back, i, memory_order_release);
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void measure(struct words *w)
{
	static double seconds[ROUNDS];
	uint64_t i = 0;
	for (int round = 0; round < ROUNDS; round++) {
		double since = now();
		for (int turn = 0; turn < TURNS; turn++) {
			atomic_store_explicit(&w->there, ++i, memory_order_release);
			wait_for(&w->back, i);
		}
		seconds[round] = (now() - since) / TURNS;
	}
	qsort(seconds, ROUNDS, sizeof *seconds, compare);
	printf("a cache line there and back: median %.3f us, 10th percentile %.3f us, 90th %.3f "
	       "us\n",
	       seconds[ROUNDS / 2] * 1e6, seconds[ROUNDS / 10] * 1e6,
	       seconds[ROUNDS * 9 / 10] * 1e6);
}

int main(void)
{
	int here = core_of(0), there = core_of(1);
	struct words *w =
		mmap(NULL, sizeof *w, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (w == MAP_FAILED) {
		perror("ronde-perf-signal: mmap");
		return EXIT_FAILURE;
	}
	if (there < 0) {
		printf("a cache line there and back: needs two cores\n");
		return EXIT_SUCCESS;
	}
	alarm(LIMIT_SECONDS); /* each would wait for ever for the other */
	pid_t peer = fork();
	if (peer == 0) {
		alarm(LIMIT_SECONDS);
		bind_to(there);
		answer(w);
		_exit(EXIT_SUCCESS);
	}
	if (peer < 0) {
		perror("ronde-perf-signal: fork");
		return EXIT_FAILURE;
	}
	bind_to(here);
	measure(w);
	waitpid(peer, NULL, 0);
	return EXIT_SUCCESS;
}

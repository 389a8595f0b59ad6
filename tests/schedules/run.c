/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/schedules/play.h"

#define STUCK_SECONDS 30

void run_failed(struct run *run, const char *format, ...)
{
	va_list arguments;
	fprintf(stderr,
		"\nschedule failed: RONDE_TEST_SEED=%llu RONDE_TEST_ROUNDS=1 CK_RUN_CASE=%s\n"
		"%d ranks, %d operations in %d steps%s; %s\n",
		(unsigned long long)run->seed, run->test, run->program->style.ranks,
		run->program->nops, run->program->style.steps,
		run->program->style.overlap ? " that overlap" : "", settings_text(run->settings));
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	abort();
}

/* Read while the players run: only atomic fields and what never changes. */
static void list_pending(const struct player *p)
{
	const struct program *program = p->run->program;
	int done = 0, listed = 0;
	if (!p->jobs)
		return;
	for (int i = 0; i < program->nops; i++)
		done += atomic_load(&p->jobs[i].state) == JOB_DONE;
	fprintf(stderr, "rank %d: %d of %d done; in flight:\n", p->rank, done, program->nops);
	for (int i = 0; i < program->nops && listed < 20; i++)
		if (atomic_load(&p->jobs[i].state) == JOB_SUBMITTED) {
			fprintf(stderr, "  %d: %s\n", i, op_text(&program->ops[i]));
			listed++;
		}
}

static void *watch(void *arg)
{
	struct run *run = arg;
	uint64_t seen = 0;
	pthread_mutex_lock(&run->lock);
	while (!run->is_over) {
		struct timespec limit;
		clock_gettime(CLOCK_REALTIME, &limit);
		limit.tv_sec += STUCK_SECONDS;
		int status = pthread_cond_timedwait(&run->over, &run->lock, &limit);
		uint64_t now = atomic_load(&run->progress);
		if (status == ETIMEDOUT && now == seen && !run->is_over) {
			for (int i = 0; i < RANKS_MAX; i++)
				list_pending(&run->players[i]);
			run_failed(run, "nothing has completed for %d s", STUCK_SECONDS);
		}
		seen = now;
	}
	pthread_mutex_unlock(&run->lock);
	return NULL;
}

void run_begin(struct run *run)
{
	atomic_store(&run->progress, 1);
	for (int i = 0; i < run->program->style.ranks; i++) {
		struct player *p = &run->players[i];
		*p = (struct player){.run = run, .rank = i};
		p->jobs = calloc((size_t)run->program->nops + 1, sizeof *p->jobs);
		if (!p->jobs)
			abort();
	}
	run->last = calloc((size_t)run->program->style.steps + 1, sizeof *run->last);
	if (!run->last)
		abort();
	pthread_mutex_init(&run->lock, NULL);
	pthread_cond_init(&run->over, NULL);
	run->is_over = false;
	if (pthread_create(&run->watchdog, NULL, watch, run))
		abort();
}

void run_end(struct run *run)
{
	pthread_mutex_lock(&run->lock);
	run->is_over = true;
	pthread_cond_signal(&run->over);
	pthread_mutex_unlock(&run->lock);
	pthread_join(run->watchdog, NULL);
	pthread_cond_destroy(&run->over);
	pthread_mutex_destroy(&run->lock);
	free(run->last);
	for (int i = 0; i < run->program->style.ranks; i++)
		free(run->players[i].jobs);
}

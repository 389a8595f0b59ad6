/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/schedules/play.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORKERS_MAX 3

/* One thread of a rank in one step. */
struct worker {
	struct player *player;
	uint64_t state;
	pthread_t thread;
	struct job **submits, **awaits;
	int nsubmits, nawaits;
	bool quits, holds;
};

/* ---- completion ---- */

static int expected_status(const struct job *job)
{
	return op_is_refused(job->op) ? RONDE_ERR_MISMATCH
	       : job->truncated       ? RONDE_ERR_TRUNCATED
				      : RONDE_OK;
}

/* Of a group, what fails one of its tensors alone is the group's status too. */
static int expected_of_all(const struct job *job)
{
	int status = RONDE_OK;
	for (int i = 0; i < job->op->members && !status; i++)
		status = expected_status(&job[i]);
	return status;
}

static void judge(struct player *p, const struct job *job)
{
	const char *wrong = job_judge(job);
	if (wrong)
		run_failed(p->run, "rank %d: %s: %s", p->rank, op_text(job->op), wrong);
}

/* job: the first of its group, or what is none. */
static void finished(struct player *p, struct job *job)
{
	job->status = job_finish(job, job->status);
	const char *message = job->status ? ronde_error_message() : "";
	bool ended = p->run->quitter >= 0 && job->status == RONDE_ERR_SHUTDOWN;
	if (ended)
		atomic_store(&p->ended, true);
	else if (job->status != expected_of_all(job))
		run_failed(p->run, "rank %d: %s: %s: %s", p->rank, op_text(job->op),
			   ronde_status_name(job->status), message);
	for (int i = job->op->members - 1; i >= 0; i--) { /* the first is looked at by others */
		job[i].status = ended ? RONDE_ERR_SHUTDOWN : expected_status(&job[i]);
		judge(p, &job[i]);
		atomic_store(&job[i].state, JOB_DONE);
	}
	atomic_fetch_add(&p->run->progress, 1);
}

static void called(ronde_handle handle, int status, const char *message, void *arg)
{
	struct job *job = arg;
	(void)message;
	if (job->way == JOB_CALLED_WAITS) {
		job->status = job->port->wait(job->to, handle);
		if (job->status != status)
			abort();
	}
	atomic_fetch_add(&job->calls, 1);
}

static void ask_for_call(struct worker *w, struct job *job)
{
	int status = job->port->on_done(job->to, job->handle, called, job);
	if (status)
		run_failed(w->player->run, "rank %d: %s: on_done: %s: %s", w->player->rank,
			   op_text(job->op), ronde_status_name(status), ronde_error_message());
}

static bool is_called(const struct job *job)
{
	return job->way == JOB_IS_CALLED || job->way == JOB_CALLED_WAITS ||
	       job->way == JOB_WAITS_UNCALLED;
}

/* Lets others run: a turn of a loop that polls. */
static void pass_time(int *turns)
{
	if (++*turns % 16)
		sched_yield();
	else
		usleep(50);
}

static void poll(struct worker *w, struct job *job)
{
	int done = 0, turns = 0;
	while (!done) {
		int status = job->port->test(job->to, job->handle, &done);
		if (status)
			run_failed(w->player->run, "rank %d: %s: test: %s", w->player->rank,
				   op_text(job->op), ronde_status_name(status));
		if (!done)
			pass_time(&turns);
	}
}

static void await_call(const struct job *job)
{
	int turns = 0;
	while (atomic_load(&job->calls) == 0)
		pass_time(&turns);
}

static void await(struct worker *w, struct job *job)
{
	if (atomic_load(&job->state) != JOB_SUBMITTED) /* waited for at once, or refused */
		return;
	if (is_called(job))
		ask_for_call(w, job);
	if (job->way == JOB_POLLS)
		poll(w, job);
	if (job->way == JOB_IS_CALLED || job->way == JOB_CALLED_WAITS)
		await_call(job);
	if (job->way != JOB_CALLED_WAITS)
		job->status = job->port->wait(job->to, job->handle);
	if (job->way == JOB_WAITS_UNCALLED)
		await_call(job);
	finished(w->player, job);
}

/* ---- submitting ---- */

static void delay(uint64_t *state)
{
	if (once_in(state, 10))
		usleep((unsigned)below(state, 300));
	else if (once_in(state, 100))
		usleep((unsigned)below(state, 5000));
	else if (once_in(state, 10))
		sched_yield();
}

static int submit_group(struct job *job)
{
	const struct op *ops[PORT_GROUP_MOST];
	struct buffers *buffers[PORT_GROUP_MOST];
	for (int i = 0; i < job->op->members; i++) {
		ops[i] = job[i].op;
		buffers[i] = &job[i].buffers;
	}
	return job->port->submit_group(job->to, job->op->name, ops, job->op->members, job->member,
				       buffers, &job->handle);
}

static void submit(struct worker *w, struct job *job, bool blocking)
{
	struct player *p = w->player;
	bool is_group = job->op->members > 1;
	atomic_store(&job->state, JOB_SUBMITTED);
	if (blocking && !is_group && !job->op->sparse) {
		job->status = job->port->execute(job->to, job->op, job->member, &job->buffers);
		finished(p, job);
		return;
	}
	job->status = is_group ? submit_group(job)
			       : job->port->submit(job->to, job->op, job->member, &job->buffers,
						   &job->handle);
	if (job->status == RONDE_OK && blocking)
		job->status = job->port->wait(job->to, job->handle);
	if (job->status || blocking)
		finished(p, job);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	const struct port *port = w->player->run->port;
	w->holds = w->holds && port->hold(w->player->to);
	for (int i = 0; i < w->nsubmits; i++) {
		bool last = i == w->nsubmits - 1 && !w->quits && !w->holds;
		delay(&w->state);
		if (w->holds && once_in(&w->state, 3))
			usleep((unsigned)below(&w->state, 200)); /* in which the others go on */
		submit(w, w->submits[i], last && once_in(&w->state, 3));
	}
	if (w->holds)
		port->let_go(w->player->to);
	if (w->quits)
		w->player->run->quit(w->player->to);
	for (int i = 0; i < w->nawaits; i++)
		await(w, w->awaits[i]);
	return NULL;
}

/* ---- dealing out ---- */

static void shuffle(uint64_t *state, struct job **jobs, int n)
{
	for (int i = n - 1; i > 0; i--) {
		int k = (int)below(state, (uint64_t)i + 1);
		struct job *job = jobs[i];
		jobs[i] = jobs[k];
		jobs[k] = job;
	}
}

static int by_place(const void *a, const void *b)
{
	const struct job *const *x = a, *const *y = b;
	return (*x)->op < (*y)->op ? -1 : (*x)->op > (*y)->op;
}

/* The unnamed ones of a shuffled list go back into program order, in the places they have. */
static void order_unnamed(struct job **jobs, int n)
{
	struct job **unnamed = calloc((size_t)n + 1, sizeof(struct job *));
	int k = 0;
	if (!unnamed)
		abort();
	for (int i = 0; i < n; i++)
		if (!jobs[i]->op->name)
			unnamed[k++] = jobs[i];
	qsort(unnamed, (size_t)k, sizeof(struct job *), by_place);
	k = 0;
	for (int i = 0; i < n; i++)
		if (!jobs[i]->op->name)
			jobs[i] = unnamed[k++];
	free(unnamed);
}

static void deal(struct player *p, struct worker *workers, int nworkers, int step)
{
	const struct program *program = p->run->program;
	bool exists = step < program->style.steps;
	int end = exists ? program->first[step + 1] : program->nops;
	for (int i = exists ? program->first[step] : end; i < end; i++) {
		struct job *job = &p->jobs[i];
		if (!op_is_submitted(&program->ops[i], p->rank) || !program->ops[i].members)
			continue; /* the first of its group stands for it */
		int k = job->op->name ? (int)below(&p->state, (uint64_t)nworkers) : 0;
		workers[k].submits[workers[k].nsubmits++] = job;
	}
	for (int k = 0; k < nworkers; k++) {
		struct worker *w = &workers[k];
		shuffle(&p->state, w->submits, w->nsubmits);
		order_unnamed(w->submits, w->nsubmits);
		if (program->style.overlap)
			continue;
		memcpy(w->awaits, w->submits, (size_t)w->nsubmits * sizeof(struct job *));
		w->nawaits = w->nsubmits;
	}
	if (program->style.overlap && step > 0)
		for (int i = program->first[step - 1]; i < program->first[step]; i++) {
			struct worker *w = &workers[below(&p->state, (uint64_t)nworkers)];
			w->awaits[w->nawaits++] = &p->jobs[i];
		}
	for (int k = 0; k < nworkers; k++)
		shuffle(&p->state, workers[k].awaits, workers[k].nawaits);
}

/* ---- steps ---- */

static void prepare(struct player *p, int step)
{
	const struct run *run = p->run;
	for (int i = run->program->first[step]; i < run->program->first[step + 1]; i++) {
		struct job *job = &p->jobs[i];
		if (!op_is_submitted(&run->program->ops[i], p->rank))
			continue;
		job->program = run->program;
		job->op = &run->program->ops[i];
		job->port = run->port;
		job->to = p->to;
		job->rank = p->rank;
		job->member = op_member(job->op, p->rank);
		job_prepare(job, &p->state);
	}
}

static void release(struct player *p, int step)
{
	const struct run *run = p->run;
	for (int i = run->program->first[step]; i < run->program->first[step + 1]; i++) {
		struct job *job = &p->jobs[i];
		if (atomic_load(&job->calls) > 1)
			run_failed(p->run, "rank %d: %s: on_done was called %d times", p->rank,
				   op_text(job->op), atomic_load(&job->calls));
		job_release(job);
	}
}

static void play_step(struct player *p, int step)
{
	const struct program_style *style = &p->run->program->style;
	size_t most = (size_t)p->run->program->nops + 1;
	struct worker workers[WORKERS_MAX];
	int nworkers = 1 + (int)below(&p->state, WORKERS_MAX);
	for (int k = 0; k < nworkers; k++) {
		workers[k] = (struct worker){.player = p, .state = random_bits(&p->state)};
		workers[k].submits = calloc(2 * most, sizeof(struct job *));
		if (!workers[k].submits)
			abort();
		workers[k].awaits = workers[k].submits + most;
	}
	deal(p, workers, nworkers, step);
	workers[0].quits = p->run->quitter == p->rank && p->run->quits_in == step;
	workers[0].holds =
		p->run->port->hold && style->holds && once_in(&p->state, (uint64_t)style->holds);
	if (once_in(&p->state, 6))
		usleep((unsigned)below(&p->state, 4000));
	for (int k = 1; k < nworkers; k++)
		if (pthread_create(&workers[k].thread, NULL, work, &workers[k]))
			abort();
	work(&workers[0]);
	for (int k = 1; k < nworkers; k++)
		pthread_join(workers[k].thread, NULL);
	for (int k = 0; k < nworkers; k++)
		free(workers[k].submits);
}

/* What is no operation has come back: true unless the runtime has ended. */
static bool goes_on(struct player *p, int status, const char *what)
{
	if (status == RONDE_ERR_SHUTDOWN && p->run->quitter >= 0)
		atomic_store(&p->ended, true);
	else if (status)
		run_failed(p->run, "rank %d: %s: %s: %s", p->rank, what, ronde_status_name(status),
			   ronde_error_message());
	atomic_fetch_add(&p->run->progress, 1);
	return !atomic_load(&p->ended);
}

/* Operations of the step before may be in flight. */
static bool change_sets(struct player *p, int step)
{
	const struct program *program = p->run->program;
	const struct port *port = p->run->port;
	bool on = true;
	for (int i = 0; i < program->nsets && on; i++)
		if (program->sets[i].until == step)
			on = goes_on(p, port->remove_set(p->to, program->sets[i].number),
				     "remove a process set");
	for (int i = 0; i < program->nsets && on; i++) {
		const struct op_set *set = &program->sets[i];
		int number = set->number;
		if (set->from != step)
			continue;
		on = goes_on(p, port->add_set(p->to, set->ranks, (size_t)set->n, &number),
			     "add a process set");
		if (number != set->number)
			run_failed(p->run, "rank %d: process set %d has number %d", p->rank,
				   set->number, number);
	}
	return on;
}

/* All ranks are told the same last one. */
static bool join(struct player *p, int step)
{
	int last = -1, none = 0;
	bool on = goes_on(p, p->run->port->join(p->to, &last), "join");
	if (on && !atomic_compare_exchange_strong(&p->run->last[step], &none, last + 1) &&
	    none != last + 1)
		run_failed(p->run, "rank %d: the last to join is %d and %d", p->rank, last,
			   none - 1);
	return on;
}

/* No rank may end its runtime while others have operations of their own sets left. */
static void meet(struct player *p)
{
	static const struct op barrier = {
		.kind = RONDE_KIND_BARRIER, .prescale = 1, .postscale = 1};
	struct buffers none = {0};
	if (!atomic_load(&p->ended))
		goes_on(p, p->run->port->execute(p->to, &barrier, p->rank, &none), "barrier");
}

static void play_steps(struct player *p)
{
	struct run *run = p->run;
	bool overlap = run->program->style.overlap;
	int steps = run->program->style.steps, step = 0;
	for (; step < steps && !atomic_load(&p->ended) && change_sets(p, step); step++) {
		prepare(p, step);
		play_step(p, step);
		if (run->program->joins[step] && !atomic_load(&p->ended))
			join(p, step);
		if (step >= overlap)
			release(p, step - overlap);
	}
	if (!overlap || step == 0)
		return;
	/* the last step's, or of a runtime that has ended, what it had taken */
	int last = step - 1;
	for (int i = run->program->first[last]; i < run->program->first[last + 1]; i++) {
		struct worker w = {.player = p};
		await(&w, &p->jobs[i]);
	}
	release(p, last);
}

void play(struct run *run, int rank, void *to)
{
	struct player *p = &run->players[rank];
	p->to = to;
	p->state = run->dice ^ run->program->seed ^ ((uint64_t)rank + 1) * 0x9e3779b97f4a7c15;
	play_steps(p);
	meet(p);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/schedules/threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/ranks.h"

/* Printed first, for a test that does not get as far as to say what failed. */
uint64_t first_seed(const char *test, int ranks)
{
	const char *text = getenv("RONDE_TEST_SEED");
	uint64_t seed = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL) * 1000003;
	printf("%s, %d ranks, RONDE_TEST_SEED=%llu\n", test, ranks, (unsigned long long)seed);
	fflush(stdout);
	return seed;
}

/* Of all ranks, so that a reader sees which machinery the programs have reached. */
static struct reached {
	_Atomic uint64_t carried, zero_copy, staged, evictions, submitted, announced, sets, joins;
} reached;

static void count_reached(const struct ronde_context *context)
{
	const struct ronde_counters_atomic *c = &context->counters;
	reached.carried += c->entries_carried;
	reached.zero_copy += c->entries_zero_copy;
	reached.staged += c->entries_staged;
	reached.evictions += c->evictions;
	reached.submitted += c->submitted;
	reached.announced += c->descriptions_sent + c->ready_sent;
}

/* Of a program, each time that it is played. */
static void count_program(const struct program *p)
{
	reached.sets += (uint64_t)p->nsets;
	for (int step = 0; step < p->style.steps; step++)
		reached.joins += p->joins[step];
}

void print_reached(void)
{
	printf("  %llu tensors; entries carried %llu, zero-copy %llu, "
	       "staged %llu; %llu evictions, %lld announcements repeated; "
	       "%llu process sets, %llu joins\n",
	       (unsigned long long)reached.submitted, (unsigned long long)reached.carried,
	       (unsigned long long)reached.zero_copy, (unsigned long long)reached.staged,
	       (unsigned long long)reached.evictions,
	       (long long)(reached.announced - reached.submitted), (unsigned long long)reached.sets,
	       (unsigned long long)reached.joins);
}

static void thread_body(struct rank *r)
{
	play(r->arg, r->rank, r);
	count_reached(r->context);
}

void play_on_threads(struct run *run, const struct settings *settings)
{
	run->settings = settings;
	run->port = &port_context;
	count_program(run->program);
	run_begin(run);
	run_ranks(run->program->style.ranks, settings->pairs, thread_body, run);
}

void play_programs(const char *test, int ranks, int programs, int configurations, tune_fn tune)
{
	uint64_t seed = first_seed(test, ranks);
	for (int i = 0; i < programs; i++, seed++) {
		uint64_t state = seed ^ (uint64_t)ranks << 56;
		struct program_style style = random_style(&state, ranks);
		if (tune)
			tune(&state, &style, NULL);
		struct program *program = make_program(random_bits(&state), &style);
		for (int k = 0; k < configurations; k++) {
			struct run run = {.test = test,
					  .seed = seed,
					  .program = program,
					  .quitter = -1,
					  .dice = (uint64_t)k << 32};
			struct settings settings;
			random_settings(&state, program->most_bytes, &settings);
			random_rank_settings(&state, &settings);
			style_settings(&style, &settings);
			if (tune)
				tune(&state, NULL, &settings);
			play_on_threads(&run, &settings);
			run_end(&run);
		}
		free_program(program);
	}
	print_reached();
}

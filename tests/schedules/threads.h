/* SPDX-License-Identifier: Apache-2.0 */
/* Random programs played by ranks that are threads, each program under several configurations. */
#ifndef RONDE_TESTS_SCHEDULES_THREADS_H
#define RONDE_TESTS_SCHEDULES_THREADS_H

#include "tests/schedules/play.h"

/* RONDE_TEST_SEED or the time; printed, for a test that does not get as far as to say what failed.
 */
uint64_t first_seed(const char *test, int ranks);

/* What the programs of this process have reached. */
void print_reached(void);

void play_on_threads(struct run *run, const struct settings *settings);

/* What makes the programs and configurations of a test. */
typedef void (*tune_fn)(uint64_t *state, struct program_style *style, struct settings *settings);

/* tune: NULL, or called with settings NULL to change the style, then with style NULL. */
void play_programs(const char *test, int ranks, int programs, int configurations, tune_fn tune);

#endif

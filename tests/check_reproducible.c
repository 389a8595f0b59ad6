/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reproducibility: random programs of all operations, each played several times with other delays,
 * orders, memory, alignment, fusion threshold, cache, chunks, staging, carried bytes, lanes and
 * instruction set, always with the same bits. They are those of a reference that knows none of this
 * (schedules/values.h); for an adasum those of the first run.
 *
 * RONDE_TEST_LONG plays 1,002 programs; RONDE_TEST_ROUNDS=1 the one of RONDE_TEST_SEED.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/census.h"
#include "tests/schedules/threads.h"
#include "tests/shape.h"
#include "tests/sizes.h"

static const int worlds[] = {1, 2, 3, 4, 5, 8};
#define WORLDS ((int)(sizeof worlds / sizeof *worlds))

/* Of each number of ranks; and how often each is played. */
#define USUAL 10
#define USUAL_SHAPE 3
#define LONG 167
#define TIMES 3

static void tune(uint64_t *state, struct program_style *style, struct settings *settings)
{
	(void)settings;
	if (!style)
		return;
	style->adasum = !test_shape();                    /* over nodes there are small ones only */
	if (style->bytes > 1 << 18 && !once_in(state, 8)) /* large ones take long */
		style->bytes = 1 << 14;
}

START_TEST(reproducible)
{
	const char *rounds = getenv("RONDE_TEST_ROUNDS");
	int programs = rounds           ? (int)strtol(rounds, NULL, 10)
		       : test_is_long() ? LONG
		       : test_shape()   ? test_turns(USUAL_SHAPE)
					: test_turns(USUAL);
	play_programs("reproducible", worlds[_i], programs, TIMES, tune);
	char where[20], what[40];
	snprintf(where, sizeof where, "%d ranks", worlds[_i]);
	snprintf(what, sizeof what, "programs, each %d times", TIMES);
	report_census("reproducible", where, programs, LONG, what);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("reproducible");
	TCase *tests = tcase_create("reproducible");
	tcase_set_timeout(tests, test_is_long() ? 0 : 240);
	tcase_add_loop_test(tests, reproducible, 0, WORLDS);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What main() of a suite does: its tests stand in a table, and Check runs each of them in a process
 * of its own. A test with numbers is a loop, which sees the number of its turn as _i:
 *
 *	const struct suite_test tests[] = {
 *		{each_world, 0, WORLDS},
 *		{errors, ONCE},
 *	};
 *	return SUITE_RUN("name", 60, tests);
 */
#ifndef RONDE_TESTS_SUITE_H
#define RONDE_TESTS_SUITE_H

#include <check.h>
#include <stddef.h>
#include <stdlib.h>

struct suite_test {
	const TTest *test;
	int first, end; /* numbers of the turns, the end excluded */
};
#define ONCE 0, 1

/* Adds tests under a name of their own. seconds: what one turn may take, 0: as long as it likes. */
static inline TCase *suite_add(Suite *suite, const char *name, double seconds,
			       const struct suite_test *tests, size_t n)
{
	TCase *one = tcase_create(name);
	tcase_set_timeout(one, seconds);
	for (size_t i = 0; i < n; i++)
		tcase_add_loop_test(one, tests[i].test, tests[i].first, tests[i].end);
	suite_add_tcase(suite, one);
	return one;
}

/* Runs the suite; the program's exit status. */
static inline int suite_end(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static inline int suite_run(const char *name, double seconds, const struct suite_test *tests,
			    size_t n)
{
	Suite *suite = suite_create(name);
	suite_add(suite, name, seconds, tests, n);
	return suite_end(suite);
}

#define SUITE_COUNT(tests) (sizeof(tests) / sizeof *(tests))
#define SUITE_ADD(suite, name, seconds, tests)                                                     \
	suite_add(suite, name, seconds, tests, SUITE_COUNT(tests))
#define SUITE_RUN(name, seconds, tests) suite_run(name, seconds, tests, SUITE_COUNT(tests))

#endif

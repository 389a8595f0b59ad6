/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests by the public header as a table: what each rank does, and with how many ranks, as
 *processes.
 *
 *	static const struct rank_body cases[] = {
 *		{"disagreement", disagreement, 2, 4},
 *	};
 *
 *	START_TEST(bodies)
 *	{
 *		rank_body_run(&cases[_i], NULL);
 *	}
 *	END_TEST
 */
#ifndef RONDE_TESTS_RANK_BODIES_H
#define RONDE_TESTS_RANK_BODIES_H

#include <check.h>

#include "tests/fork_ranks.h"

struct rank_body {
	const char *name;
	fork_ranks_fn body;
	int min, max; /* ranks */
};

static inline void rank_body_run(const struct rank_body *b, const void *arg)
{
	for (int n = b->min; n <= b->max; n++)
		ck_assert_msg(fork_ranks(n, b->body, arg) == 0, "%s with %d ranks", b->name, n);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of bad input: a refusal sets no handle, and nothing is broken after it. */
#ifndef RONDE_TESTS_REFUSALS_H
#define RONDE_TESTS_REFUSALS_H

#include "tests/fork_ranks.h"

static float in[16], out[16];
static ronde_handle handle;

/* All ranks refuse the same things in the same order, so that this is matched over them. */
static void works(void)
{
	float x[3] = {1, 2, 3};
	require_ok(ronde_allreduce("works", x, x, 3, RONDE_FLOAT32, RONDE_MAX));
	require(x[0] == 1 && x[1] == 2 && x[2] == 3, "an operation after a refusal is wrong");
}

/* The call must be refused with this text; on all ranks. */
#define refused(call, text)                                                                        \
	do {                                                                                       \
		ronde_handle before_ = handle;                                                     \
		require_error(call, RONDE_ERR_INVALID_ARGUMENT, text);                             \
		require(handle == before_, "%s: a handle was set", #call);                         \
		works();                                                                           \
	} while (0)

#endif

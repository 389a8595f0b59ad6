/* SPDX-License-Identifier: Apache-2.0 */
/* What training starts from: weights of one rank on all, and bytes whose number only the root
 * knows. */
#include <stdlib.h>
#include <string.h>

#include "tests/rank_bodies.h"
#include "tests/suite.h"

/* A request for too much memory gets NULL, as without a sanitizer (which finds these by name). */
#define ALLOW_NULL(function)                                                                       \
	__attribute__((visibility("default"))) const char *function(void);                         \
	const char *function(void)                                                                 \
	{                                                                                          \
		return "allocator_may_return_null=1";                                              \
	}
ALLOW_NULL(__asan_default_options)
ALLOW_NULL(__tsan_default_options)

/* ---- initial weights ---- */

#define WEIGHTS 5

static void initial_weights(int rank, int size, const void *arg)
{
	(void)arg;
	static const char *const names[WEIGHTS] = {"w0", "w1", "w2", "w3", "w4"};
	int root = size - 1;
	float weights[WEIGHTS][100];
	ronde_parameter list[WEIGHTS];
	for (int i = 0; i < WEIGHTS; i++) {
		int j = (i + rank) % WEIGHTS; /* every rank has another order */
		list[i] = (ronde_parameter){names[j], weights[j], NULL, 20 * j, RONDE_FLOAT32};
		for (int k = 0; k < 100; k++)
			weights[i][k] = (float)(1000 * rank + 100 * i + k);
	}
	require_ok(ronde_broadcast_parameters(list, WEIGHTS, root));
	for (int i = 0; i < WEIGHTS; i++)
		for (int k = 0; k < 100; k++) {
			int from = k < 20 * i ? root : rank;
			require(weights[i][k] == (float)(1000 * from + 100 * i + k),
				"weight %d of %s", k, names[i]);
		}
	require_ok(ronde_broadcast_parameters(NULL, 0, root));

	list[1].name = list[3].name;
	require(ronde_broadcast_parameters(list, WEIGHTS, root) == RONDE_ERR_INVALID_ARGUMENT &&
			strstr(ronde_error_message(), "parameters 1 and 3 are both named"),
		"%s", ronde_error_message());
	require(ronde_broadcast_parameters(list, 1, size) == RONDE_ERR_INVALID_ARGUMENT, "%s",
		ronde_error_message());
	ronde_parameter missing = {"m", NULL, NULL, 3, RONDE_FLOAT32};
	require_error(ronde_broadcast_parameters(&missing, 1, 0), RONDE_ERR_INVALID_ARGUMENT,
		      "parameter 0, \"m\", of 3 elements has no data (NULL)");
}

/* One parameter that ranks disagree about: an error for it, the others arrive. */
static void disagreeing_weights(int rank, int size, const void *arg)
{
	(void)arg;
	float a = (float)rank + 1, b[2] = {(float)rank, 0}, c = (float)rank + 1;
	ronde_parameter list[] = {{"a", &a, NULL, 1, RONDE_FLOAT32},
				  {"b", b, NULL, rank == size - 1 ? 2 : 1, RONDE_FLOAT32},
				  {"c", &c, NULL, 1, RONDE_FLOAT32}};
	int status = ronde_broadcast_parameters(list, 3, 0);
	require(status == RONDE_ERR_MISMATCH && strstr(ronde_error_message(), "\"b\""), "%s: %s",
		ronde_status_name(status), ronde_error_message());
	require(a == 1 && c == 1, "the others did not arrive");
	list[1].count = 1;
	require_ok(ronde_broadcast_parameters(list, 3, 0));
	require(b[0] == 0, "not usable after a mismatch");
}

/* ---- bytes whose number only the root knows ---- */

static void bytes_of_any_length(int rank, int size, const void *arg)
{
	(void)arg;
	static const size_t lengths[] = {0, 1, 7, 10000, 0, 3};
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		int root = (int)i % size;
		unsigned char text[10000];
		for (size_t k = 0; k < sizeof text; k++)
			text[k] = (unsigned char)(k * 7 + i);
		void *data = rank == root && lengths[i] ? text : NULL;
		size_t bytes = rank == root ? lengths[i] : 99;
		require_ok(ronde_broadcast_bytes(i % 2 ? "blob" : NULL, &data, &bytes, root));
		require(bytes == lengths[i], "%zu bytes", bytes);
		require(!data == (bytes == 0), "data is %p", data);
		require(bytes == 0 || memcmp(data, text, bytes) == 0, "wrong bytes");
		if (rank != root)
			free(data);
	}
}

static void bytes_refused(int rank, int size, const void *arg)
{
	(void)arg;
	char name[RONDE_MAX_NAME + 1], expected[200];
	unsigned char one = 1;
	void *data = &one;
	size_t bytes = 1;
	require_error(ronde_broadcast_bytes("x", NULL, &bytes, 0), RONDE_ERR_INVALID_ARGUMENT,
		      "ronde_broadcast_bytes() needs a place for both data and bytes; data is "
		      "NULL");
	require_error(ronde_broadcast_bytes("x", &data, NULL, 0), RONDE_ERR_INVALID_ARGUMENT,
		      "ronde_broadcast_bytes() needs a place for both data and bytes; bytes is "
		      "NULL");
	memset(name, 'n', sizeof name);
	name[RONDE_MAX_NAME - 6] = 0;
	require_error(ronde_broadcast_bytes(name, &data, &bytes, 0), RONDE_ERR_INVALID_ARGUMENT,
		      "the name \"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn…\" has 1017 bytes: "
		      "ronde_broadcast_bytes() adds \".length\" to it and names have at most 1023");
	require(ronde_broadcast_bytes("x", &data, &bytes, size) == RONDE_ERR_INVALID_ARGUMENT,
		"a root that is no rank");

	/* A root without bytes fails on all ranks; nobody waits for it. */
	data = NULL;
	int status = ronde_broadcast_bytes("x", &data, &bytes, 0);
	if (rank == 0)
		snprintf(expected, sizeof expected,
			 "ronde_broadcast_bytes() was given 1 bytes, but data is NULL");
	else
		snprintf(expected, sizeof expected,
			 "the root, rank 0, gave ronde_broadcast_bytes() no valid bytes for \"x\"");
	require(status == RONDE_ERR_INVALID_ARGUMENT && !strcmp(ronde_error_message(), expected),
		"%s", ronde_error_message());

	/* More than any rank has memory for: rank 1 is the first that says so. */
	data = &one;
	bytes = (size_t)1 << 60;
	status = size == 1 ? RONDE_ERR_OUT_OF_MEMORY : ronde_broadcast_bytes("x", &data, &bytes, 0);
	require(status == RONDE_ERR_OUT_OF_MEMORY, "%s", ronde_status_name(status));
	require(size == 1 || strcmp(ronde_error_message(),
				    "rank 1 has no memory for the 1152921504606846976 bytes of "
				    "\"x\"") == 0,
		"%s", ronde_error_message());
	require(data == &one, "data was changed");
	bytes = 1;
	data = &one;
	require_ok(ronde_broadcast_bytes("x", &data, &bytes, 0));
	if (rank != 0)
		free(data);
}

/* ---- the suite ---- */

static const struct rank_body cases[] = {
	{"initial_weights", initial_weights, 1, 4},
	{"disagreeing_weights", disagreeing_weights, 2, 4},
	{"bytes_of_any_length", bytes_of_any_length, 1, 4},
	{"bytes_refused", bytes_refused, 1, 3},
};

START_TEST(bodies)
{
	rank_body_run(&cases[_i], NULL);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{bodies, 0, (int)(sizeof cases / sizeof *cases)},
	};
	return SUITE_RUN("weights", 100, tests);
}

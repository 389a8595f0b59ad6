/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process's lives with Ronde: starting and stopping again, settings, what does not fit into
 * memory, and the heap, which outlives them.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/memory_room.h"
#include "tests/fork_ranks.h"
#include "tests/suite.h"

static void works(void)
{
	float x = 3;
	require_ok(ronde_allreduce("works", &x, &x, 1, RONDE_FLOAT32, RONDE_AVERAGE));
	require(x == 3, "the average of threes is %g", (double)x);
}

/* ---- starting and stopping ---- */

static void init_again(int rank, int size, const void *arg)
{
	(void)arg;
	ronde_init_options options = RONDE_INIT_OPTIONS_INIT;
	require_ok(ronde_init(NULL));
	require_ok(ronde_init(&options));
	works();
	for (int i = 0; i < 3; i++) {
		float x = 1;
		ronde_handle h;
		require_ok(
			ronde_allreduce_async("x", &x, &x, 1, RONDE_FLOAT32, RONDE_SUM, NULL, &h));
		require_ok(ronde_barrier());
		require_ok(ronde_shutdown());
		require_ok(ronde_shutdown());
		require(!ronde_is_initialized(), "initialised after shutdown");
		require_ok(ronde_init(NULL));
		require(ronde_rank() == rank && ronde_size() == size, "another world");
		require(ronde_wait(h) == RONDE_ERR_UNKNOWN_HANDLE, "a handle of an earlier life");
		works();
	}
	require(ronde_local_rank() == rank && ronde_local_size() == size &&
			ronde_cross_rank() == 0 && ronde_cross_size() == 1 &&
			ronde_is_homogeneous() == 1,
		"one machine");
}

/* Rank 0 leaves; the others are told who, and all begin a new life. */
static void peer_shutdown(int rank, int size, const void *arg)
{
	(void)arg;
	const char *text = "rank 0 has shut Ronde down; this operation had not been agreed on by "
			   "all ranks";
	float x = 1;
	ronde_handle h = 0;
	if (rank)
		require_ok(ronde_allreduce_async("alone", &x, &x, 1, RONDE_FLOAT32, RONDE_SUM, NULL,
						 &h));
	works();
	if (rank == 0) {
		require_ok(ronde_shutdown());
	} else {
		require_error(ronde_wait(h), RONDE_ERR_SHUTDOWN, text);
		require_error(ronde_barrier(), RONDE_ERR_SHUTDOWN, text);
		require(!ronde_is_initialized() && ronde_size() == size, "after the end");
	}
	require_ok(ronde_init(NULL));
	works();
}

static void forked_child(int rank, int size, const void *arg)
{
	(void)rank, (void)size, (void)arg;
	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		float x = 1;
		require(!ronde_is_initialized(), "initialised in a child");
		require_error(ronde_allreduce("x", &x, &x, 1, RONDE_FLOAT32, RONDE_SUM),
			      RONDE_ERR_NOT_INITIALIZED,
			      "ronde_allreduce: this process was forked from one that runs Ronde; "
			      "a child cannot take part");
		require(ronde_init(NULL) == RONDE_ERR_NOT_INITIALIZED, "init in a child");
		require_ok(ronde_shutdown());
		exit(0); /* its exit handlers must not end the parent's runtime */
	}
	int status;
	require(waitpid(child, &status, 0) == child && status == 0, "the child failed");
	works();
}

/* ---- settings ---- */

static const struct {
	const char *variable, *value, *text;
} mistakes[] = {
	{"RONDE_LANES", "0", "RONDE_LANES is \"0\": allowed is a whole number from 1 to 64"},
	{"RONDE_LANES", "many", "RONDE_LANES is \"many\": allowed is a whole number from 1 to 64"},
	{"RONDE_LANES", "", "RONDE_LANES is \"\": allowed is a whole number from 1 to 64"},
	{"RONDE_RING_BYTES", "100000",
	 "RONDE_RING_BYTES is \"100000\": allowed is a power of two of bytes from 16K to 256M, "
	 "also with K, M or G"},
	{"RONDE_ZERO_COPY", "perhaps",
	 "RONDE_ZERO_COPY is \"perhaps\": allowed is 1, true, yes, on, 0, false, no or off"},
	{"RONDE_LOG", "loud",
	 "RONDE_LOG is \"loud\": allowed is error, warn, info, debug or trace; also fatal "
	 "(error), warning (warn)"},
	{"RONDE_ISA", "mmx", "RONDE_ISA is \"mmx\": allowed is c, avx2, avx512, neon or nothing"},
	{"HOROVOD_FUSION_THRESHOLD", "-1",
	 "HOROVOD_FUSION_THRESHOLD is \"-1\": allowed is a number of bytes from 0 to 1024G, also "
	 "with K, M or G"},
};
#define MISTAKES ((int)(sizeof mistakes / sizeof *mistakes))

START_TEST(mistakes_in_the_environment)
{
	setenv(mistakes[_i].variable, mistakes[_i].value, 1);
	require_error(ronde_init(NULL), RONDE_ERR_CONFIGURATION, mistakes[_i].text);
	require(!ronde_is_initialized(), "initialised");
	unsetenv(mistakes[_i].variable);
	require_ok(ronde_init(NULL));
	works();
	require_ok(ronde_shutdown());
}
END_TEST

START_TEST(mistakes_in_the_options)
{
	const char *unknown[] = {"lane", "3", NULL}, *bad[] = {"lanes", "x", NULL},
		   *good[] = {"lanes", "3", NULL};
	ronde_init_options options = RONDE_INIT_OPTIONS_INIT;
	options.size = 8;
	require_error(ronde_init(&options), RONDE_ERR_INVALID_ARGUMENT,
		      "ronde_init: the options' size is 8; start from RONDE_INIT_OPTIONS_INIT");
	options = (ronde_init_options)RONDE_INIT_OPTIONS_INIT;
	options.settings = unknown;
	require_error(ronde_init(&options), RONDE_ERR_CONFIGURATION,
		      "ronde_init() was given the unknown setting \"lane\" (did you mean "
		      "\"lanes\"?); docs/configuration.md lists them all");
	options.settings = bad;
	require_error(ronde_init(&options), RONDE_ERR_CONFIGURATION,
		      "the setting \"lanes\" of ronde_init() is \"x\": allowed is a whole number "
		      "from 1 to 64");
	options.settings = good;
	setenv("RONDE_LANES", "wrong, but not looked at", 1);
	require_ok(ronde_init(&options));
	works();
	require_ok(ronde_shutdown());
}
END_TEST

/* How much memory the machine has room for, by this test: the linker has the core call this. */
static uint64_t room_bytes;

void __real_ronde_memory_room(struct ronde_memory_room *room, const char *root);
void __wrap_ronde_memory_room(struct ronde_memory_room *room, const char *root);

void __wrap_ronde_memory_room(struct ronde_memory_room *room, const char *root)
{
	__real_ronde_memory_room(room, root);
	if (room_bytes)
		*room = (struct ronde_memory_room){.bytes = room_bytes, .source = "this test"};
}

/* More shared memory than there is: every rank is told how much, and which setting. */
static void *start_too_large(void *arg)
{
	(void)arg;
	require(ronde_init(NULL) == RONDE_ERR_OUT_OF_MEMORY, "started with 64 GiB of staging");
	const char *text = ronde_error_message();
	require(strstr(text, "staging 65536.0 MiB (64 lanes × RONDE_STAGING_BYTES)") &&
			strstr(text, "RONDE_RING_BYTES") &&
			strstr(text, "there are 1073741824 bytes (1024.0 MiB) by this test. Make "
				     "one of the two"),
		"%s", text);
	return NULL;
}

static void too_large(int rank, int size, const void *arg)
{
	(void)rank, (void)size, (void)arg;
	require_ok(ronde_barrier());
	require_ok(ronde_shutdown());
	setenv("RONDE_STAGING_BYTES", "1G", 1);
	setenv("RONDE_LANES", "64", 1);
	room_bytes = 1 << 30;
	start_too_large(NULL);
	room_bytes = 0;
	unsetenv("RONDE_LANES");
	unsetenv("RONDE_STAGING_BYTES");
	require_ok(ronde_init(NULL));
	works();
}

START_TEST(too_little_memory)
{
	ck_assert_int_eq(fork_ranks(1, too_large, NULL), 0);
	ck_assert_int_eq(fork_ranks(2, too_large, NULL), 0);
}
END_TEST

/* ---- memory of ronde_alloc() ---- */

static void free_errors(int rank, int size, const void *arg)
{
	(void)arg;
	enum { N = 200000 };
	char text[300];
	int local = 0;
	float *large = ronde_alloc(N * sizeof *large), *small = ronde_alloc(100);
	float *empty = ronde_alloc(0), *ordinary = calloc(N, sizeof *ordinary);
	require(large && small && empty && empty != small, "%s", ronde_error_message());
	require((uintptr_t)large % 64 == 0 && large[0] == 0 && large[N - 1] == 0, "not zeroed");
	snprintf(text, sizeof text,
		 "ronde_free(%p): not memory of ronde_alloc(), it lies outside the heap",
		 (void *)&local);
	require_error(ronde_free(&local), RONDE_ERR_INVALID_ARGUMENT, text);
	snprintf(text, sizeof text,
		 "ronde_free(%p): points 4 bytes into an allocation of 800000 bytes; free its "
		 "start, %p",
		 (void *)(large + 1), (void *)large);
	require_error(ronde_free(large + 1), RONDE_ERR_INVALID_ARGUMENT, text);

	/* In flight until the other ranks have submitted it too. */
	ronde_handle h = 0, g = 0;
	if (rank == 0 && size > 1) {
		require_ok(ronde_allreduce_async("t", large, ordinary, N, RONDE_FLOAT32, RONDE_SUM,
						 NULL, &h));
		require_ok(ronde_allreduce_async("u", small, small, 25, RONDE_FLOAT32, RONDE_SUM,
						 NULL, &g));
		snprintf(text, sizeof text,
			 "ronde_free(%p): 1 operation(s) in flight use this allocation of 800000 "
			 "bytes; wait for their handles first",
			 (void *)large);
		require_error(ronde_free(large), RONDE_ERR_BUSY, text);
		require(ronde_free(small) == RONDE_ERR_BUSY, "%s", ronde_error_message());
	}
	works();
	if (rank != 0 || size == 1) {
		require_ok(ronde_allreduce_async("t", large, ordinary, N, RONDE_FLOAT32, RONDE_SUM,
						 NULL, &h));
		require_ok(ronde_allreduce_async("u", small, small, 25, RONDE_FLOAT32, RONDE_SUM,
						 NULL, &g));
	}
	require_ok(ronde_wait(h));
	require_ok(ronde_wait(g));
	require_ok(ronde_free(large));
	require_ok(ronde_free(small));
	require_ok(ronde_free(empty));
	snprintf(text, sizeof text,
		 "ronde_free(%p): an address of the heap where nothing is allocated; was it freed "
		 "before?",
		 (void *)large);
	require_error(ronde_free(large), RONDE_ERR_INVALID_ARGUMENT, text);
	require(ronde_free(small) == RONDE_ERR_INVALID_ARGUMENT, "double free");
	require(ronde_alloc((size_t)1 << 60) == NULL &&
			strstr(ronde_error_message(), "ronde_alloc(1152921504606846976)"),
		"%s", ronde_error_message());
	free(ordinary);
	works();
}

static uint64_t zero_copies(void)
{
	ronde_counters c = {.size = sizeof c};
	require_ok(ronde_get_counters(&c));
	return c.entries_zero_copy;
}

/* The heap outlives the runtime: from before the first init to after the last shutdown. */
static void heap_between_lives(int rank, int size, const void *arg)
{
	(void)rank, (void)size, (void)arg;
	enum { N = 100000 };
	float *first = NULL, *second;
	for (int life = 0; life < 3; life++) {
		require_ok(ronde_barrier());
		require_ok(ronde_shutdown());
		second = ronde_alloc(N * sizeof *second);
		require(second != NULL, "%s", ronde_error_message());
		require(!first || first[N - 1] == 1, "memory did not stay");
		require_ok(ronde_free(first));
		first = second;
		first[N - 1] = 1;
		require_ok(ronde_init(NULL));
		require_ok(ronde_allreduce("x", first, first, N, RONDE_FLOAT32, RONDE_AVERAGE));
		require(first[N - 1] == 1, "wrong sum");
		require(zero_copies() == 1, "%d zero-copy entries", (int)zero_copies());
	}
	require_ok(ronde_free(first));
}

static const fork_ranks_fn bodies[] = {init_again, peer_shutdown, forked_child, free_errors,
				       heap_between_lives};
#define BODIES ((int)(sizeof bodies / sizeof *bodies))

START_TEST(ranks)
{
	ck_assert_int_eq(fork_ranks(1, bodies[_i], NULL), 0);
	ck_assert_int_eq(fork_ranks(2, bodies[_i], NULL), 0);
	ck_assert_int_eq(fork_ranks(3, bodies[_i], NULL), 0);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{ranks, 0, BODIES},
		{mistakes_in_the_environment, 0, MISTAKES},
		{mistakes_in_the_options, ONCE},
		{too_little_memory, ONCE},
	};
	return SUITE_RUN("process", 120, tests);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranks that are configured differently: a mistake on any of them is told to all, at once, with the
 * same text, or to the log once for the job, and always with the ranks that it is on.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/config_values.h"
#include "tests/fork_ranks.h"
#include "tests/seed.h"
#include "tests/sizes.h"
#include "tests/suite.h"

#define RANKS 4
/* Random mistakes, each on ranks of its own. */
#define MISTAKES 60

/* ---- the log ---- */

static struct {
	int n;
	char text[8][1024];
} lines;

static void keep(ronde_log_level level, const char *message, void *arg)
{
	(void)arg;
	if (level <= RONDE_LOG_WARN && lines.n < 8)
		snprintf(lines.text[lines.n++], sizeof lines.text[0], "%s", message);
}

/* What is said of this environment: line by line on rank 0, nothing on the others. */
struct saying {
	/* "NAME=value" for ranks 0 … 3; NULL: nothing is set there. */
	const char *variables[RANKS][3];
	const char *text[3];
};

static const struct saying sayings[] = {
	{{{NULL}, {"RONDE_LOGG=info"}, {NULL}, {NULL}},
	 {"RONDE_LOGG is set on rank 1, but nothing reads it: did you mean RONDE_LOG?"}},
	{{{"RONDE_LANE=1"}, {"RONDE_LANE=2"}, {"RONDE_LANE=3"}, {"RONDE_LANE=4"}},
	 {"RONDE_LANE is set, but nothing reads it: did you mean RONDE_LANES?"}},
	{{{NULL}, {"RONDE_LANE=1", "RONDE_SPIM=1"}, {"RONDE_SPIM=1"}, {"RONDE_LANE=1"}},
	 {"RONDE_LANE is set on ranks 1, 3, but nothing reads it: did you mean RONDE_LANES?",
	  "RONDE_SPIM is set on ranks 1-2, but nothing reads it: did you mean RONDE_SPIN?"}},
	{{{NULL}, {"RONDE_LANES=4"}, {NULL}, {"RONDE_LANES=4"}},
	 {"RONDE_LANES: rank 0's \"8\" holds for the whole job, other ranks were given another "
	  "value: ranks 1, 3 \"4\""}},
	{{{"RONDE_LANES=3"}, {"RONDE_LANES=4"}, {"RONDE_LANES=5"}, {"RONDE_LANES=4"}},
	 {"RONDE_LANES: rank 0's \"3\" holds for the whole job, other ranks were given another "
	  "value: ranks 1, 3 \"4\", rank 2 \"5\""}},
	{{{"RONDE_ZERO_COPY=on"}, {"RONDE_ZERO_COPY=1"}, {"HOROVOD_FUSION_THRESHOLD=0"}, {NULL}},
	 {"RONDE_FUSION_THRESHOLD: rank 0's \"128M\" holds for the whole job, other ranks were "
	  "given another value: rank 2 \"0\""}},
	{{{"RONDE_LANES=3"}, {NULL}, {"RONDE_LANES=3"}, {"RONDE_SPIN=4"}}, {NULL}},
	{{{NULL}, {NULL}, {"RONDE_MPI_MODULE=x", "RONDE_FARAWAYFROMALL=1"}, {NULL}}, {NULL}},
};
#define SAYINGS ((int)(sizeof sayings / sizeof *sayings))

static void set_all(const char *const *variables, bool set)
{
	for (int i = 0; i < 3 && variables[i]; i++) {
		char name[64];
		size_t n = strcspn(variables[i], "=");
		snprintf(name, sizeof name, "%.*s", (int)n, variables[i]);
		if (set)
			setenv(name, variables[i] + n + 1, 1);
		else
			unsetenv(name);
	}
}

static void say(int rank, int size, const void *arg)
{
	const struct saying *s = arg;
	(void)size;
	require_ok(ronde_barrier());
	require_ok(ronde_shutdown());
	set_all(s->variables[rank], true);
	require_ok(ronde_set_log_function(keep, NULL));
	require_ok(ronde_init(NULL));
	require_ok(ronde_barrier());
	require_ok(ronde_shutdown());
	require_ok(ronde_set_log_function(NULL, NULL));
	int expected = 0;
	for (int i = 0; rank == 0 && i < 3 && s->text[i]; i++, expected++)
		require(strcmp(lines.text[i], s->text[i]) == 0, "line %d: %s", i, lines.text[i]);
	require(lines.n == expected, "%d lines, the first: %s", lines.n, lines.text[0]);
}

START_TEST(told_once_per_job)
{
	ck_assert_int_eq(fork_ranks(RANKS, say, &sayings[_i]), 0);
}
END_TEST

/* ---- mistakes ---- */

/* All must fail with this text, and work once it is mended. */
static void fails_on_all(const ronde_init_options *options, int status, const char *text)
{
	double since = (double)time(NULL);
	require_error(ronde_init(options), status, text);
	require((double)time(NULL) - since < 30, "told after %g s", (double)time(NULL) - since);
	require(!ronde_is_initialized(), "initialised");
}

static void works(int size)
{
	float x = 1;
	require_ok(ronde_init(NULL));
	require_ok(ronde_allreduce("x", &x, &x, 1, RONDE_FLOAT32, RONDE_SUM));
	require(x == (float)size, "the sum is %g", (double)x);
	require_ok(ronde_shutdown());
}

static void several_reasons(int rank, int size, const void *arg)
{
	static const char *const unknown[] = {"lane", "3", NULL};
	ronde_init_options options = RONDE_INIT_OPTIONS_INIT;
	(void)arg;
	require_ok(ronde_barrier());
	require_ok(ronde_shutdown());
	if (rank == 1)
		setenv("RONDE_LOG_FILE", "/nowhere/x", 1);
	else if (rank == 2)
		options.settings = unknown;
	else if (rank == 3)
		setenv("RONDE_CARRY_BYTES", "1M", 1);
	fails_on_all(&options, RONDE_ERR_SYSTEM,
		     "rank 1: cannot open the log file \"/nowhere/x\" (RONDE_LOG_FILE): No such "
		     "file or directory; the folder must exist and be writable\n"
		     "rank 2: ronde_init() was given the unknown setting \"lane\" (did you mean "
		     "\"lanes\"?); docs/configuration.md lists them all\n"
		     "rank 3: RONDE_CARRY_BYTES (1048576) is more than a quarter of "
		     "RONDE_RING_BYTES (262144): carry less or make the rings larger");
	unsetenv("RONDE_LOG_FILE");
	unsetenv("RONDE_CARRY_BYTES");
	works(size);
}

START_TEST(every_reason_is_told)
{
	ck_assert_int_eq(fork_ranks(RANKS, several_reasons, NULL), 0);
}
END_TEST

/* The ranks with the mistake, as the error has it. */
static void name_ranks(unsigned int which, int size, char *text)
{
	static const char *const names[] = {
		[1] = "rank 0: ",     [2] = "rank 1: ",    [3] = "ranks 0-1: ", [4] = "rank 2: ",
		[5] = "ranks 0, 2: ", [6] = "ranks 1-2: ", [7] = "ranks 0-2: ",
	};
	snprintf(text, 32, "%s", which + 1 == 1u << size ? "" : names[which]);
}

/* A random bad value on random ranks, given by the environment or the settings. */
static void mistake(uint64_t *state, int rank, int size)
{
	char value[VALUE_BYTES], variable[RONDE_CONFIG_VARIABLE_BYTES], who[32];
	char refusal[REFUSAL_BYTES], text[REFUSAL_BYTES + 32], given[64];
	const struct ronde_config_entry *e;
	do
		e = &ronde_config_entries[next_random(state) % RONDE_CONFIG_COUNT];
	while (!bad_value(state, e, (int)(next_random(state) % (uint64_t)bad_kinds()), value));
	unsigned int which = 1 + (unsigned int)(next_random(state) % ((1u << size) - 1));
	const char *settings[] = {e->name, value, NULL};
	ronde_init_options options = RONDE_INIT_OPTIONS_INIT;
	bool by_settings = next_random(state) % 2;
	ronde_config_variable(e, variable);
	snprintf(given, sizeof given, by_settings ? "the setting \"%s\" of ronde_init()" : "%s",
		 by_settings ? e->name : variable);
	refusal_text(refusal, e, given, value);
	name_ranks(which, size, who);
	snprintf(text, sizeof text, "%s%s", who, refusal);
	bool mine = which >> rank & 1;
	if (mine && by_settings)
		options.settings = settings;
	else if (mine)
		setenv(variable, value, 1);
	fails_on_all(&options, RONDE_ERR_CONFIGURATION, text);
	unsetenv(variable);
}

static void mistakes(int rank, int size, const void *arg)
{
	uint64_t state = *(const uint64_t *)arg;
	require_ok(ronde_barrier());
	require_ok(ronde_shutdown());
	for (int i = test_turns(MISTAKES); i > 0; i--) {
		mistake(&state, rank, size);
		if (i % 10 == 1)
			works(size);
	}
}

static uint64_t seed;

START_TEST(random_mistakes)
{
	uint64_t state = seed + (uint64_t)_i;
	ck_assert_int_eq(fork_ranks(_i, mistakes, &state), 0);
}
END_TEST

int main(void)
{
	seed = test_seed();
	const struct suite_test tests[] = {
		{told_once_per_job, 0, SAYINGS},
		{every_reason_is_told, ONCE},
		{random_mistakes, 1, 4},
	};
	return SUITE_RUN("config_ranks", 130, tests);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranks whose environments differ: rank 0's settings hold for the job, and all ranks execute the
 * same entries along the same paths.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fork_ranks.h"
#include "tests/suite.h"

/* ---- what shows that a setting holds ---- */

static bool nothing_more(const ronde_counters *c)
{
	return c->completed == c->submitted;
}

static bool every_one_for_itself(const ronde_counters *c)
{
	return c->entries == c->tensors;
}

static bool fused(const ronde_counters *c)
{
	return c->entries < c->tensors;
}

static bool none_carried(const ronde_counters *c)
{
	return c->entries_carried == 0 && c->entries_staged > 0;
}

static bool some_carried(const ronde_counters *c)
{
	return c->entries_carried > 0;
}

static bool none_zero_copy(const ronde_counters *c)
{
	return c->entries_zero_copy == 0 && c->entries_staged > 0;
}

static bool some_zero_copy(const ronde_counters *c)
{
	return c->entries_zero_copy > 0;
}

static bool always_described(const ronde_counters *c)
{
	return c->ready_sent == 0;
}

static bool evicted(const ronde_counters *c)
{
	return c->evictions > 0;
}

static const struct environments {
	const char *variable, *rank0, *others;
	bool (*holds)(const ronde_counters *c);
} cases[] = {
	{"RONDE_FUSION_THRESHOLD", "0", "128M", every_one_for_itself},
	{"RONDE_FUSION_THRESHOLD", "128M", "0", fused},
	{"RONDE_CARRY_BYTES", "0", "16K", none_carried},
	{"RONDE_CARRY_BYTES", "16K", "0", some_carried},
	{"RONDE_ZERO_COPY", "no", "yes", none_zero_copy},
	{"RONDE_ZERO_COPY", "yes", "no", some_zero_copy},
	{"RONDE_CACHE_CAPACITY", "0", "1024", always_described},
	{"RONDE_CACHE_CAPACITY", "3", "1024", evicted},
	{"RONDE_CACHE_CAPACITY", "1024", "0", nothing_more},
	{"RONDE_STAGING_BYTES", "64K", "4M", nothing_more},
	{"RONDE_STAGING_BYTES", "4M", "64K", nothing_more},
	{"RONDE_CHUNK_BYTES", "5000", "0", nothing_more},
	{"RONDE_LANES", "1", "16", nothing_more},
	{"RONDE_LANES", "16", "1", nothing_more},
	{"RONDE_RING_BYTES", "64K", "1M", nothing_more},
	{"RONDE_RING_BYTES", "1M", "64K", nothing_more},
	{"RONDE_ISA", "c", "", nothing_more}, /* each rank's own: the same bits */
	{"RONDE_SPIN", "0", "100", nothing_more},
};
#define CASES ((int)(sizeof cases / sizeof *cases))

/* ---- the job ---- */

#define TENSORS 24
static const int64_t counts[] = {10, 6000, 6000, 300}; /* the third in the heap */
static float *memory[TENSORS];

static void take_memory(void)
{
	for (int t = 0; t < TENSORS; t++) {
		size_t bytes = (size_t)counts[t % 4] * sizeof(float);
		memory[t] = t % 4 == 2 ? ronde_alloc(bytes) : malloc(bytes);
		require(memory[t] != NULL, "no memory");
	}
}

/* Tensors of all kinds, each rank in its own order. */
static void mix(int rank, int size)
{
	ronde_handle h[TENSORS];
	for (int i = 0; i < TENSORS; i++) {
		int t = (i * 5 + rank * 7) % TENSORS;
		char name[16];
		snprintf(name, sizeof name, "t%d", t);
		for (int64_t k = 0; k < counts[t % 4]; k++)
			memory[t][k] = (float)(t + k % 10 + rank);
		require_ok(ronde_allreduce_async(name, memory[t], memory[t], counts[t % 4],
						 RONDE_FLOAT32, RONDE_SUM, NULL, &h[t]));
	}
	const int ranks = size * (size - 1) / 2; /* their sum */
	for (int t = 0; t < TENSORS; t++) {
		require_ok(ronde_wait(h[t]));
		for (int64_t k = 0; k < counts[t % 4]; k++)
			require(memory[t][k] == (float)(size * (t + k % 10) + ranks), "tensor %d",
				t);
	}
}

/* What all ranks must have counted alike. */
static void same_everywhere(int size, const ronde_counters *c)
{
	uint64_t mine[] = {c->entries,        c->entries_carried, c->entries_zero_copy,
			   c->entries_staged, c->tensors,         c->bytes,
			   c->evictions,      c->completed,       c->errors};
	uint64_t all[FORK_RANKS_MAX][sizeof mine / sizeof *mine];
	int64_t shape[] = {1, sizeof mine / sizeof *mine};
	ronde_gathered out = {.data = all, .capacity_bytes = sizeof all};
	require_ok(ronde_allgather("counters", mine, shape, 2, RONDE_UINT64, &out));
	for (int r = 0; r < size; r++)
		require(memcmp(all[r], mine, sizeof mine) == 0,
			"rank %d has executed something else: %d and %d entries", r, (int)all[r][0],
			(int)mine[0]);
}

static void differing(int rank, int size, const void *arg)
{
	const struct environments *e = arg;
	require_ok(ronde_barrier());
	require_ok(ronde_shutdown());
	setenv(e->variable, rank ? e->others : e->rank0, 1);
	/* So that what can be fused is there to be fused. */
	setenv("RONDE_BATCH_DELAY_US", rank ? "0" : "2000", 1);
	setenv("RONDE_LOG", "error", 1); /* it says, as a warning, that rank 0's value holds */
	require_ok(ronde_init(NULL));
	take_memory();
	for (int round = 0; round < 3; round++)
		mix(rank, size);
	ronde_counters c = {.size = sizeof c};
	require_ok(ronde_get_counters(&c));
	same_everywhere(size, &c);
	require(e->holds(&c),
		"%s=%s of rank 0 does not hold: %d tensors in %d entries (%d, %d, %d)", e->variable,
		e->rank0, (int)c.tensors, (int)c.entries, (int)c.entries_carried,
		(int)c.entries_zero_copy, (int)c.entries_staged);
}

START_TEST(rank_0_wins)
{
	ck_assert_int_eq(fork_ranks(2, differing, &cases[_i]), 0);
	ck_assert_int_eq(fork_ranks(3, differing, &cases[_i]), 0);
}
END_TEST

/* ---- what all ranks would say alike is said once ---- */

static void start_only(int rank, int size, const void *arg)
{
	(void)rank, (void)size, (void)arg;
}

/* How often a text stands in a file. */
static int count_in(FILE *file, const char *text)
{
	char line[1024];
	int n = 0;
	rewind(file);
	while (fgets(line, sizeof line, file))
		n += strstr(line, text) != NULL;
	return n;
}

/* Everything that all ranks write to standard error. */
static FILE *errors_of(int ranks)
{
	FILE *file = tmpfile();
	int own = dup(STDERR_FILENO);
	ck_assert(file && own >= 0 && dup2(fileno(file), STDERR_FILENO) == STDERR_FILENO);
	int bad = fork_ranks(ranks, start_only, NULL);
	dup2(own, STDERR_FILENO);
	close(own);
	ck_assert_int_eq(bad, 0);
	return file;
}

START_TEST(a_common_warning_once_per_job)
{
	setenv("RONDE_LANE", "3", 1); /* a typing mistake, on all ranks */
	FILE *file = errors_of(3);
	unsetenv("RONDE_LANE");
	int said = count_in(file, "RONDE_LANE is set, but nothing reads it: did you mean "
				  "RONDE_LANES?");
	int warnings = count_in(file, " warn: ");
	fclose(file);
	ck_assert_int_eq(said, 1);
	ck_assert_int_eq(warnings, 1);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{rank_0_wins, 0, CASES},
		{a_common_warning_once_per_job, ONCE},
	};
	return SUITE_RUN("environments", 130, tests);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Sparse allreduce while ranks have joined: the rows of those that are left, and by what an average
 * of them is divided. Ranks as processes. */

#include "tests/fork_ranks.h"
#include "tests/sparse_input.h"
#include "tests/suite.h"

/* The rows of ranks first … end - 1, one rank's behind the other's, each value times factor. */
static void check_gathered(const ronde_sparse *sparse, uint64_t seed, int first, int end,
			   int64_t width, float factor)
{
	static struct input theirs;
	const float *values = sparse->result.values;
	int64_t at = 0, wrong = 0;
	for (int r = first; r < end; r++) {
		make_input(&theirs, seed, r, width, true);
		for (int64_t i = 0; i < theirs.rows; i++, at++) {
			require(at < sparse->result.rows, "only %lld rows", (long long)at);
			wrong += sparse->result.indices[at] != theirs.indices[i];
			for (int64_t k = 0; k < width; k++)
				wrong += values[at * width + k] !=
					 theirs.values[i * width + k] * factor;
		}
	}
	require(at == sparse->result.rows && wrong == 0,
		"ranks %d to %d, times %g: %lld rows, not %lld; %lld wrong", first, end - 1,
		(double)factor, (long long)sparse->result.rows, (long long)at, (long long)wrong);
}

/* A sum and an average of those that are there: the average is divided as an allreduce's is. */
static void sparse_without(uint64_t seed, int rank, int size, int first, int end)
{
	static struct input mine;
	const int64_t width = 4;
	const bool active = strcmp(getenv("RONDE_JOIN_DIVISOR"), "active") == 0;
	ronde_sparse sparse[2] = {{.result = {0}}, {.result = {0}}};
	make_input(&mine, seed, rank, width, true);
	ronde_sparse_rows rows = rows_of(&mine, width);
	require_ok(ronde_sparse_allreduce_async("left", &rows, RONDE_SUM, NULL, &sparse[0]));
	require_ok(ronde_sparse_allreduce_async(NULL, &rows, RONDE_AVERAGE, NULL, &sparse[1]));
	for (int k = 1; k >= 0; k--) {
		require_ok(ronde_sparse_wait(&sparse[k]));
		int divisor = k == 0 ? 1 : active ? end - first : size;
		check_gathered(&sparse[k], seed, first, end, width, 1 / (float)divisor);
		require(sparse[k].values.divisor == (active ? end - first : size), "divisor %d",
			sparse[k].values.divisor);
		free(sparse[k].indices.data);
		free(sparse[k].values.data);
	}
}

/* Ranks leave from the first on, and, another time, from the last on. */
static void joined(int rank, int size, const void *arg)
{
	uint64_t seed = *(const uint64_t *)arg;
	for (int upwards = 0; upwards < 2; upwards++) {
		int last = -1;
		for (int gone = 0; gone < size; gone++) {
			int first = upwards ? gone : 0, end = upwards ? size : size - gone;
			if (rank >= first && rank < end)
				sparse_without(seed + (uint64_t)gone, rank, size, first, end);
		}
		require_ok(ronde_join(&last));
		require(last == (upwards ? size - 1 : 0), "rank %d joined last", last);
	}
}

START_TEST(divisors)
{
	uint64_t seed = test_seed();
	setenv("RONDE_JOIN_DIVISOR", _i ? "active" : "all", 1);
	for (int n = 1; n <= 5; n++)
		ck_assert_int_eq(fork_ranks(n, joined, &seed), 0);
	unsetenv("RONDE_JOIN_DIVISOR");
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{divisors, 0, 2},
	};
	return SUITE_RUN("sparse_join", 100, tests);
}

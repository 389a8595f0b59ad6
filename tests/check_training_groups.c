/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of the distributed optimizer: the same weights, bit for bit, as without them; when a group
 * starts; gradients that are absent; what ranks disagree about; what is refused. */
#include <string.h>

#include "tests/rank_bodies.h"
#include "tests/suite.h"

#define LISTED 7
#define ELEMENTS 600
#define ROW 3 /* elements of a row of the one that may be sparse */
#define SPARSE 4

/* ---- the same weights as without groups ---- */

struct variant {
	ronde_distributed_optimizer_options options;
	bool on_a_set;
};

static const int some[LISTED] = {1, 0, 1, -1, -1, 0, 1}, one[LISTED] = {0, 0, 0, 0, 0, 0, 0},
		 apart[LISTED] = {6, 5, 4, 3, 2, 1, 0};
static const int64_t widths[LISTED] = {0, 0, 0, 0, ROW, 0, 0};

#define OPTIONS(passes, predivide, ...)                                                            \
	{                                                                                          \
		.size = sizeof(ronde_distributed_optimizer_options),                               \
		.backward_passes_per_step = (passes), .gradient_predivide_factor = (predivide),    \
		__VA_ARGS__                                                                        \
	}
static const struct variant variants[] = {
	{OPTIONS(1, 1, .num_groups = 1), false},
	{OPTIONS(1, 1, .num_groups = 3, .reduction = RONDE_SUM), true},
	{OPTIONS(1, 1, .num_groups = LISTED), false},
	{OPTIONS(1, 1, .num_groups = 1 << 30, .sparse_widths = widths), false},
	{OPTIONS(1, 1, .num_groups = 2, .compression = RONDE_COMPRESSION_FP16), true},
	{OPTIONS(1, 2, .num_groups = 2, .sparse_widths = widths), true},
	{OPTIONS(1, 1, .num_groups = 1, .sparse_widths = widths, .sparse_as_dense = 1), false},
	{OPTIONS(1, 1, .groups = some, .compression = RONDE_COMPRESSION_BF16), false},
	{OPTIONS(2, 1, .groups = some, .sparse_widths = widths), false},
	{OPTIONS(1, 1, .groups = one, .unreported_is_zero = 1), true},
	{OPTIONS(1, 1, .groups = apart, .reduction = RONDE_SUM), false},
	{OPTIONS(1, 1, .num_groups = 2, .reduction = RONDE_ADASUM), true},
	{OPTIONS(1, 1, .groups = some, .reduction = RONDE_ADASUM,
		 .compression = RONDE_COMPRESSION_FP16),
	 false},
};
#define VARIANTS ((int)(sizeof variants / sizeof *variants))

struct model {
	double weights[LISTED][ELEMENTS], gradients[LISTED][ELEMENTS];
	ronde_parameter list[LISTED];
	int64_t counts[LISTED];
};

static void init(struct model *m)
{
	static const char *const names[LISTED] = {"a", "b", "c", "d", "e", "f", "g"};
	static const int64_t counts[LISTED] = {5, ELEMENTS, 1, 0, 30, 17, 511};
	memset(m, 0, sizeof *m);
	for (int i = 0; i < LISTED; i++)
		m->list[i] = (ronde_parameter){names[i], m->weights[i], m->gradients[i], counts[i],
					       i % 3 == 2 ? RONDE_FLOAT64 : RONDE_FLOAT32};
}

static int subtract(void *state)
{
	struct model *m = state;
	for (int i = 0; i < LISTED; i++)
		for (int64_t k = 0; k < m->list[i].count; k++)
			if (m->list[i].dtype == RONDE_FLOAT64)
				m->weights[i][k] -= m->gradients[i][k];
			else
				((float *)m->weights[i])[k] -= ((float *)m->gradients[i])[k];
	return 0;
}

static void make_gradients(struct model *m, int rank, int step)
{
	for (int i = 0; i < LISTED; i++)
		for (int64_t k = 0; k < m->list[i].count; k++) {
			double value = 1.0 / (double)(1 + k + 7 * i + 31 * step + 100 * rank);
			if (m->list[i].dtype == RONDE_FLOAT64)
				m->gradients[i][k] = value;
			else
				((float *)m->gradients[i])[k] = (float)value;
		}
}

/* Each rank in an order of its own, some absent or not at all, and not the same ones on all. */
static void report(ronde_distributed_optimizer *o, const ronde_distributed_optimizer_options *w,
		   int rank, int step)
{
	static float values[ROW] = {1, 2, 3}; /* until the step has returned */
	static int64_t index;
	const ronde_sparse_rows rows = {1, ROW, &index, values, RONDE_FLOAT32};
	values[2] = (float)rank;
	index = rank % 2;
	for (int i = 0; i < LISTED; i++) {
		size_t p = (size_t)(i * 3 + rank + step) % LISTED;
		if ((i + rank + step) % 5 == 0)
			continue;
		if ((i + rank + step) % 5 == 1)
			require_ok(ronde_gradient_absent(o, p));
		else if (w->sparse_widths && p == SPARSE)
			require_ok(ronde_gradient_ready_sparse(o, p, &rows));
		else
			require_ok(ronde_gradient_ready(o, p));
	}
}

static void train(struct model *m, const ronde_distributed_optimizer_options *with, int rank)
{
	ronde_distributed_optimizer *o;
	ronde_optimizer_counters c = {.size = sizeof c};
	init(m);
	require_ok(ronde_distributed_optimizer_create(&o, subtract, m, m->list, LISTED, with));
	for (int step = 0; step < 6; step++) {
		make_gradients(m, rank, step);
		for (int pass = 0; pass < with->backward_passes_per_step; pass++)
			report(o, with, rank, step);
		if (step % 3 == 1)
			require_ok(ronde_distributed_optimizer_synchronize(o));
		require_ok(ronde_distributed_optimizer_step(o));
	}
	require_ok(ronde_distributed_optimizer_get_counters(o, &c));
	require(c.steps == 6 && c.tensors == 6 * LISTED, "%d tensors in %d steps", (int)c.tensors,
		(int)c.steps);
	ronde_distributed_optimizer_destroy(o);
}

static void like_single(int rank, int size, const void *arg)
{
	const struct variant *v = arg;
	ronde_distributed_optimizer_options grouped = v->options, single;
	static struct model a, b;
	if (v->on_a_set && size > 1) { /* all but the first rank */
		int ranks[FORK_RANKS_MAX];
		for (int r = 1; r < size; r++)
			ranks[r - 1] = r;
		require_ok(ronde_process_set_add(ranks, (size_t)size - 1, &grouped.process_set));
		if (rank == 0)
			return;
	}
	single = grouped;
	single.num_groups = 0;
	single.groups = NULL;
	train(&a, &single, rank);
	train(&b, &grouped, rank);
	const void *as_single = a.weights, *as_groups = b.weights;
	require(memcmp(as_single, as_groups, sizeof a.weights) == 0, "other weights");
	require(a.weights[1][0] != 0, "nothing was learnt");
}

START_TEST(same_weights)
{
	for (int n = 1; n <= 5; n += 1 + (n == 3))
		ck_assert_int_eq(fork_ranks(n, like_single, &variants[_i]), 0);
}
END_TEST

/* ---- when a group starts ---- */

static uint64_t submitted(void)
{
	ronde_counters c = {.size = sizeof c};
	require_ok(ronde_get_counters(&c));
	return c.submitted;
}

static int nothing(void *state)
{
	return state != NULL;
}

/* With the last of its reports, whichever that is on this rank. */
static void starts(int rank, int size, const void *arg)
{
	(void)arg;
	float g[4];
	int groups[4] = {8, 3, 8, 3}, sum = size * (size + 1) / 2;
	const uint64_t wanted[4] = {0, 0, 2, 4};
	ronde_parameter list[4] = {{"a", NULL, &g[0], 1, RONDE_FLOAT32},
				   {"b", NULL, &g[1], 1, RONDE_FLOAT32},
				   {"c", NULL, &g[2], 1, RONDE_FLOAT32},
				   {"d", NULL, &g[3], 1, RONDE_FLOAT32}};
	ronde_distributed_optimizer_options with = OPTIONS(1, 1, .reduction = RONDE_SUM);
	ronde_distributed_optimizer *o;
	with.groups = groups;
	require_ok(ronde_distributed_optimizer_create(&o, nothing, NULL, list, 4, &with));
	groups[0] = groups[2] = -7; /* read by create */
	for (int step = 0; step < 3; step++) {
		size_t order[4] = {0, 1, 2, 3};
		if ((rank + step) % 2) { /* c b a d */
			order[0] = 2;
			order[2] = 0;
		}
		uint64_t before = submitted();
		for (int i = 0; i < 4; i++) {
			g[order[i]] = (float)(rank + 1);
			require_ok(ronde_gradient_ready(o, order[i]));
			require(submitted() - before == wanted[i], "report %d: %d submitted", i,
				(int)(submitted() - before));
		}
		require_ok(ronde_distributed_optimizer_step(o));
		require(submitted() - before == 4, "the step submits again");
		for (int i = 0; i < 4; i++)
			require(g[i] == (float)sum, "a wrong sum");
	}
	ronde_distributed_optimizer_destroy(o);
}

/* Destroyed with one group in flight, one half reported. */
static void destroyed(int rank, int size, const void *arg)
{
	(void)rank, (void)size, (void)arg;
	float g[4] = {1, 1, 1, 1};
	ronde_parameter list[4] = {{"a", NULL, &g[0], 1, RONDE_FLOAT32},
				   {"b", NULL, &g[1], 1, RONDE_FLOAT32},
				   {"c", NULL, &g[2], 1, RONDE_FLOAT32},
				   {"d", NULL, &g[3], 1, RONDE_FLOAT32}};
	ronde_distributed_optimizer_options with = OPTIONS(1, 1, .num_groups = 2);
	ronde_distributed_optimizer *o;
	for (int round = 0; round < 10; round++) {
		require_ok(ronde_distributed_optimizer_create(&o, nothing, NULL, list, 4, &with));
		for (size_t i = 0; i < 3; i++)
			require_ok(ronde_gradient_ready(o, i));
		ronde_distributed_optimizer_destroy(o);
	}
}

/* ---- ranks that disagree ---- */

static void mismatch(int rank, int size, const void *arg)
{
	(void)arg;
	float a[3] = {1, 1, 1}, b[3] = {1, 1, 1}, c[3] = {1, 1, 1};
	bool odd = rank == size - 1;
	char text[500], who[40] = "rank 0";
	ronde_parameter list[] = {{"a", NULL, a, 3, RONDE_FLOAT32},
				  {"b", NULL, b, odd ? 2 : 3, RONDE_FLOAT32},
				  {"c", NULL, c, 3, RONDE_FLOAT32}};
	ronde_distributed_optimizer_options with =
		OPTIONS(1, 1, .reduction = RONDE_SUM, .num_groups = 2);
	ronde_distributed_optimizer *o;
	if (size > 2)
		snprintf(who, sizeof who, "ranks 0-%d", size - 2);
	snprintf(text, sizeof text,
		 "tensor \"gradient.group.0_2of2\": %s submitted float32[3], rank %d submitted "
		 "float32[2]; all ranks must give the same to one allreduce; this group's tensors "
		 "are \"gradient.a\", \"gradient.b\"",
		 who, size - 1);
	require_ok(ronde_distributed_optimizer_create(&o, nothing, NULL, list, 3, &with));
	for (int round = 0; round < 2; round++) {
		c[0] = 1;
		require_ok(ronde_gradient_ready(o, (size_t)(round + rank) % 3));
		require_error(ronde_distributed_optimizer_step(o), RONDE_ERR_MISMATCH, text);
		require(a[0] == 1 && b[0] == 1, "of a group that failed something was reduced");
		require(c[0] == (float)size, "what is not in it was not reduced");
	}
	ronde_distributed_optimizer_destroy(o);

	/* Other numbers of parameters. */
	list[1].count = 3;
	with.num_groups = 1;
	require_ok(ronde_distributed_optimizer_create(&o, nothing, NULL, list, odd ? 3 : 2, &with));
	snprintf(text, sizeof text,
		 "group \"gradient.group.0\": %s submitted a group of 2, rank %d submitted a group "
		 "of 3; all ranks must give the same to one allreduce; this group's tensors are "
		 "\"gradient.a\", \"gradient.b\"%s",
		 who, size - 1, odd ? ", \"gradient.c\"" : "");
	require_error(ronde_distributed_optimizer_step(o), RONDE_ERR_MISMATCH, text);
	ronde_distributed_optimizer_destroy(o);
}

/* ---- what is refused ---- */

static const struct {
	ronde_distributed_optimizer_options options;
	const char *text;
} refusals[] = {
	{OPTIONS(1, 1, .num_groups = -1), "num_groups is -1: it must be 0 (no groups) or more"},
	{OPTIONS(1, 1, .num_groups = 2, .groups = some),
	 "num_groups is 2 and groups is given too: only one of them says what the groups are"},
	{OPTIONS(1, 1, .groups = (const int[LISTED]){0, -2}),
	 "groups[1], of parameter \"b\", is -2: it must be the number of a group, 0 or more, or "
	 "-1: none"},
	{OPTIONS(1, 1, .groups = one, .sparse_widths = widths),
	 "parameter 4, \"e\", is sparse, and in group 0: give it to none (-1), or set "
	 "sparse_as_dense"},
};

static void refused(int rank, int size, const void *arg)
{
	(void)rank, (void)size, (void)arg;
	static struct model m;
	char longest[RONDE_MAX_NAME];
	ronde_distributed_optimizer *o = NULL;
	ronde_distributed_optimizer_options with = OPTIONS(1, 1, .num_groups = 1);
	init(&m);
	for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
		require_error(ronde_distributed_optimizer_create(&o, subtract, &m, m.list, LISTED,
								 &refusals[i].options),
			      RONDE_ERR_INVALID_ARGUMENT, refusals[i].text);
	memset(longest, 'x', sizeof longest);
	longest[RONDE_MAX_NAME - 33] = '\0'; /* one too many */
	with.name = longest;
	require_error(
		ronde_distributed_optimizer_create(&o, subtract, &m, m.list, LISTED, &with),
		RONDE_ERR_INVALID_ARGUMENT,
		"the name \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…\" is too long: up to 34 "
		"bytes are added to it for the tensors of groups, and names have at most "
		"1023");
	require(o == NULL, "an optimizer was made all the same");
	longest[RONDE_MAX_NAME - 34] = '\0';
	require_ok(ronde_distributed_optimizer_create(&o, subtract, &m, m.list, LISTED, &with));
	require_ok(ronde_distributed_optimizer_step(o));
	ronde_distributed_optimizer_destroy(o);
	with.num_groups = 1000;
	require_ok(ronde_distributed_optimizer_create(&o, subtract, NULL, NULL, 0, &with));
	ronde_distributed_optimizer_destroy(o);
}

static const struct rank_body cases[] = {
	{"starts", starts, 1, 4},
	{"destroyed", destroyed, 1, 3},
	{"mismatch", mismatch, 2, 4},
	{"refused", refused, 1, 2},
};

START_TEST(bodies)
{
	rank_body_run(&cases[_i], NULL);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{same_weights, 0, VARIANTS},
		{bodies, 0, (int)(sizeof cases / sizeof *cases)},
	};
	return SUITE_RUN("training_groups", 100, tests);
}

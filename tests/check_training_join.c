/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Training on uneven data, what join is for: ranks run out of samples at different steps and join,
 * the others go on, and the last rank to join gives its weights to all. Every way to exchange
 * gradients, against weights that each rank computes alone in double; by both divisors of an
 * average, through the public header, ranks as processes.
 */
#include <math.h>

#include "tests/adasum_reference.h"
#include "tests/fork_ranks.h"
#include "tests/suite.h"

#define MOST 5 /* ranks */
#define RATE 0.125
#define EPOCHS 2
#define WIDTH 3
#define PARAMETERS 4
#define LONGEST 900
#define TABLE 2 /* the parameter that is sparse in some variants */

static const int lengths[PARAMETERS] = {LONGEST, 1, 7 * WIDTH, 33};
static const int64_t widths[PARAMETERS] = {0, 0, WIDTH, 0};

struct variant {
	const char *name;
	ronde_distributed_optimizer_options options;
	bool set; /* of all ranks but 0 */
};

#define OPTIONS(reduction, predivide, as_dense, sparse, groups)                                    \
	{                                                                                          \
		sizeof(ronde_distributed_optimizer_options), RONDE_##reduction,                    \
			RONDE_COMPRESSION_NONE, 1, predivide, 0, NULL, 0, as_dense, sparse,        \
			groups, NULL                                                               \
	}

static const struct variant variants[] = {
	{"average", OPTIONS(AVERAGE, 1, 0, NULL, 0), false},
	{"sum", OPTIONS(SUM, 1, 0, NULL, 0), false},
	{"predivided", OPTIONS(AVERAGE, 3, 0, NULL, 0), false},
	{"groups", OPTIONS(AVERAGE, 1, 0, NULL, 2), false},
	{"sparse", OPTIONS(AVERAGE, 1, 0, widths, 0), false},
	{"sparse sum", OPTIONS(SUM, 1, 0, widths, 0), false},
	{"sparse, predivided", OPTIONS(AVERAGE, 3, 0, widths, 0), false},
	{"sparse as dense", OPTIONS(AVERAGE, 1, 1, widths, 2), false},
	{"adasum", OPTIONS(ADASUM, 1, 0, NULL, 0), false},
	{"adasum in groups", OPTIONS(ADASUM, 1, 0, NULL, 2), false},
	{"average on a set", OPTIONS(AVERAGE, 1, 0, NULL, 2), true},
	{"sparse on a set", OPTIONS(AVERAGE, 1, 0, widths, 0), true},
	{"adasum on a set", OPTIONS(ADASUM, 1, 0, NULL, 0), true},
};

struct job {
	const struct variant *variant;
	bool active; /* the divisor */
};

/* How many steps a rank has samples for: another number on each, so that it is known who joins
 * last. */
static int samples(const struct job *job, int rank, int size, int epoch)
{
	if (job->variant->set && rank == 0)
		return 0;
	return 1 + (rank * (size % 2 ? 2 : 1) + epoch) % size;
}

static bool is_member(const struct job *job, int rank)
{
	return rank > 0 || !job->variant->set;
}

/* The gradient where the weight is w. Of a sparse table every other row, another one on each rank,
 * has none. */
static double gradient(const struct job *job, int rank, int step, int p, int i, double w)
{
	bool rows = p == TABLE && job->variant->options.sparse_widths;
	if (rows && (i / WIDTH + rank) % 2)
		return 0;
	return 0.25 * w + sin(1 + 0.7 * i + 2.1 * rank * (i % 3) + 1.3 * step + p);
}

/* ---- alone ---- */

/* What the step changes in the parameter's weights w. */
static void add_change(const struct job *job, int size, int epoch, int step, int p, double *w)
{
	static double part[MOST][LONGEST];
	struct adasum_vector vectors[MOST] = {0};
	const ronde_reduction reduction = job->variant->options.reduction;
	const int n = lengths[p], first = job->variant->set;
	int present = 0;
	for (int r = first; r < size; r++) {
		bool takes_part = step < samples(job, r, size, epoch);
		present += takes_part;
		for (int i = 0; i < n; i++)
			part[r][i] = takes_part ? -RATE * gradient(job, r, step, p, i, w[i]) : 0;
		vectors[r - first].x = part[r];
	}
	if (reduction == RONDE_ADASUM) { /* a leaf of zeros passes the other one through */
		adasum_reference(vectors, size - first, (size_t)n);
		for (int i = 0; i < n; i++)
			w[i] += part[first][i];
		return;
	}
	int divisor = reduction == RONDE_SUM ? 1 : job->active ? present : size - first;
	for (int i = 0; i < n; i++)
		for (int r = first; r < size; r++)
			w[i] += part[r][i] / divisor;
}

/* ---- on ranks ---- */

struct model {
	double weights[PARAMETERS][LONGEST], gradients[PARAMETERS][LONGEST];
	ronde_parameter list[PARAMETERS];
	int64_t indices[LONGEST]; /* of the table's rows */
	double values[LONGEST];
};

static int update(void *state)
{
	struct model *m = state;
	for (int p = 0; p < PARAMETERS; p++)
		for (int i = 0; i < lengths[p]; i++)
			m->weights[p][i] -= RATE * m->gradients[p][i];
	return 0;
}

static void make_model(struct model *m)
{
	static const char *const names[PARAMETERS] = {"a", "b", "table", "c"};
	for (int p = 0; p < PARAMETERS; p++) {
		m->list[p] = (ronde_parameter){names[p], m->weights[p], m->gradients[p], lengths[p],
					       RONDE_FLOAT64};
		for (int i = 0; i < lengths[p]; i++)
			m->weights[p][i] = 0.5 + p;
	}
}

/* This rank's rows of the table that have a gradient, last one first. */
static void report_rows(ronde_distributed_optimizer *o, struct model *m, int rank)
{
	ronde_sparse_rows rows = {0, WIDTH, m->indices, m->values, RONDE_FLOAT64};
	for (int row = lengths[TABLE] / WIDTH - 1; row >= 0; row--)
		if ((row + rank) % 2 == 0) {
			memcpy(m->values + rows.rows * WIDTH, m->gradients[TABLE] + row * WIDTH,
			       WIDTH * sizeof *m->values);
			m->indices[rows.rows++] = row;
		}
	require_ok(ronde_gradient_ready_sparse(o, TABLE, &rows));
}

static void backward(const struct job *job, ronde_distributed_optimizer *o, struct model *m,
		     int rank, int step)
{
	for (int p = PARAMETERS - 1; p >= 0; p--) {
		for (int i = 0; i < lengths[p]; i++)
			m->gradients[p][i] = gradient(job, rank, step, p, i, m->weights[p][i]);
		if (p == TABLE && job->variant->options.sparse_widths)
			report_rows(o, m, rank);
		else
			require_ok(ronde_gradient_ready(o, (size_t)p));
	}
}

static void compare(const struct job *job, const struct model *m, double (*alone)[LONGEST],
		    const char *when, int epoch)
{
	for (int p = 0; p < PARAMETERS; p++)
		for (int i = 0; i < lengths[p]; i++)
			require(fabs(m->weights[p][i] - alone[p][i]) < 1e-12,
				"%s, divisor %s, %d ranks, epoch %d, %s: %s[%d] is %.17g, not "
				"%.17g",
				job->variant->name, job->active ? "active" : "all", ronde_size(),
				epoch, when, m->list[p].name, i, m->weights[p][i], alone[p][i]);
}

static void train_epoch(const struct job *job, ronde_distributed_optimizer *o, struct model *m,
			double (*alone)[LONGEST], int rank, int size, int epoch)
{
	int mine = samples(job, rank, size, epoch), most = 0, longest = 0, last = -1;
	for (int r = 0; r < size; r++)
		if (samples(job, r, size, epoch) > most)
			most = samples(job, longest = r, size, epoch);
	for (int step = 0; step < mine; step++) {
		backward(job, o, m, rank, step);
		require_ok(ronde_distributed_optimizer_step(o));
	}
	/* Passes when all others have joined, those too that no step of a process set waits for. */
	if (rank == longest)
		require_ok(ronde_barrier());
	require_ok(ronde_join(&last));
	require(last == longest, "epoch %d: rank %d joined last, not %d", epoch, last, longest);
	for (int step = 0; step < most; step++) {
		if (step == mine && is_member(job, rank))
			compare(job, m, alone, "of who has joined", epoch);
		for (int p = 0; p < PARAMETERS; p++)
			add_change(job, size, epoch, step, p, alone[p]);
	}
	if (rank == last)
		compare(job, m, alone, "of the last", epoch);
	require_ok(ronde_broadcast_parameters(m->list, PARAMETERS, last));
	compare(job, m, alone, "of all", epoch);
}

static void train(int rank, int size, const void *arg)
{
	const struct job *job = arg;
	static struct model m;
	static double alone[PARAMETERS][LONGEST];
	ronde_distributed_optimizer_options options = job->variant->options;
	ronde_distributed_optimizer *o = NULL;
	make_model(&m);
	memcpy(alone, m.weights, sizeof alone);
	if (job->variant->set)
		require_ok(ronde_process_set_add((int[]){1, 2, 3, 4}, (size_t)size - 1,
						 &options.process_set));
	if (is_member(job, rank))
		require_ok(ronde_distributed_optimizer_create(&o, update, &m, m.list, PARAMETERS,
							      &options));
	for (int epoch = 0; epoch < EPOCHS; epoch++)
		train_epoch(job, o, &m, alone, rank, size, epoch);
	ronde_distributed_optimizer_destroy(o);
}

/* _i: variant, and divisor. */
START_TEST(uneven_data)
{
	struct job job = {&variants[_i / 2], _i % 2};
	setenv("RONDE_JOIN_DIVISOR", job.active ? "active" : "all", 1);
	for (int n = job.variant->set ? 3 : 1; n <= MOST; n++)
		ck_assert_int_eq(fork_ranks(n, train, &job), 0);
	unsetenv("RONDE_JOIN_DIVISOR");
}
END_TEST

/* ---- weights, objects and state while rank 1 has joined ---- */

static void broadcast_from_who_has_joined(void)
{
	float a[2] = {1, 2};
	int64_t count = 2;
	void *data = a;
	ronde_bytes bytes = {a, sizeof a};
	ronde_parameter list[] = {{"a", a, NULL, 2, RONDE_FLOAT32},
				  {"b", a, NULL, 1, RONDE_FLOAT32}};
	ronde_state_item item = {"momentum", RONDE_FLOAT32, &data, &count};
	require_error(ronde_broadcast_parameters(list, 2, 1), RONDE_ERR_MISMATCH,
		      "tensor \"a\": the root of this broadcast, rank 1, has joined");
	require_error(ronde_broadcast_objects("o", &bytes, 1, 1, 0), RONDE_ERR_MISMATCH,
		      "tensor \"o.length\": the root of this broadcast, rank 1, has joined");
	require_error(ronde_broadcast_objects(NULL, &bytes, 1, 1, 0), RONDE_ERR_MISMATCH,
		      "tensor \"broadcast.noname.0\": the root of this broadcast, rank 1, has "
		      "joined");
	require_error(ronde_broadcast_state("s", &item, 1, 1, NULL), RONDE_ERR_MISMATCH,
		      "tensor \"s.table.length\": the root of this broadcast, rank 1, has joined");
	require(bytes.data == a && data == a && count == 2 && a[0] == 1 && a[1] == 2,
		"something has changed");
}

static void broadcast_from_another(int rank)
{
	float a[2] = {(float)rank, (float)rank};
	int64_t count = rank == 2 ? 2 : 0;
	void *data = NULL;
	double other = 1;
	ronde_parameter list[] = {{"a", a, NULL, 2, RONDE_FLOAT32}};
	require_ok(ronde_broadcast_parameters(list, 1, 2));
	require(a[0] == 2 && a[1] == 2, "weights %g %g", (double)a[0], (double)a[1]);
	ronde_bytes bytes[] = {{NULL, 0}, {a, rank == 2 ? sizeof a : 0}};
	require_ok(ronde_broadcast_objects("o", bytes, 2, 2, 0));
	const float *got = bytes[1].data;
	require(bytes[0].bytes == 0 && bytes[1].bytes == sizeof a && got[0] == 2 && got[1] == 2,
		"objects");
	if (rank != 2)
		free(bytes[1].data);
	if (rank == 2)
		data = a;
	ronde_state_item item = {"momentum", RONDE_FLOAT32, &data, &count};
	require_ok(ronde_broadcast_state("s", &item, 1, 2, NULL));
	got = data;
	require(count == 2 && got[0] == 2 && got[1] == 2, "state");
	if (rank != 2)
		free(data);
	/* Whose list does not fit is told by its own number, whoever has joined. */
	data = rank == 3 ? (void *)&other : (void *)a;
	item.dtype = rank == 3 ? RONDE_FLOAT64 : RONDE_FLOAT32;
	require_error(
		ronde_broadcast_state("s", &item, 1, 2, NULL), RONDE_ERR_MISMATCH,
		"ronde_broadcast_state: item \"momentum\" is float32 on the root, rank 2, and "
		"float64 on rank 3");
}

static void broadcasts(int rank, int size, const void *arg)
{
	(void)arg;
	float one = 1;
	int last;
	if (rank != 1) {
		require_ok(ronde_barrier()); /* rank 1 makes none: it passes once that has joined */
		broadcast_from_who_has_joined();
		broadcast_from_another(rank);
	}
	require_ok(ronde_join(&last));
	require(last != 1, "rank 1 joined last");
	require_ok(ronde_allreduce(NULL, &one, &one, 1, RONDE_FLOAT32, RONDE_SUM));
	require(one == (float)size, "afterwards a sum is %g", (double)one);
}

START_TEST(state_while_one_has_joined)
{
	ck_assert_int_eq(fork_ranks(4, broadcasts, NULL), 0);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{uneven_data, 0, 2 * (int)(sizeof variants / sizeof *variants)},
		{state_while_one_has_joined, ONCE},
	};
	return SUITE_RUN("training_join", 100, tests);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random disagreements: for every operation, what ranks have to agree on differs in one or two
 * ways between two or three parties of ranks: all of them, or those of a process set, or those left
 * when one has joined. All ranks get the same text, which names the tensor,
 * the ranks and what each gave; nothing was written; what else is in flight goes on, and the same
 * name works as soon as all agree. So it is with groups. check_mismatch.c has some by hand, and
 * check_group_mismatch.c what only groups can differ in.
 */
#include <check.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/status.h"
#include "tests/census.h"
#include "tests/disagreements/disagreement.h"
#include "tests/fork_ranks.h"
#include "tests/schedules/block.h"
#include "tests/seed.h"
#include "tests/sizes.h"

#define RANKS_FIRST 2
#define RANKS_LAST DISAGREEMENT_RANKS

/* Of each number of ranks and each cache. */
#define USUAL 100
#define LONG 175

static const char *const caches[] = {"1024", "1", "0"};

/* ---- one rank's part ---- */

struct side {
	const struct port *port;
	void *to;
	int rank;
	uint64_t state; /* its own dice */
};

__attribute__((format(printf, 3, 4), noreturn)) static void
failed(const struct side *side, const struct disagreement *d, const char *format, ...)
{
	va_list arguments;
	fprintf(stderr, "\ndisagreement failed: number %llu, %d ranks, rank %d, wanted: %s\n",
		(unsigned long long)d->seed, d->ranks, side->rank, d->text);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	abort();
}

struct attempt {
	struct block in, out;
	struct buffers buffers;
	ronde_handle handle;
};

static void prepare(struct side *side, const struct op *op, struct attempt *a)
{
	*a = (struct attempt){.handle = 0};
	int member = op_member(op, side->rank);
	uint64_t bytes = op_bytes(op, member);
	bool heap = once_in(&side->state, 2);
	block_make(side->port, side->to, &a->in, heap, 0, bytes);
	block_make(side->port, side->to, &a->out, heap, 0, bytes);
	a->buffers.input = a->in.data;
	a->buffers.output = a->out.data;
	if (op->kind == RONDE_KIND_BROADCAST && op->root != side->rank)
		a->buffers.input = NULL;
}

static void submit(struct side *side, const struct disagreement *d, const struct op *op,
		   struct attempt *a)
{
	int member = op_member(op, side->rank);
	prepare(side, op, a);
	int status = side->port->submit(side->to, op, member, &a->buffers, &a->handle);
	if (status)
		failed(side, d, "submit: %s: %s", ronde_status_name(status), ronde_error_message());
}

static bool untouched(const struct block *b)
{
	for (size_t i = 0; i < b->bytes; i++)
		if (b->data[i] != BLOCK_UNTOUCHED)
			return false;
	return block_guarded(b);
}

static void release(struct side *side, struct attempt *a)
{
	free(a->buffers.gathered.data);
	block_free(side->port, side->to, &a->in);
	block_free(side->port, side->to, &a->out);
}

static void must_disagree(struct side *side, const struct disagreement *d, ronde_handle handle)
{
	int status = side->port->wait(side->to, handle);
	if (status != RONDE_ERR_MISMATCH || strcmp(ronde_error_message(), d->text) != 0)
		failed(side, d, "got %s: %s", ronde_status_name(status),
		       status ? ronde_error_message() : "");
}

static void must_be_untouched(const struct side *side, const struct disagreement *d,
			      const struct attempt *a)
{
	if (!untouched(&a->in) || !untouched(&a->out) || a->buffers.gathered.data)
		failed(side, d, "something was written");
}

static void disagree(struct side *side, const struct disagreement *d)
{
	struct attempt a;
	submit(side, d, &d->parties[d->party[side->rank]], &a);
	must_disagree(side, d, a.handle);
	must_be_untouched(side, d, &a);
	release(side, &a);
}

static void agree(struct side *side, const struct disagreement *d)
{
	struct attempt a;
	submit(side, d, &d->parties[0], &a);
	int status = side->port->wait(side->to, a.handle);
	if (status)
		failed(side, d, "agreeing: %s: %s", ronde_status_name(status),
		       ronde_error_message());
	release(side, &a);
}

static void check(const struct side *side, const struct disagreement *d, int status,
		  const char *what)
{
	if (status)
		failed(side, d, "%s: %s: %s", what, ronde_status_name(status),
		       ronde_error_message());
}

static void take_part(struct side *side, uint64_t seed, int ranks)
{
	static const char good[] = "fine";
	struct disagreement d;
	struct op op = {.kind = RONDE_KIND_ALLREDUCE,
			.name = (char *)good,
			.dtype = RONDE_INT32,
			.reduction = RONDE_SUM,
			.prescale = 1,
			.postscale = 1,
			.ndim = 1,
			.dims = {1},
			.count = 1};
	int32_t one = side->rank + 1, sum = 0, last;
	struct buffers buffers = {.input = &one, .output = &sum};
	ronde_handle handle;
	make_disagreement(seed, ranks, &d);
	if (once_in(&side->state, 3))
		sched_yield();
	check(side, &d, side->port->submit(side->to, &op, side->rank, &buffers, &handle), good);
	if (d.party[side->rank] >= 0)
		disagree(side, &d);
	if (d.joins >= 0)
		check(side, &d, side->port->join(side->to, &last), "join");
	check(side, &d, side->port->wait(side->to, handle), good);
	if (sum != ranks * (ranks + 1) / 2)
		failed(side, &d, "another tensor: %d", sum);
	if (op_member(&d.parties[0], side->rank) >= 0)
		agree(side, &d);
}

/* ---- the same of groups: about the first tensor; nothing of the others is written either ---- */

#define GROUP 3

static void submit_group(struct side *side, const struct disagreement *d, const char *name,
			 const struct op *first, struct attempt *all)
{
	struct op other = {.kind = first->kind,
			   .set = first->set,
			   .dtype = RONDE_FLOAT32,
			   .reduction = first->reduction,
			   .prescale = first->prescale,
			   .postscale = first->postscale,
			   .ndim = 1,
			   .dims = {4},
			   .count = 4,
			   .columns = 1};
	const struct op *ops[GROUP] = {first, &other, &other};
	struct buffers *buffers[GROUP];
	int member = op_member(first, side->rank);
	for (int m = 0; m < RANKS_MAX; m++)
		other.rows[m] = m;
	for (int i = 0; i < GROUP; i++) {
		prepare(side, ops[i], &all[i]);
		buffers[i] = &all[i].buffers;
	}
	check(side, d,
	      side->port->submit_group(side->to, name, ops, GROUP, member, buffers, &all[0].handle),
	      "submit a group");
}

/* None about broadcasts and alltoalls, of which there are no groups. */
static void disagree_in_group(struct side *side, uint64_t seed, int ranks)
{
	struct attempt all[GROUP];
	struct disagreement d;
	char name[sizeof d.name];
	uint64_t other = ~seed;
	do
		make_disagreement(next_random(&other), ranks, &d);
	while (d.joins >= 0 || d.parties[0].kind == RONDE_KIND_BROADCAST ||
	       d.parties[0].kind == RONDE_KIND_ALLTOALL);
	snprintf(name, sizeof name, "%s", d.name);
	snprintf(d.name, sizeof d.name, "%.60s_1of%d", name, GROUP);
	say_all(&d);
	if (d.party[side->rank] < 0)
		return;
	submit_group(side, &d, name, &d.parties[d.party[side->rank]], all);
	must_disagree(side, &d, all[0].handle);
	for (int i = 0; i < GROUP; i++) {
		must_be_untouched(side, &d, &all[i]);
		release(side, &all[i]);
	}
	submit_group(side, &d, name, &d.parties[0], all);
	check(side, &d, side->port->wait(side->to, all[0].handle), "agreeing");
	for (int i = 0; i < GROUP; i++)
		release(side, &all[i]);
}

static void make_sets(const struct side *side, int ranks)
{
	for (int i = 0; i < DISAGREEMENT_SETS && disagreement_sets[ranks][i].n; i++) {
		const struct op_set *set = &disagreement_sets[ranks][i];
		int number = 0;
		must(side->port->add_set(side->to, set->ranks, (size_t)set->n, &number), "add");
		if (number != set->number)
			abort();
	}
}

/* ---- what only ronde.h has ---- */

/* One of an alltoall's splits too few or too many: that rank alone is told, at once. */
static void miscount_splits(const struct side *side, uint64_t seed, int ranks)
{
	const int64_t splits[RANKS_MAX + 1] = {0}, shape[] = {0};
	uint64_t state = seed;
	int given = once_in(&state, 2) ? ranks - 1 : ranks + 1;
	char text[200];
	ronde_gathered output = {0};
	ronde_handle handle = 0;
	snprintf(text, sizeof text,
		 "ronde_alltoall_async: tensor \"few\": there are %d splits for %d members", given,
		 ranks);
	if (below(&state, (uint64_t)ranks) == (uint64_t)side->rank)
		require_error(ronde_alltoall_async("few", NULL, shape, 1, RONDE_INT8, splits, given,
						   &output, NULL, &handle),
			      RONDE_ERR_INVALID_ARGUMENT, text);
	require_ok(ronde_alltoall("few", NULL, shape, 1, RONDE_INT8, splits, ranks, &output));
	free(output.data);
}

/* Sparse tensors of other widths or types: it is their values that do not fit. */
static void disagree_sparsely(const struct side *side, uint64_t seed, int ranks)
{
	static const int64_t index[1];
	static const double row[8];
	struct disagreement d = {.ranks = ranks, .joins = -1, .name = "rows.rows_2of2"};
	uint64_t state = seed;
	do {
		for (int i = 0; i < PARTIES; i++) {
			d.parties[i] = (struct op){.kind = RONDE_KIND_ALLGATHER, .ndim = 2};
			d.parties[i].dtype = (ronde_dtype)below(&state, RONDE_DTYPE_COUNT);
			d.parties[i].dims[1] = (int64_t)below(&state, 9);
		}
		choose_parties(&state, &d);
	} while (!say_all(&d));
	const struct op *mine = &d.parties[d.party[side->rank]];
	const ronde_sparse_rows rows = {1, mine->dims[1], index, row, mine->dtype};
	ronde_sparse sparse = {0};
	require_error(ronde_sparse_allreduce("rows", &rows, RONDE_SUM, NULL, &sparse),
		      RONDE_ERR_MISMATCH, d.text);
	require(!sparse.values.data && !sparse.indices.data, "memory is left");
	const ronde_sparse_rows agreed = {1, 1, index, row, RONDE_FLOAT64};
	sparse = (ronde_sparse){0};
	require_ok(ronde_sparse_allreduce("rows", &agreed, RONDE_SUM, NULL, &sparse));
	require(sparse.result.rows == ranks, "%d rows", (int)sparse.result.rows);
	free(sparse.values.data);
	free(sparse.indices.data);
}

/* ---- ranks as threads and as processes ---- */

struct plan {
	uint64_t seed;
	int cases;
};

static void thread_body(struct rank *r)
{
	const struct plan *plan = r->arg;
	struct side side = {&port_context, r, r->rank, plan->seed + (uint64_t)r->rank};
	make_sets(&side, r->size);
	for (int i = 0; i < plan->cases; i++) {
		take_part(&side, plan->seed + (uint64_t)i, r->size);
		disagree_in_group(&side, plan->seed + (uint64_t)i, r->size);
	}
	must(barrier(r), "barrier"); /* others may have a case of their own set left */
}

static void process_body(int rank, int size, const void *arg)
{
	const struct plan *plan = arg;
	struct side side = {&port_public, NULL, rank, plan->seed + (uint64_t)rank};
	make_sets(&side, size);
	for (int i = 0; i < plan->cases; i++) {
		take_part(&side, plan->seed + (uint64_t)i, size);
		disagree_in_group(&side, plan->seed + (uint64_t)i, size);
		miscount_splits(&side, plan->seed + (uint64_t)i, size);
		disagree_sparsely(&side, plan->seed + (uint64_t)i, size);
	}
}

static struct plan make_plan(int ranks)
{
	struct plan plan = {.seed = test_seed() * 1000003 + (uint64_t)ranks * 100000,
			    .cases = test_is_long() ? LONG : test_turns(USUAL)};
	return plan;
}

static void report(int ranks, const char *as, int times, const struct plan *plan)
{
	char where[40];
	snprintf(where, sizeof where, "%d ranks as %s", ranks, as);
	report_census("disagreements", where, 2L * plan->cases * times, 2L * LONG * times,
		      "random mismatches, half of them in groups");
}

START_TEST(threads)
{
	struct plan plan = make_plan(_i);
	for (size_t k = 0; k < sizeof caches / sizeof *caches; k++) {
		const char *const settings[] = {"cache_capacity", caches[k], NULL};
		run_ranks(_i, settings, thread_body, &plan);
		plan.seed += (uint64_t)plan.cases;
	}
	report(_i, "threads", (int)(sizeof caches / sizeof *caches), &plan);
}
END_TEST

START_TEST(processes)
{
	struct plan plan = make_plan(_i + RANKS_MAX);
	ck_assert_int_eq(fork_ranks(_i, process_body, &plan), 0);
	report(_i, "processes", 1, &plan);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("disagreements");
	TCase *tests = tcase_create("disagreements");
	tcase_set_timeout(tests, test_is_long() ? 0 : 60);
	tcase_add_loop_test(tests, threads, RANKS_FIRST, RANKS_LAST + 1);
	tcase_add_loop_test(tests, processes, RANKS_FIRST, RANKS_LAST + 1);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random disagreements: for every operation, what ranks have to agree on differs in one or two
 * ways between two or three parties of ranks. All ranks get the same text, which names the tensor,
 * the ranks and what each gave; nothing was written; what else is in flight goes on, and the same
 * name works as soon as all agree. check_mismatch.c has some by hand.
 */
#include <check.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/status.h"
#include "tests/fork_ranks.h"
#include "tests/rounding.h"
#include "tests/schedules/block.h"
#include "tests/seed.h"
#include "tests/sizes.h"

#define RANKS_FIRST 2
#define RANKS_LAST 5
#define PARTIES 3

/* Of each number of ranks and each cache. */
#define USUAL 25
#define LONG 175

static const char *const caches[] = {"1024", "1", "0"};

/* What each rank gives. The same on all ranks, out of a seed. */
struct disagreement {
	uint64_t seed;
	int ranks;
	struct op parties[PARTIES];
	int party[RANKS_MAX];
	char name[80];
	char text[RONDE_ERROR_BYTES];
};

/* ---- what differs ---- */

static bool reduces(const struct op *op)
{
	return op->kind == RONDE_KIND_ALLREDUCE || op->kind == RONDE_KIND_REDUCESCATTER;
}

/* The first extent that all must agree on. */
static int first_common(const struct op *op)
{
	return op_has_own_rows(op);
}

static void count_elements(struct op *op)
{
	op->columns = 1;
	for (int i = 1; i < op->ndim; i++)
		op->columns *= op->dims[i];
	op->count = op->ndim ? op->dims[0] * op->columns : 1;
}

/* There is an adasum of some floats' allreduce only. */
static void be_valid(struct op *op)
{
	bool real = is_real(op->dtype);
	if (op->reduction == RONDE_ADASUM && (op->kind != RONDE_KIND_ALLREDUCE || !real))
		op->reduction = RONDE_SUM;
	count_elements(op);
}

static void make_first(uint64_t *state, int ranks, struct op *op)
{
	static const enum ronde_kind kinds[] = {RONDE_KIND_ALLREDUCE, RONDE_KIND_BROADCAST,
						RONDE_KIND_ALLGATHER, RONDE_KIND_REDUCESCATTER,
						RONDE_KIND_ALLTOALL};
	op->kind = kinds[below(state, sizeof kinds / sizeof *kinds)];
	op->dtype = (ronde_dtype)below(state, RONDE_DTYPE_COUNT);
	op->prescale = op->postscale = 1;
	if (reduces(op)) {
		op->reduction = (ronde_reduction)below(state, RONDE_REDUCTION_COUNT);
		op->prescale = once_in(state, 3) ? 0.1 : 1;
	}
	if (op->kind == RONDE_KIND_BROADCAST)
		op->root = (int)below(state, (uint64_t)ranks);
	bool has_rows = op->kind != RONDE_KIND_ALLREDUCE && op->kind != RONDE_KIND_BROADCAST;
	op->ndim = has_rows ? 1 + (int)below(state, 4) : (int)below(state, 5);
	for (int i = 0; i < op->ndim; i++)
		op->dims[i] = (int64_t)below(state, 9);
	for (int r = 0; r < ranks; r++) { /* of an alltoall they are what the splits take */
		for (int m = 0; m < ranks; m++)
			op->splits[r][m] = (int64_t)below(state, 4);
		for (int m = 0; m < ranks; m++)
			op->rows[r] += op->splits[r][m];
	}
	be_valid(op);
}

static void change_shape(uint64_t *state, struct op *op)
{
	int first = first_common(op);
	if (op->ndim <= first || once_in(state, 3))
		op->dims[op->ndim++] = 1 + (int64_t)below(state, 3);
	else if (op->ndim > 1 && once_in(state, 3))
		op->dims[--op->ndim] = 0;
	else
		op->dims[first + (int)below(state, (uint64_t)(op->ndim - first))] +=
			1 + (int64_t)below(state, 4);
}

static void change(uint64_t *state, int ranks, struct op *op)
{
	switch (below(state, 6)) {
	case 0:
		op->dtype = (ronde_dtype)below(state, RONDE_DTYPE_COUNT);
		break;
	case 1:
		change_shape(state, op);
		break;
	case 2:
		if (reduces(op))
			op->reduction = (ronde_reduction)below(state, RONDE_REDUCTION_COUNT);
		break;
	case 3:
		if (reduces(op))
			op->prescale += 1.0 / (1 + (double)below(state, 9));
		break;
	case 4:
		if (reduces(op))
			op->postscale *= -0.3;
		break;
	default:
		if (op->kind == RONDE_KIND_BROADCAST)
			op->root = (int)below(state, (uint64_t)ranks);
	}
	be_valid(op);
}

/* ---- what is said of it ---- */

typedef void (*say_fn)(const struct op *op, char *text, size_t bytes);

static void say_shape(const struct op *op, char *text, size_t bytes)
{
	size_t n = (size_t)snprintf(text, bytes, "%s[", ronde_dtype_name(op->dtype));
	for (int i = 0; i < op->ndim; i++) {
		if (i < first_common(op))
			n += (size_t)snprintf(text + n, bytes - n, "*");
		else
			n += (size_t)snprintf(text + n, bytes - n, "%s%lld", i ? "," : "",
					      (long long)op->dims[i]);
	}
	snprintf(text + n, bytes - n, "]");
}

static void say_reduction(const struct op *op, char *text, size_t bytes)
{
	snprintf(text, bytes, "reduction %s", ronde_reduction_name(op->reduction));
}

static void say_root(const struct op *op, char *text, size_t bytes)
{
	snprintf(text, bytes, "root rank %d", op->root);
}

static void say_scales(const struct op *op, char *text, size_t bytes)
{
	snprintf(text, bytes, "prescale %.17g and postscale %.17g", op->prescale, op->postscale);
}

/* One thing is told at a time, in this order. */
static const say_fn sayings[] = {say_shape, say_reduction, say_root, say_scales};
#define SAYINGS ((int)(sizeof sayings / sizeof *sayings))
#define SAID 200

/* "ranks 0-2, 4": those that said the same as rank `first`. */
static void list_ranks(char (*said)[SAID], int ranks, int first, char *text, size_t bytes)
{
	int n = 0, used = 0;
	for (int r = 0; r < ranks; r++)
		n += strcmp(said[r], said[first]) == 0;
	used = snprintf(text, bytes, n == 1 ? "rank" : "ranks");
	const char *separator = " ";
	for (int r = 0; r < ranks; r++) {
		int last = r;
		if (strcmp(said[r], said[first]) != 0)
			continue;
		while (last + 1 < ranks && strcmp(said[last + 1], said[first]) == 0)
			last++;
		used += snprintf(text + used, bytes - (size_t)used, "%s%d", separator, r);
		if (last > r)
			used += snprintf(text + used, bytes - (size_t)used, "-%d", last);
		separator = ", ";
		r = last;
	}
}

/* False: they agree after all. */
static bool say_all(struct disagreement *d)
{
	char said[RANKS_MAX][SAID], who[100];
	bool differ = false;
	for (int k = 0; k < SAYINGS && !differ; k++)
		for (int r = 0; r < d->ranks; r++) {
			sayings[k](&d->parties[d->party[r]], said[r], SAID);
			differ |= strcmp(said[r], said[0]) != 0;
		}
	size_t n = (size_t)snprintf(d->text, sizeof d->text, "tensor \"%s\": ", d->name);
	for (int r = 0; r < d->ranks; r++) {
		bool is_first = true;
		for (int k = 0; k < r; k++)
			is_first &= strcmp(said[k], said[r]) != 0;
		if (!is_first)
			continue;
		list_ranks(said, d->ranks, r, who, sizeof who);
		n += (size_t)snprintf(d->text + n, sizeof d->text - n, "%s%s submitted %s",
				      r ? ", " : "", who, said[r]);
	}
	snprintf(d->text + n, sizeof d->text - n, "; all ranks must give the same to one %s",
		 ronde_kind_name(d->parties[0].kind));
	return differ;
}

static void make_name(uint64_t *state, char *name)
{
	static const char *const parts[] = {"layer", ".", "\"", "%s", "é", "/w", "7", " ", "\\"};
	name[0] = 0;
	for (uint64_t n = 1 + below(state, 12); n > 0; n--)
		strcat(name, parts[below(state, sizeof parts / sizeof *parts)]);
}

static void make_disagreement(uint64_t seed, int ranks, struct disagreement *d)
{
	uint64_t state = seed;
	do {
		memset(d, 0, sizeof *d);
		d->seed = seed;
		d->ranks = ranks;
		make_name(&state, d->name);
		make_first(&state, ranks, &d->parties[0]);
		for (int i = 1; i < PARTIES; i++) {
			d->parties[i] = d->parties[0];
			for (uint64_t n = 1 + below(&state, 3); n > 0; n--)
				change(&state, ranks, &d->parties[i]);
		}
		for (int i = 0; i < PARTIES; i++)
			d->parties[i].name = d->name;
		for (int r = 0; r < ranks; r++)
			d->party[r] = (int)below(&state, PARTIES);
	} while (!say_all(d));
}

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

static void submit(struct side *side, const struct disagreement *d, const struct op *op,
		   struct attempt *a)
{
	*a = (struct attempt){.handle = 0};
	uint64_t bytes = op_bytes(op, side->rank);
	bool heap = once_in(&side->state, 2);
	block_make(side->port, side->to, &a->in, heap, 0, bytes);
	block_make(side->port, side->to, &a->out, heap, 0, bytes);
	a->buffers.input = a->in.data;
	a->buffers.output = a->out.data;
	if (op->kind == RONDE_KIND_BROADCAST && op->root != side->rank)
		a->buffers.input = NULL;
	int status = side->port->submit(side->to, op, side->rank, &a->buffers, &a->handle);
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

static void disagree(struct side *side, const struct disagreement *d)
{
	struct attempt a;
	submit(side, d, &d->parties[d->party[side->rank]], &a);
	int status = side->port->wait(side->to, a.handle);
	if (status != RONDE_ERR_MISMATCH || strcmp(ronde_error_message(), d->text) != 0)
		failed(side, d, "got %s: %s", ronde_status_name(status),
		       status ? ronde_error_message() : "");
	if (!untouched(&a.in) || !untouched(&a.out) || a.buffers.gathered.data)
		failed(side, d, "something was written");
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
	int32_t one = side->rank + 1, sum = 0;
	struct buffers buffers = {.input = &one, .output = &sum};
	ronde_handle handle;
	make_disagreement(seed, ranks, &d);
	if (once_in(&side->state, 3))
		sched_yield();
	int status = side->port->submit(side->to, &op, side->rank, &buffers, &handle);
	disagree(side, &d);
	status = status ? status : side->port->wait(side->to, handle);
	if (status || sum != ranks * (ranks + 1) / 2)
		failed(side, &d, "another tensor: %s, %d", ronde_status_name(status), sum);
	agree(side, &d);
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
	for (int i = 0; i < plan->cases; i++)
		take_part(&side, plan->seed + (uint64_t)i, r->size);
}

static void process_body(int rank, int size, const void *arg)
{
	const struct plan *plan = arg;
	struct side side = {&port_public, NULL, rank, plan->seed + (uint64_t)rank};
	for (int i = 0; i < plan->cases; i++)
		take_part(&side, plan->seed + (uint64_t)i, size);
}

static struct plan make_plan(int ranks)
{
	struct plan plan = {.seed = test_seed() * 1000003 + (uint64_t)ranks * 100000,
			    .cases = test_is_long() ? LONG : test_turns(USUAL)};
	return plan;
}

START_TEST(threads)
{
	struct plan plan = make_plan(_i);
	for (size_t k = 0; k < sizeof caches / sizeof *caches; k++) {
		const char *const settings[] = {"cache_capacity", caches[k], NULL};
		run_ranks(_i, settings, thread_body, &plan);
		plan.seed += (uint64_t)plan.cases;
	}
	printf("%d ranks: %d disagreements\n", _i,
	       plan.cases * (int)(sizeof caches / sizeof *caches));
}
END_TEST

START_TEST(processes)
{
	struct plan plan = make_plan(_i + RANKS_MAX);
	ck_assert_int_eq(fork_ranks(_i, process_body, &plan), 0);
	printf("%d ranks as processes: %d disagreements\n", _i, plan.cases);
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

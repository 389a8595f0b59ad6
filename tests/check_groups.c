/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups through contexts: results as of single tensors; none starts before all are there; what
 * ranks disagree about fails them all, on all ranks, and nothing else.
 */
#include <check.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/share.h"
#include "collectives/status.h"
#include "coordinator/take.h"
#include "tests/ranks.h"
#include "tests/rounding.h"
#include "tests/schedules/values.h"
#include "tests/sizes.h"

static const int worlds[] = {1, 2, 3, 4, 5, 8};
#define WORLDS ((int)(sizeof worlds / sizeof *worlds))
#define MOST 500

/* One tensor of a group, as on this rank. */
struct tensor {
	struct ronde_submission submission;
	bool heap;
	unsigned char *in, *out, *expected;
	size_t bytes;
	ronde_gathered gathered;
};

static void *get(struct rank *r, bool heap, size_t bytes)
{
	return heap ? ronde_heap_alloc(r->heap, bytes + 1) : malloc(bytes + 1);
}

static void put(struct rank *r, bool heap, void *memory)
{
	if (heap)
		must(ronde_heap_free(r->heap, memory), "free");
	else
		free(memory);
}

/* So many tensors behind each other have every type and reduction. */
#define COMBINATIONS (RONDE_DTYPE_COUNT * RONDE_REDUCTION_COUNT)

/* The i-th tensor: empty, riding or large, in heap or ordinary memory. */
static void make_as(struct rank *r, struct tensor *t, enum ronde_kind kind, int i,
		    ronde_dtype dtype, ronde_reduction reduction)
{
	static const int64_t rows[] = {3, 0, 1, 1000, 17, 5000, 2, 64};
	int64_t n = rows[i % 8] + (i / 8) % 3, columns = i % 4 == 3 ? 3 : 1;
	if (i >= COMBINATIONS) /* of very many only the first are large */
		n %= 997;
	unsigned char period[PERIOD * 8];
	uint64_t state = (uint64_t)(r->rank * 1000 + i);
	memset(t, 0, sizeof *t);
	t->heap = i % 3 == 1;
	t->bytes = (size_t)(n * columns) * ronde_dtype_bytes(dtype);
	t->in = get(r, t->heap, t->bytes);
	t->out = get(r, t->heap, t->bytes);
	t->expected = calloc(1, t->bytes + 1);
	make_period(&state, dtype, false, period);
	spread(t->in, t->bytes, period, ronde_dtype_bytes(dtype));
	memset(t->out, 0xee, t->bytes);
	t->submission = (struct ronde_submission){
		.input = t->in,
		.output = t->out,
		.count = (uint64_t)(n * columns),
		.rows = n,
		.desc = {.kind = (uint8_t)kind,
			 .dtype = (uint8_t)dtype,
			 .reduction = kind == RONDE_KIND_ALLGATHER ? 0 : (uint8_t)reduction,
			 .ndim = 2,
			 .prescale = 1,
			 .postscale = 1,
			 .dims = {kind == RONDE_KIND_ALLGATHER ? 0 : n, columns}}};
	if (kind == RONDE_KIND_ALLGATHER) {
		t->submission.output = NULL;
		t->submission.gathered = &t->gathered;
	}
}

/* Of any type and reduction. */
static void make(struct rank *r, struct tensor *t, enum ronde_kind kind, int i)
{
	ronde_dtype dtype = (ronde_dtype)(i % RONDE_DTYPE_COUNT);
	ronde_reduction reduction =
		(ronde_reduction)((i / RONDE_DTYPE_COUNT + i) % RONDE_REDUCTION_COUNT);
	if (reduction == RONDE_ADASUM && (kind != RONDE_KIND_ALLREDUCE || !is_real(dtype)))
		reduction = RONDE_SUM;
	make_as(r, t, kind, i, dtype, reduction);
}

static void drop(struct rank *r, struct tensor *t)
{
	put(r, t->heap, t->in);
	put(r, t->heap, t->out);
	free(t->expected);
	free(t->gathered.data);
}

static int submit_group(struct rank *r, const char *name, struct tensor *tensors, int n,
			ronde_handle *handle)
{
	struct ronde_submission *all = malloc((size_t)n * sizeof *all);
	for (int i = 0; i < n; i++)
		all[i] = tensors[i].submission;
	int status = ronde_submit_group(r->context, name, all, (uint32_t)n, handle);
	free(all);
	return status;
}

/* Submits a group of n first tensors and waits. */
static int group_of(struct rank *r, const char *name, struct tensor *tensors, int n)
{
	ronde_handle h;
	int status = submit_group(r, name, tensors, n, &h);
	return status ? status : wait_for(r, h);
}

/* ---- results ---- */

static size_t result_bytes(const struct rank *r, const struct tensor *t)
{
	const struct ronde_desc *d = &t->submission.desc;
	if (d->kind == RONDE_KIND_ALLGATHER)
		return t->bytes * (size_t)r->size;
	if (d->kind == RONDE_KIND_ALLREDUCE)
		return t->bytes;
	return ronde_share_bytes((uint64_t)d->dims[0], ronde_desc_row_bytes(d), r->size, r->rank)
		.count;
}

static const unsigned char *result(const struct tensor *t)
{
	return t->gathered.data ? t->gathered.data : t->out;
}

/* The result of a single operation, kept, and the place of the result spoilt. */
static void expect_single(struct rank *r, struct tensor *t)
{
	ronde_handle h;
	must(ronde_submit(r->context, &t->submission, &h), "single");
	must(wait_for(r, h), "single");
	size_t bytes = result_bytes(r, t);
	t->expected = realloc(t->expected, bytes + 1);
	memcpy(t->expected, result(t), bytes);
	memset(t->out, 0xee, t->bytes);
	free(t->gathered.data);
	t->gathered = (ronde_gathered){0};
}

static int wrong(struct rank *r, struct tensor *t, int n)
{
	int bad = 0;
	for (int i = 0; i < n; i++) {
		bad += memcmp(result(&t[i]), t[i].expected, result_bytes(r, &t[i])) != 0;
		memset(t[i].out, 0xee, t[i].bytes);
		free(t[i].gathered.data);
		t[i].gathered = (ronde_gathered){0};
	}
	return bad;
}

static const enum ronde_kind kinds[] = {RONDE_KIND_ALLREDUCE, RONDE_KIND_REDUCESCATTER,
					RONDE_KIND_ALLGATHER};
#define KINDS 3

struct job {
	enum ronde_kind kind;
	int n, first; /* the first tensor's number */
};

/* Named and unnamed, the second and third time by slots, several groups in flight, and singles
 * between them. */
static void results_body(struct rank *r)
{
	const struct job *job = r->arg;
	int n = job->n, bad = 0;
	struct tensor *a = calloc((size_t)n, sizeof *a), *b = calloc((size_t)n, sizeof *b), single;
	for (int i = 0; i < n; i++) {
		make(r, &a[i], job->kind, job->first + i);
		make(r, &b[i], job->kind, job->first + i + 3);
		expect_single(r, &a[i]);
		expect_single(r, &b[i]);
	}
	make(r, &single, job->kind, 3);
	expect_single(r, &single);
	single.submission.name = "single";
	for (int round = 0; round < 3; round++) {
		ronde_handle h[3];
		bool swap = r->rank % 2; /* each rank in an order of its own */
		must(submit_group(r, swap ? NULL : "g", swap ? b : a, n, &h[swap]), "group");
		must(ronde_submit(r->context, &single.submission, &h[2]), "single");
		must(submit_group(r, swap ? "g" : NULL, swap ? a : b, n, &h[!swap]), "group");
		for (int i = 0; i < 3; i++)
			must(wait_for(r, h[i]), "group");
		bad += wrong(r, a, n) + wrong(r, b, n) + wrong(r, &single, 1);
	}
	ck_assert_int_eq(bad, 0);
	drop(r, &single);
	for (int i = 0; i < n; i++) {
		drop(r, &a[i]);
		drop(r, &b[i]);
	}
	free(a);
	free(b);
}

static const char *const settings[][7] = {
	{NULL},
	{"carry_bytes", "0", "zero_copy", "no", NULL},
	{"cache_capacity", "0", NULL},
	{"cache_capacity", "7", "disable_group_fusion", "yes", NULL},
	{"ring_bytes", "16K", "carry_bytes", "1K", "fusion_threshold", "4K", NULL},
};
#define SETTINGS ((int)(sizeof settings / sizeof *settings))

START_TEST(results)
{
	int number = _i * test_stride(), world = worlds[number / SETTINGS];
	for (int k = 0; k < KINDS; k++) {
		int n = kinds[k] == RONDE_KIND_ALLGATHER ? 9 : 30;
		struct job job = {kinds[k], n, number * n % COMBINATIONS};
		run_ranks(world, settings[number % SETTINGS], results_body, &job);
	}
}
END_TEST

/* From one tensor to more than a ring, an entry or the cache has room for. */
START_TEST(sizes)
{
	static const int counts[] = {1, 2, 161, MOST};
	struct job job = {RONDE_KIND_ALLREDUCE, counts[_i], 0};
	run_ranks(3, NULL, results_body, &job);
	run_ranks(2, settings[4], results_body, &job);
	if (counts[_i] < MOST || test_is_long())
		run_ranks(4, settings[3], results_body, &job);
}
END_TEST

/* ---- atomicity ---- */

#define FIVE 5

/* One tensor of a group alone, as if its rank had not got further. */
static void submit_member(struct rank *r, struct tensor *t, const char *name, uint32_t i,
			  ronde_handle *handle)
{
	struct ronde_submissions *s = &r->context->submissions;
	struct ronde_request *request;
	struct ronde_process_set *set;
	t->submission.name = name;
	t->submission.desc.members = FIVE;
	pthread_mutex_lock(&s->lock);
	must(ronde_take_open(r->context, 0, &set), "set");
	must(ronde_take(r->context, set, &t->submission, ronde_ordinal(0, i), &request), "member");
	*handle = ronde_request_handle(request);
	ronde_submit_announce(r->context, request, false);
}

struct lateness {
	enum ronde_kind kind;
	bool named;
};

/* The last rank is late with the last tensor: single ones go by, of the group none has started. */
static void late_body(struct rank *r)
{
	static const char *const names[] = {"g_1of5", "g_2of5", "g_3of5", "g_4of5", "g_5of5"};
	const struct lateness *how = r->arg;
	bool named = how->named, late = r->rank == r->size - 1;
	struct tensor t[FIVE], single;
	ronde_handle h[FIVE] = {0};
	int touched = 0, done = 0;
	for (int i = 0; i < FIVE; i++) {
		make(r, &t[i], how->kind, i + 2);
		t[i].submission.name = "alone"; /* or it would count as unnamed */
		expect_single(r, &t[i]);
		t[i].submission.name = NULL;
	}
	make(r, &single, RONDE_KIND_ALLREDUCE, 3);
	single.submission.name = "single";
	if (!late)
		must(submit_group(r, named ? "g" : NULL, t, FIVE, &h[0]), "group");
	for (int i = 0; late && i < FIVE - 1; i++)
		submit_member(r, &t[i], named ? names[i] : NULL, (uint32_t)i, &h[i]);
	for (int round = 0; round < 2 + test_turns(18); round++) {
		ronde_handle one;
		must(ronde_submit(r->context, &single.submission, &one), "single");
		must(wait_for(r, one), "single");
		must(barrier(r), "barrier");
	}
	for (int i = 0; i < FIVE; i++) {
		touched += t[i].gathered.data != NULL;
		for (size_t k = 0; k < t[i].bytes; k++)
			touched += t[i].out[k] != 0xee;
	}
	for (int i = 0; i < (late ? FIVE - 1 : 1); i++) {
		enum ronde_request_state state;
		ck_assert(ronde_request_find(&r->context->submissions.pool, h[i], &state) != NULL);
		done += state == RONDE_REQUEST_DONE;
	}
	ck_assert_int_eq(touched + done, 0);
	must(barrier(r), "barrier");
	if (late)
		submit_member(r, &t[FIVE - 1], named ? names[FIVE - 1] : NULL, FIVE - 1,
			      &h[FIVE - 1]);
	for (int i = 0; i < (late ? FIVE : 1); i++)
		must(wait_for(r, h[i]), "group");
	ck_assert_int_eq(wrong(r, t, FIVE), 0);
	for (int i = 0; i < FIVE; i++)
		drop(r, &t[i]);
	drop(r, &single);
}

START_TEST(late)
{
	for (int i = 0; i < 2 * KINDS; i++) {
		struct lateness how = {kinds[i / 2], i % 2};
		bool both = test_stride() == 1; /* else one of two, each in half of the worlds */
		if (both || (i / 2 + i + _i) % 2)
			run_ranks(worlds[_i], NULL, late_body, &how);
		if (both || (i / 2 + i + _i) % 2 == 0)
			run_ranks(worlds[_i], settings[1], late_body, &how);
	}
}
END_TEST

/* ---- ranks that disagree ---- */

enum fault { MEMBER, NUMBER, ALONE };

struct fault_case {
	enum fault fault;
	bool named;
	const char *text;
};

static const struct fault_case faults[] = {
	{MEMBER, true,
	 "tensor \"g_2of3\": ranks 0, 2 submitted float32[1,1], rank 1 submitted int32[1,1]; all "
	 "ranks must give the same to one allreduce"},
	{MEMBER, false,
	 "tensor \"allreduce.noname.0_2of3\": ranks 0, 2 submitted float32[1,1], rank 1 submitted "
	 "int32[1,1]; all ranks must give the same to one allreduce"},
	{NUMBER, true,
	 "group \"g\": ranks 0, 2 submitted a group of 3, rank 1 submitted a group of 5; all ranks "
	 "must give the same to one allreduce"},
	{NUMBER, false,
	 "group \"allreduce.noname.0\": ranks 0, 2 submitted a group of 3, rank 1 submitted a "
	 "group "
	 "of 5; all ranks must give the same to one allreduce"},
	{ALONE, true,
	 "tensor \"g_1of3\": ranks 0, 2 submitted a group of 3, rank 1 submitted a tensor of no "
	 "group; all ranks must give the same to one allreduce"},
	{ALONE, false,
	 "group \"allreduce.noname.0\": ranks 0, 2 submitted a group of 3, rank 1 submitted a "
	 "tensor of no group; all ranks must give the same to one allreduce"},
};
#define FAULTS ((int)(sizeof faults / sizeof *faults))

/* What rank 1 does instead of submitting the group of three. */
static void submit_odd(struct rank *r, const struct fault_case *f, struct tensor *t)
{
	static const char *const names[] = {"g_1of3", "g_2of3", "g_3of3"};
	ronde_handle h[3];
	if (f->fault == MEMBER) {
		t[1].submission.desc.dtype = RONDE_INT32;
		ck_assert_int_eq(group_of(r, f->named ? "g" : NULL, t, 3), RONDE_ERR_MISMATCH);
		t[1].submission.desc.dtype = RONDE_FLOAT32;
	} else if (f->fault == NUMBER) {
		ck_assert_int_eq(group_of(r, f->named ? "g" : NULL, t, 5), RONDE_ERR_MISMATCH);
	} else {
		int n = f->named ? 3 : 1;
		for (int i = 0; i < n; i++) {
			t[i].submission.name = f->named ? names[i] : NULL;
			must(ronde_submit(r->context, &t[i].submission, &h[i]), "single");
			t[i].submission.name = NULL;
		}
		for (int i = n; i-- > 0;)
			ck_assert_int_eq(wait_for(r, h[i]), RONDE_ERR_MISMATCH);
	}
}

static void fault_body(struct rank *r)
{
	const struct fault_case *f = r->arg;
	struct tensor t[5];
	int bad = 0;
	for (int i = 0; i < 5; i++) {
		make_as(r, &t[i], RONDE_KIND_ALLREDUCE, i == 1 ? 2 : i * 8, RONDE_FLOAT32,
			RONDE_SUM);
		t[i].submission.name = NULL;
	}
	/* Different ones, then as it should be: in full and by slots; and the same again. */
	for (int round = 0; round < 4; round++) {
		if (round % 2 == 0) {
			char text[RONDE_ERROR_BYTES];
			if (r->rank == 1)
				submit_odd(r, f, t);
			else
				ck_assert_int_eq(group_of(r, f->named ? "g" : NULL, t, 3),
						 RONDE_ERR_MISMATCH);
			snprintf(text, sizeof text, "%s", ronde_error_message());
			if (round == 0)
				ck_assert_str_eq(text, f->text);
			else
				ck_assert_str_eq(strchr(text, ':'), strchr(f->text, ':'));
			continue;
		}
		must(group_of(r, f->named ? "g" : NULL, t, 3), "after a mismatch");
		must(barrier(r), "barrier");
	}
	for (int i = 0; i < 5; i++)
		drop(r, &t[i]);
	ck_assert_int_eq(bad, 0);
}

START_TEST(mismatches)
{
	for (int s = 0; s < SETTINGS; s++)
		run_ranks(3, settings[s], fault_body, (void *)&faults[_i]);
}
END_TEST

/* ---- what a rank gets wrong by itself, and how a group ends ---- */

static void duplicates_body(struct rank *r)
{
	struct tensor t[3];
	ronde_handle single, group, other;
	for (int i = 0; i < 3; i++)
		make(r, &t[i], RONDE_KIND_ALLREDUCE, i * 2);
	if (r->rank) {
		must(barrier(r), "barrier");
	} else {
		t[0].submission.name = "g_2of3";
		must(ronde_submit(r->context, &t[0].submission, &single), "single");
		t[0].submission.name = NULL;
		ck_assert_int_eq(submit_group(r, "g", t, 3, &other), RONDE_ERR_DUPLICATE_NAME);
		ck_assert_str_eq(ronde_error_message(),
				 "tensor \"g_2of3\": its previous allreduce is still in flight on "
				 "this rank; wait for it, or give this one another name");
		must(submit_group(r, "h", t, 3, &group), "group");
		ck_assert_int_eq(submit_group(r, "h", t, 2, &other), RONDE_ERR_DUPLICATE_NAME);
		ck_assert_str_eq(
			ronde_error_message(),
			"group \"h\": its previous grouped allreduce is still in flight on "
			"this rank; wait for it, or give this one another name");
		ck_assert_uint_eq(atomic_load(&r->context->counters.submitted), 4);
		must(barrier(r), "barrier");
	}
	if (r->rank) {
		t[0].submission.name = "g_2of3";
		must(ronde_submit(r->context, &t[0].submission, &single), "single");
		must(submit_group(r, "h", t, 3, &group), "group");
	}
	must(wait_for(r, group), "group");
	must(wait_for(r, single), "single");
	t[0].submission.name = NULL;
	must(group_of(r, "g", t, 3), "group");
	must(group_of(r, "h", t, 2), "group");
	ck_assert_int_eq(wait_for(r, group), RONDE_ERR_UNKNOWN_HANDLE);
	for (int i = 0; i < 3; i++)
		drop(r, &t[i]);
}

START_TEST(duplicates)
{
	run_ranks(2, NULL, duplicates_body, NULL);
	run_ranks(3, settings[2], duplicates_body, NULL);
}
END_TEST

static void count_call(ronde_handle handle, int status, const char *message, void *arg)
{
	(void)handle;
	(void)message;
	if (status == RONDE_ERR_SHUTDOWN)
		atomic_fetch_add((_Atomic int *)arg, 1);
}

/* A group that one rank never submits fails at the end, once. */
static void unfinished_body(struct rank *r)
{
	struct tensor t[FIVE];
	_Atomic int calls = 0;
	ronde_handle h;
	for (int i = 0; i < FIVE; i++)
		make(r, &t[i], RONDE_KIND_ALLREDUCE, i);
	if (r->rank) {
		must(submit_group(r, "g", t, FIVE, &h), "group");
		must(ronde_submit_on_done(r->context, h, count_call, &calls), "on_done");
	}
	must(barrier(r), "barrier");
	if (r->rank)
		ck_assert_int_eq(wait_for(r, h), RONDE_ERR_SHUTDOWN);
	ronde_context_stop(r->context);
	ck_assert_uint_eq(atomic_load(&r->context->submissions.in_flight), 0);
	ck_assert_ptr_null(r->context->submissions.pool.live);
	for (int i = 0; i < FIVE; i++)
		drop(r, &t[i]);
	while (r->rank && !atomic_load(&calls))
		sched_yield();
}

START_TEST(unfinished)
{
	run_ranks(4, NULL, unfinished_body, NULL);
}
END_TEST

/* Whether tensors of a group share an entry with others. */
static void apart_body(struct rank *r)
{
	struct tensor t[6];
	ronde_handle h[4];
	for (int i = 0; i < 6; i++)
		make(r, &t[i], RONDE_KIND_ALLREDUCE, 0);
	must(submit_group(r, NULL, t, 3, &h[0]), "group");
	for (int i = 0; i < 3; i++)
		must(ronde_submit(r->context, &t[3 + i].submission, &h[1 + i]), "single");
	for (int i = 0; i < 4; i++)
		must(wait_for(r, h[i]), "all");
	ck_assert_uint_eq(atomic_load(&r->context->counters.entries), *(const uint64_t *)r->arg);
	for (int i = 0; i < 6; i++)
		drop(r, &t[i]);
}

START_TEST(apart)
{
	static const char *const together[] = {"batch_delay_us", "1000000", NULL};
	static const char *const alone[] = {"batch_delay_us", "1000000", "disable_group_fusion",
					    "yes", NULL};
	uint64_t one = 1, two = 2;
	run_ranks(1, together, apart_body, &one);
	run_ranks(1, alone, apart_body, &two);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("groups");
	TCase *tests = tcase_create("groups");
	tcase_set_timeout(tests, 120);
	tcase_add_loop_test(tests, results, 0, test_cases(WORLDS * SETTINGS));
	tcase_add_loop_test(tests, sizes, 0, 4);
	tcase_add_loop_test(tests, late, 0, WORLDS);
	tcase_add_loop_test(tests, mismatches, 0, FAULTS);
	tcase_add_test(tests, duplicates);
	tcase_add_test(tests, unfinished);
	tcase_add_test(tests, apart);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

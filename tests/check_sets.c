/* SPDX-License-Identifier: Apache-2.0 */
/* Process sets: made, used, overlapping, removed while tensors are in flight; ranks as threads. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/bootstrap/wait.h"
#include "collectives/status.h"
#include "coordinator/control.h"
#include "tests/ranks.h"
#include "tests/sizes.h"

/* Random programs of each number of ranks and each settings; the race checker is slow. */
#define ROUNDS (test_is_long() ? 30 : test_turns(2))
#define PROGRAMS (test_stride() > 5 ? 6 : 15)

#define MOST_RANKS 8
#define LONGEST 70000

/* ---- the calls ---- */

static int change(struct rank *r, enum ronde_set_change change, const int *ranks, size_t n, int set,
		  int *result)
{
	ronde_handle h;
	int status =
		ronde_control_change_sets(r->context, change, ranks, n, (uint32_t)set, result, &h);
	return status ? status : wait_for(r, h);
}

static int add(struct rank *r, const int *ranks, size_t n, int *set)
{
	return change(r, RONDE_SET_ADD, ranks, n, 0, set);
}

static int take_away(struct rank *r, int set)
{
	return change(r, RONDE_SET_REMOVE, NULL, 0, set, NULL);
}

/* A set given as bits. */
static int add_mask(struct rank *r, unsigned mask, int *set)
{
	int ranks[MOST_RANKS];
	size_t n = 0;
	for (int i = r->size - 1; i >= 0; i--) /* in any order */
		if (mask >> i & 1)
			ranks[n++] = i;
	return add(r, ranks, n, set);
}

static int submit(struct rank *r, int set, const char *name, const float *in, float *out,
		  uint64_t count, ronde_reduction reduction, ronde_handle *handle)
{
	struct ronde_submission s = {.name = name, .input = in, .output = out, .count = count};
	s.desc = (struct ronde_desc){.kind = RONDE_KIND_ALLREDUCE,
				     .dtype = RONDE_FLOAT32,
				     .reduction = (uint8_t)reduction,
				     .ndim = 1,
				     .set = (uint32_t)set,
				     .prescale = 1,
				     .postscale = 1,
				     .dims = {(int64_t)count}};
	return ronde_submit(r->context, &s, handle);
}

static int sum(struct rank *r, int set, const char *name, float in, float *out, uint64_t count)
{
	ronde_handle h;
	float *buffer = calloc(count + 1, sizeof *buffer);
	for (uint64_t i = 0; i < count; i++)
		buffer[i] = in + (float)(i % 5);
	int status = submit(r, set, name, buffer, buffer, count, RONDE_SUM, &h);
	if (!status)
		status = wait_for(r, h);
	for (uint64_t i = 1; i < count && !status; i++)
		if (buffer[i] - buffer[0] !=
		    (buffer[1] - buffer[0]) * (float)(i % 5)) /* members × (i mod 5) */
			abort();
	*out = buffer[0];
	free(buffer);
	return status;
}

static bool has(unsigned mask, int rank)
{
	return mask >> rank & 1;
}

/* ---- use ---- */

static void use(struct rank *r)
{
	static const unsigned masks[] = {0x5, 0xa, 0x6, 0x8, 0xe};
	static const uint64_t counts[] = {1, 5, 3000, LONGEST};
	int sets[5];
	for (int k = 0; k < 5; k++) {
		must(add_mask(r, masks[k], &sets[k]), "add");
		if (sets[k] != k + 1)
			abort();
	}
	for (int round = 0; round < 3; round++) {
		for (int k = 0; k < 5; k++) {
			/* Sets in another order on each rank would wait for each other here. */
			float expected = 0, got;
			for (int i = 0; i < r->size; i++)
				expected += has(masks[k], i) ? (float)(i + 1) : 0;
			for (int c = 0; c < 4 && has(masks[k], r->rank); c++) {
				must(sum(r, sets[k], "x", (float)(r->rank + 1), &got, counts[c]),
				     "sum");
				must(sum(r, sets[k], NULL, (float)(r->rank + 1), &got, counts[c]),
				     "unnamed sum");
				if (got != expected)
					abort();
			}
		}
		must(barrier(r), "barrier");
	}
	for (int k = 4; k >= 0; k--)
		must(take_away(r, sets[k]), "remove");
}

START_TEST(overlapping_sets)
{
	run_ranks(4, NULL, use, NULL);
}
END_TEST

/* ---- random programs ---- */

#define STEPS 40
#define MOST_SETS 12
#define MOST_BATCH 12
#define MOST_FLIGHT 400

/* A tensor of a batch, the same on all its members. */
struct item {
	int set; /* index in the player's list */
	uint64_t count;
	int value; /* what members' values are made of */
	bool named;
};

/* One that this rank has in flight. */
struct flight {
	ronde_handle handle;
	float *in, *out;
	uint64_t count;
	int set, name, batch; /* set's number */
	float first, slope;   /* expected: first + slope * (i % 3) */
	bool heap;
};

/* What a rank knows of the program. */
struct player {
	struct rank *rank;
	unsigned common, own; /* seeds: the same on all ranks, and not */
	unsigned masks[MOST_SETS];
	int sets[MOST_SETS], nsets;
	struct flight flight[MOST_FLIGHT];
	int nflight, batch;
};

static int draw(unsigned *seed, int n)
{
	return (int)((unsigned)rand_r(seed) / 7 % (unsigned)n);
}

static float *make(struct rank *r, bool heap, uint64_t count)
{
	size_t bytes = (count + 1) * sizeof(float);
	float *memory = heap ? ronde_heap_alloc(r->heap, bytes) : malloc(bytes);
	if (!memory)
		abort();
	return memory;
}

static void land(struct player *p, int k)
{
	struct flight *f = &p->flight[k];
	must(wait_for(p->rank, f->handle), "tensor");
	for (uint64_t i = 0; i < f->count; i++)
		if (f->out[i] != f->first + f->slope * (float)(i % 3))
			abort();
	if (f->heap) {
		must(ronde_heap_free(p->rank->heap, f->in), "free");
		must(ronde_heap_free(p->rank->heap, f->out), "free");
	} else {
		free(f->in);
		free(f->out);
	}
	*f = p->flight[--p->nflight];
}

/* Waits for the tensors of this set and name (-1: for some, of any) of earlier batches. */
static void land_earlier(struct player *p, int set, int name)
{
	for (int k = p->nflight - 1; k >= 0; k--)
		if (p->flight[k].batch < p->batch &&
		    (name < 0 ? draw(&p->own, 2)
			      : p->flight[k].set == set && p->flight[k].name == name))
			land(p, k);
}

static void launch(struct player *p, const struct item *item, int name)
{
	struct rank *r = p->rank;
	char text[16];
	unsigned mask = p->masks[item->set];
	if (!has(mask, r->rank))
		return;
	land_earlier(p, p->sets[item->set], name);
	struct flight *f = &p->flight[p->nflight++];
	*f = (struct flight){.count = item->count,
			     .set = p->sets[item->set],
			     .name = name,
			     .batch = p->batch,
			     .heap = draw(&p->own, 2)};
	f->in = make(r, f->heap, f->count);
	f->out = make(r, f->heap, f->count);
	for (int i = 0; i < r->size; i++)
		if (has(mask, i))
			f->first += (float)(item->value * (i + 1)), f->slope++;
	for (uint64_t i = 0; i < f->count; i++)
		f->in[i] = (float)(item->value * (r->rank + 1)) + (float)(i % 3);
	snprintf(text, sizeof text, "t%d", name);
	must(submit(r, f->set, item->named ? text : NULL, f->in, f->out, f->count, RONDE_SUM,
		    &f->handle),
	     "submit");
}

/* Named ones in an order of this rank's own. */
static void play_batch(struct player *p)
{
	static const uint64_t counts[] = {0, 1, 7, 900, 5000, LONGEST};
	struct item items[MOST_BATCH];
	int order[MOST_BATCH], n = 1 + draw(&p->common, MOST_BATCH);
	p->batch++;
	for (int k = 0; k < n; k++) {
		items[k] = (struct item){.set = draw(&p->common, p->nsets),
					 .count = counts[draw(&p->common, 6)],
					 .value = 1 + draw(&p->common, 1000),
					 .named = draw(&p->common, 3)};
		int at = draw(&p->own, k + 1);
		order[k] = order[at];
		order[at] = k;
	}
	for (int k = 0; k < n; k++)
		if (!items[k].named)
			launch(p, &items[k], k);
	for (int k = 0; k < n; k++)
		if (items[order[k]].named)
			launch(p, &items[order[k]], order[k]);
}

static void play_add(struct player *p)
{
	unsigned mask = 1 + (unsigned)draw(&p->common, (1 << p->rank->size) - 1);
	bool taken = false;
	for (int k = 0; k < p->nsets; k++)
		taken |= p->masks[k] == mask;
	int status = add_mask(p->rank, mask, &p->sets[p->nsets]);
	if (taken != (status == RONDE_ERR_INVALID_ARGUMENT))
		must(status ? status : RONDE_ERR_INTERNAL, "add");
	if (!status)
		p->masks[p->nsets++] = mask;
}

/* With its tensors in flight: all members have submitted them. */
static void play_remove(struct player *p)
{
	int k = 1 + draw(&p->common, p->nsets - 1);
	must(take_away(p->rank, p->sets[k]), "remove");
	p->nsets--;
	p->sets[k] = p->sets[p->nsets];
	p->masks[k] = p->masks[p->nsets];
}

/* "0-1, 3" */
static void list_ranks(unsigned mask, char *text, size_t bytes)
{
	bool who[MOST_RANKS];
	for (int i = 0; i < MOST_RANKS; i++)
		who[i] = has(mask, i);
	ronde_ranks_text(text, bytes, who, MOST_RANKS);
	char *list = strchr(text, ' ') + 1;
	memmove(text, list, strlen(list) + 1);
}

#define SAME_ORDER ". All ranks must make the same changes in the same order"

/* One removes a set; the others add one, or remove another. */
static void play_mismatch(struct player *p)
{
	struct rank *r = p->rank;
	int odd = draw(&p->common, r->size), sort = draw(&p->common, 3), set;
	int removed = 1 + draw(&p->common, 3);
	unsigned mask = 1 + (unsigned)draw(&p->common, (1 << r->size) - 1);
	char others[80], ranks[80], what[2][200], text[500];
	if (r->size == 1)
		return;
	list_ranks(((1u << r->size) - 1) & ~(1u << odd), others, sizeof others);
	list_ranks(mask, ranks, sizeof ranks);
	snprintf(what[odd > 0], sizeof *what, "rank %d removes process set %d", odd, removed);
	snprintf(what[odd == 0], sizeof *what, "rank%s %s %s%s", r->size > 2 ? "s" : "", others,
		 sort ? "adds a process set of ranks " : "removes process set ",
		 sort ? ranks : "77");
	snprintf(text, sizeof text, "process sets: %s; %s" SAME_ORDER, what[0], what[1]);
	int status = r->rank == odd ? take_away(r, removed)
		     : sort         ? add_mask(r, mask, &set)
				    : take_away(r, 77);
	must_fail(r, status, RONDE_ERR_MISMATCH, text);
}

static void play(struct rank *r)
{
	struct player *p = calloc(1, sizeof *p);
	unsigned seed = *(unsigned *)r->arg;
	*p = (struct player){.rank = r, .common = seed, .own = seed * 31 + (unsigned)r->rank};
	p->masks[0] = (1u << r->size) - 1;
	p->nsets = 1;
	for (int step = 0; step < STEPS; step++) {
		int what = draw(&p->common, 10);
		if (what < 3 && p->nsets < MOST_SETS)
			play_add(p);
		else if (what < 5 && p->nsets > 1)
			play_remove(p);
		else if (what == 5)
			play_mismatch(p);
		else
			play_batch(p);
		if (draw(&p->own, 3) == 0)
			p->batch++, land_earlier(p, 0, -1), p->batch--;
	}
	while (p->nflight)
		land(p, p->nflight - 1);
	free(p);
	must(barrier(r), "barrier");
}

static const char *const settings[][11] = {
	{NULL},
	{"cache_capacity", "2", "lanes", "1", NULL},
	{"cache_capacity", "0", "zero_copy", "no", NULL},
	{"cache_capacity", "1", "carry_bytes", "900", "ring_bytes", "16384", NULL},
	{"carry_bytes", "0", "chunk_bytes", "4096", "cache_capacity", "5", NULL},
};

static unsigned first_seed(void)
{
	const char *given = getenv("RONDE_TEST_SEED");
	return given ? (unsigned)strtoul(given, NULL, 10) : 20261122;
}

START_TEST(random_programs)
{
	for (int k = 0; k < ROUNDS; k++) {
		unsigned seed = first_seed() + (unsigned)(_i * 1000 + k);
		printf("%d ranks, settings %d, RONDE_TEST_SEED=%u\n", 1 + _i % 6, _i % 5, seed);
		fflush(stdout);
		run_ranks(1 + _i % 6, settings[_i % 5], play, &seed);
	}
}
END_TEST

/* ---- errors ---- */

static void wrong_changes(struct rank *r)
{
	int set, same;
	must(add(r, (int[]){0, 2}, 2, &set), "add");
	must_fail(r, add(r, (int[]){2, 0}, 2, &same), RONDE_ERR_INVALID_ARGUMENT,
		  "process set of ranks 0, 2: process set 1 has the same ranks");
	must_fail(r, add(r, (int[]){2, 1, 0}, 3, &same), RONDE_ERR_INVALID_ARGUMENT,
		  "process set of ranks 0-2: process set 0 has the same ranks");
	must_fail(r, add(r, (int[]){1, 0, 1}, 3, &same), RONDE_ERR_INVALID_ARGUMENT,
		  "process set of ranks 0-1, 1: rank 1 is given twice");
	must_fail(r, add(r, (int[]){0, 3}, 2, &same), RONDE_ERR_INVALID_ARGUMENT,
		  "process set of ranks 0, 3: 3 is not a rank; allowed is 0 to 2");
	must_fail(r, add(r, (int[]){-1}, 1, &same), RONDE_ERR_INVALID_ARGUMENT,
		  "process set of ranks -1: -1 is not a rank; allowed is 0 to 2");
	must_fail(r, add(r, NULL, 0, &same), RONDE_ERR_INVALID_ARGUMENT,
		  "a process set of no ranks");
	must_fail(r, add(r, (int[9000]){1}, 9000, &same), RONDE_ERR_INVALID_ARGUMENT,
		  "process set of ranks 0, 0, 0, 0: rank 0 is given twice");
	must_fail(r, take_away(r, 0), RONDE_ERR_INVALID_ARGUMENT,
		  "process set 0 is the set of all ranks and cannot be removed");
	must_fail(r, take_away(r, 9), RONDE_ERR_INVALID_ARGUMENT, "process set 9 does not exist");
	must(take_away(r, set), "remove");
	must_fail(r, take_away(r, set), RONDE_ERR_INVALID_ARGUMENT, "process set 1 does not exist");
	must(add(r, (int[]){0, 2}, 2, &set), "add again");
	if (set != 2)
		abort();
	must(barrier(r), "barrier");
}

static void different_changes(struct rank *r)
{
	int set, other;
	must(add(r, (int[]){0, 1}, 2, &set), "add");
	must_fail(r, r->rank == 1 ? add(r, (int[]){1}, 1, &other) : add(r, (int[]){2}, 1, &other),
		  RONDE_ERR_MISMATCH,
		  "process sets: ranks 0, 2 adds a process set of ranks 2; rank 1 adds a process "
		  "set of ranks 1" SAME_ORDER);
	must_fail(r, r->rank ? take_away(r, set) : add(r, NULL, 0, &other), RONDE_ERR_MISMATCH,
		  "process sets: rank 0 adds a process set of no ranks; ranks 1-2 removes process "
		  "set 1" SAME_ORDER);
	must_fail(
		r, take_away(r, r->rank), RONDE_ERR_MISMATCH,
		"process sets: rank 0 removes process set 0; rank 1 removes process set 1; rank 2 "
		"removes process set 2" SAME_ORDER);
	/* A removal that failed leaves the set as it was. */
	float got;
	if (r->rank < 2)
		must(sum(r, set, "x", 1, &got, 9), "sum");
	must(take_away(r, set), "remove");
	must(barrier(r), "barrier");
}

static void wrong_set(struct rank *r)
{
	int set;
	float x = 1;
	ronde_handle h;
	must(add(r, (int[]){0, 2}, 2, &set), "add");
	if (r->rank == 1)
		must_fail(r, submit(r, set, "x", &x, &x, 1, RONDE_SUM, &h),
			  RONDE_ERR_INVALID_ARGUMENT,
			  "rank 1 is not in process set 1 (ranks 0, 2)");
	must_fail(r, submit(r, 7, "x", &x, &x, 1, RONDE_SUM, &h), RONDE_ERR_INVALID_ARGUMENT,
		  "process set 7 does not exist; 0 is the set of all ranks");
	/* A mismatch inside a set names its ranks. */
	float two[2] = {0};
	if (r->rank != 1) {
		must(submit(r, set, "x", two, two, r->rank == 0 ? 1 : 2, RONDE_SUM, &h), "submit");
		must_fail(r, wait_for(r, h), RONDE_ERR_MISMATCH,
			  "tensor \"x\": rank 0 submitted float32[1], rank 2 submitted "
			  "float32[2]; all ranks must give the same to one allreduce");
	}
	/* The same name in two sets is two tensors. */
	float a = 1, b = 2;
	ronde_handle first;
	must(submit(r, 0, "same", &a, &a, 1, RONDE_SUM, &first), "world");
	if (r->rank != 1) {
		must(submit(r, set, "same", &b, &b, 1, RONDE_SUM, &h), "set");
		must(wait_for(r, h), "set");
	}
	must(wait_for(r, first), "world");
	if (a != 3 || (r->rank != 1 && b != 4))
		abort();
	must(barrier(r), "barrier");
}

START_TEST(errors_of_changes)
{
	run_ranks(3, NULL, wrong_changes, NULL);
	run_ranks(3, NULL, different_changes, NULL);
	run_ranks(3, NULL, wrong_set, NULL);
}
END_TEST

/* What all members submitted completes; what one did not, fails; then the set is gone. */
static void remove_in_flight(struct rank *r)
{
	float x = 1, y = 1;
	static float big[MOST_RANKS][LONGEST];
	ronde_handle whole, part = 0, large = 0, late;
	for (int round = 0; round < 20; round++) {
		int set;
		char text[300];
		must(add(r, (int[]){0, 1, 2}, 3, &set), "add");
		x = y = 1;
		if (r->rank < 3) {
			must(submit(r, set, "large", big[r->rank], big[r->rank], LONGEST, RONDE_SUM,
				    &large),
			     "large");
			must(submit(r, set, "whole", &x, &x, 1, RONDE_SUM, &whole), "whole");
			if (r->rank)
				must(submit(r, set, round % 2 ? NULL : "part", &y, &y, 1, RONDE_SUM,
					    &part),
				     "part");
		}
		must(take_away(r, set), "remove");
		must_fail(
			r, submit(r, set, "late", &y, &y, 1, RONDE_SUM, &late),
			RONDE_ERR_INVALID_ARGUMENT,
			(snprintf(text, sizeof text,
				  "process set %d does not exist; 0 is the set of all ranks", set),
			 text));
		must(barrier(r), "barrier");
		if (r->rank == 3)
			continue;
		must(wait_for(r, whole), "whole");
		must(wait_for(r, large), "large");
		if (x != 3)
			abort();
		snprintf(
			text, sizeof text,
			"process set %d (ranks 0-2) was removed before all its ranks had submitted "
			"this; wait for operations before you remove their set",
			set);
		if (r->rank)
			must_fail(r, wait_for(r, part), RONDE_ERR_MISMATCH, text);
	}
	must(barrier(r), "barrier");
}

START_TEST(removed_in_flight)
{
	run_ranks(4, settings[_i], remove_in_flight, NULL);
}
END_TEST

/* What is in flight when the runtime ends fails like everything else. */
static void end_within(struct rank *r)
{
	int set;
	if (r->rank)
		must_fail(r, add(r, (int[]){0, 1}, 2, &set), RONDE_ERR_SHUTDOWN,
			  "rank 0 has shut Ronde down; this operation had not been agreed on by "
			  "all ranks");
}

START_TEST(end_while_adding)
{
	run_ranks(3, NULL, end_within, NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sets");
	TCase *tests = tcase_create("sets");
	tcase_set_timeout(tests, 200);
	tcase_add_test(tests, overlapping_sets);
	tcase_add_loop_test(tests, random_programs, 0, PROGRAMS);
	tcase_add_test(tests, errors_of_changes);
	tcase_add_loop_test(tests, removed_in_flight, 0, 5);
	tcase_add_test(tests, end_while_adding);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

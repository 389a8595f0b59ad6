/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random groups that two parties of ranks disagree about: a member's type or shape, the reduction,
 * how many tensors there are, whether it is a group at all. All ranks get the one text, nothing of
 * the group is written, what else is in flight goes on, and the same group works as soon as all
 * agree. check_groups.c has some by hand, with every setting.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/bootstrap/wait.h"
#include "collectives/status.h"
#include "tests/ranks.h"
#include "tests/schedules/values.h"
#include "tests/seed.h"
#include "tests/sizes.h"

#define MOST_RANKS 5
#define MOST_MEMBERS 7
#define USUAL 60 /* disagreements of a world */
#define ELEMENTS 900

enum fault { TYPE, SHAPE, SCALE, REDUCTION, NUMBER, ALONE, FAULTS };

/* The same on all ranks, out of a seed. */
struct disagreement {
	enum fault fault;
	enum ronde_kind kind;
	bool named, odd[MOST_RANKS]; /* who is of the other party */
	uint32_t members, other_number, at;
	int64_t elements[MOST_MEMBERS + 1];
	char text[RONDE_ERROR_BYTES];
};

struct world {
	uint64_t seed;
	int turns;
};

static void who_text(const struct disagreement *d, int size, bool odd, char *text, size_t bytes)
{
	bool who[MOST_RANKS];
	for (int r = 0; r < size; r++)
		who[r] = d->odd[r] == odd;
	ronde_ranks_text(text, bytes, who, size);
}

/* What a rank of the party says of what they disagree about. */
static void said_text(const struct disagreement *d, bool odd, char *text, size_t bytes)
{
	long long n = (long long)d->elements[d->at];
	switch (d->fault) {
	case TYPE:
		snprintf(text, bytes, "%s[%lld]", odd ? "int32" : "float32", n);
		break;
	case SHAPE:
		snprintf(text, bytes, "float32[%lld]", odd ? n + 1 : n);
		break;
	case SCALE:
		snprintf(text, bytes, "prescale %s and postscale 1", odd ? "2" : "1");
		break;
	case REDUCTION:
		snprintf(text, bytes, "reduction %s", odd ? "max" : "sum");
		break;
	case NUMBER:
		snprintf(text, bytes, "a group of %u", odd ? d->other_number : d->members);
		break;
	case ALONE:
	case FAULTS:
		if (odd)
			snprintf(text, bytes, "a tensor of no group");
		else
			snprintf(text, bytes, "a group of %u", d->members);
	}
}

static void make(struct disagreement *d, uint64_t *state, int size, int turn, uint64_t *ordinals)
{
	char name[100], suffix[RONDE_MEMBER_SUFFIX], who[2][80], what[2][80];
	memset(d, 0, sizeof *d);
	d->fault = (enum fault)below(state, FAULTS);
	d->kind = once_in(state, 2) ? RONDE_KIND_ALLREDUCE : RONDE_KIND_REDUCESCATTER;
	/* Single tensors with the names of members are in check_groups.c. */
	d->named = d->fault != ALONE && once_in(state, 2);
	for (int r = 0; r < size; r++)
		d->odd[r] = once_in(state, 2);
	int one = (int)below(state, (uint64_t)size);
	d->odd[one] = !d->odd[(one + 1) % size]; /* there are two parties */
	d->members = 1 + (uint32_t)below(state, MOST_MEMBERS);
	d->other_number = d->members % MOST_MEMBERS + 1;
	d->at = d->fault < REDUCTION ? (uint32_t)below(state, d->members) : 0;
	for (int i = 0; i <= MOST_MEMBERS; i++)
		d->elements[i] = (int64_t)below(state, once_in(state, 3) ? ELEMENTS : 6);
	if (d->named)
		snprintf(name, sizeof name, "g%d", turn % 3);
	else
		snprintf(name, sizeof name, "%s.noname.%llu", ronde_kind_name(d->kind),
			 (unsigned long long)ordinals[d->kind]);
	if (!d->named) /* wrong once, and then right */
		ordinals[d->kind] += 2;
	ronde_member_suffix(suffix, d->at, d->members);
	bool of_group = d->fault == NUMBER || d->fault == ALONE;
	for (int odd = 0; odd < 2; odd++) {
		who_text(d, size, odd, who[odd], sizeof who[odd]);
		said_text(d, odd, what[odd], sizeof what[odd]);
	}
	bool first = d->odd[0];
	snprintf(d->text, sizeof d->text,
		 "%s \"%s%s\": %s submitted %s, %s submitted %s; all ranks must give the same to "
		 "one %s",
		 of_group ? "group" : "tensor", name, of_group ? "" : suffix, who[first],
		 what[first], who[!first], what[!first], ronde_kind_name(d->kind));
}

static float in[MOST_RANKS][MOST_MEMBERS][ELEMENTS + 1],
	out[MOST_RANKS][MOST_MEMBERS][ELEMENTS + 1];

/* What this rank submits: as the party it is of, or as all. */
static int submit(struct rank *r, const struct disagreement *d, int turn, bool odd,
		  ronde_handle *handle)
{
	struct ronde_submission all[MOST_MEMBERS];
	char name[10];
	uint32_t n = odd && d->fault == NUMBER ? d->other_number : d->members;
	for (uint32_t i = 0; i < n; i++) {
		bool here = odd && i == d->at;
		int64_t count = d->elements[i] + (here && d->fault == SHAPE);
		all[i] = (struct ronde_submission){
			.input = in[r->rank][i],
			.output = out[r->rank][i],
			.count = (uint64_t)count,
			.rows = count,
			.desc = {.kind = (uint8_t)d->kind,
				 .dtype = here && d->fault == TYPE ? RONDE_INT32 : RONDE_FLOAT32,
				 .reduction = odd && d->fault == REDUCTION ? RONDE_MAX : RONDE_SUM,
				 .ndim = 1,
				 .prescale = here && d->fault == SCALE ? 2 : 1,
				 .postscale = 1,
				 .dims = {count}}};
	}
	if (odd && d->fault == ALONE)
		return ronde_submit(r->context, &all[0], handle);
	snprintf(name, sizeof name, "g%d", turn % 3);
	return ronde_submit_group(r->context, d->named ? name : NULL, all, n, handle);
}

static int touched(const struct rank *r)
{
	int wrong = 0;
	for (int i = 0; i < MOST_MEMBERS; i++)
		for (int k = 0; k <= ELEMENTS; k++)
			wrong += out[r->rank][i][k] != -1;
	return wrong;
}

static void clear(const struct rank *r)
{
	for (int i = 0; i < MOST_MEMBERS; i++)
		for (int k = 0; k <= ELEMENTS; k++) {
			in[r->rank][i][k] = (float)(i + 1);
			out[r->rank][i][k] = -1;
		}
}

static int wrong_sums(const struct rank *r, const struct disagreement *d)
{
	int wrong = 0;
	for (uint32_t i = 0; i < d->members; i++) {
		int64_t n = d->elements[i];
		if (d->kind == RONDE_KIND_REDUCESCATTER)
			n = n / r->size + (r->rank < n % r->size);
		for (int64_t k = 0; k <= ELEMENTS; k++)
			wrong += out[r->rank][i][k] !=
				 (k < n ? (float)(r->size * (int)(i + 1)) : -1.0F);
	}
	return wrong;
}

static void world_body(struct rank *r)
{
	const struct world *w = r->arg;
	uint64_t state = w->seed, ordinals[RONDE_KIND_COUNT] = {0};
	for (int turn = 0; turn < w->turns; turn++) {
		struct disagreement d;
		ronde_handle group, single;
		float x = 1;
		make(&d, &state, r->size, turn, ordinals);
		clear(r);
		must(submit_allreduce(r, "x", &x, &x, 1, RONDE_FLOAT32, RONDE_SUM, &single), "x");
		must(submit(r, &d, turn, d.odd[r->rank], &group), "submit");
		ck_assert_int_eq(wait_for(r, group), RONDE_ERR_MISMATCH);
		ck_assert_str_eq(ronde_error_message(), d.text);
		must(wait_for(r, single), "x");
		ck_assert(x == (float)r->size);
		ck_assert_int_eq(touched(r), 0);
		must(submit(r, &d, turn, false, &group), "submit");
		must(wait_for(r, group), "agreeing");
		ck_assert_int_eq(wrong_sums(r, &d), 0);
	}
}

START_TEST(disagreements)
{
	static const char *const settings[][5] = {
		{"cache_capacity", "1024", NULL},
		{"cache_capacity", "2", NULL},
		{"cache_capacity", "0", "carry_bytes", "0", NULL}};
	struct world w = {test_seed() + (uint64_t)_i, test_turns(USUAL)};
	for (size_t s = 0; s < sizeof settings / sizeof *settings; s++)
		run_ranks(_i, settings[s], world_body, &w);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("group_mismatch");
	TCase *tests = tcase_create("group_mismatch");
	tcase_set_timeout(tests, 120);
	tcase_add_loop_test(tests, disagreements, 2, MOST_RANKS + 1);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

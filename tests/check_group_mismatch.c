/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random groups that two or three parties of ranks disagree about: a member's type, shape or
 * scales, the reduction, how many tensors there are, whether it is a group at all. The parties are
 * all ranks, or those of a process set, or those left when one has joined. All of them get the one
 * text, nothing of the group is written, what else is in flight goes on, and the same group works
 * as soon as all agree. check_groups.c has some by hand, with every setting.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/bootstrap/wait.h"
#include "collectives/status.h"
#include "tests/census.h"
#include "tests/schedules/port.h"
#include "tests/seed.h"
#include "tests/sizes.h"

#define MOST_RANKS 5
#define MOST_MEMBERS 7
#define USUAL 100 /* disagreements of a world */
#define ELEMENTS 900
#define MOST_ELEMENTS (ELEMENTS + MOST_RANKS)
/* Sets number 1 and 2 of three ranks or more: all but that rank. Number 0 are all. */
#define SETS 3
static const int left_out[SETS] = {-1, 1, 0};

#define PARTIES 3 /* number 0 submits what all could agree on */

enum fault { TYPE, SHAPE, PRESCALE, POSTSCALE, REDUCTION, NUMBER, ALONE, FAULTS };

/* The same on all ranks, out of a seed. */
struct disagreement {
	enum fault fault;
	enum ronde_kind kind;
	int set, joins; /* joins: this rank has joined meanwhile; -1: none has */
	bool named;
	bool active[MOST_RANKS]; /* who submits it */
	int party[MOST_RANKS];
	uint32_t members, at;
	int64_t elements[MOST_MEMBERS + 1];
	char text[RONDE_ERROR_BYTES];
};

struct world {
	uint64_t seed;
	int turns;
};

static void who_text(const struct disagreement *d, int size, int party, char *text, size_t bytes)
{
	bool who[MOST_RANKS];
	for (int r = 0; r < size; r++)
		who[r] = d->active[r] && d->party[r] == party;
	ronde_ranks_text(text, bytes, who, size);
}

/* How many tensors the party's group has; they are all different. */
static uint32_t number_of(const struct disagreement *d, int party)
{
	bool differs = party && (d->fault == NUMBER || d->fault == ALONE);
	return differs ? (d->members + (uint32_t)party - 1) % MOST_MEMBERS + 1 : d->members;
}

/* One who submits the tensor alone; a third party a group, of another number. */
static bool is_alone(const struct disagreement *d, int party)
{
	return d->fault == ALONE && party == 1;
}

static ronde_dtype type_of(const struct disagreement *d, int party)
{
	static const ronde_dtype types[PARTIES] = {RONDE_FLOAT32, RONDE_INT32, RONDE_UINT16};
	return types[d->fault == TYPE ? party : 0];
}

static ronde_reduction reduction_of(const struct disagreement *d, int party)
{
	if (d->fault != REDUCTION || party == 0)
		return RONDE_SUM;
	if (party == 1)
		return RONDE_MAX;
	return d->kind == RONDE_KIND_ALLREDUCE ? RONDE_ADASUM : RONDE_PRODUCT;
}

/* Another one for each party, or always 1. */
static double scale_of(const struct disagreement *d, enum fault fault, int party)
{
	return d->fault == fault ? 1 + party : 1;
}

/* What a rank of the party says of what they disagree about. */
static void said_text(const struct disagreement *d, int party, char *text, size_t bytes)
{
	long long n = (long long)d->elements[d->at];
	bool gathers = d->kind == RONDE_KIND_ALLGATHER;
	switch (d->fault) {
	case TYPE:
	case SHAPE:
		n = gathers ? 1 : n; /* columns, of rows that are each rank's own */
		snprintf(text, bytes, "%s[%s%lld]", ronde_dtype_name(type_of(d, party)),
			 gathers ? "*," : "", n + (d->fault == SHAPE ? party : 0));
		break;
	case PRESCALE:
	case POSTSCALE:
		snprintf(text, bytes, "prescale %g and postscale %g", scale_of(d, PRESCALE, party),
			 scale_of(d, POSTSCALE, party));
		break;
	case REDUCTION:
		snprintf(text, bytes, "reduction %s", ronde_reduction_name(reduction_of(d, party)));
		break;
	case NUMBER:
	case ALONE:
	case FAULTS:
		if (is_alone(d, party))
			snprintf(text, bytes, "a tensor of no group");
		else
			snprintf(text, bytes, "a group of %u", number_of(d, party));
	}
}

/* Who submits, and as which party; two at least have somebody. */
static void choose_ranks(struct disagreement *d, uint64_t *state, int size)
{
	int list[MOST_RANKS], n = 0;
	bool has_sets = size > 2;
	d->set = has_sets ? (int)below(state, SETS) : 0;
	d->joins = has_sets && once_in(state, 4) ? (int)below(state, (uint64_t)size) : -1;
	if (size == 3 && d->set && d->joins != left_out[d->set])
		d->joins = -1; /* or there is only one left */
	for (int r = 0; r < size; r++) {
		d->active[r] = r != left_out[d->set] && r != d->joins;
		d->party[r] = (int)below(state, PARTIES);
		if (d->active[r])
			list[n++] = r;
	}
	int one = (int)below(state, (uint64_t)n);
	d->party[list[one]] = (d->party[list[(one + 1) % n]] + 1) % PARTIES;
}

static void choose_fault(struct disagreement *d, uint64_t *state)
{
	static const enum ronde_kind kinds[] = {RONDE_KIND_ALLREDUCE, RONDE_KIND_REDUCESCATTER,
						RONDE_KIND_ALLGATHER};
	static const enum fault of_gathered[] = {TYPE, SHAPE, NUMBER, ALONE};
	d->kind = kinds[below(state, 3)];
	d->fault = d->kind == RONDE_KIND_ALLGATHER ? of_gathered[below(state, 4)]
						   : (enum fault)below(state, FAULTS);
	/* Single tensors with the names of members are in check_groups.c. */
	d->named = d->fault != ALONE && once_in(state, 2);
	d->members = 1 + (uint32_t)below(state, MOST_MEMBERS);
	d->at = d->fault < REDUCTION ? (uint32_t)below(state, d->members) : 0;
	for (int i = 0; i <= MOST_MEMBERS; i++)
		d->elements[i] = (int64_t)below(state, once_in(state, 3) ? ELEMENTS : 6);
}

/* Adds what each party says, in the order of their first ranks. */
static void say_all(struct disagreement *d, int size)
{
	char who[80], what[80];
	const char *separator = "";
	bool said[PARTIES] = {false};
	size_t n = strlen(d->text);
	for (int r = 0; r < size; r++) {
		int party = d->party[r];
		if (!d->active[r] || said[party])
			continue;
		said[party] = true;
		who_text(d, size, party, who, sizeof who);
		said_text(d, party, what, sizeof what);
		n += (size_t)snprintf(d->text + n, sizeof d->text - n, "%s%s submitted %s",
				      separator, who, what);
		separator = ", ";
	}
	snprintf(d->text + n, sizeof d->text - n, "; all ranks must give the same to one %s",
		 ronde_kind_name(d->kind));
}

/* ordinals: of the unnamed groups so far, by set. */
static void make(struct disagreement *d, uint64_t *state, int size, int turn,
		 uint64_t (*ordinals)[RONDE_KIND_COUNT])
{
	char name[100], suffix[RONDE_MEMBER_SUFFIX];
	memset(d, 0, sizeof *d);
	choose_ranks(d, state, size);
	choose_fault(d, state);
	uint64_t *ordinal = &ordinals[d->set][d->kind];
	if (d->named)
		snprintf(name, sizeof name, "g%d", turn % 3);
	else
		snprintf(name, sizeof name, "%s.noname.%llu", ronde_kind_name(d->kind),
			 (unsigned long long)*ordinal);
	if (!d->named) /* wrong once, and then right */
		*ordinal += 2;
	if (d->joins >= 0) /* a join counts from the start */
		memset(ordinals, 0, SETS * sizeof *ordinals);
	ronde_member_suffix(suffix, d->at, d->members);
	bool of_group = d->fault == NUMBER || d->fault == ALONE;
	snprintf(d->text, sizeof d->text, "%s \"%s%s\": ", of_group ? "group" : "tensor", name,
		 of_group ? "" : suffix);
	say_all(d, size);
}

/* ---- one rank's part ---- */

static float in[MOST_RANKS][MOST_MEMBERS][MOST_ELEMENTS],
	out[MOST_RANKS][MOST_MEMBERS][MOST_ELEMENTS];
static ronde_gathered gathered[MOST_RANKS][MOST_MEMBERS];

static float value(int rank, int member)
{
	return (float)(10 * rank + member + 1);
}

/* Rows of an allgather differ between ranks. */
static int64_t rows_of(const struct disagreement *d, int rank, uint32_t member)
{
	return d->elements[member] + (d->kind == RONDE_KIND_ALLGATHER ? rank : 0);
}

/* A member as this rank submits it as one of the party. */
static struct ronde_submission submission(const struct rank *r, const struct disagreement *d,
					  uint32_t i, int party)
{
	int here = i == d->at ? party : 0; /* other members are the same */
	bool gathers = d->kind == RONDE_KIND_ALLGATHER;
	int more = d->fault == SHAPE ? here : 0;
	int64_t rows = rows_of(d, r->rank, i), columns = gathers ? 1 + more : 1;
	rows = gathers ? rows / columns : rows + more;
	struct ronde_submission s = {.input = in[r->rank][i],
				     .output = gathers ? NULL : out[r->rank][i],
				     .gathered = gathers ? &gathered[r->rank][i] : NULL,
				     .count = (uint64_t)(rows * columns),
				     .rows = rows,
				     .desc = {.kind = (uint8_t)d->kind,
					      .set = (uint32_t)d->set,
					      .dtype = (uint8_t)type_of(d, here),
					      .ndim = gathers ? 2 : 1,
					      .prescale = scale_of(d, PRESCALE, here),
					      .postscale = scale_of(d, POSTSCALE, here),
					      .dims = {gathers ? 0 : rows, columns}}};
	if (!gathers)
		s.desc.reduction = (uint8_t)reduction_of(d, party);
	return s;
}

/* What this rank submits as one of the party. */
static int submit(struct rank *r, const struct disagreement *d, int turn, int party,
		  ronde_handle *handle)
{
	struct ronde_submission all[MOST_MEMBERS];
	char name[10];
	uint32_t n = number_of(d, party);
	for (uint32_t i = 0; i < n; i++)
		all[i] = submission(r, d, i, party);
	if (is_alone(d, party))
		return ronde_submit(r->context, &all[0], handle);
	snprintf(name, sizeof name, "g%d", turn % 3);
	return ronde_submit_group(r->context, d->named ? name : NULL, all, n, handle);
}

static int touched(const struct rank *r)
{
	int wrong = 0;
	for (int i = 0; i < MOST_MEMBERS; i++) {
		wrong += gathered[r->rank][i].data != NULL;
		for (int k = 0; k < MOST_ELEMENTS; k++)
			wrong += out[r->rank][i][k] != -1;
	}
	return wrong;
}

static void clear(const struct rank *r)
{
	for (int i = 0; i < MOST_MEMBERS; i++)
		for (int k = 0; k < MOST_ELEMENTS; k++) {
			in[r->rank][i][k] = value(r->rank, i);
			out[r->rank][i][k] = -1;
		}
}

/* Of a reduction, and of what is beside it. */
static int wrong_sums(const struct rank *r, const struct disagreement *d, uint32_t i)
{
	int wrong = 0, members = r->size - (d->set > 0);
	int member = r->rank - (d->set > 0 && r->rank > left_out[d->set]);
	int64_t n = d->elements[i];
	float sum = 0;
	if (d->kind == RONDE_KIND_REDUCESCATTER)
		n = n / members + (member < n % members);
	for (int from = 0; from < r->size; from++)
		sum += d->active[from] ? value(from, (int)i) : 0;
	for (int64_t k = 0; k < MOST_ELEMENTS; k++)
		wrong += out[r->rank][i][k] != (k < n ? sum : -1.0F);
	return wrong;
}

/* Of an allgather, whose memory is ours now. */
static int wrong_rows(const struct rank *r, const struct disagreement *d, uint32_t i)
{
	ronde_gathered *g = &gathered[r->rank][i];
	const float *x = g->data;
	int wrong = 0;
	int64_t rows = 0;
	for (int from = 0; from < r->size; from++)
		for (int64_t k = 0; d->active[from] && k < rows_of(d, from, i); k++, rows++)
			wrong += rows >= g->rows || x[rows] != value(from, (int)i);
	wrong += rows != g->rows;
	free(g->data);
	*g = (ronde_gathered){0};
	return wrong;
}

static void disagree(struct rank *r, const struct disagreement *d, int turn)
{
	ronde_handle group;
	int wrong = 0;
	must(submit(r, d, turn, d->party[r->rank], &group), "submit");
	must_fail(r, wait_for(r, group), RONDE_ERR_MISMATCH, d->text);
	ck_assert_int_eq(touched(r), 0);
	must(submit(r, d, turn, 0, &group), "submit");
	must(wait_for(r, group), "agreeing");
	for (uint32_t i = 0; i < d->members; i++)
		wrong +=
			d->kind == RONDE_KIND_ALLGATHER ? wrong_rows(r, d, i) : wrong_sums(r, d, i);
	ck_assert_int_eq(wrong, 0);
}

static void make_sets(struct rank *r)
{
	for (int s = 1; s < SETS && r->size > 2; s++) {
		int ranks[MOST_RANKS], number = 0;
		size_t n = 0;
		for (int i = 0; i < r->size; i++)
			if (i != left_out[s])
				ranks[n++] = i;
		must(port_context.add_set(r, ranks, n, &number), "add a set");
		ck_assert_int_eq(number, s);
	}
}

static void world_body(struct rank *r)
{
	const struct world *w = r->arg;
	uint64_t state = w->seed, ordinals[SETS][RONDE_KIND_COUNT] = {0};
	make_sets(r);
	for (int turn = 0; turn < w->turns; turn++) {
		struct disagreement d;
		ronde_handle single;
		float x = 1;
		int last;
		make(&d, &state, r->size, turn, ordinals);
		clear(r);
		must(submit_allreduce(r, "x", &x, &x, 1, RONDE_FLOAT32, RONDE_SUM, &single), "x");
		if (d.active[r->rank])
			disagree(r, &d, turn);
		if (d.joins >= 0)
			must(port_context.join(r, &last), "join");
		must(wait_for(r, single), "x");
		ck_assert(x == (float)r->size);
	}
	must(barrier(r), "barrier"); /* others may have a group of their own set left */
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
	char where[20];
	long times = sizeof settings / sizeof *settings;
	snprintf(where, sizeof where, "%d ranks", _i);
	report_census("group_mismatch", where, w.turns * times, USUAL * times,
		      "random mismatches of groups");
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

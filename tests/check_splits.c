/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mismatches in every split of the ranks into two opinions, every kind of difference, in one
 * runtime that stays usable throughout; then as many opinions as ranks, and texts of any length.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/status.h"
#include "tests/ranks.h"
#include "tests/sizes.h"
#include "tests/suite.h"

enum difference { TYPE, EXTENTS, DIMS, REDUCTION, PRESCALE, POSTSCALE, ROOT, ROWS, GATHERED_TYPE };
#define DIFFERENCES 9
#define RANKS_MAX 5

/* What those of the first and of the second opinion submitted. */
static const char *const said[DIFFERENCES][2] = {
	{"float32[8,4]", "uint8[8,4]"},
	{"float32[8,4]", "float32[4,8]"},
	{"float32[8,4]", "float32[32,1,1]"},
	{"reduction sum", "reduction average"},
	{"prescale 1 and postscale 1", "prescale 0.10000000000000001 and postscale 1"},
	{"prescale 1 and postscale 1", "prescale 1 and postscale -2.5"},
	{"root rank 0", "root rank 1"},
	{"float32[*,4]", "float32[*,2,2]"},
	{"float32[*,4]", "int32[*,4]"}};

struct opinion {
	struct ronde_submission submission;
	ronde_gathered gathered;
	float data[32];
};

static void form(struct opinion *o, const char *name, enum difference difference, bool second)
{
	*o = (struct opinion){.submission = {.name = name, .count = 32}};
	struct ronde_desc *d = &o->submission.desc;
	*d = (struct ronde_desc){.kind = RONDE_KIND_ALLREDUCE,
				 .dtype = RONDE_FLOAT32,
				 .reduction = RONDE_SUM,
				 .ndim = 2,
				 .prescale = 1,
				 .postscale = 1,
				 .dims = {8, 4}};
	o->submission.input = o->submission.output = o->data;
	if (difference == ROOT) {
		d->kind = RONDE_KIND_BROADCAST;
		d->reduction = 0;
		d->root = second;
	} else if (difference >= ROWS) {
		d->kind = RONDE_KIND_ALLGATHER;
		d->reduction = 0;
		d->dims[0] = 0;
		o->submission.rows = 8;
		o->submission.gathered = &o->gathered;
	}
	if (!second)
		return;
	if (difference == TYPE)
		d->dtype = RONDE_UINT8;
	if (difference == EXTENTS)
		d->dims[0] = 4, d->dims[1] = 8;
	if (difference == DIMS)
		d->ndim = 3, d->dims[0] = 32, d->dims[1] = d->dims[2] = 1;
	if (difference == REDUCTION)
		d->reduction = RONDE_AVERAGE;
	if (difference == PRESCALE)
		d->prescale = 0.1;
	if (difference == POSTSCALE)
		d->postscale = -2.5;
	if (difference == ROWS)
		d->ndim = 3, d->dims[1] = d->dims[2] = 2;
	if (difference == GATHERED_TYPE)
		d->dtype = RONDE_INT32;
}

/* "ranks 0-1, 3", "rank 2" */
static void ranks_text(char *text, unsigned set)
{
	static const char *const single = "rank ", *const several = "ranks ";
	text += sprintf(text, "%s", __builtin_popcount(set) > 1 ? several : single);
	const char *separator = "";
	for (int r = 0; r < RANKS_MAX; r++) {
		if (!(set >> r & 1))
			continue;
		int last = r;
		while (set >> (last + 1) & 1)
			last++;
		text += sprintf(text, last > r ? "%s%d-%d" : "%s%d", separator, r, last);
		separator = ", ";
		r = last;
	}
}

/* Rank 0's opinion first. */
static void expect(char *text, const char *name, enum difference d, unsigned seconds, int size)
{
	static const char *const kinds[] = {"allreduce", "broadcast", "allgather"};
	unsigned all = (1u << size) - 1, sets[2] = {all & ~seconds, seconds};
	int first = (int)(seconds & 1);
	char who[2][60];
	ranks_text(who[0], sets[0]);
	ranks_text(who[1], sets[1]);
	sprintf(text,
		"tensor \"%s\": %s submitted %s, %s submitted %s; all ranks must give the same to "
		"one %s",
		name, who[first], said[d][first], who[!first], said[d][!first],
		kinds[d == ROOT   ? 1
		      : d >= ROWS ? 2
				  : 0]);
}

struct outcome {
	int failures;
	char text[1200];
};

static void note_failure(struct outcome *o, const char *expected, int status)
{
	if (o->failures++ == 0)
		snprintf(o->text, sizeof o->text, "%s: %.500s\nexpected: %.500s",
			 ronde_status_name(status), ronde_error_message(), expected);
}

/* One difference beside two tensors that are fine, one of them large. */
static void differ(struct rank *r, enum difference d, unsigned seconds, float *large, int ordinal,
		   struct outcome *outcome)
{
	char name[40] = "weight", expected[600];
	struct opinion o;
	ronde_handle bad, good, slow;
	float x = 1;
	if (ordinal >= 0)
		sprintf(name, "%s.noname.%d",
			d == ROOT   ? "broadcast"
			: d >= ROWS ? "allgather"
				    : "allreduce",
			ordinal);
	expect(expected, name, d, seconds, r->size);
	form(&o, ordinal >= 0 ? NULL : name, d, seconds >> r->rank & 1);
	must(submit_allreduce(r, "slow", large, large, 6000, RONDE_FLOAT32, RONDE_MAX, &slow),
	     "slow");
	must(ronde_submit(r->context, &o.submission, &bad), "bad");
	must(submit_allreduce(r, "good", &x, &x, 1, RONDE_FLOAT32, RONDE_SUM, &good), "good");
	int status = wait_for(r, bad);
	if (status != RONDE_ERR_MISMATCH || strcmp(ronde_error_message(), expected) != 0)
		note_failure(outcome, expected, status);
	must(wait_for(r, good), "good");
	must(wait_for(r, slow), "slow");
	if (x != (float)r->size)
		note_failure(outcome, "the other tensor's sum", RONDE_OK);
	if (ordinal < 0) { /* and the next of the same name works */
		form(&o, name, d, false);
		must(ronde_submit(r->context, &o.submission, &bad), "agree");
		must(wait_for(r, bad), "agree");
		free(o.gathered.data);
	}
}

static void splits_body(struct rank *r)
{
	struct outcome *outcomes = r->arg;
	float *large = calloc(6000, sizeof *large);
	int ordinals[3] = {0};
	for (enum difference d = TYPE; d < DIFFERENCES; d++)
		for (unsigned seconds = test_stride() > 1 ? 1 + d % 2 : 1;
		     seconds < (1u << r->size) - 1; seconds += (unsigned)test_stride()) {
			int *ordinal = &ordinals[d == ROOT ? 1 : d >= ROWS ? 2 : 0];
			differ(r, d, seconds, large, -1, &outcomes[r->rank]);
			differ(r, d, seconds, large, (*ordinal)++, &outcomes[r->rank]);
		}
	free(large);
}

static void run_splits(int n, const char *capacity)
{
	const char *settings[] = {"cache_capacity", capacity, NULL};
	struct outcome outcomes[RANKS_MAX] = {{.failures = 0}};
	run_ranks(n, settings, splits_body, outcomes);
	for (int r = 0; r < n; r++)
		ck_assert_msg(!outcomes[r].failures, "rank %d, %d times: %s", r,
			      outcomes[r].failures, outcomes[r].text);
}

static const int worlds[] = {2, 3, 5};

START_TEST(every_split)
{
	run_splits(worlds[_i], "1024");
}
END_TEST

START_TEST(every_split_without_a_cache)
{
	run_splits(worlds[_i], "0");
}
END_TEST

/* ---- as many opinions as ranks ---- */

struct long_texts {
	char texts[RANKS_MAX][RONDE_ERROR_BYTES];
	char name[RONDE_MAX_NAME + 1];
};

/* Each its own shape of 16 extents; the longest name there is. */
static void all_differ_body(struct rank *r)
{
	struct long_texts *t = r->arg;
	struct opinion o;
	ronde_handle h;
	for (int round = 0; round < 3; round++) {
		form(&o, t->name, TYPE, false);
		o.submission.desc.ndim = RONDE_MAX_DIMS;
		for (int i = 0; i < RONDE_MAX_DIMS; i++)
			o.submission.desc.dims[i] = 1;
		o.submission.desc.dims[r->rank] = 0;
		o.submission.desc.dims[RONDE_MAX_DIMS - 1] = 1000000000000 + r->rank;
		o.submission.count = 0;
		must(ronde_submit(r->context, &o.submission, &h), "submit");
		if (wait_for(r, h) != RONDE_ERR_MISMATCH)
			abort();
		snprintf(t->texts[r->rank], sizeof t->texts[0], "%s", ronde_error_message());
		form(&o, t->name, TYPE, false);
		must(ronde_submit(r->context, &o.submission, &h), "agree");
		must(wait_for(r, h), "agree");
	}
}

START_TEST(as_many_opinions_as_ranks)
{
	static const char *const rings[] = {"16K", "256K"};
	const char *settings[] = {"ring_bytes", rings[_i], "carry_bytes", "1K", NULL};
	static struct long_texts t;
	memset(t.name, 'n', RONDE_MAX_NAME);
	memcpy(t.name, "weight", 6);
	run_ranks(RANKS_MAX, settings, all_differ_body, &t);
	for (int r = 0; r < RANKS_MAX; r++)
		ck_assert_str_eq(t.texts[r], t.texts[0]);
	ck_assert_int_eq(strncmp(t.texts[0], "tensor \"weightnnn", 16), 0);
	ck_assert_ptr_nonnull(
		strstr(t.texts[0],
		       "rank 0 submitted float32[0,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1000000000000], "
		       "rank 1 submitted float32[1,0,1,"));
	/* Whole, however long. */
	ck_assert_msg(strstr(t.texts[0], "; all ranks must give the same to one allreduce") != NULL,
		      "the text ends in \"%s\"",
		      t.texts[0] + (strlen(t.texts[0]) > 40 ? strlen(t.texts[0]) - 40 : 0));
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{every_split, 0, 3},
		{every_split_without_a_cache, 0, 3},
		{as_many_opinions_as_ranks, 0, 2},
	};
	return SUITE_RUN("splits", 120, tests);
}

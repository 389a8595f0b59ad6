/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks that disagree: the text, its sameness on all ranks, and that everything else goes on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/status.h"
#include "tests/ranks.h"
#include "tests/suite.h"

/* What a rank of the odd ones gives instead. */
enum odd {
	SPLIT_TYPE,
	SPLIT_SHAPE,
	TYPE,
	SHAPE,
	DIMS,
	REDUCTION,
	PRESCALE,
	POSTSCALE,
	ROOT,
	ROWS_SHAPE,
	SCATTER_ROWS,
	ODDS
};

struct plan {
	enum odd odd;
	unsigned odd_ranks; /* bit set */
	const char *expected;
	const char *settings[5];
	char texts[8][RONDE_ERROR_BYTES]; /* what each rank was told, first time */
};

static float data[8][4096];

/* What the ranks that are not odd submit. */
static struct ronde_submission common(const struct plan *p, int rank, const char *name)
{
	struct ronde_submission s = {
		.name = name, .input = data[rank], .output = data[rank], .count = 2048};
	s.desc = (struct ronde_desc){.kind = RONDE_KIND_ALLREDUCE,
				     .dtype = RONDE_FLOAT32,
				     .reduction = RONDE_SUM,
				     .ndim = 2,
				     .prescale = 1,
				     .postscale = 1,
				     .dims = {64, 32}};
	if (p->odd == ROOT) {
		s.desc.kind = RONDE_KIND_BROADCAST;
		s.desc.reduction = 0;
	} else if (p->odd == ROWS_SHAPE || p->odd == SPLIT_TYPE || p->odd == SPLIT_SHAPE) {
		static _Thread_local ronde_gathered out;
		out = (ronde_gathered){0};
		s.desc.kind = p->odd == ROWS_SHAPE ? RONDE_KIND_ALLGATHER : RONDE_KIND_ALLTOALL;
		s.desc.reduction = 0;
		s.desc.dims[0] = 0;
		s.rows = 64;
		s.gathered = &out;
	} else if (p->odd == SCATTER_ROWS) {
		s.desc.kind = RONDE_KIND_REDUCESCATTER;
	}
	return s;
}

static struct ronde_submission submission(const struct plan *p, int rank, const char *name)
{
	struct ronde_submission s = common(p, rank, name);
	if (!(p->odd_ranks >> rank & 1))
		return s;
	switch (p->odd) {
	case TYPE:
		s.desc.dtype = RONDE_INT32;
		break;
	case SHAPE:
		s.desc.dims[0] = 32, s.desc.dims[1] = 64;
		break;
	case DIMS:
		s.desc.ndim = 1, s.desc.dims[0] = 2048, s.desc.dims[1] = 0;
		break;
	case REDUCTION:
		s.desc.reduction = RONDE_MAX;
		break;
	case PRESCALE:
		s.desc.prescale = 0.5;
		break;
	case POSTSCALE:
		s.desc.postscale = 0.25;
		break;
	case ROOT:
		s.desc.root = 1;
		break;
	case SPLIT_TYPE:
		s.desc.dtype = RONDE_UINT32;
		break;
	case SPLIT_SHAPE:
	case ROWS_SHAPE:
		s.desc.dims[1] = 16;
		s.rows = 128;
		break;
	case SCATTER_ROWS:
		s.desc.dims[0] = 63;
		s.count = 63 * 32;
		break;
	case ODDS:
		break;
	}
	return s;
}

/* Submits among others that are fine; only this one may fail. */
static void disagree(struct rank *r, struct plan *p, const char *name, bool first)
{
	struct ronde_submission s = submission(p, r->rank, name);
	ronde_handle bad, good;
	float other[3] = {(float)r->rank, 1, 2};
	must(submit_allreduce(r, "good", other, other, 3, RONDE_FLOAT32, RONDE_MAX, &good), "good");
	must(ronde_submit(r->context, &s, &bad), "bad");
	ck_assert_int_eq(wait_for(r, bad), RONDE_ERR_MISMATCH);
	const char *text = ronde_error_message();
	if (first)
		snprintf(p->texts[r->rank], sizeof p->texts[0], "%s", text);
	else if (name)
		ck_assert_str_eq(text, p->texts[r->rank]);
	must(wait_for(r, good), "good");
	ck_assert(other[0] == (float)(r->size - 1) && other[1] == 1 && other[2] == 2);
}

/* The same name works as soon as all give the same. */
static void agree(struct rank *r, struct plan *p, const char *name)
{
	struct plan same = *p;
	same.odd_ranks = 0;
	struct ronde_submission s = submission(&same, r->rank, name);
	ronde_handle h;
	must(ronde_submit(r->context, &s, &h), "agree");
	must(wait_for(r, h), "agree");
	if (s.gathered)
		free(s.gathered->data);
}

static void body(struct rank *r)
{
	struct plan *p = r->arg;
	const char *name = "layer3.weight";
	disagree(r, p, name, true); /* nobody knows the tensor */
	disagree(r, p, name, false);
	agree(r, p, name);           /* now it has a slot */
	disagree(r, p, name, false); /* some announce by slot, some in full */
	agree(r, p, name);
	agree(r, p, name);
	disagree(r, p, NULL, false);
	agree(r, p, NULL);
	must(barrier(r), "barrier");
}

static const struct {
	int size;
	unsigned odd_ranks;
	enum odd odd;
	const char *text; /* behind the name */
} cases[] = {
	{4, 8, SHAPE, "ranks 0-2 submitted float32[64,32], rank 3 submitted float32[32,64]"},
	{2, 2, SHAPE, "rank 0 submitted float32[64,32], rank 1 submitted float32[32,64]"},
	{3, 1, TYPE, "rank 0 submitted int32[64,32], ranks 1-2 submitted float32[64,32]"},
	{5, 0x0a, DIMS,
	 "ranks 0, 2, 4 submitted float32[64,32], ranks 1, 3 submitted float32[2048]"},
	{3, 4, REDUCTION, "ranks 0-1 submitted reduction sum, rank 2 submitted reduction max"},
	{2, 1, PRESCALE,
	 "rank 0 submitted prescale 0.5 and postscale 1, rank 1 submitted prescale 1 and postscale "
	 "1"},
	{2, 2, POSTSCALE,
	 "rank 0 submitted prescale 1 and postscale 1, rank 1 submitted prescale 1 and postscale "
	 "0.25"},
	{3, 2, ROOT, "ranks 0, 2 submitted root rank 0, rank 1 submitted root rank 1"},
	{2, 1, SPLIT_TYPE,
	 "rank 0 submitted uint32[*,32], rank 1 submitted float32[*,32]; all ranks must give the "
	 "same to one alltoall"},
	{4, 6, SPLIT_SHAPE,
	 "ranks 0, 3 submitted float32[*,32], ranks 1-2 submitted float32[*,16]; all ranks must "
	 "give the same to one alltoall"},
	{3, 2, SCATTER_ROWS,
	 "ranks 0, 2 submitted float32[64,32], rank 1 submitted float32[63,32]; all ranks must "
	 "give the same to one reducescatter"},
	{3, 2, ROWS_SHAPE, "ranks 0, 2 submitted float32[*,32], rank 1 submitted float32[*,16]"},
};
#define CASES ((int)(sizeof cases / sizeof *cases))

static void run_case(int i, const char *capacity)
{
	struct plan *p = calloc(1, sizeof *p);
	*p = (struct plan){.odd = cases[i].odd,
			   .odd_ranks = cases[i].odd_ranks,
			   .settings = {"cache_capacity", capacity, NULL}};
	run_ranks(cases[i].size, p->settings, body, p);
	char start[300];
	snprintf(start, sizeof start, "tensor \"layer3.weight\": %s", cases[i].text);
	for (int r = 0; r < cases[i].size; r++) {
		ck_assert_int_eq(strncmp(p->texts[r], start, strlen(start)), 0);
		ck_assert_str_eq(p->texts[r], p->texts[0]);
	}
	free(p);
}

START_TEST(with_a_cache)
{
	run_case(_i, "1024");
}
END_TEST

START_TEST(with_a_cache_of_one)
{
	run_case(_i, "1");
}
END_TEST

START_TEST(without_a_cache)
{
	run_case(_i, "0");
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{with_a_cache, 0, CASES},
		{with_a_cache_of_one, 0, CASES},
		{without_a_cache, 0, CASES},
	};
	return SUITE_RUN("mismatch", 60, tests);
}

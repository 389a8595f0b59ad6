/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a mismatch: who said what, for ranks in many layouts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/validate.h"
#include "tests/suite.h"

#define MOST 60

static struct ronde_desc weight(void)
{
	return (struct ronde_desc){.kind = RONDE_KIND_ALLREDUCE,
				   .dtype = RONDE_FLOAT32,
				   .reduction = RONDE_SUM,
				   .ndim = 2,
				   .prescale = 1,
				   .postscale = 1,
				   .dims = {64, 32}};
}

/* A ballot on which member i gave descs[i], with a round that is member `first`'s. */
struct box {
	struct ronde_ballot ballot;
	struct ronde_vote votes[MOST];
	int ranks[MOST];
};

static void fill(struct box *box, const char *name, const struct ronde_desc *descs, int n,
		 int first)
{
	memset(box, 0, sizeof *box);
	box->ballot.votes = box->votes;
	box->ballot.round = descs[first];
	ronde_key_set(&box->ballot.key, (enum ronde_kind)descs[0].kind, 0, name,
		      name ? strlen(name) : 0, ronde_ordinal(7, 0));
	for (int i = 0; i < n; i++) {
		box->ranks[i] = i;
		box->votes[i].heard = true;
		if (!ronde_desc_equal(&descs[i], &descs[first])) {
			box->votes[i].other = malloc(sizeof descs[i]);
			*box->votes[i].other = descs[i];
		}
	}
}

static void empty(struct box *box, int n)
{
	for (int i = 0; i < n; i++)
		free(box->votes[i].other);
}

/* The text does not depend on who spoke first. */
static void check_text(const char *name, const struct ronde_desc *descs, int n, const char *text)
{
	static struct box box;
	for (int first = 0; first < n; first++) {
		char got[2048];
		fill(&box, name, descs, n, first);
		size_t length = ronde_mismatch_text(&box.ballot, box.ranks, n, n, got, sizeof got);
		ck_assert_str_eq(got, text);
		ck_assert_uint_eq(length, strlen(text));
		empty(&box, n);
	}
}

/* Letters: which ranks differ from the others, and what the text calls the parties. */
START_TEST(layouts)
{
	static const struct {
		const char *ranks, *text;
	} rows[] = {
		{"ab", "rank 0 submitted float32[64,32], rank 1 submitted float32[32,64]"},
		{"aab", "ranks 0-1 submitted float32[64,32], rank 2 submitted float32[32,64]"},
		{"aaab", "ranks 0-2 submitted float32[64,32], rank 3 submitted float32[32,64]"},
		{"baaa", "rank 0 submitted float32[32,64], ranks 1-3 submitted float32[64,32]"},
		{"abab", "ranks 0, 2 submitted float32[64,32], ranks 1, 3 submitted "
			 "float32[32,64]"},
		{"aabbaa", "ranks 0-1, 4-5 submitted float32[64,32], ranks 2-3 submitted "
			   "float32[32,64]"},
		{"abcab", "ranks 0, 3 submitted float32[64,32], ranks 1, 4 submitted "
			  "float32[32,64], rank 2 submitted int8[]"},
		{"aaaaaaaaaaaaaaaab", "ranks 0-15 submitted float32[64,32], rank 16 submitted "
				      "float32[32,64]"},
	};
	struct ronde_desc other[3] = {weight(), weight(), weight()};
	other[1].dims[0] = 32, other[1].dims[1] = 64;
	other[2].ndim = 0, other[2].dtype = RONDE_INT8;
	memset(other[2].dims, 0, sizeof other[2].dims);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct ronde_desc descs[20];
		char text[400];
		int n = (int)strlen(rows[i].ranks);
		for (int k = 0; k < n; k++)
			descs[k] = other[rows[i].ranks[k] - 'a'];
		snprintf(text, sizeof text,
			 "tensor \"layer3.weight\": %s; all ranks must give the same to one "
			 "allreduce",
			 rows[i].text);
		check_text("layer3.weight", descs, n, text);
	}
}
END_TEST

/* What is asked about first is told, whatever else differs. */
START_TEST(questions)
{
	struct ronde_desc d[3] = {weight(), weight(), weight()};
	d[2].reduction = RONDE_MAX;
	check_text("w", d, 3,
		   "tensor \"w\": ranks 0-1 submitted reduction sum, rank 2 submitted reduction "
		   "max; all ranks must give the same to one allreduce");
	d[1].prescale = 0.5;
	check_text("w", d, 3,
		   "tensor \"w\": ranks 0-1 submitted reduction sum, rank 2 submitted reduction "
		   "max; all ranks must give the same to one allreduce");
	d[2].reduction = RONDE_SUM, d[2].postscale = 0.1;
	check_text("w", d, 3,
		   "tensor \"w\": rank 0 submitted prescale 1 and postscale 1, rank 1 submitted "
		   "prescale 0.5 and postscale 1, rank 2 submitted prescale 1 and postscale "
		   "0.10000000000000001; all ranks must give the same to one allreduce");
	d[0].dtype = RONDE_BFLOAT16;
	check_text(NULL, d, 3,
		   "tensor \"allreduce.noname.7\": rank 0 submitted bfloat16[64,32], ranks 1-2 "
		   "submitted float32[64,32]; all ranks must give the same to one allreduce");
}
END_TEST

START_TEST(kinds)
{
	struct ronde_desc d[2] = {weight(), weight()};
	d[0].kind = d[1].kind = RONDE_KIND_BROADCAST;
	d[1].root = 1;
	check_text("bias", d, 2,
		   "tensor \"bias\": rank 0 submitted root rank 0, rank 1 submitted root rank 1; "
		   "all ranks must give the same to one broadcast");
	d[1].reduction = RONDE_MAX;
	check_text("bias", d, 2,
		   "tensor \"bias\": rank 0 submitted reduction sum, rank 1 submitted reduction "
		   "max; all ranks must give the same to one broadcast");
	d[1].reduction = RONDE_SUM;
	d[0].kind = d[1].kind = RONDE_KIND_ALLGATHER;
	d[0].root = d[1].root = 0;
	d[0].dims[0] = d[1].dims[0] = 0;
	d[1].dims[1] = 16;
	check_text("rows", d, 2,
		   "tensor \"rows\": rank 0 submitted float32[*,32], rank 1 submitted "
		   "float32[*,16]; all ranks must give the same to one allgather");
}
END_TEST

/* Members of a set that is not the whole job are called by their ranks. */
START_TEST(ranks_of_a_set)
{
	static struct box box;
	struct ronde_desc d[4] = {weight(), weight(), weight(), weight()};
	const int ranks[4] = {2, 3, 7, 40};
	char text[2048];
	d[1].dims[0] = d[3].dims[0] = 1;
	fill(&box, "w", d, 4, 1);
	memcpy(box.ranks, ranks, sizeof ranks);
	ronde_mismatch_text(&box.ballot, box.ranks, 4, 64, text, sizeof text);
	ck_assert_str_eq(text,
			 "tensor \"w\": ranks 2, 7 submitted float32[64,32], ranks 3, 40 submitted "
			 "float32[1,32]; all ranks must give the same to one allreduce");
	empty(&box, 4);
}
END_TEST

/* However little room there is, the text ends in it and is the longer one's beginning. */
START_TEST(little_room)
{
	static struct box box;
	static struct ronde_desc d[MOST];
	static char whole[1 << 15], text[1 << 15];
	char name[RONDE_MAX_NAME + 1];
	memset(name, 'n', sizeof name - 1);
	name[sizeof name - 1] = 0;
	for (int i = 0; i < MOST; i++) {
		d[i] = weight();
		d[i].ndim = RONDE_MAX_DIMS;
		for (int k = 0; k < RONDE_MAX_DIMS; k++)
			d[i].dims[k] = INT64_MAX - i % 30 * 17;
	}
	fill(&box, name, d, MOST, 5);
	size_t length =
		ronde_mismatch_text(&box.ballot, box.ranks, MOST, MOST, whole, sizeof whole);
	ck_assert_uint_gt(length, 10000);
	ck_assert_uint_eq(length, strlen(whole));
	ck_assert_ptr_nonnull(strstr(whole, "ranks 29, 59 submitted float32[922337203685477"));
	for (size_t room = 1; room < 4200; room += room < 64 ? 1 : 371) {
		memset(text, 'x', sizeof text);
		size_t used = ronde_mismatch_text(&box.ballot, box.ranks, MOST, MOST, text, room);
		ck_assert_uint_eq(used, room - 1);
		ck_assert_uint_eq(strlen(text), room - 1);
		size_t same = room < 4 ? room - 1 : room - 4;
		ck_assert_mem_eq(text, whole, same);
		ck_assert_str_eq(text + same, room < 4 ? text + same : "…");
		ck_assert_int_eq(text[room], 'x');
	}
	empty(&box, MOST);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{layouts, ONCE},        {questions, ONCE},   {kinds, ONCE},
		{ranks_of_a_set, ONCE}, {little_room, ONCE},
	};
	return SUITE_RUN("validate", 60, tests);
}

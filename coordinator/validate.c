/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/validate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/bootstrap/wait.h"
#include "coordinator/text.h"

#define WHAT_BYTES (RONDE_SHAPE_TEXT + 100)

static const struct ronde_desc *said(const struct ronde_ballot *b, int member)
{
	return b->votes[member].other ? b->votes[member].other : &b->round;
}

/* What can differ, in the order in which a person would ask. */
typedef bool (*same_fn)(const struct ronde_desc *a, const struct ronde_desc *b);
typedef void (*text_fn)(const struct ronde_desc *d, char *text, size_t bytes);

static bool same_shape(const struct ronde_desc *a, const struct ronde_desc *b)
{
	return a->dtype == b->dtype && a->ndim == b->ndim &&
	       memcmp(a->dims, b->dims, a->ndim * sizeof a->dims[0]) == 0;
}

static bool same_reduction(const struct ronde_desc *a, const struct ronde_desc *b)
{
	return a->reduction == b->reduction;
}

static void reduction_text(const struct ronde_desc *d, char *text, size_t bytes)
{
	snprintf(text, bytes, "reduction %s", ronde_reduction_name((ronde_reduction)d->reduction));
}

static bool same_root(const struct ronde_desc *a, const struct ronde_desc *b)
{
	return a->root == b->root;
}

static void root_text(const struct ronde_desc *d, char *text, size_t bytes)
{
	snprintf(text, bytes, "root rank %d", d->root);
}

static void scale_text(const struct ronde_desc *d, char *text, size_t bytes)
{
	snprintf(text, bytes, "prescale %.17g and postscale %.17g", d->prescale, d->postscale);
}

static bool same_group(const struct ronde_desc *a, const struct ronde_desc *b)
{
	return a->members == b->members;
}

static void group_text(const struct ronde_desc *d, char *text, size_t bytes)
{
	if (d->members)
		snprintf(text, bytes, "a group of %u", d->members);
	else
		snprintf(text, bytes, "a tensor of no group");
}

static const struct {
	same_fn same; /* NULL: whatever is left */
	text_fn text;
} questions[] = {
	{same_group, group_text},
	{same_shape, ronde_desc_shape_text},
	{same_reduction, reduction_text},
	{same_root, root_text},
	{NULL, scale_text},
};

static int first_difference(const struct ronde_ballot *b, int n)
{
	for (int q = 0;; q++) {
		if (!questions[q].same)
			return q;
		for (int i = 1; i < n; i++)
			if (!questions[q].same(said(b, 0), said(b, i)))
				return q;
	}
}

/* What the member of a set with this number said; false: nothing, for it has joined. */
typedef bool (*saying_fn)(const void *about, int member, char *text, size_t bytes);

/* "ranks 0-2 submitted X, rank 3 submitted Y; all ranks must give the same to one KIND". */
static size_t append_parties(char *text, size_t bytes, size_t used, const int *ranks, int n,
			     int size, saying_fn saying, const void *about, enum ronde_kind kind)
{
	char what[WHAT_BYTES], other[WHAT_BYTES], who[512];
	bool *same = calloc((size_t)size, sizeof *same), *told = calloc((size_t)n, sizeof *told);
	const char *separator = "";
	if (!same || !told)
		used = ronde_text_append(text, bytes, used, "ranks disagree about it");
	for (int i = 0; same && told && i < n; i++) {
		if (told[i] || !saying(about, i, what, sizeof what))
			continue;
		for (int k = 0; k < n; k++) {
			same[ranks[k]] =
				saying(about, k, other, sizeof other) && strcmp(what, other) == 0;
			told[k] |= same[ranks[k]];
		}
		ronde_ranks_text(who, sizeof who, same, size);
		used = ronde_text_append(text, bytes, used, "%s%s submitted %s", separator, who,
					 what);
		separator = ", ";
	}
	if (same && told)
		used = ronde_text_append(text, bytes, used,
					 "; all ranks must give the same to one %s",
					 ronde_kind_name(kind));
	free(same);
	free(told);
	return used < bytes ? used : ronde_text_mark_cut(text, bytes);
}

struct question {
	const struct ronde_ballot *ballot;
	int number;
};

static bool answer(const void *about, int member, char *text, size_t bytes)
{
	const struct question *q = about;
	questions[q->number].text(said(q->ballot, member), text, bytes);
	return q->ballot->votes[member].heard;
}

size_t ronde_mismatch_text(const struct ronde_ballot *b, const int *ranks, int n, int size,
			   char *text, size_t bytes)
{
	char name[RONDE_MAX_NAME + 1];
	struct question q = {b, first_difference(b, n)};
	uint32_t members = questions[q.number].same == same_group ? 0 : b->round.members;
	ronde_key_head_text(&b->key.head, b->key.name, members, name, sizeof name);
	size_t used = ronde_text_append(text, bytes, 0, "tensor \"%s\": ", name);
	return append_parties(text, bytes, used, ranks, n, size, answer, &q,
			      (enum ronde_kind)b->key.head.kind);
}

static bool submitted_group(const void *about, int member, char *text, size_t bytes)
{
	const struct ronde_group *g = about;
	struct ronde_desc d = {.members = g->said[member].members};
	group_text(&d, text, bytes);
	return d.members || g->said[member].alone;
}

size_t ronde_group_mismatch_text(const struct ronde_group *g, const int *ranks, int n, int size,
				 char *text, size_t bytes)
{
	char name[RONDE_MAX_NAME + 1];
	ronde_key_text(&g->key, name, sizeof name);
	size_t used = ronde_text_append(text, bytes, 0, "group \"%s\": ", name);
	return append_parties(text, bytes, used, ranks, n, size, submitted_group, g,
			      (enum ronde_kind)g->key.head.kind);
}

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

static const struct {
	same_fn same; /* NULL: whatever is left */
	text_fn text;
} questions[] = {
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

size_t ronde_mismatch_text(const struct ronde_ballot *b, const int *ranks, int n, int size,
			   char *text, size_t bytes)
{
	char name[RONDE_MAX_NAME + 1], what[WHAT_BYTES], other[WHAT_BYTES], who[512];
	ronde_key_text(&b->key, name, sizeof name);
	size_t used = ronde_text_append(text, bytes, 0, "tensor \"%s\": ", name);
	bool *same = calloc((size_t)size, sizeof *same), *told = calloc((size_t)n, sizeof *told);
	if (!same || !told) {
		used = ronde_text_append(text, bytes, used, "ranks disagree about it");
		goto out;
	}
	int q = first_difference(b, n);
	const char *separator = "";
	for (int i = 0; i < n; i++) {
		if (told[i] || !b->votes[i].heard) /* has joined */
			continue;
		questions[q].text(said(b, i), what, sizeof what);
		for (int k = 0; k < n; k++) {
			questions[q].text(said(b, k), other, sizeof other);
			same[ranks[k]] = b->votes[k].heard && strcmp(what, other) == 0;
			told[k] |= same[ranks[k]];
		}
		ronde_ranks_text(who, sizeof who, same, size);
		used = ronde_text_append(text, bytes, used, "%s%s submitted %s", separator, who,
					 what);
		separator = ", ";
	}
	used = ronde_text_append(text, bytes, used, "; all ranks must give the same to one %s",
				 ronde_kind_name((enum ronde_kind)b->key.head.kind));
out:
	free(same);
	free(told);
	return used < bytes ? used : ronde_text_mark_cut(text, bytes);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the ranks' lists of optimizer state fit the root's: what is wrong, said alike by all. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/c/broadcast_state.h"

enum problem { FINE, BROKEN, NUMBER, UNKNOWN, TYPE, MEMORY };

/* What a rank has found; it travels. */
struct finding {
	int64_t rank;    /* whose: those that have joined find nothing */
	int64_t problem; /* the first one */
	int64_t item;    /* with which of the root's items */
	int64_t own;     /* this rank's type, or number of items */
};

/* ---- this rank's list ---- */

static int compare(const void *a, const void *b)
{
	const ronde_state_item *x = *(const ronde_state_item *const *)a;
	const ronde_state_item *y = *(const ronde_state_item *const *)b;
	return strcmp(x->name, y->name);
}

static int compare_name(const void *name, const void *item)
{
	return strcmp(name, (*(const ronde_state_item *const *)item)->name);
}

static int check_item(const ronde_state_item *item, size_t index)
{
	if (!item->name || !item->data || !item->count)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "item %zu of the state has no %s (NULL)", index,
				   !item->name   ? "name"
				   : !item->data ? "place for its data"
						 : "place for its count");
	if (ronde_dtype_bytes(item->dtype) == 0)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "item %zu of the state, \"%s\", has the dtype %d, which is no "
				   "ronde_dtype",
				   index, item->name, (int)item->dtype);
	if (*item->data && (*item->count < 0 ||
			    (uint64_t)*item->count > INT64_MAX / ronde_dtype_bytes(item->dtype)))
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "item %zu of the state, \"%s\", has the count %" PRId64, index,
				   item->name, *item->count);
	return RONDE_OK;
}

int ronde_state_sort(struct ronde_state_call *c)
{
	if (!c->items && c->count > 0)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "the list of state is NULL, its count %zu", c->count);
	int status = RONDE_OK;
	for (size_t i = 0; i < c->count && status == RONDE_OK; i++)
		status = check_item(&c->items[i], i);
	if (status != RONDE_OK)
		return status;
	c->sorted = malloc((c->count + 1) * sizeof *c->sorted);
	if (!c->sorted)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory to sort %zu items",
				   c->count);
	for (size_t i = 0; i < c->count; i++)
		c->sorted[i] = &c->items[i];
	qsort(c->sorted, c->count, sizeof *c->sorted, compare);
	for (size_t i = 1; i < c->count; i++)
		if (strcmp(c->sorted[i - 1]->name, c->sorted[i]->name) == 0)
			return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
					   "two items of the state are named \"%s\"",
					   c->sorted[i]->name);
	return RONDE_OK;
}

/* ---- what this rank finds ---- */

static bool fits(const ronde_state_item *item, const struct ronde_state_entry *e)
{
	return *item->data && e->exists && *item->count == e->count;
}

static struct finding look_up(struct ronde_state_call *c)
{
	if (c->broken.status != RONDE_OK)
		return (struct finding){.problem = BROKEN};
	if (c->count != c->listed)
		return (struct finding){.problem = NUMBER, .own = (int64_t)c->count};
	for (size_t i = 0; i < c->listed; i++) {
		const ronde_state_item *const *found =
			bsearch(c->names + c->entries[i].name, c->sorted, c->count,
				sizeof *c->sorted, compare_name);
		if (!found)
			return (struct finding){.problem = UNKNOWN, .item = (int64_t)i};
		if ((*found)->dtype != (ronde_dtype)c->entries[i].dtype)
			return (struct finding){
				.problem = TYPE, .item = (int64_t)i, .own = (*found)->dtype};
		c->mine[i] = *found;
	}
	return (struct finding){.problem = FINE};
}

/* Only once every item is known: memory of an item without `mine` could not be released. */
static struct finding get_memory(struct ronde_state_call *c)
{
	for (size_t i = 0; i < c->listed; i++) {
		const struct ronde_state_entry *e = &c->entries[i];
		size_t bytes = (size_t)e->count * ronde_dtype_bytes((ronde_dtype)e->dtype);
		if (fits(c->mine[i], e))
			c->memory[i] = *c->mine[i]->data;
		else if (e->exists)
			c->memory[i] = c->options.alloc(bytes ? bytes : 1, c->options.arg);
		if (e->exists && !c->memory[i])
			return (struct finding){.problem = MEMORY, .item = (int64_t)i};
	}
	return (struct finding){.problem = FINE};
}

/* ---- what all ranks find ---- */

static int describe(const struct ronde_state_call *c, const struct finding *f)
{
	const int rank = (int)f->rank;
	const struct ronde_state_entry *e = f->problem > NUMBER ? &c->entries[f->item] : NULL;
	const char *item = e ? c->names + e->name : "";
	switch ((enum problem)f->problem) {
	case NUMBER:
		return ronde_error(RONDE_ERR_MISMATCH,
				   "ronde_broadcast_state: the root, rank %d, lists %zu items, "
				   "rank %d %" PRId64 ": give the same names on all ranks",
				   c->root, c->listed, rank, f->own);
	case UNKNOWN:
		return ronde_error(
			RONDE_ERR_MISMATCH,
			"ronde_broadcast_state: item \"%s\" of the root, rank %d, is not "
			"listed by rank %d: give the same names on all ranks",
			item, c->root, rank);
	case TYPE:
		return ronde_error(RONDE_ERR_MISMATCH,
				   "ronde_broadcast_state: item \"%s\" is %s on the root, rank %d, "
				   "and %s on rank %d",
				   item, ronde_dtype_name((ronde_dtype)e->dtype), c->root,
				   ronde_dtype_name((ronde_dtype)f->own), rank);
	case MEMORY:
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY,
				   "ronde_broadcast_state: rank %d has no memory for the %" PRId64
				   " elements of item \"%s\"",
				   rank, e->count, item);
	default:
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "ronde_broadcast_state: rank %d's list cannot be right; its "
				   "error says why",
				   rank);
	}
}

static int conclude(const struct ronde_state_call *c, const ronde_gathered *all)
{
	const struct finding *findings = all->data;
	for (int64_t i = 0; i < all->rows; i++)
		if (findings[i].problem != FINE)
			return describe(c, &findings[i]);
	return RONDE_OK;
}

int ronde_state_agree(struct ronde_state_call *c)
{
	char text[RONDE_MAX_NAME + 1];
	ronde_gathered all = {0};
	ronde_options on = RONDE_OPTIONS_INIT;
	ronde_handle handle;
	const int64_t shape[] = {1, sizeof(struct finding) / sizeof(int64_t)};
	struct finding found = look_up(c);
	if (found.problem == FINE)
		found = get_memory(c);
	found.rank = c->rank;
	on.process_set = c->options.process_set;
	snprintf(text, sizeof text, "%s.agree", c->name ? c->name : "");
	int status = ronde_allgather_async(c->name ? text : NULL, &found, shape, 2, RONDE_INT64,
					   &all, &on, &handle);
	if (status == RONDE_OK)
		status = ronde_wait(handle);
	if (status == RONDE_OK)
		status = conclude(c, &all);
	free(all.data);
	return status;
}

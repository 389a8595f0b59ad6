/* SPDX-License-Identifier: Apache-2.0 */
/* Objects and optimizer state, of which only the root knows what there is. */
#include <stdlib.h>
#include <string.h>

#include "tests/rank_bodies.h"
#include "tests/suite.h"

/* ---- objects ---- */

#define OBJECTS 7

static void objects(int rank, int size, const void *arg)
{
	(void)arg;
	static const size_t lengths[OBJECTS] = {3, 0, 100000, 1, 17, 0, 4096};
	static unsigned char text[100000];
	for (int root = 0; root < size; root++) {
		ronde_bytes list[OBJECTS];
		for (size_t k = 0; k < sizeof text; k++)
			text[k] = (unsigned char)(k * 11 + (size_t)root);
		for (int i = 0; i < OBJECTS; i++)
			list[i] = rank == root
					  ? (ronde_bytes){lengths[i] ? text + i : NULL, lengths[i]}
					  : (ronde_bytes){text, 5};
		list[2].data = text;
		require_ok(ronde_broadcast_objects(root % 2 ? NULL : "objects", list, OBJECTS, root,
						   0));
		for (int i = 0; i < OBJECTS; i++) {
			const unsigned char *from = i == 2 ? text : text + i;
			require(list[i].bytes == lengths[i] && !list[i].data == !lengths[i],
				"object %d has %zu bytes", i, list[i].bytes);
			require(!lengths[i] || !memcmp(list[i].data, from, lengths[i]), "object %d",
				i);
			if (rank != root)
				free(list[i].data);
		}
	}
	require_ok(ronde_broadcast_objects("none", NULL, 0, 0, 0));
}

static void objects_refused(int rank, int size, const void *arg)
{
	(void)arg;
	char one = 1;
	ronde_bytes list[3] = {{&one, 1}, {rank ? &one : NULL, 1}, {&one, 1}};
	require_error(ronde_broadcast_objects("x", NULL, 3, 0, 0), RONDE_ERR_INVALID_ARGUMENT,
		      "ronde_broadcast_objects: the list of 3 objects is NULL");
	int status = ronde_broadcast_objects("x", list, 3, 0, 0);
	require(status == RONDE_ERR_INVALID_ARGUMENT &&
			!strcmp(ronde_error_message(),
				rank ? "the root, rank 0, gave ronde_broadcast_objects() no valid "
				       "bytes for \"x\""
				     : "ronde_broadcast_objects() was given 1 bytes, but data is "
				       "NULL"),
		"%s", ronde_error_message());
	list[1].data = &one;
	bool odd = size > 1 && rank == size - 1;
	status = ronde_broadcast_objects("x", list, odd ? 2 : 3, 0, 0);
	require(size == 1 || (status == RONDE_ERR_MISMATCH &&
			      strstr(ronde_error_message(), "\"x.length\"")),
		"%s", ronde_error_message());
	require(list[0].data == &one, "changed after an error");
	require_ok(ronde_broadcast_objects("x", list, 3, 0, 0));
	for (int i = 0; i < 3 && rank != 0; i++)
		free(list[i].data);
}

/* ---- state ---- */

enum { STEP, MOMENTUM, VARIANCE, GONE, EMPTY, ITEMS };

struct state {
	int64_t step, momentum_count, variance_count, gone_count, empty_count, one;
	int64_t *step_at;
	float *momentum;
	double *variance;
	uint16_t *gone, *empty;
};

static void list_state(struct state *s, ronde_state_item *list, int turn)
{
	s->step_at = &s->step;
	s->one = 1;
	const ronde_state_item all[ITEMS] = {
		{"step", RONDE_INT64, (void **)&s->step_at, &s->one},
		{"w.momentum", RONDE_FLOAT32, (void **)&s->momentum, &s->momentum_count},
		{"w.variance", RONDE_FLOAT64, (void **)&s->variance, &s->variance_count},
		{"gone", RONDE_FLOAT16, (void **)&s->gone, &s->gone_count},
		{"empty", RONDE_BFLOAT16, (void **)&s->empty, &s->empty_count},
	};
	for (int i = 0; i < ITEMS; i++)
		list[i] = all[(i + turn) % ITEMS];
}

static int allocated;

static void *counted_alloc(size_t bytes, void *arg)
{
	require(arg == &allocated, "another argument");
	if (bytes > (size_t)1 << 40)
		return NULL;
	allocated++;
	return malloc(bytes);
}

static void counted_release(void *memory, void *arg)
{
	require(arg == &allocated && memory, "nothing to release");
	allocated--;
	free(memory);
}

static const ronde_state_options counted = {sizeof(ronde_state_options), 0, counted_alloc,
					    counted_release, &allocated};

#define MOMENTS 321

static void fill_root(struct state *s)
{
	s->step = 42;
	s->momentum_count = MOMENTS;
	s->momentum = counted_alloc(MOMENTS * sizeof(float), &allocated);
	s->variance_count = 2;
	s->variance = counted_alloc(2 * sizeof(double), &allocated);
	s->empty = counted_alloc(1, &allocated);
	for (int i = 0; i < MOMENTS; i++)
		s->momentum[i] = (float)i / 2;
	s->variance[0] = 0.25;
	s->variance[1] = -1;
}

/* Others have nothing, something of another size, or something the root has not. */
static void fill_other(struct state *s, int rank)
{
	if (rank % 3 == 0)
		return;
	s->momentum_count = rank % 3 == 1 ? MOMENTS : 7;
	s->momentum = counted_alloc((size_t)s->momentum_count * sizeof(float), &allocated);
	s->gone = counted_alloc(10, &allocated);
	s->gone_count = 5;
}

static void empty_state(struct state *s)
{
	if (s->momentum)
		counted_release(s->momentum, &allocated);
	if (s->variance)
		counted_release(s->variance, &allocated);
	if (s->gone)
		counted_release(s->gone, &allocated);
	if (s->empty)
		counted_release(s->empty, &allocated);
}

static void state_arrives(int rank, int size, const void *arg)
{
	(void)arg;
	for (int root = 0; root < size; root++) {
		struct state s = {.step = -1};
		ronde_state_item list[ITEMS];
		if (rank == root)
			fill_root(&s);
		else
			fill_other(&s, rank);
		const float *before = s.momentum_count == MOMENTS ? s.momentum : NULL;
		list_state(&s, list, rank);
		require_ok(ronde_broadcast_state(root % 2 ? "state" : NULL, list, ITEMS, root,
						 &counted));
		require(s.step == 42 && s.step_at == &s.step, "step %lld", (long long)s.step);
		require(s.momentum_count == MOMENTS && (!before || before == s.momentum),
			"momentum was not written where it was");
		for (int i = 0; i < MOMENTS; i++)
			require(s.momentum[i] == (float)i / 2, "momentum %d", i);
		require(s.variance_count == 2 && s.variance[0] == 0.25 && s.variance[1] == -1,
			"variance");
		require(!s.gone && s.gone_count == 0 && s.empty && s.empty_count == 0,
			"what the root has not");
		empty_state(&s);
		require(allocated == 0, "%d pieces of memory are left", allocated);
	}
	require_ok(ronde_broadcast_state("nothing", NULL, 0, 0, NULL));
	/* Without functions: malloc() and free(). */
	float *fresh = rank ? NULL : calloc(3, sizeof *fresh);
	int64_t count = rank ? 99 : 3;
	const ronde_state_item item = {"m", RONDE_FLOAT32, (void **)&fresh, &count};
	require_ok(ronde_broadcast_state("plain", &item, 1, 0, NULL));
	require(fresh && count == 3 && fresh[2] == 0, "%lld elements", (long long)count);
	free(fresh);
}

/* Every rank must get this text, and nothing may have changed. */
static void fails_alike(struct state *s, const ronde_state_item *list, size_t count, int status,
			const char *text, int line)
{
	struct state before = *s;
	int held = allocated;
	int got = ronde_broadcast_state("state", list, count, 0, &counted);
	require(got == status && strcmp(ronde_error_message(), text) == 0, "line %d: %s: %s", line,
		ronde_status_name(got), ronde_error_message());
	require(memcmp(s, &before, sizeof before) == 0 && allocated == held,
		"line %d: something was changed", line);
}

static void state_refused(int rank, int size, const void *arg)
{
	(void)arg;
	struct state s;
	ronde_state_item list[ITEMS];
	char text[300];
	bool odd = rank == size - 1;
	memset(&s, 0, sizeof s);
	if (rank == 0)
		fill_root(&s);
	else
		fill_other(&s, rank);
	list_state(&s, list, 0);

	if (odd)
		list[VARIANCE].dtype = RONDE_FLOAT32;
	snprintf(text, sizeof text,
		 "ronde_broadcast_state: item \"w.variance\" is float64 on the root, rank 0, and "
		 "float32 on rank %d",
		 size - 1);
	fails_alike(&s, list, ITEMS, RONDE_ERR_MISMATCH, text, __LINE__);
	list_state(&s, list, 0);

	snprintf(text, sizeof text,
		 "ronde_broadcast_state: the root, rank 0, lists 5 items, rank %d 4: give the same "
		 "names on all ranks",
		 size - 1);
	fails_alike(&s, list, odd ? 4 : 5, RONDE_ERR_MISMATCH, text, __LINE__);

	if (odd)
		list[MOMENTUM].name = "v.momentum";
	snprintf(text, sizeof text,
		 "ronde_broadcast_state: item \"w.momentum\" of the root, rank 0, is not listed by "
		 "rank %d: give the same names on all ranks",
		 size - 1);
	fails_alike(&s, list, ITEMS, RONDE_ERR_MISMATCH, text, __LINE__);
	list_state(&s, list, 0);

	/* The root has far too many elements (which it need not have: they are never sent). */
	if (rank == 0)
		s.momentum_count = (int64_t)1 << 50;
	fails_alike(&s, list, ITEMS, RONDE_ERR_OUT_OF_MEMORY,
		    "ronde_broadcast_state: rank 1 has no memory for the 1125899906842624 elements "
		    "of item \"w.momentum\"",
		    __LINE__);
	if (rank == 0)
		s.momentum_count = -3;
	fails_alike(&s, list, ITEMS, RONDE_ERR_INVALID_ARGUMENT,
		    "item 1 of the state, \"w.momentum\", has the count -3", __LINE__);
	if (rank == 0)
		s.momentum_count = MOMENTS;

	if (odd)
		list[GONE].name = "step";
	snprintf(text, sizeof text,
		 "ronde_broadcast_state: rank %d's list cannot be right; its error says why",
		 size - 1);
	fails_alike(&s, list, ITEMS, RONDE_ERR_INVALID_ARGUMENT,
		    odd ? "two items of the state are named \"step\"" : text, __LINE__);
	list_state(&s, list, 0);

	ronde_state_options half = counted;
	half.release = NULL;
	require_error(ronde_broadcast_state("state", list, ITEMS, 0, &half),
		      RONDE_ERR_INVALID_ARGUMENT,
		      "ronde_broadcast_state: give both alloc and release, or neither");
	require_ok(ronde_broadcast_state("state", list, ITEMS, 0, &counted));
	require(s.step == 42 && s.momentum[MOMENTS - 1] == (MOMENTS - 1) / 2.0F,
		"not usable after errors");
	empty_state(&s);
}

/* ---- the suite ---- */

static const struct rank_body cases[] = {
	{"objects", objects, 1, 4},
	{"objects_refused", objects_refused, 1, 3},
	{"state_arrives", state_arrives, 1, 4},
	{"state_refused", state_refused, 2, 4},
};

START_TEST(bodies)
{
	rank_body_run(&cases[_i], NULL);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{bodies, 0, (int)(sizeof cases / sizeof *cases)},
	};
	return SUITE_RUN("state", 100, tests);
}

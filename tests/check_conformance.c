/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conformance: every operation × type × reduction × shape × number of ranks × {riding, staged,
 * zero-copy} × {alone, fused, grouped} × {in place, out of place} × {heap, ordinary} against a
 * serial reference (conformance/operation.h), ranks as threads and a part as processes through
 * ronde.h; and the same bits in all situations that differ in how only.
 *
 * Combinations without a meaning are left out with the reason, and counted. Of the others the usual
 * run takes one in so many, another one with every seed; RONDE_TEST_LONG takes all.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/census.h"
#include "tests/conformance/perform.h"
#include "tests/fork_ranks.h"
#include "tests/seed.h"
#include "tests/shape.h"
#include "tests/sizes.h"

static const int worlds[] = {1, 2, 3, 4, 5, 8};
#define WORLDS ((int)(sizeof worlds / sizeof *worlds))

/* Primes, so that each value of everything has its turn. SET_STRIDE: of a process set. */
#if defined(__SANITIZE_THREAD__)
#define STRIDE 307
#define SET_STRIDE 1201
#elif defined(__SANITIZE_ADDRESS__)
#define STRIDE 101
#define SET_STRIDE 401
#elif defined(__clang__)
#define STRIDE 19
#define SET_STRIDE 83
#else
#define STRIDE 7
#define SET_STRIDE 29
#endif
/* Of what threads run, what processes run again; and with how many ranks, but in a long run: the
 * race checker has seen it all when threads ran it. */
#define PROCESS_STRIDE 7
#ifdef __SANITIZE_THREAD__
#define PROCESS_RANKS 0
#else
#define PROCESS_RANKS 3
#endif

#define REASONS_MAX 32
/* Over nodes, where all of it is run once more for each shape. */
#define SHAPE_STRIDE 8

/* A tensor lot and all that was found about it. */
struct base {
	struct situation situation; /* path, company, place and memory are not its own */
	struct tensor lot[LOT];
};

struct scene {
	struct situation situation;
	struct base *base;
};

struct census {
	uint64_t seed;
	int ranks; /* that take part */
	int world;
	const struct op_set *set; /* of those, if they are not all */
	long stride, exist, excluded, run, run_by_processes, compared, undecided;
	struct {
		const char *why;
		long count;
	} reasons[REASONS_MAX];
	struct base *bases;
	int nbases;
	struct scene *scenes; /* of one path and company, those that are run */
	int nscenes;
	pthread_barrier_t meeting;
};

/* ---- which there are ---- */

static long stride_of(long usual)
{
	return test_is_long() ? 1 : test_shape() ? usual * SHAPE_STRIDE + 1 : usual;
}

static void exclude(struct census *c, const char *why)
{
	int i = 0;
	while (c->reasons[i].why && strcmp(c->reasons[i].why, why) != 0)
		i++;
	ck_assert_int_lt(i, REASONS_MAX);
	c->reasons[i].why = why;
	c->reasons[i].count++;
	c->excluded++;
}

static void add_bases(struct census *c)
{
	int n = 0;
	for (int o = 0; operations[o]; o++)
		n += RONDE_DTYPE_COUNT * RONDE_REDUCTION_COUNT * FORMS;
	c->bases = calloc((size_t)n, sizeof *c->bases);
	c->scenes = calloc((size_t)n * 4, sizeof *c->scenes);
	ck_assert(c->bases && c->scenes);
	for (int o = 0; operations[o]; o++)
		for (int d = 0; d < RONDE_DTYPE_COUNT; d++)
			for (int r = 0; r < RONDE_REDUCTION_COUNT; r++)
				for (int f = 0; f < FORMS; f++)
					c->bases[c->nbases++].situation =
						(struct situation){.operation = operations[o],
								   .dtype = (ronde_dtype)d,
								   .reduction = (ronde_reduction)r,
								   .form = (enum form)f,
								   .ranks = c->ranks};
}

static void add_scene(struct census *c, struct base *base, const struct situation *s)
{
	const char *why = situation_excluded(s);
	if (why) {
		exclude(c, why);
		return;
	}
	if ((uint64_t)c->exist++ % (uint64_t)c->stride != c->seed % (uint64_t)c->stride)
		return;
	if (!base->lot[0].wanted) {
		make_lot(c->seed, s, base->lot);
		for (int i = 0; i < LOT; i++)
			c->undecided += base->lot[i].undecided;
	}
	c->scenes[c->nscenes++] = (struct scene){*s, base};
}

static void choose_scenes(struct census *c, enum path path, enum company company)
{
	c->nscenes = 0;
	for (int i = 0; i < c->nbases; i++)
		for (int how = 0; how < 4; how++) {
			struct situation s = c->bases[i].situation;
			s.path = path;
			s.company = company;
			s.in_place = how & 1;
			s.heap = how & 2;
			add_scene(c, &c->bases[i], &s);
		}
}

/* ---- running them ---- */

static const char *const path_settings[PATHS][7] = {
	{"carry_bytes", "256K", "ring_bytes", "1M", NULL},
	{"carry_bytes", "0", "chunk_bytes", "256", "zero_copy", "no", NULL},
	{"carry_bytes", "0", "chunk_bytes", "256", NULL},
};

static void run_scenes_on(struct census *c, struct stage *g, int rank, int stride)
{
	const struct op everybody = {.kind = RONDE_KIND_BARRIER, .prescale = 1, .postscale = 1};
	const struct op here = {.set = c->set};
	struct buffers none = {0};
	int number = 0;
	if (c->set)
		must(g->port->add_set(g->to, c->set->ranks, (size_t)c->set->n, &number), "add");
	g->seed = c->seed;
	g->set = c->set;
	g->rank = op_member(&here, rank);
	g->leader = op_member(&here, 0);
	for (int i = 0; i < c->nscenes && g->rank >= 0; i += stride)
		perform(g, &c->scenes[i].situation, c->scenes[i].base->lot);
	/* Nobody ends the runtime while others are at it. */
	if (c->set)
		must(g->port->execute(g->to, &everybody, rank, &none), "barrier");
}

static void thread_body(struct rank *r)
{
	struct census *c = r->arg;
	struct stage stage = {.port = &port_context, .to = r, .meeting = &c->meeting};
	run_scenes_on(c, &stage, r->rank, 1);
}

static void process_body(int rank, int size, const void *arg)
{
	struct stage stage = {.port = &port_public};
	(void)size;
	run_scenes_on((struct census *)arg, &stage, rank, PROCESS_STRIDE);
}

/* Processes take their settings from the environment. */
static void run_processes(struct census *c, const char *const *settings)
{
	char names[8][64];
	int n = 0;
	for (; settings[2 * n]; n++) {
		snprintf(names[n], sizeof names[n], "RONDE_%s", settings[2 * n]);
		for (char *at = names[n]; *at; at++)
			*at = *at >= 'a' && *at <= 'z' ? (char)(*at - 'a' + 'A') : *at;
		setenv(names[n], settings[2 * n + 1], 1);
	}
	ck_assert_int_eq(fork_ranks(c->world, process_body, c), 0);
	while (n-- > 0)
		unsetenv(names[n]);
	c->run_by_processes += (c->nscenes + PROCESS_STRIDE - 1) / PROCESS_STRIDE;
}

static void run_scenes(struct census *c, enum path path, enum company company)
{
	const char *settings[10] = {0};
	int n = 0;
	for (; path_settings[path][n]; n++)
		settings[n] = path_settings[path][n];
	if (company == ALONE) {
		settings[n] = "fusion_threshold";
		settings[n + 1] = "0";
	}
	run_ranks(c->world, settings, thread_body, c);
	c->run += c->nscenes;
	if (!test_shape() && (c->world <= PROCESS_RANKS || test_is_long()))
		run_processes(c, settings);
}

/* ---- over ranks and operations ---- */

static const struct base *same_but(const struct census *c, const struct situation *s,
				   const struct operation *operation)
{
	for (int i = 0; i < c->nbases; i++) {
		const struct situation *t = &c->bases[i].situation;
		if (t->operation == operation && t->dtype == s->dtype &&
		    t->reduction == s->reduction && t->form == s->form)
			return &c->bases[i];
	}
	return NULL;
}

/* Each rank's bits are those of its rows in rank 0's of `other`, where both have been run. */
static void compare(struct census *c, const struct base *base, const struct base *other)
{
	const struct situation *s = &base->situation;
	size_t element = ronde_dtype_bytes(s->dtype);
	for (int i = 0; i < LOT; i++) {
		const struct tensor *t = &base->lot[i], *u = &other->lot[i];
		for (int r = 0; r < c->ranks && t->seen[r] && u->seen[0]; r++) {
			struct ronde_share p = s->operation->part(&t->op, c->ranks, r);
			c->compared++;
			if (memcmp(t->first[r], u->first[0] + p.first * element,
				   p.count * element) != 0)
				conform_failed(c->seed, s,
					       "rank %d has other bits than rank 0's %s", r,
					       other->situation.operation->name);
		}
	}
}

static void compare_all(struct census *c)
{
	for (int i = 0; i < c->nbases; i++) {
		const struct operation *rows_of = c->bases[i].situation.operation->rows_of;
		if (c->bases[i].situation.operation->differs)
			continue;
		compare(c, &c->bases[i],
			rows_of ? same_but(c, &c->bases[i].situation, rows_of) : &c->bases[i]);
	}
}

static void print_census(const struct census *c)
{
	char where[40], what[60];
	snprintf(where, sizeof where, "%d of %d ranks", c->ranks, c->world);
	snprintf(what, sizeof what, "situations, %ld of them again by processes",
		 c->run_by_processes);
	report_census("conformance", where, c->run, c->exist, what);
	if (c->undecided)
		printf("%ld tensors: in their adasum is a vector of nothing but rounding errors, "
		       "whose size decides whether all or half of another counts\n",
		       c->undecided);
	printf("  one in %ld, from number %llu on; %ld results compared over ranks and "
	       "operations\n  %ld combinations are none:\n",
	       c->stride, (unsigned long long)(c->seed % (uint64_t)c->stride), c->compared,
	       c->excluded);
	for (int i = 0; i < REASONS_MAX && c->reasons[i].why; i++)
		printf("  %8ld %s\n", c->reasons[i].count, c->reasons[i].why);
}

static void run_census(struct census *c)
{
	fflush(stdout);
	pthread_barrier_init(&c->meeting, NULL, (unsigned)c->ranks);
	add_bases(c);
	for (int path = 0; path < PATHS; path++)
		for (int company = 0; company < COMPANIES; company++) {
			choose_scenes(c, (enum path)path, (enum company)company);
			run_scenes(c, (enum path)path, (enum company)company);
		}
	compare_all(c);
	print_census(c);
	ck_assert_int_gt(c->run, 0);
	for (int i = 0; i < c->nbases; i++)
		free_lot(c->bases[i].lot);
	free(c->bases);
	free(c->scenes);
	pthread_barrier_destroy(&c->meeting);
}

START_TEST(conformance)
{
	struct census c = {.world = worlds[_i],
			   .ranks = worlds[_i],
			   .seed = test_seed(),
			   .stride = stride_of(STRIDE)};
	run_census(&c);
}
END_TEST

/* Without who leads the node, and with; with gaps; of one; of all but one. */
static const struct {
	int world;
	struct op_set set;
} sets[] = {
	{2, {.number = 1, .n = 1, .ranks = {1}}},
	{3, {.number = 1, .n = 2, .ranks = {0, 2}}},
	{5, {.number = 1, .n = 3, .ranks = {1, 2, 4}}},
	{5, {.number = 1, .n = 4, .ranks = {0, 1, 3, 4}}},
	{8, {.number = 1, .n = 5, .ranks = {0, 2, 3, 6, 7}}},
};
#define SETS ((int)(sizeof sets / sizeof *sets))

START_TEST(process_sets)
{
	struct census c = {.world = sets[_i].world,
			   .ranks = sets[_i].set.n,
			   .set = &sets[_i].set,
			   .seed = test_seed(),
			   .stride = stride_of(SET_STRIDE)};
	run_census(&c);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("conformance");
	TCase *tests = tcase_create("conformance");
	tcase_set_timeout(tests, test_is_long() ? 0 : 240);
	tcase_add_loop_test(tests, conformance, 0, WORLDS);
	tcase_add_loop_test(tests, process_sets, 0, SETS);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

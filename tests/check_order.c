/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations start in log order and have from the start what they need: invariant 3.
 *
 * The suite is linked with --wrap: every start and every end of an operation, on every rank, goes
 * through this file, which writes it down. Random programs run first, with large and small tensors
 * on every path, from two threads of each rank and in sets that overlap; then the record is judged:
 *
 *   on one rank    the indices of what it starts rise; a lane has one operation at a time; the
 *                  lane's counters are not beyond the operation's base when it starts, its end is;
 *                  staging has room for its chunks, and it ends with the lane it started with
 *   over all       an entry is the same operation on every member and on nobody else; it starts
 *                  when all members of the lane's last one have left that, and counts from there
 *
 * What the tensors hold is the business of other suites.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collectives/algorithms/lane.h"
#include "collectives/status.h"
#include "coordinator/control.h"
#include "tests/ranks.h"
#include "tests/seed.h"
#include "tests/sizes.h"
#include "tests/suite.h"

#define MOST_RANKS 5
#define MOST_LANES 8
#define MOST_SETS 8
#define THREADS 2
#define SLOTS 6                     /* tensors of a thread in flight */
#define BATCHES (4 + test_turns(8)) /* enough for every path to be taken */
#define LONGEST 300000              /* more than 1 MiB: it may start behind another one */

/* ---- the record ---- */

/* What an entry says, the same on all members; nothing but numbers, to be compared as memory. */
struct facts {
	uint64_t index, set, members, path, kind, pieces;
	/* of an operation, else 0; members: bits of local ranks; room: of the lane's staging */
	uint64_t lane, base, chunk_bytes, room;
};

struct event {
	enum { CARRIED, START, END } what;
	struct facts facts;
	uint64_t counted;          /* the furthest of the rank's own counters on the lane */
	uint64_t left[MOST_RANKS]; /* everybody's, as the rank sees it */
};

/* Of one rank; written under its engine lock, judged when its threads have ended. */
struct record {
	struct event *events;
	size_t n, room;
	bool on[MOST_LANES];
};

static struct record records[MOST_RANKS];

static uint64_t later(uint64_t a, _Atomic uint64_t *counter)
{
	uint64_t b = atomic_load_explicit(counter, memory_order_seq_cst);
	return a > b ? a : b;
}

static void note(const struct ronde_context *ctx, const struct ronde_active *a, int what)
{
	const struct ronde_plan *plan = &a->operation.plan;
	const struct ronde_node *node = ctx->node;
	struct record *record = &records[node->local_rank];
	if (record->n == record->room) {
		record->room = record->room ? 2 * record->room : 64;
		record->events = realloc(record->events, record->room * sizeof *record->events);
		if (!record->events)
			abort();
	}
	struct event *e = &record->events[record->n++];
	*e = (struct event){.what = plan->path == RONDE_PATH_CARRIED ? CARRIED : what,
			    .facts = {.index = a->index,
				      .set = a->set->id,
				      .path = plan->path,
				      .pieces = plan->npieces}};
	for (int m = 0; m < a->set->n; m++)
		e->facts.members |= UINT64_C(1) << a->set->local[m];
	if (e->what == CARRIED)
		return;
	/* Judged at once: what shares a lane may never end. */
	bool *on = &record->on[plan->lane % MOST_LANES];
	if (*on == (what == START)) {
		fprintf(stderr, "rank %d, entry %" PRIu64 ": lane %d is %s\n", node->local_rank,
			a->index, plan->lane, *on ? "not free" : "not its own");
		abort();
	}
	*on = what == START;
	e->facts.kind = plan->kind;
	e->facts.lane = (uint64_t)plan->lane;
	e->facts.base = plan->base;
	e->facts.chunk_bytes = plan->chunk_bytes;
	e->facts.room = ronde_chunk_limit(plan->arena->shape.staging_bytes, plan->n);
	struct ronde_lane_cell *own = ronde_member_cell(plan, plan->me);
	e->counted = later(later(later(0, &own->packed), &own->reduced), &own->unpacked);
	for (int i = 0; i < node->local_size; i++)
		e->left[i] = later(0, &ronde_lane_cell(plan->arena, plan->lane, i)->left);
}

void __real_ronde_active_start(struct ronde_context *ctx, struct ronde_active *a);
void __wrap_ronde_active_start(struct ronde_context *ctx, struct ronde_active *a);
void __wrap_ronde_active_start(struct ronde_context *ctx, struct ronde_active *a)
{
	note(ctx, a, START);
	__real_ronde_active_start(ctx, a);
}

void __real_ronde_timeline_executed(struct ronde_context *ctx, const struct ronde_active *a,
				    int status);
void __wrap_ronde_timeline_executed(struct ronde_context *ctx, const struct ronde_active *a,
				    int status);
void __wrap_ronde_timeline_executed(struct ronde_context *ctx, const struct ronde_active *a,
				    int status)
{
	note(ctx, a, END);
	__real_ronde_timeline_executed(ctx, a, status);
}

/* ---- the judge ---- */

#define TRUE_OF(condition, rank, e, text)                                                          \
	ck_assert_msg(condition, "rank %d, entry %" PRIu64 ", lane %" PRIu64 ": %s", rank,         \
		      (e)->facts.index, (e)->facts.lane, text)

static void judge_start(int rank, const struct event *e, int lanes, const struct event *on)
{
	TRUE_OF(e->facts.lane < (uint64_t)lanes, rank, e, "no such lane");
	TRUE_OF(!on, rank, e, "another operation of this rank is on the lane");
	TRUE_OF(e->counted <= e->facts.base && e->left[rank] <= e->facts.base, rank, e,
		"its counters are beyond the base");
	TRUE_OF(e->facts.path != RONDE_PATH_STAGED ||
			(e->facts.chunk_bytes && e->facts.chunk_bytes <= e->facts.room),
		rank, e, "its chunks do not fit into the staging");
}

static void judge_rank(int rank, int lanes)
{
	const struct event *on[MOST_LANES] = {0}, *last = NULL;
	const struct record *record = &records[rank];
	for (const struct event *e = record->events; e < record->events + record->n; e++) {
		TRUE_OF(e->facts.members >> rank & 1, rank, e, "the rank is not in the set");
		if (e->what == END) {
			const struct event *start = on[e->facts.lane];
			TRUE_OF(start && !memcmp(&start->facts, &e->facts, sizeof e->facts), rank,
				e, "ends as another operation than it started");
			TRUE_OF(e->left[rank] > e->facts.base && e->left[rank] >= e->counted, rank,
				e, "ends at less than it has counted");
			on[e->facts.lane] = NULL;
			continue;
		}
		TRUE_OF(!last || last->facts.index < e->facts.index, rank, e,
			"starts after one that stands behind it in the log");
		last = e;
		if (e->what == START) {
			judge_start(rank, e, lanes, on[e->facts.lane]);
			on[e->facts.lane] = e;
		}
	}
	for (int i = 0; i < lanes; i++)
		ck_assert_msg(!on[i], "rank %d: what started on lane %d has no end", rank, i);
}

/* What the lane's last operation was, and where it left the lane's counters. */
struct past {
	uint64_t members, left;
};

/* There is one: judge_rank() has seen it. */
static const struct event *end_of(const struct event *start)
{
	const struct event *e = start;
	while (e->what != END || e->facts.index != start->facts.index)
		e++;
	return e;
}

/* The next events of these ranks are one entry. Which of the counters a rank saw are judged for the
 * members of the lane's last operation only. */
static void judge_entry(const struct event *const *at, const struct facts *facts, int ranks,
			struct past *lanes)
{
	struct past *past = &lanes[facts->lane], now = {.members = facts->members};
	uint64_t members = 0;
	for (int i = 0; i < ranks; i++) {
		const struct event *e = at[i];
		if (!e || e->facts.index != facts->index)
			continue;
		members |= UINT64_C(1) << i;
		TRUE_OF(!memcmp(&e->facts, facts, sizeof *facts), i, e,
			"not what the other members take it for");
		if (e->what == CARRIED)
			continue;
		TRUE_OF(facts->base == past->left, i, e,
			"does not count from the end of the lane's last operation");
		for (int m = 0; m < ranks; m++)
			TRUE_OF(!(past->members >> m & 1) || e->left[m] >= past->left, i, e,
				"a member is not done with the lane's last operation");
		uint64_t left = end_of(e)->left[i];
		TRUE_OF(!now.left || now.left == left, i, e, "members end at different counts");
		now.left = left;
	}
	ck_assert_msg(members == facts->members,
		      "entry %" PRIu64 " for ranks %#" PRIx64 " was taken by %#" PRIx64,
		      facts->index, facts->members, members);
	if (facts->path != RONDE_PATH_CARRIED)
		*past = now;
}

/* The rank's event from there on that is no end. */
static const struct event *next_start(int rank, const struct event *e)
{
	const struct event *end = records[rank].events + records[rank].n;
	while (e < end && e->what == END)
		e++;
	return e < end ? e : NULL;
}

/* Goes through the log by what the ranks have taken of it. */
static void judge_all(int ranks, uint64_t *taken)
{
	const struct event *at[MOST_RANKS];
	struct past lanes[MOST_LANES] = {0};
	for (int i = 0; i < ranks; i++)
		at[i] = next_start(i, records[i].events);
	for (;;) {
		const struct facts *first = NULL;
		for (int i = 0; i < ranks; i++)
			if (at[i] && (!first || at[i]->facts.index < first->index))
				first = &at[i]->facts;
		if (!first)
			return;
		judge_entry(at, first, ranks, lanes);
		taken[first->path]++;
		uint64_t index = first->index;
		for (int i = 0; i < ranks; i++)
			if (at[i] && at[i]->facts.index == index)
				at[i] = next_start(i, at[i] + 1);
	}
}

/* ---- what is run ---- */

struct settings {
	int ranks, lanes;
	const char *const texts[9];
};

struct job {
	const struct settings *settings;
	uint64_t seed;
};

/* One thread of a rank. */
struct player {
	struct rank *rank;
	int number;
	uint64_t common, own; /* random numbers: of all ranks, of this one */
	const uint32_t *sets;
	int nsets;
	float *memory[2][SLOTS]; /* ordinary, and of the heap */
	ronde_handle handles[SLOTS];
};

static int draw(uint64_t *seed, int n)
{
	return (int)(next_random(seed) % (uint64_t)n);
}

/* The list of sets begins with 0, all ranks; further on 0 stands for one this rank is not in. */
static void play_slot(struct player *p, int slot, uint64_t seed)
{
	static const uint64_t counts[] = {0, 3, 900, 5000, 70000, LONGEST};
	char name[16];
	int set = draw(&seed, p->nsets);
	uint64_t count = counts[draw(&seed, 6)];
	void *memory = p->memory[draw(&seed, 2)][slot];
	struct ronde_submission s = {
		.name = name, .input = memory, .output = memory, .count = count};
	s.desc = (struct ronde_desc){.kind = RONDE_KIND_ALLREDUCE,
				     .dtype = RONDE_FLOAT32,
				     .reduction = (uint8_t)(draw(&seed, 2) ? RONDE_SUM : RONDE_MAX),
				     .ndim = 1,
				     .set = p->sets[set],
				     .prescale = 1,
				     .postscale = 1,
				     .dims = {(int64_t)count}};
	snprintf(name, sizeof name, "%d.%d", p->number, slot);
	p->handles[slot] = 0;
	if (set == 0 || p->sets[set])
		must(ronde_submit(p->rank->context, &s, &p->handles[slot]), "submit");
}

/* Submits what all ranks do, and waits for it, each in an order of this rank's own. */
static void *play(void *arg)
{
	struct player *p = arg;
	for (int batch = 0; batch < BATCHES; batch++) {
		uint64_t seed = next_random(&p->common);
		int first = draw(&p->own, SLOTS), step = draw(&p->own, 2) ? 1 : SLOTS - 1;
		for (int i = 0; i < SLOTS; i++) {
			int slot = (first + i * step) % SLOTS;
			play_slot(p, slot, seed + (uint64_t)slot);
		}
		first = draw(&p->own, SLOTS);
		for (int i = 0; i < SLOTS; i++) {
			ronde_handle handle = p->handles[(first + i) % SLOTS];
			if (handle)
				must(wait_for(p->rank, handle), "wait");
		}
	}
	return NULL;
}

/* The set's number, or 0 if this rank is not in it. */
static uint32_t add(struct rank *r, unsigned mask)
{
	int ranks[MOST_RANKS], set;
	size_t n = 0;
	ronde_handle handle;
	for (int i = 0; i < r->size; i++)
		if (mask >> i & 1)
			ranks[n++] = i;
	must(ronde_control_change_sets(r->context, RONDE_SET_ADD, ranks, n, 0, &set, &handle),
	     "add");
	must(wait_for(r, handle), "add");
	return mask >> r->rank & 1 ? (uint32_t)set : 0;
}

/* An allgather that is not over, and so has its lane, until rank 0 lets it end. */
struct held {
	_Atomic bool end;
	ronde_gathered gathered;
	ronde_handle handle;
	float x;
};

static void *give_late(size_t bytes, void *arg)
{
	struct held *held = arg;
	while (!atomic_load(&held->end))
		usleep(1000);
	return malloc(bytes);
}

static void hold(struct rank *r, uint32_t set, struct held *held)
{
	struct ronde_submission s = {.name = "held",
				     .input = &held->x,
				     .count = 1,
				     .rows = 1,
				     .gathered = &held->gathered};
	s.desc = (struct ronde_desc){.kind = RONDE_KIND_ALLGATHER,
				     .dtype = RONDE_FLOAT32,
				     .ndim = 1,
				     .set = set,
				     .prescale = 1,
				     .postscale = 1};
	if (r->rank == 0) {
		held->gathered.alloc = give_late;
		held->gathered.alloc_arg = held;
	}
	must(ronde_submit(r->context, &s, &held->handle), "submit");
}

static void program(struct rank *r)
{
	static const unsigned masks[] = {0x5, 0x6, 0xc, 0x9, 0xe, 0x1b};
	const struct job *job = r->arg;
	uint32_t sets[MOST_SETS] = {0}, apart = r->size > 2 ? add(r, 0x3) : 0;
	struct held held = {.handle = 0};
	struct player players[THREADS];
	pthread_t thread[THREADS];
	int nsets = 1;
	for (size_t k = 0; k < sizeof masks / sizeof *masks; k++)
		if (masks[k] < 1u << r->size)
			sets[nsets++] = add(r, masks[k]);
	if (apart && job->settings->lanes > 1)
		hold(r, apart, &held);
	for (int t = 0; t < THREADS; t++) {
		struct player *p = &players[t];
		*p = (struct player){.rank = r,
				     .number = t,
				     .common = job->seed + (uint64_t)t,
				     .own = job->seed + (uint64_t)(100 * (r->rank + 1) + t),
				     .sets = sets,
				     .nsets = nsets};
		for (int i = 0; i < SLOTS; i++) {
			p->memory[0][i] = calloc(LONGEST, sizeof(float));
			p->memory[1][i] = ronde_heap_alloc(r->heap, LONGEST * sizeof(float));
			if (!p->memory[0][i] || !p->memory[1][i])
				abort();
			memset(p->memory[1][i], 0, LONGEST * sizeof(float));
		}
		if (pthread_create(&thread[t], NULL, play, p))
			abort();
	}
	for (int t = 0; t < THREADS; t++) {
		pthread_join(thread[t], NULL);
		for (int i = 0; i < SLOTS; i++) {
			free(players[t].memory[0][i]);
			must(ronde_heap_free(r->heap, players[t].memory[1][i]), "free");
		}
	}
	atomic_store(&held.end, true);
	if (held.handle)
		must(wait_for(r, held.handle), "held");
	free(held.gathered.data);
	must(barrier(r), "barrier");
}

static const struct settings settings[] = {
	{5, 1, {"lanes", "1", NULL}},
	{5, 2, {"lanes", "2", NULL}},
	{5, 8, {"lanes", "8", NULL}},
	{3, 8, {"lanes", "8", "carry_bytes", "0", "chunk_bytes", "4096", NULL}},
	{4, 2, {"lanes", "2", "fusion_threshold", "0", "zero_copy", "no", NULL}},
	{2, 8, {"lanes", "8", "cache_capacity", "2", NULL}},
};

START_TEST(order_of_operations)
{
	struct job job = {.settings = &settings[_i], .seed = test_seed()};
	uint64_t taken[3] = {0};
	run_ranks(job.settings->ranks, job.settings->texts, program, &job);
	for (int i = 0; i < job.settings->ranks; i++)
		judge_rank(i, job.settings->lanes);
	judge_all(job.settings->ranks, taken);
	printf("%d ranks, %d lanes: %" PRIu64 " carried, %" PRIu64 " zero-copy, %" PRIu64
	       " staged\n",
	       job.settings->ranks, job.settings->lanes, taken[0], taken[1], taken[2]);
	ck_assert_msg(taken[RONDE_PATH_STAGED], "nothing was staged");
	for (int i = 0; i < MOST_RANKS; i++) {
		free(records[i].events);
		records[i] = (struct record){.events = NULL};
	}
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{order_of_operations, 0, sizeof settings / sizeof *settings},
	};
	return SUITE_RUN("order", 60, tests);
}

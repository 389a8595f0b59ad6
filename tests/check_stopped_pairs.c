/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two process sets of two ranks each, and one of the pairs is stopped. The other goes on as if
 * nothing were, unless local rank 0 is stopped, which orders the operations of the node: then it
 * waits, is told within the promised time for whom, and goes on with that rank.
 */
#include "tests/stall_ranks.h"

#include <sys/mman.h>

#include "tests/sizes.h"

/* Who is who: the pairs, which ranks are stopped (bit r: rank r), and how many lanes there are. */
struct picture {
	int ranks, pairs[2][2];
	unsigned stopped;
	const char *lanes;
};

static const struct picture pictures[] = {
	/* The leader is in the pair that goes on; both of the other are stopped. */
	{4, {{0, 1}, {2, 3}}, 1 << 2 | 1 << 3, "8"},
	/* The leader is in neither and calls nothing; one is stopped and one waits for it. */
	{5, {{1, 2}, {3, 4}}, 1 << 4, "8"},
	{5, {{1, 2}, {3, 4}}, 1 << 4, "4"},
};
#define PICTURES ((int)(sizeof pictures / sizeof *pictures))

/* ---- a pair without the leader ---- */

#define LARGE (200000 / SIZES_DIVISOR)
#define AT_ONCE 64
#define SANITIZED (SIZES_DIVISOR > 3)
#define STOP_MS (SANITIZED ? 3000 : 1000)
#define MOST_TIMES 10000

/* How long rounds took, one after the other. */
struct times {
	int n;
	double seconds[MOST_TIMES];
};

struct shared {
	const struct picture *picture;
	_Atomic bool stopped;
	_Atomic long rounds[FAULT_RANKS_MAX];
	double lost;               /* seconds that others had while the pair was stopped */
	struct times free_pair[2]; /* of its first rank: nobody is stopped, the other pair is */
};

static struct shared *shared;

static int compare_seconds(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* In order of their length from here on. */
static double median(struct times *t)
{
	qsort(t->seconds, (size_t)t->n, sizeof *t->seconds, compare_seconds);
	return t->seconds[t->n / 2];
}

/* A round that belongs to one of the two; not one in which ranks were stopped or went on. */
static void note_round(struct shared *s, bool stopped, uint64_t start)
{
	struct times *t = &s->free_pair[stopped];
	if (atomic_load(&s->stopped) == stopped && t->n < MOST_TIMES)
		t->seconds[t->n++] = (double)(scene_now() - start) * 1e-9;
}

/* What goes in and comes out: in ordinary memory, and, every fourth, in the heap. */
struct memory {
	float in[LARGE], sum[LARGE], out[AT_ONCE][LARGE];
	float *heap_in, *heap_out;
};

static void fill(struct memory *m, int place)
{
	size_t outputs = AT_ONCE / 4;
	m->heap_in = ronde_alloc(LARGE * sizeof *m->heap_in);
	m->heap_out = ronde_alloc(outputs * LARGE * sizeof *m->heap_out);
	require(m->heap_in && m->heap_out, "%s", ronde_error_message());
	for (int i = 0; i < LARGE; i++) {
		float first = 0.1f + (float)i * 0.001f, second = 0.7f - (float)i * 0.003f;
		m->heap_in[i] = m->in[i] = place ? second : first;
		m->sum[i] = first + second;
	}
}

/* Many sums at once, of sizes that ride and that do not; all must come out right. */
static void play_round(struct memory *m, const ronde_options *o)
{
	static const int64_t counts[] = {4, 3000, LARGE};
	ronde_handle handles[AT_ONCE];
	float *outs[AT_ONCE];
	for (int k = 0; k < AT_ONCE; k++) {
		bool heap = k % 4 == 3;
		outs[k] = heap ? m->heap_out + k / 4 * (size_t)LARGE : m->out[k];
		memset(outs[k], 0, (size_t)counts[k % 3] * sizeof **outs);
		require_ok(ronde_allreduce_async(NULL, heap ? m->heap_in : m->in, outs[k],
						 counts[k % 3], RONDE_FLOAT32, RONDE_SUM, o,
						 &handles[k]));
	}
	for (int k = 0; k < AT_ONCE; k++)
		require_ok(ronde_wait(handles[k]));
	for (int k = 0; k < AT_ONCE; k++)
		require(memcmp(outs[k], m->sum, (size_t)counts[k % 3] * sizeof **outs) == 0,
			"sum %d of %lld is wrong", k, (long long)counts[k % 3]);
}

/* The pair with this rank: its set, and the rank's place in it; -1: in neither. */
static int make_pairs(const struct picture *p, int rank, int *set)
{
	int place = -1;
	for (int k = 0; k < 2; k++) {
		int id;
		require_ok(ronde_process_set_add(p->pairs[k], 2, &id));
		for (int i = 0; i < 2; i++)
			if (p->pairs[k][i] == rank) {
				*set = id;
				place = i;
			}
	}
	return place;
}

static void rounds_body(struct scene *scene, int rank)
{
	struct shared *s = shared;
	static struct memory memory;
	ronde_options o = RONDE_OPTIONS_INIT;
	require_ok(ronde_init(NULL));
	int place = make_pairs(s->picture, rank, &o.process_set);
	fill(&memory, place);
	require_ok(ronde_barrier());
	for (int64_t stop = place < 0; !stop;) {
		bool stopped = atomic_load(&s->stopped);
		uint64_t start = scene_now();
		ronde_handle handle;
		play_round(&memory, &o);
		int64_t mine = atomic_load(&scene->go);
		require_ok(ronde_allreduce_async("stop", &mine, &stop, 1, RONDE_INT64, RONDE_MAX,
						 &o, &handle));
		require_ok(ronde_wait(handle));
		if (rank == s->picture->pairs[0][0])
			note_round(s, stopped, start);
		atomic_fetch_add(&s->rounds[rank], 1);
	}
	require_ok(ronde_barrier());
	require_ok(ronde_free(memory.heap_in));
	require_ok(ronde_free(memory.heap_out));
	require_ok(ronde_shutdown());
}

/* Waits until the ranks of a pair have come further by so many rounds. */
static void await_rounds(struct scene *scene, int pair, long more)
{
	const int *ranks = shared->picture->pairs[pair];
	long first[2];
	uint64_t start = scene_now();
	for (int i = 0; i < 2; i++)
		first[i] = atomic_load(&shared->rounds[ranks[i]]);
	for (int i = 0; i < 2; i++)
		while (atomic_load(&shared->rounds[ranks[i]]) < first[i] + more) {
			ck_assert_msg(scene_runs(scene, ranks[i]) &&
					      scene_now() - start < 50000000000u,
				      "rank %d does not get on", ranks[i]);
			sleep_ms(1);
		}
}

static long rounds_of(int pair)
{
	const int *ranks = shared->picture->pairs[pair];
	return atomic_load(&shared->rounds[ranks[0]]) + atomic_load(&shared->rounds[ranks[1]]);
}

static void signal_stopped(struct scene *scene, int number)
{
	for (int r = 0; r < scene->n; r++)
		if (shared->picture->stopped >> r & 1)
			scene_signal(scene, r, number);
}

/* In the middle of all, with lanes and rings full of what is in flight there. */
static void stop_a_pair(struct scene *scene)
{
	await_rounds(scene, 0, 6);
	await_rounds(scene, 1, 6);
	signal_stopped(scene, SIGSTOP);
	double lost = scene_lost();
	atomic_store(&shared->stopped, true);
	sleep_ms(STOP_MS / 2);
	/* That pair ends no round, and the free one any number: on a busy machine they take long.
	 */
	long held = rounds_of(1);
	sleep_ms(STOP_MS / 2);
	await_rounds(scene, 0, 4);
	ck_assert_msg(rounds_of(1) == held, "the pair was not stopped");
	atomic_store(&shared->stopped, false);
	shared->lost = scene_lost() - lost;
	signal_stopped(scene, SIGCONT);
	await_rounds(scene, 1, 6);
}

START_TEST(stopped_pair)
{
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
	shared->picture = &pictures[_i];
	setenv("RONDE_LANES", pictures[_i].lanes, 1);
	struct scene *scene = scene_open(pictures[_i].ranks, rounds_body, NULL);
	stop_a_pair(scene);
	atomic_store(&scene->go, 1);
	scene_close(scene, 0);
	/* Nothing of the free pair waits for those that are stopped, neither once nor on the whole.
	 */
	struct times *running = &shared->free_pair[0], *stopped = &shared->free_pair[1];
	ck_assert(running->n > 3 && stopped->n > 3);
	double usual = median(running), meanwhile = median(stopped);
	double longest = stopped->seconds[stopped->n - 1], lost = shared->lost;
	ck_assert_msg(longest - lost < STOP_MS * 1e-3 / 2 &&
			      (meanwhile - lost < 3 * usual || SANITIZED),
		      "while the other pair was stopped for %d ms or more a round took %.4f s (the "
		      "median of %d) and at most %.4f s; else %.4f s (of %d); %.3f s were lost",
		      STOP_MS, meanwhile, stopped->n, longest, usual, running->n, lost);
	munmap(shared, sizeof *shared);
}
END_TEST

/* ---- the pair of the leader ---- */

static const struct picture with_leader = {4, {{0, 1}, {2, 3}}, 1 << 0 | 1 << 1, NULL};

static void play_rounds(int set, int place, int rounds)
{
	static float data[COUNT];
	for (int i = 0; i < rounds; i++) {
		stall_fill(data, place);
		require_ok(ronde_wait(stall_submit_to(set, "grad", data)));
		stall_check_sum(data, 2);
	}
}

static void leader_body(struct scene *scene, int rank)
{
	int set;
	stall_begin(scene, rank);
	int place = make_pairs(&with_leader, rank, &set);
	play_rounds(set, place, 5);
	scene_reach(scene, rank, GOING);
	scene_wait_go(scene);
	play_rounds(set, place, 5);
	stall_finish(scene, rank);
}

/* The free pair waits, since nobody orders what it submits; who of it notices first tells why. */
START_TEST(stopped_pair_of_the_leader)
{
	struct scene *scene = stall_open(4, leader_body, "0");
	stall_await_all(scene, GOING);
	for (int r = 0; r < 2; r++)
		scene_signal(scene, r, SIGSTOP);
	sleep_ms(50);
	struct moment start = scene_mark();
	atomic_store(&scene->go, 1);
	int teller = stall_await_teller(scene, 2);
	stall_in_time(start, teller, 0);
	char want[1000];
	snprintf(want, sizeof want,
		 "nothing has got on for # s: rank %d waits for allreduce \"grad\" of set 2\n"
		 "rank 0, which orders the operations of this node," STOPPED "\nrank 1" STOPPED,
		 teller);
	ck_assert_str_eq(lines[teller].text[0], want);
	for (int r = 0; r < 2; r++)
		scene_signal(scene, r, SIGCONT);
	stall_close(scene, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stopped_pairs");
	TCase *tests = tcase_create("stopped_pairs");
	tcase_set_timeout(tests, 100);
	tcase_add_loop_test(tests, stopped_pair, 0, PICTURES);
	tcase_add_test(tests, stopped_pair_of_the_leader);
	suite_add_tcase(suite, tests);
	return stall_run(suite);
}

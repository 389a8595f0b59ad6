/* SPDX-License-Identifier: Apache-2.0 */
/* A dead process is noticed whatever way it went; a live one never is. */
#include <sched.h>
#include <sys/syscall.h>

#include "collectives/bootstrap/wait.h"
#include "tests/node_ranks.h"
#include "tests/suite.h"

enum death { KILLED, EXITED_0, EXITED_1, ABORTED, CRASHED, LEFT_A_CHILD, DEATHS };

/* Shared by the ranks and the test. */
struct scene {
	enum death death;
	bool pipes, clean;
	_Atomic int watching;          /* ranks whose watcher runs */
	_Atomic uint64_t died_at;      /* nanoseconds */
	_Atomic uint64_t slowest;      /* of the survivors, to notice it */
	_Atomic uint32_t first_blamed; /* the arena's word at the end */
};

struct losses {
	_Atomic uint32_t count, ranks; /* bit r: rank r was reported */
	_Atomic uint64_t at;
};

static uint64_t nanoseconds(void)
{
	return (uint64_t)(ronde_seconds() * 1e9);
}

static void note_loss(int rank, void *arg)
{
	struct losses *l = arg;
	atomic_store(&l->at, nanoseconds());
	atomic_fetch_or(&l->ranks, 1u << rank);
	atomic_fetch_add(&l->count, 1);
}

static void sleep_ms(long ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	nanosleep(&t, NULL);
}

static bool eventually(const _Atomic uint32_t *word, uint32_t value)
{
	for (int i = 0; i < 5000 && atomic_load(word) != value; i++)
		sleep_ms(1);
	return atomic_load(word) == value;
}

_Noreturn static void die(struct scene *scene)
{
	if (scene->death == LEFT_A_CHILD && fork() == 0) {
		/* Has copies of all descriptors, and outlives its parent. */
		sleep_ms(3000);
		_exit(0);
	}
	atomic_store(&scene->died_at, nanoseconds());
	switch (scene->death) {
	/* As _exit() does, but for sanitizers, which think for a second first. */
	case EXITED_0:
		syscall(SYS_exit_group, 0);
		abort();
	case EXITED_1:
		syscall(SYS_exit_group, 1);
		abort();
	case ABORTED:
		signal(SIGABRT, SIG_DFL);
		abort();
	case CRASHED:
		signal(SIGSEGV, SIG_DFL);
		raise(SIGSEGV);
		_exit(1);
	default:
		raise(SIGKILL);
		_exit(1);
	}
}

static void set_pipes(int rank, struct ronde_node_options *options)
{
	(void)rank;
	options->no_pidfd = true;
}

static void wait_for_watchers(struct node_rank *r)
{
	struct scene *scene = r->shared;
	atomic_fetch_add(&scene->watching, 1);
	while (atomic_load(&scene->watching) < r->size)
		sched_yield();
}

/* Rank 1 dies; the others must be told of rank 1 and of nobody else. */
static int survive(struct node_rank *r)
{
	struct scene *scene = r->shared;
	struct losses losses = {0};
	struct ronde_watcher *watcher;
	if (ronde_watcher_start(&watcher, r->node, note_loss, &losses))
		return __LINE__;
	wait_for_watchers(r);
	if (r->rank == 1) {
		sleep_ms(20);
		if (scene->clean)
			atomic_store(&r->node->arena.ranks[1].life, RONDE_LIFE_DOWN);
		die(scene);
	}
	int bad = 0;
	if (scene->clean)
		sleep_ms(200);
	else if (!eventually(&losses.count, 1))
		bad = __LINE__;
	sleep_ms(50); /* time for a report too many */
	if (!bad && atomic_load(&losses.ranks) != (scene->clean ? 0 : 2))
		bad = __LINE__;
	if (!bad && atomic_load(&r->node->arena.header->lost) != (scene->clean ? 0 : 2))
		bad = __LINE__;
	if (!scene->clean && !bad) {
		uint64_t took = atomic_load(&losses.at) - atomic_load(&scene->died_at);
		uint64_t before = atomic_load(&scene->slowest);
		while (took > before &&
		       !atomic_compare_exchange_weak(&scene->slowest, &before, took))
			;
	}
	/* All survivors stay until all have looked: their own leaving is not part of it. */
	atomic_fetch_sub(&scene->watching, 1);
	while (!bad && atomic_load(&scene->watching) > 1)
		sched_yield();
	ronde_watcher_stop(watcher);
	return bad;
}

static struct scene *new_scene(void)
{
	struct scene *scene = mmap(NULL, sizeof *scene, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(scene, MAP_FAILED);
	return scene;
}

static void run_scene(struct scene *scene)
{
	struct node_ranks ranks = {
		.body = survive,
		.prepare = scene->pipes ? set_pipes : NULL,
		.shared = scene,
	};
	/* The one that dies does not end well, unless it does so by _exit(0). */
	int expected = scene->death != EXITED_0;
	ck_assert_int_eq(node_ranks_fork(4, &ranks), expected);
	ck_assert_uint_lt(atomic_load(&scene->slowest), 1000000000u);
	munmap(scene, sizeof *scene);
}

/* _i: ways to die, by pidfd and then by pipe */
START_TEST(death_is_noticed)
{
	struct scene *scene = new_scene();
	scene->death = (enum death)(_i % DEATHS);
	scene->pipes = _i >= DEATHS;
	run_scene(scene);
}
END_TEST

START_TEST(leaving_after_shutdown_is_no_loss)
{
	struct scene *scene = new_scene();
	scene->death = EXITED_0;
	scene->clean = true;
	scene->pipes = _i;
	run_scene(scene);
}
END_TEST

/* Two die, one long after the other: both are reported, the first is blamed. */
static int survive_two(struct node_rank *r)
{
	struct scene *scene = r->shared;
	struct losses losses = {0};
	struct ronde_watcher *watcher;
	if (ronde_watcher_start(&watcher, r->node, note_loss, &losses))
		return __LINE__;
	wait_for_watchers(r);
	if (r->rank == 2)
		die(scene);
	if (r->rank == 1) {
		if (!eventually(&losses.count, 1))
			return __LINE__;
		die(scene);
	}
	int bad = eventually(&losses.count, 2) && atomic_load(&losses.ranks) == 6 &&
				  atomic_load(&r->node->arena.header->lost) == 3
			  ? 0
			  : __LINE__;
	ronde_watcher_stop(watcher);
	return bad;
}

START_TEST(the_first_is_blamed)
{
	struct scene *scene = new_scene();
	struct node_ranks ranks = {.body = survive_two, .shared = scene};
	ck_assert_int_eq(node_ranks_fork(3, &ranks), 2);
	munmap(scene, sizeof *scene);
}
END_TEST

/* A process that died before the watcher started, which is when most are told. */
static int start_late(struct node_rank *r)
{
	struct losses losses = {0};
	struct ronde_watcher *watcher;
	if (r->rank == 1)
		die(r->shared);
	sleep_ms(50);
	if (ronde_watcher_start(&watcher, r->node, note_loss, &losses))
		return __LINE__;
	int bad = eventually(&losses.count, 1) && atomic_load(&losses.ranks) == 2 ? 0 : __LINE__;
	ronde_watcher_stop(watcher);
	return bad;
}

START_TEST(death_before_watching_is_noticed)
{
	struct scene *scene = new_scene();
	struct node_ranks ranks = {.body = start_late, .shared = scene};
	ck_assert_int_eq(node_ranks_fork(2, &ranks), 1);
	munmap(scene, sizeof *scene);
}
END_TEST

static int thread_count(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	int n = -1;
	while (f && fgets(line, sizeof line, f))
		if (strncmp(line, "Threads:", 8) == 0)
			n = (int)strtol(line + 8, NULL, 10);
	if (f)
		fclose(f);
	return n;
}

/* Threads die with their process: there is nothing to watch, and no thread for it. */
static int watch_threads(struct node_rank *r)
{
	struct ronde_watcher *watcher;
	int before = thread_count();
	if (ronde_watcher_start(&watcher, r->node, note_loss, NULL))
		return __LINE__;
	int after = thread_count();
	ronde_watcher_stop(watcher);
	return before == after ? 0 : __LINE__;
}

START_TEST(alone_there_is_no_thread)
{
	struct node_ranks ranks = {.body = watch_threads};
	ck_assert_int_eq(node_ranks_threads(1, NULL, &ranks), 0);
	ck_assert_int_eq(node_ranks_fork(1, &ranks), 0);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{death_is_noticed, 0, 2 * DEATHS}, {leaving_after_shutdown_is_no_loss, 0, 2},
		{the_first_is_blamed, ONCE},       {death_before_watching_is_noticed, ONCE},
		{alone_there_is_no_thread, ONCE},
	};
	return SUITE_RUN("watcher", 60, tests);
}

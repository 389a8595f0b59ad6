/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fault_ranks.h"

#include <check.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "collectives/bootstrap/wait.h"
#include "tests/lost_time.h"
#include "tests/names_left.h"

/* Nothing of a test takes longer, whatever the machine does besides. */
#define SCENE_SECONDS 60

uint64_t scene_now(void)
{
	return (uint64_t)(ronde_seconds() * 1e9);
}

void sleep_ms(long ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

/* ---- what others had of the machine ---- */

/* The scene that this process directs, or is a rank of. */
static struct scene *here;

/* What a rank had when it was last seen: its process may be gone. */
static double rank_used(struct fault_rank *rank)
{
	double used = lost_time_used(rank->pid), before = atomic_load(&rank->used);
	if (used <= before)
		return before;
	atomic_store(&rank->used, used);
	return used;
}

double scene_lost(void)
{
	int cores;
	double others = lost_time_busy(&cores) - here->busy;
	double director = lost_time_used(here->director);
	for (int r = 0; r < here->n; r++)
		others -= rank_used(&here->ranks[r]);
	if (director > here->used)
		others -= director - here->used;
	return others > 0 && cores > 0 ? others / cores : 0;
}

struct moment scene_mark(void)
{
	return (struct moment){.lost = scene_lost(), .at = scene_now()};
}

double scene_seconds(struct moment from, struct moment to)
{
	return to.at > from.at ? (double)(to.at - from.at) * 1e-9 : 0;
}

double scene_own_seconds(struct moment from, struct moment to)
{
	double lost = to.lost - from.lost;
	return scene_seconds(from, to) - (lost > 0 ? lost : 0);
}

/* ---- ranks ---- */

void scene_reach(struct scene *scene, int rank, int phase)
{
	atomic_store(&scene->ranks[rank].phase, phase);
}

bool scene_others_reached(struct scene *scene, int rank, int phase)
{
	for (int r = 0; r < scene->n; r++)
		if (r != rank && atomic_load(&scene->ranks[r].phase) < phase)
			return false;
	return true;
}

void scene_wait_go(struct scene *scene)
{
	while (!atomic_load(&scene->go))
		sleep_ms(1);
}

void scene_world(int rank, int size, const char *address)
{
	char number[16];
	snprintf(number, sizeof number, "%d", rank);
	setenv("RONDE_RANK", number, 1);
	snprintf(number, sizeof number, "%d", size);
	setenv("RONDE_SIZE", number, 1);
	setenv("RONDE_ADDRESS", address, 1);
}

void scene_told(struct scene *scene, int rank)
{
	struct fault_rank *me = &scene->ranks[rank];
	struct moment now = scene_mark();
	me->told_lost = now.lost;
	atomic_store(&me->told_at, now.at);
	snprintf(me->text, sizeof me->text, "%s", ronde_error_message());
}

void scene_leaves(struct scene *scene, int rank)
{
	atomic_store(&scene->ranks[rank].left_at, scene_now());
}

/* ---- what must not be left over ---- */

static int names_before;

/* Another test on this machine may hold a name for a moment: what is left over stays. */
static bool names_are_gone(void)
{
	for (int i = 0; i < 2000 && names_left() > names_before; i++)
		sleep_ms(1);
	return names_left() <= names_before;
}

/* ---- the director ---- */

struct scene *scene_open(int n, scene_body body, const void *arg)
{
	static int scenes;
	struct scene *scene = mmap(NULL, sizeof *scene, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(scene, MAP_FAILED);
	scene->n = n;
	scene->arg = arg;
	snprintf(scene->address, sizeof scene->address, "fault-%d-%d", (int)getpid(), scenes);
	snprintf(scene->address2, sizeof scene->address2, "fault2-%d-%d", (int)getpid(), scenes++);
	int cores;
	here = scene;
	scene->director = getpid();
	scene->used = lost_time_used(scene->director);
	scene->busy = lost_time_busy(&cores);
	/* Processes that ranks leave behind become the director's children. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	names_before = names_left();
	fflush(NULL);
	for (int r = 0; r < n; r++) {
		pid_t pid = fork();
		if (pid == 0) {
			scene->ranks[r].pid = getpid();
			scene_world(r, n, scene->address);
			fork_ranks_have_children();
			body(scene, r);
			scene_leaves(scene, r);
			exit(0);
		}
		scene->ranks[r].pid = pid;
	}
	return scene;
}

static double seconds_of(struct timeval t)
{
	return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

/* Reaps what has ended; returns how many ranks still run. */
static int look(struct scene *scene)
{
	int left = 0;
	struct rusage use;
	for (int r = 0; r < scene->n; r++) {
		struct fault_rank *rank = &scene->ranks[r];
		if (!rank->ended && wait4(rank->pid, &rank->status, WNOHANG, &use) == rank->pid &&
		    !WIFSTOPPED(rank->status)) {
			rank->ended = true;
			rank->ended_at = scene_now();
			atomic_store(&rank->used,
				     seconds_of(use.ru_utime) + seconds_of(use.ru_stime));
		}
		left += !rank->ended;
	}
	return left;
}

static void kill_all(struct scene *scene)
{
	for (int r = 0; r < scene->n; r++)
		if (!scene->ranks[r].ended)
			kill(scene->ranks[r].pid, SIGKILL);
}

static bool ended_badly(const struct scene *scene, unsigned victims)
{
	for (int r = 0; r < scene->n; r++)
		if (!(victims >> r & 1) && scene->ranks[r].ended && scene->ranks[r].status)
			return true;
	return false;
}

bool scene_runs(struct scene *scene, int rank)
{
	look(scene);
	return !scene->ranks[rank].ended;
}

void scene_await(struct scene *scene, int rank, int phase)
{
	double deadline = ronde_seconds() + SCENE_SECONDS;
	while (atomic_load(&scene->ranks[rank].phase) < phase) {
		bool runs = scene_runs(scene, rank);
		int is = atomic_load(&scene->ranks[rank].phase);
		if (is < phase && (!runs || ronde_seconds() > deadline)) {
			kill_all(scene);
			ck_abort_msg("rank %d of %d is at phase %d, not %d", rank, scene->n, is,
				     phase);
		}
		sleep_ms(1);
	}
}

void scene_signal(struct scene *scene, int rank, int number)
{
	uint64_t never = 0;
	if (number == SIGKILL)
		atomic_compare_exchange_strong(&scene->died_at, &never, scene_now());
	kill(scene->ranks[rank].pid, number);
}

double scene_slowest(struct scene *scene, unsigned victims)
{
	double deadline = ronde_seconds() + SCENE_SECONDS, worst = 0;
	for (int r = 0; r < scene->n; r++) {
		const struct fault_rank *rank = &scene->ranks[r];
		if (victims >> r & 1)
			continue;
		while (!atomic_load(&rank->told_at) && scene_runs(scene, r) &&
		       ronde_seconds() < deadline)
			sleep_ms(1);
		uint64_t told = atomic_load(&rank->told_at), died = atomic_load(&scene->died_at);
		if (told > died && (double)(told - died) * 1e-9 > worst)
			worst = (double)(told - died) * 1e-9;
	}
	return worst - scene_lost();
}

/* Seconds from a rank's leaving until it was gone: the longest, and whose that was. */
static double slowest_to_leave(const struct scene *scene, int *rank)
{
	double worst = 0;
	*rank = 0;
	for (int r = 0; r < scene->n; r++) {
		uint64_t left = atomic_load(&scene->ranks[r].left_at);
		double took = (double)(scene->ranks[r].ended_at - left) * 1e-9;
		if (left && scene->ranks[r].ended_at > left && took > worst) {
			worst = took;
			*rank = r;
		}
	}
	return worst;
}

void scene_close(struct scene *scene, unsigned victims)
{
	double deadline = ronde_seconds() + SCENE_SECONDS;
	int left;
	while ((left = look(scene)) && !ended_badly(scene, victims) && ronde_seconds() < deadline)
		sleep_ms(1);
	bool bad = ended_badly(scene, victims);
	if (left)
		kill_all(scene);
	int late;
	double took = slowest_to_leave(scene, &late) - scene_lost();
	munmap(scene, sizeof *scene);
	ck_assert_msg(!bad, "a rank found something wrong: see above");
	ck_assert_msg(!left, "%d ranks still ran after %d s", left, SCENE_SECONDS);
	/* Leaving waits for nobody; and nobody has left anything behind. */
	ck_assert_msg(took < FAULT_SECONDS, "rank %d's exit took %.3f s", late, took);
	ck_assert_msg(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD, "a process is left");
	ck_assert_msg(names_are_gone(), "a name of Ronde's is left in /dev/shm or /tmp");
}

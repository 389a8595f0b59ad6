/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rank is lost in the middle of large operations. When a survivor is told, nobody writes its
 * memory any more: not the dead, not the other survivors, and not a rank that is busy with the
 * exit handlers of its program.
 */
#include "tests/fault_ranks.h"

#include <sys/mman.h>

#include "collectives/algorithms/lane.h"
#include "tests/sizes.h"
#include "tests/skip.h"
#include "tests/suite.h"

enum phase { STARTED = 1, RUNNING, IN_STEP };
enum way { KILLED, EXITED, EXITED_SLOWLY, WAYS };
enum memory { HEAP, ORDINARY, MEMORIES };

#define IN_FLIGHT 3
/* 64 MiB, where that is not too slow. */
#define MIB(f) (FAULT_CHECKED ? 1 : (f)->way == KILLED && (f)->n == 2 ? 64 : 8)
#define ELEMENTS(f) (MIB(f) * 1024 * 256)

struct flight {
	enum way way;
	enum memory memory;
	int n, victim;
	long delay_ms;
};

static float *allocate(const struct flight *f)
{
	size_t bytes = (size_t)ELEMENTS(f) * sizeof(float);
	float *m = f->memory == HEAP ? ronde_alloc(bytes) : malloc(bytes);
	require(m, "no memory: %s", ronde_error_message());
	memset(m, 0, bytes);
	return m;
}

/* ---- the victim ---- */

static struct scene *exiting;
static _Atomic bool in_exit;

static void in_handler(void)
{
	sleep_ms(100); /* other threads of this process go on; a call that has begun may end */
	atomic_store(&in_exit, true);
	sleep_ms(200);
}

/* A function of the application may not be called once exit() runs. */
static void not_in_exit(ronde_handle handle, int status, const char *message, void *arg)
{
	(void)handle, (void)status, (void)message, (void)arg;
	if (atomic_load(&in_exit))
		atomic_store(&exiting->go, 2);
}

/* What is in flight of one rank, in turn. */
struct ring {
	float *memory[IN_FLIGHT];
	ronde_handle handles[IN_FLIGHT]; /* 0: none */
};

static int submit(const struct flight *f, struct ring *ring, int slot, int rank)
{
	char name[32];
	snprintf(name, sizeof name, "x%d", slot);
	float *m = ring->memory[slot];
	int status = ronde_allreduce_async(name, m, m, ELEMENTS(f), RONDE_FLOAT32, RONDE_SUM, NULL,
					   &ring->handles[slot]);
	if (!status && rank == f->victim)
		ronde_handle_on_done(ring->handles[slot], not_in_exit, NULL);
	return status;
}

static int wait_for(struct ring *ring, int slot)
{
	ronde_handle handle = ring->handles[slot];
	ring->handles[slot] = 0;
	return ronde_wait(handle);
}

/* ---- the survivors ---- */

static bool holds(const float *m, size_t n, float value)
{
	for (size_t i = 0; i < n; i++)
		if (m[i] != value)
			return false;
	return true;
}

static void own_memory_again(const struct flight *f, const struct ring *ring)
{
	const size_t n = (size_t)ELEMENTS(f);
	for (int i = 0; i < IN_FLIGHT; i++)
		for (size_t k = 0; k < n; k++)
			ring->memory[i][k] = 7;
	sleep_ms(50);
	for (int i = 0; i < IN_FLIGHT; i++) {
		require(holds(ring->memory[i], n, 7),
			"memory of operation %d was written after its end", i);
		if (f->memory == HEAP)
			require_ok(ronde_free(ring->memory[i]));
		else
			free(ring->memory[i]);
	}
}

/* Operation after operation, until one fails or it is time to go. */
static int keep_busy(struct scene *scene, const struct flight *f, struct ring *ring, int rank)
{
	int status = RONDE_OK;
	uint64_t end = scene_now() + (uint64_t)f->delay_ms * 1000000;
	for (int slot = 0; !status; slot = (slot + 1) % IN_FLIGHT) {
		if (ring->handles[slot])
			status = wait_for(ring, slot);
		if (!status)
			status = submit(f, ring, slot, rank);
		if (slot == IN_FLIGHT - 1)
			scene_reach(scene, rank, RUNNING);
		if (f->way != KILLED && rank == f->victim && scene_now() > end &&
		    scene_others_reached(scene, rank, RUNNING)) {
			atomic_store(&scene->died_at, scene_now());
			if (f->way != EXITED_SLOWLY)
				scene_leaves(scene, rank);
			exit(0);
		}
	}
	return status;
}

static void flight_body(struct scene *scene, int rank)
{
	const struct flight *f = scene->arg;
	struct ring ring = {0};
	exiting = scene;
	if (f->way == EXITED_SLOWLY && rank == f->victim)
		atexit(in_handler); /* runs after Ronde's */
	require_ok(ronde_init(NULL));
	for (int i = 0; i < IN_FLIGHT; i++)
		ring.memory[i] = allocate(f);
	require_ok(ronde_barrier());
	int status = keep_busy(scene, f, &ring, rank);
	scene_told(scene, rank);
	char text[FAULT_TEXT];
	snprintf(text, sizeof text, "rank %d (process %d) was lost: it %s.", f->victim,
		 (int)scene->ranks[f->victim].pid,
		 f->way == KILLED ? "crashed or was killed" : "left without ronde_shutdown()");
	require(status == RONDE_ERR_PEER_LOST, "%s: %s", ronde_status_name(status),
		ronde_error_message());
	require(strncmp(ronde_error_message(), text, strlen(text)) == 0, "%s",
		ronde_error_message());
	for (int i = 0; i < IN_FLIGHT; i++) {
		status = ring.handles[i] ? wait_for(&ring, i) : RONDE_OK;
		require(!status || status == RONDE_ERR_PEER_LOST, "operation %d: %s", i,
			ronde_error_message());
	}
	own_memory_again(f, &ring);
	require_ok(ronde_shutdown());
}

/* ---- the director ---- */

static void fly(const struct flight *f)
{
	struct scene *scene = scene_open(f->n, flight_body, f);
	for (int r = 0; r < f->n; r++)
		if (r != f->victim || f->way == KILLED)
			scene_await(scene, r, RUNNING);
	if (f->way == KILLED) {
		sleep_ms(f->delay_ms);
		scene_signal(scene, f->victim, SIGKILL);
	}
	double slowest = scene_slowest(scene, 1u << f->victim);
	bool called = atomic_load(&scene->go) == 2;
	scene_close(scene, 1u << f->victim);
	ck_assert_msg(slowest < FAULT_SECONDS, "the survivors heard of it after %.3f s", slowest);
	ck_assert_msg(!called, "a completion function was called in exit()");
}

static const struct {
	int n, victim;
} places[] = {{2, 0}, {2, 1}, {3, 1}};
#define PLACES (int)(sizeof places / sizeof places[0])

START_TEST(a_rank_is_lost_in_the_middle)
{
	int i = _i * test_stride();
	struct flight f = {.way = (enum way)(i / PLACES % WAYS),
			   .memory = (enum memory)(i / PLACES / WAYS),
			   .n = places[i % PLACES].n,
			   .victim = places[i % PLACES].victim,
			   .delay_ms = 3 + 17 * (_i % 5)};
	fly(&f);
}
END_TEST

/* ---- a survivor that is in the middle of a step ---- */

/* Less than what one step reduces, and 3 ranks of it more than an entry carries. */
#define OWED_ELEMENTS 40000
/* Nobody waits longer than half a second for a survivor: what it writes later is not judged. */
#define OWED_SECONDS 0.4
#define OWED_TRIES 5

/* Of one scene, seen by all its processes. */
static struct owed {
	struct scene *scene;
	_Atomic uint64_t written_at; /* nanoseconds: rank 1 has written everybody's memory */
} * owed;
static _Atomic bool next_step_is_slow;

/*
 * The suite is linked with --wrap. Rank 1 is held up where it is about to write the others' memory,
 * as if the system had taken its core away.
 */
void __real_ronde_reduce_members(const struct ronde_plan *plan,
				 const struct ronde_reduce_spec *spec, void *const *destinations,
				 int n, const void *const *sources, size_t count);
void __wrap_ronde_reduce_members(const struct ronde_plan *plan,
				 const struct ronde_reduce_spec *spec, void *const *destinations,
				 int n, const void *const *sources, size_t count);

void __wrap_ronde_reduce_members(const struct ronde_plan *plan,
				 const struct ronde_reduce_spec *spec, void *const *destinations,
				 int n, const void *const *sources, size_t count)
{
	bool slow = atomic_exchange(&next_step_is_slow, false);
	if (slow) {
		scene_reach(owed->scene, 1, IN_STEP);
		scene_wait_go(owed->scene);
	}
	__real_ronde_reduce_members(plan, spec, destinations, n, sources, count);
	if (slow)
		atomic_store(&owed->written_at, scene_now());
}

static bool written_in_time(const struct scene *scene)
{
	uint64_t died = atomic_load(&scene->died_at), written = atomic_load(&owed->written_at);
	return (double)(written - died) * 1e-9 < OWED_SECONDS;
}

static void owed_body(struct scene *scene, int rank)
{
	owed->scene = scene;
	require_ok(ronde_init(NULL));
	float *m = ronde_alloc(OWED_ELEMENTS * sizeof *m);
	require(m, "no memory: %s", ronde_error_message());
	for (size_t i = 0; i < OWED_ELEMENTS; i++)
		m[i] = 1;
	require_ok(ronde_barrier());
	atomic_store(&next_step_is_slow, rank == 1);
	scene_reach(scene, rank, RUNNING);
	int status = ronde_allreduce("owed", m, m, OWED_ELEMENTS, RONDE_FLOAT32, RONDE_SUM);
	require(status == RONDE_ERR_PEER_LOST, "%s: %s", ronde_status_name(status),
		ronde_error_message());
	scene_told(scene, rank);
	for (size_t i = 0; i < OWED_ELEMENTS; i++)
		m[i] = 7;
	while (!atomic_load(&owed->written_at))
		sleep_ms(1);
	require(holds(m, OWED_ELEMENTS, 7) || !written_in_time(scene),
		"rank 1 wrote this memory after the operation's end");
	require_ok(ronde_free(m));
	require_ok(ronde_shutdown());
}

/* False: rank 1 was too slow for the others, which says nothing. */
static bool owe(void)
{
	atomic_store(&owed->written_at, 0);
	struct scene *scene = scene_open(3, owed_body, NULL);
	scene_await(scene, 1, IN_STEP);
	sleep_ms(20); /* until the others have done their part */
	scene_signal(scene, 0, SIGKILL);
	sleep_ms(100);
	atomic_store(&scene->go, 1);
	scene_slowest(scene, 1);
	while (!atomic_load(&owed->written_at) && scene_runs(scene, 1))
		sleep_ms(1);
	bool judged = written_in_time(scene);
	scene_close(scene, 1);
	return judged;
}

START_TEST(a_survivor_in_a_step_is_waited_for)
{
	owed = mmap(NULL, sizeof *owed, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(owed, MAP_FAILED);
	bool judged = false;
	for (int i = 0; i < OWED_TRIES && !judged; i++)
		judged = owe();
	if (!judged)
		test_skip("a_survivor_in_a_step_is_waited_for", "this machine is too busy");
	munmap(owed, sizeof *owed);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{a_rank_is_lost_in_the_middle, 0, test_cases(PLACES * WAYS * MEMORIES)},
		{a_survivor_in_a_step_is_waited_for, ONCE},
	};
	return SUITE_RUN("faults-flight", 100, tests);
}

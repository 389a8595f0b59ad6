/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rank is lost, whatever way it goes and whatever everybody was doing: what is pending on the
 * others and what they call later fails within a second, with one text that names the rank. Then
 * they take their memory back, shut down, and begin a new and smaller job.
 */
#include "tests/fault_ranks.h"

#include <sys/resource.h>
#include <sys/syscall.h>

#include "tests/sizes.h"
#include "tests/suite.h"

enum phase { STARTED = 1, WAITING, TOLD };

/* How the victim goes. */
enum way {
	KILLED_ASLEEP,
	KILLED_COMPUTING,
	KILLED_IN_CALL,
	ENDED_BY_SYSTEM_CALL, /* what _exit() is, but for sanitizers, which think for a second */
	ABORTED,
	CRASHED,
	EXITED_0, /* from here on it says so itself */
	EXITED_1,
	RETURNED_1, /* from main(), as a program with an error that nobody handles */
	WAYS
};

struct loss {
	enum way way;
	int n, victim;
	const char *settings[7];
};

static const char *how(enum way way)
{
	return way >= EXITED_0 ? "it left without ronde_shutdown()" : "it crashed or was killed";
}

static void loss_text(char *text, int rank, int pid, const char *how)
{
	snprintf(text, FAULT_TEXT,
		 "rank %d (process %d) was lost: %s. Operations cannot complete without it; call "
		 "ronde_shutdown(), and ronde_init() once all ranks run again",
		 rank, pid, how);
}

static void init_with(const char *const *settings)
{
	ronde_init_options options = RONDE_INIT_OPTIONS_INIT;
	options.settings = settings && settings[0] ? settings : NULL;
	require_ok(ronde_init(&options));
}

/* ---- the victim ---- */

static void no_core(void)
{
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
}

_Noreturn static void leave(struct scene *scene, int rank, enum way way)
{
	scene_leaves(scene, rank);
	atomic_store(&scene->died_at, scene_now());
	switch (way) {
	case EXITED_0:
		exit(0);
	case EXITED_1:
		exit(1);
	case ABORTED:
		no_core();
		signal(SIGABRT, SIG_DFL);
		abort();
	case CRASHED:
		no_core();
		signal(SIGSEGV, SIG_DFL);
		raise(SIGSEGV);
		abort();
	default:
		syscall(SYS_exit_group, 0);
		abort();
	}
}

static void be_victim(struct scene *scene, int rank)
{
	const struct loss *loss = scene->arg;
	float x[2] = {0};
	if (loss->way == RETURNED_1) { /* see main() */
		execl("/proc/self/exe", "check_faults", "--return-1", NULL);
		require(false, "execl: %s", strerror(errno));
	}
	init_with(loss->settings);
	require_ok(ronde_barrier());
	scene_reach(scene, rank, WAITING);
	if (loss->way == KILLED_IN_CALL)
		ronde_allreduce("victim's", x, x, 2, RONDE_FLOAT32, RONDE_SUM);
	while (loss->way == KILLED_COMPUTING)
		x[0] += *(volatile float *)&x[1];
	if (loss->way == KILLED_ASLEEP)
		for (;;)
			pause();
	scene_wait_go(scene);
	leave(scene, rank, loss->way);
}

static int return_1(void)
{
	require_ok(ronde_init(NULL));
	require_ok(ronde_barrier());
	require_ok(ronde_barrier()); /* the others have submitted what will never complete */
	return 1;
}

/* ---- the survivors ---- */

enum { SMALL, IN_HEAP, ORDINARY, BROADCAST, GATHERED, PENDING };

struct pending {
	ronde_handle handle;
	float *memory;
	ronde_gathered gathered;
	_Atomic int calls;
	int status;
	char text[FAULT_TEXT];
};

static void note_call(ronde_handle handle, int status, const char *message, void *arg)
{
	struct pending *p = arg;
	(void)handle;
	p->status = status;
	snprintf(p->text, sizeof p->text, "%s", message);
	atomic_fetch_add(&p->calls, 1);
}

/* Operations of every kind, which the victim will never submit. */
static void submit_all(struct pending *list)
{
	const int64_t count = 1 << 18, shape[2] = {4, 1000};
	for (int i = 0; i < PENDING; i++) {
		struct pending *p = &list[i];
		char name[32];
		snprintf(name, sizeof name, "pending-%d", i);
		size_t bytes = (size_t)count * sizeof(float);
		p->memory = i == ORDINARY ? calloc(1, bytes) : ronde_alloc(bytes);
		require(p->memory, "no memory: %s", ronde_error_message());
		float *m = p->memory;
		if (i == BROADCAST)
			require_ok(ronde_broadcast_async(name, m, m, count, RONDE_FLOAT32, 0, NULL,
							 &p->handle));
		else if (i == GATHERED)
			require_ok(ronde_allgather_async(name, m, shape, 2, RONDE_FLOAT32,
							 &p->gathered, NULL, &p->handle));
		else
			require_ok(ronde_allreduce_async(name, m, m, i == SMALL ? 8 : count,
							 RONDE_FLOAT32, RONDE_SUM, NULL,
							 &p->handle));
		require_ok(ronde_handle_on_done(p->handle, note_call, p));
	}
}

static void wait_all(struct pending *list, const char *text)
{
	for (int i = 0; i < PENDING; i++) {
		struct pending *p = &list[i];
		for (int ms = 0; ms < 1000 * FAULT_SECONDS && !atomic_load(&p->calls); ms++)
			sleep_ms(1);
		int done = 0;
		require_ok(ronde_test(p->handle, &done));
		require(done, "operation %d is not done", i);
		require_error(ronde_wait(p->handle), RONDE_ERR_PEER_LOST, text);
		require(atomic_load(&p->calls) == 1 && p->status == RONDE_ERR_PEER_LOST &&
				strcmp(p->text, text) == 0,
			"operation %d: %d calls, the last with %s: %s", i, atomic_load(&p->calls),
			ronde_status_name(p->status), p->text);
		if (i == ORDINARY)
			free(p->memory);
		else
			require_ok(ronde_free(p->memory));
	}
}

/* Every later call fails at once. */
static void call_later(const char *text)
{
	uint64_t before = scene_now();
	float x[4] = {0};
	ronde_handle h;
	void *bytes = NULL;
	size_t n = 0;
	require_error(ronde_barrier(), RONDE_ERR_PEER_LOST, text);
	require_error(ronde_allreduce("later", x, x, 4, RONDE_FLOAT32, RONDE_SUM),
		      RONDE_ERR_PEER_LOST, text);
	require_error(ronde_allreduce_async(NULL, x, x, 4, RONDE_FLOAT32, RONDE_SUM, NULL, &h),
		      RONDE_ERR_PEER_LOST, text);
	require_error(ronde_broadcast(NULL, x, x, 4, RONDE_FLOAT32, 0), RONDE_ERR_PEER_LOST, text);
	int status = ronde_broadcast_bytes("bytes", &bytes, &n, 0);
	require(status == RONDE_ERR_PEER_LOST && strstr(ronde_error_message(), " was lost: "),
		"ronde_broadcast_bytes: %s: %s", ronde_status_name(status), ronde_error_message());
	require(!ronde_is_initialized(), "still initialised");
	double took = (double)(scene_now() - before) * 1e-9 - scene_lost();
	require(took < FAULT_SECONDS, "calls after a loss took %.3f s", took);
}

static void shut_down(void)
{
	uint64_t before = scene_now();
	require_ok(ronde_shutdown());
	double took = (double)(scene_now() - before) * 1e-9 - scene_lost();
	require(took < FAULT_SECONDS, "ronde_shutdown took %.3f s", took);
}

/* The survivors, numbered anew, work on. */
static void begin_again(struct scene *scene, int rank, int size)
{
	scene_world(rank, size, scene->address2);
	require_ok(ronde_init(NULL));
	require(ronde_rank() == rank && ronde_size() == size, "is rank %d of %d", ronde_rank(),
		ronde_size());
	const int64_t count = 100000;
	float *x = ronde_alloc((size_t)count * sizeof *x), wanted = 0;
	for (int64_t i = 0; i < count; i++)
		x[i] = (float)(rank + 1);
	for (int r = 0; r < size; r++)
		wanted += (float)(r + 1);
	require_ok(ronde_allreduce("again", x, x, count, RONDE_FLOAT32, RONDE_SUM));
	for (int64_t i = 0; i < count; i++)
		require(x[i] == wanted, "element %d is %g", (int)i, (double)x[i]);
	require_ok(ronde_free(x));
	require_ok(ronde_barrier());
	shut_down();
}

static void lose_body(struct scene *scene, int rank)
{
	const struct loss *loss = scene->arg;
	const int victim = loss->victim;
	if (rank == victim)
		be_victim(scene, rank);
	struct pending list[PENDING] = {0};
	float x[2] = {0};
	char text[FAULT_TEXT];
	init_with(loss->settings);
	require_ok(ronde_barrier());
	submit_all(list);
	if (loss->way == RETURNED_1) {
		/* It may be gone before this rank is told that all have come. */
		int status = ronde_barrier();
		require(!status || status == RONDE_ERR_PEER_LOST, "%s", ronde_error_message());
		atomic_store(&scene->died_at, scene_now());
	}
	scene_reach(scene, rank, WAITING);
	loss_text(text, victim, (int)scene->ranks[victim].pid, how(loss->way));
	require_error(ronde_allreduce("blocked", x, x, 2, RONDE_FLOAT32, RONDE_SUM),
		      RONDE_ERR_PEER_LOST, text);
	scene_told(scene, rank);
	wait_all(list, text);
	call_later(text);
	if (rank % 2)
		shut_down(); /* else ronde_init() does it */
	begin_again(scene, rank - (rank > victim), loss->n - 1);
}

/* ---- the director ---- */

static void close_after_loss(struct scene *scene, unsigned victims)
{
	double took = scene_slowest(scene, victims);
	scene_close(scene, victims);
	ck_assert_msg(took < FAULT_SECONDS, "the survivors heard of it after %.3f s", took);
}

static void lose(const struct loss *loss)
{
	struct scene *scene = scene_open(loss->n, lose_body, loss);
	for (int r = 0; r < loss->n; r++)
		if (r != loss->victim || loss->way != RETURNED_1)
			scene_await(scene, r, WAITING);
	if (loss->way == KILLED_ASLEEP)
		sleep_ms(50); /* until everybody sleeps as well */
	if (loss->way <= KILLED_IN_CALL)
		scene_signal(scene, loss->victim, SIGKILL);
	else
		atomic_store(&scene->go, 1);
	close_after_loss(scene, 1u << loss->victim);
}

static const struct {
	int n, victim;
} places[] = {{2, 0}, {2, 1}, {3, 0}, {3, 1}, {3, 2}, {5, 0}, {5, 2}, {5, 4}};
#define PLACES (int)(sizeof places / sizeof places[0])

START_TEST(a_rank_is_lost)
{
	int i = _i * test_stride();
	struct loss loss = {.way = (enum way)(i / PLACES),
			    .n = places[i % PLACES].n,
			    .victim = places[i % PLACES].victim};
	lose(&loss);
}
END_TEST

static const enum way old_kernel_ways[] = {KILLED_ASLEEP, KILLED_IN_CALL, CRASHED, EXITED_1};

/* Without pidfd_open() and without memfd_create(). */
START_TEST(a_rank_is_lost_on_an_old_kernel)
{
	struct loss loss = {
		.way = old_kernel_ways[_i / 2],
		.n = 3,
		.victim = _i % 2 ? 1 : 0,
		/* Little, for that is in /dev/shm, which all tests share. */
		.settings = {"test_no_pidfd", "yes", "test_no_memfd", "yes", "staging_bytes",
			     "256K"},
	};
	lose(&loss);
}
END_TEST

/* ---- several die at once ---- */

#define SOME_VICTIMS 0x15u

static void several_body(struct scene *scene, int rank)
{
	float x[2] = {0};
	require_ok(ronde_init(NULL));
	require_ok(ronde_barrier());
	scene_reach(scene, rank, WAITING);
	if (SOME_VICTIMS >> rank & 1)
		for (;;)
			pause();
	int status = ronde_allreduce("x", x, x, 2, RONDE_FLOAT32, RONDE_SUM);
	require(status == RONDE_ERR_PEER_LOST, "%s", ronde_status_name(status));
	scene_told(scene, rank);
	require_error(ronde_barrier(), RONDE_ERR_PEER_LOST, scene->ranks[rank].text);
	begin_again(scene, rank / 2, 2);
}

START_TEST(several_are_lost_at_once)
{
	struct scene *scene = scene_open(5, several_body, NULL);
	char first[FAULT_TEXT], second[FAULT_TEXT], texts[3][FAULT_TEXT];
	for (int r = 0; r < 5; r++)
		scene_await(scene, r, WAITING);
	for (int i = 0; i < 3; i++) {
		int victim = (_i + i) % 3 * 2;
		loss_text(texts[i], victim, (int)scene->ranks[victim].pid, how(KILLED_ASLEEP));
		scene_signal(scene, victim, SIGKILL);
	}
	scene_await(scene, 1, WAITING);
	while ((!atomic_load(&scene->ranks[1].told_at) && scene_runs(scene, 1)) ||
	       (!atomic_load(&scene->ranks[3].told_at) && scene_runs(scene, 3)))
		sleep_ms(1);
	sleep_ms(1);
	strcpy(first, scene->ranks[1].text);
	strcpy(second, scene->ranks[3].text);
	close_after_loss(scene, SOME_VICTIMS);
	ck_assert_str_eq(first, second);
	ck_assert_msg(!strcmp(first, texts[0]) || !strcmp(first, texts[1]) ||
			      !strcmp(first, texts[2]),
		      "%s", first);
}
END_TEST

/* ---- nobody waits for anything ---- */

static void idle_body(struct scene *scene, int rank)
{
	char text[FAULT_TEXT];
	require_ok(ronde_init(NULL));
	require_ok(ronde_barrier());
	scene_reach(scene, rank, WAITING);
	if (rank == 0)
		for (;;)
			pause();
	scene_wait_go(scene);
	loss_text(text, 0, (int)scene->ranks[0].pid, how(KILLED_ASLEEP));
	call_later(text);
	require(strstr(ronde_error_message(), "rank 0"), "%s", ronde_error_message());
	scene_told(scene, rank);
	begin_again(scene, rank - 1, 2);
}

START_TEST(the_next_call_of_an_idle_rank_fails)
{
	struct scene *scene = scene_open(3, idle_body, NULL);
	for (int r = 0; r < 3; r++)
		scene_await(scene, r, WAITING);
	sleep_ms(20);
	scene_signal(scene, 0, SIGKILL);
	sleep_ms(_i ? 300 : 0); /* long noticed, or just now */
	atomic_store(&scene->go, 1);
	close_after_loss(scene, 1);
}
END_TEST

/* ---- a stopped rank cannot let go, and is waited for, though not for long ---- */

/* A little less than the half second that the others give it. */
#define STOPPED_SECONDS 0.4

static void stopped_body(struct scene *scene, int rank)
{
	char text[FAULT_TEXT];
	require_ok(ronde_init(NULL));
	require_ok(ronde_barrier());
	scene_reach(scene, rank, WAITING);
	if (rank == 0)
		for (;;)
			pause();
	loss_text(text, 0, (int)scene->ranks[0].pid, how(KILLED_ASLEEP));
	float x = 0;
	require_error(ronde_allreduce("x", &x, &x, 1, RONDE_FLOAT32, RONDE_SUM),
		      RONDE_ERR_PEER_LOST, text);
	scene_told(scene, rank);
	scene_reach(scene, rank, TOLD);
	shut_down();
}

START_TEST(a_loss_while_another_is_stopped)
{
	struct scene *scene = scene_open(3, stopped_body, NULL);
	for (int r = 0; r < 3; r++)
		scene_await(scene, r, WAITING);
	scene_signal(scene, 1, SIGSTOP);
	scene_signal(scene, 0, SIGKILL);
	scene_await(scene, 2, TOLD);
	double took = scene_slowest(scene, 3);
	double waited = (double)(scene->ranks[2].told_at - scene->died_at) * 1e-9;
	scene_signal(scene, 1, SIGCONT);
	scene_close(scene, 1);
	ck_assert_msg(waited > STOPPED_SECONDS && took < FAULT_SECONDS,
		      "the survivor heard of it after %.3f s", waited);
}
END_TEST

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--return-1") == 0)
		return return_1();
	const struct suite_test tests[] = {
		{a_rank_is_lost, 0, test_cases(WAYS * PLACES)},
		{a_rank_is_lost_on_an_old_kernel, 0, 8},
		{several_are_lost_at_once, 0, 3},
		{the_next_call_of_an_idle_rank_fails, 0, 2},
		{a_loss_while_another_is_stopped, ONCE},
	};
	return SUITE_RUN("faults", 100, tests);
}

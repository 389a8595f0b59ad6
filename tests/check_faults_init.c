/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rank is killed inside ronde_init(), after any of the system calls it makes there: the test
 * traces the rank and stops it at each. The others are told within a second, in ronde_init() or by
 * their next call, and can begin again without it.
 */
#include "tests/fault_ranks.h"

#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "tests/sizes.h"
#include "tests/skip.h"
#include "tests/suite.h"

enum phase { STARTED = 1, AGAIN };

#define RANKS 3
/* Places in ronde_init() that are tried, of each victim; RONDE_TEST_LONG: all. */
#define PLACES 30

struct killed {
	int victim;
	bool old_kernel;
};

static int init_like(const struct killed *k)
{
	/* Little, for that is in /dev/shm, which all tests share and containers keep small. */
	static const char *const old[] = {
		"test_no_memfd", "yes", "test_no_pidfd", "yes", "staging_bytes", "256K", NULL};
	ronde_init_options options = RONDE_INIT_OPTIONS_INIT;
	options.settings = k->old_kernel ? old : NULL;
	return ronde_init(&options);
}

static void begin_again(struct scene *scene, int rank, int size)
{
	float x = 1;
	scene_world(rank, size, scene->address2);
	require_ok(ronde_init(NULL));
	require_ok(ronde_allreduce("x", &x, &x, 1, RONDE_FLOAT32, RONDE_SUM));
	require(x == (float)size, "the sum is %g", (double)x);
	require_ok(ronde_shutdown());
}

static void init_body(struct scene *scene, int rank)
{
	const struct killed *k = scene->arg;
	if (rank == k->victim) {
		require(!ptrace(PTRACE_TRACEME, 0, NULL, NULL), "not traced: %s", strerror(errno));
		raise(SIGSTOP);
		require_ok(init_like(k));
		raise(SIGSTOP);
		for (;;)
			pause();
	}
	int status = init_like(k);
	bool started = !status;
	while (!status) {
		status = ronde_barrier();
		if (!status)
			sleep_ms(1);
	}
	scene_told(scene, rank);
	char name[16];
	snprintf(name, sizeof name, "rank %d", k->victim);
	require(status == RONDE_ERR_PEER_LOST && strstr(ronde_error_message(), name), "%s: %s: %s",
		started ? "ronde_barrier" : "ronde_init", ronde_status_name(status),
		ronde_error_message());
	begin_again(scene, rank - (rank > k->victim), RANKS - 1);
}

/* ---- the director ---- */

static bool may_trace(void)
{
	int status;
	pid_t pid = fork();
	if (pid == 0)
		_exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) ? 1 : 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status == 0;
}

/* Waits for the traced rank to stop again; the signal, or 0 if it ended. */
static int next_stop(pid_t pid)
{
	int status;
	alarm(60); /* nothing may hang, the test neither */
	while (waitpid(pid, &status, 0) != pid)
		;
	alarm(0);
	return WIFSTOPPED(status) ? WSTOPSIG(status) : 0;
}

/*
 * Whether the system call that the rank has stopped at, as it returns, has sent something. That is
 * when others know of the rank: its hello to rank 0, or rank 0's welcome. Before, there is nobody
 * yet who could be lost, and they wait for it as long as RONDE_INIT_TIMEOUT_SECONDS says.
 */
static bool has_sent(pid_t pid, bool *sends)
{
	struct __ptrace_syscall_info info;
	long n = ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof info, &info);
	if (n > 0 && info.op == PTRACE_SYSCALL_INFO_ENTRY)
		*sends = info.entry.nr == SYS_sendto || info.entry.nr == SYS_sendmsg;
	return n > 0 && info.op == PTRACE_SYSCALL_INFO_EXIT && *sends && !info.exit.is_error;
}

/* Lets the victim make `most` system calls from the first by which it is known; how many it made.
 */
static int follow(pid_t pid, int most)
{
	bool known = false, sends = false;
	int stops = 0;
	while (stops < 2 * most) {
		ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
		int stop = next_stop(pid);
		ck_assert_msg(stop == (SIGTRAP | 0x80) || stop == SIGSTOP,
			      "the victim failed, or got signal %d", stop);
		if (stop == SIGSTOP)
			break; /* ronde_init() has returned */
		known = known || has_sent(pid, &sends);
		stops += known;
	}
	return stops / 2;
}

/* Kills the victim after so many system calls, or after ronde_init(). Returns how many. */
static int run(const struct killed *k, int most)
{
	struct scene *scene = scene_open(RANKS, init_body, k);
	pid_t pid = scene->ranks[k->victim].pid;
	ck_assert_int_eq(next_stop(pid), SIGSTOP);
	ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
	int calls = follow(pid, most);
	scene_signal(scene, k->victim, SIGKILL);
	double slowest = scene_slowest(scene, 1u << k->victim);
	scene_close(scene, 1u << k->victim);
	ck_assert_msg(slowest < FAULT_SECONDS,
		      "rank %d killed after %d system calls: heard of after %.3f s", k->victim,
		      calls, slowest);
	return calls;
}

START_TEST(a_rank_is_killed_in_init)
{
	struct killed k = {.victim = _i % 2 ? RANKS - 1 : 0, .old_kernel = _i >= 2};
	if (!may_trace()) {
		test_skip("a_rank_is_killed_in_init", "ptrace() is not allowed here");
		return;
	}
	int all = run(&k, 1 << 20);
	int places = test_turns(PLACES);
	int step = test_is_long() ? 1 : (all + places - 1) / places;
	for (int at = 1; at <= all; at += step)
		run(&k, at);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{a_rank_is_killed_in_init, 0, 4},
	};
	return SUITE_RUN("faults-init", 600, tests);
}

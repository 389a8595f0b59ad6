/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stall inspector, and ranks whose process says nothing: stopped, dead, or in another PID
 * namespace.
 */
#include "tests/stall_ranks.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "collectives/node_private.h"
#include "coordinator/context.h"
#include "tests/skip.h"

static float data[COUNT];

/* ---- a rank that is stopped ---- */

static void stopped_body(struct scene *scene, int rank)
{
	stall_begin(scene, rank);
	stall_fill(data, rank);
	scene_wait_go(scene);
	require_ok(ronde_wait(stall_submit("grad", data)));
	stall_check_sum(data, scene->n);
	stall_finish(scene, rank);
}

START_TEST(stopped)
{
	struct scene *scene = stall_open(3, stopped_body, "0");
	stall_await_all(scene, READY);
	scene_signal(scene, 1, SIGSTOP);
	sleep_ms(50);
	struct moment start = scene_mark();
	atomic_store(&scene->go, 1);
	int k = stall_await_text(scene, 0,
				 HEAD
				 "# s: allreduce \"grad\": submitted by ranks 0, 2, not by rank 1\n"
				 "rank 1" STOPPED);
	stall_in_time(start, 0, k);
	ck_assert_int_eq(lines[0].process[k], scene->ranks[1].pid);
	scene_signal(scene, 1, SIGCONT);
	stall_close(scene, 0);
}
END_TEST

#define SILENT_LEADER                                                                              \
	"nothing has got on for # s: rank %d waits for allreduce \"grad\"\n"                       \
	"rank 0, which orders the operations of this node," STOPPED

/* The first of the others to notice tells. */
START_TEST(leader_stopped)
{
	struct scene *scene = stall_open(3, stopped_body, "0");
	stall_await_all(scene, READY);
	scene_signal(scene, 0, SIGSTOP);
	sleep_ms(50);
	struct moment start = scene_mark();
	atomic_store(&scene->go, 1);
	int teller = stall_await_teller(scene, 1);
	stall_in_time(start, teller, 0);
	char want[1000];
	snprintf(want, sizeof want, SILENT_LEADER, teller);
	ck_assert_str_eq(lines[teller].text[0], want);
	scene_signal(scene, 0, SIGCONT);
	stall_close(scene, 0);
}
END_TEST

/* Nor does a stopped rank hold up the end; it learns of it when it goes on. */
static void stopped_end_body(struct scene *scene, int rank)
{
	stall_begin(scene, rank);
	scene_wait_go(scene);
	stall_waits_now(rank);
	stall_end(scene, rank,
		  ronde_allreduce("grad", data, data, COUNT, RONDE_FLOAT32, RONDE_SUM));
}

/* _i: the rank that is stopped; 0 is the leader. */
START_TEST(stopped_until_the_end)
{
	struct scene *scene = stall_open(3, stopped_end_body, SHUTDOWN_TEXT);
	stall_await_all(scene, READY);
	scene_signal(scene, _i, SIGSTOP);
	sleep_ms(50);
	atomic_store(&scene->go, 1);
	int teller = stall_await_ends(scene, 1u << _i);
	char want[1000];
	if (_i)
		snprintf(want, sizeof want,
			 HEAD "# s: allreduce \"grad\": submitted by ranks 0, 2, not by rank 1\n"
			      "rank 1" STOPPED);
	else
		snprintf(want, sizeof want, SILENT_LEADER, teller);
	scene_signal(scene, _i, SIGCONT);
	for (int r = 0; r < 3; r++)
		stall_check_end_of(scene, r, want);
	stall_close(scene, 0);
}
END_TEST

/* ---- stopped while an operation is being executed ---- */

static void running_body(struct scene *scene, int rank)
{
	stall_begin(scene, rank);
	stall_fill(data, rank);
	ronde_handle handle = 0;
	if (rank == 1) {
		stall_waits_now(rank);
		handle = stall_submit("grad", data);
	}
	scene_reach(scene, rank, GOING);
	scene_wait_go(scene);
	if (rank != 1)
		handle = stall_submit("grad", data);
	require_ok(ronde_wait(handle));
	stall_check_sum(data, scene->n);
	stall_finish(scene, rank);
}

START_TEST(stopped_while_running)
{
	struct scene *scene = stall_open(2, running_body, "0");
	stall_await_all(scene, GOING);
	scene_signal(scene, 1, SIGSTOP);
	sleep_ms(50);
	atomic_store(&scene->go, 1);
	int k = stall_await_text(
		scene, 0,
		HEAD "# s: allreduce \"grad\": all ranks have submitted it; it was begun, "
		     "and does not get on\n"
		     "rank 1" STOPPED);
	stall_in_time(stall_began(scene), 0, k);
	scene_signal(scene, 1, SIGCONT);
	stall_close(scene, 0);
}
END_TEST

/* ---- a rank that is late, reported, and then killed ---- */

static void killed_body(struct scene *scene, int rank)
{
	char report[RONDE_STALL_REPORT_MAX];
	stall_begin(scene, rank);
	if (rank == 1)
		for (;;)
			sleep_ms(1000);
	int status = ronde_wait(stall_submit("grad", data));
	require(status == RONDE_ERR_PEER_LOST, "%s: %s", ronde_status_name(status),
		ronde_error_message());
	stall_keep_error(rank);
	/* The last report is still there. */
	require_ok(ronde_stall_report(report, sizeof report));
	require(strstr(report, "rank 1 is late"), "%s", report);
	scene_reach(scene, rank, DONE);
	require_ok(ronde_shutdown());
}

START_TEST(killed)
{
	/* Death ends the waiting, long before the time that would. */
	struct scene *scene = stall_open(3, killed_body, "1000");
	stall_await_text(scene, 0,
			 HEAD "# s: allreduce \"grad\": submitted by ranks 0, 2, not by rank 1\n"
			      "rank 1" LATE);
	scene_signal(scene, 1, _i ? SIGSTOP : SIGKILL); /* a stopped one can be killed, too */
	scene_signal(scene, 1, SIGKILL);
	for (int r = 0; r < 3; r += 2) {
		scene_await(scene, r, DONE);
		ck_assert_ptr_nonnull(strstr(lines[r].last, "rank 1 (process #) was lost: it "
							    "crashed or was killed"));
	}
	stall_close(scene, 1 << 1);
}
END_TEST

/* ---- ranks in another PID namespace ---- */

static int inner_rank; /* it lives there */

/* A child stands for the rank from here on, and its parent for it outside. False: not allowed. */
static bool move_inside(int rank)
{
	if (unshare(CLONE_NEWPID | CLONE_NEWNS) || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return false;
	pid_t child = fork();
	if (child < 0)
		return false;
	if (child > 0) {
		int status;
		atomic_store(&lines[rank].inner, child);
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
		_exit(status != 0);
	}
	/* What it sees there is its own namespace only. */
	return mount("proc", "/proc", "proc", 0, NULL) == 0;
}

static void namespace_body(struct scene *scene, int rank)
{
	if (rank == inner_rank && !move_inside(rank))
		_exit(1);
	stopped_body(scene, rank);
}

static bool namespaces_are_allowed(void)
{
	pid_t child = fork();
	int status;
	if (child == 0) {
		lines = calloc(FAULT_RANKS_MAX, sizeof *lines);
		_exit(!lines || !move_inside(0));
	}
	return waitpid(child, &status, 0) == child && status == 0;
}

/* Rank 1 stops. _i: who is in the other namespace: it, or the leader, who then knows no state. */
START_TEST(another_namespace)
{
	inner_rank = !_i;
	if (!namespaces_are_allowed()) {
		test_skip("another_namespace", "no right to make a PID namespace");
		return;
	}
	struct scene *scene = stall_open(2, namespace_body, "0");
	stall_await_all(scene, READY);
	int inner = atomic_load(&lines[inner_rank].inner);
	int victim = inner_rank == 1 ? inner : scene->ranks[1].pid;
	kill(victim, SIGSTOP);
	sleep_ms(50);
	atomic_store(&scene->go, 1);
	int k = stall_await_text(
		scene, 0,
		inner_rank ? HEAD "# s: allreduce \"grad\": submitted by rank 0, not by rank 1\n"
				  "rank 1" STOPPED
			   : HEAD "# s: allreduce \"grad\": submitted by rank 0, not by rank 1\n"
				  "rank 1 does not answer, and process # cannot be looked at from "
				  "here (another PID namespace?)");
	/* It is 1 in its own namespace, which is somebody else here. */
	ck_assert_int_eq(lines[0].process[k], victim);
	kill(victim, SIGCONT);
	stall_close(scene, 0);
}
END_TEST

/* ---- each state by itself ---- */

/* What is said of local rank 1, whose process this descriptor stands for. */
static const char *state_text(int life_fd, int pid)
{
	static char raw[400];
	int fds[] = {-1, life_fd}, pids[] = {(int)getpid(), pid};
	struct ronde_node_private priv = {.life_fds = fds};
	struct ronde_node node = {.local_size = 2, .pids = pids, .priv = &priv};
	struct ronde_context *ctx = calloc(1, sizeof *ctx);
	ck_assert_ptr_nonnull(ctx);
	ctx->node = &node;
	ronde_stall_process_text(ctx, 1, raw, sizeof raw);
	free(ctx);
	return raw;
}

/* Waits until the child is as waitid() calls it, and leaves it so. */
static void await_child(pid_t child, int options)
{
	siginfo_t info;
	ck_assert_int_eq(waitid(P_PID, (id_t)child, &info, options | WNOWAIT), 0);
}

static void check_text(int fd, pid_t child, const char *format)
{
	char want[400];
	snprintf(want, sizeof want, format, (int)child);
	ck_assert_str_eq(state_text(fd, child), want);
}

START_TEST(states)
{
	pid_t child = fork();
	if (child == 0)
		for (;;)
			pause();
	int fd = (int)syscall(SYS_pidfd_open, child, 0);
	if (fd < 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		test_skip("states", "this kernel has no pidfds");
		return;
	}
	while (strstr(state_text(fd, child), "(state R,")) /* until it sleeps */
		sleep_ms(1);
	check_text(fd, child,
		   "does not answer (state S, process %d): its threads get no time, or a function "
		   "of the application that Ronde called does not return");
	kill(child, SIGSTOP);
	await_child(child, WSTOPPED);
	check_text(fd, child,
		   "is stopped (SIGSTOP or job control; process %d): kill -CONT lets it go on");
	kill(child, SIGKILL);
	await_child(child, WEXITED);
	check_text(fd, child, "is dead (process %d)"); /* a zombie */
	waitpid(child, NULL, 0);
	check_text(fd, child, "is dead (process %d)"); /* and gone */
	close(fd);
	check_text(-1, child,
		   "does not answer, and process %d cannot be looked at from here (another PID "
		   "namespace?)");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stall_states");
	TCase *tests = tcase_create("stall_states");
	tcase_set_timeout(tests, 100);
	tcase_add_test(tests, stopped);
	tcase_add_test(tests, leader_stopped);
	tcase_add_loop_test(tests, stopped_until_the_end, 0, 2);
	tcase_add_test(tests, stopped_while_running);
	tcase_add_loop_test(tests, killed, 0, 2);
	tcase_add_loop_test(tests, another_namespace, 0, 2);
	tcase_add_test(tests, states);
	suite_add_tcase(suite, tests);
	return stall_run(suite);
}

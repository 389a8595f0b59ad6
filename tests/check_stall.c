/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stall inspector: ranks that are late, out of step or waiting for each other, and what is said
 * of them. check_stall_states.c has ranks that are stopped, dead or out of sight,
 * check_stall_sets.c process sets, joined ranks and operations that go on meanwhile.
 */
#include "tests/stall_ranks.h"

#include <pthread.h>

static float data[3][COUNT];

/* ---- a rank that is late, or does not come ---- */

static int late_rank;

static void late_body(struct scene *scene, int rank)
{
	stall_begin(scene, rank);
	stall_fill(data[0], rank);
	if (rank == late_rank)
		scene_wait_go(scene);
	require_ok(ronde_wait(stall_submit("grad", data[0])));
	stall_check_sum(data[0], scene->n);
	stall_finish(scene, rank);
}

#define LATE_FOR_GRAD "# s: allreduce \"grad\": submitted by %s, not by rank %d\nrank %d" LATE

static const char *late_others(void)
{
	static const char *const others[] = {"ranks 1-2", "ranks 0, 2", "ranks 0-1"};
	return others[late_rank];
}

START_TEST(late)
{
	late_rank = _i;
	struct scene *scene = stall_open(3, late_body, "0");
	stall_await_all(scene, READY);
	struct moment start = scene_mark();
	char want[1000];
	snprintf(want, sizeof want, HEAD LATE_FOR_GRAD, late_others(), late_rank, late_rank);
	int k = stall_await_text(scene, 0, want);
	stall_in_time(start, 0, k);
	/* It is told once; then, that nothing has changed; then, that it is over. */
	stall_await_line(scene, 0, k + 1);
	ck_assert_str_eq(lines[0].text[k + 1],
			 "operations wait for other ranks, the first for # s; "
			 "nothing has changed since the last report");
	double period = scene_seconds(lines[0].at[k], lines[0].at[k + 1]);
	ck_assert_msg(period > WARN * 0.9, "two reports within %.3f s", period);
	stall_close(scene, 0);
}
END_TEST

/* Who waits for it is told of the end in time; it learns the same when it comes. */
static void late_end_body(struct scene *scene, int rank)
{
	stall_begin(scene, rank);
	if (rank == late_rank)
		scene_wait_go(scene);
	else
		stall_waits_now(rank);
	stall_end(scene, rank,
		  ronde_allreduce("grad", data[0], data[0], COUNT, RONDE_FLOAT32, RONDE_SUM));
}

START_TEST(late_until_the_end)
{
	late_rank = _i;
	struct scene *scene = stall_open(3, late_end_body, SHUTDOWN_TEXT);
	char want[1000];
	snprintf(want, sizeof want, HEAD LATE_FOR_GRAD, late_others(), late_rank, late_rank);
	stall_check_ends(scene, 1u << late_rank, want);
	atomic_store(&scene->go, 1);
	stall_check_end_of(scene, late_rank, want);
	stall_close(scene, 0);
}
END_TEST

/* ---- crossing waits, which only the shutdown time ends ---- */

static void crossing_body(struct scene *scene, int rank)
{
	char name[8];
	stall_begin(scene, rank);
	snprintf(name, sizeof name, "t%d", rank);
	stall_take_turns(scene, rank);
	stall_end(scene, rank,
		  ronde_allreduce(name, data[0], data[0], COUNT, RONDE_FLOAT32, RONDE_SUM));
}

START_TEST(crossing)
{
	stall_check_crossing(
		2, crossing_body,
		"# s: allreduce \"t0\": submitted by rank 0, not by rank 1\n"
		"# s: allreduce \"t1\": submitted by rank 1, not by rank 0\n"
		"rank 0 waits in allreduce \"t0\" (# s)\n"
		"rank 1 waits in allreduce \"t1\" (# s)\n"
		"deadlock: rank 0 waits in allreduce \"t0\" for rank 1, rank 1 waits in "
		"allreduce \"t1\" for rank 0" STUCK);
}
END_TEST

START_TEST(crossing_of_three)
{
	stall_check_crossing(
		3, crossing_body,
		"# s: allreduce \"t0\": submitted by rank 0, not by ranks 1-2\n"
		"# s: allreduce \"t1\": submitted by rank 1, not by ranks 0, 2\n"
		"# s: allreduce \"t2\": submitted by rank 2, not by ranks 0-1\n"
		"rank 0 waits in allreduce \"t0\" (# s)\n"
		"rank 1 waits in allreduce \"t1\" (# s)\n"
		"rank 2 waits in allreduce \"t2\" (# s)\n"
		"deadlock: rank 0 waits in allreduce \"t0\" for rank 1, rank 1 waits in allreduce "
		"\"t1\" for rank 0" STUCK);
}
END_TEST

static void crossing_sets_body(struct scene *scene, int rank)
{
	int set;
	stall_begin(scene, rank);
	stall_take_turns(scene, rank);
	stall_end(scene, rank,
		  rank ? ronde_allreduce("t1", data[0], data[0], COUNT, RONDE_FLOAT32, RONDE_SUM)
		       : ronde_process_set_add((int[]){0}, 1, &set));
}

START_TEST(crossing_a_change_of_the_sets)
{
	stall_check_crossing(
		2, crossing_sets_body,
		"# s: a change of the process sets: submitted by rank 0, not by rank 1\n"
		"# s: allreduce \"t1\": submitted by rank 1, not by rank 0\n"
		"rank 0 waits in a change of the process sets (# s)\n"
		"rank 1 waits in allreduce \"t1\" (# s)\n"
		"deadlock: rank 0 waits in a change of the process sets for rank 1, rank 1 "
		"waits in allreduce \"t1\" for rank 0" STUCK);
}
END_TEST

/* Rank 1 leaves out "b", which the others are in, and is in "c". */
static void skip_body(struct scene *scene, int rank)
{
	stall_begin(scene, rank);
	require_ok(ronde_wait(stall_submit("a", data[0])));
	stall_take_turns(scene, rank);
	stall_end(scene, rank,
		  ronde_allreduce(rank == 1 ? "c" : "b", data[0], data[0], COUNT, RONDE_FLOAT32,
				  RONDE_SUM));
}

START_TEST(skipped)
{
	stall_check_crossing(
		3, skip_body,
		"# s: allreduce \"b\": submitted by ranks 0, 2, not by rank 1\n"
		"# s: allreduce \"c\": submitted by rank 1, not by ranks 0, 2\n"
		"rank 0 waits in allreduce \"b\" (# s)\n"
		"rank 1 waits in allreduce \"c\" (# s)\n"
		"rank 2 waits in allreduce \"b\" (# s)\n"
		"deadlock: rank 0 waits in allreduce \"b\" for rank 1, rank 1 waits in "
		"allreduce \"c\" for rank 0" STUCK);
}
END_TEST

/* ---- several threads of a rank ---- */

struct second {
	struct scene *scene;
	int set; /* it first waits for "c" of this set, or for the director's word */
};

/* Has submitted before, so it may again. */
static void *second_thread(void *arg)
{
	struct second *second = arg;
	require_ok(ronde_wait(stall_submit("warm", data[1])));
	if (second->set)
		require_ok(ronde_wait(stall_submit_to(second->set, "c", data[1])));
	else
		scene_wait_go(second->scene);
	require_ok(ronde_wait(stall_submit("b", data[2])));
	return NULL;
}

/* Rank 0 waits in "a" for rank 1, rank 1 in "b" for rank 0, whose other thread brings it at last.
 */
static void threads_body(struct scene *scene, int rank)
{
	struct second second = {.scene = scene};
	pthread_t thread;
	stall_begin(scene, rank);
	if (scene->n == 3) /* its other thread is in "c", and rank 2 computes */
		require_ok(ronde_process_set_add((int[]){0, 2}, 2, &second.set));
	if (rank == 0)
		require(pthread_create(&thread, NULL, second_thread, &second) == 0, "a thread");
	else
		require_ok(ronde_wait(stall_submit("warm", data[1])));
	if (rank == 2) {
		scene_wait_go(scene);
		require_ok(ronde_wait(stall_submit_to(second.set, "c", data[1])));
	}
	if (rank)
		require_ok(ronde_wait(stall_submit("b", data[2])));
	require_ok(ronde_wait(stall_submit("a", data[0])));
	if (rank == 0)
		require(pthread_join(thread, NULL) == 0, "a thread");
	stall_finish(scene, rank);
}

START_TEST(another_thread_may_submit)
{
	struct scene *scene = stall_open(2, threads_body, "0");
	stall_await_part(scene, 0,
			 "waits in a circle: rank 0 waits in allreduce \"a\" for rank 1, rank 1 "
			 "waits in allreduce \"b\" for rank 0: none of them can go on, unless "
			 "another thread of rank 0 submits what is missing" ADVICE);
	ck_assert_int_eq(atomic_load(&lines[1].n), 0);
	stall_close(scene, 0);
}
END_TEST

START_TEST(another_thread_is_held_up)
{
	struct scene *scene = stall_open(3, threads_body, "0");
	int k = stall_await_part(scene, 0, "rank 2" LATE);
	/* Once more, when all have waited long. */
	stall_await_line(scene, 0, k + 1);
	for (int i = 0; i < atomic_load(&lines[0].n); i++)
		ck_assert_msg(!strstr(lines[0].text[i], "none of them"), "%s", lines[0].text[i]);
	stall_close(scene, 0);
}
END_TEST

/* ---- one name for two operations ---- */

static ronde_handle submit_gather(const char *name, ronde_gathered *all)
{
	static const int64_t shape[] = {1, 8};
	ronde_handle handle;
	require_ok(
		ronde_allgather_async(name, data[1], shape, 2, RONDE_FLOAT32, all, NULL, &handle));
	return handle;
}

static void kinds_body(struct scene *scene, int rank)
{
	ronde_gathered all = {0};
	ronde_handle first, second;
	stall_begin(scene, rank);
	stall_take_turns(scene, rank);
	first = rank ? submit_gather("x", &all) : stall_submit("x", data[0]);
	scene_wait_go(scene);
	second = rank ? stall_submit("x", data[0]) : submit_gather("x", &all);
	require_ok(ronde_wait(first));
	require_ok(ronde_wait(second));
	free(all.data);
	stall_finish(scene, rank);
}

START_TEST(two_kinds)
{
	struct scene *scene = stall_open(2, kinds_body, "0");
	int k = stall_await_part(
		scene, 0,
		"one name for two operations: rank 0 submitted allreduce \"x\", rank 1 submitted "
		"allgather \"x\": these are different tensors");
	stall_in_time(stall_began(scene), 0, k);
	stall_close(scene, 0);
}
END_TEST

/* ---- unnamed operations out of step ---- */

static void unnamed_body(struct scene *scene, int rank)
{
	stall_begin(scene, rank);
	require_ok(ronde_allreduce(NULL, data[0], data[0], COUNT, RONDE_FLOAT32, RONDE_SUM));
	stall_waits_now(rank);
	stall_end(scene, rank,
		  rank ? ronde_barrier()
		       : ronde_allreduce(NULL, data[0], data[0], COUNT, RONDE_FLOAT32, RONDE_SUM));
}

START_TEST(out_of_step)
{
	struct scene *scene = stall_open(2, unnamed_body, SHUTDOWN_TEXT);
	int k = stall_await_part(
		scene, 0,
		"unnamed operations are matched by their order: allreduce number 1 is "
		"waited for, rank 1 has made 1 (counted from 0) and waits for something "
		"else; it seems to have skipped one. With names this cannot happen\n"
		"deadlock: rank 0 waits in allreduce.noname.1 for rank 1, rank 1 waits "
		"in barrier.noname.1 for rank 0" STUCK);
	stall_in_time(stall_began(scene), 0, k);
	stall_check_ends(scene, 0, lines[0].text[k]);
	stall_close(scene, 0);
}
END_TEST

/* Rank 1 has skipped nothing: rank 2 is late, and holds it up. */
static void held_up_body(struct scene *scene, int rank)
{
	stall_begin(scene, rank);
	if (rank == 2)
		scene_wait_go(scene);
	ronde_handle first = stall_submit("first", data[0]);
	if (rank)
		require_ok(ronde_wait(first));
	require_ok(ronde_allreduce(NULL, data[1], data[1], COUNT, RONDE_FLOAT32, RONDE_SUM));
	if (!rank)
		require_ok(ronde_wait(first));
	stall_finish(scene, rank);
}

START_TEST(held_up_is_not_out_of_step)
{
	struct scene *scene = stall_open(3, held_up_body, "0");
	int k = stall_await_part(scene, 0,
				 "allreduce.noname.0: submitted by rank 0, not by ranks 1-2");
	ck_assert_msg(!strstr(lines[0].text[k], "skipped"), "%s", lines[0].text[k]);
	stall_close(scene, 0);
}
END_TEST

/* ---- none, if nobody wants one ---- */

START_TEST(disabled)
{
	setenv("RONDE_STALL_CHECK_DISABLE", "1", 1);
	late_rank = 1;
	struct scene *scene = stall_open(3, late_body, "0.6");
	stall_await_all(scene, READY);
	sleep_ms(1500);
	atomic_store(&scene->go, 1);
	stall_await_all(scene, DONE);
	for (int r = 0; r < 3; r++)
		ck_assert_int_eq(atomic_load(&lines[r].n), 0);
	stall_close(scene, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stall");
	TCase *tests = tcase_create("stall");
	tcase_set_timeout(tests, 100);
	tcase_add_loop_test(tests, late, 0, 3);
	tcase_add_loop_test(tests, late_until_the_end, 0, 3);
	tcase_add_test(tests, crossing);
	tcase_add_test(tests, crossing_of_three);
	tcase_add_test(tests, crossing_a_change_of_the_sets);
	tcase_add_test(tests, skipped);
	tcase_add_test(tests, another_thread_may_submit);
	tcase_add_test(tests, another_thread_is_held_up);
	tcase_add_test(tests, two_kinds);
	tcase_add_test(tests, out_of_step);
	tcase_add_test(tests, held_up_is_not_out_of_step);
	tcase_add_test(tests, disabled);
	suite_add_tcase(suite, tests);
	return stall_run(suite);
}

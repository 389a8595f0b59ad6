/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stall inspector, and process sets, ranks that have joined, and operations that go on while
 * others stall.
 */
#include "tests/stall_ranks.h"

#include "tests/sizes.h"

static float data[3][COUNT];

/* ---- a change of the process sets that a rank does not make ---- */

static bool removal;

static void change_body(struct scene *scene, int rank)
{
	int set;
	stall_begin(scene, rank);
	if (removal)
		require_ok(ronde_process_set_add((int[]){0, 1}, 2, &set));
	if (rank == 1)
		scene_wait_go(scene);
	if (removal)
		require_ok(ronde_process_set_remove(set));
	else
		require_ok(ronde_process_set_add((int[]){0, 1}, 2, &set));
	stall_finish(scene, rank);
}

START_TEST(a_change_is_late)
{
	removal = _i;
	struct scene *scene = stall_open(3, change_body, "0");
	stall_await_text(
		scene, 0,
		HEAD "# s: a change of the process sets: submitted by ranks 0, 2, not by rank 1\n"
		     "rank 1" LATE);
	stall_close(scene, 0);
}
END_TEST

/* The rank that lacks it is not in the set: it has to make the change all the same. */
static void busy_change_body(struct scene *scene, int rank)
{
	int pair, set;
	stall_begin(scene, rank);
	require_ok(ronde_process_set_add((int[]){1, 2}, 2, &pair));
	if (rank == 2)
		scene_wait_go(scene);
	if (rank)
		require_ok(ronde_wait(stall_submit_to(pair, "pair", data[0])));
	require_ok(ronde_process_set_add((int[]){0, 1}, 2, &set));
	stall_finish(scene, rank);
}

START_TEST(a_change_waits_for_one_that_waits)
{
	struct scene *scene = stall_open(3, busy_change_body, "0");
	int k = stall_await_part(scene, 0,
				 "\nrank 1 waits in allreduce \"pair\" of set 1 (# s)\n"
				 "rank 2" LATE);
	ck_assert_ptr_null(strstr(lines[0].text[k], "none of them"));
	stall_await_part(scene, 0,
			 "a change of the process sets: submitted by rank 0, not by ranks 1-2\n");
	stall_await_part(scene, 0,
			 "allreduce \"pair\" of set 1: submitted by rank 1, not by rank 2\n");
	stall_close(scene, 0);
}
END_TEST

/* ---- ranks that have joined ---- */

static void joined_body(struct scene *scene, int rank)
{
	int last;
	stall_begin(scene, rank);
	stall_fill(data[0], rank);
	if (rank == 1)
		scene_wait_go(scene);
	if (rank < 2) {
		require_ok(ronde_wait(stall_submit("grad", data[0])));
		stall_check_sum(data[0], 2);
	}
	require_ok(ronde_join(&last));
	stall_finish(scene, rank);
}

START_TEST(one_has_joined)
{
	struct scene *scene = stall_open(3, joined_body, "0");
	stall_await_text(
		scene, 0,
		HEAD "# s: allreduce \"grad\": submitted by rank 0, not by rank 1; joined: rank 2\n"
		     "rank 1" LATE);
	stall_close(scene, 0);
}
END_TEST

/* A join lasts as long as the others work: that is no stall, also not where one would end all. */
static void join_body(struct scene *scene, int rank)
{
	int last;
	stall_begin(scene, rank);
	if (rank == 1)
		scene_wait_go(scene);
	require_ok(ronde_join(&last));
	require(last == 1, "the last to join is %d", last);
	stall_finish(scene, rank);
}

START_TEST(a_join_may_last)
{
	struct scene *scene = stall_open(2, join_body, "0.6");
	stall_await_all(scene, READY);
	sleep_ms(1500);
	atomic_store(&scene->go, 1);
	stall_await_all(scene, DONE);
	for (int r = 0; r < 2; r++)
		ck_assert_int_eq(atomic_load(&lines[r].n), 0);
	stall_close(scene, 0);
}
END_TEST

/* ---- one name in two sets ---- */

static void two_sets_body(struct scene *scene, int rank)
{
	int set;
	stall_begin(scene, rank);
	require_ok(ronde_process_set_add((int[]){0, 1}, 2, &set));
	stall_take_turns(scene, rank < 2 ? rank : 1);
	ronde_handle first = stall_submit_to(rank ? 0 : set, "x", data[0]);
	scene_wait_go(scene);
	if (rank < 2)
		require_ok(ronde_wait(stall_submit_to(rank ? set : 0, "x", data[1])));
	require_ok(ronde_wait(first));
	stall_finish(scene, rank);
}

START_TEST(two_sets)
{
	struct scene *scene = stall_open(3, two_sets_body, "0");
	stall_await_part(scene, 0,
			 "one name for two process sets: rank 0 submitted allreduce \"x\" of set "
			 "1, ranks 1-2 submitted allreduce \"x\": these are different tensors");
	stall_close(scene, 0);
}
END_TEST

/* ---- a set waits while another works ---- */

/* Members of the set work until the director says: all or none of them goes on. */
static bool goes_on(const struct scene *scene, int set, int rank)
{
	float go = rank == 0 && atomic_load(&scene->go);
	ronde_options options = RONDE_OPTIONS_INIT;
	ronde_handle handle;
	options.process_set = set;
	require_ok(ronde_allreduce_async("go", &go, &go, 1, RONDE_FLOAT32, RONDE_SUM, &options,
					 &handle));
	require_ok(ronde_wait(handle));
	return go == 0;
}

static void busy_body(struct scene *scene, int rank)
{
	static const int pairs[2][2] = {{0, 1}, {2, 3}};
	int sets[2];
	stall_begin(scene, rank);
	for (int i = 0; i < 2; i++)
		require_ok(ronde_process_set_add(pairs[i], 2, &sets[i]));
	if (rank == 3)
		scene_wait_go(scene);
	if (rank < 2)
		do
			require_ok(ronde_wait(stall_submit_to(sets[0], "x", data[0])));
		while (goes_on(scene, sets[0], rank));
	else
		require_ok(ronde_wait(stall_submit_to(sets[1], "x", data[0])));
	stall_finish(scene, rank);
}

START_TEST(while_another_set_works)
{
	struct scene *scene = stall_open(4, busy_body, "0");
	stall_await_text(scene, 0,
			 HEAD "# s: allreduce \"x\" of set 2: submitted by rank 2, not by rank 3\n"
			      "rank 3" LATE);
	stall_close(scene, 0);
}
END_TEST

/* ---- a large operation is always in flight, while a tensor stalls ---- */

#define LARGE ((int64_t)test_turns(8 << 20)) /* floats */

static ronde_handle submit_large(int set, const char *name, float *m)
{
	ronde_options options = RONDE_OPTIONS_INIT;
	ronde_handle handle;
	options.process_set = set;
	require_ok(ronde_allreduce_async(name, m, m, LARGE, RONDE_FLOAT32, RONDE_AVERAGE, &options,
					 &handle));
	return handle;
}

/* Submits two again and again, until the director says. */
static void keep_busy(const struct scene *scene, int set, int rank)
{
	static const char *const names[] = {"large 0", "large 1"};
	float *m[2];
	ronde_handle handle[2];
	int64_t wrong = 0;
	for (int i = 0; i < 2; i++) {
		require(m[i] = malloc((size_t)LARGE * sizeof **m), "memory");
		for (int64_t k = 0; k < LARGE; k++)
			m[i][k] = (float)(k % 1000 + rank);
		handle[i] = submit_large(set, names[i], m[i]);
	}
	for (bool more = true; more;) {
		more = goes_on(scene, set, rank);
		for (int i = 0; i < 2; i++) {
			require_ok(ronde_wait(handle[i]));
			if (more)
				handle[i] = submit_large(set, names[i], m[i]);
		}
	}
	for (int i = 0; i < 2; i++) { /* the average of equal numbers is that number */
		for (int64_t k = 0; k < LARGE; k++)
			wrong += m[i][k] != (float)(k % 1000) + 0.5f;
		free(m[i]);
	}
	require(wrong == 0, "%lld elements are wrong", (long long)wrong);
}

static void large_body(struct scene *scene, int rank)
{
	int pair;
	stall_begin(scene, rank);
	require_ok(ronde_process_set_add((int[]){0, 1}, 2, &pair));
	stall_fill(data[0], rank);
	ronde_handle late = 0;
	if (rank < 2) {
		late = stall_submit("late", data[0]);
		keep_busy(scene, pair, rank);
	} else {
		scene_wait_go(scene);
		late = stall_submit("late", data[0]);
	}
	require_ok(ronde_wait(late));
	stall_check_sum(data[0], 3);
	stall_finish(scene, rank);
}

START_TEST(while_a_large_operation_runs)
{
	struct scene *scene = stall_open(3, large_body, "0");
	stall_await_all(scene, READY);
	struct moment start = scene_mark();
	int k = stall_await_part(scene, 0,
				 "allreduce \"late\": submitted by ranks 0-1, not by rank 2\n");
	stall_in_time(start, 0, k);
	ck_assert_ptr_nonnull(strstr(lines[0].text[k], "rank 2" LATE));
	ck_assert_ptr_null(strstr(lines[0].text[k], "none of them"));
	stall_close(scene, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stall_sets");
	TCase *tests = tcase_create("stall_sets");
	tcase_set_timeout(tests, 100);
	tcase_add_loop_test(tests, a_change_is_late, 0, 2);
	tcase_add_test(tests, a_change_waits_for_one_that_waits);
	tcase_add_test(tests, one_has_joined);
	tcase_add_test(tests, a_join_may_last);
	tcase_add_test(tests, two_sets);
	tcase_add_test(tests, while_another_set_works);
	tcase_add_test(tests, while_a_large_operation_runs);
	suite_add_tcase(suite, tests);
	return stall_run(suite);
}

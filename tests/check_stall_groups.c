/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stall inspector, and groups: which of their tensors wait for whom. A thread that waits for a
 * group is one thread that waits, in as many tensors as the group has.
 */
#include "tests/stall_ranks.h"

#define MOST 40 /* tensors; more than a board shows */

static float data[COUNT], parts[MOST][COUNT / MOST];

static struct plan {
	const char *name; /* of the group */
	size_t count;     /* of its tensors */
} plan;

static ronde_handle submit_group(void)
{
	ronde_group_tensor tensors[MOST] = {0};
	ronde_handle handle;
	for (size_t i = 0; i < plan.count; i++)
		tensors[i] = (ronde_group_tensor){.input = parts[i],
						  .output = parts[i],
						  .count = COUNT / MOST,
						  .dtype = RONDE_FLOAT32};
	require_ok(ronde_grouped_allreduce_async(plan.name, tensors, plan.count, RONDE_MAX, NULL,
						 &handle));
	return handle;
}

/* ---- a rank that is late with a group ---- */

static void late_body(struct scene *scene, int rank)
{
	stall_begin(scene, rank);
	if (rank == 1)
		scene_wait_go(scene);
	for (size_t i = 0; i < plan.count; i++)
		parts[i][COUNT / MOST - 1] = (float)(rank * 100) + (float)i;
	require_ok(ronde_wait(submit_group()));
	for (size_t i = 0; i < plan.count; i++)
		require(parts[i][COUNT / MOST - 1] == 200 + (float)i, "tensor %zu", i);
	stall_finish(scene, rank);
}

static void check_late(struct plan p, const char *what)
{
	char want[1000];
	plan = p;
	struct scene *scene = stall_open(3, late_body, "0");
	stall_await_all(scene, READY);
	struct moment start = scene_mark();
	snprintf(want, sizeof want,
		 HEAD "# s: %s: submitted by ranks 0, 2, not by rank 1\nrank 1" LATE, what);
	int k = stall_await_text(scene, 0, want);
	stall_in_time(start, 0, k);
	stall_close(scene, 0);
}

START_TEST(late)
{
	check_late((struct plan){"g", 3}, "allreduce \"g_1of3\", allreduce \"g_2of3\", "
					  "allreduce \"g_3of3\"");
	check_late((struct plan){NULL, 2}, "allreduce.noname.0_1of2, allreduce.noname.0_2of2");
	check_late(
		(struct plan){"g", MOST},
		"allreduce \"g_9of40\", allreduce \"g_10of40\", allreduce \"g_11of40\", allreduce "
		"\"g_12of40\" and 36 more");
}
END_TEST

/* ---- waits for groups that cross others ---- */

static void crossing_body(struct scene *scene, int rank)
{
	stall_begin(scene, rank);
	stall_take_turns(scene, rank);
	stall_end(scene, rank, ronde_wait(rank ? stall_submit("t", data) : submit_group()));
}

static void check_crossing(struct plan p, const char *text)
{
	plan = p;
	stall_check_crossing(2, crossing_body, text);
}

#define WAITS "rank 1 waits in allreduce \"t\" (# s)\n"
#define OF_T "rank 1 waits in allreduce \"t\" for rank 0" STUCK

START_TEST(crossing)
{
	check_crossing((struct plan){"g", 2},
		       "# s: allreduce \"g_1of2\", allreduce \"g_2of2\": submitted by rank 0, not "
		       "by rank 1\n# s: allreduce \"t\": submitted by rank 1, not by rank 0\n"
		       "rank 0 waits in allreduce \"g_2of2\" (# s), and in allreduce \"g_1of2\" "
		       "(# s)\n" WAITS
		       "deadlock: rank 0 waits in allreduce \"g_2of2\" for rank 1, " OF_T);
}
END_TEST

START_TEST(crossing_unnamed)
{
	check_crossing(
		(struct plan){NULL, 2},
		"# s: allreduce.noname.0_1of2, allreduce.noname.0_2of2: submitted by rank "
		"0, not by rank 1\n# s: allreduce \"t\": submitted by rank 1, not by rank 0\n"
		"rank 0 waits in allreduce.noname.0_2of2 (# s), and in "
		"allreduce.noname.0_1of2 (# s)\n" WAITS
		"unnamed operations are matched by their order: allreduce number 0 is waited "
		"for, rank 1 has made 0 (counted from 0) and waits for something else; it "
		"seems to have skipped one. With names this cannot happen\n"
		"deadlock: rank 0 waits in allreduce.noname.0_2of2 for rank 1, " OF_T);
}
END_TEST

/* A board does not show all of them, but the thread that waits for them. */
START_TEST(crossing_many)
{
	check_crossing(
		(struct plan){"g", MOST},
		"# s: allreduce \"g_9of40\", allreduce \"g_10of40\", allreduce \"g_11of40\", "
		"allreduce \"g_12of40\" and 36 more: submitted by rank 0, not by rank 1\n"
		"# s: allreduce \"t\": submitted by rank 1, not by rank 0\n"
		"rank 0 waits in allreduce \"g_40of40\" (# s), and in allreduce \"g_39of40\" "
		"(# s), and in allreduce \"g_38of40\" (# s), and in allreduce \"g_37of40\" "
		"(# s) and 36 more\n" WAITS
		"deadlock: rank 0 waits in allreduce \"g_40of40\" for rank 1, " OF_T);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stall_groups");
	TCase *tests = tcase_create("groups");
	tcase_set_timeout(tests, 100);
	tcase_add_test(tests, late);
	tcase_add_test(tests, crossing);
	tcase_add_test(tests, crossing_unnamed);
	tcase_add_test(tests, crossing_many);
	suite_add_tcase(suite, tests);
	return stall_run(suite);
}

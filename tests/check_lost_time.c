/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is promised in seconds is not held against a machine that others keep busy
 * (tests/lost_time.h): their work is seen, the test's own is not taken for it.
 */

#include "tests/fault_ranks.h"
#include "tests/lost_time.h"
#include "tests/suite.h"

static void idle_body(struct scene *scene, int rank)
{
	(void)rank;
	scene_wait_go(scene);
}

static double seconds_since(uint64_t start)
{
	return (double)(scene_now() - start) * 1e-9;
}

static void spin_for(double seconds)
{
	for (uint64_t start = scene_now(); seconds_since(start) < seconds;)
		;
}

static void busy_body(struct scene *scene, int rank)
{
	scene_wait_go(scene);
	spin_for(0.5);
	scene_reach(scene, rank, 1);
	while (atomic_load(&scene->go) < 2)
		sleep_ms(1);
}

static double used_by_ranks(const struct scene *scene)
{
	double used = 0;
	for (int r = 0; r < scene->n; r++)
		used += lost_time_used(scene->ranks[r].pid);
	return used;
}

START_TEST(own_work_is_not_lost)
{
	int cores;
	lost_time_busy(&cores);
	struct scene *scene =
		scene_open(cores < FAULT_RANKS_MAX ? cores : FAULT_RANKS_MAX, busy_body, NULL);
	double used = used_by_ranks(scene), lost = scene_lost();
	uint64_t start = scene_now();
	atomic_store(&scene->go, 1);
	for (int r = 0; r < scene->n; r++)
		scene_await(scene, r, 1);
	lost = scene_lost() - lost;
	used = used_by_ranks(scene) - used;
	double wall = seconds_since(start);
	atomic_store(&scene->go, 2);
	scene_close(scene, 0);
	/* Others had at most the rest of the cores; a tick is 0.01 s. */
	ck_assert_msg(lost < wall - used / cores + 0.1, "%.3f s of %.3f s are lost, %.3f s are own",
		      lost, wall, used);
}
END_TEST

START_TEST(others_work_is_lost)
{
	int cores;
	struct scene *scene = scene_open(1, idle_body, NULL);
	double lost = scene_lost();
	lost_time_busy(&cores);
	fflush(NULL);
	for (int i = 0; i < 2 * cores; i++)
		if (fork() == 0) {
			spin_for(0.5);
			_exit(0);
		}
	for (int i = 0; i < 2 * cores; i++)
		wait(NULL);
	lost = scene_lost() - lost;
	atomic_store(&scene->go, 1);
	scene_close(scene, 0);
	ck_assert_msg(lost > 0.3, "others had all cores for 0.5 s: only %.3f s are lost", lost);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{own_work_is_not_lost, ONCE},
		{others_work_is_lost, ONCE},
	};
	return SUITE_RUN("lost_time", 60, tests);
}

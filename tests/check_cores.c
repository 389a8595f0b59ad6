/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many cores a rank has, on machines that hwloc makes up: ranks bound to threads, cores, caches
 * and packages, several to one, all to one, with and without a quota, in one container and in
 * several.
 */
#include <hwloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/cores.h"
#include "tests/seed.h"
#include "tests/suite.h"

#define RANKS_MAX 64

static const struct {
	const char *machine;   /* synthetic; see hwloc's documentation */
	hwloc_obj_type_t each; /* rank i is bound to the i-th of these, and round again */
	int ranks;
	double quota; /* 0: none */
	double cores; /* of each rank */
} rows[] = {
	/* One rank a core; a core's two threads count as two. */
	{"package:2 core:4 pu:1", HWLOC_OBJ_CORE, 8, 0, 1},
	{"package:2 core:4 pu:2", HWLOC_OBJ_CORE, 8, 0, 2},
	{"package:2 core:4 pu:2", HWLOC_OBJ_PU, 8, 0, 1},
	{"package:2 core:4 pu:2", HWLOC_OBJ_PU, 16, 0, 1},
	/* Bound to packages: those of a package share it. */
	{"package:2 core:4 pu:1", HWLOC_OBJ_PACKAGE, 2, 0, 4},
	{"package:2 core:4 pu:1", HWLOC_OBJ_PACKAGE, 8, 0, 1},
	{"package:2 core:4 pu:1", HWLOC_OBJ_PACKAGE, 16, 0, 0.5},
	/* One rank of one package: the other package is not its. */
	{"package:2 core:4 pu:1", HWLOC_OBJ_PACKAGE, 1, 0, 4},
	{"package:2 core:4 pu:1", HWLOC_OBJ_PACKAGE, 3, 0, 8.0 / 3},
	/* Not bound at all. */
	{"package:2 core:4 pu:2", HWLOC_OBJ_MACHINE, 1, 0, 16},
	{"package:2 core:4 pu:2", HWLOC_OBJ_MACHINE, 4, 0, 4},
	{"package:1 core:2 pu:1", HWLOC_OBJ_MACHINE, 5, 0, 0.4},
	{"package:1 core:1 pu:1", HWLOC_OBJ_MACHINE, 7, 0, 1.0 / 7},
	/* More ranks than cores, each bound to one. */
	{"package:1 core:2 pu:1", HWLOC_OBJ_CORE, 4, 0, 0.5},
	{"package:1 core:3 pu:2", HWLOC_OBJ_PU, 64, 0, 6.0 / 64},
	/* Bound to a shared cache. */
	{"package:2 l3:2 core:2 pu:1", HWLOC_OBJ_L3CACHE, 4, 0, 2},
	{"package:2 l3:2 core:2 pu:1", HWLOC_OBJ_L3CACHE, 3, 0, 2},
	/* A quota counts if it is less than the cores there are. */
	{"package:2 core:4 pu:1", HWLOC_OBJ_CORE, 8, 4, 0.5},
	{"package:2 core:4 pu:1", HWLOC_OBJ_CORE, 8, 8, 1},
	{"package:2 core:4 pu:1", HWLOC_OBJ_CORE, 8, 100, 1},
	{"package:2 core:4 pu:1", HWLOC_OBJ_CORE, 2, 1.5, 0.75},
	{"package:2 core:4 pu:1", HWLOC_OBJ_CORE, 2, 3, 1},
	{"package:2 core:4 pu:2", HWLOC_OBJ_MACHINE, 4, 0.25, 0.0625},
	/* Processors with large numbers. */
	{"package:8 core:64 pu:2", HWLOC_OBJ_PACKAGE, 8, 0, 128},
	{"package:8 core:64 pu:2", HWLOC_OBJ_MACHINE, 64, 0, 16},
};
#define ROWS ((int)(sizeof rows / sizeof *rows))

static hwloc_topology_t make_up(const char *machine)
{
	hwloc_topology_t topology;
	ck_assert_int_eq(hwloc_topology_init(&topology), 0);
	ck_assert_int_eq(hwloc_topology_set_synthetic(topology, machine), 0);
	ck_assert_int_eq(hwloc_topology_load(topology), 0);
	return topology;
}

static void bind_to(hwloc_const_cpuset_t set, struct ronde_cores_report *report)
{
	CPU_ZERO(&report->allowed);
	for (int cpu = hwloc_bitmap_first(set); cpu >= 0; cpu = hwloc_bitmap_next(set, cpu))
		CPU_SET((size_t)cpu, &report->allowed);
}

START_TEST(made_up_machines)
{
	struct ronde_cores_report ranks[RANKS_MAX];
	hwloc_topology_t machine = make_up(rows[_i].machine);
	int objects = hwloc_get_nbobjs_by_type(machine, rows[_i].each);
	ck_assert_int_gt(objects, 0);
	for (int r = 0; r < rows[_i].ranks; r++) {
		unsigned int which = (unsigned int)(r % objects);
		bind_to(hwloc_get_obj_by_type(machine, rows[_i].each, which)->cpuset, &ranks[r]);
		ranks[r].ngroups = rows[_i].quota > 0;
		ranks[r].groups[0].quota = rows[_i].quota;
		ranks[r].groups[0].id = 1;
	}
	double cores = ronde_cores_share(ranks, rows[_i].ranks, 0);
	hwloc_topology_destroy(machine);
	ck_assert_double_eq(cores, rows[_i].cores);
}
END_TEST

/* Ranks that are not bound, in containers each of which has a quota. */
static const struct {
	int cpus, ranks, together; /* ranks in a container */
	double quota, cores;       /* of a container; of rank 0 */
} containers[] = {
	{8, 4, 4, 2, 0.5}, {8, 4, 1, 2, 2}, {8, 8, 1, 2, 1},   {8, 2, 1, 1.5, 1.5},
	{8, 4, 2, 2, 1},   {8, 3, 2, 2, 1}, {8, 2, 1, 100, 4}, {8, 1, 1, 0.5, 0.5},
};
#define CONTAINERS ((int)(sizeof containers / sizeof *containers))

START_TEST(several_containers)
{
	struct ronde_cores_report ranks[RANKS_MAX];
	memset(ranks, 0, sizeof ranks);
	for (int r = 0; r < containers[_i].ranks; r++) {
		for (int cpu = 0; cpu < containers[_i].cpus; cpu++)
			CPU_SET((size_t)cpu, &ranks[r].allowed);
		ranks[r].ngroups = 1;
		ranks[r].groups[0] = (struct ronde_cores_group){
			(uint64_t)(r / containers[_i].together), containers[_i].quota};
	}
	double cores = ronde_cores_share(ranks, containers[_i].ranks, 0);
	ck_assert_double_eq(cores, containers[_i].cores);
}
END_TEST

/* A random tree of groups: each rank is in one of the lowest and in those above it. */
static void draw_groups(uint64_t *state, struct ronde_cores_report *ranks, int n)
{
	double quotas[1 << 5];
	for (int g = 1; g < 1 << 5; g++)
		quotas[g] = next_random(state) % 2 ? 0 : (double)(1 + next_random(state) % 64) / 4;
	for (int r = 0; r < n; r++) {
		ranks[r].ngroups = 0;
		for (uint64_t g = 16 + next_random(state) % 16; g > 0; g /= 2)
			if (quotas[g] > 0)
				ranks[r].groups[ranks[r].ngroups++] =
					(struct ronde_cores_group){g, quotas[g]};
	}
}

/* The least share of the rank in any of the groups. */
static double least_share(const struct ronde_cores_report *ranks, int n, int me, double least)
{
	for (int g = 0; g < ranks[me].ngroups; g++) {
		int inside = 0;
		for (int r = 0; r < n; r++)
			for (int k = 0; k < ranks[r].ngroups; k++)
				inside += ranks[r].groups[k].id == ranks[me].groups[g].id;
		least = fmin(least, ranks[me].groups[g].quota / inside);
	}
	return least;
}

/* Masks that overlap anyhow, against a count processor by processor; and groups. */
START_TEST(random_masks)
{
	uint64_t state = test_seed();
	for (int round = 0; round < 200; round++) {
		struct ronde_cores_report ranks[RANKS_MAX];
		int n = 1 + (int)(next_random(&state) % RANKS_MAX), count = 0;
		size_t cpus = 1 + next_random(&state) % CPU_SETSIZE;
		memset(ranks, 0, sizeof ranks);
		for (int r = 0; r < n; r++)
			for (uint64_t k = next_random(&state) % 40 + 1; k; k--)
				CPU_SET(next_random(&state) % cpus, &ranks[r].allowed);
		for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
			bool any = false;
			for (int r = 0; r < n; r++)
				any |= CPU_ISSET(cpu, &ranks[r].allowed) != 0;
			count += any;
		}
		draw_groups(&state, ranks, n);
		for (int me = 0; me < n; me++)
			ck_assert_double_eq(ronde_cores_share(ranks, n, me),
					    least_share(ranks, n, me, (double)count / n));
	}
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{made_up_machines, 0, ROWS},
		{several_containers, 0, CONTAINERS},
		{random_masks, ONCE},
	};
	return SUITE_RUN("cores", 60, tests);
}

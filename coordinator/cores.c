/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/cores.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "collectives/control_groups.h"
#include "collectives/status.h"

/* Cores that a group's files allow; 0: no limit. */
static double read_quota(int version, const char *folder)
{
	static const char *const files[] = {"cpu.cfs_quota_us", "cpu.cfs_period_us"};
	char path[1152], text[2][64] = {"", ""}, *rest;
	for (int i = 0; i < (version == 1 ? 2 : 1); i++) {
		snprintf(path, sizeof path, "%s/%s", folder, version == 1 ? files[i] : "cpu.max");
		if (!ronde_small_file_read(path, text[i], sizeof text[i]))
			return 0;
	}
	/* Version 2 has both in one line. "max" and -1 are no limit. */
	long long quota = strtoll(text[0], &rest, 10);
	long long period = strtoll(version == 1 ? text[1] : rest, NULL, 10);
	return quota > 0 && period > 0 ? (double)quota / (double)period : 0;
}

/* The numbers of a hierarchy's folders are the kernel's own, the same in all containers. */
static uint64_t group_id(int version, const char *folder)
{
	struct stat about;
	return stat(folder, &about) ? 0 : (uint64_t)about.st_ino << 2 | (uint64_t)version;
}

static void note_group(int version, const char *folder, void *report)
{
	struct ronde_cores_report *mine = report;
	double quota = read_quota(version, folder);
	if (quota > 0 && mine->ngroups < RONDE_CORES_GROUPS)
		mine->groups[mine->ngroups++] =
			(struct ronde_cores_group){.id = group_id(version, folder), .quota = quota};
}

void ronde_cores_look(const char *root, struct ronde_cores_report *mine)
{
	memset(mine, 0, sizeof *mine);
	if (sched_getaffinity(0, sizeof mine->allowed, &mine->allowed))
		CPU_SET(0, &mine->allowed);
	ronde_control_groups(root, "cpu", note_group, mine);
}

double ronde_cores_quota(const struct ronde_cores_report *of)
{
	double least = 0;
	for (int i = 0; i < of->ngroups; i++)
		if (least == 0 || of->groups[i].quota < least)
			least = of->groups[i].quota;
	return least;
}

static bool is_in(const struct ronde_cores_report *r, uint64_t group)
{
	int i = 0;
	while (i < r->ngroups && r->groups[i].id != group)
		i++;
	return i < r->ngroups;
}

double ronde_cores_share(const struct ronde_cores_report *of, int ranks, int me)
{
	cpu_set_t together;
	CPU_ZERO(&together);
	for (int i = 0; i < ranks; i++)
		CPU_OR(&together, &together, &of[i].allowed);
	double cores = (double)CPU_COUNT(&together) / ranks;
	for (int g = 0; g < of[me].ngroups; g++) {
		const struct ronde_cores_group *group = &of[me].groups[g];
		int sharing = 0;
		for (int i = 0; i < ranks; i++)
			sharing += is_in(&of[i], group->id);
		if (group->quota / sharing < cores)
			cores = group->quota / sharing;
	}
	return cores;
}

int ronde_cores_per_rank(struct ronde_bootstrap *bootstrap, const struct ronde_node *node,
			 double *cores)
{
	const size_t size = (size_t)node->size, local = (size_t)node->local_size;
	struct ronde_cores_report mine, *all = calloc(size + local, sizeof *all);
	if (!all)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for %d ranks", node->size);
	ronde_cores_look("", &mine);
	int status = bootstrap->ops->exchange(bootstrap, &mine, all, sizeof mine);
	for (size_t i = 0; i < local; i++)
		all[size + i] = all[node->ranks[i]];
	if (!status)
		*cores = ronde_cores_share(all + size, node->local_size, node->local_rank);
	free(all);
	return status;
}

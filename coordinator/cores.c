/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/cores.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/status.h"

static double read_quota(const char *path, const char *format)
{
	FILE *file = fopen(path, "re");
	double quota = 0, period = 100000;
	if (!file)
		return 0;
	int n = fscanf(file, format, &quota, &period);
	fclose(file);
	return n >= 1 && quota > 0 && period > 0 ? quota / period : 0;
}

double ronde_cgroup_cores(const char *root)
{
	char path[512];
	/* Inside a container its own group is mounted as the root. */
	snprintf(path, sizeof path, "%s/sys/fs/cgroup/cpu.max", root);
	double cores = read_quota(path, "%lf %lf");
	snprintf(path, sizeof path, "%s/sys/fs/cgroup/cpu/cpu.cfs_quota_us", root);
	return cores > 0 ? cores : read_quota(path, "%lf");
}

struct report {
	cpu_set_t allowed;
	double quota;
};

int ronde_cores_per_rank(struct ronde_bootstrap *bootstrap, const struct ronde_node *node,
			 double *cores)
{
	struct report mine, *all = calloc((size_t)node->size, sizeof *all);
	if (!all)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for %d ranks", node->size);
	memset(&mine, 0, sizeof mine);
	if (sched_getaffinity(0, sizeof mine.allowed, &mine.allowed))
		CPU_SET(0, &mine.allowed);
	mine.quota = ronde_cgroup_cores("");
	int status = bootstrap->ops->exchange(bootstrap, &mine, all, sizeof mine);
	if (!status) {
		cpu_set_t together;
		CPU_ZERO(&together);
		for (int i = 0; i < node->local_size; i++)
			CPU_OR(&together, &together, &all[node->ranks[i]].allowed);
		double n = CPU_COUNT(&together);
		if (mine.quota > 0 && mine.quota < n)
			n = mine.quota;
		*cores = n / node->local_size;
	}
	free(all);
	return status;
}

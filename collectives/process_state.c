/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of another rank's process. Its number as it sees itself may name another process here,
 * if it lives in another PID namespace; a pidfd says which number it has in the /proc of this one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/node_private.h"

/* 0: it has none here, or there are no pidfds. */
static int pid_behind(int pidfd)
{
	char path[64], line[128];
	int pid = 0;
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
	FILE *file = fopen(path, "re");
	while (!pid && file && fgets(line, sizeof line, file))
		if (strncmp(line, "Pid:", 4) == 0)
			pid = (int)strtol(line + 4, NULL, 10);
	if (file)
		fclose(file);
	return pid;
}

char ronde_node_process_state(const struct ronde_node *node, int local_rank, int *pid)
{
	*pid = node->pids[local_rank];
	if (node->priv->threads || local_rank == node->local_rank)
		return 'R';
	int here = pid_behind(node->priv->life_fds[local_rank]);
	if (here < 0)
		return 'Z';
	if (here == 0)
		return 0;
	*pid = here;
	char path[64], text[512];
	snprintf(path, sizeof path, "/proc/%d/stat", here);
	FILE *file = fopen(path, "re");
	if (!file)
		return 0;
	size_t bytes = fread(text, 1, sizeof text - 1, file);
	fclose(file);
	text[bytes] = 0;
	/* "pid (name) S …": the name may hold anything. */
	const char *name_end = strrchr(text, ')');
	return name_end && name_end[1] == ' ' ? name_end[2] : 0;
}

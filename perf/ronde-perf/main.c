/* SPDX-License-Identifier: Apache-2.0 */
/* ronde-perf: its commands. See options.c for what is asked for, runtime.c for what is around. */
#include "perf/ronde-perf/commands.h"

#include <string.h>

static const struct {
	const char *name;
	perf_command_fn run;
} commands[] = {
	{"allreduce", perf_collective},
	{"broadcast", perf_collective},
	{"allgather", perf_collective},
	{"reduce_scatter", perf_collective},
	{"alltoall", perf_collective},
	{"barrier", perf_collective},
	{"step", perf_step},
	{"idle", perf_idle},
	{"overlap", perf_overlap},
};

perf_command_fn perf_command_find(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].run;
	return NULL;
}

int main(int argc, char **argv)
{
	return perf_main(argc, argv);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* ronde-perf-limits: ronde-perf's allreduce beside what it is made of; its options, too. */
#include "perf/limits/inside.h"

#include <string.h>

perf_command_fn perf_command_find(const char *name)
{
	return strcmp(name, "allreduce") == 0 ? perf_limits : NULL;
}

int main(int argc, char **argv)
{
	return perf_main(argc, argv);
}

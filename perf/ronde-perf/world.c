/* SPDX-License-Identifier: Apache-2.0 */
#include "perf/ronde-perf/world.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void perf_world_open(struct perf_world *world, int rank, int size,
		     const struct perf_transport *transport)
{
	char path[PERF_MEETING_PATH] = "";
	double without;

	*world = (struct perf_world){.rank = rank, .size = size, .transport = transport};
	if (rank == 0)
		world->meeting = perf_meeting_host(size, path);
	transport->broadcast(world, path, sizeof(path));
	if (rank != 0 && path[0])
		world->meeting = perf_meeting_join(rank, size, path);
	without = world->meeting ? 0 : 1;
	transport->max(world, &without, 1);
	if (without == 0)
		return;
	perf_meeting_close(world->meeting);
	world->meeting = NULL;
	if (rank == 0)
		fprintf(stderr,
			"ronde-perf: the ranks can't share a page of memory (several nodes, or "
			"processes that don't see each other's /proc): they start after a plain "
			"barrier, up to its run time apart\n");
}

void perf_world_close(struct perf_world *world)
{
	perf_meeting_close(world->meeting);
	world->meeting = NULL;
}

void perf_world_meet(const struct perf_world *world)
{
	if (!world->meeting)
		world->transport->barrier(world);
	else if (!perf_meeting_wait(world->meeting))
		perf_die(world, "another rank ended early; see its message");
}

void perf_die(const struct perf_world *world, const char *format, ...)
{
	va_list args;

	perf_meeting_leave(world->meeting);
	fprintf(stderr, "ronde-perf[rank %d]: ", world->rank);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

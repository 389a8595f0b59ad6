/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much memory there is still room for. Shared memory is not refused when it runs out: the
 * system kills a process instead. So whoever is about to fill a lot of it asks first.
 */
#ifndef RONDE_MEMORY_ROOM_H
#define RONDE_MEMORY_ROOM_H

#include <stdint.h>

struct ronde_memory_room {
	uint64_t bytes;    /* UINT64_MAX if nothing could be read */
	char source[1152]; /* what says so: "MemAvailable of /proc/meminfo", a control group's file
			    */
};

/*
 * The smallest of what the machine has available and what the control groups (v2 and v1) this
 * process is in, and those above them, still allow. `root` goes in front of /proc and /sys: ""
 * except in tests. Takes some tens of microseconds.
 */
void ronde_memory_room(struct ronde_memory_room *room, const char *root);

#endif

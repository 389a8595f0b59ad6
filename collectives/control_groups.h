/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control groups (version 1 and 2) that this process is in, and those above them: what each
 * allows holds for it.
 */
#ifndef RONDE_CONTROL_GROUPS_H
#define RONDE_CONTROL_GROUPS_H

#include <stdbool.h>
#include <stddef.h>

/* Reads the whole of a small file, as a string; false if it can't be read. No stdio: this is also
 * called from ronde_alloc(), which should not allocate elsewhere. */
bool ronde_small_file_read(const char *path, char *text, size_t room);

/* A group's folder: its files can be read, or are not there. */
typedef void (*ronde_control_group_fn)(int version, const char *folder, void *arg);

/*
 * Calls fn for each folder, a group before the one above it. controller: whose hierarchy of version
 * 1 it is, "memory"; the one hierarchy of version 2 is for all. In a container a group's path may
 * be one of the host's that is not to be seen here; the mount itself is then the container's group,
 * and asked last anyway. `root` goes in front of /proc and /sys: "" except in tests.
 */
void ronde_control_groups(const char *root, const char *controller, ronde_control_group_fn fn,
			  void *arg);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/control_groups.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 1024

struct walk {
	const char *root, *controller;
	ronde_control_group_fn fn;
	void *arg;
};

bool ronde_small_file_read(const char *path, char *text, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	size_t n = 0;
	ssize_t got;
	while (n < room - 1 && (got = read(fd, text + n, room - 1 - n)) > 0)
		n += (size_t)got;
	close(fd);
	text[n] = '\0';
	return n > 0;
}

/* The group at `path` below a mount, then those above it. */
static void climb(const struct walk *w, int version, const char *mount, const char *path)
{
	char folder[PATH_BYTES];
	int base = snprintf(folder, sizeof folder, "%s%s", w->root, mount);
	if (base < 0 || (size_t)base >= sizeof folder)
		return;
	int n = snprintf(folder + base, sizeof folder - (size_t)base, "%s", path);
	if (n < 0 || (size_t)(base + n) >= sizeof folder)
		return;
	for (;;) {
		w->fn(version, folder, w->arg);
		char *slash = strrchr(folder + base, '/');
		if (!slash)
			return;
		*slash = '\0';
	}
}

/* Controllers as in a line of /proc/self/cgroup: "cpu,cpuacct". */
static bool has(const char *controllers, const char *controller)
{
	size_t length = strlen(controller);
	for (const char *c = controllers; *c; c += *c == ',') {
		size_t n = strcspn(c, ",");
		if (n == length && strncmp(c, controller, n) == 0)
			return true;
		c += n;
	}
	return false;
}

/* Where systems mount a hierarchy. */
static void climb_mounts(const struct walk *w, int version, const char *path)
{
	char mount[64];
	if (version == 2) {
		climb(w, version, "/sys/fs/cgroup", path);
		climb(w, version, "/sys/fs/cgroup/unified", path);
		return;
	}
	snprintf(mount, sizeof mount, "/sys/fs/cgroup/%s", w->controller);
	climb(w, version, mount, path);
	snprintf(mount, sizeof mount, "/cgroup/%s", w->controller);
	climb(w, version, mount, path);
}

/* Lines of /proc/self/cgroup: "0::/path" (version 2), "4:memory:/path" (version 1). */
void ronde_control_groups(const char *root, const char *controller, ronde_control_group_fn fn,
			  void *arg)
{
	struct walk w = {root, controller, fn, arg};
	char path[PATH_BYTES], text[8192];
	snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
	if (!ronde_small_file_read(path, text, sizeof text))
		return;
	char *next;
	for (char *line = strtok_r(text, "\n", &next); line; line = strtok_r(NULL, "\n", &next)) {
		char *controllers = strchr(line, ':');
		char *group = controllers ? strchr(++controllers, ':') : NULL;
		if (!group)
			continue;
		*group++ = '\0';
		if (strncmp(line, "0:", 2) == 0 && !*controllers)
			climb_mounts(&w, 2, group);
		else if (has(controllers, controller))
			climb_mounts(&w, 1, group);
	}
}

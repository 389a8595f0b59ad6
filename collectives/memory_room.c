/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/memory_room.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 1024

/* A generation of control groups: where it is mounted and what its files are called. */
struct generation {
	const char *mounts[2];
	const char *limit, *used;
	const char *cache; /* field of memory.stat: file pages that give way when memory is short */
};

static const struct generation version_1 = {
	{"/sys/fs/cgroup/memory", "/cgroup/memory"},
	"memory.limit_in_bytes",
	"memory.usage_in_bytes",
	"total_inactive_file",
};

static const struct generation version_2 = {
	{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"},
	"memory.max",
	"memory.current",
	"inactive_file",
};

/* The whole of a small file, as a string; false if it can't be read. No stdio: this is called from
 * ronde_alloc(), which should not allocate elsewhere. */
static bool read_file(const char *path, char *text, size_t room)
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

static bool read_number(const char *directory, const char *file, uint64_t *value)
{
	char path[PATH_BYTES + 64], text[64];
	snprintf(path, sizeof path, "%s/%s", directory, file);
	if (!read_file(path, text, sizeof text) || text[0] < '0' || text[0] > '9')
		return false; /* "max" is no limit */
	*value = strtoull(text, NULL, 10);
	return true;
}

/* The number behind a word at the start of a line: "MemAvailable:  123 kB", "inactive_file 123". */
static bool find_field(const char *text, const char *field, uint64_t *value)
{
	size_t length = strlen(field);
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, field, length) == 0 &&
		    (line[length] == ' ' || line[length] == ':')) {
			*value = strtoull(line + length + 1, NULL, 10);
			return true;
		}
	}
	return false;
}

static void lower(struct ronde_memory_room *room, uint64_t bytes, const char *directory,
		  const char *file)
{
	if (bytes >= room->bytes)
		return;
	room->bytes = bytes;
	snprintf(room->source, sizeof room->source, "%s/%s", directory, file);
}

static void ask_group(struct ronde_memory_room *room, const struct generation *g,
		      const char *directory)
{
	uint64_t limit, used, cache = 0;
	if (!read_number(directory, g->limit, &limit) || !read_number(directory, g->used, &used))
		return;
	char path[PATH_BYTES + 64], text[8192];
	snprintf(path, sizeof path, "%s/memory.stat", directory);
	if (read_file(path, text, sizeof text))
		find_field(text, g->cache, &cache);
	used -= cache < used ? cache : used;
	lower(room, limit > used ? limit - used : 0, directory, g->limit);
}

/* The group at `path` and those above it. In a container the path may be one of the host's that is
 * not to be seen here; the mount itself is then the container's group, and asked last anyway. */
static void ask_groups(struct ronde_memory_room *room, const struct generation *g, const char *root,
		       const char *path)
{
	for (size_t m = 0; m < sizeof g->mounts / sizeof g->mounts[0]; m++) {
		char directory[PATH_BYTES];
		int base = snprintf(directory, sizeof directory, "%s%s", root, g->mounts[m]);
		int n = snprintf(directory + base, sizeof directory - (size_t)base, "%s", path);
		if (n < 0 || (size_t)(base + n) >= sizeof directory)
			continue;
		for (;;) {
			ask_group(room, g, directory);
			char *slash = strrchr(directory + base, '/');
			if (!slash)
				break;
			*slash = '\0';
		}
	}
}

/* Lines of /proc/self/cgroup: "0::/path" (version 2), "4:memory:/path" (version 1). */
static void ask_control_groups(struct ronde_memory_room *room, const char *root)
{
	char path[PATH_BYTES], text[8192];
	snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
	if (!read_file(path, text, sizeof text))
		return;
	char *next;
	for (char *line = strtok_r(text, "\n", &next); line; line = strtok_r(NULL, "\n", &next)) {
		char *controllers = strchr(line, ':');
		char *group = controllers ? strchr(++controllers, ':') : NULL;
		if (!group)
			continue;
		*group++ = '\0';
		bool all = strncmp(line, "0:", 2) == 0 && !*controllers;
		char *memory = strstr(controllers, "memory");
		if (all)
			ask_groups(room, &version_2, root, group);
		else if (memory && (memory[6] == '\0' || memory[6] == ','))
			ask_groups(room, &version_1, root, group);
	}
}

void ronde_memory_room(struct ronde_memory_room *room, const char *root)
{
	*room = (struct ronde_memory_room){.bytes = UINT64_MAX, .source = "nothing readable"};
	char path[PATH_BYTES], text[8192];
	snprintf(path, sizeof path, "%s/proc/meminfo", root);
	uint64_t available;
	if (read_file(path, text, sizeof text) && find_field(text, "MemAvailable", &available)) {
		room->bytes = available * 1024;
		snprintf(room->source, sizeof room->source, "MemAvailable of /proc/meminfo");
	}
	ask_control_groups(room, root);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/memory_room.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/control_groups.h"

#define PATH_BYTES 1024

/* What a generation of control groups calls its files. */
struct generation {
	const char *limit, *used;
	const char *cache; /* field of memory.stat: file pages that give way when memory is short */
};

static const struct generation version_1 = {
	"memory.limit_in_bytes",
	"memory.usage_in_bytes",
	"total_inactive_file",
};

static const struct generation version_2 = {
	"memory.max",
	"memory.current",
	"inactive_file",
};

static bool read_number(const char *directory, const char *file, uint64_t *value)
{
	char path[PATH_BYTES + 64], text[64];
	snprintf(path, sizeof path, "%s/%s", directory, file);
	if (!ronde_small_file_read(path, text, sizeof text) || text[0] < '0' || text[0] > '9')
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
	if (ronde_small_file_read(path, text, sizeof text))
		find_field(text, g->cache, &cache);
	used -= cache < used ? cache : used;
	lower(room, limit > used ? limit - used : 0, directory, g->limit);
}

static void ask(int version, const char *folder, void *room)
{
	ask_group(room, version == 1 ? &version_1 : &version_2, folder);
}

void ronde_memory_room(struct ronde_memory_room *room, const char *root)
{
	*room = (struct ronde_memory_room){.bytes = UINT64_MAX, .source = "nothing readable"};
	char path[PATH_BYTES], text[8192];
	snprintf(path, sizeof path, "%s/proc/meminfo", root);
	uint64_t available;
	if (ronde_small_file_read(path, text, sizeof text) &&
	    find_field(text, "MemAvailable", &available)) {
		room->bytes = available * 1024;
		snprintf(room->source, sizeof room->source, "MemAvailable of /proc/meminfo");
	}
	ronde_control_groups(root, "memory", ask, room);
}

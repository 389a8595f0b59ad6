/* SPDX-License-Identifier: Apache-2.0 */
#include "bindings/cli/ronderun/hosts.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/cli/ronderun/options.h"
#include "bindings/cli/ronderun/program.h"

__attribute__((format(printf, 2, 3))) static int refuse(const char *where, const char *format, ...)
{
	va_list list;

	fprintf(stderr, "ronderun: %s: ", where);
	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fputc('\n', stderr);
	return RUN_STATUS_USAGE;
}

static int add(struct run_hosts *hosts, const char *where, const char *name, size_t bytes,
	       int slots)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789.-_";
	struct run_host *all;

	if (bytes == 0)
		return refuse(where, "a host's name is missing");
	if (bytes >= RUN_HOST_NAME_BYTES || *name == '-' || strspn(name, allowed) < bytes)
		return refuse(where,
			      "host \"%.*s\": a name has letters, digits, dots, dashes and "
			      "underscores, no dash in front, and is at most %d long",
			      (int)(bytes < 300 ? bytes : 300), name, RUN_HOST_NAME_BYTES - 1);
	for (int i = 0; i < hosts->count; i++)
		if (strlen(hosts->all[i].name) == bytes &&
		    !strncmp(hosts->all[i].name, name, bytes))
			return refuse(where,
				      "host %s is named twice; name it once, with all its slots",
				      hosts->all[i].name);
	if (hosts->count == RUN_HOSTS_MAX)
		return refuse(where, "more than %d hosts", RUN_HOSTS_MAX);
	all = realloc(hosts->all, ((size_t)hosts->count + 1) * sizeof *all);
	if (!all)
		return refuse(where, "out of memory");
	hosts->all = all;
	all += hosts->count++;
	memcpy(all->name, name, bytes);
	all->name[bytes] = '\0';
	all->slots = slots;
	hosts->slots += slots;
	return 0;
}

/* A number from 1 to most at the text's start; *end is behind it. 0: there is none. */
static int number(const char *text, const char **end, long most)
{
	char *behind;
	long value;

	*end = text;
	if (*text < '0' || *text > '9')
		return 0;
	errno = 0;
	value = strtol(text, &behind, 10);
	*end = behind;
	return errno || value < 1 || value > most ? 0 : (int)value;
}

int run_hosts_from_text(struct run_hosts *hosts, const char *text)
{
	for (;;) {
		size_t name = strcspn(text, ":,"), all = strcspn(text, ",");
		const char *end;
		int slots = 1, status;

		if (name < all) {
			slots = number(text + name + 1, &end, RUN_SLOTS_MAX);
			if (!slots || end != text + all)
				return refuse("-H",
					      "\"%.*s\": behind the colon is the number of ranks "
					      "that the host takes, 1 to %d",
					      (int)all, text, RUN_SLOTS_MAX);
		}
		status = add(hosts, "-H", text, name, slots);
		if (status)
			return status;
		if (!text[all])
			return 0;
		text += all + 1;
	}
}

static int read_line(struct run_hosts *hosts, const char *where, char *line)
{
	static const char blanks[] = " \t\r\n";
	size_t bytes;
	const char *rest, *end;
	int slots = 1;

	line[strcspn(line, "#")] = '\0';
	line += strspn(line, blanks);
	if (!*line)
		return 0;
	bytes = strcspn(line, blanks);
	rest = line + bytes + strspn(line + bytes, blanks);
	if (*rest) {
		slots = strncmp(rest, "slots=", 6) != 0 ? 0 : number(rest + 6, &end, RUN_SLOTS_MAX);
		if (!slots || end[strspn(end, blanks)])
			return refuse(where,
				      "\"%.*s\": a line is HOST or HOST slots=N, N from 1 to %d",
				      (int)strcspn(rest, "\r\n"), rest, RUN_SLOTS_MAX);
	}
	return add(hosts, where, line, bytes, slots);
}

int run_hosts_from_file(struct run_hosts *hosts, const char *path)
{
	FILE *file = fopen(path, "re");
	char *line = NULL, where[512];
	size_t room = 0;
	int status = 0;

	if (!file)
		return refuse("--hostfile", "%s: %s", path, strerror(errno));
	errno = 0;
	for (int n = 1; !status && getline(&line, &room, file) >= 0; n++) {
		snprintf(where, sizeof where, "%.480s:%d", path, n);
		status = read_line(hosts, where, line);
	}
	if (!status && ferror(file))
		status = refuse("--hostfile", "%s: %s", path, strerror(errno));
	else if (!status && hosts->count == 0)
		status = refuse("--hostfile", "%s: no host in it", path);
	free(line);
	fclose(file);
	return status;
}

/* ---- Slurm ---- */

/* The next host's number in "4(x2),3"; *left: of how many more it is the same. */
static int next_slots(const char **text, int *value, int *left)
{
	const char *end;

	if (*left > 0) {
		--*left;
		return 0;
	}
	*value = number(*text, &end, RUN_SLOTS_MAX);
	if (!*value)
		return 1;
	if (end[0] == '(' && end[1] == 'x') {
		*left = number(end + 2, &end, RUN_HOSTS_MAX) - 1;
		if (*left < 0 || *end++ != ')')
			return 1;
	}
	if (*end && *end != ',')
		return 1;
	*text = end + (*end == ',');
	return 0;
}

int run_hosts_from_slurm(struct run_hosts *hosts)
{
	const char *nodes = getenv("SLURM_JOB_NODELIST"), *name = "SLURM_TASKS_PER_NODE";
	const char *slots = getenv(name);
	char *list = NULL, *rest, *line;
	int value = 0, left = 0, status;

	if (!nodes)
		return 0;
	if (!slots)
		slots = getenv(name = "SLURM_JOB_CPUS_PER_NODE");
	if (!slots)
		return refuse("Slurm",
			      "SLURM_JOB_NODELIST is set, but neither SLURM_TASKS_PER_NODE nor "
			      "SLURM_JOB_CPUS_PER_NODE; say with -H which hosts are meant");
	const char *const command[] = {"scontrol", "show", "hostnames", nodes, NULL};

	status = run_program_read(command, &list);
	if (status) {
		free(list);
		return refuse("Slurm",
			      "scontrol show hostnames %s: %s; say with -H which hosts are meant",
			      nodes, status == 127 ? "there is no such program" : "it failed");
	}
	for (rest = list; !status && (line = strsep(&rest, "\n"));) {
		if (!*line)
			continue;
		if (next_slots(&slots, &value, &left))
			status = refuse("Slurm", "%s is \"%s\": no number of ranks for host %s",
					name, getenv(name), line);
		else
			status = add(hosts, "Slurm", line, strlen(line), value);
	}
	free(list);
	return status;
}

void run_hosts_free(struct run_hosts *hosts)
{
	free(hosts->all);
	*hosts = (struct run_hosts){0};
}

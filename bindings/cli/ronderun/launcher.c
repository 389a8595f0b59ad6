/* SPDX-License-Identifier: Apache-2.0 */
#include "bindings/cli/ronderun/launcher.h"

#include <ifaddrs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bindings/cli/build_info.h"
#include "bindings/cli/ronderun/program.h"

enum kind { OPEN_MPI_4, OPEN_MPI_5, HYDRA, UNKNOWN };

__attribute__((format(printf, 1, 2))) static int refuse(const char *format, ...)
{
	va_list list;

	fprintf(stderr, "ronderun: ");
	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fputc('\n', stderr);
	return RUN_STATUS_USAGE;
}

/* ---- which launcher ---- */

static enum kind kind_of(const char *version)
{
	const char *open_mpi = strstr(version, "(Open MPI) ");

	if (!open_mpi)
		open_mpi = strstr(version, "(OpenRTE) "); /* by its full name on Debian */
	if (open_mpi)
		return strtol(strchr(open_mpi, ')') + 2, NULL, 10) < 5 ? OPEN_MPI_4 : OPEN_MPI_5;
	return strstr(version, "HYDRA") ? HYDRA : UNKNOWN;
}

static const char *name_of(enum kind kind)
{
	return kind == UNKNOWN ? "no MPI that is known here" : kind == HYDRA ? "MPICH" : "Open MPI";
}

static int find_kind(const char *program, enum kind *kind)
{
	const char *const command[] = {program, "--version", NULL};
	char *text;
	int status;

	if (!*RONDE_BUILD_MPI)
		return refuse("several hosts need MPI, and this Ronde was built without it: build "
			      "it with -Dmpi=auto on a machine that has one");
	status = run_program_read(command, &text);
	*kind = text ? kind_of(text) : UNKNOWN;
	free(text);
	if (status) {
		refuse("%s --version: %s; name the launcher of %s with --mpirun", program,
		       status == 127 ? "there is no such program" : "it failed",
		       RONDE_BUILD_MPI_KIND);
		return status == 127 ? 127 : 1;
	}
	if (strcmp(name_of(*kind), RONDE_BUILD_MPI_KIND) != 0)
		return refuse("%s is the launcher of %s, but Ronde was built for %s; name that "
			      "one's with --mpirun",
			      program, name_of(*kind), RONDE_BUILD_MPI_KIND);
	return 0;
}

/* ---- what is refused before anything starts ---- */

static bool has_interface(const char *name)
{
	struct ifaddrs *all, *one;
	bool found = false;

	if (getifaddrs(&all))
		return true; /* the launcher will say */
	for (one = all; one; one = one->ifa_next)
		found |= !strcmp(one->ifa_name, name);
	freeifaddrs(all);
	return found;
}

static int check_interfaces(const char *names)
{
	char name[64];
	struct utsname host;

	for (;;) {
		size_t bytes = strcspn(names, ",");

		snprintf(name, sizeof name, "%.*s", (int)bytes, names);
		if (!bytes || bytes >= sizeof name || !has_interface(name)) {
			uname(&host);
			return refuse(
				"--network-interface: %s has no interface \"%s\"; \"ip link\" "
				"shows what it has",
				host.nodename, name);
		}
		if (!names[bytes])
			return 0;
		names += bytes + 1;
	}
}

static int check(const struct run_options *options, const struct run_hosts *hosts)
{
	if (options->ranks > hosts->slots)
		return refuse("-np %d: the %d hosts take %d ranks; give them more slots "
			      "(%s:N), or start fewer ranks",
			      options->ranks, hosts->count, hosts->slots, hosts->all[0].name);
	/* The launchers split it at blanks. */
	if (options->ssh_identity && strpbrk(options->ssh_identity, " \t\n\"'\\"))
		return refuse("--ssh-identity \"%s\": launchers cannot pass on blanks, quotes and "
			      "backslashes in it",
			      options->ssh_identity);
	/* To launchers both have another meaning, and there is no way to quote them. */
	if (options->command[0][0] == '-')
		return refuse("program \"%s\": launchers take it for an option; write ./%s",
			      options->command[0], options->command[0]);
	for (char *const *word = options->command; *word; word++)
		if (!strcmp(*word, ":"))
			return refuse("argument \":\": to launchers it divides programs; it cannot "
				      "be passed to %s",
				      options->command[0]);
	return options->interfaces ? check_interfaces(options->interfaces) : 0;
}

/* ---- the command ---- */

struct words {
	char **all;
	size_t used;
};

static void add(struct words *words, const char *first, ...)
{
	va_list list;

	va_start(list, first);
	for (const char *word = first; word; word = va_arg(list, const char *))
		words->all[words->used++] = (char *)word;
	va_end(list);
}

/* Of this process for good, as the words of its own arguments are. */
static char *make_text(size_t room)
{
	char *text = malloc(room);

	if (!text) {
		fprintf(stderr, "ronderun: out of memory\n");
		exit(1);
	}
	*text = '\0';
	return text;
}

static char *list_of(const struct run_hosts *hosts)
{
	size_t room = (size_t)hosts->count * (RUN_HOST_NAME_BYTES + 16) + 1, used = 0;
	char *text = make_text(room);

	for (int i = 0; i < hosts->count; i++)
		used += (size_t)snprintf(text + used, room - used, "%s%s:%d", i ? "," : "",
					 hosts->all[i].name, hosts->all[i].slots);
	return text;
}

/* "-p 2222 -i KEY", or NULL. BatchMode: a question for a password would wait for ever. */
static char *ssh_words(const struct run_options *options)
{
	size_t room = 128 + (options->ssh_identity ? strlen(options->ssh_identity) : 0), used = 0;
	char *text = make_text(room);

	if (!options->ssh)
		used = (size_t)snprintf(text, room, "-o BatchMode=yes -o ConnectTimeout=10");
	if (options->ssh_port)
		used += (size_t)snprintf(text + used, room - used, "%s-p %d", used ? " " : "",
					 options->ssh_port);
	if (options->ssh_identity)
		used += (size_t)snprintf(text + used, room - used, "%s-i %s", used ? " " : "",
					 options->ssh_identity);
	return used ? text : NULL;
}

/* Variables of Ronde's that are set, and those of -x. By name: values never are arguments. */
static void add_variables(struct words *words)
{
	static const char *const own[] = {"RONDE_RANK", "RONDE_SIZE", "RONDE_ADDRESS"};

	for (char **variable = environ; *variable; variable++) {
		size_t bytes = strcspn(*variable, "=");
		bool is_own = false;
		char *name;

		for (size_t i = 0; i < sizeof own / sizeof *own; i++)
			is_own |= strlen(own[i]) == bytes && !strncmp(*variable, own[i], bytes);
		if (strncmp(*variable, "RONDE_", 6) != 0 || is_own)
			continue;
		name = make_text(bytes + 1);
		memcpy(name, *variable, bytes);
		name[bytes] = '\0';
		add(words, "-x", name, NULL);
	}
}

/* Not to the terminal as well. */
static char *output_folder(const char *folder)
{
	size_t room = strlen(folder) + sizeof ":nocopy";
	char *text = make_text(room);

	snprintf(text, room, "%s:nocopy", folder);
	return text;
}

static void add_open_mpi(struct words *words, const struct run_options *options, enum kind kind)
{
	const char *mca = kind == OPEN_MPI_5 ? "--prtemca" : "--mca";
	const char *agent = kind == OPEN_MPI_5 ? "plm_ssh_agent" : "plm_rsh_agent";
	char *ssh = ssh_words(options);

	add(words, "--bind-to", options->bind ? "core" : "none", "--map-by", "slot", NULL);
	add(words, mca, agent, options->ssh ? options->ssh : "ssh", NULL);
	if (ssh)
		add(words, mca, kind == OPEN_MPI_5 ? "plm_ssh_args" : "plm_rsh_args", ssh, NULL);
	if (options->interfaces)
		add(words, "--mca", "btl_tcp_if_include", options->interfaces, mca,
		    kind == OPEN_MPI_5 ? "prte_if_include" : "oob_tcp_if_include",
		    options->interfaces, NULL);
	add(words, "--mca", "mpi_yield_when_idle", "1", NULL);
	if (options->prefix && !options->output)
		add(words, "--tag-output", NULL);
	if (options->output)
		add(words, "--output-filename", output_folder(options->output), NULL);
	add_variables(words);
	for (int i = 0; i < options->nexported; i++)
		if (strncmp(options->exported[i], "RONDE_", 6) != 0)
			add(words, "-x", options->exported[i], NULL);
}

/* Hydra hands the whole environment on, so there is nothing to do for -x. */
static int add_hydra(struct words *words, const struct run_options *options)
{
	if (options->ssh_port || options->ssh_identity)
		return refuse(
			"--ssh-port and --ssh-identity: MPICH's launcher cannot pass them on; "
			"write them into ~/.ssh/config");
	add(words, "-bind-to", options->bind ? "core" : "none", "-launcher", "ssh", NULL);
	if (options->ssh)
		add(words, "-launcher-exec", options->ssh, NULL);
	if (options->interfaces)
		add(words, "-iface", options->interfaces, NULL);
	if (options->prefix && !options->output)
		add(words, "-prepend-rank", NULL);
	if (options->output) {
		size_t room = strlen(options->output) + 16;
		char *out = make_text(room), *err = make_text(room);

		snprintf(out, room, "%s/%%r.out", options->output);
		snprintf(err, room, "%s/%%r.err", options->output);
		add(words, "-outfile-pattern", out, "-errfile-pattern", err, NULL);
	}
	return 0;
}

int run_launcher_make(const struct run_options *options, const struct run_hosts *hosts,
		      char ***command)
{
	const char *program = options->mpirun ? options->mpirun : "mpirun";
	struct words words = {0};
	enum kind kind;
	size_t room = 64 + 2 * (size_t)options->nexported;
	char *count = make_text(16);
	int status = check(options, hosts);

	if (status || (status = find_kind(program, &kind)))
		return status;
	for (char **variable = environ; *variable; variable++)
		room += 2;
	for (char *const *word = options->command; *word; word++)
		room++;
	words.all = calloc(room, sizeof *words.all);
	if (!words.all)
		return refuse("out of memory");
	snprintf(count, 16, "%d", options->ranks ? options->ranks : hosts->slots);
	add(&words, program, kind == HYDRA ? "-hosts" : "--host", list_of(hosts),
	    kind == HYDRA ? "-n" : "-np", count, NULL);
	if (kind != HYDRA)
		add_open_mpi(&words, options, kind);
	else
		status = add_hydra(&words, options);
	for (char *const *word = options->command; *word; word++)
		add(&words, *word, NULL);
	if (status)
		free(words.all);
	else
		*command = words.all;
	return status;
}

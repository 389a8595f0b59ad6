/* SPDX-License-Identifier: Apache-2.0 */
/* The system around the ranks: calls that may be refused, containers, limits. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bindings/cli/checks.h"
#include "collectives/lifeline.h"
#include "collectives/memory_file.h"

/* Newer than the C library's headers on some systems we build on. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

static const char *why_refused(int error)
{
	if (error == ENOSYS || error == EINVAL)
		return "this kernel does not have it";
	if (error == EPERM || error == EACCES)
		return "a seccomp filter or a security module refuses it";
	return strerror(error);
}

/* ---- calls ---- */

static void check_pidfd(struct checks *checks, const struct machine *machine)
{
	const bool told = machine->config->test_no_pidfd;
	struct ronde_lifeline lifeline = RONDE_LIFELINE_NONE;
	if (ronde_lifeline_open(&lifeline, told) != RONDE_OK) {
		check_add(checks, "pidfd", CHECK_PROBLEM, "%s", ronde_error_message());
		return;
	}
	if (lifeline.keep < 0) {
		check_add(checks, "pidfd", CHECK_OK, "the death of a rank is seen by its pidfd");
	} else {
		int fd = told ? -1 : (int)syscall(SYS_pidfd_open, getpid(), 0);
		struct check *c =
			check_add(checks, "pidfd", CHECK_NOTICE,
				  "the death of a rank is seen by a pipe, because of "
				  "pidfd_open(): %s",
				  told ? "RONDE_TEST_NO_PIDFD says so" : why_refused(errno));
		if (fd >= 0)
			close(fd);
		check_advise(c, "nothing has to be done; a child that a rank forks and that "
				"outlives it without exec() can delay the news");
	}
	ronde_lifeline_close(&lifeline);
}

/* Ranks of a node meet at an abstract unix socket. */
static void check_socket(struct checks *checks)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int n = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "ronde-info-%d",
			 (int)getpid());
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && bind(fd, (const struct sockaddr *)&address,
			    (socklen_t)(sizeof(sa_family_t) + 1 + (size_t)n)) == 0) {
		check_add(checks, "socket", CHECK_OK, "ranks can meet at an abstract unix socket");
	} else {
		struct check *c =
			check_add(checks, "socket", CHECK_PROBLEM,
				  "ranks cannot meet at a unix socket: %s", why_refused(errno));
		check_advise(c, "allow AF_UNIX sockets; without them each rank is a node of its "
				"own");
	}
	if (fd >= 0)
		close(fd);
}

static void check_populate(struct checks *checks)
{
	size_t bytes = ronde_page_bytes();
	void *page = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return;
	if (madvise(page, bytes, MADV_POPULATE_WRITE) == 0)
		check_add(checks, "populate", CHECK_OK, "memory is populated by one call");
	else
		check_add(checks, "populate", CHECK_NOTICE,
			  "ronde_alloc() touches memory page by page: MADV_POPULATE_WRITE: %s",
			  why_refused(errno));
	munmap(page, bytes);
}

/* ---- where we are ---- */

static bool exists(const char *root, const char *path)
{
	char whole[512];
	snprintf(whole, sizeof whole, "%s%s", root, path);
	return access(whole, F_OK) == 0;
}

/* A word of a path in /proc/1/cgroup or /proc/self/cgroup that a container runtime puts there. */
static const char *group_says(const char *root, char *text, size_t bytes)
{
	static const char *const words[] = {"docker", "kubepods", "libpod", "containerd", "lxc"};
	char path[512];
	const char *found = NULL;
	snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
	FILE *file = fopen(path, "re");
	while (file && !found && fgets(text, (int)bytes, file))
		for (size_t w = 0; w < sizeof words / sizeof *words; w++)
			if (strstr(text, words[w]))
				found = words[w];
	if (file)
		fclose(file);
	return found;
}

static void check_container(struct checks *checks, const char *root)
{
	char kind[256], seen[64] = "";
	const char *word;
	if (getenv("APPTAINER_CONTAINER"))
		snprintf(kind, sizeof kind, "Apptainer (APPTAINER_CONTAINER is set)");
	else if (getenv("SINGULARITY_CONTAINER"))
		snprintf(kind, sizeof kind, "Singularity (SINGULARITY_CONTAINER is set)");
	else if (exists(root, "/run/.containerenv"))
		snprintf(kind, sizeof kind, "podman (/run/.containerenv is there)");
	else if (exists(root, "/.dockerenv"))
		snprintf(kind, sizeof kind, "docker (/.dockerenv is there)");
	else if (check_read_line(root, "/run/systemd/container", seen, sizeof seen))
		snprintf(kind, sizeof kind, "%s (/run/systemd/container says so)", seen);
	else if ((word = group_says(root, kind, sizeof kind)))
		snprintf(kind, sizeof kind, "%s (/proc/self/cgroup names it)", word);
	else {
		check_add(checks, "container", CHECK_OK, "none is seen");
		return;
	}
	struct check *c = check_add(checks, "container", CHECK_NOTICE, "%s", kind);
	check_advise(c, "the ranks of a machine must share the network namespace (one container, "
			"or --network=host) and run as one user; the size of /dev/shm and "
			"--ipc do not matter");
}

/* The mode of this process: /proc/self/status, "Seccomp:	2". */
static int seccomp_mode(const char *root)
{
	char line[256], path[512];
	int mode = 0;
	snprintf(path, sizeof path, "%s/proc/self/status", root);
	FILE *file = fopen(path, "re");
	while (file && fgets(line, sizeof line, file))
		if (!strncmp(line, "Seccomp:", 8))
			mode = (int)strtol(line + 8, NULL, 10);
	if (file)
		fclose(file);
	return mode;
}

/* Only what is in force; whether it refuses something, the other checks have tried. */
static void check_security(struct checks *checks, const char *root)
{
	char text[256] = "", label[160] = "";
	size_t used = 0;
	if (seccomp_mode(root))
		used += (size_t)snprintf(text, sizeof text, "a seccomp filter");
	if (check_read_line(root, "/sys/fs/selinux/enforce", label, sizeof label) && *label == '1')
		used += (size_t)snprintf(text + used, sizeof text - used, "%sSELinux, enforcing",
					 used ? ", " : "");
	if (check_read_line(root, "/proc/self/attr/current", label, sizeof label) &&
	    strstr(label, "(enforce)"))
		used += (size_t)snprintf(text + used, sizeof text - used, "%sAppArmor: %s",
					 used ? ", " : "", label);
	check_add(checks, "security", CHECK_OK, "in force: %s", used ? text : "nothing");
}

/* Ranks do not trace each other: this is for people who look for a fault. */
static void check_ptrace(struct checks *checks, const char *root)
{
	char scope[16];
	if (!check_read_line(root, "/proc/sys/kernel/yama/ptrace_scope", scope, sizeof scope) ||
	    *scope == '0') {
		check_add(checks, "ptrace", CHECK_OK, "a debugger can be attached to a rank");
		return;
	}
	struct check *c = check_add(checks, "ptrace", CHECK_NOTICE,
				    "kernel.yama.ptrace_scope is %s: gdb -p is refused to an "
				    "ordinary user. Ronde itself does not need it",
				    scope);
	check_advise(c, "to look at a rank that hangs: sysctl kernel.yama.ptrace_scope=0");
}

/* Each rank holds three descriptors of every other, and rank 0 a socket for each. */
static void check_descriptors(struct checks *checks, const struct machine *machine)
{
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		return;
	unsigned long long need = 64 + 4ull * (unsigned)machine->nranks;
	bool few = files.rlim_cur < need;
	struct check *c =
		check_add(checks, "descriptors", few ? CHECK_WARNING : CHECK_OK,
			  "`ulimit -n` allows %llu open files; Ronde takes up to %llu here",
			  (unsigned long long)files.rlim_cur, need);
	if (few)
		check_advise(c, "ulimit -n %llu", need);
}

static void check_kernel(struct checks *checks)
{
	struct utsname name;
	unsigned int major = 0, minor = 0;
	if (uname(&name) != 0)
		return;
	char *end;
	major = (unsigned int)strtoul(name.release, &end, 10);
	if (*end == '.')
		minor = (unsigned int)strtoul(end + 1, NULL, 10);
	bool old = major < 4 || (major == 4 && minor < 18);
	struct check *c = check_add(checks, "kernel", old ? CHECK_WARNING : CHECK_OK, "%s %s",
				    name.sysname, name.release);
	if (old)
		check_advise(c, "Ronde is written for Linux 4.18 and newer");
}

/* ---- variables ---- */

static void check_variables(struct checks *checks, const struct machine *machine)
{
	for (int i = 0; i < machine->nnotes; i++) {
		struct check *c =
			check_add(checks, "variables", CHECK_WARNING, "%s", machine->notes[i]);
		check_advise(c, "correct or unset it, on these ranks");
	}
	if (!machine->nnotes)
		check_add(checks, "variables", CHECK_OK,
			  "none looks mistyped, or differs between ranks");
}

void check_system(struct checks *checks, const struct machine *machine)
{
	check_kernel(checks);
	check_socket(checks);
	check_pidfd(checks, machine);
	check_populate(checks);
	check_descriptors(checks, machine);
	check_container(checks, machine->root);
	check_security(checks, machine->root);
	check_ptrace(checks, machine->root);
	check_variables(checks, machine);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "bindings/cli/ronderun/ranks.h"

#include <errno.h>
#include <fcntl.h>
#include <hwloc.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "bindings/cli/ronderun/program.h"

static void set_number(const char *name, int value)
{
	char text[16];

	snprintf(text, sizeof text, "%d", value);
	setenv(name, text, 1);
}

/* ---- --dry-run ---- */

void run_ranks_print(const struct run_options *options, const char *address)
{
	for (int i = 0; i < options->ranks; i++) {
		printf("RONDE_RANK=%d RONDE_SIZE=%d RONDE_ADDRESS=%s ", i, options->ranks, address);
		run_program_print(options->command);
	}
}

/* ---- between fork and exec ---- */

/* A rank's share of the cores this process may use. What can't be done is left: it is an advice. */
static void bind_to_share(int index, int count)
{
	hwloc_topology_t topology;
	hwloc_cpuset_t *shares = calloc((size_t)count, sizeof *shares);

	if (!shares || hwloc_topology_init(&topology))
		return;
	if (!hwloc_topology_load(topology)) {
		hwloc_bitmap_t own = hwloc_bitmap_alloc();
		hwloc_obj_t root;

		/* What this process is bound to itself: a batch system's or a user's choice. */
		if (own && !hwloc_get_cpubind(topology, own, HWLOC_CPUBIND_PROCESS))
			hwloc_topology_restrict(topology, own, 0);
		hwloc_bitmap_free(own);
		root = hwloc_get_root_obj(topology);

		if (!hwloc_distrib(topology, &root, 1, shares, (unsigned)count, INT_MAX, 0))
			hwloc_set_cpubind(topology, shares[index], 0);
	}
	hwloc_topology_destroy(topology);
}

/* A launcher's ranks find each other by its means, and must not see anything of another job. */
static void set_variables(const struct run_options *options, int index, const char *address)
{
	if (options->launched) {
		unsetenv("RONDE_RANK");
		unsetenv("RONDE_SIZE");
		unsetenv("RONDE_ADDRESS");
		return;
	}
	set_number("RONDE_RANK", index);
	set_number("RONDE_SIZE", options->ranks);
	setenv("RONDE_ADDRESS", address, 1);
}

static void redirect(int fd, const char *path, int flags, int to)
{
	if (path)
		fd = open(path, flags | O_CLOEXEC, 0666);
	if (fd >= 0 && fd != to)
		dup2(fd, to);
}

/* The child. Ends by exec, or by writing errno into `failed`. */
static _Noreturn void become(const struct run_options *options, int index,
			     const struct run_place *place, const int *pipes, int failed,
			     pid_t parent)
{
	sigset_t none;
	int error;

	/* Whoever keeps the ranks may have died before this was asked for. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	setpgid(0, 0);
	if (index > 0 || isatty(STDIN_FILENO))
		redirect(-1, "/dev/null", O_RDONLY, STDIN_FILENO);
	redirect(pipes[1], NULL, 0, STDOUT_FILENO);
	redirect(pipes[3], NULL, 0, STDERR_FILENO);
	set_variables(options, index, place->address);
	if (options->bind && !options->launched)
		bind_to_share(index, options->ranks);
	setrlimit(RLIMIT_NOFILE, &place->descriptors);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execvp(options->command[0], options->command);
	error = errno;
	if (write(failed, &error, sizeof error) < 0)
		_exit(2);
	_exit(127);
}

/* ---- starting ---- */

static void say_why_not(int index)
{
	const char *advice =
		errno == EMFILE ? "; raise the limit (ulimit -n), or start fewer ranks"
		: errno == EAGAIN
			? "; raise the limit of processes (ulimit -u), or start fewer ranks"
			: "";

	fprintf(stderr, "ronderun: rank %d cannot be started: %s%s\n", index, strerror(errno),
		advice);
}

/* pipes: out's two ends, error's two ends; with --output there is a file in place of each pair. */
static int open_streams(const struct run_options *options, int index, int *pipes)
{
	static const char *const names[] = {"out", "err"};

	for (int i = 0; i < 2; i++) {
		char path[PATH_MAX];

		if (!options->output || options->launched) {
			if (pipe2(pipes + 2 * (ptrdiff_t)i, O_CLOEXEC)) {
				say_why_not(index);
				return 1;
			}
			fcntl(pipes[2 * i], F_SETFL, O_NONBLOCK);
			continue;
		}
		snprintf(path, sizeof path, "%s/%d.%s", options->output, index, names[i]);
		pipes[2 * i + 1] = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		if (pipes[2 * i + 1] < 0) {
			fprintf(stderr, "ronderun: --output: %s: %s\n", path, strerror(errno));
			return 1;
		}
	}
	return 0;
}

/* Waits until the child has become the program, or could not. */
static int status_of_start(int failed, const char *program)
{
	int error;

	if (read(failed, &error, sizeof error) != sizeof error)
		return 0;
	fprintf(stderr, "ronderun: cannot run %s: %s\n", program, strerror(error));
	return error == ENOENT ? 127 : 126;
}

int run_rank_start(struct run_rank *rank, const struct run_options *options, int index,
		   const struct run_place *place)
{
	int pipes[4] = {-1, -1, -1, -1}, failed[2] = {-1, -1}, status;
	int prefix = options->prefix && !options->launched ? index : -1;
	pid_t parent = getpid();

	status = open_streams(options, index, pipes);
	if (!status && (pipe2(failed, O_CLOEXEC) || (rank->pid = fork()) < 0)) {
		say_why_not(index);
		rank->pid = 0;
		status = 1;
	}
	if (!status && rank->pid == 0)
		become(options, index, place, pipes, failed[1], parent);
	rank->group = rank->pid;
	for (int i = 1; i < 4; i += 2)
		if (pipes[i] >= 0)
			close(pipes[i]);
	if (failed[1] >= 0)
		close(failed[1]);
	for (int i = 0; i < 2; i++)
		rank->streams[i] =
			(struct run_stream){.from = pipes[2 * i],
					    .to = &place->sinks[i],
					    .rank = prefix,
					    .tagged = options->launched && options->prefix};
	if (!status)
		status = status_of_start(failed[0], options->command[0]);
	if (failed[0] >= 0)
		close(failed[0]);
	return status;
}

void run_ranks_signal(const struct run_rank *ranks, int count, int signal)
{
	for (int i = 0; i < count; i++)
		if (ranks[i].group > 0)
			kill(-ranks[i].group, signal);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "bindings/cli/ronderun/keeper.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bindings/cli/ronderun/ranks.h"

/* How the end of a job goes on, each step `grace` after the one before. */
enum ending {
	RUNNING,
	FAILED, /* a rank has failed: Ronde tells the others, which may say more before they end */
	ASKED,  /* all have been sent SIGTERM, or the signal that ronderun got */
	KILLED
};

struct keeper {
	const struct run_options *options;
	struct run_rank *ranks;
	struct pollfd *polled; /* orders, children, two of each rank */
	int count, left;
	enum ending ending;
	double next; /* when the next step is due */
	int status;  /* of the job */
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void advance(struct keeper *keeper, enum ending ending)
{
	if (ending <= keeper->ending)
		return;
	keeper->ending = ending;
	keeper->next = now() + keeper->options->grace;
}

/* ---- what happens ---- */

static void say_how(const struct keeper *keeper, int index, pid_t pid, int how)
{
	const char *program = keeper->options->command[0];

	if (WIFSIGNALED(how))
		fprintf(stderr, "ronderun: rank %d (%s, pid %d) was ended by signal %d (%s)", index,
			program, (int)pid, WTERMSIG(how), strsignal(WTERMSIG(how)));
	else
		fprintf(stderr, "ronderun: rank %d (%s, pid %d) ended with exit status %d", index,
			program, (int)pid, WEXITSTATUS(how));
	if (keeper->left > 0)
		fprintf(stderr, "; the other ranks have %g s left", keeper->options->grace);
	fprintf(stderr, "\n");
}

static void rank_ended(struct keeper *keeper, int index, int how)
{
	struct run_rank *rank = &keeper->ranks[index];
	pid_t pid = rank->pid;

	rank->pid = 0;
	keeper->left--;
	if (how == 0 || keeper->status)
		return;
	keeper->status = WIFSIGNALED(how) ? 128 + WTERMSIG(how) : WEXITSTATUS(how);
	say_how(keeper, index, pid, how);
	advance(keeper, FAILED);
}

/* Also those that are no ranks. Returns whether there are any left. */
static bool reap(struct keeper *keeper)
{
	int how;
	pid_t pid;

	while ((pid = waitpid(-1, &how, WNOHANG)) > 0)
		for (int i = 0; i < keeper->count; i++) {
			if (keeper->ranks[i].pid == pid)
				rank_ended(keeper, i, how);
			/* Its number may be given to another group once there is none of it. */
			if (keeper->ranks[i].pid == 0 && keeper->ranks[i].group > 0 &&
			    kill(-keeper->ranks[i].group, 0) && errno == ESRCH)
				keeper->ranks[i].group = 0;
		}
	return pid == 0;
}

static void obey(struct keeper *keeper, int orders)
{
	unsigned char signal;
	ssize_t n = read(orders, &signal, 1);

	if (n == 1) {
		run_ranks_signal(keeper->ranks, keeper->count, signal);
		if (signal == SIGUSR1 || signal == SIGUSR2)
			return;
		if (!keeper->status)
			keeper->status = 128 + signal;
		advance(keeper, signal == SIGKILL ? KILLED : ASKED);
	} else if (n == 0) {
		keeper->polled[0].fd = -1;
		keeper->status = keeper->status ? keeper->status : 128 + SIGKILL;
		advance(keeper, KILLED);
	}
}

/* ---- ending ---- */

/* The process that /proc/<name> is, if this one is its parent; else 0. */
static pid_t child_of_this(const char *name)
{
	char path[300], line[512];
	const char *after;
	FILE *file;

	if (*name < '1' || *name > '9')
		return 0;
	snprintf(path, sizeof path, "/proc/%s/stat", name);
	if (!(file = fopen(path, "re")))
		return 0;
	after = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
	fclose(file);
	/* "pid (name) state parent" */
	if (!after || strlen(after) < 5 || strtol(after + 4, NULL, 10) != (long)getpid())
		return 0;
	return (pid_t)strtol(name, NULL, 10);
}

/* What the ranks have started and left: this process is its parent now. */
static void kill_children(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	while (proc && (entry = readdir(proc))) {
		pid_t pid = child_of_this(entry->d_name);

		if (pid > 0)
			kill(pid, SIGKILL);
	}
	if (proc)
		closedir(proc);
}

/* The step that is due, if one is. When the last rank has ended, so has the job. */
static void go_on(struct keeper *keeper)
{
	if (keeper->left == 0)
		advance(keeper, KILLED);
	if (keeper->ending == FAILED && now() >= keeper->next) {
		run_ranks_signal(keeper->ranks, keeper->count, SIGTERM);
		advance(keeper, ASKED);
	} else if (keeper->ending == ASKED && now() >= keeper->next) {
		advance(keeper, KILLED);
	}
	if (keeper->ending == KILLED) {
		run_ranks_signal(keeper->ranks, keeper->count, SIGKILL);
		kill_children();
	}
}

/* Milliseconds until something has to be done without being told. */
static int patience(const struct keeper *keeper)
{
	double wait = keeper->next - now();

	if (keeper->ending == RUNNING)
		return -1;
	if (keeper->ending == KILLED)
		return 10; /* children of children turn up as their parents die */
	return wait < 0 ? 0 : wait > 1000 ? 1000 : (int)(wait * 1000) + 1;
}

static void loop(struct keeper *keeper)
{
	struct pollfd *polled = keeper->polled;
	bool any = true;

	while (any) {
		for (int i = 0; i < keeper->count; i++) {
			polled[2 + 2 * i].fd = keeper->ranks[i].out.from;
			polled[3 + 2 * i].fd = keeper->ranks[i].error.from;
		}
		poll(polled, 2 + 2 * (nfds_t)keeper->count, patience(keeper));
		for (int i = 0; i < keeper->count; i++) {
			if (polled[2 + 2 * i].revents)
				run_stream_read(&keeper->ranks[i].out);
			if (polled[3 + 2 * i].revents)
				run_stream_read(&keeper->ranks[i].error);
		}
		if (polled[0].revents)
			obey(keeper, polled[0].fd);
		if (polled[1].revents) {
			struct signalfd_siginfo info;

			while (read(polled[1].fd, &info, sizeof info) == sizeof info)
				continue;
		}
		any = reap(keeper);
		go_on(keeper);
	}
	for (int i = 0; i < keeper->count; i++) {
		run_stream_close(&keeper->ranks[i].out);
		run_stream_close(&keeper->ranks[i].error);
	}
}

static void start(struct keeper *keeper, const char *address)
{
	for (int i = 0; i < keeper->options->ranks && !keeper->status; i++) {
		keeper->status = run_rank_start(&keeper->ranks[i], keeper->options, i, address);
		keeper->count++;
		keeper->left += keeper->ranks[i].pid > 0;
	}
	if (keeper->status)
		advance(keeper, KILLED);
}

int run_keep(const struct run_options *options, const char *address, int orders)
{
	size_t ranks = (size_t)options->ranks;
	struct keeper keeper = {
		.options = options,
		.ranks = calloc(ranks, sizeof *keeper.ranks),
		.polled = calloc(2 + 2 * ranks, sizeof *keeper.polled),
	};
	sigset_t children;

	if (!keeper.ranks || !keeper.polled) {
		fprintf(stderr, "ronderun: out of memory for %d ranks\n", options->ranks);
		return 1;
	}
	sigemptyset(&children);
	sigaddset(&children, SIGCHLD);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < 2 + 2 * ranks; i++)
		keeper.polled[i].events = POLLIN;
	keeper.polled[0].fd = orders;
	keeper.polled[1].fd = signalfd(-1, &children, SFD_NONBLOCK | SFD_CLOEXEC);
	start(&keeper, address);
	loop(&keeper);
	return keeper.status;
}

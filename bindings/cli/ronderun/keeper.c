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
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
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

enum { ORDERS, CHILDREN, SINKS, STREAMS = SINKS + 2 }; /* places in `polled` */

struct keeper {
	const struct run_options *options;
	struct run_rank *ranks;
	struct run_sink *sinks; /* standard output and error */
	struct pollfd *polled;  /* orders, children, sinks, two of each rank */
	int orders;             /* -1: ronderun has died */
	int count, left;
	enum ending ending;
	bool ordered; /* to end: by a signal, or by ronderun's death */
	double next;  /* when the next step is due */
	int status;   /* of the job */
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
	struct run_sink *error = &keeper->sinks[1];
	struct utsname host;

	uname(&host);
	if (keeper->options->launched)
		run_sink_print(error, "ronderun: the job (%.200s, pid %d on %s) ",
			       keeper->options->command[0], (int)pid, host.nodename);
	else
		run_sink_print(error, "ronderun: rank %d (%.200s, pid %d on %s) ", index,
			       keeper->options->command[0], (int)pid, host.nodename);
	if (WIFSIGNALED(how))
		run_sink_print(error, "was ended by signal %d (%s)", WTERMSIG(how),
			       strsignal(WTERMSIG(how)));
	else
		run_sink_print(error, "ended with exit status %d", WEXITSTATUS(how));
	if (keeper->left > 0)
		run_sink_print(error, "; the other ranks have %g s left", keeper->options->grace);
	run_sink_print(error, "\n");
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

static void obey(struct keeper *keeper)
{
	unsigned char signal;
	ssize_t n = read(keeper->orders, &signal, 1);

	if (n == 1) {
		run_ranks_signal(keeper->ranks, keeper->count, signal);
		if (signal == SIGUSR1 || signal == SIGUSR2)
			return;
		keeper->ordered = true;
		if (!keeper->status)
			keeper->status = 128 + signal;
		advance(keeper, signal == SIGKILL ? KILLED : ASKED);
	} else if (n == 0) {
		keeper->orders = -1;
		keeper->ordered = true;
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

/* ---- what is waited for ---- */

static void write_sink(struct keeper *keeper, int index)
{
	int error = run_sink_write(&keeper->sinks[index]);

	if (error && index == 0)
		run_sink_print(&keeper->sinks[1],
			       "ronderun: standard output: %s; what ranks printed is lost\n",
			       strerror(error));
}

/*
 * Waits for at most that many milliseconds, and moves what can be moved, a piece of each: no rank
 * can keep the others, or an order, waiting by printing. Returns whether anything happened.
 */
static bool exchange(struct keeper *keeper, int milliseconds)
{
	struct pollfd *polled = keeper->polled;
	nfds_t streams = 2 * (nfds_t)keeper->count;

	polled[ORDERS].fd = keeper->orders;
	for (int i = 0; i < 2; i++)
		polled[SINKS + i].fd =
			run_sink_has_text(&keeper->sinks[i]) ? keeper->sinks[i].to : -1;
	for (nfds_t i = 0; i < streams; i++) {
		const struct run_stream *stream = &keeper->ranks[i / 2].streams[i % 2];

		polled[STREAMS + i].fd =
			stream->from >= 0 && run_sink_has_room(stream->to) ? stream->from : -1;
	}
	if (poll(polled, STREAMS + streams, milliseconds) <= 0)
		return false;
	for (int i = 0; i < 2; i++)
		if (polled[SINKS + i].revents)
			write_sink(keeper, i);
	for (nfds_t i = 0; i < streams; i++) {
		struct run_stream *stream = &keeper->ranks[i / 2].streams[i % 2];

		if (polled[STREAMS + i].revents && run_sink_has_room(stream->to))
			run_stream_read(stream);
	}
	if (polled[ORDERS].revents)
		obey(keeper);
	if (polled[CHILDREN].revents) {
		struct signalfd_siginfo info;

		while (read(polled[CHILDREN].fd, &info, sizeof info) == sizeof info)
			continue;
	}
	return true;
}

/*
 * Nobody is left who could print: hands on the rest. Whoever does not read it may take as long as
 * they like; but not once the job was ordered to end.
 */
static void hand_on_the_rest(struct keeper *keeper)
{
	double until = 0;
	bool moved, full;

	do {
		/* An order is news of this moment; a rank's end is not. */
		if (keeper->ordered && until == 0)
			until = now() + keeper->options->grace;
		if (until > 0 && now() > until)
			return;
		full = run_sink_has_text(&keeper->sinks[0]) || run_sink_has_text(&keeper->sinks[1]);
		moved = exchange(keeper, full ? 50 : 0);
	} while (moved || full);
}

static void loop(struct keeper *keeper)
{
	bool any = true;

	while (any) {
		exchange(keeper, patience(keeper));
		any = reap(keeper);
		go_on(keeper);
	}
	hand_on_the_rest(keeper);
}

static void start(struct keeper *keeper, const struct run_place *place)
{
	for (int i = 0; i < keeper->options->ranks && !keeper->status; i++) {
		keeper->status = run_rank_start(&keeper->ranks[i], keeper->options, i, place);
		keeper->count++;
		keeper->left += keeper->ranks[i].pid > 0;
	}
	if (keeper->status)
		advance(keeper, KILLED);
}

/* Two descriptors a rank are more than the usual limit for some hundred ranks. */
static void allow_descriptors(struct rlimit *before)
{
	struct rlimit all;

	getrlimit(RLIMIT_NOFILE, before);
	all = *before;
	all.rlim_cur = all.rlim_max;
	setrlimit(RLIMIT_NOFILE, &all);
}

int run_keep(const struct run_options *options, const char *address, int orders)
{
	size_t ranks = (size_t)options->ranks;
	struct keeper keeper = {
		.options = options,
		.orders = orders,
		.ranks = calloc(ranks, sizeof *keeper.ranks),
		.sinks = calloc(2, sizeof *keeper.sinks),
		.polled = calloc(STREAMS + 2 * ranks, sizeof *keeper.polled),
	};
	struct run_place place = {.address = address, .sinks = keeper.sinks};
	sigset_t children;

	if (!keeper.ranks || !keeper.sinks || !keeper.polled) {
		fprintf(stderr, "ronderun: out of memory for %d ranks\n", options->ranks);
		keeper.status = 1;
		goto out;
	}
	sigemptyset(&children);
	sigaddset(&children, SIGCHLD);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	signal(SIGPIPE, SIG_IGN);
	allow_descriptors(&place.descriptors);
	for (size_t i = 0; i < STREAMS + 2 * ranks; i++)
		keeper.polled[i].events = POLLIN;
	for (int i = 0; i < 2; i++) {
		run_sink_open(&keeper.sinks[i], STDOUT_FILENO + i);
		keeper.polled[SINKS + i].events = POLLOUT;
	}
	keeper.polled[CHILDREN].fd = signalfd(-1, &children, SFD_NONBLOCK | SFD_CLOEXEC);
	start(&keeper, &place);
	loop(&keeper);
out:
	free(keeper.ranks);
	free(keeper.sinks);
	free(keeper.polled);
	return keeper.status;
}

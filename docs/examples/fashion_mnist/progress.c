/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/*
 * Open MPI gives every rank a pseudo-terminal for its output, wherever mpirun's own output goes.
 * What counts is then whether mpirun, our parent, writes to a terminal.
 */
static bool user_sees_terminal(void)
{
	char link[64], target[256];
	ssize_t length;

	if (!isatty(STDOUT_FILENO))
		return false;
	if (!getenv("OMPI_COMM_WORLD_RANK"))
		return true;
	snprintf(link, sizeof(link), "/proc/%ld/fd/1", (long)getppid());
	length = readlink(link, target, sizeof(target) - 1);
	if (length < 0)
		return false;
	target[length] = '\0';
	return !strncmp(target, "/dev/pts/", 9) || !strncmp(target, "/dev/tty", 8);
}

void progress_init(struct progress *progress, bool shown)
{
	*progress = (struct progress){.shown = shown, .terminal = shown && user_sees_terminal()};
}

static int columns(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || size.ws_col == 0)
		return 80;
	return size.ws_col;
}

void progress_show(struct progress *progress, const struct progress_state *state)
{
	static const char full[] = "########################################";
	static const char empty[] = "........................................";
	const double interval = progress->terminal ? 0.1 : 5;
	char text[128];
	int room, width, filled;
	double time;

	if (!progress->shown)
		return;
	time = now();
	if (progress->next == 0)
		progress->next = time + interval;
	if (time < progress->next)
		return;
	progress->next = time + interval;
	snprintf(text, sizeof(text), "%3.0f %%  loss %.4f  %7.0f images/s  waiting %4.1f %%",
		 100 * state->done, state->loss, state->images_per_second, 100 * state->waiting);
	if (!progress->terminal) {
		printf("epoch %d/%d %s\n", state->epoch, state->epochs, text);
		fflush(stdout);
		return;
	}
	room = columns() - (int)strlen(text) - 20;
	width = room < 0 ? 0 : room > 40 ? 40 : room;
	filled = (int)(state->done * width);
	printf("\r\033[Kepoch %d/%d [%.*s%.*s] %s", state->epoch, state->epochs, filled, full,
	       width - filled, empty, text);
	fflush(stdout);
}

void progress_clear(struct progress *progress)
{
	if (progress->terminal)
		printf("\r\033[K");
}

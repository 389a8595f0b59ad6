/* SPDX-License-Identifier: Apache-2.0 */
#include "bindings/cli/mpi_view.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collectives/bootstrap/load_mpi.h"
#include "collectives/bootstrap/wait.h"
#include "collectives/status.h"

/* A world of one, opened and closed: MPI is finalised when the process exits. */
static int start_alone(const struct ronde_mpi_module *module, struct mpi_view *view)
{
	const struct ronde_mpi_request request = {
		.timeout_seconds = MPI_VIEW_SECONDS,
		.remedy = "",
		.error = ronde_error,
	};
	struct ronde_bootstrap *bootstrap;
	int status = module->open(&bootstrap, &request);
	if (status)
		return status;
	snprintf(view->thread_level, sizeof view->thread_level, "%s", module->thread_level());
	bootstrap->ops->close(bootstrap, true);
	return RONDE_OK;
}

static void look_here(struct mpi_view *view, bool running)
{
	int status;
	const struct ronde_mpi_module *module = ronde_mpi_load_module(view->path, &status);
	if (module) {
		snprintf(view->library, sizeof view->library, "%s", module->library);
		status = RONDE_OK;
		if (running)
			snprintf(view->thread_level, sizeof view->thread_level, "%s",
				 module->thread_level());
		else
			status = start_alone(module, view);
	}
	if (status)
		snprintf(view->error, sizeof view->error, "%s", ronde_error_message());
}

/* MPI's own words about what is wrong go nowhere: they would spoil the page. */
static void child(struct mpi_view *view, int out)
{
	int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (nowhere >= 0) {
		dup2(nowhere, STDOUT_FILENO);
		dup2(nowhere, STDERR_FILENO);
	}
	look_here(view, false);
	ssize_t sent = write(out, view, sizeof *view);
	close(out);
	exit(sent == (ssize_t)sizeof *view ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* Receives the whole view until the deadline. */
static bool receive(int in, struct mpi_view *view)
{
	struct mpi_view answer;
	size_t got = 0;
	const double deadline = ronde_seconds() + MPI_VIEW_SECONDS;
	while (got < sizeof answer) {
		double left = deadline - ronde_seconds();
		struct pollfd waiting = {.fd = in, .events = POLLIN};
		if (left <= 0 || (poll(&waiting, 1, (int)(left * 1000) + 1) < 0 && errno != EINTR))
			return false;
		if (!waiting.revents)
			continue;
		ssize_t n = read(in, (char *)&answer + got, sizeof answer - got);
		if (n <= 0)
			return false;
		got += (size_t)n;
	}
	*view = answer;
	return true;
}

static void look_in_child(struct mpi_view *view)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) != 0) {
		snprintf(view->error, sizeof view->error, "pipe: %s", strerror(errno));
		return;
	}
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		close(ends[0]);
		child(view, ends[1]);
	}
	close(ends[1]);
	if (pid < 0)
		snprintf(view->error, sizeof view->error, "fork: %s", strerror(errno));
	else if (!receive(ends[0], view))
		snprintf(view->error, sizeof view->error,
			 "MPI was started in a process of its own, which ended or did not answer "
			 "within %d s; see what this says: mpirun -np 1 true",
			 MPI_VIEW_SECONDS);
	close(ends[0]);
	if (pid > 0) {
		/* It has answered, so all it has to do is to end MPI. */
		for (int i = 0; i < 200 && waitpid(pid, NULL, WNOHANG) == 0; i++)
			usleep(10000);
		if (waitpid(pid, NULL, WNOHANG) == 0) {
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
		}
	}
}

void mpi_view_look(struct mpi_view *view, bool running)
{
	const struct ronde_launch launch = {0};
	const struct ronde_process_mpi mpi = {0};
	memset(view, 0, sizeof *view);
	if (ronde_mpi_find_module(view->path, sizeof view->path, &launch, &mpi)) {
		view->path[0] = 0;
		snprintf(view->error, sizeof view->error, "%s", ronde_error_message());
	} else if (running) {
		look_here(view, true);
	} else {
		look_in_child(view);
	}
}

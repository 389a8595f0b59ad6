/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ronderun: starts a program's ranks on this machine. Two processes: this one waits for signals and
 * hands them on; the other (keeper.h) keeps the ranks, and survives this one's sudden death for as
 * long as it takes to end them.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bindings/cli/build_info.h"
#include "bindings/cli/ronderun/keeper.h"
#include "bindings/cli/ronderun/launcher.h"
#include "bindings/cli/ronderun/program.h"
#include "bindings/cli/ronderun/ranks.h"
#include "collectives/bootstrap/unix.h"
#include "collectives/kernels/kernels.h"

#define ADDRESS_BYTES 64

/* Nobody else's job has it, and nobody can guess it. */
static void make_address(char *address)
{
	unsigned char random[16];
	size_t used = (size_t)snprintf(address, ADDRESS_BYTES, "ronderun-");

	if (getrandom(random, sizeof random, 0) != sizeof random) {
		perror("ronderun: getrandom");
		exit(1);
	}
	for (size_t i = 0; i < sizeof random; i++)
		used += (size_t)snprintf(address + used, ADDRESS_BYTES - used, "%02x", random[i]);
}

static void make_folder(const char *path)
{
	struct stat stat_of;

	if (mkdir(path, 0777) &&
	    (errno != EEXIST || stat(path, &stat_of) || !S_ISDIR(stat_of.st_mode))) {
		fprintf(stderr, "ronderun: --output %s: %s\n", path,
			errno == EEXIST ? "is no folder" : strerror(errno));
		exit(RUN_STATUS_USAGE);
	}
}

/* nohup's SIGHUP: once blocked it would be delivered all the same. */
static bool is_ignored(int signal)
{
	struct sigaction action;

	return !sigaction(signal, NULL, &action) && action.sa_handler == SIG_IGN;
}

static void order(int orders, pid_t keeper, int signal)
{
	unsigned char byte = (unsigned char)signal;

	if (write(orders, &byte, 1) != 1)
		kill(keeper, SIGKILL);
}

/*
 * Hands signals on until the keeper has ended. The second of those that end a job kills the ranks;
 * the third does not wait for the keeper, whose output may be held up.
 */
static int wait_for(pid_t keeper, int orders, const sigset_t *set)
{
	int how = 0, signals = 0;

	for (;;) {
		siginfo_t info;
		int signal = sigwaitinfo(set, &info);

		if (signal == SIGCHLD) {
			if (waitpid(keeper, &how, WNOHANG) == keeper)
				break;
		} else if (signal == SIGUSR1 || signal == SIGUSR2) {
			order(orders, keeper, signal);
		} else if (signal > 0) {
			signals++;
			if (signals > 2)
				kill(keeper, SIGKILL);
			else
				order(orders, keeper, signals > 1 ? SIGKILL : signal);
		}
	}
	if (WIFEXITED(how))
		return WEXITSTATUS(how);
	fprintf(stderr,
		"ronderun: the process that keeps the ranks (pid %d) was ended by signal %d\n",
		(int)keeper, WTERMSIG(how));
	return 128 + WTERMSIG(how);
}

static void print_build(void)
{
	size_t n;
	const struct ronde_kernels *const *kernels = ronde_kernels_available(&n);

	printf("Ronde %s for %s\n", RONDE_BUILD_VERSION, RONDE_BUILD_TARGET);
	printf("[X] one machine (shared memory)\n");
	if (*RONDE_BUILD_MPI)
		printf("[X] several machines: %s (%s)\n", RONDE_BUILD_MPI_KIND, RONDE_BUILD_MPI);
	else
		printf("[ ] several machines: no MPI module; build with -Dmpi=auto\n");
	printf("[%c] Fortran\n", strcmp(RONDE_BUILD_FORTRAN, "built") ? ' ' : 'X');
	for (size_t i = 0; i < n; i++)
		printf("[X] kernels %s\n", kernels[i]->name);
}

/* Where the ranks go: over hosts the command becomes the launcher's. Ends the program on errors. */
static void find_place(struct run_options *options)
{
	struct run_hosts hosts = {0};
	char **command;
	int status = 0;

	if (options->hosts)
		status = run_hosts_from_text(&hosts, options->hosts);
	else if (options->hostfile)
		status = run_hosts_from_file(&hosts, options->hostfile);
	else
		status = run_hosts_from_slurm(&hosts);
	/* One that is this machine needs no launcher. Slurm starts its script on the first host. */
	if (!status && hosts.count == 1 &&
	    (!strcmp(hosts.all[0].name, "localhost") || (!options->hosts && !options->hostfile))) {
		options->ranks = options->ranks ? options->ranks : hosts.slots;
		run_hosts_free(&hosts);
	}
	if (!status && hosts.count > 0) {
		status = run_launcher_make(options, &hosts, &command);
		if (!status) {
			options->command = command;
			options->launched = true;
			options->ranks = 1;
		}
	} else if (!status && !options->ranks) {
		fprintf(stderr,
			"ronderun: -np is missing: how many ranks of %s? Or say with -H on which "
			"hosts\n",
			*options->command);
		status = RUN_STATUS_USAGE;
	} else if (!status && options->ranks > RONDE_UNIX_MAX_RANKS) {
		fprintf(stderr, "ronderun: -np %d: on one machine are at most %d ranks\n",
			options->ranks, RONDE_UNIX_MAX_RANKS);
		status = RUN_STATUS_USAGE;
	}
	run_hosts_free(&hosts);
	if (status)
		exit(status);
}

int main(int argc, char **argv)
{
	static const int handed_on[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
	struct run_options options;
	char address[ADDRESS_BYTES];
	int orders[2];
	sigset_t set;
	pid_t keeper;

	run_options_read(&options, argc, argv);
	if (options.check_build) {
		print_build();
		return 0;
	}
	find_place(&options);
	make_address(address);
	if (options.dry_run) {
		if (options.launched)
			run_program_print(options.command);
		else
			run_ranks_print(&options, address);
		return 0;
	}
	if (options.output)
		make_folder(options.output);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	/* Who started this may ignore it, and then nobody would hear of ranks that end. */
	signal(SIGCHLD, SIG_DFL);
	for (size_t i = 0; i < sizeof handed_on / sizeof *handed_on; i++)
		if (!is_ignored(handed_on[i]))
			sigaddset(&set, handed_on[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (pipe2(orders, O_CLOEXEC) || (keeper = fork()) < 0) {
		perror("ronderun");
		return 1;
	}
	if (keeper == 0) {
		/* A terminal's signals come by way of ronderun; and by another name it is not
		 * ended along with it. */
		setpgid(0, 0);
		prctl(PR_SET_NAME, "ronde-keeper");
		close(orders[1]);
		return run_keep(&options, address, orders[0]);
	}
	close(orders[0]);
	return wait_for(keeper, orders[1], &set);
}

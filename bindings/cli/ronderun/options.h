/* SPDX-License-Identifier: Apache-2.0 */
/* What ronderun was asked to do. */
#ifndef RONDE_RUN_OPTIONS_H
#define RONDE_RUN_OPTIONS_H

#include <stdbool.h>

/* Exit status for wrong arguments, as ronde-info's. */
#define RUN_STATUS_USAGE 64

struct run_options {
	int ranks; /* 0: as many as the hosts have slots */
	bool dry_run;
	bool bind;         /* each rank to its share of the cores */
	bool prefix;       /* lines begin with "[rank] " */
	double grace;      /* seconds from asking a rank to end until it is killed */
	bool check_build;  /* say what is built in, and start nothing */
	bool launched;     /* the command is an MPI launcher's; it knows the ranks, not ronderun */
	const char *hosts; /* "host1:2,host2:2", or NULL */
	const char *hostfile;     /* a file of them, or NULL */
	const char *interfaces;   /* "eth0,eth1", or NULL: the launcher's choice */
	const char *mpirun;       /* the launcher, or NULL: the one in PATH */
	const char *ssh;          /* what the launcher calls as ssh, or NULL: ssh */
	const char *ssh_identity; /* a file, or NULL */
	int ssh_port;             /* 0: ssh's choice */
	const char **exported;    /* names of -x; the process's for good */
	int nexported;
	const char *output;   /* folder of a file per rank, or NULL: all into ronderun's own */
	char *const *command; /* program and arguments, NULL at the end */
};

/*
 * Reads the arguments; puts into the environment what the ranks shall find there (-x, and an option
 * for each setting of the configuration). Wrong ones end the program with RUN_STATUS_USAGE and a
 * text. The strings are argv's.
 */
void run_options_read(struct run_options *options, int argc, char **argv);

#endif

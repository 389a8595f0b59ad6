/* SPDX-License-Identifier: Apache-2.0 */
/* The machines of a job, and how many ranks each takes. */
#ifndef RONDE_RUN_HOSTS_H
#define RONDE_RUN_HOSTS_H

#include <stddef.h>

#define RUN_HOST_NAME_BYTES 254 /* DNS's 253, and the final zero */
#define RUN_HOSTS_MAX 4096
#define RUN_SLOTS_MAX 4096

struct run_host {
	char name[RUN_HOST_NAME_BYTES];
	int slots;
};

struct run_hosts {
	struct run_host *all;
	int count;
	int slots; /* of all */
};

/*
 * Each reads hosts into an empty list, which is the caller's to free. Returns 0, or the status that
 * ronderun ends with, with a text on standard error. A name is letters, digits, dots, dashes and
 * underscores, no dash in front: it becomes a word of other programs' arguments.
 */
int run_hosts_from_text(struct run_hosts *hosts, const char *text); /* "host1:2,host2" */
int run_hosts_from_file(struct run_hosts *hosts, const char *path); /* "host1 slots=2" a line */
int run_hosts_from_slurm(struct run_hosts *hosts);                  /* none: not in an allocation */
void run_hosts_free(struct run_hosts *hosts);

#endif

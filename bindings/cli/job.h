/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The job this process is part of, found and opened as ronde_init() does, up to where ranks share
 * memory: which ranks are on a node, and why where that failed.
 */
#ifndef RONDE_CLI_JOB_H
#define RONDE_CLI_JOB_H

#include "bindings/cli/checks.h"
#include "collectives/bootstrap/launch.h"
#include "collectives/status.h"
#include "coordinator/context.h"

/* What a rank tells rank 0. */
struct job_rank {
	struct rank_facts facts;
	struct ronde_place place;
	char apart[512]; /* why it shares no memory with ranks of its machine; "": it does */
};

/* Lines about the ranks' configurations that are kept. */
#define JOB_NOTES 16

struct job {
	int status; /* not OK: the job can't be opened, for this reason */
	char text[RONDE_ERROR_BYTES];
	struct ronde_launch launch;
	struct ronde_bootstrap *bootstrap;
	struct ronde_heap *heap;
	struct ronde_node *node;
	int rank, size, nodes;
	struct job_rank *ranks;       /* [size] */
	struct job_machine *machines; /* [nodes] */
	struct rank_facts *local;     /* [nlocal] those of this node */
	int *local_numbers;           /* [nlocal] */
	int nlocal;
	char notes[JOB_NOTES][CHECK_TEXT_BYTES]; /* what ronde_init() would warn of, for the job */
	int nnotes;
};

/*
 * Collective over the job; blocks, at most the configuration's time. The configuration becomes the
 * job's. mistake: "", or what is wrong with this rank's; then the job of several ranks can't be
 * opened. If it can't it is a world of one, with status and text set; only lack of memory is an
 * error.
 */
int job_open(struct job *job, struct ronde_config *config, const char *mistake);
void job_close(struct job *job);
/* Whether this process speaks for the job. */
bool job_speaks(const struct job *job);

#endif

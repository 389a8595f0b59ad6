/* SPDX-License-Identifier: Apache-2.0 */
/* The machines of a job's nodes, and where its ranks are on them: as text, and as a picture. */
#ifndef RONDE_CLI_PLACES_H
#define RONDE_CLI_PLACES_H

#include <stdio.h>

#include "bindings/cli/job.h"

/* A node's machine. What its leader says of it travels as it lies in memory, but for the cores. */
struct job_machine {
	int32_t packages, numas, caches, cache_level, ncores, processors, real, pad;
	uint64_t cache_bytes;
	struct ronde_core *cores;
};

/* Collective over the job, if there are several ranks; blocks. Fills job->machines and the places
 * in job->ranks. */
int places_gather(struct job *job, const struct ronde_config *config);
void places_free(struct job *job);

/* The ranks of a node that are on an object and on nothing smaller: "rank 3", "ranks 0 2"; "". */
const char *places_ranks(const struct job *job, int node, const struct ronde_place *object,
			 char *text, size_t bytes);
/* A rank of the node, for its host's name. */
const char *places_host(const struct job *job, int node);
/* "2 packages, 8 NUMA domains, 64 cores" */
const char *places_summary(const struct job_machine *machine, char *text, size_t bytes);

void places_write_text(FILE *file, const struct job *job);
void places_write_svg(FILE *file, const struct job *job);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* One operation on one rank: its memory with guards around it, and the judgement of its result. */
#ifndef RONDE_TESTS_SCHEDULES_JOB_H
#define RONDE_TESTS_SCHEDULES_JOB_H

#include <stdatomic.h>

#include "tests/schedules/block.h"

enum job_state { JOB_IDLE, JOB_SUBMITTED, JOB_DONE };

/* How a rank learns that an operation is complete. */
enum job_way {
	JOB_WAITS,
	JOB_POLLS,          /* ronde_test() until it is done */
	JOB_IS_CALLED,      /* on_done, then waits */
	JOB_CALLED_WAITS,   /* on_done, which waits itself */
	JOB_WAITS_UNCALLED, /* on_done, but waits without being called */
	JOB_WAYS
};

struct job {
	const struct program *program;
	const struct op *op;
	const struct port *port;
	void *to;
	int rank, member;
	struct block in, out, numbers; /* numbers: of a sparse tensor's rows */
	struct buffers buffers;
	int64_t rows[RANKS_MAX];
	bool truncated; /* less memory than the result needs */
	enum job_way way;
	ronde_handle handle;
	int status;
	_Atomic int state, calls; /* enum job_state; how often on_done came */
};

/* Memory of a kind, at an alignment and with values as the rank's dice fall. */
void job_prepare(struct job *job, uint64_t *state);
/* It has been waited for, with that status. */
int job_finish(struct job *job, int status);
/* What is wrong with the result, or NULL; static per thread. */
const char *job_judge(const struct job *job);
void job_release(struct job *job);

#endif

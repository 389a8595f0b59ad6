/* SPDX-License-Identifier: Apache-2.0 */
/* The tensors of span_jobs.h's operations that hand out rows, and what must come out. */
#ifndef RONDE_TESTS_SPAN_ROWS_H
#define RONDE_TESTS_SPAN_ROWS_H

#include "tests/span_tensors.h"

/* Makes of the tensors of an allreduce those of a reducescatter: width, shared are given, too. */
static inline void make_shares(const struct world *w, struct job *job, uint64_t *seed)
{
	for (int p = 0; p < PIECES; p++)
		job->counts[p] = job->shared[p] * job->width;
	make_tensors(w, job, seed);
	for (int p = 0; p < PIECES; p++)
		for (int i = 0; i < w->size; i++) {
			struct ronde_share mine = share_of(w, job, i, p);
			job->want[i][p] += mine.first;
			job->want_bytes[i][p] = mine.count;
			if (job->in_place == 2)
				job->outputs[i][p] += mine.first;
		}
}

/* Kind, dtype, width, rows, joined are given. */
static inline void make_gathered(const struct world *w, struct job *job, uint64_t *seed)
{
	size_t row = job->width * ronde_dtype_bytes(job->spec.dtype), total = 0;
	for (int i = 0; i < w->size; i++) {
		job->input_bytes[i][0] = (size_t)job->rows[i] * row;
		job->inputs[i][0] = random_tensor(job, job->input_bytes[i][0], seed);
		total += job->joined[i] ? 0 : job->input_bytes[i][0];
	}
	unsigned char *to = job->expected[0] = malloc(total + 1);
	for (int i = 0; i < w->size; i++) {
		job->want[i][0] = job->expected[0];
		job->want_bytes[i][0] = total;
		if (job->joined[i])
			continue;
		memcpy(to, job->inputs[i][0], job->input_bytes[i][0]);
		to += job->input_bytes[i][0];
	}
}

/* Kind, dtype, width, splits, joined are given. */
static inline void make_exchanged(const struct world *w, struct job *job, uint64_t *seed)
{
	size_t row = job->width * ronde_dtype_bytes(job->spec.dtype), all = 0;
	size_t at[MAX_RANKS] = {0};
	for (int i = 0; i < w->size; i++) {
		for (int to = 0; to < w->size; to++) {
			if (job->joined[i] || job->joined[to])
				job->splits[i][to] = 0;
			job->input_bytes[i][0] += (size_t)job->splits[i][to] * row;
		}
		job->inputs[i][0] = random_tensor(job, job->input_bytes[i][0], seed);
		all += job->input_bytes[i][0];
	}
	unsigned char *next = job->expected[0] = malloc(all + 1);
	for (int to = 0; to < w->size; to++) {
		job->want[to][0] = next;
		for (int i = 0; i < w->size; i++) {
			size_t bytes = (size_t)job->splits[i][to] * row;
			memcpy(next, job->inputs[i][0] + at[i], bytes);
			at[i] += bytes;
			next += bytes;
		}
		job->want_bytes[to][0] = (size_t)(next - job->want[to][0]);
	}
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/schedules/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/c/sparse.h"

/* ---- before ---- */

static bool gives_input(const struct job *job)
{
	return job->op->kind != RONDE_KIND_BARRIER &&
	       (job->op->kind != RONDE_KIND_BROADCAST || job->op->root == job->rank);
}

/* Rows that a member has for this one. */
static int64_t rows_from(const struct job *job, int member)
{
	const struct op *op = job->op;
	return op->kind == RONDE_KIND_ALLTOALL ? op->splits[member][job->member] : op->rows[member];
}

static uint64_t bytes_from(const struct job *job, int member)
{
	return (uint64_t)(rows_from(job, member) * job->op->columns) *
	       ronde_dtype_bytes(job->op->dtype);
}

static uint64_t gathered_bytes(const struct job *job)
{
	uint64_t bytes = 0;
	for (int m = 0; m < op_size(job->op, job->program->style.ranks); m++)
		bytes += bytes_from(job, m);
	return bytes;
}

/* Where the result goes. */
static unsigned char *output_of(const struct job *job)
{
	const struct op *op = job->op;
	if (!op->in_place)
		return job->out.data;
	return job->in.data + (op->at_start ? 0 : op_result(job->program, op, job->member).first);
}

/* May call what does not wait for other ranks: memory of the heap, here. */
static void *alloc_gathered(size_t bytes, void *arg)
{
	struct job *job = arg;
	block_make(job->port, job->to, &job->out, false, 8, bytes);
	return job->out.data;
}

static void prepare_gathered(struct job *job, uint64_t *state, bool heap, size_t offset)
{
	uint64_t bytes = gathered_bytes(job);
	ronde_gathered *g = &job->buffers.gathered;
	*g = (ronde_gathered){0};
	if (!once_in(state, 3))
		g->rows_per_rank = job->rows;
	switch (below(state, 4)) {
	case 0: /* malloc() */
		return;
	case 1:
		g->alloc = alloc_gathered;
		g->alloc_arg = job;
		return;
	default:
		job->truncated = bytes && once_in(state, 8);
		block_make(job->port, job->to, &job->out, heap, offset, bytes - job->truncated);
		g->data = job->out.data;
		g->capacity_bytes = job->out.bytes;
	}
}

/* Some rows of a member have the same. */
static int64_t number_of(int member, int64_t row)
{
	return 1000 * member + row * row % 7;
}

static void prepare_sparse(struct job *job, bool heap)
{
	int64_t rows = job->op->rows[job->member];
	block_make(job->port, job->to, &job->numbers, heap, 0, (uint64_t)rows * sizeof rows);
	int64_t *numbers = (void *)job->numbers.data;
	for (int64_t i = 0; i < rows; i++)
		numbers[i] = number_of(job->member, i);
	job->buffers.indices = numbers;
	job->buffers.sparse = (ronde_sparse){.values = job->buffers.gathered};
}

void job_prepare(struct job *job, uint64_t *state)
{
	const struct op *op = job->op;
	uint64_t bytes = op_bytes(op, job->member);
	size_t offset = once_in(state, 2) ? 0 : below(state, 64);
	bool heap = op->heap || once_in(state, 2), out_heap = op->heap || once_in(state, 2);
	job->way = (enum job_way)below(state, JOB_WAYS);
	if (op->kind == RONDE_KIND_BARRIER)
		return;
	if (gives_input(job) || op->in_place) {
		block_make(job->port, job->to, &job->in, heap, offset, bytes);
		if (gives_input(job))
			spread(job->in.data, bytes, op->given[job->member],
			       ronde_dtype_bytes(op->dtype));
	}
	job->buffers.input = gives_input(job) ? job->in.data : NULL;
	if (op_has_own_rows(op)) {
		prepare_gathered(job, state, out_heap, offset);
		if (op->sparse)
			prepare_sparse(job, heap);
		return;
	}
	if (!op->in_place)
		block_make(job->port, job->to, &job->out, out_heap, below(state, 64),
			   op_result(job->program, op, job->member).count);
	job->buffers.output = output_of(job);
	if (bytes == 0 && once_in(state, 2))
		job->buffers.input = job->buffers.output = NULL;
}

/* ---- after ---- */

int job_finish(struct job *job, int status)
{
	if (!job->op->sparse)
		return status;
	if (status == RONDE_OK)
		status = ronde_sparse_finish(&job->buffers.sparse);
	job->buffers.gathered = job->buffers.sparse.values;
	return status;
}

/* A member's rows as they arrive: of a sparse tensor reduced with nothing else. */
static void make_gathered(const struct job *job, int member, void *period)
{
	const struct op *op = job->op;
	const struct program_style *style = &job->program->style;
	const void *given = op->given[member];
	int n = op_size(op, style->ranks);
	struct ronde_reduce_spec spec = {.dtype = op->dtype,
					 .reduction = op->reduction,
					 .prescale = op->prescale,
					 .postscale = op->postscale,
					 .divisor = n};
	for (int m = 0; m < n && style->active; m++)
		spec.divisor -= op->absent >> m & 1;
	if (op->sparse)
		reduce_periods(&spec, &given, 1, period);
	else
		memcpy(period, given, PERIOD * ronde_dtype_bytes(op->dtype));
}

static const char *judge_numbers(const struct job *job)
{
	const int64_t *at = job->buffers.sparse.indices.data;
	for (int m = 0; m < op_size(job->op, job->program->style.ranks); m++)
		for (int64_t i = 0; i < job->op->rows[m]; i++)
			if (*at++ != number_of(m, i))
				return "a row's number is wrong";
	return NULL;
}

static const char *judge_gathered(const struct job *job)
{
	static _Thread_local char text[200];
	const ronde_gathered *g = &job->buffers.gathered;
	const unsigned char *at = g->data;
	int64_t rows = 0;
	for (int m = 0; m < op_size(job->op, job->program->style.ranks); m++) {
		uint64_t bytes = bytes_from(job, m), first = 0;
		for (int to = 0; job->op->kind == RONDE_KIND_ALLTOALL && to < job->member; to++)
			first += (uint64_t)(job->op->splits[m][to] * job->op->columns);
		int64_t wrong = -1;
		if (bytes) {
			unsigned char period[PERIOD * 8];
			make_gathered(job, m, period);
			wrong = find_wrong_from(first, at, bytes, period, job->op->dtype,
						job->op->sparse);
		}
		if (wrong >= 0) {
			snprintf(text, sizeof text, "element %lld of member %d's rows is wrong",
				 (long long)wrong, m);
			return text;
		}
		at += bytes;
		rows += rows_from(job, m);
		if (g->rows_per_rank && g->rows_per_rank[m] != rows_from(job, m)) {
			snprintf(text, sizeof text, "member %d's rows are %lld instead of %lld", m,
				 (long long)g->rows_per_rank[m], (long long)rows_from(job, m));
			return text;
		}
	}
	if (g->rows == rows)
		return job->op->sparse ? judge_numbers(job) : NULL;
	snprintf(text, sizeof text, "rows are %lld instead of %lld", (long long)g->rows,
		 (long long)rows);
	return text;
}

/* Nothing says what the bits are but the first rank of the first run that had them. */
static const char *judge_digest(const struct job *job, const unsigned char *output, uint64_t bytes)
{
	_Atomic uint64_t *first = &job->program->digests[job->op - job->program->ops];
	uint64_t digest = 0xcbf29ce484222325, none = 0; /* FNV-1a */
	for (uint64_t i = 0; i < bytes; i++)
		digest = (digest ^ output[i]) * 0x100000001b3;
	if (atomic_compare_exchange_strong(first, &none, digest) || none == digest)
		return NULL;
	return "other bits than another rank or an earlier run";
}

static const char *judge_output(const struct job *job)
{
	static _Thread_local char text[200];
	const struct op *op = job->op;
	if (op->kind == RONDE_KIND_BARRIER)
		return NULL;
	if (op_has_own_rows(op))
		return judge_gathered(job);
	const unsigned char *output = output_of(job);
	struct ronde_share mine = op_result(job->program, op, job->member);
	if (!op->wanted)
		return judge_digest(job, output, mine.count);
	uint64_t first = mine.first / ronde_dtype_bytes(op->dtype);
	int64_t wrong = find_wrong_from(first, output, mine.count, op->wanted, op->dtype,
					op->kind != RONDE_KIND_BROADCAST);
	if (wrong < 0)
		return NULL;
	size_t element = ronde_dtype_bytes(op->dtype);
	uint64_t got = 0, want = 0;
	memcpy(&got, output + (size_t)wrong * element, element);
	memcpy(&want, op->wanted + (first + (uint64_t)wrong) % PERIOD * element, element);
	snprintf(text, sizeof text, "element %lld is %#llx instead of %#llx", (long long)wrong,
		 (unsigned long long)got, (unsigned long long)want);
	return text;
}

const char *job_judge(const struct job *job)
{
	const struct op *op = job->op;
	bool in_place = op->in_place && !op_has_own_rows(op);
	if (!block_guarded(&job->in) || !block_guarded(&job->numbers))
		return "bytes around the input were written";
	if (!block_guarded(&job->out))
		return "bytes around the output were written";
	if (gives_input(job) && !in_place &&
	    find_wrong(job->in.data, job->in.bytes, op->given[job->member], op->dtype, false) >= 0)
		return "the input was written";
	return job->status == RONDE_OK ? judge_output(job) : NULL;
}

void job_release(struct job *job)
{
	ronde_gathered *g = &job->buffers.gathered;
	if (g->data && g->data != job->out.data)
		free(g->data);
	g->data = NULL;
	free(job->buffers.sparse.indices.data);
	job->buffers.sparse = (ronde_sparse){0};
	block_free(job->port, job->to, &job->numbers);
	block_free(job->port, job->to, &job->in);
	block_free(job->port, job->to, &job->out);
}

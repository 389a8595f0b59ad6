/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs for algorithms_world.h: their tensors, guarded, and what must come out of them. */
#ifndef RONDE_TESTS_ALGORITHMS_JOBS_H
#define RONDE_TESTS_ALGORITHMS_JOBS_H

#include "tests/algorithms_world.h"

static struct buffer make_buffer(size_t bytes, uint64_t *seed)
{
	struct buffer b = {.bytes = bytes, .shift = below(seed, 3) ? 0 : below(seed, 70)};
	b.raw = aligned_alloc(64, (bytes + b.shift + 2 * GUARD + 63) & ~(size_t)63);
	b.data = b.raw + GUARD + b.shift;
	memset(b.raw, 0xa5, GUARD + b.shift);
	memset(b.data + bytes, 0xa5, GUARD);
	return b;
}

/* False if somebody wrote beside it. */
static bool free_buffer(struct buffer *b)
{
	static unsigned char guard[GUARD + 70];
	memset(guard, 0xa5, sizeof guard);
	bool whole = !b->raw || (memcmp(b->raw, guard, GUARD + b->shift) == 0 &&
				 memcmp(b->data + b->bytes, guard, GUARD) == 0);
	free(b->raw);
	return whole;
}

/* Random numbers of a type: floats of mixed size, so that the order of additions shows. */
static void fill(void *data, uint64_t count, ronde_dtype dtype, uint64_t *seed)
{
	for (uint64_t i = 0; i < count; i++) {
		uint64_t r = next_random(seed);
		uint64_t e = r >> 60;
		switch (dtype) {
		case RONDE_FLOAT16:
			((uint16_t *)data)[i] = (uint16_t)((r & 0x83ff) | (10 + e % 8) << 10);
			break;
		case RONDE_BFLOAT16:
			((uint16_t *)data)[i] = (uint16_t)((r & 0x807f) | (120 + e) << 7);
			break;
		case RONDE_FLOAT32:
			((uint32_t *)data)[i] = (uint32_t)((r & 0x807fffff) | (120 + e) << 23);
			break;
		case RONDE_FLOAT64:
			((uint64_t *)data)[i] = (r & 0x800fffffffffffff) | (1015 + e) << 52;
			break;
		case RONDE_BOOL:
			((uint8_t *)data)[i] = r & 1;
			break;
		default:
			memcpy((unsigned char *)data + i * ronde_dtype_bytes(dtype), &r,
			       ronde_dtype_bytes(dtype));
		}
	}
}

static void fill_buffer(struct buffer *b, ronde_dtype dtype, uint64_t *seed)
{
	void *aligned = malloc(b->bytes + 1);
	fill(aligned, b->bytes / ronde_dtype_bytes(dtype), dtype, seed);
	memcpy(b->data, aligned, b->bytes);
	free(aligned);
}

static const struct ronde_kernels *plain_kernels(void)
{
	return ronde_kernels_select("c");
}

static void expect_allreduce(struct job *job)
{
	size_t n = (size_t)job->plan.n;
	for (size_t p = 0; p < job->plan.npieces; p++) {
		const void *sources[MAX_RANKS] = {NULL};
		void *destination = job->expected[p].data;
		for (size_t m = 0; m < n; m++)
			sources[ronde_plan_leaf(&job->plan, (int)m)] = job->inputs[p * n + m].data;
		plain_kernels()->reduce(&job->plan.spec, &destination, 1, sources,
					ronde_plan_leaves(&job->plan), job->counts[p]);
	}
}

static void make_reduction_job(struct job *job, uint64_t *seed)
{
	size_t n = (size_t)job->plan.n;
	for (size_t p = 0; p < job->plan.npieces; p++) {
		size_t bytes = job->counts[p] * job->plan.element;
		job->expected[p] = make_buffer(bytes, seed);
		for (size_t m = 0; m < n; m++) {
			job->inputs[p * n + m] = make_buffer(bytes, seed);
			fill_buffer(&job->inputs[p * n + m], job->plan.spec.dtype, seed);
			if (!job->in_place)
				job->outputs[p * n + m] =
					make_buffer(share_of(job, p, (int)m).count, seed);
		}
		if (job->plan.kind == RONDE_KIND_BROADCAST)
			memcpy(job->expected[p].data,
			       job->inputs[p * n + (size_t)job->plan.root].data, bytes);
	}
	if (job->plan.kind == RONDE_KIND_ALLREDUCE || job->plan.kind == RONDE_KIND_REDUCESCATTER)
		expect_allreduce(job);
}

/* Makes rows of what has counts[] elements. */
static void make_rows(struct job *job, uint64_t *seed)
{
	for (size_t p = 0; p < job->plan.npieces; p++) {
		static const uint64_t most[] = {1, 3, 40, 1000};
		job->columns[p] = 1 + below(seed, most[below(seed, 4)]);
		job->counts[p] -= job->counts[p] % job->columns[p];
	}
	/* Only staging leaves the other ranks' rows alone until they are read. */
	job->at_start = job->plan.path == RONDE_PATH_STAGED && below(seed, 2);
}

/* counts[0]: most rows of a rank. */
static void make_allgather_job(struct job *job, uint64_t *seed)
{
	size_t n = (size_t)job->plan.n;
	size_t total = 0;
	job->plan.row_bytes = 1 + below(seed, 100);
	job->plan.npieces = 1;
	job->in_place = false;
	if (below(seed, 4) == 0)
		job->broke = (int)below(seed, n);
	for (size_t m = 0; m < n; m++) {
		job->rows[m] = (int64_t)below(seed, 1 + job->counts[0] / job->plan.row_bytes);
		if (below(seed, 5) == 0)
			job->rows[m] = 0;
		size_t bytes = (size_t)job->rows[m] * job->plan.row_bytes;
		job->inputs[m] = make_buffer(bytes, seed);
		fill(job->inputs[m].data, bytes, RONDE_UINT8, seed);
		total += bytes;
	}
	job->expected[0] = make_buffer(total, seed);
	total = 0;
	for (size_t m = 0; m < n; m++) {
		memcpy(job->expected[0].data + total, job->inputs[m].data, job->inputs[m].bytes);
		total += job->inputs[m].bytes;
	}
	for (size_t m = 0; m < n; m++)
		job->outputs[m] = make_buffer(total, seed);
}

/* counts[0]: bytes of a rank's input, about; some of it stays unsent. */
static void make_alltoall_job(struct job *job, uint64_t *seed)
{
	size_t n = (size_t)job->plan.n, row = 1 + below(seed, 100);
	job->plan.row_bytes = row;
	job->in_place = false;
	if (below(seed, 4) == 0)
		job->broke = (int)below(seed, n);
	for (size_t m = 0; m < n; m++) {
		uint64_t left = job->counts[0] / row + 1;
		for (size_t to = 0; to < n; to++) {
			int64_t rows = below(seed, 4) ? (int64_t)below(seed, left) : 0;
			job->splits[m][to] = rows;
			job->rows[to] += rows;
			left -= (uint64_t)rows;
		}
		job->inputs[m] = make_buffer(job->counts[0], seed);
		fill(job->inputs[m].data, job->counts[0], RONDE_UINT8, seed);
	}
	for (size_t to = 0; to < n; to++) {
		size_t bytes = (size_t)job->rows[to] * row, at = 0;
		job->outputs[to] = make_buffer(bytes, seed);
		job->expected[to] = make_buffer(bytes, seed);
		for (size_t m = 0; m < n; m++) {
			size_t before = 0, here = (size_t)job->splits[m][to] * row;
			for (size_t k = 0; k < to; k++)
				before += (size_t)job->splits[m][k] * row;
			memcpy(job->expected[to].data + at, job->inputs[m].data + before, here);
			at += here;
		}
	}
}

/* The members, lane, kind, path, spec and counts are given. */
static void make_job(const struct world *w, struct job *job, uint64_t *seed)
{
	size_t n = (size_t)job->plan.n;
	size_t limit = ronde_chunk_limit(w->arena.shape.staging_bytes, job->plan.n);

	job->broke = -1;
	job->plan.arena = &w->arena;
	job->plan.kernels = w->kernels;
	job->plan.members = job->members;
	job->plan.element = ronde_dtype_bytes(job->plan.spec.dtype);
	job->plan.spec.divisor = job->plan.n;
	job->in_place = below(seed, 2);
	if (!job->plan.chunk_bytes) {
		job->plan.chunk_bytes = limit >> below(seed, 12) & ~(size_t)63;
		if (job->plan.chunk_bytes < 64)
			job->plan.chunk_bytes = 64;
	}
	job->inputs = calloc(job->plan.npieces * n + 1, sizeof *job->inputs);
	job->outputs = calloc(job->plan.npieces * n + 1, sizeof *job->outputs);
	job->expected = calloc(job->plan.npieces + n, sizeof *job->expected);
	job->columns = calloc(job->plan.npieces + 1, sizeof *job->columns);
	if (job->plan.kind == RONDE_KIND_REDUCESCATTER)
		make_rows(job, seed);
	if (job->plan.kind == RONDE_KIND_ALLGATHER)
		make_allgather_job(job, seed);
	else if (job->plan.kind == RONDE_KIND_ALLTOALL)
		make_alltoall_job(job, seed);
	else
		make_reduction_job(job, seed);
}

/* Runs and frees the script; the ordinal of the first job that went wrong, or -1. */
static int run_script(struct world *w, uint64_t seed)
{
	bool in_time = (w->run ? w->run : world_run)(w, seed);
	int first = in_time ? -1 : w->njobs;
	for (int j = w->njobs - 1; j >= 0; j--) {
		struct job *job = &w->jobs[j];
		size_t n = (size_t)job->plan.n;
		bool good = true;
		for (size_t m = 0; m < n; m++)
			good &= !job->wrong[m] && job->ended[m] == job->ended[0];
		for (size_t i = 0; i < job->plan.npieces * n; i++) {
			good &= free_buffer(&job->inputs[i]);
			good &= free_buffer(&job->outputs[i]);
		}
		for (size_t p = 0; p < job->plan.npieces + n; p++)
			free_buffer(&job->expected[p]);
		free(job->inputs);
		free(job->outputs);
		free(job->expected);
		free(job->counts);
		free(job->columns);
		if (!good)
			first = j;
	}
	if (first >= 0 && first < w->njobs) {
		const struct job *job = &w->jobs[first];
		printf("job %d of %d: kind %d path %d n %d pieces %zu chunk %zu%s %s\n", first,
		       w->njobs, job->plan.kind, job->plan.path, job->plan.n, job->plan.npieces,
		       job->plan.chunk_bytes, job->in_place ? " in place" : "",
		       job->algorithm ? job->algorithm->name : "");
	}
	free(w->jobs);
	world_close(w);
	return first;
}

#endif

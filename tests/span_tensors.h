/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tensors of span_jobs.h's reductions and broadcasts, and what must come out, by the plainest
 * kernel over whole tensors.
 */
#ifndef RONDE_TESTS_SPAN_TENSORS_H
#define RONDE_TESTS_SPAN_TENSORS_H

#include "tests/span_jobs.h"

static inline void make_float(unsigned char *to, ronde_dtype dtype, uint64_t r)
{
	uint64_t e = r >> 60;
	uint16_t half = (uint16_t)((r & 0x83ff) | (10 + e % 8) << 10);
	uint16_t brain = (uint16_t)((r & 0x807f) | (120 + e) << 7);
	uint32_t single = (uint32_t)((r & 0x807fffff) | (120 + e) << 23);
	uint64_t twice = (r & 0x800fffffffffffff) | (1015 + e) << 52;
	uint8_t truth = r & 1;
	const void *from = dtype == RONDE_FLOAT16    ? (const void *)&half
			   : dtype == RONDE_BFLOAT16 ? (const void *)&brain
			   : dtype == RONDE_FLOAT32  ? (const void *)&single
			   : dtype == RONDE_FLOAT64  ? (const void *)&twice
			   : dtype == RONDE_BOOL     ? (const void *)&truth
						     : (const void *)&r;
	memcpy(to, from, ronde_dtype_bytes(dtype));
}

/*
 * The plain kernel over whole tensors at once. A node's ranks stand at a multiple of a power of two
 * that none exceeds: so its tree is the tree of each node, and then the one over nodes.
 */
static inline void expect(const struct world *w, struct job *job, int p)
{
	const void *sources[MAX_NODES * MAX_LOCAL] = {NULL};
	void *destination = job->expected[p];
	for (int i = 0; i < w->size; i++)
		if (!job->joined[i])
			sources[w->node_of[i] * MAX_LOCAL + w->local_of[i]] = job->inputs[i][p];
	if (job->kind == RONDE_KIND_BROADCAST)
		memcpy(destination, job->inputs[job->root][p],
		       job->counts[p] * ronde_dtype_bytes(job->spec.dtype));
	else
		ronde_kernels_select("c")->reduce(&job->spec, &destination, 1, sources,
						  MAX_NODES * MAX_LOCAL, job->counts[p]);
}

/* Sums of nodes cross as 16 bits: the steps of the definition, each over whole tensors. */
static inline void expect_16bit(const struct world *w, struct job *job, int p)
{
	const struct ronde_kernels *c = ronde_kernels_select("c");
	size_t count = job->counts[p];
	float *sums[MAX_NODES];
	const void *leaves[MAX_NODES] = {NULL};
	void *narrow = malloc(2 * count + 1), *destination = job->expected[p];
	struct ronde_reduce_spec spec = job->spec;
	for (int k = 0; k < w->shape->nodes; k++) {
		const void *sources[MAX_LOCAL] = {NULL};
		bool some = false;
		sums[k] = malloc(count * sizeof(float) + 1);
		void *sum = sums[k];
		for (int l = 0; l < w->shape->local[k]; l++) {
			if (job->joined[w->rank_at[k][l]])
				continue;
			sources[l] = job->inputs[w->rank_at[k][l]][p];
			some = true;
		}
		if (!some)
			continue;
		leaves[k] = sums[k];
		spec.part = RONDE_REDUCE_PARTIAL;
		c->reduce(&spec, &sum, 1, sources, MAX_LOCAL, count);
		c->convert(narrow, spec.dtype, sum, RONDE_FLOAT32, count);
		c->convert(sum, RONDE_FLOAT32, narrow, spec.dtype, count);
	}
	spec.part = RONDE_REDUCE_FINISH;
	c->reduce(&spec, &destination, 1, leaves, w->shape->nodes, count);
	for (int k = 0; k < w->shape->nodes; k++)
		free(sums[k]);
	free(narrow);
}

static inline bool is_16bit(const struct job *job)
{
	return job->spec.dtype == RONDE_FLOAT16 || job->spec.dtype == RONDE_BFLOAT16;
}

static inline unsigned char *random_tensor(const struct job *job, size_t bytes, uint64_t *seed)
{
	size_t element = ronde_dtype_bytes(job->spec.dtype);
	unsigned char *tensor = malloc(bytes + 1);
	for (size_t at = 0; at < bytes; at += element)
		make_float(tensor + at, job->spec.dtype, next_random(seed));
	return tensor;
}

/* Kind, spec, counts, joined are given. */
static inline void make_tensors(const struct world *w, struct job *job, uint64_t *seed)
{
	for (int p = 0; p < PIECES; p++) {
		size_t bytes = job->counts[p] * ronde_dtype_bytes(job->spec.dtype);
		job->expected[p] = malloc(bytes + 1);
		for (int i = 0; i < w->size; i++) {
			job->inputs[i][p] = random_tensor(job, bytes, seed);
			job->outputs[i][p] = job->in_place ? job->inputs[i][p] : malloc(bytes + 1);
			job->want[i][p] = job->expected[p];
			job->input_bytes[i][p] = job->want_bytes[i][p] = bytes;
		}
		if (job->wire_16bit && is_16bit(job) && job->kind != RONDE_KIND_BROADCAST)
			expect_16bit(w, job, p);
		else
			expect(w, job, p);
	}
}

static inline void free_tensors(const struct world *w, struct job *job)
{
	for (int p = 0; p < PIECES; p++) {
		for (int i = 0; i < w->size; i++) {
			if (!job->in_place)
				free(job->outputs[i][p]);
			free(job->inputs[i][p]);
		}
		free(job->expected[p]);
	}
}

#endif

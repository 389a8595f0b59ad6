/* SPDX-License-Identifier: Apache-2.0 */
/* One operation of the data plane, planned as the coordinator would. */
#include "perf/algorithms/rig.h"

#include <sched.h>

#include "collectives/algorithms/layout.h"

static bool give_result(void *arg, const int64_t *rows, void **memory, int *status)
{
	(void)rows;
	(void)status;
	*memory = ((struct rank *)arg)->gathered;
	return true;
}

void perf_relax(const struct rank *r)
{
	if (r->crowded)
		sched_yield();
#if defined(__x86_64__)
	__builtin_ia32_pause();
#endif
}

bool perf_in_heap(const struct candidate *c)
{
	return c->peer || (c->moves && c->moves->heap) ||
	       (c->algorithm && c->path == RONDE_PATH_ZERO_COPY);
}

unsigned char *perf_heap_output(const struct rank *r, int member)
{
	return r->heaps[member] + (r->options->out_of_place ? r->options->to : 0);
}

unsigned char *perf_input(const struct rank *r, const struct candidate *c)
{
	return perf_in_heap(c) ? r->heaps[r->me] : r->input;
}

unsigned char *perf_output(const struct rank *r, const struct candidate *c)
{
	if (perf_in_heap(c))
		return perf_heap_output(r, r->me);
	return r->options->out_of_place ? r->output : r->input;
}

void perf_run_operation(struct rank *r, const struct candidate *c)
{
	const void *inputs[MAX_RANKS];
	void *outputs[MAX_RANKS];
	for (int m = 0; m < r->options->ranks; m++) {
		inputs[m] = r->heaps[m];
		outputs[m] = perf_heap_output(r, m);
	}
	struct ronde_piece piece = {.input = perf_input(r, c),
				    .output = perf_output(r, c),
				    .count = r->bytes / sizeof(float),
				    .inputs = inputs,
				    .outputs = outputs};
	int64_t splits[MAX_RANKS], received[3 * MAX_RANKS] = {0};
	int64_t elements = (int64_t)(r->bytes / sizeof(float));
	for (int m = 0; m < r->options->ranks; m++)
		splits[m] = elements / r->options->ranks;
	if (c->kind == RONDE_KIND_REDUCESCATTER) {
		piece.rows = piece.count;
		piece.row_bytes = sizeof(float);
		piece.count = ronde_share_rows(piece.rows, r->options->ranks, 0).count;
		/* In place: where the own rows are. */
		if (!r->options->out_of_place)
			piece.output = (float *)piece.output +
				       ronde_share_rows(piece.rows, r->options->ranks, r->me).first;
	}
	struct ronde_operation operation = {
		.algorithm = c->algorithm,
		.plan = {.kind = c->kind,
			 .path = c->path,
			 .arena = &r->arena,
			 .kernels = r->kernels,
			 .stores = c->stores,
			 .base = r->base,
			 .n = r->options->ranks,
			 .me = r->me,
			 .members = r->members,
			 .element = sizeof(float),
			 .spec = {RONDE_FLOAT32, RONDE_SUM, 1.0, 1.0, 1, false, RONDE_REDUCE_WHOLE},
			 .chunk_bytes = c->chunk,
			 .pieces = &piece,
			 .npieces = 1,
			 .allocate = give_result,
			 .allocate_arg = r,
			 .splits = splits,
			 .received = received,
			 .begins = received + r->options->ranks,
			 .astray = received + 2 * r->options->ranks,
			 .rows = elements,
			 .row_bytes = sizeof(float)}};

	c->algorithm->start(&operation);
	for (;;) {
		enum ronde_progress p = c->algorithm->step(&operation);
		if (p == RONDE_PROGRESS_DONE)
			break;
		if (p == RONDE_PROGRESS_NONE)
			perf_relax(r);
	}
	r->base = atomic_load(&ronde_lane_cell(&r->arena, 0, r->me)->left);
}

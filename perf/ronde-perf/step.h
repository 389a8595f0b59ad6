/* SPDX-License-Identifier: Apache-2.0 */
/* The gradients of a model, as `ronde-perf step` averages them. */
#ifndef RONDE_PERF_STEP_H
#define RONDE_PERF_STEP_H

#include "perf/ronde-perf/measure.h"
#include "perf/ronde-perf/models.h"
#include "perf/ronde-perf/report.h"

struct perf_step {
	const struct perf_run *run;
	struct perf_data data;
	struct perf_model_tensor tensors[PERF_MODEL_TENSORS];
	size_t count;
	int64_t elements;
	struct perf_gradients **recording; /* those whose turn is being recorded, or NULL */
};

/* The gradients in one kind of memory, or the copies that memcpy makes. */
struct perf_gradients {
	const struct perf_step *model;
	char kind; /* first letter of the tensors' names: one kind does not wait for another */
	enum perf_memory memory;
	void *data[PERF_MODEL_TENSORS];
	void *const *copy_to; /* memcpy: where to */
	ronde_handle handles[PERF_MODEL_TENSORS];
	char names[PERF_MODEL_TENSORS][PERF_MODEL_NAME + 4];
	int64_t writing;    /* nanoseconds that the timeline's thread ran in all its turns … */
	int recorded;       /* … of which there were so many */
	int64_t submitting; /* nanoseconds that submitting all of them took, at least; 0: not known
			     */
};

/* Allocates them, as the names of `kind` say. */
void perf_gradients_open(struct perf_gradients *gradients, const struct perf_step *model, char kind,
			 enum perf_memory memory);
void perf_gradients_close(struct perf_gradients *gradients);

/*
 * To be measured (struct perf_contestant): each rank rewrites its gradients; they are submitted one
 * by one, averaged in place and waited for. arg: struct perf_gradients.
 */
void perf_gradients_fill(void *arg, int round);
void perf_gradients_average(void *arg);

/* Submitting has taken from `begin` until now: the least of all times counts. */
void perf_gradients_note(struct perf_gradients *gradients, int64_t begin);

/* All ranks' wrong elements after one more step of that form; collective. */
size_t perf_gradients_wrong(struct perf_gradients *gradients, void (*form)(void *gradients));

/* A row of the CSV file; the contestant's arg: struct perf_gradients. */
void perf_gradients_csv(const struct perf_step *model, const struct perf_contestant *contestant,
			const struct perf_figures *figures, size_t wrong);

/* What recording a timeline costs. Returns wrong elements of a step that is recorded. */
size_t perf_step_timeline(const struct perf_step *model, struct perf_gradients *heap,
			  struct perf_gradients *ordinary);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file training.h
 * What a training loop is built of: a distributed optimizer around any update function, the same
 * weights and optimizer state on all ranks to start from, clipping, sparse gradients.
 *
 * Part of ronde.h, whose conventions hold here; including either of them gives both.
 */
#ifndef RONDE_TRAINING_H
#define RONDE_TRAINING_H

#include "ronde/ronde.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the same on all ranks to start from ---------------------------------------------------- */

/** One parameter of a model. The struct is copied, what it points to is not. */
typedef struct ronde_parameter {
	const char *name;  /**< unique within the list */
	void *data;        /**< count elements: the weights */
	void *gradient;    /**< count elements; not used by ronde_broadcast_parameters() */
	int64_t count;     /**< elements */
	ronde_dtype dtype; /**< of weights and gradient */
} ronde_parameter;

/**
 * Copies the root's weights to every rank. Blocks. Same list, same order of names not required.
 * Errors: as ronde_broadcast(), for the first parameter that failed; the others are copied all the
 * same.
 */
RONDE_API int ronde_broadcast_parameters(const ronde_parameter *parameters, size_t count, int root);

/** As ronde_broadcast_parameters(), on a process set; root is a number in the whole job. */
RONDE_API int ronde_broadcast_parameters_on(const ronde_parameter *parameters, size_t count,
					    int root, int process_set);

/** Some bytes. */
typedef struct ronde_bytes {
	void *data;   /**< may be NULL if there are none */
	size_t bytes; /**< how many */
} ronde_bytes;

/**
 * Copies bytes whose number only the root knows to every rank. Blocks.
 * @param name  at most RONDE_MAX_NAME - 7 bytes; NULL: matched by order
 * @param data  on the root: in, the bytes; elsewhere: out, memory of malloc() for the caller to
 * free(), NULL if there are no bytes
 * @param bytes on the root: in; elsewhere: out
 * @param root  rank (number in the whole job) whose bytes are taken
 * Errors: as ronde_broadcast(); OUT_OF_MEMORY, on all ranks if one has no memory for the bytes
 * (the text names it); INVALID_ARGUMENT, on all ranks if the root's data is NULL with bytes.
 */
RONDE_API int ronde_broadcast_bytes(const char *name, void **data, size_t *bytes, int root);

/**
 * As ronde_broadcast_bytes(), for any number of objects in one call and on a process set. What the
 * root's objects hold is copied; on other ranks every object is overwritten.
 * @param name        at most RONDE_MAX_NAME - 26 bytes; NULL: matched by order
 * @param objects     on the root: in; elsewhere: out, each with memory of malloc() for the caller
 * to free()
 * @param count       how many, the same on all ranks
 * @param root        rank (number in the whole job) whose objects are taken
 * @param process_set 0: all ranks
 * Errors: as ronde_broadcast_bytes(); MISMATCH, on all ranks if count differs. After an error the
 * objects are as they were.
 */
RONDE_API int ronde_broadcast_objects(const char *name, ronde_bytes *objects, size_t count,
				      int root, int process_set);

/** One piece of an optimizer's state, which may not exist yet. See ronde_broadcast_state(). */
typedef struct ronde_state_item {
	const char *name;  /**< unique within the list */
	ronde_dtype dtype; /**< of the elements; the same on all ranks */
	void **data;       /**< *data: the elements, or NULL: there are none yet */
	int64_t *count;    /**< *count: how many elements; not read where *data is NULL */
} ronde_state_item;

/** Options of ronde_broadcast_state(). Start from RONDE_STATE_OPTIONS_INIT. */
typedef struct ronde_state_options {
	size_t size;                              /**< sizeof(ronde_state_options) */
	int process_set;                          /**< 0: all ranks */
	ronde_output_fn alloc;                    /**< gives memory for new items; NULL: malloc() */
	void (*release)(void *memory, void *arg); /**< frees what is replaced; NULL with alloc */
	void *arg;                                /**< passed to alloc and release */
} ronde_state_options;

/** Defaults of ::ronde_state_options: all ranks, malloc() and free(). */
#define RONDE_STATE_OPTIONS_INIT                                                                   \
	{                                                                                          \
		sizeof(ronde_state_options), 0, NULL, NULL, NULL                                   \
	}

/**
 * Makes every rank's optimizer state that of the root, which alone knows what exists and how large
 * it is. An item with as many elements as the root's is written where it is (scalars, too). Else
 * *data becomes new memory and *count its elements, and the memory that was there is released;
 * where the root has none, *data becomes NULL and *count 0. The root's own are not changed. Blocks.
 * alloc and release are called on the calling thread.
 * @param name    at most RONDE_MAX_NAME - 26 bytes; NULL: matched by order
 * @param items   the same names on all ranks, in any order
 * @param count   how many
 * @param root    rank (number in the whole job) whose state is taken
 * @param options NULL: defaults
 * Errors, with the same text on all ranks: MISMATCH (an item's type differs, a rank has other
 * items), OUT_OF_MEMORY (a rank has no memory for an item), INVALID_ARGUMENT (the root's list
 * cannot be right: no name, a name twice, NULL pointers, a count below 0; or another rank's cannot,
 * then that rank's text says why). Nothing is replaced after an error. Also those of
 * ronde_broadcast().
 */
RONDE_API int ronde_broadcast_state(const char *name, const ronde_state_item *items, size_t count,
				    int root, const ronde_state_options *options);

/* ---- sparse gradients ------------------------------------------------------------------------ */

/** Some rows of a tensor, each with its number. A number may occur more than once. */
typedef struct ronde_sparse_rows {
	int64_t rows;           /**< how many rows, ≥ 0 */
	int64_t width;          /**< elements of a row, ≥ 0 */
	const int64_t *indices; /**< rows numbers */
	const void *values;     /**< rows × width elements */
	ronde_dtype dtype;      /**< of the values */
} ronde_sparse_rows;

/** A sparse allreduce and its result. Start from {0}; it must live until the operation is waited
 * for. */
typedef struct ronde_sparse {
	ronde_gathered indices;    /**< in and out: as of an allgather */
	ronde_gathered values;     /**< in and out: as of an allgather */
	ronde_sparse_rows result;  /**< out: both together */
	ronde_handle handle;       /**< Ronde's own */
	double scale[2];           /**< Ronde's own */
	ronde_reduction reduction; /**< Ronde's own */
	int owned[2];              /**< Ronde's own */
} ronde_sparse;

/**
 * Gathers the rows of all ranks, in rank order: the sum of sparse tensors. With RONDE_AVERAGE
 * every value is divided as that of an allreduce: by the number of members, or see ronde_join().
 * Rows of one number are not added up: ronde_sparse_add() does. Numbers of rows may differ over
 * ranks. Blocks.
 * @param name      at most RONDE_MAX_NAME - 10 bytes; NULL: matched by order. Indices and values
 * travel as a group, see ronde_grouped_allgather(), called NAME.rows
 * @param input     this rank's rows
 * @param reduction RONDE_SUM or RONDE_AVERAGE
 * @param options   NULL: defaults; shape is ignored; the scales multiply the values
 * @param sparse    result; memory as of ronde_allgather(): unless you gave some, free()
 * sparse->indices.data and sparse->values.data
 * Errors: as ronde_allgather(); MISMATCH for differing widths and types.
 */
RONDE_API int ronde_sparse_allreduce(const char *name, const ronde_sparse_rows *input,
				     ronde_reduction reduction, const ronde_options *options,
				     ronde_sparse *sparse);

/** As ronde_sparse_allreduce(); returns at once. After success ronde_sparse_wait() must follow. */
RONDE_API int ronde_sparse_allreduce_async(const char *name, const ronde_sparse_rows *input,
					   ronde_reduction reduction, const ronde_options *options,
					   ronde_sparse *sparse);

/** Waits for a sparse allreduce and completes its result. Blocks. Errors: those of the operation;
 * memory of malloc() is freed then. */
RONDE_API int ronde_sparse_wait(ronde_sparse *sparse);

/**
 * Adds rows into a dense tensor: dense[rows->indices[i]] += rows->values[i]. Rows of one number are
 * added with the dense row in front as a binary tree over their order, low bit first, as ranks are;
 * 16-bit floats in float32, rounded once.
 * @param dense      dense_rows × rows->width elements of rows->dtype
 * @param dense_rows rows of the dense tensor
 * @param rows       what is added
 * Errors: INVALID_ARGUMENT (a number is not in 0 … dense_rows-1: the text names it, and nothing is
 * added), OUT_OF_MEMORY.
 */
RONDE_API int ronde_sparse_add(void *dense, int64_t dense_rows, const ronde_sparse_rows *rows);

/* ---- the distributed optimizer --------------------------------------------------------------- */

/** How gradients travel. COMPRESSION_FP16/BF16: rounded to 16 bits, reduced in float32, one
 * rounding. */
typedef enum ronde_compression {
	RONDE_COMPRESSION_NONE = 0,
	RONDE_COMPRESSION_FP16 = 1,
	RONDE_COMPRESSION_BF16 = 2
} ronde_compression;

/** The application's own update: reads gradients, writes weights. Non-zero: error, passed on. */
typedef int (*ronde_step_fn)(void *state);

/** A wrapped optimizer. */
typedef struct ronde_distributed_optimizer ronde_distributed_optimizer;

/** Options of a wrapped optimizer. Start from RONDE_DISTRIBUTED_OPTIMIZER_OPTIONS_INIT. */
typedef struct ronde_distributed_optimizer_options {
	size_t size;                   /**< sizeof this struct */
	ronde_reduction reduction;     /**< RONDE_AVERAGE, RONDE_SUM or RONDE_ADASUM */
	ronde_compression compression; /**< of float32 and float64 gradients; not of sparse rows */
	int backward_passes_per_step;  /**< k ≥ 1: gradients are communicated every k-th pass */
	double gradient_predivide_factor; /**< f: prescale 1/f, postscale f/size; only with AVERAGE
					   */
	int process_set;                  /**< 0: all ranks */
	const char *name;                 /**< prefix of the tensors' names; NULL: "gradient" */
	int unreported_is_zero; /**< 1: a gradient that was not reported since the last step is set
				   to zeros; 0: it is taken as it is. The same on all ranks or not
				 */
	int sparse_as_dense;    /**< 1: sparse gradients are made dense before they are sent */
	const int64_t *sparse_widths; /**< NULL: all gradients are dense; or one per parameter: 0 is
					 dense, w > 0 sparse in rows of w elements. Read by create.
					 The same on all ranks */
	int num_groups;    /**< n > 0: the dense gradients, in the order of the list, are shared out
			      to n groups, the first ones getting one more; 0: no groups. The same
			      on all ranks, and so is then the list's order */
	const int *groups; /**< NULL, or one per parameter: those with the same number ≥ 0 are a
			      group, those with -1 in none. Read by create. The same on all ranks,
			      and so is then the list's order. Not with num_groups */
} ronde_distributed_optimizer_options;

/** Defaults of ::ronde_distributed_optimizer_options: average, every pass, no compression. */
#define RONDE_DISTRIBUTED_OPTIMIZER_OPTIONS_INIT                                                   \
	{                                                                                          \
		sizeof(ronde_distributed_optimizer_options), RONDE_AVERAGE,                        \
			RONDE_COMPRESSION_NONE, 1, 1.0, 0, NULL, 0, 0, NULL, 0, NULL               \
	}

/**
 * Wraps an update function: ronde_distributed_optimizer_step() averages the gradients over the
 * ranks and then calls it. Not collective.
 *
 * With RONDE_ADASUM it is the other way round: step calls the update with this rank's own
 * gradients, takes what that changed of each parameter, and adds to the weights before it the
 * adasum of all ranks' changes. Reported gradients are only counted, synchronize communicates
 * nothing, and compression is of the changes.
 *
 * Gradients of a group travel together, as by ronde_grouped_allreduce(): on no rank before all of
 * them are reported on all ranks (or the step has come). One that ranks disagree about fails its
 * group, and the text tells which parameters are in it. A parameter of which a rank has no gradient
 * may be in a group, one with sparse rows may not.
 * @param optimizer  out: freed with ronde_distributed_optimizer_destroy()
 * @param step,state the application's update; called as step(state) on the calling thread
 * @param parameters count structs; names must be unique, gradients not NULL unless count is 0 or
 * the parameter is sparse and stays so; data is used with RONDE_ADASUM only, which takes
 * floating-point types
 * @param options    NULL: average, no compression, every pass
 * Errors: NOT_INITIALIZED, INVALID_ARGUMENT, OUT_OF_MEMORY.
 */
RONDE_API int
ronde_distributed_optimizer_create(ronde_distributed_optimizer **optimizer, ronde_step_fn step,
				   void *state, const ronde_parameter *parameters, size_t count,
				   const ronde_distributed_optimizer_options *options);

/**
 * Says that parameter `index`'s gradient is final for this backward pass. In the last of k passes
 * its averaging starts at once (of a group: with the last report of its parameters), while the
 * application goes on computing; before, it only counts.
 * Optional: gradients not reported are taken as they are by the step (see unreported_is_zero). With
 * k > 1 the application itself adds up the gradients over the passes; Ronde does not divide by k.
 * Different parameters may be reported by different threads at once, but not while another thread
 * is in synchronize or step. Errors: INVALID_ARGUMENT (index; a sparse parameter; reported more
 * than k times before a step: the text says what to do), and those of ronde_allreduce_async(); the
 * step then tries again.
 */
RONDE_API int ronde_gradient_ready(ronde_distributed_optimizer *optimizer, size_t index);

/**
 * Says that parameter `index` got no gradient in this backward pass on this rank: a report as
 * ronde_gradient_ready() is. If none of the passes gave one, this rank contributes zeros: Ronde
 * writes them over the gradient. An average is over all members, also those without a gradient.
 * Other ranks may have one. Threads and errors: as ronde_gradient_ready().
 */
RONDE_API int ronde_gradient_absent(ronde_distributed_optimizer *optimizer, size_t index);

/**
 * As ronde_gradient_ready(), for a parameter with a width in sparse_widths: its gradient is
 * `rows`. What is sent is what the last report of a step gave: with k > 1 the application collects
 * the rows of all passes. The memory must stay as it is until synchronize or step has returned. The
 * reduced gradient is told by ronde_sparse_gradient(), and written in full into the parameter's
 * gradient unless that is NULL. With sparse_as_dense it goes there only. A parameter nobody
 * reported gives no rows. Errors: as ronde_gradient_ready(); INVALID_ARGUMENT also for other rows
 * than the parameter has, other widths and types.
 */
RONDE_API int ronde_gradient_ready_sparse(ronde_distributed_optimizer *optimizer, size_t index,
					  const ronde_sparse_rows *rows);

/**
 * The reduced rows of a sparse parameter: of all ranks, in rank order. To be called after
 * synchronize, or by the update. They are Ronde's, until the parameter is reported or synchronized
 * again. Errors: INVALID_ARGUMENT (index; a dense parameter; not synchronized yet).
 */
RONDE_API int ronde_sparse_gradient(const ronde_distributed_optimizer *optimizer, size_t index,
				    ronde_sparse_rows *rows);

/**
 * Averages what is not yet averaged and waits until all gradients hold the result, without calling
 * the update: for clipping between the two. The next step does not communicate again. Blocks.
 * Errors: those of ronde_allreduce(), for the first gradient that failed. All others are waited for
 * and hold their result; passes count from 0 again, so compute all gradients anew before the next
 * call.
 */
RONDE_API int ronde_distributed_optimizer_synchronize(ronde_distributed_optimizer *optimizer);

/**
 * Synchronizes unless that has been done since the last step, then calls step(state). Blocks. When
 * fewer than k passes have been reported it communicates what there is. Errors: those of
 * synchronize (the update is then not called), CALLBACK (the update returned non-zero; the text has
 * the number).
 *
 * With RONDE_ADASUM: calls step(state), then communicates. After CALLBACK this rank has contributed
 * no change and has got those of the others; so weights stay equal over ranks. After another error
 * the weights of parameters that failed are as they were before the step.
 */
RONDE_API int ronde_distributed_optimizer_step(ronde_distributed_optimizer *optimizer);

/** What an optimizer has done since its creation. Grows at its end. */
typedef struct ronde_optimizer_counters {
	size_t size;         /**< in: sizeof(ronde_optimizer_counters) */
	uint64_t steps;      /**< updates called */
	uint64_t tensors;    /**< tensors submitted */
	uint64_t bytes;      /**< of them, on this rank, as they travel */
	double wait_seconds; /**< spent waiting in synchronize and step */
} ronde_optimizer_counters;

/** Fills counters up to its size. Errors: INVALID_ARGUMENT. */
RONDE_API int ronde_distributed_optimizer_get_counters(const ronde_distributed_optimizer *optimizer,
						       ronde_optimizer_counters *counters);

/** Seconds this optimizer's owner has spent waiting in synchronize and step since creation; of NULL
 * 0. */
RONDE_API double
ronde_distributed_optimizer_wait_seconds(const ronde_distributed_optimizer *optimizer);

/** Waits for operations of the optimizer in flight, then frees it. NULL is fine. Blocks. */
RONDE_API void ronde_distributed_optimizer_destroy(ronde_distributed_optimizer *optimizer);

/**
 * Scales gradients so that all of them together, as one vector, are at most max_norm long: if they
 * are longer, each element is multiplied by max_norm / norm. To be called between synchronize and
 * step. Needs no other rank: the norm is computed in float64 and in a fixed order, so it has the
 * same bits wherever the gradients and the list's order are the same.
 * @param parameters         gradients of floating-point types
 * @param count              how many
 * @param max_norm           above 0, may be infinite: then only *norm is computed
 * @param error_if_nonfinite what to do if the norm is infinite or NaN. 1: INVALID_ARGUMENT, and the
 * text names the first parameter to blame; 0: nothing, see *norm. The gradients stay as they are
 * @param norm               out, may be NULL: the norm before scaling
 * Errors: INVALID_ARGUMENT, OUT_OF_MEMORY.
 */
RONDE_API int ronde_clip_by_global_norm(const ronde_parameter *parameters, size_t count,
					double max_norm, int error_if_nonfinite, double *norm);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the distributed optimizer share.
 *
 * A parameter's life between two steps, with k = backward_passes_per_step:
 *
 *   counting --(reported for the k-th time, or synchronize)--> in flight --(synchronize)--> reduced
 *      ^                                                                                       |
 *      +------------------------------------- step -------------------------------------------+
 *
 * Only synchronize and step look at more than one parameter, so that gradients can be reported by
 * several threads without a lock: one thread a parameter, and all of them before synchronize or
 * step is called. After an error everything counts from 0 again.
 *
 * What travels for a parameter, and what becomes of it, is its exchange. Parameters that travel
 * together are a bundle: one of them alone, or a group, which starts when the last of its
 * parameters is reported. So the steps above are a bundle's; and the one place where operations are
 * started is ronde_bundle_start().
 */
#ifndef RONDE_OPTIMIZER_H
#define RONDE_OPTIMIZER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "collectives/kernels/kernels.h"
#include "ronde/ronde.h"

struct ronde_exchanged;

/* How a parameter is communicated. */
struct ronde_exchange {
	/* Makes what travels of what there is on this rank, and sets p->bytes. */
	void (*prepare)(const ronde_distributed_optimizer *o, struct ronde_exchanged *p);
	/* Submits that. Does not block. NULL: it is p->wire that travels, by allreduce. */
	int (*submit)(const ronde_distributed_optimizer *o, struct ronde_exchanged *p);
	/* Waits for what submit started. NULL with submit. */
	int (*wait)(struct ronde_exchanged *p);
	/* Puts the result where it belongs. */
	int (*apply)(const ronde_distributed_optimizer *o, struct ronde_exchanged *p);
};

/* Gradients by allreduce; rows of gradients; changes of the weights by adasum. */
extern const struct ronde_exchange ronde_exchange_dense, ronde_exchange_sparse,
	ronde_exchange_delta;

/* A parameter as the optimizer sees it. */
struct ronde_exchanged {
	char *name; /* of the tensor, with the prefix */
	const struct ronde_exchange *exchange;
	void *data, *gradient;
	int64_t count;
	ronde_dtype dtype;
	void *wire; /* what travels: the gradient itself, or memory of ronde_alloc() */
	ronde_dtype wire_dtype;
	struct ronde_bundle *bundle; /* that it travels in */
	int passes;                  /* backward passes reported since the last step */
	bool present;                /* one of them had a gradient */
	uint64_t bytes;              /* what travels of this rank's */
	void *before;                /* adasum: the weights before the update */
	int64_t width;               /* sparse: elements of a row, else 0 */
	ronde_sparse_rows rows;      /* sparse: this rank's, as reported */
	ronde_sparse *sparse; /* sparse: of all ranks; NULL if made dense before it is sent */
};

/* Parameters that travel together. */
struct ronde_bundle {
	char *name; /* of the group, with the prefix; NULL: it is one parameter alone */
	uint32_t count;
	struct ronde_exchanged **members; /* [count] */
	ronde_group_tensor *tensors;      /* [count]: what travels of a group */
	_Atomic uint32_t reported;        /* members reported as often as a step needs */
	bool in_flight;                   /* between start and finish */
	ronde_handle handle;              /* of the allreduce, if it is one */
};

struct ronde_distributed_optimizer {
	ronde_step_fn step;
	void *state;
	ronde_reduction reduction;
	int passes_per_step;
	bool unreported_is_zero;
	ronde_options operation;
	const struct ronde_kernels *kernels;
	bool synchronized; /* since the last step */
	_Atomic uint64_t steps, tensors, bytes, wait_ns;
	size_t count;
	struct ronde_exchanged *parameters; /* [count] */
	size_t bundle_count;
	struct ronde_bundle *bundles; /* [bundle_count], by the first parameter */
};

/* Makes one of o's parameters what p and the options say; to be freed also after an error. */
int ronde_exchanged_init(struct ronde_exchanged *x, const ronde_parameter *p, int64_t width,
			 const ronde_distributed_optimizer_options *options);
void ronde_exchanged_free(struct ronde_exchanged *x);

/* Nobody on this rank has a gradient: the memory says so. Does nothing where there is one. */
void ronde_exchanged_settle(const ronde_distributed_optimizer *o, struct ronde_exchanged *x);

/* Makes the bundles of an optimizer whose parameters are there; to be freed, while they still are,
 * also after an error. Errors: OUT_OF_MEMORY. */
int ronde_bundles_init(ronde_distributed_optimizer *o,
		       const ronde_distributed_optimizer_options *options);
/* Waits for what is in flight. */
void ronde_bundles_free(ronde_distributed_optimizer *o);

/* The hooks around every operation of the optimizer: they count, and know what is in flight. */
int ronde_bundle_start(ronde_distributed_optimizer *o, struct ronde_bundle *b);
int ronde_bundle_finish(ronde_distributed_optimizer *o, struct ronde_bundle *b);

/* Starts what is not in flight, finishes all. Returns the first error; goes on after it. */
int ronde_exchange_all(ronde_distributed_optimizer *o);

/* The update and the adasum of what it changed. */
int ronde_adasum_step(ronde_distributed_optimizer *o);

/* Whether the optimizer has a parameter of this index; function: the public one that asks. Errors:
 * INVALID_ARGUMENT. */
int ronde_optimizer_check(const char *function, const ronde_distributed_optimizer *o, size_t index);

/* Calls the application's update. Errors: CALLBACK. */
int ronde_optimizer_update(ronde_distributed_optimizer *o);

/* Takes the rows that the application reports for a sparse parameter. Errors: INVALID_ARGUMENT. */
int ronde_exchanged_give_rows(struct ronde_exchanged *x, const ronde_sparse_rows *rows);

#endif

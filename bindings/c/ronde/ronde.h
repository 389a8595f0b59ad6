/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file ronde.h
 * The public interface of Ronde, a collective communication runtime for training loops.
 *
 * Usable from C99 and C++. Conventions that hold for every function here:
 *
 * - A function returns ::RONDE_OK or a negative ::ronde_status. After an error the calling
 *   thread's ronde_error_message() has the full text. Outputs are set on success only.
 * - Every function may be called from any thread of the process, unless it says otherwise.
 * - "Blocks" means: may wait for other ranks. A function that does not say so does not block.
 * - Counts are numbers of elements, never bytes, unless the name ends in `bytes`.
 * - Buffers belong to the caller. One that is given to an operation may not be read (outputs) or
 *   written (inputs and outputs) before the operation is complete.
 * - Collective functions are matched over the ranks by operation and name, in any order. Where a
 *   name is NULL the operations are matched by their order: the k-th unnamed allreduce of one rank
 *   meets the k-th of every other rank.
 */
#ifndef RONDE_RONDE_H
#define RONDE_RONDE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Version of this header; until 1.0 another minor version may be another ABI. */
#define RONDE_VERSION_MAJOR 0
/** Grows with additions; until 1.0 also with changes of the ABI. */
#define RONDE_VERSION_MINOR 1
/** Grows with corrections. */
#define RONDE_VERSION_PATCH 0

/** Marks what the library exports. */
#if defined(__GNUC__)
#define RONDE_API __attribute__((visibility("default")))
#else
#define RONDE_API
#endif

/** Version of the library in use, "major.minor.patch"; static storage. */
RONDE_API const char *ronde_version(void);

/* ---- status codes ------------------------------------------------------------------------- */

/** Every status: X(name, value, short text). */
#define RONDE_STATUS_MAP(X)                                                                        \
	X(OK, 0, "success")                                                                        \
	X(ERR_NOT_INITIALIZED, -1, "Ronde is not initialised")                                     \
	X(ERR_INVALID_ARGUMENT, -2, "invalid argument")                                            \
	X(ERR_UNKNOWN_HANDLE, -3, "unknown handle")                                                \
	X(ERR_DUPLICATE_NAME, -4, "a tensor of this name is still in flight")                      \
	X(ERR_MISMATCH, -5, "ranks disagree about a tensor")                                       \
	X(ERR_SHUTDOWN, -6, "Ronde has been shut down")                                            \
	X(ERR_PEER_LOST, -7, "a rank was lost")                                                    \
	X(ERR_OUT_OF_MEMORY, -8, "out of memory")                                                  \
	X(ERR_CONFIGURATION, -9, "invalid configuration")                                          \
	X(ERR_LAUNCHER, -10, "the launcher cannot be used")                                        \
	X(ERR_SYSTEM, -11, "a system call failed")                                                 \
	X(ERR_BUSY, -12, "in use by an operation in flight")                                       \
	X(ERR_VERSION, -13, "ranks run different versions of Ronde")                               \
	X(ERR_TRUNCATED, -14, "the result does not fit in the memory given for it")                \
	X(ERR_CALLBACK, -15, "a function of the application reported an error")                    \
	X(ERR_INTERNAL, -16, "internal error of Ronde")                                            \
	X(ERR_STALLED, -17, "operations waited too long for other ranks")

/** Result of every function: zero or negative. */
typedef enum ronde_status {
#define RONDE_STATUS_ENUM(name, value, text) RONDE_##name = value,
	RONDE_STATUS_MAP(RONDE_STATUS_ENUM)
#undef RONDE_STATUS_ENUM
} ronde_status;

/** "RONDE_ERR_MISMATCH" for a status; "RONDE_ERR_?" for a number that is none. Static storage. */
RONDE_API const char *ronde_status_name(int status);

/** One short sentence for a status. Static storage. */
RONDE_API const char *ronde_status_text(int status);

/**
 * Full text of the last error of the calling thread: which tensor, which ranks, what to do.
 * Never NULL; "" if there was none. Valid until the thread's next failing call.
 */
RONDE_API const char *ronde_error_message(void);

/* ---- types and reductions ----------------------------------------------------------------- */

/** Every element type: X(name, value, bytes, text). */
#define RONDE_DTYPE_MAP(X)                                                                         \
	X(UINT8, 0, 1, "uint8")                                                                    \
	X(INT8, 1, 1, "int8")                                                                      \
	X(UINT16, 2, 2, "uint16")                                                                  \
	X(INT16, 3, 2, "int16")                                                                    \
	X(UINT32, 4, 4, "uint32")                                                                  \
	X(INT32, 5, 4, "int32")                                                                    \
	X(UINT64, 6, 8, "uint64")                                                                  \
	X(INT64, 7, 8, "int64")                                                                    \
	X(FLOAT16, 8, 2, "float16")                                                                \
	X(BFLOAT16, 9, 2, "bfloat16")                                                              \
	X(FLOAT32, 10, 4, "float32")                                                               \
	X(FLOAT64, 11, 8, "float64")                                                               \
	X(BOOL, 12, 1, "bool")

/** Element types. FLOAT16 is IEEE binary16; BFLOAT16 the upper half of a float32; BOOL a byte, 0
 * or 1. */
typedef enum ronde_dtype {
#define RONDE_DTYPE_ENUM(name, value, bytes, text) RONDE_##name = value,
	RONDE_DTYPE_MAP(RONDE_DTYPE_ENUM)
#undef RONDE_DTYPE_ENUM
		RONDE_DTYPE_COUNT = 13
} ronde_dtype;

/** Every reduction: X(name, value, text). The values are Horovod's. */
#define RONDE_REDUCTION_MAP(X)                                                                     \
	X(AVERAGE, 0, "average")                                                                   \
	X(SUM, 1, "sum")                                                                           \
	X(ADASUM, 2, "adasum")                                                                     \
	X(MIN, 3, "min")                                                                           \
	X(MAX, 4, "max")                                                                           \
	X(PRODUCT, 5, "product")

/** Reductions. The meaning for each type is in docs/reference/mainpage.md ("Reductions"). */
typedef enum ronde_reduction {
#define RONDE_REDUCTION_ENUM(name, value, text) RONDE_##name = value,
	RONDE_REDUCTION_MAP(RONDE_REDUCTION_ENUM)
#undef RONDE_REDUCTION_ENUM
		RONDE_REDUCTION_COUNT = 6
} ronde_reduction;

/** Bytes of one element; 0 for a number that is no type. */
RONDE_API size_t ronde_dtype_bytes(ronde_dtype dtype);
/** "float32" for RONDE_FLOAT32; "?" for a number that is no type. Static storage. */
RONDE_API const char *ronde_dtype_name(ronde_dtype dtype);
/** "sum" for RONDE_SUM; "?" for a number that is no reduction. Static storage. */
RONDE_API const char *ronde_reduction_name(ronde_reduction reduction);

/** Most dimensions of a tensor. */
#define RONDE_MAX_DIMS 16
/** Longest name of a tensor, in bytes, without the final zero. */
#define RONDE_MAX_NAME 1023

/* ---- starting and stopping ---------------------------------------------------------------- */

/** A list of ranks, in any order. */
typedef struct ronde_ranks {
	const int *ranks; /**< count numbers of ranks */
	size_t count;     /**< of the ranks */
} ronde_ranks;

/** Options of ronde_init(). Start from RONDE_INIT_OPTIONS_INIT. */
typedef struct ronde_init_options {
	size_t size; /**< sizeof(ronde_init_options), so that the struct can grow */
	/**
	 * Settings that win over the environment: NULL, or pairs {"fusion_threshold", "1048576",
	 * ..., NULL} of configuration names (docs/configuration.md) and values.
	 */
	const char *const *settings;
	const struct ronde_ranks
		*process_sets;        /**< sets to begin with; they get numbers from 1 on */
	size_t process_set_count;     /**< structs in process_sets */
	const void *mpi_communicator; /**< NULL; ronde_init_mpi() of ronde/mpi.h sets it */
} ronde_init_options;

/** Defaults of ::ronde_init_options. */
#define RONDE_INIT_OPTIONS_INIT                                                                    \
	{                                                                                          \
		sizeof(ronde_init_options), NULL, NULL, 0, NULL                                    \
	}

/**
 * Starts the runtime: finds the other ranks (MPI launcher, RONDE_* environment, or none: a world of
 * one), maps the node's shared memory and starts the coordinator thread. Collective; blocks.
 * Does nothing when already initialised. May be called again after ronde_shutdown(). If a rank has
 * a mistake in its configuration or options no rank starts: all return its error, which names the
 * rank unless all have it; only options whose size is wrong fail by themselves, and the others wait
 * for that rank as for one that does not start.
 * @param options NULL for defaults and environment
 * Errors: CONFIGURATION, LAUNCHER, OUT_OF_MEMORY, VERSION, SYSTEM, PEER_LOST, INVALID_ARGUMENT;
 * MISMATCH (ranks gave different process sets); BUSY, as of ronde_shutdown(), if an earlier life
 * has ended but is not left.
 */
RONDE_API int ronde_init(const ronde_init_options *options);

/**
 * Ends the runtime, on all ranks: what has been agreed on completes, everything else fails with
 * RONDE_ERR_SHUTDOWN on every rank, naming the rank that shut down first. Frees all handles. Does
 * not wait for ranks that compute. RONDE_OK also when not initialised. Memory of ronde_alloc()
 * stays. Errors: INVALID_ARGUMENT (called from a function that Ronde calls); BUSY: everything has
 * ended, but a thread has stayed inside a call for 5 s, or a function of the application has not
 * returned; call it again.
 */
RONDE_API int ronde_shutdown(void);

/** 1 between a successful ronde_init() and ronde_shutdown(), else 0. */
RONDE_API int ronde_is_initialized(void);

/* World queries: a number, or RONDE_ERR_NOT_INITIALIZED. */

/** This process's number in 0 … size-1. */
RONDE_API int ronde_rank(void);
/** Number of ranks in the job. */
RONDE_API int ronde_size(void);
/** This rank's number among the ranks of its node. */
RONDE_API int ronde_local_rank(void);
/** Number of ranks on this rank's node. */
RONDE_API int ronde_local_size(void);
/** This rank's number among the ranks with the same local rank, over nodes. */
RONDE_API int ronde_cross_rank(void);
/** Number of ranks with the same local rank, over nodes. */
RONDE_API int ronde_cross_size(void);
/** 1 if all nodes have equally many ranks, else 0. */
RONDE_API int ronde_is_homogeneous(void);

/* ---- process sets ------------------------------------------------------------------------- */

/*
 * A process set is a number of ranks that take part in operations among themselves: every operation
 * has one in its options, 0 being all ranks. Members are numbered by their place among the set's
 * ranks in ascending order. A tensor is known by operation, set and name, so names of different
 * sets do not clash. Sets may overlap; their operations may be submitted in any order on each rank.
 * A rank that is stopped or late holds up the sets it is in, and no others, with one exception:
 * local rank 0 of a node orders all operations there.
 */

/**
 * Makes a process set of these ranks. Collective over *all* ranks, which give the same ranks, in
 * any order; blocks. Other operations may be in flight.
 * @param ranks numbers of ranks, in any order
 * @param count how many, at least 1
 * @param set   out: the set's number; numbers are never used again
 * Errors, all of them on all ranks: INVALID_ARGUMENT (no rank, a rank twice or out of range, a set
 * of the same ranks exists), MISMATCH (ranks gave different ones, or removed a set instead),
 * NOT_INITIALIZED, OUT_OF_MEMORY, SHUTDOWN, PEER_LOST.
 */
RONDE_API int ronde_process_set_add(const int *ranks, size_t count, int *set);

/**
 * Removes a process set. Collective over all ranks; blocks. From the call on this rank can submit
 * nothing to the set. What all of its ranks submitted before they called this completes first;
 * what only some of them did fails there with MISMATCH. Errors, on all ranks: INVALID_ARGUMENT (0,
 * or there is no such set), and as ronde_process_set_add().
 */
RONDE_API int ronde_process_set_remove(int set);

/* Questions about a set: a number, or INVALID_ARGUMENT (there is no such set) or NOT_INITIALIZED.
 */

/** Number of ranks in the set. */
RONDE_API int ronde_process_set_size(int set);
/** This rank's number among them, from 0; INVALID_ARGUMENT also if it is not one of them. */
RONDE_API int ronde_process_set_rank(int set);
/** 1 if this rank is in the set, else 0. */
RONDE_API int ronde_process_set_included(int set);

/**
 * The set's ranks, ascending.
 * @param ranks out: the first `room` of them; may be NULL if room is 0
 * @return how many there are
 */
RONDE_API int ronde_process_set_ranks(int set, int *ranks, size_t room);

/**
 * Numbers of all process sets, ascending, 0 among them.
 * @param sets out: the first `room` of them; may be NULL if room is 0
 * @return how many there are
 */
RONDE_API int ronde_process_set_ids(int *sets, size_t room);

/* ---- memory ------------------------------------------------------------------------------- */

/**
 * Allocates memory of the heap that all ranks of the node see, so that operations on it need no
 * copy. Local, not collective. Works before ronde_init() and after ronde_shutdown(). 64-byte
 * aligned, zeroed, already populated (no page faults on first touch).
 * @param bytes size; 0 gives a unique pointer that can be freed
 * @return NULL on failure; ronde_error_message() says how much was wanted and what there is
 */
RONDE_API void *ronde_alloc(size_t bytes);

/**
 * Frees memory of ronde_alloc() and gives it back to the system. NULL is fine.
 * Errors: INVALID_ARGUMENT (not a pointer of ronde_alloc()), BUSY (an operation in flight uses it).
 */
RONDE_API int ronde_free(void *memory);

/* ---- handles ------------------------------------------------------------------------------ */

/** An operation in flight. Never 0 for a real one; never reused within a process's life. */
typedef uint64_t ronde_handle;

/**
 * Sets *done to 1 if the operation is complete, else 0. Only reads state: makes no progress, takes
 * no lock. The handle stays valid. Errors: UNKNOWN_HANDLE (never given out, or already waited for).
 */
RONDE_API int ronde_test(ronde_handle handle, int *done);

/**
 * Waits for an operation, releases the handle and returns the operation's status. Blocks.
 * Errors: UNKNOWN_HANDLE, and those of the operation (MISMATCH, SHUTDOWN, PEER_LOST, …).
 */
RONDE_API int ronde_wait(ronde_handle handle);

/** Function called once when an operation is complete. See ronde_handle_on_done(). */
typedef void (*ronde_done_fn)(ronde_handle handle, int status, const char *message, void *arg);

/**
 * Asks for fn(handle, status, message, arg) once the operation is complete (at once if it already
 * is). It runs on the coordinator thread with no lock held; it may call every ronde_ function
 * except ronde_init(), ronde_shutdown(), ronde_wait() on an incomplete handle and the blocking
 * operations (they return INVALID_ARGUMENT there). The handle still has to be waited for; that does
 * not block any more, and fn itself may do it. One function a handle. Errors: UNKNOWN_HANDLE,
 * INVALID_ARGUMENT (fn NULL, or there is one already).
 */
RONDE_API int ronde_handle_on_done(ronde_handle handle, ronde_done_fn fn, void *arg);

/* ---- operations --------------------------------------------------------------------------- */

/** Options common to all operations. Start from RONDE_OPTIONS_INIT. */
typedef struct ronde_options {
	size_t size;     /**< sizeof(ronde_options) */
	int process_set; /**< 0: all ranks; see ronde_process_set_add() */
	int ndim;        /**< number of dimensions in shape; 0 with shape NULL: one dimension */
	const int64_t *shape; /**< ndim extents whose product is count; NULL: {count} */
	double prescale;      /**< allreduce, reducescatter: multiplies every input */
	double postscale;     /**< allreduce, reducescatter: multiplies the result */
	/** alltoall: 0: splits that do not take all rows are an error; else: the rest stays unsent
	 */
	int partial_splits;
} ronde_options;

/** Defaults of ::ronde_options: all ranks, one dimension, no scaling. */
#define RONDE_OPTIONS_INIT                                                                         \
	{                                                                                          \
		sizeof(ronde_options), 0, 0, NULL, 1.0, 1.0, 0                                     \
	}

/**
 * Reduces tensors elementwise over the ranks; every rank gets the result. Same bits on every rank
 * and in every run with the same world shape. Blocks.
 * @param name      at most RONDE_MAX_NAME bytes; NULL: matched by order
 * @param input     count elements; may be NULL if count is 0
 * @param output    count elements; may be the same as input, may not overlap it otherwise
 * @param count     elements, ≥ 0, the same on all ranks
 * Errors: NOT_INITIALIZED, INVALID_ARGUMENT, DUPLICATE_NAME, MISMATCH (type, shape, reduction,
 * scales), SHUTDOWN, PEER_LOST.
 */
RONDE_API int ronde_allreduce(const char *name, const void *input, void *output, int64_t count,
			      ronde_dtype dtype, ronde_reduction reduction);

/** As ronde_allreduce(), with options (NULL: defaults); returns at once and sets *handle. */
RONDE_API int ronde_allreduce_async(const char *name, const void *input, void *output,
				    int64_t count, ronde_dtype dtype, ronde_reduction reduction,
				    const ronde_options *options, ronde_handle *handle);

/**
 * Copies the root's tensor to every rank. Blocks.
 * @param input  on the root: count elements; elsewhere not used, may be NULL
 * @param output count elements; on the root it may be the same as input
 * @param root   rank (number in the whole job) whose input is taken
 * Errors: as ronde_allreduce(); MISMATCH also for different roots.
 */
RONDE_API int ronde_broadcast(const char *name, const void *input, void *output, int64_t count,
			      ronde_dtype dtype, int root);

/** As ronde_broadcast(), with options (NULL: defaults); returns at once and sets *handle. */
RONDE_API int ronde_broadcast_async(const char *name, const void *input, void *output,
				    int64_t count, ronde_dtype dtype, int root,
				    const ronde_options *options, ronde_handle *handle);

/**
 * Gives the memory for an allgather's or alltoall's result, whose size is known only once all ranks
 * have spoken. Called at most once, before the operation completes, on the coordinator thread with
 * no lock held; not any more once the runtime has ended or the process is in exit(). It may call
 * what a function of ronde_handle_on_done() may. While it runs, operations make progress only in
 * threads that wait, and allgathers and alltoalls behind it wait for it; others do not.
 * @return memory for `bytes` bytes, or NULL: the operation fails with RONDE_ERR_OUT_OF_MEMORY
 */
typedef void *(*ronde_output_fn)(size_t bytes, void *arg);

/**
 * Where an allgather or alltoall puts its result. Start from {0}. It must live until the operation
 * completes. When the operation fails, memory that alloc gave stays in data, for the caller to
 * free; memory of malloc() is freed, and data is NULL.
 */
typedef struct ronde_gathered {
	void *data;            /**< in: memory, or NULL: malloc() (or alloc); out: the result */
	size_t capacity_bytes; /**< in: bytes at data; not read if data is NULL */
	ronde_output_fn
		alloc;   /**< in: used if data is NULL; NULL: malloc(), for the caller to free() */
	void *alloc_arg; /**< in: passed to alloc */
	int64_t rows;    /**< out: first extent of the result */
	int64_t *rows_per_rank; /**< in: NULL or an array of one int64_t per member; out: rows
				   from each */
	int divisor; /**< out: what an average over the ranks is divided by: the number of
			members, or, if some have joined, what ronde_join() says */
} ronde_gathered;

/**
 * Concatenates tensors along their first dimension, in rank order; every rank gets the result.
 * The first extents may differ between ranks (0 is fine), the others must agree. Blocks.
 * @param shape ndim extents, ndim ≥ 1
 * Errors: as ronde_allreduce(); TRUNCATED (data too small; only on that rank), OUT_OF_MEMORY.
 */
RONDE_API int ronde_allgather(const char *name, const void *input, const int64_t *shape, int ndim,
			      ronde_dtype dtype, ronde_gathered *output);

/** As ronde_allgather(), with options (their shape is ignored); returns at once and sets *handle.
 */
RONDE_API int ronde_allgather_async(const char *name, const void *input, const int64_t *shape,
				    int ndim, ronde_dtype dtype, ronde_gathered *output,
				    const ronde_options *options, ronde_handle *handle);

/**
 * Sends rows of each rank's tensor to each: the first splits[0] to the set's first member, the next
 * splits[1] to the second, … Every rank gets, in rank order, what all have for it; output's
 * rows_per_rank are the received splits. First extents and splits may differ between ranks (0 is
 * fine), the other extents must agree. Blocks.
 * @param name    at most RONDE_MAX_NAME bytes; NULL: matched by order
 * @param input   all rows: as many elements as shape says; may be NULL if that is 0
 * @param shape   ndim extents, ndim ≥ 1; the first is the number of rows
 * @param ndim    1 to RONDE_MAX_DIMS
 * @param dtype   any type
 * @param splits  rows for each member, ≥ 0, in all as many as there are (or see
 * ronde_options.partial_splits); read before the function returns. NULL: as many for each, the
 * number of rows being divisible by that of members
 * @param nsplits number of splits: that of the set's members; 0 with splits NULL
 * @param output  the result; data that is given may not overlap the input
 * Errors: as ronde_allgather(); INVALID_ARGUMENT also for splits that do not fit.
 */
RONDE_API int ronde_alltoall(const char *name, const void *input, const int64_t *shape, int ndim,
			     ronde_dtype dtype, const int64_t *splits, int nsplits,
			     ronde_gathered *output);

/** As ronde_alltoall(), with options (NULL: defaults; their shape and scales are ignored); returns
 * at once and sets *handle. */
RONDE_API int ronde_alltoall_async(const char *name, const void *input, const int64_t *shape,
				   int ndim, ronde_dtype dtype, const int64_t *splits, int nsplits,
				   ronde_gathered *output, const ronde_options *options,
				   ronde_handle *handle);

/**
 * The rows that member `member` of `members` gets of a reducescatter of `rows` rows: *count of them
 * from row *first on. They are shared out in order; the first rows mod members get one more. Needs
 * no ronde_init(). Errors: INVALID_ARGUMENT (a negative number, no such member, a NULL pointer).
 */
RONDE_API int ronde_reducescatter_rows(int64_t rows, int members, int member, int64_t *first,
				       int64_t *count);

/**
 * Reduces tensors elementwise over the ranks; each rank gets its share of the result's rows, see
 * ronde_reducescatter_rows(): the same bits as in the result of a ronde_allreduce(). There may be
 * fewer rows than ranks; the last ones then get none. Blocks.
 * @param name      at most RONDE_MAX_NAME bytes; NULL: matched by order
 * @param input     all rows: as many elements as shape says; may be NULL if that is 0
 * @param output    this rank's rows; may be NULL if there are none. It may be the place in input
 * where these rows are (which costs nothing), or input itself (for tensors in memory of
 * ronde_alloc() that is slower); nothing else of the input is written. It may not overlap the input
 * otherwise.
 * @param shape     ndim extents, ndim ≥ 1, the same on all ranks; the first is the number of rows
 * @param ndim      1 to RONDE_MAX_DIMS
 * @param dtype     any type
 * @param reduction any but RONDE_ADASUM; an average divides by the number of members
 * Errors: NOT_INITIALIZED, INVALID_ARGUMENT, DUPLICATE_NAME, MISMATCH (type, shape, reduction,
 * scales), SHUTDOWN, PEER_LOST.
 */
RONDE_API int ronde_reducescatter(const char *name, const void *input, void *output,
				  const int64_t *shape, int ndim, ronde_dtype dtype,
				  ronde_reduction reduction);

/** As ronde_reducescatter(), with options (NULL: defaults; their shape is ignored); returns at once
 * and sets *handle. */
RONDE_API int ronde_reducescatter_async(const char *name, const void *input, void *output,
					const int64_t *shape, int ndim, ronde_dtype dtype,
					ronde_reduction reduction, const ronde_options *options,
					ronde_handle *handle);

/**
 * One tensor of a group. Start from {0}. The struct and its shape are read before the function
 * returns; input, output and what gathered points to belong to the operation until it is complete.
 */
typedef struct ronde_group_tensor {
	const void *input;               /**< as of the operation on a single tensor */
	void *output;                    /**< allreduce, reducescatter: likewise */
	struct ronde_gathered *gathered; /**< allgather: where its result goes */
	const int64_t *shape; /**< ndim extents; allreduce: their product is count, NULL: {count} */
	int ndim;             /**< number of dimensions in shape; 0 with shape NULL */
	int64_t count;        /**< allreduce: elements; else it is not read */
	ronde_dtype dtype;    /**< any; tensors of a group may have different types */
} ronde_group_tensor;

/**
 * Reduces a group of tensors, each as by ronde_allreduce() and with the same result. The group is
 * atomic: on no rank does one of its tensors start before all of them are submitted on all ranks;
 * others do not wait for that. A tensor that is wrong or in flight leaves the whole group
 * unsubmitted; one that ranks disagree about fails all tensors of the group on all ranks, with the
 * text about that one. Blocks.
 * @param name      the group's; tensor i of n, from 1, is called NAME_iofn. So it is at most
 * RONDE_MAX_NAME bytes with that behind it. NULL: groups are matched by order, as one operation
 * each, whatever the number of tensors
 * @param tensors   count structs; where one is written no other may be read or written
 * @param count     tensors, at least 1 and at most 1048575, the same on all ranks
 * @param reduction of all of them
 * Errors: as ronde_allreduce(); the first one of the group. MISMATCH also if ranks give different
 * numbers of tensors. If one rank submits a group and another a single tensor instead: unnamed, the
 * group fails; of a group with a name, the tensors fail that are called as those of the other rank.
 */
RONDE_API int ronde_grouped_allreduce(const char *name, const ronde_group_tensor *tensors,
				      size_t count, ronde_reduction reduction);

/** As ronde_grouped_allreduce(), with options (NULL: defaults; their shape is ignored); returns at
 * once and sets *handle, the one of the whole group. */
RONDE_API int ronde_grouped_allreduce_async(const char *name, const ronde_group_tensor *tensors,
					    size_t count, ronde_reduction reduction,
					    const ronde_options *options, ronde_handle *handle);

/**
 * Concatenates the tensors of a group, each as by ronde_allgather(). Atomic, named and matched as
 * ronde_grouped_allreduce(). Blocks.
 * @param name    the group's, or NULL
 * @param tensors count structs, with shape and gathered
 * @param count   tensors, the same on all ranks
 * Errors: as ronde_allgather(), and as ronde_grouped_allreduce(). One that is found when the sizes
 * are known (TRUNCATED) fails its own tensor, and the group's status; the others have their
 * results.
 */
RONDE_API int ronde_grouped_allgather(const char *name, const ronde_group_tensor *tensors,
				      size_t count);

/** As ronde_grouped_allgather(), with options (NULL: defaults; their shape and scales are ignored);
 * returns at once and sets *handle. */
RONDE_API int ronde_grouped_allgather_async(const char *name, const ronde_group_tensor *tensors,
					    size_t count, const ronde_options *options,
					    ronde_handle *handle);

/**
 * Reduces the tensors of a group and shares out their rows, each as by ronde_reducescatter().
 * Atomic, named and matched as ronde_grouped_allreduce(). Blocks.
 * @param name      the group's, or NULL
 * @param tensors   count structs, with shape
 * @param count     tensors, the same on all ranks
 * @param reduction of all of them; any but RONDE_ADASUM
 * Errors: as ronde_reducescatter(), and as ronde_grouped_allreduce().
 */
RONDE_API int ronde_grouped_reducescatter(const char *name, const ronde_group_tensor *tensors,
					  size_t count, ronde_reduction reduction);

/** As ronde_grouped_reducescatter(), with options (NULL: defaults; their shape is ignored); returns
 * at once and sets *handle. */
RONDE_API int ronde_grouped_reducescatter_async(const char *name, const ronde_group_tensor *tensors,
						size_t count, ronde_reduction reduction,
						const ronde_options *options, ronde_handle *handle);

/** Returns when every rank has called it. Blocks. Errors: as ronde_allreduce(). */
RONDE_API int ronde_barrier(void);

/** As ronde_barrier(), with options (NULL: defaults); returns at once and sets *handle. */
RONDE_API int ronde_barrier_async(const ronde_options *options, ronde_handle *handle);

/**
 * Says that this rank has no more data, and waits until all ranks have said so. Until then what the
 * others do completes without the ranks that have joined, in every process set:
 * - allreduce: the sum, minimum, maximum, product or adasum of the others. An average is still
 *   divided by all ranks of the set, as if those that have joined gave zeros; setting
 *   "join_divisor" (RONDE_JOIN_DIVISOR) "active": by those that took part.
 * - reducescatter: the same. Rows are still shared out among all ranks of the set; the share of a
 *   rank that has joined goes to nobody.
 * - allgather: 0 rows of a rank that has joined; an average of what is gathered is divided as that
 *   of an allreduce, which ronde_gathered.divisor tells. barrier: passes.
 * - alltoall: 0 rows from and to a rank that has joined. There is still a split for it, which must
 *   be 0: else the alltoall fails with MISMATCH on all who take part, and the text names the ranks.
 *   So one without splits fails unless it has no rows.
 * - broadcast: from a root that has not joined; else MISMATCH.
 * What this rank submitted before it joined completes with it. It can submit nothing until this
 * returns, and process sets cannot change meanwhile. Afterwards everything is as before; ranks may
 * join again. Collective over all ranks; blocks.
 * @param last_rank out: the last rank to join, the same on all ranks; may be NULL
 * Errors: NOT_INITIALIZED, INVALID_ARGUMENT (another thread has joined), SHUTDOWN, PEER_LOST,
 * OUT_OF_MEMORY.
 */
RONDE_API int ronde_join(int *last_rank);

/* ---- looking inside ----------------------------------------------------------------------- */

/** What this rank's runtime has done since ronde_init(). Grows at its end. */
typedef struct ronde_counters {
	size_t size;                /**< in: sizeof(ronde_counters) */
	uint64_t submitted;         /**< operations submitted by this rank */
	uint64_t completed;         /**< of them: completed, with or without error */
	uint64_t descriptions_sent; /**< announcements in full */
	uint64_t ready_sent;        /**< announcements by slot */
	uint64_t entries;           /**< schedule entries executed (with data or a barrier) */
	uint64_t entries_carried;   /**< of them: results that travelled in the entry */
	uint64_t entries_zero_copy; /**< of them: straight from heap to heap */
	uint64_t entries_staged;    /**< of them: through the arena */
	uint64_t tensors;           /**< tensors in those entries */
	uint64_t bytes;             /**< bytes of those tensors, on this rank */
	uint64_t evictions;         /**< slots evicted from the response cache */
	uint64_t errors;            /**< tensors that failed */
	uint64_t turns;             /**< turns of the engine */
	uint64_t sleeps;            /**< times a thread slept for lack of work */
} ronde_counters;

/** Fills counters up to its size. Errors: NOT_INITIALIZED, INVALID_ARGUMENT. */
RONDE_API int ronde_get_counters(ronde_counters *counters);

/** Longest text of ronde_stall_report(), in bytes, with the final zero. */
#define RONDE_STALL_REPORT_MAX 4096

/**
 * The last stall report of this node: what waited longer than the setting stall_check_time_seconds,
 * for which ranks, and what these did instead; "" if there was none. The same text goes to the log
 * of the rank that made it (a warning). After a stall has ended the runtime it is the reason.
 * @param text  bytes bytes of the caller; a longer report is cut and ends in "…"
 * @param bytes at least 1; RONDE_STALL_REPORT_MAX is always enough
 * Errors: NOT_INITIALIZED, INVALID_ARGUMENT.
 */
RONDE_API int ronde_stall_report(char *text, size_t bytes);

/** Options of ronde_timeline_start(). Start from RONDE_TIMELINE_OPTIONS_INIT. */
typedef struct ronde_timeline_options {
	size_t size;     /**< sizeof(ronde_timeline_options) */
	int all_ranks;   /**< 0: only rank 0 records; else every rank that calls, to its own file */
	int mark_cycles; /**< not 0: a mark for each time that the engine takes entries */
} ronde_timeline_options;

/** Defaults of ::ronde_timeline_options: rank 0, no marks. */
#define RONDE_TIMELINE_OPTIONS_INIT                                                                \
	{                                                                                          \
		sizeof(ronde_timeline_options), 0, 0                                               \
	}

/**
 * Starts to record what happens to each tensor on this rank, as events of Chrome's trace format
 * (docs/timeline.md). Not collective: a rank records from its own call on. On a rank that is not to
 * record it does nothing. The file is written by a thread of its own; what cannot be written is
 * dropped and counted, and never holds up an operation. Operations that are in progress are not
 * recorded. RONDE_TIMELINE starts a recording in ronde_init() already.
 * @param path    the file, overwritten; %r stands for the rank, %h for the host, %% for a percent
 * sign. With all_ranks and no %r, ".RANK" is put before the extension
 * @param options NULL: rank 0, no marks
 * Errors: NOT_INITIALIZED, INVALID_ARGUMENT, BUSY (one is being recorded already), SYSTEM (the file
 * cannot be opened or written), OUT_OF_MEMORY.
 */
RONDE_API int ronde_timeline_start(const char *path, const ronde_timeline_options *options);

/**
 * Ends the recording of this rank and closes its file; when it returns the file is complete. Waits
 * for the disk, at most some seconds, and for no rank. RONDE_OK also when nothing is recorded.
 * ronde_shutdown() and the end of the process do the same. Errors: NOT_INITIALIZED.
 */
RONDE_API int ronde_timeline_stop(void);

/** Severity of a log line; RONDE_LOG=error|warn|info|debug|trace chooses the least one shown. */
typedef enum ronde_log_level {
	RONDE_LOG_ERROR = 0,
	RONDE_LOG_WARN = 1,
	RONDE_LOG_INFO = 2,
	RONDE_LOG_DEBUG = 3,
	RONDE_LOG_TRACE = 4
} ronde_log_level;

/**
 * Gets log lines instead of stderr: message without time, host, rank and newline. One call at a
 * time, in order, with no lock held: on the coordinator thread, some time after the line was
 * logged; before that thread runs and after its end on the thread in ronde_init(),
 * ronde_shutdown() or ronde_set_log_function(). It may call what a function of
 * ronde_handle_on_done() may. If it falls 1,000 lines behind, lines are dropped, and a line in
 * their place says how many. Lines that wait when the process ends without ronde_shutdown() are
 * lost.
 */
typedef void (*ronde_log_fn)(ronde_log_level level, const char *message, void *arg);

/**
 * Sends this process's log lines to fn (NULL: back to stderr or file). May be called before
 * ronde_init(). Lines logged before go to the old function, which is not called any more once this
 * has returned: it waits for a call that is under way. fn itself may call it; it then does not
 * wait.
 */
RONDE_API int ronde_set_log_function(ronde_log_fn fn, void *arg);

#ifdef __cplusplus
}
#endif

#include "ronde/training.h"

#endif

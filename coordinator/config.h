/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration: one table gives the struct, its parsing, the help and the reference page.
 *
 * An entry's value comes from, first found wins: the settings of ronde_init(), the variable
 * RONDE_<NAME>, Horovod's variable where it means the same, the default. What concerns the whole
 * job is then taken from rank 0, as a block of bytes that travels at init. Nothing else in the
 * runtime reads the environment (bootstrap has RONDE_RANK and its like, before there is a
 * configuration).
 */
#ifndef RONDE_CONFIG_H
#define RONDE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "collectives/bootstrap.h"
#include "coordinator/log.h"

/* Longest text value, with the final zero. */
#define RONDE_CONFIG_TEXT_BYTES 512
/* Room for an entry's variable, for what is allowed, and for where a value came from. */
#define RONDE_CONFIG_VARIABLE_BYTES 48
#define RONDE_CONFIG_ALLOWED_BYTES 160
#define RONDE_CONFIG_ORIGIN_BYTES 96
/* Room for a variable's name without "RONDE_"; the rest of a longer one does not matter. */
#define RONDE_CONFIG_NAME_BYTES 64
/* Room for a rank's reason not to start. */
#define RONDE_CONFIG_WHY_BYTES 1024

/*
 * Every entry: X(name, type, scope, Horovod's variable or NULL, default, allowed, help).
 * Types: INT, SIZE (bytes, with K, M or G), DOUBLE, BOOL, CHOICE (one of a list; the field is its
 * position), TEXT. Scopes: JOB (rank 0's value holds everywhere) or RANK.
 * Allowed: RANGE(min, max), POWER_OF_TWO(min, max), ONE_OF("a|b|c"), ONE_OF_AS("a|b|c", "other
 * word|its a, b or c|..."), NUMBERS(min, max) (a TEXT: whole ones, commas between), ANY. Bounds are
 * at most 2^53.
 */
#define RONDE_CONFIG_MAP(X)                                                                        \
	X(log, CHOICE, RANK, "HOROVOD_LOG_LEVEL", "warn",                                          \
	  ONE_OF_AS("error|warn|info|debug|trace", "fatal|error|warning|warn"),                    \
	  "Least severe log lines that are shown.")                                                \
	X(log_file, TEXT, RANK, NULL, "", ANY,                                                     \
	  "File that log lines are appended to; empty: stderr. %r stands for the rank, %h for "    \
	  "the "                                                                                   \
	  "host, %% for a percent sign.")                                                          \
	X(fusion_threshold, SIZE, JOB, "HOROVOD_FUSION_THRESHOLD", "128M", RANGE(0, 1ull << 40),   \
	  "Most bytes of small tensors executed as one operation. 0: every tensor for itself. "    \
	  "Results do not depend on it.")                                                          \
	X(disable_group_fusion, BOOL, JOB, "HOROVOD_DISABLE_GROUP_FUSION", "no", ANY,              \
	  "Whether tensors of a group are executed apart from all others. Results do not depend "  \
	  "on it.")                                                                                \
	X(cache_capacity, INT, JOB, "HOROVOD_CACHE_CAPACITY", "1024", RANGE(0, 1 << 20),           \
	  "Tensors whose description is remembered, so that the next time a short record "         \
	  "announces them. 0: none.")                                                              \
	X(batch_delay_us, INT, JOB, NULL, "0", RANGE(0, 10000000),                                 \
	  "Microseconds that a ready tensor is held back so that more can join it. At 0 tensors "  \
	  "are still fused while the engine is busy.")                                             \
	X(carry_bytes, SIZE, JOB, NULL, "16K", RANGE(0, 1 << 24),                                  \
	  "A tensor whose bytes times the ranks of the job are at most this travels inside its "   \
	  "announcement. At most a quarter of ring_bytes. 0: none does.")                          \
	X(chunk_bytes, SIZE, JOB, NULL, "0", RANGE(0, 1 << 30),                                    \
	  "Bytes copied at a time through the node's shared memory. At most staging_bytes. 0: "    \
	  "chosen by size and ranks.")                                                             \
	X(staging_bytes, SIZE, JOB, NULL, "4M", RANGE(64 << 10, 1 << 30),                          \
	  "Shared memory of one lane, through which tensors of ordinary memory travel.")           \
	X(lanes, INT, JOB, NULL, "8", RANGE(1, 64),                                                \
	  "Operations of a node that can be in flight at once. Each has staging_bytes. A stopped " \
	  "rank holds up other sets than its own only if there are more than half as many sets.")  \
	X(ring_bytes, SIZE, JOB, NULL, "256K", POWER_OF_TWO(16 << 10, 1 << 28),                    \
	  "Shared memory of each of a rank's two message rings.")                                  \
	X(heap_reserve_bytes, SIZE, RANK, NULL, "64G", RANGE(1 << 20, 16.0 * (1ull << 40)),        \
	  "Address space reserved for ronde_alloc(), on every rank of the node for every rank of " \
	  "it. Memory is used only for what is allocated. Read once a process, by the "            \
	  "first of ronde_init() and ronde_alloc(); the latter knows the environment only.")       \
	X(isa, TEXT, RANK, NULL, "", ONE_OF("c|avx2|avx512|neon"),                                 \
	  "Best instruction set the reductions may use; empty: the best this processor has. "      \
	  "Results are the same bits with all of them.")                                           \
	X(init_timeout_seconds, DOUBLE, RANK, NULL, "60", RANGE(0.1, 86400),                       \
	  "Seconds that ronde_init() waits for the other ranks.")                                  \
	X(spin, INT, RANK, NULL, "-1", RANGE(-1, 1000000),                                         \
	  "Times a waiting thread looks again before it yields its core. -1: chosen by cores "     \
	  "and ranks.")                                                                            \
	X(thread_affinity, TEXT, RANK, "HOROVOD_THREAD_AFFINITY", "", NUMBERS(0, 1023),            \
	  "Processors that the coordinator threads are bound to: one number for each local rank, " \
	  "separated by commas. Empty: where their process may, on the NUMA domain of their rank " \
	  "if it is on one.")                                                                      \
	X(topology, TEXT, RANK, NULL, "", ANY,                                                     \
	  "The machine that the ranks of a node take theirs to be: as hwloc describes one "        \
	  "(pack:2 "                                                                               \
	  "numa:4 core:8 pu:1), or a file of lstopo's that ends in .xml; empty: the one they run " \
	  "on. Local rank 0's holds for its node. For tests: nothing is really bound to it.")      \
	X(placement, TEXT, RANK, NULL, "", ANY,                                                    \
	  "Where the ranks of a node take themselves to be: cores, each on the core of its local " \
	  "rank, or for each of them a processor or a range of them, such as 0-3,4-7; empty: "     \
	  "where they may run, and on a machine that is only described cores. Local rank 0's "     \
	  "holds for its node.")                                                                   \
	X(zero_copy, BOOL, JOB, NULL, "yes", ANY,                                                  \
	  "Whether operations on memory of ronde_alloc() work straight on it. no: they copy, as "  \
	  "for ordinary memory.")                                                                  \
	X(wire_16bit, BOOL, JOB, NULL, "no", ANY,                                                  \
	  "Whether sums of 16-bit floats cross from node to node as 16 bits: half the bytes, and " \
	  "one rounding more for each node. no: as float32. What rides does not cross.")           \
	X(streaming_stores, CHOICE, RANK, NULL, "auto", ONE_OF("auto|always|never"),               \
	  "Whether tensors of ordinary memory are copied into shared memory past the caches, and " \
	  "large results of the heap written past them. "                                          \
	  "auto: while that is measured to be faster, as it is between cores that share no "       \
	  "cache. Results do not depend on it.")                                                   \
	X(timeline, TEXT, RANK, "HOROVOD_TIMELINE", "", ANY,                                       \
	  "File that a timeline of all operations is written to, see docs/timeline.md; empty or "  \
	  "DYNAMIC: none before ronde_timeline_start(). %r stands for the rank, %h for the host, " \
	  "%% for a percent sign.")                                                                \
	X(timeline_ranks, CHOICE, RANK, NULL, "0", ONE_OF("0|all"),                                \
	  "Which ranks write a timeline: rank 0, or all, each to a file of its own.")              \
	X(timeline_mark_cycles, BOOL, RANK, "HOROVOD_TIMELINE_MARK_CYCLES", "no", ANY,             \
	  "Whether the timeline has a mark for each time that the engine takes entries.")          \
	X(timeline_buffer_bytes, SIZE, RANK, NULL, "4M", POWER_OF_TWO(256 << 10, 1 << 30),         \
	  "Memory for what waits to be written to the timeline; what does not fit is dropped.")    \
	X(join_divisor, CHOICE, JOB, NULL, "all", ONE_OF("all|active"),                            \
	  "What an average is divided by while ranks have joined: all ranks of the process set, "  \
	  "or those that took part.")                                                              \
	X(stall_check_disable, BOOL, JOB, "HOROVOD_STALL_CHECK_DISABLE", "no", ANY,                \
	  "Whether nobody looks for operations that wait too long.")                               \
	X(stall_check_time_seconds, DOUBLE, JOB, "HOROVOD_STALL_CHECK_TIME_SECONDS", "60",         \
	  RANGE(0.1, 1e6),                                                                         \
	  "Seconds after which an operation that waits for other ranks is reported, and again "    \
	  "each time so many have passed.")                                                        \
	X(stall_shutdown_time_seconds, DOUBLE, JOB, "HOROVOD_STALL_SHUTDOWN_TIME_SECONDS", "0",    \
	  RANGE(0, 1e6),                                                                           \
	  "Seconds after which an operation that waits for other ranks ends the runtime, on all "  \
	  "ranks. 0: never.")                                                                      \
	X(test_no_memfd, BOOL, RANK, NULL, "no", ANY,                                              \
	  "For tests: share memory as on kernels without memfd_create().")                         \
	X(test_no_pidfd, BOOL, JOB, NULL, "no", ANY,                                               \
	  "For tests: notice the death of ranks as on kernels without pidfd_open().")

enum ronde_config_type {
	RONDE_CONFIG_INT,
	RONDE_CONFIG_SIZE,
	RONDE_CONFIG_DOUBLE,
	RONDE_CONFIG_BOOL,
	RONDE_CONFIG_CHOICE,
	RONDE_CONFIG_TEXT
};

enum ronde_config_scope { RONDE_CONFIG_JOB, RONDE_CONFIG_RANK };

/* Where a value came from. */
enum ronde_config_origin {
	RONDE_CONFIG_FROM_DEFAULT,
	RONDE_CONFIG_FROM_VARIABLE, /* RONDE_X */
	RONDE_CONFIG_FROM_HOROVOD,  /* HOROVOD_X */
	RONDE_CONFIG_FROM_SETTINGS, /* ronde_init() */
	RONDE_CONFIG_FROM_RANK0,    /* this rank had nothing to say */
	RONDE_CONFIG_RANK0_WINS     /* this rank had been given another value */
};

enum ronde_config_index {
#define RONDE_CONFIG_INDEX(name, ...) RONDE_CONFIG_##name,
	RONDE_CONFIG_MAP(RONDE_CONFIG_INDEX)
#undef RONDE_CONFIG_INDEX
		RONDE_CONFIG_COUNT
};

#define RONDE_CONFIG_FIELD_INT(name) int64_t name;
#define RONDE_CONFIG_FIELD_SIZE(name) int64_t name;
#define RONDE_CONFIG_FIELD_DOUBLE(name) double name;
#define RONDE_CONFIG_FIELD_BOOL(name) bool name;
#define RONDE_CONFIG_FIELD_CHOICE(name) int name;
#define RONDE_CONFIG_FIELD_TEXT(name) char name[RONDE_CONFIG_TEXT_BYTES];

struct ronde_config {
#define RONDE_CONFIG_FIELD(name, type, ...) RONDE_CONFIG_FIELD_##type(name)
	RONDE_CONFIG_MAP(RONDE_CONFIG_FIELD)
#undef RONDE_CONFIG_FIELD
	unsigned char origin[RONDE_CONFIG_COUNT]; /* enum ronde_config_origin */
};

/* One row of the table, for those who walk it. */
struct ronde_config_entry {
	const char *name;    /* "fusion_threshold" */
	const char *horovod; /* NULL: Horovod has none of the same meaning */
	enum ronde_config_type type;
	enum ronde_config_scope scope;
	const char *initial; /* the default, as a user would write it */
	double min, max;     /* INT, SIZE, DOUBLE */
	bool power_of_two;
	bool numbers;        /* of a TEXT: it is a list of numbers from min to max, or empty */
	const char *choices; /* "a|b|c" or NULL; a TEXT may be empty as well */
	const char
		*aliases; /* of a CHOICE, or NULL: "x|a|y|b" if x is another word for a, y for b */
	const char *help;
	size_t offset; /* of the field in struct ronde_config */
};

/* [RONDE_CONFIG_COUNT], in the table's order. */
extern const struct ronde_config_entry ronde_config_entries[];

/*
 * Fills the configuration from the settings (NULL, or pairs name, value, ..., NULL), the
 * environment and the defaults. Errors: CONFIGURATION; the configuration is then not usable.
 */
int ronde_config_load(struct ronde_config *config, const char *const *settings);
/* The same for one entry, for ronde-info: it shows the others all the same. After an error the
 * entry has its default. */
int ronde_config_load_entry(struct ronde_config *config, int index, const char *const *settings);
/* What can be had from the environment, with the default for what is not allowed: a rank with a
 * mistake in its configuration meets the others by it, to tell them. */
void ronde_config_salvage(struct ronde_config *config);

/*
 * The ranks' configurations meet (config_share.c). Collective; blocks. Rank 0's values hold for the
 * job. status and why: RONDE_OK, or why this rank cannot start; then no rank does, and this returns
 * the same status and text on all of them. log (NULL: none) is told, for the job, about variables
 * that look like a mistyped entry, on whichever rank, and about values that rank 0's have
 * overruled. Errors: those of the exchange, of ronde_config_decode(), and whatever ranks say.
 */
int ronde_config_share(struct ronde_bootstrap *bootstrap, struct ronde_config *config, int status,
		       const char *why, struct ronde_log *log);

/* Tells the log, at debug, every value that is not the default. */
void ronde_config_report(const struct ronde_config *config, struct ronde_log *log);
/* Finds variables that nothing reads and that look like a mistyped entry: their names without
 * "RONDE_", at most `room`. Returns how many. */
int ronde_config_mistyped(char (*names)[RONDE_CONFIG_NAME_BYTES], int room);

/* ---- the block that travels from rank 0 ---- */

#define RONDE_CONFIG_BLOCK_BYTES 1024

/* Fills block[RONDE_CONFIG_BLOCK_BYTES]: the same bytes for the same configuration. */
void ronde_config_encode(const struct ronde_config *config, unsigned char *block);
/*
 * Takes the job's values from rank 0's block. Errors: VERSION (made by another version of Ronde),
 * CONFIGURATION (a value that is not allowed); nothing is changed then.
 */
int ronde_config_decode(struct ronde_config *config, const unsigned char *block);

/* ---- values and texts ---- */

/* Parses a value into the entry's field. given_as: "RONDE_LANES" or 'setting "lanes"', for the
 * error text. */
int ronde_config_parse(const struct ronde_config_entry *entry, struct ronde_config *config,
		       const char *value, const char *given_as);
/* Whether the entry's field holds an allowed value. */
bool ronde_config_valid(const struct ronde_config_entry *entry, const struct ronde_config *config);
/* The field's value as a user would write it. Returns text[RONDE_CONFIG_TEXT_BYTES]. */
const char *ronde_config_format(const struct ronde_config_entry *entry,
				const struct ronde_config *config, char *text);
/* What is allowed, to follow "allowed is": "a number from 1 to 64". Returns
 * text[RONDE_CONFIG_ALLOWED_BYTES]. */
const char *ronde_config_allowed(const struct ronde_config_entry *entry, char *text);
/* The entry's environment variable, "RONDE_LANES". Returns text[RONDE_CONFIG_VARIABLE_BYTES]. */
const char *ronde_config_variable(const struct ronde_config_entry *entry, char *text);
/* "RONDE_LANES", "default", "ronde_init()", …. Returns text[RONDE_CONFIG_ORIGIN_BYTES]. */
const char *ronde_config_origin(const struct ronde_config_entry *entry,
				const struct ronde_config *config, char *text);
/* The entry a mistyped name was probably meant to be, or NULL; lower case, without "RONDE_". */
const struct ronde_config_entry *ronde_config_nearest(const char *name);

/* One line per entry with its value and origin, for ronde-info. */
void ronde_config_print(const struct ronde_config *config, FILE *file);
/* All entries with what is allowed, default and help, for --help. */
void ronde_config_help(FILE *file);

#endif

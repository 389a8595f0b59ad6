/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arena: the memory that the ranks of one node share, besides the heap. Made by the node's
 * leader (local rank 0), mapped by all. No lock lives in it: every word has one writer, or is an
 * atomic read-modify-write, and every wait is a poll of a counter that only grows.
 *
 *   header | rank blocks | boards | announce rings | log rings | lane cells | staging
 */
#ifndef RONDE_ARENA_H
#define RONDE_ARENA_H

#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "collectives/topology.h"

#define RONDE_CACHE_LINE 64
#define RONDE_ARENA_MAGIC 0x31616e657261646eULL
#define RONDE_ARENA_VERSION 6
#define RONDE_CELL_BYTES 64

/* What a node's arena is made of. The same on all its ranks. */
struct ronde_arena_shape {
	uint32_t local_size;
	uint32_t ring_cells; /* cells of each ring; a power of two */
	uint32_t lanes;      /* operations of the node that can be in flight at once */
	/* Rings begin at multiples of it, so that each can be on its rank's NUMA domain: the size
	 * of a page where there are several, else 0. Set by ronde_node_open(). */
	uint32_t page;
	uint64_t staging_bytes; /* of one lane, all ranks together */
};

struct ronde_arena_header {
	uint64_t magic;
	uint32_t version;
	uint32_t pad;
	uint64_t bytes;
	uint64_t run; /* a random number: no other run of the runtime has it */
	struct ronde_arena_shape shape;
	/* First rank known to be gone: 0, or its global rank + 1, by compare-and-swap, so that all
	 * blame the same. */
	alignas(RONDE_CACHE_LINE) _Atomic uint32_t lost;
	/* The rank that shut the runtime down, + 1: for ranks whose log ring the entry did not fit
	 * into. */
	_Atomic uint32_t closed;
	/* The leader wants to hear when ranks became ready: it records a timeline. */
	_Atomic uint32_t timed;
	/* Inquiries of the leader so far: each rank answers the last one on its board. */
	_Atomic uint64_t inquiry;
	/* Why the runtime ends stands in the text of this board: local rank + 1, or 0, likewise by
	 * compare-and-swap. */
	_Atomic uint32_t stalled;
	/* Nanoseconds of the monotonic clock: the leader last looked for stalls; somebody last told
	 * of one. */
	alignas(RONDE_CACHE_LINE) _Atomic uint64_t leader_looked;
	_Atomic uint64_t told_at;
	/* Whose board has the last report: local rank + 1, or 0. */
	_Atomic uint32_t reporter;
	/* By the leader, where there are other nodes, once: why a rank was lost; 0, or the rank +
	 * 1, when that can be read. */
	_Atomic uint32_t explained;
	char why[256];
};

/* How far a rank's life has got, as it says itself. A killed rank says nothing more. */
enum ronde_life {
	RONDE_LIFE_STARTING = 0,
	RONDE_LIFE_RUNNING,
	RONDE_LIFE_EXITING, /* in exit() without a shutdown; its threads may still be at work */
	/* From here on it touches nobody's memory any more. */
	RONDE_LIFE_DOWN,       /* reached the shutdown's entry */
	RONDE_LIFE_ABORTED,    /* gave up, most often after a loss */
	RONDE_LIFE_UNANSWERED, /* gave up because its shutdown was not answered */
	RONDE_LIFE_EXITED      /* gave up after EXITING */
};

/* One per rank. The first line is how to wake it, the second how it is, then where; that is written
 * by the leader, before the node is open. */
struct ronde_rank_block {
	alignas(RONDE_CACHE_LINE) _Atomic uint32_t bell; /* futex word; counts rings */
	_Atomic uint32_t parked; /* ronde_parked: nobody of this rank polls */
	alignas(RONDE_CACHE_LINE) _Atomic uint32_t life; /* enum ronde_life */
	uint32_t pid;                                    /* as the rank sees itself */
	struct ronde_place place;
	cpu_set_t domain; /* processors of the NUMA domain it is on; none: of several, or unknown */
};

/* Which events a rank wants to be woken for. Control events (shutdown, loss) wake it always. */
enum ronde_parked {
	RONDE_AWAKE = 0, /* somebody polls, or nothing can happen that concerns this rank */
	RONDE_PARKED_OTHERS =
		1, /* leader, nothing of its own in flight: what sets without it need */
	RONDE_PARKED_ENTRY = 2, /* and entries of the log and progress of operations */
	RONDE_PARKED_ALL = 3    /* and all announcements (leader) */
};

/*
 * One per (lane, rank): how far this rank is with the lane's operation. Counters never go back,
 * also not from one operation to the next: an operation counts from its plan's `base`.
 */
struct ronde_lane_cell {
	alignas(RONDE_CACHE_LINE) _Atomic uint64_t packed; /* steps whose data peers may read */
	_Atomic uint64_t reduced;                          /* steps whose result peers may read */
	_Atomic uint64_t unpacked; /* steps whose staging peers may write again */
	_Atomic uint64_t left;     /* > base: the rank is done with the operation */
	_Atomic uint64_t partial;  /* likewise, where packages add up what is theirs first … */
	_Atomic uint64_t fetched;  /* … and fetch what is not */
};

/* An operation that a rank waits for, as it says itself when it is asked. */
struct ronde_board_wait {
	uint64_t key;    /* a hash of the tensor's identity */
	uint64_t since;  /* nanoseconds of the monotonic clock */
	uint64_t said;   /* the how-manieth announcement of the rank it was; 0: not yet announced */
	uint64_t thread; /* blocked: which one, a number of its process; 0: not yet known */
	uint32_t blocked; /* a thread of the application waits for it, or for its group */
	uint32_t running; /* it has been agreed on, and is being executed */
	char what[112];   /* for people */
};

#define RONDE_BOARD_WAITS 32
#define RONDE_BOARD_KINDS 16
#define RONDE_BOARD_TEXT 4096

/*
 * Where a rank says what it waits for. Only the rank writes it. What follows `answered` is written
 * between an inquiry and its answer, and read between the answer and the next inquiry.
 */
struct ronde_board {
	/* Nanoseconds: since when the rank waits for the oldest of its operations, and of those not
	 * yet reported; 0: there is none. */
	alignas(RONDE_CACHE_LINE) _Atomic uint64_t oldest;
	_Atomic uint64_t untold;
	_Atomic uint64_t answered; /* inquiry */
	uint64_t quiet_since;      /* when it last submitted something */
	uint64_t said;    /* announcements so far; UINT64_MAX: some of its operations are not yet
			   * announced */
	uint32_t others;  /* 1: a thread that has submitted operations waits for none */
	uint32_t unseen;  /* 1: a thread waits for what `waits` has no room for */
	uint32_t pending; /* operations in flight … */
	uint32_t blocked; /* … and how many of `waits` a thread waits for */
	uint32_t nwaits;
	uint32_t waited; /* how many operations threads wait for, in `waits` or not */
	uint64_t unnamed[RONDE_BOARD_KINDS]; /* operations of set 0 without a name so far */
	struct ronde_board_wait waits[RONDE_BOARD_WAITS]; /* blocked first, then the oldest */
	/* A report: odd while it is being written. */
	_Atomic uint64_t version;
	_Atomic uint64_t text[RONDE_BOARD_TEXT / 8];
};

/* A mapped arena: the sections' addresses in this process. */
struct ronde_arena {
	struct ronde_arena_header *header;
	struct ronde_arena_shape shape;
	struct ronde_rank_block *ranks; /* [local_size] */
	struct ronde_board *boards;     /* [local_size] */
	unsigned char *announce;        /* [local_size] rings of ring_cells cells and a ring tail */
	unsigned char *log;             /* likewise */
	struct ronde_lane_cell *cells;  /* [lanes][local_size] */
	unsigned char *staging;         /* [lanes][staging_bytes] */
};

/* Bytes an arena of this shape takes. */
size_t ronde_arena_bytes(const struct ronde_arena_shape *shape);
/* Writes the header into zeroed memory of ronde_arena_bytes() bytes, page-aligned. By the leader,
 * once. */
void ronde_arena_format(void *memory, const struct ronde_arena_shape *shape);
/* Sets the addresses of the sections. ERR_VERSION if the header is not one of ours. */
int ronde_arena_attach(struct ronde_arena *arena, void *memory);

static inline struct ronde_lane_cell *ronde_lane_cell(const struct ronde_arena *a, int lane,
						      int local_rank)
{
	return &a->cells[(size_t)lane * a->shape.local_size + (size_t)local_rank];
}

/* A ring: its cells, then one cell with the reader's position; and what fills up to a page. */
static inline size_t ronde_ring_stride(const struct ronde_arena_shape *shape)
{
	size_t bytes = ((size_t)shape->ring_cells + 1) * RONDE_CELL_BYTES;
	return shape->page ? (bytes + shape->page - 1) / shape->page * shape->page : bytes;
}

/* What a rank says to its leader. */
static inline unsigned char *ronde_announce_ring(const struct ronde_arena *a, int local_rank)
{
	return a->announce + (size_t)local_rank * ronde_ring_stride(&a->shape);
}

/* What the leader says to a rank. */
static inline unsigned char *ronde_log_ring(const struct ronde_arena *a, int local_rank)
{
	return a->log + (size_t)local_rank * ronde_ring_stride(&a->shape);
}

static inline unsigned char *ronde_lane_staging(const struct ronde_arena *a, int lane)
{
	return a->staging + (size_t)lane * a->shape.staging_bytes;
}

/* ---- waking ---- */

/* Wakes all threads of the rank that sleep on its bell, whatever it waits for. A system call. */
void ronde_bell_ring(const struct ronde_arena *arena, int local_rank);

/*
 * To be called after the event was published by a sequentially consistent store. Costs one load
 * unless the rank is parked for events of at least this level.
 */
static inline void ronde_bell_touch(const struct ronde_arena *arena, int local_rank,
				    enum ronde_parked level)
{
	struct ronde_rank_block *b = &arena->ranks[local_rank];
	if (atomic_load_explicit(&b->parked, memory_order_seq_cst) >= (uint32_t)level)
		ronde_bell_ring(arena, local_rank);
}

/*
 * Sleeps until the bell has rung since `seen` was read from it, or timeout_seconds (< 0: for ever)
 * pass. Order: read the bell; park by a sequentially consistent exchange of `parked`; look for
 * events again; sleep.
 */
void ronde_bell_sleep(const struct ronde_arena *arena, int local_rank, uint32_t seen,
		      double timeout_seconds);

#endif

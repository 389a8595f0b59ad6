/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/arena.h"

#include <errno.h>
#include <linux/futex.h>
#include <math.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "collectives/bootstrap/wait.h"
#include "collectives/status.h"

/* Sections that different ranks write start on pages of their own, so that first touch places them.
 */
#define SECTION_ALIGN ((size_t)4096)

/* Where the sections stand, from the arena's start. One function decides it, for both sides. */
struct layout {
	size_t ranks, boards, announce, log, cells, staging, bytes;
};

static size_t section_end(size_t start, size_t bytes, size_t page)
{
	size_t align = page > SECTION_ALIGN ? page : SECTION_ALIGN;
	return (start + bytes + align - 1) & ~(align - 1);
}

static struct layout layout_of(const struct ronde_arena_shape *shape)
{
	size_t n = shape->local_size, rings = n * ronde_ring_stride(shape);
	size_t page = shape->page;
	struct layout l;
	l.ranks = section_end(0, sizeof(struct ronde_arena_header), page);
	l.boards = section_end(l.ranks, n * sizeof(struct ronde_rank_block), page);
	l.announce = section_end(l.boards, n * sizeof(struct ronde_board), page);
	l.log = section_end(l.announce, rings, page);
	l.cells = section_end(l.log, rings, page);
	l.staging = section_end(l.cells, n * shape->lanes * sizeof(struct ronde_lane_cell), page);
	l.bytes = section_end(l.staging, shape->lanes * (size_t)shape->staging_bytes, page);
	return l;
}

size_t ronde_arena_bytes(const struct ronde_arena_shape *shape)
{
	return layout_of(shape).bytes;
}

void ronde_arena_format(void *memory, const struct ronde_arena_shape *shape)
{
	struct ronde_arena_header *header = memory;
	header->version = RONDE_ARENA_VERSION;
	header->bytes = ronde_arena_bytes(shape);
	header->shape = *shape;
	if (getrandom(&header->run, sizeof header->run, GRND_NONBLOCK) < 0)
		header->run = ronde_nanoseconds() ^ (uint64_t)getpid() << 40;
	header->magic = RONDE_ARENA_MAGIC;
}

int ronde_arena_attach(struct ronde_arena *arena, void *memory)
{
	struct ronde_arena_header *header = memory;
	if (header->magic != RONDE_ARENA_MAGIC)
		return ronde_error(
			RONDE_ERR_VERSION,
			"the memory shared by the ranks of this node does not begin with "
			"Ronde's mark (found %#llx, expected %#llx): the node's ranks do "
			"not run the same Ronde; start all of them with one libronde.so",
			(unsigned long long)header->magic, (unsigned long long)RONDE_ARENA_MAGIC);
	if (header->version != RONDE_ARENA_VERSION ||
	    header->bytes != ronde_arena_bytes(&header->shape))
		return ronde_error(
			RONDE_ERR_VERSION,
			"the memory shared by the ranks of this node has layout %u, "
			"this rank knows layout %u: start all ranks with one libronde.so",
			header->version, RONDE_ARENA_VERSION);
	struct layout l = layout_of(&header->shape);
	unsigned char *base = memory;
	*arena = (struct ronde_arena){
		.header = header,
		.shape = header->shape,
		.ranks = (struct ronde_rank_block *)(void *)(base + l.ranks),
		.boards = (struct ronde_board *)(void *)(base + l.boards),
		.announce = base + l.announce,
		.log = base + l.log,
		.cells = (struct ronde_lane_cell *)(void *)(base + l.cells),
		.staging = base + l.staging,
	};
	return RONDE_OK;
}

/* Not FUTEX_PRIVATE: the word is shared by processes. */
static long futex(_Atomic uint32_t *word, int operation, uint32_t value,
		  const struct timespec *when)
{
	return syscall(SYS_futex, word, operation, value, when, NULL, FUTEX_BITSET_MATCH_ANY);
}

void ronde_bell_ring(const struct ronde_arena *arena, int local_rank)
{
	struct ronde_rank_block *b = &arena->ranks[local_rank];
	/* Whoever publishes next need not wake again what is awake already. */
	atomic_exchange_explicit(&b->parked, RONDE_AWAKE, memory_order_seq_cst);
	atomic_fetch_add_explicit(&b->bell, 1, memory_order_seq_cst);
	futex(&b->bell, FUTEX_WAKE, INT32_MAX, NULL);
}

static struct timespec deadline_after(double seconds)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	double whole = floor(fmin(seconds, 1e9));
	t.tv_sec += (time_t)whole;
	t.tv_nsec += (long)((fmin(seconds, 1e9) - whole) * 1e9);
	if (t.tv_nsec >= 1000000000L) {
		t.tv_nsec -= 1000000000L;
		t.tv_sec++;
	}
	return t;
}

void ronde_bell_sleep(const struct ronde_arena *arena, int local_rank, uint32_t seen,
		      double timeout_seconds)
{
	_Atomic uint32_t *bell = &arena->ranks[local_rank].bell;
	struct timespec deadline, *when = NULL;
	if (timeout_seconds >= 0) {
		deadline = deadline_after(timeout_seconds);
		when = &deadline;
	}
	/* A futex may return early (a signal, a stray wake): only the bell's word counts. */
	while (atomic_load_explicit(bell, memory_order_seq_cst) == seen)
		if (futex(bell, FUTEX_WAIT_BITSET, seen, when) != 0 && errno != EINTR &&
		    errno != EAGAIN)
			return;
}

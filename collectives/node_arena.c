/* SPDX-License-Identifier: Apache-2.0 */
/* The leader makes the memory of its node's arena. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "collectives/memory_file.h"
#include "collectives/memory_room.h"
#include "collectives/node_private.h"
#include "collectives/status.h"

/* Only the leader asks, for all. */
static int arena_room(const struct ronde_arena_shape *shape, size_t bytes)
{
	struct ronde_memory_room room;
	ronde_memory_room(&room, "");
	if (bytes <= room.bytes)
		return RONDE_OK;
	return ronde_error(
		RONDE_ERR_OUT_OF_MEMORY,
		"the memory that the %u ranks of this node share takes %zu bytes (%.1f MiB): rings "
		"%.1f MiB (%u ranks × 2 × RONDE_RING_BYTES), staging %.1f MiB (%u lanes × "
		"RONDE_STAGING_BYTES); there are %llu bytes (%.1f MiB) by %s. Make one of the two "
		"smaller",
		shape->local_size, bytes, (double)bytes / 0x1p20,
		2.0 * shape->local_size * (double)ronde_ring_stride(shape) / 0x1p20,
		shape->local_size, (double)shape->lanes * (double)shape->staging_bytes / 0x1p20,
		shape->lanes, (unsigned long long)room.bytes, (double)room.bytes / 0x1p20,
		room.source);
}

static int arena_map_error(size_t bytes)
{
	return ronde_error(RONDE_ERR_OUT_OF_MEMORY,
			   "no address space for the %zu bytes that the ranks of this node share: "
			   "%s; RONDE_RING_BYTES and RONDE_STAGING_BYTES make it smaller, or look "
			   "at `ulimit -v`",
			   bytes, strerror(errno));
}

/* For threads, and for a rank that is alone. */
static int make_arena_here(struct ronde_node *node, const struct ronde_arena_shape *shape,
			   size_t bytes)
{
	struct ronde_node_private *p = node->priv;
	size_t front = ronde_page_bytes();
	unsigned char *memory = mmap(NULL, front + bytes, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return arena_map_error(bytes);
	madvise(memory, front + bytes, MADV_DONTFORK);
	p->common = (struct ronde_common_arena *)(void *)memory;
	p->common->bytes = front + bytes;
	atomic_init(&p->common->users, p->threads ? node->local_size : 1);
	p->arena = memory + front;
	ronde_arena_format(p->arena, shape);
	return RONDE_OK;
}

static int make_arena_file(struct ronde_node *node, const struct ronde_arena_shape *shape,
			   size_t bytes, bool no_memfd, int *arena_fd)
{
	struct ronde_node_private *p = node->priv;
	bool memfd;
	int fd = ronde_memory_file_create("the node's arena", bytes, no_memfd, &memfd);
	if (fd < 0)
		return fd;
	*arena_fd = fd;
	/* /dev/shm has a limit of its own, and beyond it touching would be a SIGBUS. */
	if (!memfd && fallocate(fd, 0, 0, (off_t)bytes) != 0)
		return ronde_error(
			RONDE_ERR_OUT_OF_MEMORY,
			"the %zu bytes that the %u ranks of this node share do not fit "
			"into /dev/shm: %s; make /dev/shm larger, or RONDE_RING_BYTES or "
			"RONDE_STAGING_BYTES smaller",
			bytes, shape->local_size, strerror(errno));
	p->arena = ronde_memory_file_map(fd, bytes);
	if (!p->arena)
		return arena_map_error(bytes);
	madvise(p->arena, bytes, MADV_DONTFORK);
	p->arena_bytes = bytes;
	ronde_arena_format(p->arena, shape);
	return RONDE_OK;
}

int ronde_node_make_arena(struct ronde_node *node, const struct ronde_node_options *options,
			  int *arena_fd)
{
	struct ronde_arena_shape shape = options->shape;
	shape.local_size = (uint32_t)node->local_size;
	shape.page = node->topology && node->topology->numas > 1 ? (uint32_t)ronde_page_bytes() : 0;
	size_t bytes = ronde_arena_bytes(&shape);
	int status = arena_room(&shape, bytes);
	if (status != RONDE_OK)
		return status;
	if (node->priv->threads || node->local_size == 1)
		return make_arena_here(node, &shape, bytes);
	return make_arena_file(node, &shape, bytes, options->no_memfd, arena_fd);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heap: one sparse memory file per process, mapped by all ranks of the node, from which
 * ronde_alloc() serves. What is allocated where is private data of the owner.
 *
 * Fork: a child shares the pages with its parent, so it may read and write what was allocated
 * before the fork, and the parent and its peers see what it writes. It may not allocate or free:
 * that is refused with a text. exec() leaves nothing of the heap. Core files do not contain it.
 */
#ifndef RONDE_HEAP_H
#define RONDE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ronde_heap;

/*
 * Makes a heap with `reserve_bytes` of address space (sparse: no memory is used yet). Once per
 * process, or once per thread-rank. Errors: SYSTEM, OUT_OF_MEMORY.
 */
int ronde_heap_create(struct ronde_heap **heap, size_t reserve_bytes);
void ronde_heap_destroy(struct ronde_heap *heap);

/*
 * The contracts of ronde_alloc() and ronde_free(). Thread-safe. NULL with the error described.
 * From 2 MiB on memory is 2 MiB-aligned while the address space has room for it.
 */
void *ronde_heap_alloc(struct ronde_heap *heap, size_t bytes);
int ronde_heap_free(struct ronde_heap *heap, void *memory);

/* Descriptor of the memory file (the heap keeps it), its base address here, and its size. */
int ronde_heap_fd(const struct ronde_heap *heap);
unsigned char *ronde_heap_base(const struct ronde_heap *heap);
size_t ronde_heap_reserve(const struct ronde_heap *heap);

/* True if [memory, memory + bytes) lies within one live allocation; sets its offset from the base.
 */
bool ronde_heap_find(struct ronde_heap *heap, const void *memory, size_t bytes, uint64_t *offset);

/*
 * Finding takes no lock and about 10 ns.
 *
 * Operations in flight hold the allocations they use: a held one cannot be freed (ERR_BUSY).
 * hold: as find, and counts. release: undoes one hold at the offset.
 */
bool ronde_heap_hold(struct ronde_heap *heap, const void *memory, size_t bytes, uint64_t *offset);
void ronde_heap_release(struct ronde_heap *heap, uint64_t offset);

#endif

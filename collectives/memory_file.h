/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that processes can share by passing a descriptor: a memfd, or where there is none a
 * nameless file of /dev/shm. Nothing of it is left when the last process has gone.
 */
#ifndef RONDE_MEMORY_FILE_H
#define RONDE_MEMORY_FILE_H

#include <stdbool.h>
#include <stddef.h>

#define RONDE_HUGE_PAGE ((size_t)2 << 20)

/* The system's page: 4 KiB, on some aarch64 systems 64 KiB. */
size_t ronde_page_bytes(void);

/*
 * Makes a sparse file of `bytes` bytes, zeroed, that nobody can shrink (memfd only) and no child
 * process inherits over exec. `fallback`: do as if there were no memfd_create. what: "the arena",
 * for error texts. Returns the descriptor or a negative status (SYSTEM, described).
 */
int ronde_memory_file_create(const char *what, size_t bytes, bool fallback, bool *is_memfd);

/* Maps it, shared and writable, at an address that is a multiple of 2 MiB; NULL with errno set. */
void *ronde_memory_file_map(int fd, size_t bytes);

/*
 * Makes [start, start + bytes) of a mapping present and writable, so that touching it faults no
 * more; both page-aligned. offset: the same place in the file. Returns 0 or an errno; then part of
 * it may be present.
 */
int ronde_memory_file_populate(int fd, size_t offset, void *start, size_t bytes);

/* Gives the memory of a page-aligned part back to the system; it reads as zeros again. */
void ronde_memory_file_punch(int fd, size_t offset, void *start, size_t bytes);

#endif

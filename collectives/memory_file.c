/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/memory_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collectives/status.h"

/* Newer than the C library's headers on some systems we build on. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

size_t ronde_page_bytes(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/* Without a name, so that even a kill -9 leaves nothing. Where /dev/shm cannot do that, it has a
 * random one until the next line. */
static int create_in_dev_shm(void)
{
	int unnamed = open("/dev/shm", O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
	if (unnamed >= 0)
		return unnamed;
	uint64_t random[2];
	if (getrandom(random, sizeof random, 0) != sizeof random)
		return -1;
	char name[64];
	snprintf(name, sizeof name, "/ronde-%016llx%016llx", (unsigned long long)random[0],
		 (unsigned long long)random[1]);
	int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd >= 0)
		shm_unlink(name);
	return fd;
}

/* Beyond this limit, making a file longer ends the process by SIGXFSZ, even a file in memory. */
static bool too_long(size_t bytes, unsigned long long *most)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
		return false;
	*most = limit.rlim_cur;
	return bytes > limit.rlim_cur;
}

int ronde_memory_file_create(const char *what, size_t bytes, bool fallback, bool *is_memfd)
{
	unsigned long long most;
	if (too_long(bytes, &most))
		return ronde_error(RONDE_ERR_SYSTEM,
				   "no shared memory for %s: it is a file of %zu bytes, and "
				   "`ulimit -f` allows %llu; raise that limit",
				   what, bytes, most);
	int fd = fallback ? -1 : memfd_create("ronde", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int memfd_error = fallback ? ENOSYS : errno;
	*is_memfd = fd >= 0;
	if (fd < 0)
		fd = create_in_dev_shm();
	if (fd < 0)
		return ronde_error(RONDE_ERR_SYSTEM,
				   "no shared memory for %s (%zu bytes): memfd_create: %s; "
				   "shm_open in /dev/shm: %s",
				   what, bytes, strerror(memfd_error), strerror(errno));
	const char *step = "ftruncate";
	if (ftruncate(fd, (off_t)bytes) != 0)
		goto failed;
	/* A rank that shrank it would kill the others by SIGBUS. */
	step = "sealing it";
	if (*is_memfd && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
		goto failed;
	return fd;
failed:
	ronde_error(RONDE_ERR_SYSTEM, "no shared memory for %s (%zu bytes): %s: %s", what, bytes,
		    step, strerror(errno));
	close(fd);
	return RONDE_ERR_SYSTEM;
}

void *ronde_memory_file_map(int fd, size_t bytes)
{
	/* Address space with room to choose an aligned start in; the rest of it goes back. */
	size_t room = bytes + RONDE_HUGE_PAGE;
	unsigned char *space =
		mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (space == MAP_FAILED)
		return NULL;
	size_t skip = -(uintptr_t)space & (RONDE_HUGE_PAGE - 1);
	unsigned char *start = space + skip;
	void *mapped = mmap(start, bytes, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0);
	if (mapped == MAP_FAILED) {
		int error = errno;
		munmap(space, room);
		errno = error;
		return NULL;
	}
	size_t page = ronde_page_bytes();
	unsigned char *end = start + ((bytes + page - 1) & ~(page - 1));
	if (skip)
		munmap(space, skip);
	if (end < space + room)
		munmap(end, (size_t)(space + room - end));
	return mapped;
}

int ronde_memory_file_populate(int fd, size_t offset, void *start, size_t bytes)
{
	if (madvise(start, bytes, MADV_POPULATE_WRITE) == 0)
		return 0;
	if (errno != EINVAL)
		return errno == EFAULT ? ENOMEM : errno;
	/* Before Linux 5.14. Fill the file first: that fails by a status where touching would by a
	 * signal. */
	if (fallocate(fd, 0, (off_t)offset, (off_t)bytes) != 0)
		return errno;
	for (size_t at = 0; at < bytes; at += 4096)
		*((volatile unsigned char *)start + at) = 0;
	return 0;
}

void ronde_memory_file_punch(int fd, size_t offset, void *start, size_t bytes)
{
	if (madvise(start, bytes, MADV_REMOVE) == 0)
		return;
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
		      (off_t)bytes) != 0)
		memset(start, 0, bytes); /* the promise of zeros holds all the same */
}

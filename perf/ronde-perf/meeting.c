/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page is a memfd of rank 0 that the others open through /proc/PID/fd, so nothing has a name
 * and nothing stays behind. One round on 3 ranks a, b, c, phase 7:
 *
 *   a arrives (arrived 1), spins on phase      b arrives (arrived 2), spins on phase
 *   c arrives (arrived 3, the last): arrived = 0, start = now + 400 ns, phase = 8
 *   a, b and c see phase 8 at slightly different moments, and all spin until the clock says start
 *
 * Spinning alternates with sched_yield(), at once where there are more ranks than cores. A rank
 * that has waited for a second looks whether the others are still alive.
 */
#include "perf/ronde-perf/meeting.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LEAD_NS = 400, ALIVE_CHECK_NS = 1000000000 };

struct page {
	_Alignas(64) _Atomic uint32_t arrived;
	_Alignas(64) _Atomic uint32_t phase;
	_Atomic int64_t start;
	_Alignas(64) _Atomic int32_t gone; /* rank + 1 of one that left */
	_Atomic int32_t pids[];
};

struct perf_meeting {
	struct page *page;
	size_t bytes;
	int rank, size, fd;
	unsigned spins; /* between two yields */
};

static void relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static struct perf_meeting *map(int rank, int size, int fd)
{
	struct perf_meeting *meeting = calloc(1, sizeof(*meeting));

	if (!meeting)
		return NULL;
	meeting->bytes = sizeof(struct page) + (size_t)size * sizeof(int32_t);
	meeting->rank = rank;
	meeting->size = size;
	meeting->fd = fd;
	meeting->spins = size > sysconf(_SC_NPROCESSORS_ONLN) ? 20 : 2000;
	if (rank == 0 && ftruncate(fd, (off_t)meeting->bytes) != 0)
		goto err_free;
	meeting->page = mmap(NULL, meeting->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (meeting->page == MAP_FAILED)
		goto err_free;
	atomic_store(&meeting->page->pids[rank], (int32_t)getpid());
	return meeting;
err_free:
	free(meeting);
	return NULL;
}

struct perf_meeting *perf_meeting_host(int size, char path[PERF_MEETING_PATH])
{
	int fd = memfd_create("ronde-perf", MFD_CLOEXEC);
	struct perf_meeting *meeting = fd < 0 ? NULL : map(0, size, fd);

	if (meeting)
		snprintf(path, PERF_MEETING_PATH, "/proc/%d/fd/%d", (int)getpid(), fd);
	else if (fd >= 0)
		close(fd);
	return meeting;
}

struct perf_meeting *perf_meeting_join(int rank, int size, const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct perf_meeting *meeting = fd < 0 ? NULL : map(rank, size, fd);

	if (!meeting && fd >= 0)
		close(fd);
	return meeting;
}

void perf_meeting_close(struct perf_meeting *meeting)
{
	if (!meeting)
		return;
	munmap(meeting->page, meeting->bytes);
	close(meeting->fd);
	free(meeting);
}

void perf_meeting_leave(struct perf_meeting *meeting)
{
	if (meeting)
		atomic_store(&meeting->page->gone, meeting->rank + 1);
}

/* A process that has ended makes its pidfd readable, even before its parent has waited for it. */
static bool alive(int pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	bool ended;

	if (fd < 0)
		return errno != ESRCH;
	ended = poll(&poll_fd, 1, 0) == 1;
	close(fd);
	return !ended;
}

static bool all_alive(struct perf_meeting *meeting)
{
	for (int rank = 0; rank < meeting->size; rank++) {
		int pid = atomic_load(&meeting->page->pids[rank]);

		if (pid && !alive(pid))
			return false;
	}
	return true;
}

static bool wait_for_phase(struct perf_meeting *meeting, uint32_t old)
{
	struct page *page = meeting->page;
	int64_t next_check = 0;

	for (;;) {
		for (unsigned i = 0; i < meeting->spins; i++) {
			if (atomic_load_explicit(&page->phase, memory_order_acquire) != old)
				return true;
			relax();
		}
		sched_yield();
		if (atomic_load(&page->gone))
			return false;
		if (next_check == 0)
			next_check = perf_now() + ALIVE_CHECK_NS;
		if (perf_now() < next_check)
			continue;
		if (!all_alive(meeting))
			return false;
		next_check = 0;
	}
}

bool perf_meeting_wait(struct perf_meeting *meeting)
{
	struct page *page = meeting->page;
	uint32_t phase = atomic_load(&page->phase);
	int64_t start;

	if (atomic_fetch_add(&page->arrived, 1) + 1 == (uint32_t)meeting->size) {
		atomic_store(&page->arrived, 0);
		atomic_store(&page->start, perf_now() + LEAD_NS);
		atomic_store(&page->phase, phase + 1);
	} else if (!wait_for_phase(meeting, phase)) {
		return false;
	}
	start = atomic_load(&page->start);
	while (perf_now() < start)
		relax();
	return true;
}

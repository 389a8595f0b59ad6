/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that ranks share: how it is made, how much of it there may be. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "bindings/cli/checks.h"
#include "collectives/memory_file.h"
#include "collectives/memory_room.h"
#include "coordinator/context.h"

#define MIB 0x1p20

static size_t arena_bytes(const struct machine *machine)
{
	struct ronde_node_options options = ronde_context_node_options(machine->config);
	options.shape.local_size = (uint32_t)machine->nranks;
	return ronde_arena_bytes(&options.shape);
}

/* Makes the arena's file as the leader would. */
static bool check_memfd(struct checks *checks, const struct machine *machine)
{
	const bool told = machine->config->test_no_memfd;
	bool memfd;
	int fd = ronde_memory_file_create("a trial", arena_bytes(machine), told, &memfd);
	if (fd < 0) {
		struct check *c =
			check_add(checks, "memfd", CHECK_PROBLEM, "%s", ronde_error_message());
		check_advise(c, "allow memfd_create() (a container's seccomp profile may refuse "
				"it), or mount a tmpfs on /dev/shm");
		return false;
	}
	close(fd);
	if (memfd) {
		check_add(checks, "memfd", CHECK_OK,
			  "shared memory is made by memfd_create(); /dev/shm is not used");
		return true;
	}
	int trial = told ? -1 : memfd_create("ronde-info", MFD_CLOEXEC);
	struct check *c = check_add(
		checks, "memfd", CHECK_WARNING, "shared memory is made in /dev/shm, because %s",
		told ? "RONDE_TEST_NO_MEMFD says so" : strerror(trial < 0 ? errno : EAGAIN));
	if (trial >= 0)
		close(trial);
	check_advise(c, told ? "unset RONDE_TEST_NO_MEMFD"
			     : "allow memfd_create() in the container's seccomp profile; until "
			       "then /dev/shm must be large enough for the arena and for all that "
			       "ronde_alloc() gives");
	return false;
}

static void check_dev_shm(struct checks *checks, const struct machine *machine, bool memfd)
{
	char path[512];
	struct statvfs fs;
	snprintf(path, sizeof path, "%s/dev/shm", machine->root);
	if (statvfs(path, &fs) != 0) {
		struct check *c = check_add(checks, "dev-shm", memfd ? CHECK_OK : CHECK_PROBLEM,
					    "/dev/shm: %s%s", strerror(errno),
					    memfd ? "; it is not needed" : "");
		if (!memfd)
			check_advise(c, "mount a tmpfs on /dev/shm");
		return;
	}
	double size = (double)fs.f_blocks * (double)fs.f_frsize;
	double left = (double)fs.f_bavail * (double)fs.f_frsize;
	double need = (double)arena_bytes(machine);
	bool small = !memfd && left < need;
	struct check *c = check_add(checks, "dev-shm", small ? CHECK_PROBLEM : CHECK_OK,
				    "/dev/shm has %.0f MiB, %.0f of them free%s", size / MIB,
				    left / MIB, memfd ? "; its size does not matter" : "");
	if (small)
		check_advise(c,
			     "the arena of %d ranks takes %.1f MiB: make /dev/shm larger (docker "
			     "run --shm-size=1g, or mount -o remount,size=1g /dev/shm), or "
			     "RONDE_STAGING_BYTES or RONDE_RING_BYTES smaller",
			     machine->nranks, need / MIB);
}

static void check_room(struct checks *checks, const struct machine *machine)
{
	struct ronde_memory_room room;
	ronde_memory_room(&room, machine->root);
	double need = (double)arena_bytes(machine);
	if (room.bytes == UINT64_MAX) {
		check_add(checks, "memory", CHECK_NOTICE,
			  "how much memory there is can't be read; the arena takes %.1f MiB",
			  need / MIB);
		return;
	}
	bool small = need > (double)room.bytes;
	struct check *c = check_add(checks, "memory", small ? CHECK_PROBLEM : CHECK_OK,
				    "%.0f MiB are available (%s); the arena takes %.1f MiB",
				    (double)room.bytes / MIB, room.source, need / MIB);
	if (small)
		check_advise(c, "make RONDE_STAGING_BYTES or RONDE_RING_BYTES smaller, or raise "
				"the limit (docker run --memory=…, Slurm --mem=…)");
}

static void check_limits(struct checks *checks, const struct machine *machine)
{
	struct rlimit space;
	double need = (double)machine->config->heap_reserve_bytes * machine->nranks;
	if (getrlimit(RLIMIT_AS, &space) != 0 || space.rlim_cur == RLIM_INFINITY) {
		check_add(checks, "address-space", CHECK_OK, "not limited");
		return;
	}
	bool small = need > (double)space.rlim_cur;
	struct check *c = check_add(checks, "address-space", small ? CHECK_PROBLEM : CHECK_OK,
				    "`ulimit -v` allows %.0f MiB; the heaps of %d ranks reserve "
				    "%.0f MiB",
				    (double)space.rlim_cur / MIB, machine->nranks, need / MIB);
	if (small)
		check_advise(c, "`ulimit -v unlimited` (reserving takes no memory), or make "
				"RONDE_HEAP_RESERVE_BYTES smaller");
}

/* "always within_size advise [never] deny force". */
static void check_huge_pages(struct checks *checks, const struct machine *machine)
{
	char text[128];
	if (!check_read_line(machine->root, "/sys/kernel/mm/transparent_hugepage/shmem_enabled",
			     text, sizeof text))
		return;
	char *word = strchr(text, '[');
	if (!word)
		return;
	word++;
	word[strcspn(word, "]")] = 0;
	bool used =
		!strcmp(word, "always") || !strcmp(word, "within_size") || !strcmp(word, "force");
	struct check *c = check_add(checks, "huge-pages", used ? CHECK_OK : CHECK_NOTICE,
				    "transparent huge pages for shared memory: %s", word);
	if (!used)
		check_advise(c, "for tensors of many MiB in memory of ronde_alloc() the "
				"administrator may try: echo within_size > "
				"/sys/kernel/mm/transparent_hugepage/shmem_enabled");
}

void check_shared_memory(struct checks *checks, const struct machine *machine)
{
	bool memfd = check_memfd(checks, machine);
	check_dev_shm(checks, machine, memfd);
	check_room(checks, machine);
	check_limits(checks, machine);
	check_huge_pages(checks, machine);
}

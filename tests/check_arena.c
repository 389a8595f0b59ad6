/* SPDX-License-Identifier: Apache-2.0 */
/* The arena's layout and bells, and how much memory there is room for. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collectives/arena.h"
#include "collectives/bootstrap/wait.h"
#include "collectives/memory_room.h"
#include "collectives/status.h"
#include "tests/suite.h"

static const struct ronde_arena_shape shapes[] = {
	{.local_size = 1, .ring_cells = 16, .lanes = 1, .staging_bytes = 4096},
	{.local_size = 3, .ring_cells = 64, .lanes = 8, .staging_bytes = 100000},
	{.local_size = 5, .ring_cells = 4096, .lanes = 2, .staging_bytes = 1 << 20},
	{.local_size = 6, .ring_cells = 64, .lanes = 2, .page = 4096, .staging_bytes = 100000},
	{.local_size = 300, .ring_cells = 32, .lanes = 3, .staging_bytes = 0},
};

/* In memory that children share. */
static void *new_arena(struct ronde_arena *arena, const struct ronde_arena_shape *shape)
{
	size_t bytes = ronde_arena_bytes(shape);
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(memory, MAP_FAILED);
	ronde_arena_format(memory, shape);
	ck_assert_int_eq(ronde_arena_attach(arena, memory), RONDE_OK);
	return memory;
}

/* Marks a section; 0 if all of it was zero before and lies within the arena. */
static int claim(const unsigned char *memory, size_t bytes, const void *section, size_t length,
		 size_t align)
{
	unsigned char *start = (unsigned char *)section;
	if (start < memory || start + length > memory + bytes || (uintptr_t)start % align != 0)
		return 1;
	for (size_t i = 0; i < length; i++) {
		if (start[i])
			return 1;
		start[i] = 1;
	}
	return 0;
}

/* Every part of every rank and lane has a place of its own. */
START_TEST(parts_do_not_overlap)
{
	struct ronde_arena a;
	const struct ronde_arena_shape *s = &shapes[_i];
	unsigned char *memory = new_arena(&a, s);
	size_t bytes = ronde_arena_bytes(s);
	ck_assert_int_eq(memcmp(&a.shape, s, sizeof *s), 0);
	memset(memory, 0, sizeof *a.header);
	int bad = claim(memory, bytes, a.header, sizeof *a.header, 64);
	for (int r = 0; r < (int)s->local_size; r++) {
		bad += claim(memory, bytes, &a.ranks[r], sizeof a.ranks[r], 64);
		bad += claim(memory, bytes, &a.boards[r], sizeof a.boards[r], 64);
		bad += claim(memory, bytes, ronde_announce_ring(&a, r), ronde_ring_stride(s), 64);
		bad += claim(memory, bytes, ronde_log_ring(&a, r), ronde_ring_stride(s), 64);
		for (int lane = 0; lane < (int)s->lanes; lane++)
			bad += claim(memory, bytes, ronde_lane_cell(&a, lane, r), sizeof *a.cells,
				     64);
	}
	for (int lane = 0; lane < (int)s->lanes; lane++)
		bad += claim(memory, bytes, ronde_lane_staging(&a, lane), s->staging_bytes, 1);
	ck_assert_int_eq(bad, 0);
	munmap(memory, bytes);
}
END_TEST

START_TEST(foreign_memory_is_refused)
{
	struct ronde_arena a, untouched;
	struct ronde_arena_header *header = new_arena(&a, &shapes[1]);
	memset(&a, 0x5a, sizeof a);
	untouched = a;
	header->version++;
	ck_assert_int_eq(ronde_arena_attach(&a, header), RONDE_ERR_VERSION);
	ck_assert_ptr_nonnull(strstr(ronde_error_message(), "layout 7, this rank knows layout 6"));
	header->version--;
	header->magic = 0x1234;
	ck_assert_int_eq(ronde_arena_attach(&a, header), RONDE_ERR_VERSION);
	ck_assert_ptr_nonnull(strstr(ronde_error_message(), "0x1234"));
	ck_assert_int_eq(memcmp(&a, &untouched, sizeof a), 0);
	munmap(header, ronde_arena_bytes(&shapes[1]));
}
END_TEST

/* ---- bells ---- */

#define TURNS 2000

/* The protocol of arena.h: reads the bell, parks, looks again, sleeps. */
static void wait_for(struct ronde_arena *a, int rank, const _Atomic uint64_t *word, uint64_t value)
{
	while (atomic_load(word) < value) {
		uint32_t seen = atomic_load(&a->ranks[rank].bell);
		atomic_exchange(&a->ranks[rank].parked, RONDE_PARKED_ENTRY);
		if (atomic_load(word) < value)
			ronde_bell_sleep(a, rank, seen, -1);
		atomic_store(&a->ranks[rank].parked, RONDE_AWAKE);
	}
}

/* Two take turns and sleep in between: a lost wake-up would hang. */
static void play(struct ronde_arena *a, int rank)
{
	_Atomic uint64_t *mine = &ronde_lane_cell(a, 0, rank)->packed;
	_Atomic uint64_t *theirs = &ronde_lane_cell(a, 0, 1 - rank)->packed;
	for (uint64_t i = 1; i <= TURNS; i++) {
		if (rank == 1)
			wait_for(a, rank, theirs, i);
		atomic_store(mine, i);
		ronde_bell_touch(a, 1 - rank, RONDE_PARKED_ENTRY);
		if (rank == 0)
			wait_for(a, rank, theirs, i);
	}
}

static void *play_second(void *arg)
{
	play(arg, 1);
	return NULL;
}

static const struct ronde_arena_shape pair = {
	.local_size = 2, .ring_cells = 16, .lanes = 1, .staging_bytes = 0};

START_TEST(no_wake_is_lost_between_threads)
{
	struct ronde_arena a;
	void *memory = new_arena(&a, &pair);
	pthread_t thread;
	ck_assert_int_eq(pthread_create(&thread, NULL, play_second, &a), 0);
	play(&a, 0);
	pthread_join(thread, NULL);
	munmap(memory, ronde_arena_bytes(&pair));
}
END_TEST

START_TEST(no_wake_is_lost_between_processes)
{
	struct ronde_arena a;
	void *memory = new_arena(&a, &pair);
	pid_t child = fork();
	if (child == 0) {
		play(&a, 1);
		_exit(0);
	}
	play(&a, 0);
	int status;
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	munmap(memory, ronde_arena_bytes(&pair));
}
END_TEST

START_TEST(sleep_ends_by_itself)
{
	struct ronde_arena a;
	void *memory = new_arena(&a, &pair);
	double start = ronde_seconds();
	ronde_bell_sleep(&a, 0, 0, 0.05);
	double slept = ronde_seconds() - start;
	ck_assert_double_ge(slept, 0.05);
	ck_assert_double_lt(slept, 5.0);
	/* A bell that has rung already is no reason to sleep. */
	ronde_bell_ring(&a, 0);
	start = ronde_seconds();
	ronde_bell_sleep(&a, 0, 0, 20);
	ck_assert_double_lt(ronde_seconds() - start, 5.0);
	munmap(memory, ronde_arena_bytes(&pair));
}
END_TEST

START_TEST(touch_respects_the_level)
{
	struct ronde_arena a;
	void *memory = new_arena(&a, &pair);
	static const struct {
		enum ronde_parked parked, event;
		uint32_t rings;
	} cases[] = {
		{RONDE_AWAKE, RONDE_PARKED_ENTRY, 0},
		{RONDE_AWAKE, RONDE_PARKED_ALL, 0},
		{RONDE_PARKED_ENTRY, RONDE_PARKED_ENTRY, 1},
		{RONDE_PARKED_ENTRY, RONDE_PARKED_ALL, 0},
		{RONDE_PARKED_ALL, RONDE_PARKED_ENTRY, 1},
		{RONDE_PARKED_ALL, RONDE_PARKED_ALL, 1},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint32_t before = atomic_load(&a.ranks[1].bell);
		atomic_store(&a.ranks[1].parked, cases[i].parked);
		ronde_bell_touch(&a, 1, cases[i].event);
		ck_assert_uint_eq(atomic_load(&a.ranks[1].bell) - before, cases[i].rings);
		ck_assert_uint_eq(atomic_load(&a.ranks[1].parked),
				  cases[i].rings ? RONDE_AWAKE : cases[i].parked);
	}
	munmap(memory, ronde_arena_bytes(&pair));
}
END_TEST

/* ---- how much memory there is: read from a made-up /proc and /sys ---- */

static char root[64];

static void write_file(const char *path, const char *text)
{
	char full[512];
	snprintf(full, sizeof full, "%s%s", root, path);
	for (char *slash = strchr(full + strlen(root) + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(full, 0700);
		*slash = '/';
	}
	FILE *f = fopen(full, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static void make_root(void)
{
	strcpy(root, "/tmp/ronde-check-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	write_file("/proc/meminfo",
		   "MemTotal: 9000000 kB\nMemFree: 1 kB\nMemAvailable:    5000 kB\n");
}

static void remove_root(void)
{
	char command[128];
	snprintf(command, sizeof command, "rm -rf %s", root);
	ck_assert_int_eq(system(command), 0);
}

static void expect_room(uint64_t bytes, const char *source)
{
	struct ronde_memory_room room;
	ronde_memory_room(&room, root);
	ck_assert_uint_eq(room.bytes, bytes);
	ck_assert_msg(strstr(room.source, source), "%s is not of %s", room.source, source);
}

START_TEST(room_of_the_machine)
{
	expect_room(5000 * 1024, "MemAvailable of /proc/meminfo");
	write_file("/proc/self/cgroup", "0::/a/b\n");
	write_file("/sys/fs/cgroup/a/b/memory.max", "max\n");
	write_file("/sys/fs/cgroup/a/b/memory.current", "123\n");
	expect_room(5000 * 1024, "MemAvailable of /proc/meminfo");
}
END_TEST

/* The group above has less; file pages that nobody has touched lately count as free. */
START_TEST(room_of_groups_version_2)
{
	write_file("/proc/self/cgroup", "0::/a/b\n");
	write_file("/sys/fs/cgroup/a/b/memory.max", "3000000\n");
	write_file("/sys/fs/cgroup/a/b/memory.current", "500000\n");
	expect_room(2500000, "/sys/fs/cgroup/a/b/memory.max");
	write_file("/sys/fs/cgroup/a/memory.max", "2000000\n");
	write_file("/sys/fs/cgroup/a/memory.current", "600000\n");
	expect_room(1400000, "/sys/fs/cgroup/a/memory.max");
	write_file("/sys/fs/cgroup/a/memory.stat", "anon 5\ninactive_file 100000\nactive_file 7\n");
	expect_room(1500000, "/sys/fs/cgroup/a/memory.max");
	write_file("/sys/fs/cgroup/a/memory.current", "2000001\n");
	write_file("/sys/fs/cgroup/a/memory.stat", "");
	expect_room(0, "/sys/fs/cgroup/a/memory.max");
}
END_TEST

START_TEST(room_of_groups_version_1)
{
	write_file("/proc/self/cgroup",
		   "5:cpu,cpuacct:/x\n4:hugetlb,memory:/job\n1:name=systemd:/x\n0::/\n");
	write_file("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "4000000\n");
	write_file("/sys/fs/cgroup/memory/job/memory.usage_in_bytes", "1000000\n");
	expect_room(3000000, "/sys/fs/cgroup/memory/job/memory.limit_in_bytes");
	/* In a container the group's path is the host's: only the mount is to be seen. */
	write_file("/proc/self/cgroup", "4:memory:/docker/0123\n");
	write_file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1000\n");
	write_file("/sys/fs/cgroup/memory/memory.usage_in_bytes", "400\n");
	expect_room(600, "/sys/fs/cgroup/memory/memory.limit_in_bytes");
}
END_TEST

int main(void)
{
	const struct suite_test layout[] = {
		{parts_do_not_overlap, 0, sizeof shapes / sizeof *shapes},
		{foreign_memory_is_refused, ONCE},
	};
	const struct suite_test bells[] = {
		{no_wake_is_lost_between_threads, ONCE},
		{no_wake_is_lost_between_processes, ONCE},
		{sleep_ends_by_itself, ONCE},
		{touch_respects_the_level, ONCE},
	};
	const struct suite_test room[] = {
		{room_of_the_machine, ONCE},
		{room_of_groups_version_2, ONCE},
		{room_of_groups_version_1, ONCE},
	};
	Suite *suite = suite_create("arena");
	SUITE_ADD(suite, "layout", 60, layout);
	SUITE_ADD(suite, "bells", 30, bells);
	tcase_add_checked_fixture(SUITE_ADD(suite, "room", 60, room), make_root, remove_root);
	return suite_end(suite);
}

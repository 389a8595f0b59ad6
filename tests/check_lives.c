/* SPDX-License-Identifier: Apache-2.0 */
/* A thousand lives of the runtime in one process: nothing is left of any of them. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/fork_ranks.h"
#include "tests/suite.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LIVES 200
#else
#define LIVES 1000
#endif
/* Until then allocators, the dynamic linker and the C library have settled. */
#define SETTLED 100
/* Resident memory may breathe by this much. */
#define SLACK_BYTES ((long)1 << 20)

struct holdings {
	int descriptors, mappings, threads;
	long resident;
};

static int entries(const char *path)
{
	DIR *dir = opendir(path);
	int n = 0;
	require(dir, "%s cannot be read", path);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int lines(const char *path)
{
	FILE *file = fopen(path, "r");
	int n = 0, c;
	require(file, "%s cannot be read", path);
	while ((c = getc(file)) != EOF)
		n += c == '\n';
	fclose(file);
	return n;
}

static struct holdings holdings(void)
{
	struct holdings h = {entries("/proc/self/fd"), lines("/proc/self/maps"),
			     entries("/proc/self/task"), 0};
	char text[200], *second;
	FILE *file = fopen("/proc/self/statm", "r");
	require(file && fgets(text, sizeof text, file), "no resident size");
	fclose(file);
	strtol(text, &second, 10);
	h.resident = strtol(second, NULL, 10) * sysconf(_SC_PAGESIZE);
	return h;
}

/*
 * A thread that was joined may stand in /proc a little longer: it tells who joins it before the
 * kernel takes it off the list.
 */
static bool threads_are_no_more_than(int most)
{
	const struct timespec moment = {.tv_nsec = 10000000};
	for (int i = 0; i < 1000; i++) {
		if (entries("/proc/self/task") <= most)
			return true;
		nanosleep(&moment, NULL);
	}
	return false;
}

static void live(int life)
{
	static float small[8], large[50000];
	ronde_handle h;
	require_ok(ronde_init(NULL));
	for (int i = 0; i < 50000; i++)
		large[i] = (float)life;
	require_ok(ronde_allreduce_async("large", large, large, 50000, RONDE_FLOAT32, RONDE_AVERAGE,
					 NULL, &h));
	require_ok(ronde_allreduce("small", small, small, 8, RONDE_FLOAT32, RONDE_SUM));
	require_ok(ronde_wait(h));
	require(large[49999] == (float)life, "life %d: wrong average", life);
	require_ok(ronde_barrier());
	require_ok(ronde_shutdown());
}

static void lives(int rank, int size, const void *arg)
{
	struct holdings before = {0}, now;
	(void)rank, (void)size, (void)arg;
	for (int life = 0; life < LIVES; life++) {
		if (life == SETTLED)
			before = holdings();
		live(life);
	}
	now = holdings();
	require(now.descriptors == before.descriptors, "descriptors: %d, then %d",
		before.descriptors, now.descriptors);
	require(threads_are_no_more_than(before.threads), "threads: %d, then %d", before.threads,
		now.threads);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	require(now.mappings <= before.mappings + 2, "mappings: %d, then %d", before.mappings,
		now.mappings);
	require(now.resident <= before.resident + SLACK_BYTES, "resident bytes: %ld, then %ld",
		before.resident, now.resident);
#endif
}

START_TEST(a_thousand)
{
	ck_assert_int_eq(fork_ranks(_i, lives, NULL), 0);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{a_thousand, 1, 3},
	};
	return SUITE_RUN("lives", 200, tests);
}

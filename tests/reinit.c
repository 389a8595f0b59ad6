/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts and stops the runtime again and again, sometimes with operations in between, and sometimes
 * without all ranks shutting down by themselves; memory, descriptors, mappings and threads must not
 * grow. Under a launcher it is one rank; alone it starts two ranks itself.
 *
 * usage: reinit CYCLES
 */
#include <dirent.h>
#include <stdbool.h>

#include "tests/fork_ranks.h"

/* What a process holds; resident memory is that of pages nobody else can see. */
struct holdings {
	long descriptors, mappings, threads, private_kib;
};

static long count_entries(const char *folder)
{
	DIR *d = opendir(folder);
	long n = 0;
	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static long count_lines(const char *path)
{
	FILE *f = fopen(path, "r");
	long n = 0;
	for (int c; f && (c = fgetc(f)) != EOF;)
		n += c == '\n';
	if (f)
		fclose(f);
	return n;
}

/* A line "KEY:   number kB" of /proc/self/status. */
static long status_number(const char *key)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	long n = -1;
	while (f && fgets(line, sizeof line, f))
		if (strncmp(line, key, strlen(key)) == 0)
			n = strtol(line + strlen(key), NULL, 10);
	if (f)
		fclose(f);
	return n;
}

static struct holdings take_stock(void)
{
	return (struct holdings){
		.descriptors = count_entries("/proc/self/fd"),
		.mappings = count_lines("/proc/self/maps"),
		.threads = status_number("Threads:"),
		.private_kib = status_number("RssAnon:"),
	};
}

static void work(int cycle)
{
	static float m[100000];
	float *heap = ronde_alloc(sizeof m);
	ronde_handle h[3];
	char name[32];
	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof name, "tensor-%d-%d", cycle, i);
		float *x = i == 0 ? heap : m + i * 1000;
		int64_t count = i == 1 ? 8 : 50000;
		require_ok(ronde_allreduce_async(name, x, x, count, RONDE_FLOAT32, RONDE_AVERAGE,
						 NULL, &h[i]));
	}
	for (int i = 0; i < 3; i++)
		require_ok(ronde_wait(h[i]));
	require_ok(ronde_free(heap));
	/* One that only some ranks ask for is ended by the shutdown; its handle is never waited
	 * for. */
	if (cycle % 3 == 0 && ronde_rank() == 0)
		require_ok(ronde_allreduce_async("alone", m, m, 50000, RONDE_FLOAT32, RONDE_SUM,
						 NULL, &h[0]));
}

static int run(int cycles, const char *address)
{
	struct holdings before = {0}, after = {0};
	char text[64];
	const int settled = cycles / 4;
	for (int i = 0; i < cycles; i++) {
		if (address) {
			snprintf(text, sizeof text, "%s-%d", address, i);
			setenv("RONDE_ADDRESS", text, 1);
		}
		require_ok(ronde_init(NULL));
		require(!address || ronde_size() == 2, "is one of %d ranks", ronde_size());
		if (i % 4 == 0)
			work(i);
		if (i == settled)
			before = take_stock();
		if (i == cycles - 1 - (cycles - 1 - settled) % 4)
			after = take_stock();
		require_ok(ronde_barrier());
		require_ok(ronde_shutdown());
	}
	printf("rank %s: %d cycles; descriptors %ld -> %ld, mappings %ld -> %ld, threads %ld -> "
	       "%ld, private memory %ld -> %ld KiB\n",
	       address ? getenv("RONDE_RANK") : "of a launcher", cycles, before.descriptors,
	       after.descriptors, before.mappings, after.mappings, before.threads, after.threads,
	       before.private_kib, after.private_kib);
	fflush(stdout);
	bool flat = after.descriptors == before.descriptors && after.threads == before.threads;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they keep what is freed */
	flat = flat && after.mappings <= before.mappings + 4 &&
	       after.private_kib <= before.private_kib + 256;
#endif
	if (!flat)
		fprintf(stderr, "something grows\n");
	return flat ? 0 : 1;
}

static int run_two(int cycles)
{
	char address[32];
	int bad = 0, status;
	pid_t pids[2];
	snprintf(address, sizeof address, "reinit-%d", (int)getpid());
	for (int r = 0; r < 2; r++) {
		pids[r] = fork();
		if (pids[r] == 0) {
			setenv("RONDE_RANK", r ? "1" : "0", 1);
			setenv("RONDE_SIZE", "2", 1);
			exit(run(cycles, address));
		}
	}
	for (int r = 0; r < 2; r++)
		bad |= waitpid(pids[r], &status, 0) != pids[r] || status;
	return bad;
}

int main(int argc, char **argv)
{
	int cycles = argc == 2 ? (int)strtol(argv[1], NULL, 10) : 0;
	if (cycles < 8) {
		fprintf(stderr, "usage: reinit CYCLES (8 or more)\n");
		return 2;
	}
	bool launched = getenv("OMPI_COMM_WORLD_RANK") || getenv("PMI_RANK");
	return launched ? run(cycles, NULL) : run_two(cycles);
}

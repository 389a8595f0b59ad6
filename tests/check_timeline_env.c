/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timeline as programs get it: by environment, by the public functions, and on disks that are
 * full or do not answer, while operations run. Ranks are processes.
 */
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/fork_ranks.h"
#include "tests/suite.h"
#include "tests/timeline_tool.h"

#define LARGE 5000

/* One carried and one staged operation; sums are as they should be. */
static void work(int steps)
{
	static float x[LARGE], large[LARGE];
	float size = (float)ronde_size();
	for (int step = 0; step < steps; step++) {
		ronde_handle handle;
		for (int i = 0; i < LARGE; i++)
			x[i] = (float)(i % 1000 + step);
		require_ok(ronde_allreduce_async("large", x, large, LARGE, RONDE_FLOAT32, RONDE_SUM,
						 NULL, &handle));
		float small[2] = {(float)step, 1};
		require_ok(ronde_allreduce("small", small, small, 2, RONDE_FLOAT32, RONDE_SUM));
		require(small[0] == (float)step * size && small[1] == size, "step %d: %g %g", step,
			small[0], small[1]);
		require_ok(ronde_wait(handle));
		for (int i = 0; i < LARGE; i++)
			require(large[i] == x[i] * size, "step %d: element %d is %g", step, i,
				large[i]);
	}
}

static void record(int rank, int size, const void *arg)
{
	(void)rank, (void)size, (void)arg;
	work(5);
}

/* ---- by environment ---- */

struct job {
	const char *set[7]; /* names and values */
	const char *files;  /* what is in the folder afterwards, as ls prints it */
	bool marks;
};

static const struct job jobs[] = {
	{{NULL}, "", false},
	{{"RONDE_TIMELINE", ""}, "", false},
	{{"RONDE_TIMELINE", "DYNAMIC"}, "", false},
	{{"HOROVOD_TIMELINE", "dynamic"}, "", false},
	{{"RONDE_TIMELINE", "a.json"}, "a.json\n", false},
	{{"HOROVOD_TIMELINE", "a.json"}, "a.json\n", false},
	{{"RONDE_TIMELINE", "a.json", "HOROVOD_TIMELINE", "b.json"}, "a.json\n", false},
	{{"RONDE_TIMELINE", "a.json", "RONDE_TIMELINE_RANKS", "0"}, "a.json\n", false},
	{{"RONDE_TIMELINE", "a.json", "RONDE_TIMELINE_RANKS", "all"},
	 "a.0.json\na.1.json\n",
	 false},
	{{"HOROVOD_TIMELINE", "r%r.x", "RONDE_TIMELINE_RANKS", "all"}, "r0.x\nr1.x\n", false},
	{{"RONDE_TIMELINE", "a.json", "RONDE_TIMELINE_MARK_CYCLES", "1"}, "a.json\n", true},
	{{"HOROVOD_TIMELINE", "a", "HOROVOD_TIMELINE_MARK_CYCLES", "1"}, "a\n", true},
	{{"RONDE_TIMELINE", "a", "RONDE_TIMELINE_MARK_CYCLES", "1", "RONDE_TIMELINE_RANKS", "all"},
	 "a.0\na.1\n",
	 true},
};

/* Runs two ranks in a new folder that is their working directory, with these variables. */
static void run_job(const char *folder, const char *const *set, fork_ranks_fn body)
{
	char path[PATH_MAX];
	folder_enter(folder);
	ck_assert_int_eq(chdir(in_folder(path, "")), 0);
	for (int i = 0; set[i]; i += 2)
		setenv(set[i], set[i + 1], 1);
	ck_assert_int_eq(fork_ranks(2, body, NULL), 0);
	for (int i = 0; set[i]; i += 2)
		unsetenv(set[i]);
}

/* Each of the files is one rank's whole timeline, of so many operations. */
static void judge_files(const char *files, bool marks, int operations)
{
	char name[NAME_MAX], arguments[PATH_MAX], said[100];
	int length, rank = 0;
	for (const char *at = files; sscanf(at, "%254s\n%n", name, &length) == 1; at += length) {
		snprintf(arguments, sizeof arguments, "check %s", name);
		snprintf(said, sizeof said, "1 timeline(s), %d operations: all is well",
			 operations);
		expect_tool(arguments, 0, said);
		snprintf(said, sizeof said, "\"args\":{\"name\":\"rank %d\"", rank++);
		expect_in(name, said);
		expect_in(name, "\"path\":\"staged\"");
		expect_in(name, "{\"name\":\"large\"}");
		(marks ? expect_in : expect_not_in)(name, "{\"name\":\"CYCLE_START\",\"ph\":\"i\"");
	}
}

START_TEST(by_environment)
{
	char folder[20];
	snprintf(folder, sizeof folder, "job%d", _i);
	run_job(folder, jobs[_i].set, record);
	expect_shell("ls", jobs[_i].files);
	/* fork_ranks() ends with a barrier. */
	judge_files(jobs[_i].files, jobs[_i].marks, 5 * 2 + 1);
}
END_TEST

/* Three lives of a process; each has a file of its own. */
static void live_again(int rank, int size, const void *arg)
{
	for (int life = 1; life <= 3; life++) {
		record(rank, size, arg);
		require_ok(ronde_barrier());
		if (life == 3)
			return;
		require_ok(ronde_shutdown());
		require_ok(ronde_init(NULL));
	}
}

START_TEST(lives)
{
	static const char *const set[] = {"RONDE_TIMELINE", "a.json", "RONDE_TIMELINE_RANKS", "all",
					  NULL};
	run_job("lives", set, live_again);
	expect_shell("ls", "a.0.json\na.0.l2.json\na.0.l3.json\n"
			   "a.1.json\na.1.l2.json\na.1.l3.json\n");
	judge_files("a.0.json\na.1.json\n", false, 5 * 2 + 1);
	judge_files("a.0.l2.json\na.1.l2.json\n", false, 5 * 2 + 1);
	judge_files("a.0.l3.json\na.1.l3.json\n", false, 5 * 2 + 2);
	expect_tool("check a.0.json a.0.l2.json", 2, "are both of rank 0");
}
END_TEST

START_TEST(no_folder)
{
	static const char *const set[] = {"RONDE_TIMELINE", "no/a.json", "RONDE_LOG_FILE", "log.%r",
					  NULL};
	run_job("no_folder", set, record);
	expect_shell("ls", "log.0\nlog.1\n");
	expect_in("log.0", "no timeline is recorded (RONDE_TIMELINE): cannot open the timeline "
			   "\"no/a.json\": No such file or directory; the folder must exist and be "
			   "writable\n");
	expect_not_in("log.1", "timeline");
}
END_TEST

/* ---- by calls ---- */

static bool is_whole(const char *path)
{
	char end[3] = "";
	FILE *file = fopen(path, "re");
	if (!file)
		return false;
	fseek(file, -2, SEEK_END);
	size_t n = fread(end, 1, 2, file);
	fclose(file);
	return n == 2 && strcmp(end, "]\n") == 0;
}

static void start_and_stop(int rank, int size, const void *arg)
{
	ronde_timeline_options options = RONDE_TIMELINE_OPTIONS_INIT;
	char path[30];
	(void)size, (void)arg;
	work(1);
	require(access("one.0.json", F_OK), "DYNAMIC records");
	require_ok(ronde_barrier());
	options.all_ranks = options.mark_cycles = 1;
	require_ok(ronde_timeline_start("one.json", &options));
	require_ok(ronde_barrier());
	work(5);
	require_ok(ronde_timeline_stop());
	snprintf(path, sizeof path, "one.%d.json", rank);
	require(is_whole(path), "%s is not whole", path);
	require_ok(ronde_timeline_stop());
	work(1);
	/* Rank 0 only. */
	require_ok(ronde_timeline_start("two.json", NULL));
	require_ok(ronde_barrier());
	work(5);
	require_ok(ronde_timeline_stop());
	require(is_whole("two.json") || rank != 0, "two.json is not whole");
	/* Not stopped: the end of the runtime does it. */
	options.mark_cycles = 0;
	require_ok(ronde_timeline_start("r%r.json", &options));
	work(5);
}

START_TEST(by_calls)
{
	static const char *const set[] = {"RONDE_TIMELINE", "DYNAMIC", NULL};
	run_job("by_calls", set, start_and_stop);
	expect_shell("ls", "one.0.json\none.1.json\nr0.json\nr1.json\ntwo.json\n");
	judge_files("one.0.json\none.1.json\n", true, 5 * 2 + 1);
	judge_files("two.json\n", false, 5 * 2 + 1);
	expect_tool("check one.0.json one.1.json", 0, ": all is well");
	expect_tool("check r0.json r1.json", 0, ": all is well");
}
END_TEST

static void refused(int rank, int size, const void *arg)
{
	ronde_timeline_options options = RONDE_TIMELINE_OPTIONS_INIT;
	char text[10];
	(void)size, (void)arg;
	require_error(ronde_timeline_start(NULL, NULL), RONDE_ERR_INVALID_ARGUMENT,
		      "ronde_timeline_start: the path is NULL");
	require_error(ronde_timeline_start("", NULL), RONDE_ERR_INVALID_ARGUMENT,
		      "ronde_timeline_start: the path is empty");
	options.size = 3;
	require_error(ronde_timeline_start("a.json", &options), RONDE_ERR_INVALID_ARGUMENT,
		      "ronde_timeline_start: the options' size is 3; start from "
		      "RONDE_TIMELINE_OPTIONS_INIT");
	options.size = sizeof options;
	options.all_ranks = 1;
	require_error(ronde_timeline_start("%d", &options), RONDE_ERR_INVALID_ARGUMENT,
		      "the timeline's path is \"%d\": a % may only be followed by r (rank), h "
		      "(host) or another %");
	require_error(ronde_timeline_start("no/a%r.json", &options), RONDE_ERR_SYSTEM,
		      rank ? "cannot open the timeline \"no/a1.json\": No such file or directory; "
			     "the folder must exist and be writable"
			   : "cannot open the timeline \"no/a0.json\": No such file or directory; "
			     "the folder must exist and be writable");
	require_ok(ronde_timeline_start("a.json", &options));
	require_error(ronde_timeline_start("b.json", &options), RONDE_ERR_BUSY,
		      rank ? "a timeline is being recorded to \"a.1.json\"; stop it first"
			   : "a timeline is being recorded to \"a.0.json\"; stop it first");
	require_error(ronde_stall_report(NULL, 0), RONDE_ERR_INVALID_ARGUMENT,
		      "ronde_stall_report: no room for a text");
	require_error(ronde_stall_report(text, 0), RONDE_ERR_INVALID_ARGUMENT,
		      "ronde_stall_report: no room for a text");
	require_error(ronde_stall_report(NULL, 10), RONDE_ERR_INVALID_ARGUMENT,
		      "ronde_stall_report: no room for a text");
	require_ok(ronde_stall_report(text, sizeof text));
	require(!*text, "a stall: %s", text);
	work(5);
}

START_TEST(refusals)
{
	static const char *const set[] = {NULL};
	run_job("refusals", set, refused);
	expect_shell("ls", "a.0.json\na.1.json\n");
	expect_tool("check a.0.json a.1.json", 0, ": all is well");
}
END_TEST

/* ---- disks ---- */

static void fill_disk(int rank, int size, const void *arg)
{
	ronde_timeline_options options = RONDE_TIMELINE_OPTIONS_INIT;
	struct rlimit limit = {50000, 50000};
	struct stat file;
	(void)size, (void)arg;
	options.all_ranks = 1;
	signal(SIGXFSZ, SIG_DFL); /* the writing thread must block it */
	require(setrlimit(RLIMIT_FSIZE, &limit) == 0, "no limit");
	require_ok(ronde_timeline_start("full.json", &options));
	work(1000);
	require_ok(ronde_timeline_stop());
	require(stat(rank ? "full.1.json" : "full.0.json", &file) == 0 && file.st_size <= 50000,
		"%ld bytes", (long)file.st_size);
	work(10);
}

START_TEST(full_disk)
{
	static const char *const set[] = {"RONDE_LOG_FILE", "log.%r", NULL};
	run_job("full_disk", set, fill_disk);
	for (int rank = 0; rank < 2; rank++) {
		char check[30], log[10], text[100];
		snprintf(check, sizeof check, "check full.%d.json", rank);
		expect_tool(check, 1, " records, dropped when written\n");
		snprintf(log, sizeof log, "log.%d", rank);
		snprintf(text, sizeof text,
			 "cannot write to the timeline \"full.%d.json\": File "
			 "too large; what does not fit into it is dropped\n",
			 rank);
		expect_in(log, text);
	}
}
END_TEST

/* A disk that does not answer. */
enum { ANSWERS, HANGS, HOLDS_A_WRITE };
static _Atomic int disk;

ssize_t __real_write(int fd, const void *bytes, size_t count);
ssize_t __wrap_write(int fd, const void *bytes, size_t count);

ssize_t __wrap_write(int fd, const void *bytes, size_t count)
{
	char thread[16] = "";
	prctl(PR_GET_NAME, thread);
	if (atomic_load(&disk) != ANSWERS && strcmp(thread, "ronde-timeline") == 0) {
		atomic_store(&disk, HOLDS_A_WRITE);
		while (atomic_load(&disk) != ANSWERS)
			usleep(1000);
	}
	return __real_write(fd, bytes, count);
}

static double seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void hang_disk(int rank, int size, const void *arg)
{
	ronde_timeline_options options = RONDE_TIMELINE_OPTIONS_INIT;
	const char *path = rank ? "hangs.1.json" : "hangs.0.json";
	(void)size, (void)arg;
	options.all_ranks = 1;
	require_ok(ronde_timeline_start("hangs.json", &options));
	atomic_store(&disk, HANGS);
	work(1); /* the write of this waits */
	double begin = seconds();
	while (atomic_load(&disk) != HOLDS_A_WRITE && seconds() < begin + 20)
		usleep(1000);
	require(atomic_load(&disk) == HOLDS_A_WRITE, "nothing is written");
	work(1000);
	require_ok(ronde_barrier());
	begin = seconds();
	require_ok(ronde_timeline_stop());
	double took = seconds() - begin;
	require(took > 4.5 && took < 20, "to stop took %.1f s", took);
	require(!is_whole(path), "%s is whole", path);
	work(10);
	/* The disk answers at last: the file becomes whole, though nobody waits for it. */
	atomic_store(&disk, ANSWERS);
	begin = seconds();
	while (!is_whole(path) && seconds() < begin + 20)
		usleep(1000);
	require(is_whole(path), "%s is not whole", path);
}

START_TEST(hanging_disk)
{
	static const char *const set[] = {"RONDE_LOG_FILE", "log.%r", NULL};
	run_job("hanging_disk", set, hang_disk);
	expect_in("log.0",
		  "the timeline \"hangs.0.json\" is not closed after 5 s: its disk does not "
		  "answer\n");
	expect_in("log.1",
		  "the timeline \"hangs.1.json\" is not closed after 5 s: its disk does not "
		  "answer\n");
}
END_TEST

static Suite *timeline_env_suite(void)
{
	const struct suite_test tests[] = {
		{by_environment, 0, sizeof jobs / sizeof *jobs},
		{lives, ONCE},
		{no_folder, ONCE},
		{by_calls, ONCE},
		{refusals, ONCE},
		{full_disk, ONCE},
		{hanging_disk, ONCE},
	};
	Suite *suite = suite_create("timeline_env");
	SUITE_ADD(suite, "timeline_env", 100, tests);
	return suite;
}

int main(int argc, char **argv)
{
	return timeline_tool_main(argc, argv, timeline_env_suite);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stall inspector: ranks that are late, stopped, out of step or waiting for each other, and
 * what is said of them. Times and process numbers in a text are compared as #.
 */
#include "tests/fault_ranks.h"

#include <check.h>
#include <ctype.h>
#include <sys/mman.h>

/* Warnings in seconds, and how much later they may come: 1 s is promised. */
#define WARN 0.5
#define WARN_TEXT "0.5"
#define LATER (FAULT_CHECKED ? 5.0 : 1.0)
#define COUNT 40000 /* floats that do not ride */

enum phase { READY = 1, GOING, DONE };

#define MOST_REPORTS 8

/* What a rank's log says. */
struct lines {
	_Atomic int n;
	uint64_t at[MOST_REPORTS];
	char text[MOST_REPORTS][RONDE_STALL_REPORT_MAX];
};

static struct lines *lines; /* [FAULT_RANKS_MAX] */

/* "#" for numbers with a point, and for what follows "process ". */
static void blur(const char *from, char *to, size_t bytes)
{
	char *end = to + bytes - 1;
	const char *start = from;
	while (*from && to < end) {
		size_t digits = strspn(from, "0123456789");
		bool pid = from - start >= 8 && strncmp(from - 8, "process ", 8) == 0;
		if (digits && (pid || (from[digits] == '.' && isdigit(from[digits + 1])))) {
			from += digits;
			if (*from == '.' && isdigit(from[1]))
				from += 1 + strspn(from + 1, "0123456789");
			*to++ = '#';
		} else {
			*to++ = *from++;
		}
	}
	*to = 0;
}

static void keep_line(ronde_log_level level, const char *message, void *arg)
{
	struct lines *mine = arg;
	int n = atomic_load(&mine->n);
	if (level > RONDE_LOG_WARN || n == MOST_REPORTS)
		return;
	mine->at[n] = scene_now();
	blur(message, mine->text[n], sizeof mine->text[n]);
	atomic_store(&mine->n, n + 1);
}

/* Starts a rank that keeps its log lines. */
static void begin(struct scene *scene, int rank)
{
	require_ok(ronde_set_log_function(keep_line, &lines[rank]));
	require_ok(ronde_init(NULL));
	require_ok(ronde_barrier());
	scene_reach(scene, rank, READY);
}

static void finish(struct scene *scene, int rank)
{
	scene_reach(scene, rank, DONE);
	require_ok(ronde_barrier());
	require_ok(ronde_shutdown());
}

/* ---- the director ---- */

static struct scene *open_scene(int n, scene_body body, const char *shutdown)
{
	lines = mmap(NULL, FAULT_RANKS_MAX * sizeof *lines, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(lines, MAP_FAILED);
	setenv("RONDE_STALL_CHECK_TIME_SECONDS", WARN_TEXT, 1);
	setenv("RONDE_STALL_SHUTDOWN_TIME_SECONDS", shutdown, 1);
	return scene_open(n, body, NULL);
}

/* Waits for line number k of a rank. */
static void await_line(struct scene *scene, int rank, int k)
{
	uint64_t start = scene_now();
	while (atomic_load(&lines[rank].n) <= k && scene_now() - start < 30000000000u &&
	       scene_runs(scene, rank))
		sleep_ms(5);
	ck_assert_msg(atomic_load(&lines[rank].n) > k, "rank %d has said nothing", rank);
}

static void in_time(uint64_t start, int rank, int k)
{
	double took = (double)(lines[rank].at[k] - start) * 1e-9;
	ck_assert_msg(took > WARN * 0.9 && took < WARN + LATER, "the report came after %.3f s",
		      took);
}

static void close_scene(struct scene *scene)
{
	scene_close(scene, 0);
	munmap(lines, FAULT_RANKS_MAX * sizeof *lines);
}

#define HEAD "operations wait for other ranks, the first for # s:\n"
#define OVER "no operation waits for other ranks any more"
#define LATE                                                                                       \
	" is late: no thread of it waits for an operation, it computes or does something else; "   \
	"it last submitted one # s ago"

/* ---- sums that must come out right whatever happened on the way ---- */

static void fill(float *m, int rank)
{
	for (int i = 0; i < COUNT; i++)
		m[i] = (float)(rank + 1) * 0.1f + (float)i * 0.001f;
}

static void check_sum(const float *m, int size)
{
	float parts[FAULT_RANKS_MAX];
	for (int i = 0; i < COUNT; i++) {
		for (int r = 0; r < size; r++)
			parts[r] = (float)(r + 1) * 0.1f + (float)i * 0.001f;
		for (int step = 1; step < size; step *= 2)
			for (int r = 0; r + step < size; r += 2 * step)
				parts[r] += parts[r + step];
		require(m[i] == parts[0], "element %d: %.9g is not %.9g", i, m[i], parts[0]);
	}
}

static ronde_handle submit(const char *name, float *m)
{
	ronde_handle handle;
	require_ok(
		ronde_allreduce_async(name, m, m, COUNT, RONDE_FLOAT32, RONDE_SUM, NULL, &handle));
	return handle;
}

/* ---- a rank that is late, or does not come ---- */

static float data[3][COUNT];
static int late_rank;

static void late_body(struct scene *scene, int rank)
{
	begin(scene, rank);
	fill(data[0], rank);
	if (rank == late_rank)
		scene_wait_go(scene);
	require_ok(ronde_wait(submit("grad", data[0])));
	check_sum(data[0], scene->n);
	finish(scene, rank);
}

START_TEST(late)
{
	late_rank = _i;
	struct scene *scene = open_scene(3, late_body, "0");
	for (int r = 0; r < 3; r++)
		scene_await(scene, r, READY);
	uint64_t start = scene_now();
	await_line(scene, 0, 0);
	in_time(start, 0, 0);
	char want[1000];
	snprintf(want, sizeof want,
		 HEAD "# s: allreduce \"grad\": submitted by %s, not by rank %d\nrank %d" LATE,
		 late_rank == 0   ? "ranks 1-2"
		 : late_rank == 1 ? "ranks 0, 2"
				  : "ranks 0-1",
		 late_rank, late_rank);
	ck_assert_str_eq(lines[0].text[0], want);
	/* It is told once; then, that nothing has changed; then, that it is over. */
	await_line(scene, 0, 1);
	ck_assert_str_eq(lines[0].text[1], "operations wait for other ranks, the first for # s; "
					   "nothing has changed since the last report");
	double period = (double)(lines[0].at[1] - lines[0].at[0]) * 1e-9;
	ck_assert_msg(period > WARN * 0.9, "two reports within %.3f s", period);
	atomic_store(&scene->go, 1);
	for (int r = 0; r < 3; r++)
		scene_await(scene, r, DONE);
	close_scene(scene);
}
END_TEST

/* ---- a rank that is stopped ---- */

static int stopped_rank;

static void stopped_body(struct scene *scene, int rank)
{
	begin(scene, rank);
	fill(data[0], rank);
	scene_wait_go(scene);
	require_ok(ronde_wait(submit("grad", data[0])));
	check_sum(data[0], scene->n);
	finish(scene, rank);
}

START_TEST(stopped)
{
	static const char *const texts[] = {
		"nothing has got on for # s: rank %d waits for allreduce \"grad\"\n"
		"rank 0, which orders the operations of this node, is stopped (SIGSTOP or job "
		"control; process #): kill -CONT lets it go on",
		HEAD "# s: allreduce \"grad\": submitted by ranks 0, 2, not by rank 1\n"
		     "rank 1 is stopped (SIGSTOP or job control; process #): kill -CONT lets it go "
		     "on"};
	stopped_rank = _i;
	struct scene *scene = open_scene(3, stopped_body, "0");
	for (int r = 0; r < 3; r++)
		scene_await(scene, r, READY);
	scene_signal(scene, stopped_rank, SIGSTOP);
	sleep_ms(50);
	atomic_store(&scene->go, 1);
	uint64_t start = scene_now();
	int teller = stopped_rank ? 0 : 1;
	while (!stopped_rank && !atomic_load(&lines[1].n) && !atomic_load(&lines[2].n) &&
	       scene_now() - start < 20000000000u)
		sleep_ms(5);
	if (!stopped_rank && !atomic_load(&lines[1].n))
		teller = 2;
	await_line(scene, teller, 0);
	in_time(start, teller, 0);
	char want[1000];
	if (stopped_rank)
		snprintf(want, sizeof want, "%s", texts[1]);
	else
		snprintf(want, sizeof want, texts[0], teller);
	ck_assert_str_eq(lines[teller].text[0], want);
	scene_signal(scene, stopped_rank, SIGCONT);
	for (int r = 0; r < 3; r++)
		scene_await(scene, r, DONE);
	close_scene(scene);
}
END_TEST

/* ---- stopped while an operation is being executed ---- */

static void running_body(struct scene *scene, int rank)
{
	begin(scene, rank);
	fill(data[0], rank);
	if (rank == 1) {
		ronde_handle handle = submit("grad", data[0]);
		scene_reach(scene, rank, GOING);
		scene_wait_go(scene);
		require_ok(ronde_wait(handle));
	} else {
		scene_wait_go(scene);
		require_ok(ronde_wait(submit("grad", data[0])));
	}
	check_sum(data[0], scene->n);
	finish(scene, rank);
}

START_TEST(stopped_while_running)
{
	struct scene *scene = open_scene(2, running_body, "0");
	scene_await(scene, 0, READY);
	scene_await(scene, 1, GOING);
	scene_signal(scene, 1, SIGSTOP);
	sleep_ms(50);
	atomic_store(&scene->go, 1);
	await_line(scene, 0, 0);
	ck_assert_str_eq(lines[0].text[0],
			 HEAD "# s: allreduce \"grad\": all ranks have submitted it; it was begun, "
			      "and does not get on\n"
			      "rank 1 is stopped (SIGSTOP or job control; process #): kill -CONT "
			      "lets it go on");
	scene_signal(scene, 1, SIGCONT);
	for (int r = 0; r < 2; r++)
		scene_await(scene, r, DONE);
	close_scene(scene);
}
END_TEST

/* ---- crossing waits, which only the shutdown time ends ---- */

#define ADVICE                                                                                     \
	": none of them can go on. Make calls that wait in the same order on all ranks, or "       \
	"submit "                                                                                  \
	"without waiting (_async) and wait when all is submitted"

static void crossing_body(struct scene *scene, int rank)
{
	char name[8];
	begin(scene, rank);
	snprintf(name, sizeof name, "t%d", rank);
	sleep_ms(100L * rank); /* so that the oldest is known */
	int status = ronde_allreduce(name, data[0], data[0], COUNT, RONDE_FLOAT32, RONDE_SUM);
	require(status == RONDE_ERR_STALLED, "%s: %s", ronde_status_name(status),
		ronde_error_message());
	blur(ronde_error_message(), lines[rank].text[MOST_REPORTS - 1], RONDE_STALL_REPORT_MAX);
	/* The runtime has ended; it says why again, and can be shut down. */
	status = ronde_barrier();
	require(status == RONDE_ERR_STALLED, "%s", ronde_status_name(status));
	char report[RONDE_STALL_REPORT_MAX];
	require_ok(ronde_stall_report(report, sizeof report));
	require(strcmp(report, ronde_error_message()) == 0, "%s", report);
	scene_reach(scene, rank, DONE);
	require_ok(ronde_shutdown());
}

static void check_crossing(int n, const char *body)
{
	struct scene *scene = open_scene(n, crossing_body, "1.5");
	for (int r = 0; r < n; r++)
		scene_await(scene, r, DONE);
	char want[3000];
	snprintf(want, sizeof want, HEAD "%s", body);
	ck_assert_str_eq(lines[0].text[0], want);
	snprintf(want, sizeof want,
		 "Ronde has ended (RONDE_STALL_SHUTDOWN_TIME_SECONDS is #): " HEAD "%s", body);
	for (int r = 0; r < n; r++)
		ck_assert_str_eq(lines[r].text[MOST_REPORTS - 1], want);
	close_scene(scene);
}

START_TEST(crossing)
{
	check_crossing(2, "# s: allreduce \"t0\": submitted by rank 0, not by rank 1\n"
			  "# s: allreduce \"t1\": submitted by rank 1, not by rank 0\n"
			  "rank 0 waits in allreduce \"t0\" (# s)\n"
			  "rank 1 waits in allreduce \"t1\" (# s)\n"
			  "deadlock: rank 0 waits in allreduce \"t0\" for rank 1, rank 1 waits in "
			  "allreduce \"t1\" for rank 0" ADVICE);
}
END_TEST

START_TEST(crossing_of_three)
{
	check_crossing(
		3,
		"# s: allreduce \"t0\": submitted by rank 0, not by ranks 1-2\n"
		"# s: allreduce \"t1\": submitted by rank 1, not by ranks 0, 2\n"
		"# s: allreduce \"t2\": submitted by rank 2, not by ranks 0-1\n"
		"rank 0 waits in allreduce \"t0\" (# s)\n"
		"rank 1 waits in allreduce \"t1\" (# s)\n"
		"rank 2 waits in allreduce \"t2\" (# s)\n"
		"deadlock: rank 0 waits in allreduce \"t0\" for rank 1, rank 1 waits in allreduce "
		"\"t1\" for rank 0" ADVICE);
}
END_TEST

/* ---- one name for two operations ---- */

static ronde_handle submit_gather(const char *name, ronde_gathered *all)
{
	static const int64_t shape[] = {1, 8};
	ronde_handle handle;
	require_ok(
		ronde_allgather_async(name, data[1], shape, 2, RONDE_FLOAT32, all, NULL, &handle));
	return handle;
}

static void kinds_body(struct scene *scene, int rank)
{
	ronde_gathered all = {0};
	ronde_handle first, second;
	begin(scene, rank);
	sleep_ms(150L * rank);
	first = rank ? submit_gather("x", &all) : submit("x", data[0]);
	scene_wait_go(scene);
	second = rank ? submit("x", data[0]) : submit_gather("x", &all);
	require_ok(ronde_wait(first));
	require_ok(ronde_wait(second));
	free(all.data);
	finish(scene, rank);
}

static ronde_handle submit_to(int set, float *m)
{
	ronde_options options = RONDE_OPTIONS_INIT;
	ronde_handle handle;
	options.process_set = set;
	require_ok(ronde_allreduce_async("x", m, m, COUNT, RONDE_FLOAT32, RONDE_SUM, &options,
					 &handle));
	return handle;
}

static void check_hint(int n, scene_body body, const char *want)
{
	struct scene *scene = open_scene(n, body, "0");
	await_line(scene, 0, 0);
	const char *hint = strstr(lines[0].text[0], "one name");
	ck_assert_msg(hint, "no hint: %s", lines[0].text[0]);
	ck_assert_str_eq(hint, want);
	atomic_store(&scene->go, 1);
	for (int r = 0; r < n; r++)
		scene_await(scene, r, DONE);
	close_scene(scene);
}

START_TEST(two_kinds)
{
	check_hint(
		2, kinds_body,
		"one name for two operations: rank 0 submitted allreduce \"x\", rank 1 submitted "
		"allgather \"x\": these are different tensors");
}
END_TEST

/* ---- unnamed operations out of step ---- */

static void unnamed_body(struct scene *scene, int rank)
{
	begin(scene, rank);
	for (int i = 0; i < 2 - rank; i++) {
		int status =
			ronde_allreduce(NULL, data[0], data[0], COUNT, RONDE_FLOAT32, RONDE_SUM);
		require(status == (i ? RONDE_ERR_STALLED : RONDE_OK), "%s",
			ronde_status_name(status));
	}
	if (rank)
		require(ronde_barrier() == RONDE_ERR_STALLED, "%s", ronde_error_message());
	scene_reach(scene, rank, DONE);
	require_ok(ronde_shutdown());
}

START_TEST(out_of_step)
{
	struct scene *scene = open_scene(2, unnamed_body, "1.5");
	for (int r = 0; r < 2; r++)
		scene_await(scene, r, DONE);
	const char *hint = strstr(lines[0].text[0], "unnamed");
	ck_assert_msg(hint, "no hint: %s", lines[0].text[0]);
	ck_assert_msg(
		strncmp(hint,
			"unnamed operations are matched by their order: allreduce number 1 is "
			"waited for, rank 1 has made 1 (counted from 0) and waits for something "
			"else; it seems to have skipped one. With names this cannot happen\n",
			200) == 0,
		"%s", hint);
	ck_assert_ptr_nonnull(strstr(lines[0].text[0],
				     "deadlock: rank 0 waits in "
				     "allreduce.noname.1 for rank 1, rank 1 waits "
				     "in barrier.noname.1 for rank 0"));
	close_scene(scene);
}
END_TEST

/* ---- a set waits while another works ---- */

static void busy_body(struct scene *scene, int rank)
{
	static const int pairs[2][2] = {{0, 1}, {2, 3}};
	int sets[2];
	begin(scene, rank);
	for (int i = 0; i < 2; i++)
		require_ok(ronde_process_set_add(pairs[i], 2, &sets[i]));
	if (rank == 3)
		scene_wait_go(scene);
	bool more = true;
	while (rank < 2 && more) { /* together */
		float go = rank == 0 && atomic_load(&scene->go);
		ronde_options options = RONDE_OPTIONS_INIT;
		ronde_handle handle;
		require_ok(ronde_wait(submit_to(sets[0], data[0])));
		options.process_set = sets[0];
		require_ok(ronde_allreduce_async("go", &go, &go, 1, RONDE_FLOAT32, RONDE_SUM,
						 &options, &handle));
		require_ok(ronde_wait(handle));
		more = go == 0;
	}
	if (rank >= 2)
		require_ok(ronde_wait(submit_to(sets[1], data[0])));
	finish(scene, rank);
}

START_TEST(while_another_set_works)
{
	struct scene *scene = open_scene(4, busy_body, "0");
	await_line(scene, 0, 0);
	ck_assert_str_eq(lines[0].text[0],
			 HEAD "# s: allreduce \"x\" of set 2: submitted by rank 2, not by rank 3\n"
			      "rank 3" LATE);
	atomic_store(&scene->go, 1);
	for (int r = 0; r < 4; r++)
		scene_await(scene, r, DONE);
	close_scene(scene);
}
END_TEST

/* ---- none, if nobody wants one ---- */

START_TEST(disabled)
{
	setenv("RONDE_STALL_CHECK_DISABLE", "1", 1);
	late_rank = 1;
	struct scene *scene = open_scene(3, late_body, "0.6");
	for (int r = 0; r < 3; r++)
		scene_await(scene, r, READY);
	sleep_ms(1500);
	atomic_store(&scene->go, 1);
	for (int r = 0; r < 3; r++)
		scene_await(scene, r, DONE);
	for (int r = 0; r < 3; r++)
		ck_assert_int_eq(atomic_load(&lines[r].n), 0);
	close_scene(scene);
}
END_TEST

static Suite *stall_suite(void)
{
	Suite *suite = suite_create("stall");
	TCase *tests = tcase_create("stall");
	tcase_set_timeout(tests, 100);
	tcase_add_loop_test(tests, late, 0, 3);
	tcase_add_loop_test(tests, stopped, 0, 2);
	tcase_add_test(tests, stopped_while_running);
	tcase_add_test(tests, crossing);
	tcase_add_test(tests, crossing_of_three);
	tcase_add_test(tests, two_kinds);
	tcase_add_test(tests, out_of_step);
	tcase_add_test(tests, while_another_set_works);
	tcase_add_test(tests, disabled);
	suite_add_tcase(suite, tests);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(stall_suite());
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}

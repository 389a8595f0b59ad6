/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/stall_ranks.h"

#include <ctype.h>
#include <sys/mman.h>

/* Nothing is waited for longer, whatever the machine does besides. */
#define PATIENCE 30000000000u

struct lines *lines;

/* ---- what ranks say ---- */

/* "#" for numbers with a point, and for what follows "process ". */
static void blur(const char *from, char *to, size_t bytes, int *process)
{
	char *end = to + bytes - 1;
	const char *start = from;
	*process = 0;
	while (*from && to < end) {
		size_t digits = strspn(from, "0123456789");
		bool pid = from - start >= 8 && strncmp(from - 8, "process ", 8) == 0;
		if (digits && pid && !*process)
			*process = (int)strtol(from, NULL, 10);
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
	mine->at[n] = scene_mark();
	blur(message, mine->text[n], sizeof mine->text[n], &mine->process[n]);
	atomic_store(&mine->n, n + 1);
}

void stall_begin(struct scene *scene, int rank)
{
	require_ok(ronde_set_log_function(keep_line, &lines[rank]));
	require_ok(ronde_init(NULL));
	require_ok(ronde_barrier());
	scene_reach(scene, rank, READY);
}

void stall_waits_now(int rank)
{
	lines[rank].began = scene_mark();
	atomic_store(&lines[rank].waits, true);
}

void stall_take_turns(struct scene *scene, int rank)
{
	while (rank && atomic_load(&scene->ranks[rank - 1].phase) < GOING)
		sleep_ms(1);
	sleep_ms(rank ? 150 : 0);
	stall_waits_now(rank);
	scene_reach(scene, rank, GOING);
}

void stall_finish(struct scene *scene, int rank)
{
	scene_reach(scene, rank, DONE);
	require_ok(ronde_barrier());
	require_ok(ronde_shutdown());
}

void stall_keep_error(int rank)
{
	int process;
	blur(ronde_error_message(), lines[rank].last, sizeof lines[rank].last, &process);
}

void stall_end(struct scene *scene, int rank, int status)
{
	require(status == RONDE_ERR_STALLED, "%s: %s", ronde_status_name(status),
		ronde_error_message());
	scene_told(scene, rank);
	stall_keep_error(rank);
	status = ronde_barrier();
	require(status == RONDE_ERR_STALLED, "%s", ronde_status_name(status));
	char report[RONDE_STALL_REPORT_MAX];
	require_ok(ronde_stall_report(report, sizeof report));
	require(strcmp(report, ronde_error_message()) == 0, "%s", report);
	require_ok(ronde_shutdown()); /* it delivers what is to be logged */
	scene_reach(scene, rank, DONE);
}

/* ---- sums that must come out right whatever happened on the way ---- */

void stall_fill(float *m, int rank)
{
	for (int i = 0; i < COUNT; i++)
		m[i] = (float)(rank + 1) * 0.1f + (float)i * 0.001f;
}

void stall_check_sum(const float *m, int size)
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

ronde_handle stall_submit_to(int set, const char *name, float *m)
{
	ronde_options options = RONDE_OPTIONS_INIT;
	ronde_handle handle;
	options.process_set = set;
	require_ok(ronde_allreduce_async(name, m, m, COUNT, RONDE_FLOAT32, RONDE_SUM, &options,
					 &handle));
	return handle;
}

ronde_handle stall_submit(const char *name, float *m)
{
	return stall_submit_to(0, name, m);
}

/* ---- the director ---- */

struct scene *stall_open(int n, scene_body body, const char *shutdown)
{
	lines = mmap(NULL, FAULT_RANKS_MAX * sizeof *lines, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(lines, MAP_FAILED);
	setenv("RONDE_STALL_CHECK_TIME_SECONDS", WARN_TEXT, 1);
	setenv("RONDE_STALL_SHUTDOWN_TIME_SECONDS", shutdown, 1);
	return scene_open(n, body, NULL);
}

void stall_close(struct scene *scene, unsigned victims)
{
	atomic_store(&scene->go, 1);
	for (int r = 0; r < scene->n; r++)
		if (!(victims >> r & 1))
			scene_await(scene, r, DONE);
	scene_close(scene, victims);
	munmap(lines, FAULT_RANKS_MAX * sizeof *lines);
}

void stall_await_all(struct scene *scene, int phase)
{
	for (int r = 0; r < scene->n; r++)
		scene_await(scene, r, phase);
}

void stall_await_line(struct scene *scene, int rank, int k)
{
	uint64_t start = scene_now();
	while (atomic_load(&lines[rank].n) <= k && scene_now() - start < PATIENCE &&
	       scene_runs(scene, rank))
		sleep_ms(5);
	ck_assert_msg(atomic_load(&lines[rank].n) > k, "rank %d has said nothing", rank);
}

int stall_await_teller(struct scene *scene, int first)
{
	uint64_t start = scene_now();
	while (scene_now() - start < PATIENCE) {
		for (int r = first; r < scene->n; r++)
			if (atomic_load(&lines[r].n))
				return r;
		sleep_ms(5);
	}
	ck_abort_msg("no rank from %d on has said anything", first);
}

/* Among the first n lines; or -1. */
static int find(int rank, int n, const char *text, bool whole)
{
	for (int k = 0; k < n; k++) {
		const char *line = lines[rank].text[k];
		if (whole ? strcmp(line, text) == 0 : strstr(line, text) != NULL)
			return k;
	}
	return -1;
}

static int await_found(struct scene *scene, int rank, const char *text, bool whole)
{
	uint64_t start = scene_now();
	for (;;) {
		/* What a rank has said it has said, also if it ends now. */
		bool more = scene_runs(scene, rank) && scene_now() - start < PATIENCE;
		int n = atomic_load(&lines[rank].n);
		int k = find(rank, n, text, whole);
		if (k >= 0)
			return k;
		if (!more || n == MOST_REPORTS)
			break;
		sleep_ms(5);
	}
	for (int k = 0; k < atomic_load(&lines[rank].n); k++)
		fprintf(stderr, "rank %d: %s\n", rank, lines[rank].text[k]);
	ck_abort_msg("rank %d has not said: %s", rank, text);
}

int stall_await_text(struct scene *scene, int rank, const char *text)
{
	return await_found(scene, rank, text, true);
}

int stall_await_part(struct scene *scene, int rank, const char *text)
{
	return await_found(scene, rank, text, false);
}

/* Not before `least`, and not later than is promised after a limit, unless others are to blame. */
static void check_time(struct moment start, struct moment end, double least, double limit,
		       const char *what)
{
	double took = scene_seconds(start, end), own = scene_own_seconds(start, end);
	ck_assert_msg(took > least && own < limit + LATER,
		      "%s came after %.3f s, of which %.3f s were lost", what, took, took - own);
}

void stall_in_time(struct moment start, int rank, int k)
{
	check_time(start, lines[rank].at[k], 0.9 * WARN, WARN, "the report");
}

struct moment stall_began(const struct scene *scene)
{
	struct moment first = {.at = UINT64_MAX};
	for (int r = 0; r < scene->n; r++)
		if (atomic_load(&lines[r].waits) && lines[r].began.at < first.at)
			first = lines[r].began;
	ck_assert_msg(first.at != UINT64_MAX, "no rank has said that it waits");
	return first;
}

static void ended_in_time(const struct scene *scene, unsigned victims)
{
	struct moment start = stall_began(scene);
	for (int r = 0; r < scene->n; r++) {
		const struct fault_rank *rank = &scene->ranks[r];
		if (!(victims >> r & 1))
			check_time(start,
				   (struct moment){.at = atomic_load(&rank->told_at),
						   .lost = rank->told_lost},
				   SHUTDOWN, SHUTDOWN, "the end");
	}
}

#define ENDED "Ronde has ended"

void stall_check_end_of(struct scene *scene, int rank, const char *report)
{
	char want[RONDE_STALL_REPORT_MAX];
	scene_await(scene, rank, DONE);
	snprintf(want, sizeof want, ENDED " (RONDE_STALL_SHUTDOWN_TIME_SECONDS is #): %s", report);
	const char *why = strstr(lines[rank].last, ENDED); /* some calls put their name in front */
	ck_assert_msg(why, "%s", lines[rank].last);
	ck_assert_str_eq(why, want);
}

/* The first rank that has logged the end so far; or -1. */
static int find_teller(const struct scene *scene)
{
	for (int r = 0; r < scene->n; r++)
		for (int k = 0; k < atomic_load(&lines[r].n); k++)
			if (strncmp(lines[r].text[k], ENDED, strlen(ENDED)) == 0)
				return r;
	return -1;
}

int stall_await_ends(struct scene *scene, unsigned victims)
{
	int teller;
	uint64_t start = scene_now();
	for (int r = 0; r < scene->n; r++)
		if (!(victims >> r & 1))
			scene_await(scene, r, DONE);
	/* A rank that is late may tell as well, and has not ended. */
	while ((teller = find_teller(scene)) < 0 && scene_now() - start < PATIENCE)
		sleep_ms(5);
	ck_assert_msg(teller >= 0, "no rank has logged the end");
	ended_in_time(scene, victims);
	return teller;
}

void stall_check_ends(struct scene *scene, unsigned victims, const char *report)
{
	stall_await_ends(scene, victims);
	for (int r = 0; r < scene->n; r++)
		if (!(victims >> r & 1))
			stall_check_end_of(scene, r, report);
}

void stall_check_crossing(int n, scene_body body, const char *text)
{
	struct scene *scene = stall_open(n, body, SHUTDOWN_TEXT);
	char want[3000];
	snprintf(want, sizeof want, HEAD "%s", text);
	stall_check_ends(scene, 0, want);
	stall_in_time(stall_began(scene), 0, stall_await_text(scene, 0, want));
	stall_close(scene, 0);
}

int stall_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}

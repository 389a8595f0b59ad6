/* SPDX-License-Identifier: Apache-2.0 */
/* What Ronde leaves alone in a process: floating-point mode, signals, locale, stdout. */
#include <dirent.h>
#include <fenv.h>
#include <locale.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/floating_mode.h"
#include "tests/fork_ranks.h"
#include "tests/suite.h"

/* ---- floating-point mode ---- */

enum { SMALL = 64, LARGE = 50000 };

/* Denormals, sums that rounding decides about, and a scale. In the default mode. */
static void fill(float *x, int rank)
{
	for (int i = 0; i < LARGE; i++)
		x[i] = i % 2 ? 1e-40f * (float)(i % 7 + rank) : 1.0f + 0x1p-24f * (float)(i % 3);
}

/* All paths, one after the other in `out`. */
static void reduce_all(const float *input, float *heap, float *out)
{
	static float x[LARGE];
	ronde_options o = RONDE_OPTIONS_INIT;
	o.prescale = 1.0 / 3;
	ronde_handle h;
	for (int path = 0; path < 3; path++) {
		int n = path == 0 ? SMALL : LARGE;
		float *data = path == 2 ? heap : x;
		memcpy(data, input, (size_t)n * sizeof *data);
		require_ok(ronde_allreduce_async("t", data, data, n, RONDE_FLOAT32, RONDE_AVERAGE,
						 &o, &h));
		require_ok(ronde_wait(h));
		memcpy(out + path * LARGE, data, (size_t)n * sizeof *data);
	}
}

static bool same_bits(const void *a, const void *b, size_t bytes)
{
	return memcmp(a, b, bytes) == 0;
}

static void floating_mode(int rank, int size, const void *arg)
{
	(void)size, (void)arg;
	static float input[LARGE], plain[3 * LARGE], other[3 * LARGE];
	float *heap = ronde_alloc(LARGE * sizeof *heap);
	require(heap != NULL, "%s", ronde_error_message());
	fill(input, rank);
	reduce_all(input, heap, plain);
	require(plain[1 + 4] > 0 && plain[1 + 4] < 1e-38f, "denormals are flushed by default");
	ronde_floating_leave(ronde_floating_enter() | FLOATING_FLUSH_TO_ZERO);
	fesetround(FE_UPWARD);
	unsigned int mode = ronde_floating_enter();
	ronde_floating_leave(mode);
	reduce_all(input, heap, other);
	unsigned int after = ronde_floating_enter();
	ronde_floating_leave(after);
	int rounding = fegetround();
	ronde_floating_leave(mode & ~FLOATING_FLUSH_TO_ZERO);
	fesetround(FE_TONEAREST);
	/* Exceptions that have happened are no part of the mode. */
	require((after & ~0x3fu) == (mode & ~0x3fu) && rounding == FE_UPWARD,
		"the mode was %#x, is %#x", mode, after);
	require(same_bits(plain, other, sizeof plain), "results depend on the mode");
	require_ok(ronde_free(heap));
}

/* ---- signals, locale, stdout, log ---- */

/* Which signals the threads of this process block, but for the one that asks. */
static void require_blocked(void)
{
	char path[300], line[256];
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *entry;
	int others = 0;
	while (tasks && (entry = readdir(tasks))) {
		snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
		bool other = entry->d_name[0] != '.' && strtol(entry->d_name, NULL, 10) != getpid();
		FILE *status = other ? fopen(path, "r") : NULL;
		unsigned long long blocked = 0;
		while (status && fgets(line, sizeof line, status))
			if (strncmp(line, "SigBlk:", 7) == 0) {
				blocked = strtoull(line + 7, NULL, 16);
				others++;
			}
		if (!status)
			continue;
		fclose(status);
		const int asked[] = {SIGINT, SIGTERM, SIGUSR1, SIGCHLD, SIGALRM, SIGPROF};
		for (size_t i = 0; i < sizeof asked / sizeof *asked; i++)
			require(blocked >> (asked[i] - 1) & 1, "thread %s takes signal %d",
				entry->d_name, asked[i]);
	}
	closedir(tasks);
	require(others >= 1, "there is no thread of Ronde's");
}

struct signals {
	int blocked[32], flags[32];
	void (*handlers[32])(int);
};

static void get_signals(struct signals *s)
{
	sigset_t mask;
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	for (int i = 1; i < 32; i++) {
		struct sigaction action;
		sigaction(i, NULL, &action);
		s->blocked[i] = sigismember(&mask, i);
		s->flags[i] = action.sa_flags;
		s->handlers[i] = action.sa_handler;
	}
}

static void count_line(ronde_log_level level, const char *message, void *arg)
{
	(void)level;
	if (message[0] && !strchr(message, '\n'))
		atomic_fetch_add((_Atomic int *)arg, 1);
}

/* A whole life, with everything logged, beside what it is to leave alone. */
static void guest(int lines_wanted)
{
	static struct signals before, after;
	static float x[LARGE];
	char locale[200];
	setlocale(LC_ALL, "C.UTF-8");
	snprintf(locale, sizeof locale, "%s", setlocale(LC_ALL, NULL));
	sigset_t some;
	sigemptyset(&some);
	sigaddset(&some, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &some, NULL);
	get_signals(&before);
	_Atomic int lines = 0;
	setenv("RONDE_LOG", "trace", 1);
	if (lines_wanted)
		require_ok(ronde_set_log_function(count_line, &lines));
	require_ok(ronde_init(NULL));
	float one = 1;
	require_ok(ronde_allreduce("one", &one, &one, 1, RONDE_FLOAT32, RONDE_SUM));
	require_ok(ronde_allreduce("x", x, x, LARGE, RONDE_FLOAT32, RONDE_SUM));
	require_blocked();
	require_ok(ronde_shutdown());
	get_signals(&after);
	require(memcmp(&before, &after, sizeof before) == 0, "signal mask or handlers changed");
	require(strcmp(locale, setlocale(LC_ALL, NULL)) == 0, "the locale changed");
	require((lines > 0) == (lines_wanted > 0), "%d log lines", lines);
	require_ok(ronde_set_log_function(NULL, NULL));
}

static void redirected(FILE *out, FILE *err, int lines_wanted)
{
	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		dup2(fileno(out), 1);
		dup2(fileno(err), 2);
		guest(lines_wanted);
		exit(0);
	}
	int status;
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	char text[3000] = "";
	fseek(err, 0, SEEK_END);
	long bytes = ftell(err);
	rewind(err);
	size_t got = fread(text, 1, sizeof text - 1, err);
	ck_assert_msg(status == 0, "%.*s", (int)got, text);
	ck_assert_msg((bytes > 0) == !lines_wanted, "on stderr: %.*s", (int)got, text);
	fseek(out, 0, SEEK_END);
	ck_assert_int_eq(ftell(out), 0);
}

START_TEST(a_quiet_guest)
{
	redirected(tmpfile(), tmpfile(), 1);
	redirected(tmpfile(), tmpfile(), 0);
}
END_TEST

START_TEST(modes)
{
	ck_assert_int_eq(fork_ranks(1, floating_mode, NULL), 0);
	ck_assert_int_eq(fork_ranks(3, floating_mode, NULL), 0);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{modes, ONCE},
		{a_quiet_guest, ONCE},
	};
	return SUITE_RUN("guest", 60, tests);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines: levels, what a line looks like, files, functions, many threads. */
#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/log.h"
#include "tests/suite.h"

static char folder[] = "/tmp/ronde-check-log-XXXXXX";

static void make_folder(void)
{
	strcpy(folder + sizeof folder - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
	char command[128];
	snprintf(command, sizeof command, "rm -r '%s'", folder);
	ck_assert_int_eq(system(command), 0);
}

/* The path of a file in the folder: static memory. */
static const char *in_folder(const char *name)
{
	static char path[256];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	return path;
}

static char *read_all(const char *path)
{
	FILE *file = fopen(path, "r");
	ck_assert_msg(file != NULL, "no %s", path);
	char *text = NULL;
	size_t bytes = 0;
	ck_assert_int_ge(getdelim(&text, &bytes, 0, file), 0);
	fclose(file);
	return text;
}

static void matches(const char *text, const char *pattern)
{
	regex_t regex;
	ck_assert_int_eq(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
	ck_assert_msg(regexec(&regex, text, 0, NULL, 0) == 0, "%s\ndoes not match\n%s", text,
		      pattern);
	regfree(&regex);
}

#define STAMP "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6} "

START_TEST(lines_in_a_file)
{
	struct ronde_log log;
	char host[65], name[128];
	gethostname(host, sizeof host);
	ck_assert_int_eq(ronde_log_open(&log, RONDE_LOG_INFO, in_folder("%h-%r%%.log"), 3),
			 RONDE_OK);
	ronde_log(&log, WARN, "text %d\n", 5);
	ronde_log(&log, DEBUG, "not shown");
	ronde_log(&log, INFO, "first\nsecond\nthird\n\n");
	ronde_log_close(&log);
	snprintf(name, sizeof name, "%s-3%%.log", host);
	char *text = read_all(in_folder(name));
	matches(text, "^" STAMP "[^ []+\\[rank 3\\] warn: text 5\n" STAMP
		      "[^ []+\\[rank 3\\] info: first\n    second\n    third\n$");
	free(text);

	/* Appended to, not started anew. */
	ck_assert_int_eq(ronde_log_open(&log, RONDE_LOG_INFO, in_folder("%h-%r%%.log"), 3),
			 RONDE_OK);
	ronde_log(&log, ERROR, "again");
	ronde_log_close(&log);
	text = read_all(in_folder(name));
	matches(text, "third\n" STAMP "[^ []+\\[rank 3\\] error: again\n$");
	free(text);
}
END_TEST

static int evaluated(int *count)
{
	return ++*count;
}

START_TEST(arguments_only_when_shown)
{
	struct ronde_log log;
	int count = 0;
	ck_assert_int_eq(ronde_log_open(&log, RONDE_LOG_WARN, in_folder("log"), 0), RONDE_OK);
	ronde_log(&log, INFO, "%d", evaluated(&count));
	ck_assert_int_eq(count, 0);
	ronde_log(&log, WARN, "%d", evaluated(&count));
	ck_assert_int_eq(count, 1);
	ronde_log((struct ronde_log *)NULL, ERROR, "%d", evaluated(&count));
	ck_assert_int_eq(count, 1);
	ronde_log_close(&log);
}
END_TEST

START_TEST(long_message_is_cut)
{
	struct ronde_log log;
	size_t bytes = 20000;
	char *message = malloc(bytes + 1);
	for (int newlines = 0; newlines < 2; newlines++) {
		memset(message, newlines ? '\n' : 'x', bytes);
		message[0] = message[bytes - 1] = 'x';
		message[bytes] = 0;
		unlink(in_folder("log"));
		ck_assert_int_eq(ronde_log_open(&log, RONDE_LOG_WARN, in_folder("log"), 0),
				 RONDE_OK);
		ronde_log(&log, WARN, "%s", message);
		ronde_log_close(&log);
		char *text = read_all(in_folder("log"));
		ck_assert_uint_lt(strlen(text), 11000);
		ck_assert_str_eq(text + strlen(text) - strlen("…\n"), "…\n");
		free(text);
	}
	free(message);
}
END_TEST

START_TEST(bad_files)
{
	struct ronde_log log;
	ck_assert_int_eq(ronde_log_open(&log, 0, "/tmp/x%d", 0), RONDE_ERR_CONFIGURATION);
	ck_assert_str_eq(ronde_error_message(),
			 "RONDE_LOG_FILE is \"/tmp/x%d\": a % may only be followed by r (rank), h "
			 "(host) or another %");
	ck_assert_int_eq(ronde_log_open(&log, 0, "/tmp/x%", 0), RONDE_ERR_CONFIGURATION);
	ck_assert_int_eq(ronde_log_open(&log, 0, "/no/such/%r", 7), RONDE_ERR_SYSTEM);
	ck_assert_str_eq(
		ronde_error_message(),
		"cannot open the log file \"/no/such/7\" (RONDE_LOG_FILE): No such file or "
		"directory; the folder must exist and be writable");
}
END_TEST

struct kept {
	struct ronde_log *log;
	int n, level;
	char text[64];
	int replace; /* the function takes itself away */
};

static void keep(ronde_log_level level, const char *message, void *arg)
{
	struct kept *k = arg;
	k->n++;
	k->level = (int)level;
	snprintf(k->text, sizeof k->text, "%s", message);
	if (k->replace)
		ronde_log_set_function(k->log, NULL, NULL);
}

START_TEST(function_of_the_application)
{
	struct ronde_log log;
	struct kept kept = {.log = &log};
	ck_assert_int_eq(ronde_log_open(&log, RONDE_LOG_TRACE, in_folder("log"), 0), RONDE_OK);
	ronde_log_set_function(&log, keep, &kept);
	ronde_log(&log, TRACE, "a\nb %s\n", "c");
	ck_assert_int_eq(kept.n, 0); /* whoever logs may hold a lock */
	ronde_log_deliver(&log);
	ck_assert_int_eq(kept.n, 1);
	ck_assert_int_eq(kept.level, RONDE_LOG_TRACE);
	ck_assert_str_eq(kept.text, "a\nb c");
	kept.replace = 1;
	ronde_log(&log, WARN, "to the function");
	ronde_log(&log, WARN, "to the file");
	ronde_log_deliver(&log);
	ck_assert_int_eq(kept.n, 2);
	ck_assert_str_eq(kept.text, "to the function");
	ronde_log_close(&log);
	char *text = read_all(in_folder("log"));
	matches(text, "^" STAMP "[^ []+\\[rank 0\\] warn: to the file\n$");
	free(text);
}
END_TEST

/* A function that does not keep up loses lines, and is told how many, where they are missing. */
struct counted {
	struct ronde_log *log;
	int lines, next, said, wrong, logs;
};

static void count_line(ronde_log_level level, const char *message, void *arg)
{
	struct counted *c = arg;
	static const char said[] = " log line(s) were dropped: the log function is too slow";
	bool is_line = strncmp(message, "line ", 5) == 0;
	char *end;
	int number = (int)strtol(is_line ? message + 5 : message, &end, 10);
	if (is_line) {
		c->wrong += number != c->next;
		c->next = number + 1;
		c->lines++;
	} else if (strncmp(end, said, sizeof said - 1) == 0) {
		c->wrong += level != RONDE_LOG_WARN;
		c->next += number;
		c->said++;
	}
	if (c->logs-- > 0) /* lines of the function itself come after those that wait */
		ronde_log(c->log, ERROR, "line %d", 5000);
}

START_TEST(slow_function)
{
	struct ronde_log log;
	struct counted counted = {.log = &log};
	ck_assert_int_eq(ronde_log_open(&log, RONDE_LOG_INFO, NULL, 0), RONDE_OK);
	ronde_log_set_function(&log, count_line, &counted);
	for (int i = 0; i < 3000; i++)
		ronde_log(&log, INFO, "line %d", i);
	ronde_log_deliver(&log);
	ck_assert_int_eq(counted.lines, RONDE_LOG_QUEUE - 1);
	ck_assert_int_eq(counted.said, 1);
	for (int i = 3000; i < 5000; i++)
		ronde_log(&log, INFO, "line %d", i);
	counted.logs = 1;
	ronde_log_close(&log);
	ck_assert_int_eq(counted.wrong, 0);
	ck_assert_int_eq(counted.said, 2);
	ck_assert_int_eq(counted.next, 5001);
}
END_TEST

START_TEST(said_by_rank_0_only)
{
	for (int rank = 0; rank < 2; rank++) {
		struct ronde_log log;
		struct kept kept = {.log = &log};
		ck_assert_int_eq(ronde_log_open(&log, RONDE_LOG_WARN, NULL, rank), RONDE_OK);
		ronde_log_set_function(&log, keep, &kept);
		ronde_log_once_per_job(&log, WARN, "all see this");
		ronde_log_deliver(&log);
		ck_assert_int_eq(kept.n, rank == 0);
		log.level = RONDE_LOG_DEBUG;
		ronde_log_once_per_job(&log, WARN, "all see this");
		ronde_log_deliver(&log);
		ck_assert_int_eq(kept.level, rank == 0 ? RONDE_LOG_WARN : RONDE_LOG_DEBUG);
		ronde_log_close(&log);
	}
}
END_TEST

#define THREADS 4
#define EACH 200

static void *chatter(void *arg)
{
	for (int i = 0; i < EACH; i++)
		ronde_log(arg, WARN, "the quick brown fox\njumps %d", i);
	return NULL;
}

static void *switch_function(void *arg)
{
	struct kept kept = {.log = arg};
	for (int i = 0; i < 100; i++) {
		ronde_log_set_function(arg, keep, &kept);
		ronde_log_set_function(arg, NULL, NULL);
	}
	ck_assert_int_ge(kept.n, 0); /* nobody writes to it any more (race checker) */
	return (void *)(intptr_t)kept.n;
}

/* Lines of several threads, and of several logs on one file, never mix. */
START_TEST(threads)
{
	struct ronde_log logs[2];
	pthread_t id[THREADS], switcher;
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(ronde_log_open(&logs[i], RONDE_LOG_WARN, in_folder("log"), i),
				 RONDE_OK);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&id[i], NULL, chatter, &logs[i % 2]);
	pthread_create(&switcher, NULL, switch_function, &logs[0]);
	for (int i = 0; i < THREADS; i++)
		pthread_join(id[i], NULL);
	void *taken;
	pthread_join(switcher, &taken);
	for (int i = 0; i < 2; i++)
		ronde_log_close(&logs[i]);

	FILE *file = fopen(in_folder("log"), "r");
	char line[256];
	int lines = 0, bad = 0;
	while (fgets(line, sizeof line, file)) {
		const char *end = strstr(line, lines % 2 ? "    jumps " : "] warn: the quick");
		bad += !end || (lines % 2 && end != line);
		lines++;
	}
	fclose(file);
	ck_assert_int_eq(bad, 0);
	ck_assert_int_eq(lines, 2 * (THREADS * EACH - (int)(intptr_t)taken));
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{lines_in_a_file, ONCE},
		{arguments_only_when_shown, ONCE},
		{long_message_is_cut, ONCE},
		{bad_files, ONCE},
		{function_of_the_application, ONCE},
		{slow_function, ONCE},
		{said_by_rank_0_only, ONCE},
		{threads, ONCE},
	};
	Suite *suite = suite_create("log");
	tcase_add_checked_fixture(SUITE_ADD(suite, "log", 60, tests), make_folder, remove_folder);
	return suite_end(suite);
}

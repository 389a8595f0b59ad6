/* SPDX-License-Identifier: Apache-2.0 */
/* RONDE_THREAD_AFFINITY: where the coordinator threads of processes run. */
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/topology.h"
#include "tests/fork_ranks.h"
#include "tests/suite.h"

#define RANKS 2

struct binding {
	const char *variable;
	int processors[RANKS]; /* of each rank's thread: n-th of those allowed; -1: all */
	const char *list;      /* NULL: made of these */
	const char *warning;   /* of rank 1; NULL: none */
};

static char warned[300];

static void keep_warning(ronde_log_level level, const char *message, void *arg)
{
	(void)arg;
	if (level == RONDE_LOG_WARN && strstr(message, "AFFINITY"))
		snprintf(warned, sizeof warned, "%s", message);
}

/* The processors a thread of this name may use. */
static cpu_set_t allowed_to(const char *name)
{
	char path[300], comm[32];
	cpu_set_t set;
	bool found = false;
	DIR *dir = opendir("/proc/self/task");
	require(dir, "no /proc");
	for (struct dirent *entry; !found && (entry = readdir(dir));) {
		snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
		FILE *file = fopen(path, "r");
		if (!file)
			continue;
		found = fgets(comm, sizeof comm, file) && strncmp(comm, name, strlen(name)) == 0 &&
			comm[strlen(name)] == '\n';
		fclose(file);
		if (found)
			require(sched_getaffinity((pid_t)strtol(entry->d_name, NULL, 10),
						  sizeof set, &set) == 0,
				"affinity");
	}
	closedir(dir);
	require(found, "there is no thread \"%s\"", name);
	return set;
}

/* The n-th processor of the process, counted round and round; and as many as there are. */
static int nth(int n)
{
	cpu_set_t set;
	require(sched_getaffinity(0, sizeof set, &set) == 0, "affinity");
	size_t processor = 0;
	for (int skip = n % CPU_COUNT(&set); !CPU_ISSET(processor, &set) || skip-- > 0; processor++)
		;
	return (int)processor;
}

static void bound_body(int rank, int size, const void *arg)
{
	const struct binding *binding = arg;
	char list[64];
	cpu_set_t want, process;
	(void)size;
	require_ok(ronde_shutdown());
	require(sched_getaffinity(0, sizeof process, &process) == 0, "affinity");
	snprintf(list, sizeof list, "%d,%d", nth(binding->processors[0]),
		 nth(binding->processors[1]));
	setenv(binding->variable, binding->list ? binding->list : list, 1);
	require_ok(ronde_set_log_function(keep_warning, NULL));
	require_ok(ronde_init(NULL));
	cpu_set_t has = allowed_to("ronde");
	CPU_ZERO(&want);
	if (binding->processors[rank] < 0)
		want = process;
	else
		CPU_SET((size_t)nth(binding->processors[rank]), &want);
	require(CPU_EQUAL(&has, &want),
		"the coordinator thread has %d processors, not %d, or others", CPU_COUNT(&has),
		CPU_COUNT(&want));
	require(sched_getaffinity(0, sizeof has, &has) == 0 && CPU_EQUAL(&has, &process),
		"the application's thread was bound");
	float x = 1;
	require_ok(ronde_allreduce("x", &x, &x, 1, RONDE_FLOAT32, RONDE_SUM));
	require(x == RANKS, "a sum of %g", (double)x);
	require_ok(ronde_shutdown()); /* says all there is to say */
	const char *warning = rank == 1 && binding->warning ? binding->warning : "";
	require(strcmp(warned, warning) == 0, "warned: %s", warned);
}

static const struct binding bindings[] = {
	{"RONDE_THREAD_AFFINITY", {0, 1}, NULL, NULL},
	{"RONDE_THREAD_AFFINITY", {1, 1}, NULL, NULL},
	{"HOROVOD_THREAD_AFFINITY", {1, 0}, NULL, NULL},
	{"RONDE_THREAD_AFFINITY", {-1, -1}, "", NULL},
};

START_TEST(bound)
{
	ck_assert_int_eq(fork_ranks(RANKS, bound_body, &bindings[_i]), 0);
}
END_TEST

/* A list too short, or of processors there are not, leaves the thread where it is. */
static void unbound_body(int rank, int size, const void *arg)
{
	char list[32];
	const bool beyond = *(const int *)arg;
	struct binding binding = {"RONDE_THREAD_AFFINITY", {0, -1}, list, NULL};
	snprintf(list, sizeof list, beyond ? "%d,1000" : "%d", nth(0));
	char text[300];
	snprintf(
		text, sizeof text,
		beyond ? "RONDE_THREAD_AFFINITY is \"%s\": the coordinator thread of local rank 1 "
			 "cannot be bound to processor 1000: Invalid argument"
		       : "RONDE_THREAD_AFFINITY is \"%s\", which names no processor for local rank "
			 "1: its coordinator thread is not bound",
		list);
	binding.warning = text;
	bound_body(rank, size, &binding);
}

START_TEST(unbound)
{
	ck_assert_int_eq(fork_ranks(RANKS, unbound_body, &_i), 0);
}
END_TEST

/* ---- near its rank ---- */

static void *wait_for_end(void *arg)
{
	(void)pthread_mutex_lock(arg);
	(void)pthread_mutex_unlock(arg);
	return NULL;
}

/* The rank's first thread has bound itself to one processor, as frameworks do; another has not. */
static void near_body(int rank, int size, const void *arg)
{
	const bool with_other = *(const int *)arg;
	static pthread_mutex_t end = PTHREAD_MUTEX_INITIALIZER;
	pthread_t other;
	cpu_set_t mine, want, domain;
	struct ronde_topology *t;
	struct ronde_place place;
	(void)size;
	require_ok(ronde_shutdown());
	require(sched_getaffinity(0, sizeof want, &want) == 0, "affinity");
	pthread_mutex_lock(&end);
	if (with_other)
		require(pthread_create(&other, NULL, wait_for_end, &end) == 0, "a thread");
	CPU_ZERO(&mine);
	CPU_SET((size_t)nth(rank), &mine);
	require(sched_setaffinity(0, sizeof mine, &mine) == 0, "affinity");
	require(ronde_topology_open(&t, "") == 0 &&
			ronde_topology_locate(t, "", rank, &mine, &place) == 0,
		"topology");
	ronde_topology_processors(t, place.numa, &domain);
	ronde_topology_close(t);
	if (with_other)
		CPU_AND(&want, &want, &domain);
	else
		want = mine;
	require_ok(ronde_init(NULL));
	cpu_set_t has = allowed_to("ronde");
	require(CPU_EQUAL(&has, &want), "the coordinator thread has %d processors, not %d",
		CPU_COUNT(&has), CPU_COUNT(&want));
	require(sched_getaffinity(0, sizeof has, &has) == 0 && CPU_EQUAL(&has, &mine),
		"the application's thread was bound");
	require_ok(ronde_shutdown());
	pthread_mutex_unlock(&end);
	if (with_other)
		pthread_join(other, NULL);
}

START_TEST(near)
{
	ck_assert_int_eq(fork_ranks(RANKS, near_body, &_i), 0);
}
END_TEST

static const char *const wrong[] = {"x",  "0,",  ",1",       "0 1",
				    "-1", "0-1", "0,1,1024", "99999999999999999999"};

static void refused_body(int rank, int size, const void *arg)
{
	const int *i = arg;
	char text[300];
	(void)size;
	require_ok(ronde_shutdown());
	if (rank == 1)
		setenv("RONDE_THREAD_AFFINITY", wrong[*i], 1);
	snprintf(text, sizeof text,
		 "rank 1: RONDE_THREAD_AFFINITY is \"%s\": allowed is whole numbers from 0 to 1023 "
		 "with commas between them, or nothing",
		 wrong[*i]);
	require_error(ronde_init(NULL), RONDE_ERR_CONFIGURATION, text);
}

START_TEST(refused)
{
	ck_assert_int_eq(fork_ranks(RANKS, refused_body, &_i), 0);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{bound, 0, sizeof bindings / sizeof *bindings},
		{unbound, 0, 2},
		{near, 0, 2},
		{refused, 0, sizeof wrong / sizeof *wrong},
	};
	return SUITE_RUN("affinity", 60, tests);
}

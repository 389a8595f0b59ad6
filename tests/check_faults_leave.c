/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is no loss: a rank that is stopped for a while, a child of a rank that lives or dies, a
 * shutdown. And what a rank can do on its own while the leader is stopped.
 */
#include "tests/fault_ranks.h"
#include "tests/suite.h"

#include <pthread.h>

enum phase { STARTED = 1, READY, WAITING, DONE };

/* 1 + 2 + … + n */
static float sum_to(int n)
{
	float sum = 0;
	for (int i = 1; i <= n; i++)
		sum += (float)i;
	return sum;
}

static void sum_ranks(int size, const char *name, int64_t count)
{
	float *x = malloc((size_t)count * sizeof *x), wanted = sum_to(size);
	for (int64_t i = 0; i < count; i++)
		x[i] = (float)(ronde_rank() + 1);
	require_ok(ronde_allreduce(name, x, x, count, RONDE_FLOAT32, RONDE_SUM));
	for (int64_t i = 0; i < count; i++)
		require(x[i] == wanted, "\"%s\": element %d is %g, not %g", name, (int)i,
			(double)x[i], (double)wanted);
	free(x);
}

/* ---- stopped ---- */

static void stopped_body(struct scene *scene, int rank)
{
	require_ok(ronde_init(NULL));
	require_ok(ronde_barrier());
	scene_reach(scene, rank, READY);
	scene_wait_go(scene);
	sum_ranks(scene->n, "small", 8);
	sum_ranks(scene->n, "large", 1 << 20);
	scene_reach(scene, rank, DONE);
	require_ok(ronde_barrier());
	require_ok(ronde_shutdown());
}

/* Long stopped ranks hold up the others, and nothing worse. */
START_TEST(a_stopped_rank_is_waited_for)
{
	struct scene *scene = scene_open(3, stopped_body, NULL);
	for (int r = 0; r < 3; r++)
		scene_await(scene, r, READY);
	scene_signal(scene, _i, SIGSTOP);
	atomic_store(&scene->go, 1);
	sleep_ms(1500);
	int others = atomic_load(&scene->ranks[(_i + 1) % 3].phase);
	scene_signal(scene, _i, SIGCONT);
	for (int r = 0; r < 3; r++)
		scene_await(scene, r, DONE);
	scene_close(scene, 0);
	ck_assert_int_eq(others, READY);
}
END_TEST

/* ---- leaving ---- */

static void leave_body(struct scene *scene, int rank)
{
	const int *leaver = scene->arg;
	float x[2] = {0};
	ronde_handle h;
	require_ok(ronde_init(NULL));
	require_ok(ronde_barrier());
	if (rank == *leaver) /* which nobody else will submit */
		require_ok(ronde_allreduce_async("of one", x, x, 2, RONDE_FLOAT32, RONDE_SUM, NULL,
						 &h));
	scene_reach(scene, rank, READY);
	scene_wait_go(scene);
	if (rank == *leaver) {
		scene_leaves(scene, rank);
		exit(0);
	}
	require(ronde_barrier() == RONDE_ERR_PEER_LOST, "%s", ronde_error_message());
	require_ok(ronde_shutdown());
}

/* Leaving waits for nobody: all others are stopped, and stay so until it has gone. */
START_TEST(a_rank_leaves_while_all_others_are_stopped)
{
	struct scene *scene = scene_open(3, leave_body, &_i);
	for (int r = 0; r < 3; r++)
		scene_await(scene, r, READY);
	for (int r = 0; r < 3; r++)
		if (r != _i)
			scene_signal(scene, r, SIGSTOP);
	atomic_store(&scene->go, 1);
	for (int ms = 0; ms < 1000 * FAULT_SECONDS && scene_runs(scene, _i); ms++)
		sleep_ms(1);
	bool runs = scene_runs(scene, _i);
	for (int r = 0; r < 3; r++)
		scene_signal(scene, r, SIGCONT);
	scene_close(scene, 1u << _i);
	ck_assert_msg(!runs, "rank %d waits for ranks that are stopped", _i);
}
END_TEST

/* Longer than a shutdown waits for its answer, by a second that all else may take. */
#define UNANSWERED_SECONDS (5 + FAULT_SECONDS)

static void unanswered_body(struct scene *scene, int rank)
{
	require_ok(ronde_init(NULL));
	require_ok(ronde_barrier());
	scene_reach(scene, rank, READY);
	if (rank) {
		scene_wait_go(scene);
		uint64_t before = scene_now();
		require_ok(ronde_shutdown());
		double took = (double)(scene_now() - before) * 1e-9 - scene_lost();
		require(took < UNANSWERED_SECONDS, "shutdown took %.1f s", took);
		scene_reach(scene, rank, DONE);
		return;
	}
	int status = RONDE_OK;
	while (!status) {
		sleep_ms(10);
		status = ronde_barrier();
	}
	/* It hears of the shutdown first, or that whoever asked for it has gone. */
	const char *lost = ") was lost: it shut down, and had no answer in time. ";
	const char *text = ronde_error_message();
	require((status == RONDE_ERR_PEER_LOST && strstr(text, lost)) ||
			(status == RONDE_ERR_SHUTDOWN && strstr(text, " has shut Ronde down")),
		"%s: %s", ronde_status_name(status), text);
	require_ok(ronde_shutdown());
}

START_TEST(a_shutdown_while_the_leader_is_stopped)
{
	struct scene *scene = scene_open(3, unanswered_body, NULL);
	for (int r = 0; r < 3; r++)
		scene_await(scene, r, READY);
	sleep_ms(20); /* the leader waits in its barrier */
	scene_signal(scene, 0, SIGSTOP);
	atomic_store(&scene->go, 1);
	scene_await(scene, 1, DONE);
	scene_await(scene, 2, DONE);
	scene_signal(scene, 0, SIGCONT);
	scene_close(scene, 0);
}
END_TEST

/* ---- children ---- */

/* A data loader: may not use Ronde, and is told so; it exits, or stays. */
static void be_child(bool stays)
{
	float x = 0;
	ronde_handle h;
	static const char text[] = ": this process was forked from one that runs Ronde";
	require(ronde_allreduce("x", &x, &x, 1, RONDE_FLOAT32, RONDE_SUM) ==
				RONDE_ERR_NOT_INITIALIZED &&
			strstr(ronde_error_message(), text),
		"child: %s", ronde_error_message());
	require(ronde_barrier_async(NULL, &h) == RONDE_ERR_NOT_INITIALIZED, "child: barrier");
	require(ronde_rank() == RONDE_ERR_NOT_INITIALIZED, "child: rank");
	require(ronde_init(NULL) == RONDE_ERR_NOT_INITIALIZED &&
			strstr(ronde_error_message(), text),
		"child: %s", ronde_error_message());
	require(!ronde_is_initialized(), "child: is initialised");
	require_ok(ronde_shutdown());
	if (stays)
		sleep_ms(2000);
	exit(0); /* with exit handlers */
}

static void parents_body(struct scene *scene, int rank)
{
	const int *victim = scene->arg;
	static const char *const old[] = {"test_no_pidfd", "yes", NULL};
	ronde_init_options options = RONDE_INIT_OPTIONS_INIT;
	options.settings = *victim ? old : NULL;
	require_ok(ronde_init(&options));
	require_ok(ronde_barrier());
	pid_t pid[2];
	for (int i = 0; i < 2; i++) {
		pid[i] = fork();
		if (pid[i] == 0)
			be_child(i);
	}
	int status;
	require(waitpid(pid[0], &status, 0) == pid[0] && status == 0, "a child ended badly");
	sum_ranks(scene->n, "after a child's exit", 1000);
	scene_reach(scene, rank, READY);
	if (rank == 1) {
		/* It dies; its other child keeps copies of all its descriptors. */
		while (!scene_others_reached(scene, rank, READY))
			sleep_ms(1);
		atomic_store(&scene->died_at, scene_now());
		raise(SIGKILL);
	}
	float x = 0;
	status = ronde_allreduce("x", &x, &x, 1, RONDE_FLOAT32, RONDE_SUM);
	scene_told(scene, rank);
	require(status == RONDE_ERR_PEER_LOST && strstr(ronde_error_message(), "rank 1 "), "%s",
		ronde_error_message());
	require_ok(ronde_shutdown());
	kill(pid[1], SIGKILL);
	waitpid(pid[1], &status, 0);
}

/* _i 1: without pidfds, whose place descriptors take that a child inherits */
START_TEST(children_do_not_matter)
{
	struct scene *scene = scene_open(3, parents_body, &_i);
	double slowest = scene_slowest(scene, 2);
	/* The dead rank's child is ours now. */
	while (scene_runs(scene, 1) || scene_runs(scene, 0) || scene_runs(scene, 2))
		sleep_ms(1);
	int status;
	while (waitpid(-1, &status, 0) > 0)
		ck_assert_int_eq(status, 0);
	scene_close(scene, 2);
	ck_assert_msg(slowest < FAULT_SECONDS, "the survivors heard of it after %.3f s", slowest);
}
END_TEST

/* ---- shutdown with operations in flight ---- */

enum { AGREED = 4 };
#define COUNT ((int64_t)1 << (FAULT_CHECKED ? 16 : 20))

struct shutdown {
	int n, by, second; /* second: one more that shuts down at the same moment, or -1 */
};

static void shutdown_text(char *text, int by)
{
	snprintf(text, FAULT_TEXT,
		 "rank %d has shut Ronde down; this operation had not been agreed on by all ranks",
		 by);
}

static void *wait_blocked(void *arg)
{
	float x = 0;
	int *status = arg;
	*status = ronde_allreduce("of one rank only", &x, &x, 1, RONDE_FLOAT32, RONDE_SUM);
	return NULL;
}

static void check_sums(float **m, int n)
{
	const float wanted = sum_to(n);
	for (int i = 0; i < AGREED; i++)
		for (int64_t k = 0; k < COUNT; k++)
			require(m[i][k] == wanted, "operation %d, which was agreed on: %g", i,
				(double)m[i][k]);
}

/* The ranks that do not shut down: what was agreed on is complete, the rest is told why not. */
static void be_shut_down(struct scene *scene, int rank, const ronde_handle *agreed)
{
	const struct shutdown *s = scene->arg;
	float x = 0;
	ronde_handle lonely;
	char text[FAULT_TEXT], other[FAULT_TEXT];
	shutdown_text(text, s->by);
	shutdown_text(other, s->second);
	int status =
		ronde_allreduce_async("lonely", &x, &x, 1, RONDE_FLOAT32, RONDE_SUM, NULL, &lonely);
	for (int i = 0; i < AGREED; i++)
		require_ok(ronde_wait(agreed[i]));
	if (!status)
		status = ronde_wait(lonely);
	require(status == RONDE_ERR_SHUTDOWN, "%s: %s", ronde_status_name(status),
		ronde_error_message());
	scene_told(scene, rank);
	if (s->second >= 0 && strcmp(scene->ranks[rank].text, other) == 0)
		strcpy(text, other);
	require_error(ronde_barrier(), RONDE_ERR_SHUTDOWN, text);
	require_error(ronde_allreduce("later", &x, &x, 1, RONDE_FLOAT32, RONDE_SUM),
		      RONDE_ERR_SHUTDOWN, text);
	require(!ronde_is_initialized(), "still initialised");
}

static void shut_down(void)
{
	uint64_t before = scene_now();
	require_ok(ronde_shutdown());
	double took = (double)(scene_now() - before) * 1e-9 - scene_lost();
	require(took < FAULT_SECONDS, "ronde_shutdown took %.3f s", took);
}

static void shutdown_body(struct scene *scene, int rank)
{
	const struct shutdown *s = scene->arg;
	ronde_handle agreed[AGREED];
	float *m[AGREED];
	pthread_t thread;
	int blocked;
	bool asks = rank == s->by || rank == s->second;
	require_ok(ronde_init(NULL));
	for (int i = 0; i < AGREED; i++) {
		size_t bytes = (size_t)COUNT * sizeof(float);
		m[i] = i % 2 ? ronde_alloc(bytes) : malloc(bytes);
		for (int64_t k = 0; k < COUNT; k++)
			m[i][k] = (float)(rank + 1);
	}
	require_ok(ronde_barrier());
	for (int i = 0; i < AGREED; i++) {
		char name[16];
		snprintf(name, sizeof name, "agreed-%d", i);
		require_ok(ronde_allreduce_async(name, m[i], m[i], COUNT, RONDE_FLOAT32, RONDE_SUM,
						 NULL, &agreed[i]));
	}
	require_ok(ronde_barrier()); /* it stands behind the others in the log */
	if (asks) {
		pthread_create(&thread, NULL, wait_blocked, &blocked);
		shut_down();
		pthread_join(thread, NULL);
		require(blocked == RONDE_ERR_SHUTDOWN || blocked == RONDE_ERR_NOT_INITIALIZED,
			"the other thread's call: %s", ronde_status_name(blocked));
	} else {
		be_shut_down(scene, rank, agreed);
	}
	check_sums(m, s->n);
	for (int i = 0; i < AGREED; i++)
		if (i % 2)
			require_ok(ronde_free(m[i]));
		else
			free(m[i]);
	shut_down();
	/* The same ranks begin again. */
	scene_world(rank, s->n, scene->address2);
	require_ok(ronde_init(NULL));
	sum_ranks(s->n, "again", 1000);
	require_ok(ronde_barrier());
	shut_down();
}

static const struct shutdown shutdowns[] = {{2, 0, -1}, {2, 1, -1}, {3, 0, -1}, {3, 1, -1},
					    {3, 2, -1}, {5, 3, -1}, {4, 0, 2},  {4, 3, 1}};

START_TEST(a_shutdown_by_any_rank)
{
	const struct shutdown *s = &shutdowns[_i];
	struct scene *scene = scene_open(s->n, shutdown_body, s);
	unsigned asking = 1u << s->by | (s->second >= 0 ? 1u << s->second : 0);
	char text[FAULT_TEXT] = "";
	scene_slowest(scene, asking);
	bool same = true;
	for (int r = 0; r < s->n; r++) {
		const char *other = scene->ranks[r].text;
		if (asking >> r & 1)
			continue;
		if (!text[0])
			strcpy(text, other);
		same = same && strcmp(text, other) == 0;
	}
	scene_close(scene, 0);
	ck_assert_msg(same, "not the same text on all ranks");
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{a_stopped_rank_is_waited_for, 0, 3},
		{a_rank_leaves_while_all_others_are_stopped, 0, 3},
		{a_shutdown_while_the_leader_is_stopped, ONCE},
		{children_do_not_matter, 0, 2},
		{a_shutdown_by_any_rank, 0, (int)(sizeof shutdowns / sizeof shutdowns[0])},
	};
	return SUITE_RUN("faults-leave", 100, tests);
}

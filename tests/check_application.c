/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of the application that run while Ronde works: an allgather's alloc, a log function.
 * No lock is held in them, so they may call what does not wait. */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "tests/fault_ranks.h"
#include "tests/suite.h"

#define REFUSED                                                                                    \
	": called from a function that Ronde calls (a completion function, an allgather's alloc "  \
	"or a log function), where nothing may wait; have it tell another thread to call it"

static ronde_handle sum(const char *name, float *x, int64_t count)
{
	ronde_handle h;
	require_ok(ronde_allreduce_async(name, x, x, count, RONDE_FLOAT32, RONDE_SUM, NULL, &h));
	return h;
}

/* ---- alloc ---- */

/* An allgather of one int32 a rank, and what its alloc does. */
struct gather {
	ronde_gathered gathered;
	ronde_handle handle;
	int32_t mine;
	void *given;
	pthread_t thread;
	_Atomic int called, returned;
	_Atomic bool may_return;
	/* what alloc itself submits */
	float x;
	ronde_handle sum;
	int done;
};

static void start(struct gather *g, int rank, ronde_output_fn alloc)
{
	int64_t shape[] = {1};
	g->mine = rank + 1;
	g->gathered.alloc = alloc;
	g->gathered.alloc_arg = g;
	require_ok(ronde_allgather_async("gather", &g->mine, shape, 1, RONDE_INT32, &g->gathered,
					 NULL, &g->handle));
}

static void finish(struct gather *g, int size)
{
	require_ok(ronde_wait(g->handle));
	const int32_t *all = g->gathered.data;
	for (int r = 0; r < size; r++)
		require(all[r] == r + 1, "row %d is %d", r, all[r]);
	require(g->gathered.rows == size && (!g->gathered.alloc || all == g->given), "memory");
	free(g->gathered.data);
}

static void *give(struct gather *g, size_t bytes)
{
	g->given = malloc(bytes);
	atomic_fetch_add(&g->returned, 1);
	return g->given;
}

/* Calls everything that does not wait, and is refused the rest. */
static void *call_ronde(size_t bytes, void *arg)
{
	struct gather *g = arg;
	float y = 1;
	g->thread = pthread_self();
	require_ok(ronde_test(g->handle, &g->done));
	g->x = 1;
	g->sum = sum("of alloc", &g->x, 1);
	require_error(ronde_wait(g->handle), RONDE_ERR_INVALID_ARGUMENT,
		      "ronde_wait on an operation that is not complete" REFUSED);
	require_error(ronde_allreduce("b", &y, &y, 1, RONDE_FLOAT32, RONDE_SUM),
		      RONDE_ERR_INVALID_ARGUMENT, "a blocking operation" REFUSED);
	require_error(ronde_shutdown(), RONDE_ERR_INVALID_ARGUMENT, "ronde_shutdown" REFUSED);
	return give(g, bytes);
}

static void alloc_calls_ronde(int rank, int size, const void *arg)
{
	(void)arg;
	struct gather g = {.done = -1};
	start(&g, rank, call_ronde);
	finish(&g, size);
	require(g.done == 0 && g.returned == 1, "done %d, called %d times", g.done, g.returned);
	require(!pthread_equal(g.thread, pthread_self()), "called by the thread that waits");
	require_ok(ronde_wait(g.sum));
	require(g.x == (float)size, "%g", (double)g.x);
}

static void *wait_for_word(size_t bytes, void *arg)
{
	struct gather *g = arg;
	atomic_fetch_add(&g->called, 1);
	while (!atomic_load(&g->may_return))
		sched_yield();
	return give(g, bytes);
}

#define LARGE (1 << 19)

static void reduce_ones(float *x, int64_t count, int size)
{
	x[count - 1] = 1;
	require_ok(ronde_allreduce("behind", x, x, count, RONDE_FLOAT32, RONDE_SUM));
	require(x[count - 1] == (float)size, "%g", (double)x[count - 1]);
}

/* Operations behind the allgather complete while its alloc has not returned. */
static void alloc_takes_its_time(int rank, int size, const void *arg)
{
	(void)arg;
	struct gather g = {.called = 0};
	float *x = calloc(LARGE, sizeof *x);
	start(&g, rank, wait_for_word);
	while (!atomic_load(&g.called))
		sched_yield();
	for (int i = 0; i < 5; i++) {
		reduce_ones(x, LARGE, size);
		reduce_ones(x, 1 << 14, size);
		reduce_ones(x, 1, size);
	}
	int done;
	require_ok(ronde_test(g.handle, &done));
	require(!done && !g.returned, "the allgather did not wait for its memory");
	atomic_store(&g.may_return, true);
	finish(&g, size);
	free(x);
}

static void *give_nothing(size_t bytes, void *arg)
{
	(void)bytes;
	(void)arg;
	return NULL;
}

/* One rank has no memory: it alone fails. */
static void alloc_gives_nothing(int rank, int size, const void *arg)
{
	(void)arg;
	struct gather g = {.called = 0};
	char text[100];
	snprintf(text, sizeof text,
		 "tensor \"gather\": no memory for the allgather's result of %d bytes", 4 * size);
	start(&g, rank, rank == size - 1 ? give_nothing : NULL);
	if (rank < size - 1)
		finish(&g, size);
	else
		require_error(ronde_wait(g.handle), RONDE_ERR_OUT_OF_MEMORY, text);
}

/* Nobody waits, nobody helps: the coordinator thread does it all. */
static void alloc_and_nobody_waits(int rank, int size, const void *arg)
{
	(void)arg;
	for (int i = 0; i < 3; i++) {
		struct gather g = {.may_return = true};
		int done = 0;
		start(&g, rank, wait_for_word);
		while (!done) {
			require_ok(ronde_test(g.handle, &done));
			sleep_ms(1);
		}
		finish(&g, size);
	}
}

/* Rows of nothing: their number can be too large to add up. */
static void too_many_rows(int rank, int size, const void *arg)
{
	(void)rank;
	(void)arg;
	ronde_gathered out = {0};
	int64_t shape[] = {INT64_C(1) << 62, 0};
	int status = ronde_allgather("rows", NULL, shape, 2, RONDE_UINT8, &out);
	if (size == 1)
		require(status == RONDE_OK && out.rows == shape[0], "%s", ronde_error_message());
	else
		require_error(status, RONDE_ERR_INVALID_ARGUMENT,
			      "tensor \"rows\": the allgather's result has more than "
			      "9223372036854775807 rows: the ranks' first extents, "
			      "4611686018427387904 on this one, add up to too many");
	free(out.data);
}

static const fork_ranks_fn bodies[] = {alloc_calls_ronde, alloc_takes_its_time, alloc_gives_nothing,
				       alloc_and_nobody_waits, too_many_rows};
#define BODIES ((int)(sizeof bodies / sizeof *bodies))

START_TEST(alloc)
{
	for (int n = 1; n <= 3; n++)
		ck_assert_int_eq(fork_ranks(n, bodies[_i], NULL), 0);
}
END_TEST

/*
 * Rank 1 is inside alloc, rank 0 has memory and waits for it, rank 2 is killed. Rank 0 is told at
 * once and its memory is gone again; rank 1's operation is not complete before alloc returns, and
 * what that gave is the caller's.
 */
static void bereft(struct scene *scene, int rank)
{
	struct gather g = {.called = 0};
	require_ok(ronde_init(NULL));
	start(&g, rank, rank == 1 ? wait_for_word : NULL);
	if (rank == 1) {
		while (!atomic_load(&g.called))
			sched_yield();
		scene_reach(scene, rank, 1);
		float x = 1; /* some other operation is told at once */
		ronde_handle h;
		while (!ronde_allreduce_async("x", &x, &x, 1, RONDE_FLOAT32, RONDE_SUM, NULL, &h))
			require(ronde_wait(h) == RONDE_ERR_PEER_LOST, "%s", ronde_error_message());
		scene_told(scene, rank);
		int done = 1;
		require_ok(ronde_test(g.handle, &done));
		require(!done && !g.gathered.data, "complete while alloc is being called");
		atomic_store(&g.may_return, true);
	}
	require(ronde_wait(g.handle) == RONDE_ERR_PEER_LOST, "%s", ronde_error_message());
	if (rank == 0)
		scene_told(scene, rank);
	require(g.gathered.data == g.given, "the result's memory after the loss");
	free(g.gathered.data);
	require_ok(ronde_shutdown());
}

START_TEST(loss_while_alloc_runs)
{
	struct scene *scene = scene_open(3, bereft, NULL);
	scene_await(scene, 1, 1);
	sleep_ms(20);
	scene_signal(scene, 2, SIGKILL);
	double slowest = scene_slowest(scene, 1u << 2);
	scene_close(scene, 1u << 2);
	ck_assert_msg(slowest < FAULT_SECONDS, "told after %.3f s", slowest);
}
END_TEST

/* A function that does not return keeps the shutdown for some time only; nothing is lost by it. */
static void stay(ronde_handle handle, int status, const char *message, void *arg)
{
	(void)handle, (void)status, (void)message;
	struct gather *g = arg;
	atomic_store(&g->called, 1);
	while (!atomic_load(&g->may_return))
		sleep_ms(1);
}

static void shutdown_waits(int rank, int size, const void *arg)
{
	(void)rank, (void)size, (void)arg;
	struct gather g = {.x = 1};
	ronde_handle h = sum("stays", &g.x, 1);
	require_ok(ronde_handle_on_done(h, stay, &g));
	while (!atomic_load(&g.called))
		sched_yield();
	require_error(ronde_shutdown(), RONDE_ERR_BUSY,
		      "ronde_shutdown: Ronde has ended, but after 5 s 0 thread(s) are still inside "
		      "its functions, and a function of the application that it called has not "
		      "returned; let them return and call ronde_shutdown() again");
	require(!ronde_is_initialized(), "still there");
	require_error(ronde_barrier(), RONDE_ERR_SHUTDOWN,
		      "rank 0 has shut Ronde down; this operation had not been agreed on by all "
		      "ranks");
	require_ok(ronde_wait(h));
	atomic_store(&g.may_return, true);
	require_ok(ronde_shutdown());
	require_ok(ronde_init(NULL));
}

START_TEST(function_that_stays)
{
	setenv("RONDE_LOG", "error", 1);
	ck_assert_int_eq(fork_ranks(1, shutdown_waits, NULL), 0);
}
END_TEST

/* ---- log function ---- */

/* This process's: the function is set before ranks are forked. */
static struct {
	int announced, completed;
	bool called;
	_Atomic bool submitted;
	float x;
	ronde_handle handle;
} heard;

static void hear(ronde_log_level level, const char *message, void *arg)
{
	(void)level;
	(void)arg;
	heard.completed += strncmp(message, "completed \"t", 12) == 0;
	if (strncmp(message, "announced \"t", 12) != 0)
		return;
	heard.announced++;
	if (heard.called)
		return;
	heard.called = true;
	heard.x = 1;
	heard.handle = sum("of the log function", &heard.x, 1);
	float y = 1;
	int done;
	require_ok(ronde_test(heard.handle, &done));
	require_error(ronde_allreduce("b", &y, &y, 1, RONDE_FLOAT32, RONDE_SUM),
		      RONDE_ERR_INVALID_ARGUMENT, "a blocking operation" REFUSED);
	require_ok(ronde_set_log_function(hear, NULL));
	atomic_store(&heard.submitted, true);
}

static void log_calls_ronde(int rank, int size, const void *arg)
{
	(void)arg;
	(void)rank;
	enum { N = 200 };
	float x[N];
	ronde_handle h[N];
	for (int i = 0; i < N; i++) {
		char name[16];
		snprintf(name, sizeof name, "t%d", i);
		x[i] = 1;
		h[i] = sum(name, &x[i], 1);
	}
	for (int i = 0; i < N; i++)
		require_ok(ronde_wait(h[i]));
	while (!atomic_load(&heard.submitted))
		sched_yield();
	require_ok(ronde_wait(heard.handle));
	require(heard.x == (float)size, "%g", (double)heard.x);
	require_ok(ronde_barrier());
	require_ok(ronde_shutdown());
	/* All lines have come, those of the end too. */
	require(heard.announced == N && heard.completed == N, "%d announced, %d completed",
		heard.announced, heard.completed);
}

START_TEST(log_function)
{
	setenv("RONDE_LOG", "trace", 1);
	ronde_set_log_function(hear, NULL);
	for (int n = 1; n <= 3; n++)
		ck_assert_int_eq(fork_ranks(n, log_calls_ronde, NULL), 0);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{alloc, 0, BODIES},
		{loss_while_alloc_runs, ONCE},
		{function_that_stays, ONCE},
		{log_function, ONCE},
	};
	return SUITE_RUN("application", 130, tests);
}

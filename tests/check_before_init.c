/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every public function, before ronde_init() and after ronde_shutdown(): those that need a runtime
 * say so, by the name that was called; the others work. tests/checks/library.sh compares what the
 * headers declare with the names in this file.
 */
#include <stdlib.h>
#include <string.h>

#include "ronde/training.h"
#include "tests/fork_ranks.h"
#include "tests/suite.h"

static float in[4], out[4];
static ronde_handle handle;

#define needs_init(function, ...)                                                                  \
	require_error(function(__VA_ARGS__), RONDE_ERR_NOT_INITIALIZED,                            \
		      #function ": Ronde is not initialised; call ronde_init() first")

static void world_needs_init(void)
{
	ronde_counters counters = {.size = sizeof counters, .turns = 7};
	char text[RONDE_STALL_REPORT_MAX] = "text";
	needs_init(ronde_rank);
	needs_init(ronde_size);
	needs_init(ronde_local_rank);
	needs_init(ronde_local_size);
	needs_init(ronde_cross_rank);
	needs_init(ronde_cross_size);
	needs_init(ronde_is_homogeneous);
	needs_init(ronde_get_counters, &counters);
	needs_init(ronde_get_counters, NULL);
	needs_init(ronde_stall_report, text, sizeof text);
	needs_init(ronde_stall_report, NULL, 0);
	needs_init(ronde_timeline_start, "/nowhere/timeline.json", NULL);
	needs_init(ronde_timeline_start, NULL, NULL);
	needs_init(ronde_timeline_stop);
	require(counters.turns == 7 && strcmp(text, "text") == 0, "an output was set");
}

static void process_sets_need_init(void)
{
	int ranks[1] = {0}, set = 7;
	needs_init(ronde_process_set_add, ranks, 1, &set);
	needs_init(ronde_process_set_add, NULL, 1, NULL);
	needs_init(ronde_process_set_remove, 1);
	needs_init(ronde_process_set_size, 0);
	needs_init(ronde_process_set_rank, 0);
	needs_init(ronde_process_set_included, 0);
	needs_init(ronde_process_set_ranks, 0, ranks, 1);
	needs_init(ronde_process_set_ranks, 0, NULL, 1);
	needs_init(ronde_process_set_ids, ranks, 1);
	needs_init(ronde_process_set_ids, NULL, 1);
	require(set == 7 && ranks[0] == 0, "an output was set");
}

static void operations_need_init(void)
{
	int64_t shape[1] = {1};
	ronde_gathered gathered = {0};
	needs_init(ronde_allreduce, "x", in, out, 1, RONDE_FLOAT32, RONDE_SUM);
	needs_init(ronde_allreduce_async, "x", in, out, 1, RONDE_FLOAT32, RONDE_SUM, NULL, &handle);
	needs_init(ronde_broadcast, "x", in, out, 1, RONDE_FLOAT32, 0);
	needs_init(ronde_broadcast_async, "x", in, out, 1, RONDE_FLOAT32, 0, NULL, &handle);
	needs_init(ronde_allgather, "x", in, shape, 1, RONDE_FLOAT32, &gathered);
	needs_init(ronde_allgather_async, "x", in, shape, 1, RONDE_FLOAT32, &gathered, NULL,
		   &handle);
	needs_init(ronde_reducescatter, "x", in, out, shape, 1, RONDE_FLOAT32, RONDE_SUM);
	needs_init(ronde_reducescatter_async, "x", in, out, shape, 1, RONDE_FLOAT32, RONDE_SUM,
		   NULL, &handle);
	needs_init(ronde_alltoall, "x", in, shape, 1, RONDE_FLOAT32, NULL, 0, &gathered);
	needs_init(ronde_alltoall_async, "x", in, shape, 1, RONDE_FLOAT32, NULL, 0, &gathered, NULL,
		   &handle);
	needs_init(ronde_barrier);
	needs_init(ronde_barrier_async, NULL, &handle);
}

static void groups_need_init(void)
{
	ronde_group_tensor tensor = {0};
	needs_init(ronde_grouped_allreduce, "x", &tensor, 1, RONDE_SUM);
	needs_init(ronde_grouped_allreduce_async, "x", &tensor, 1, RONDE_SUM, NULL, &handle);
	needs_init(ronde_grouped_allgather, "x", &tensor, 1);
	needs_init(ronde_grouped_allgather_async, "x", &tensor, 1, NULL, &handle);
	needs_init(ronde_grouped_reducescatter, "x", &tensor, 1, RONDE_SUM);
	needs_init(ronde_grouped_reducescatter_async, "x", &tensor, 1, RONDE_SUM, NULL, &handle);
}

static void never_called(ronde_handle done, int status, const char *message, void *arg)
{
	(void)done, (void)status, (void)message, (void)arg;
	abort();
}

static void handles_need_init(void)
{
	int done = 7, last = 7;
	needs_init(ronde_test, 1, &done);
	needs_init(ronde_wait, 1);
	needs_init(ronde_handle_on_done, 1, never_called, NULL);
	needs_init(ronde_handle_on_done, 1, NULL, NULL);
	needs_init(ronde_join, &last);
	require(done == 7 && handle == 0 && last == 7, "an output was set");
}

static void training_needs_init(void)
{
	ronde_parameter parameter = {"p", in, in, 1, RONDE_FLOAT32};
	ronde_sparse_rows rows = {.dtype = RONDE_FLOAT32};
	ronde_sparse sparse = {0};
	ronde_distributed_optimizer *o = NULL;
	ronde_bytes object = {in, 1};
	void *data = in;
	size_t bytes = 1;
	needs_init(ronde_broadcast_parameters, &parameter, 1, 0);
	needs_init(ronde_broadcast_parameters_on, &parameter, 1, 0, 0);
	needs_init(ronde_broadcast_bytes, "x", &data, &bytes, 0);
	needs_init(ronde_broadcast_bytes, "x", NULL, NULL, 0);
	needs_init(ronde_broadcast_objects, "x", &object, 1, 0, 0);
	needs_init(ronde_broadcast_state, "x", NULL, 0, 0, NULL);
	needs_init(ronde_sparse_allreduce, "x", &rows, RONDE_SUM, NULL, &sparse);
	needs_init(ronde_sparse_allreduce_async, "x", &rows, RONDE_SUM, NULL, &sparse);
	needs_init(ronde_sparse_wait, &sparse);
	needs_init(ronde_distributed_optimizer_create, &o, (ronde_step_fn)abort, NULL, &parameter,
		   1, NULL);
	needs_init(ronde_distributed_optimizer_create, NULL, NULL, NULL, NULL, 1, NULL);
	needs_init(ronde_distributed_optimizer_step, NULL);
	needs_init(ronde_distributed_optimizer_synchronize, NULL);
	needs_init(ronde_gradient_ready, NULL, 0);
	needs_init(ronde_gradient_ready_sparse, NULL, 0, &rows);
	needs_init(ronde_gradient_absent, NULL, 0);
	require(!o && data == in && bytes == 1 && object.data == in, "an output was set");
}

static void these_need_none(void)
{
	ronde_parameter parameter = {"p", in, in, 1, RONDE_FLOAT32};
	ronde_sparse_rows rows = {.dtype = RONDE_FLOAT32};
	ronde_optimizer_counters counters = {.size = sizeof counters};
	int64_t first, count;
	double norm = -1;
	require(!ronde_is_initialized(), "initialised");
	require(ronde_version()[0], "no version");
	require(ronde_dtype_bytes(RONDE_FLOAT32) == 4, "bytes of a float");
	require(strcmp(ronde_dtype_name(RONDE_FLOAT32), "float32") == 0, "name of a type");
	require(strcmp(ronde_reduction_name(RONDE_SUM), "sum") == 0, "name of a reduction");
	require(strcmp(ronde_status_name(RONDE_OK), "RONDE_OK") == 0, "name of a status");
	require(ronde_status_text(RONDE_OK)[0], "text of a status");
	require_ok(ronde_reducescatter_rows(5, 2, 0, &first, &count));
	require(first == 0 && count == 3, "rows %d, %d", (int)first, (int)count);
	require_ok(ronde_clip_by_global_norm(&parameter, 1, 1.0, 0, &norm));
	require(norm == 0, "norm %g", norm);
	require_ok(ronde_sparse_add(in, 1, &rows));
	require_ok(ronde_set_log_function(NULL, NULL));
	require_ok(ronde_free(ronde_alloc(100)));
	require_ok(ronde_shutdown());
	/* What was made before a shutdown can still be looked at and freed; here there is none. */
	require_error(ronde_sparse_gradient(NULL, 0, &rows), RONDE_ERR_INVALID_ARGUMENT,
		      "the optimizer is NULL");
	require_error(ronde_distributed_optimizer_get_counters(NULL, &counters),
		      RONDE_ERR_INVALID_ARGUMENT, "the optimizer is NULL");
	require(ronde_distributed_optimizer_wait_seconds(NULL) == 0, "seconds of nothing");
	ronde_distributed_optimizer_destroy(NULL);
}

static void every_function(void)
{
	world_needs_init();
	process_sets_need_init();
	operations_need_init();
	groups_need_init();
	handles_need_init();
	training_needs_init();
	these_need_none();
}

START_TEST(before_init_and_after_shutdown)
{
	ck_assert_str_eq(ronde_error_message(), "");
	every_function();
	require_ok(ronde_init(NULL));
	require_ok(ronde_barrier());
	require_ok(ronde_shutdown());
	every_function();
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{before_init_and_after_shutdown, ONCE},
	};
	return SUITE_RUN("before-init", 60, tests);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every public function with every argument that cannot be used: pointers that are NULL, numbers
 * that are no type, reduction or process set, structs of another size. The code, the whole text,
 * and that operations work afterwards. tests/checks/library.sh compares the functions that the
 * headers declare with those called here. Other bad values: check_api, check_api_rows and the suite
 * of each part.
 */
#include <stdio.h>
#include <string.h>

#include "ronde/training.h"
#include "tests/fork_ranks.h"
#include "tests/suite.h"

#define NO_TYPE ((ronde_dtype)99)
#define NO_REDUCTION ((ronde_reduction)99)
#define NOT_IN_FLIGHT(function, handle)                                                            \
	function ": handle " handle                                                                \
		 " is not in flight: it was never given out, was already waited "                  \
		 "for, or is of a runtime that has been shut down"
#define REFUSED(call, text) require_error(call, RONDE_ERR_INVALID_ARGUMENT, text)
#define UNSIZED (&(ronde_options){.size = 1, .prescale = 1, .postscale = 1})
#define PARAMETER(name, data, gradient, dtype) (&(ronde_parameter){name, data, gradient, 1, dtype})
#define NO_NAME PARAMETER(NULL, in, out, RONDE_FLOAT32)
#define NO_DATA PARAMETER("p", NULL, out, RONDE_FLOAT32)
#define NO_GRADIENT PARAMETER("p", in, NULL, RONDE_FLOAT32)
#define NO_TYPE_PARAMETER PARAMETER("p", in, out, NO_TYPE)
#define ITEM(...) (&(ronde_state_item){__VA_ARGS__})
#define SPARSE(indices, values, dtype) (&(ronde_sparse_rows){1, 1, indices, values, dtype})
#define TENSOR(type, to)                                                                           \
	{                                                                                          \
		.input = in, .output = out, .gathered = (to), .shape = shape, .ndim = 1,           \
		.count = 1, .dtype = (type)                                                        \
	}
#define NO_TYPE_TENSOR (&(ronde_group_tensor)TENSOR(NO_TYPE, &gathered))
#define NO_OBJECT (&(ronde_bytes){NULL, 3})

static float in[4], out[4];
static const int64_t shape[1] = {1};
static ronde_handle handle;

static int step(void *state)
{
	(void)state;
	return 0;
}

static void reports(void)
{
	char text[10];
	REFUSED(ronde_get_counters(NULL), "ronde_get_counters: counters is NULL");
	REFUSED(ronde_get_counters(&(ronde_counters){.size = 0}),
		"ronde_get_counters: the struct's size is not set");
	REFUSED(ronde_stall_report(NULL, 10), "ronde_stall_report: no room for a text");
	REFUSED(ronde_stall_report(text, 0), "ronde_stall_report: no room for a text");
	REFUSED(ronde_timeline_start(NULL, NULL), "ronde_timeline_start: the path is NULL");
	REFUSED(ronde_timeline_start("", NULL), "ronde_timeline_start: the path is empty");
	REFUSED(ronde_timeline_start("/tmp/x", &(ronde_timeline_options){.size = 1}),
		"ronde_timeline_start: the options' size is 1; start from "
		"RONDE_TIMELINE_OPTIONS_INIT");
}

static void process_sets(void)
{
	int ranks[1] = {0}, number = 0;
	REFUSED(ronde_process_set_add(NULL, 1, &number), "ronde_process_set_add: ranks is NULL");
	REFUSED(ronde_process_set_add(ranks, 1, NULL), "ronde_process_set_add: set is NULL");
	REFUSED(ronde_process_set_add(ranks, 0, &number),
		"ronde_process_set_add: a process set of no ranks");
	REFUSED(ronde_process_set_remove(77),
		"ronde_process_set_remove: process set 77 does not exist");
	REFUSED(ronde_process_set_remove(0), "ronde_process_set_remove: process set 0 is the set "
					     "of all ranks and cannot be removed");
	REFUSED(ronde_process_set_size(77),
		"ronde_process_set_size: process set 77 does not exist");
	REFUSED(ronde_process_set_rank(-1),
		"ronde_process_set_rank: process set -1 does not exist");
	REFUSED(ronde_process_set_included(77),
		"ronde_process_set_included: process set 77 does not exist");
	REFUSED(ronde_process_set_ranks(0, NULL, 1),
		"ronde_process_set_ranks: ranks is NULL, but room is 1");
	REFUSED(ronde_process_set_ranks(77, ranks, 1),
		"ronde_process_set_ranks: process set 77 does not exist");
	REFUSED(ronde_process_set_ids(NULL, 1),
		"ronde_process_set_ids: sets is NULL, but room is 1");
}

static void handles(void)
{
	int number = 0;
	char text[100];
	snprintf(text, sizeof text,
		 "ronde_free(%p): not memory of ronde_alloc(), it lies outside the heap",
		 (void *)in);
	REFUSED(ronde_free(in), text);
	require_error(ronde_test(77, &number), RONDE_ERR_UNKNOWN_HANDLE,
		      NOT_IN_FLIGHT("ronde_test", "0x4d"));
	REFUSED(ronde_test(77, NULL), "ronde_test: done is NULL");
	require_error(ronde_wait(0), RONDE_ERR_UNKNOWN_HANDLE, NOT_IN_FLIGHT("ronde_wait", "0"));
	REFUSED(ronde_handle_on_done(77, NULL, NULL), "ronde_handle_on_done: the function is NULL");
}

static void operations(void)
{
	ronde_gathered gathered = {0};
	int64_t rows = 0;
	REFUSED(ronde_allreduce("t", NULL, out, 1, RONDE_FLOAT32, RONDE_SUM),
		"ronde_allreduce: tensor \"t\": the input is NULL, but the count is 1");
	REFUSED(ronde_allreduce("t", in, NULL, 1, RONDE_FLOAT32, RONDE_SUM),
		"ronde_allreduce: tensor \"t\": the output is NULL, but the count is 1");
	REFUSED(ronde_allreduce("t", in, out, 1, NO_TYPE, RONDE_SUM),
		"ronde_allreduce: tensor \"t\": 99 is not a type (enum ronde_dtype)");
	REFUSED(ronde_allreduce("t", in, out, 1, RONDE_FLOAT32, NO_REDUCTION),
		"ronde_allreduce: tensor \"t\": 99 is not a reduction (enum ronde_reduction)");
	REFUSED(ronde_allreduce_async("t", in, out, 1, NO_TYPE, RONDE_SUM, NULL, &handle),
		"ronde_allreduce_async: tensor \"t\": 99 is not a type (enum ronde_dtype)");
	REFUSED(ronde_allreduce_async("t", in, out, 1, RONDE_FLOAT32, NO_REDUCTION, NULL, &handle),
		"ronde_allreduce_async: tensor \"t\": 99 is not a reduction (enum "
		"ronde_reduction)");
	REFUSED(ronde_allreduce_async("t", in, out, 1, RONDE_FLOAT32, RONDE_SUM, UNSIZED, &handle),
		"ronde_allreduce_async: tensor \"t\": the options' size is 1; start from "
		"RONDE_OPTIONS_INIT");
	REFUSED(ronde_allreduce_async("t", in, out, 1, RONDE_FLOAT32, RONDE_SUM, NULL, NULL),
		"ronde_allreduce_async: handle is NULL");
	REFUSED(ronde_broadcast("t", NULL, out, 1, RONDE_FLOAT32, 0),
		"ronde_broadcast: tensor \"t\": the root's input is NULL, but the count is 1");
	REFUSED(ronde_broadcast("t", in, NULL, 1, RONDE_FLOAT32, 0),
		"ronde_broadcast: tensor \"t\": the output is NULL, but the count is 1");
	REFUSED(ronde_broadcast("t", in, out, 1, NO_TYPE, 0),
		"ronde_broadcast: tensor \"t\": 99 is not a type (enum ronde_dtype)");
	REFUSED(ronde_broadcast_async("t", in, out, 1, NO_TYPE, 0, NULL, &handle),
		"ronde_broadcast_async: tensor \"t\": 99 is not a type (enum ronde_dtype)");
	REFUSED(ronde_broadcast_async("t", in, out, 1, RONDE_FLOAT32, 0, UNSIZED, &handle),
		"ronde_broadcast_async: tensor \"t\": the options' size is 1; start from "
		"RONDE_OPTIONS_INIT");
	REFUSED(ronde_broadcast_async("t", in, out, 1, RONDE_FLOAT32, 0, NULL, NULL),
		"ronde_broadcast_async: handle is NULL");
	REFUSED(ronde_allgather("t", NULL, shape, 1, RONDE_FLOAT32, &gathered),
		"ronde_allgather: tensor \"t\": the input is NULL, but the count is 1");
	REFUSED(ronde_allgather("t", in, NULL, 1, RONDE_FLOAT32, &gathered),
		"ronde_allgather: tensor \"t\": an allgather needs a shape of 1 to 16 extents, "
		"none of them negative; shape is NULL and ndim 1");
	REFUSED(ronde_allgather("t", in, shape, 1, NO_TYPE, &gathered),
		"ronde_allgather: tensor \"t\": 99 is not a type (enum ronde_dtype)");
	REFUSED(ronde_allgather("t", in, shape, 1, RONDE_FLOAT32, NULL),
		"ronde_allgather: tensor \"t\": output is NULL");
	REFUSED(ronde_allgather_async("t", in, shape, 1, NO_TYPE, &gathered, NULL, &handle),
		"ronde_allgather_async: tensor \"t\": 99 is not a type (enum ronde_dtype)");
	REFUSED(ronde_allgather_async("t", in, shape, 1, RONDE_FLOAT32, NULL, NULL, &handle),
		"ronde_allgather_async: tensor \"t\": output is NULL");
	REFUSED(ronde_allgather_async("t", in, shape, 1, RONDE_FLOAT32, &gathered, UNSIZED,
				      &handle),
		"ronde_allgather_async: tensor \"t\": the options' size is 1; start from "
		"RONDE_OPTIONS_INIT");
	REFUSED(ronde_allgather_async("t", in, shape, 1, RONDE_FLOAT32, &gathered, NULL, NULL),
		"ronde_allgather_async: handle is NULL");
	REFUSED(ronde_alltoall("t", NULL, shape, 1, RONDE_FLOAT32, NULL, 0, &gathered),
		"ronde_alltoall: tensor \"t\": the input is NULL, but the count is 1");
	REFUSED(ronde_alltoall("t", in, NULL, 1, RONDE_FLOAT32, NULL, 0, &gathered),
		"ronde_alltoall: tensor \"t\": an alltoall needs a shape of 1 to 16 extents, none "
		"of them negative; shape is NULL and ndim 1");
	REFUSED(ronde_alltoall("t", in, shape, 1, NO_TYPE, NULL, 0, &gathered),
		"ronde_alltoall: tensor \"t\": 99 is not a type (enum ronde_dtype)");
	REFUSED(ronde_alltoall("t", in, shape, 1, RONDE_FLOAT32, NULL, 1, &gathered),
		"ronde_alltoall: tensor \"t\": splits is NULL, but their number is 1");
	REFUSED(ronde_alltoall("t", in, shape, 1, RONDE_FLOAT32, NULL, 0, NULL),
		"ronde_alltoall: tensor \"t\": output is NULL");
	REFUSED(ronde_alltoall_async("t", in, shape, 1, NO_TYPE, NULL, 0, &gathered, NULL, &handle),
		"ronde_alltoall_async: tensor \"t\": 99 is not a type (enum ronde_dtype)");
	REFUSED(ronde_alltoall_async("t", in, shape, 1, RONDE_FLOAT32, NULL, 0, &gathered, UNSIZED,
				     &handle),
		"ronde_alltoall_async: tensor \"t\": the options' size is 1; start from "
		"RONDE_OPTIONS_INIT");
	REFUSED(ronde_alltoall_async("t", in, shape, 1, RONDE_FLOAT32, NULL, 0, &gathered, NULL,
				     NULL),
		"ronde_alltoall_async: handle is NULL");
	REFUSED(ronde_reducescatter("t", NULL, out, shape, 1, RONDE_FLOAT32, RONDE_SUM),
		"ronde_reducescatter: tensor \"t\": the input is NULL, but the count is 1");
	REFUSED(ronde_reducescatter("t", in, NULL, shape, 1, RONDE_FLOAT32, RONDE_SUM),
		"ronde_reducescatter: tensor \"t\": the output is NULL, but 4 bytes of the result "
		"are this rank's");
	REFUSED(ronde_reducescatter("t", in, out, NULL, 1, RONDE_FLOAT32, RONDE_SUM),
		"ronde_reducescatter: tensor \"t\": a reducescatter needs a shape of 1 to 16 "
		"extents, none of them negative; shape is NULL and ndim 1");
	REFUSED(ronde_reducescatter("t", in, out, shape, 1, NO_TYPE, RONDE_SUM),
		"ronde_reducescatter: tensor \"t\": 99 is not a type (enum ronde_dtype)");
	REFUSED(ronde_reducescatter("t", in, out, shape, 1, RONDE_FLOAT32, NO_REDUCTION),
		"ronde_reducescatter: tensor \"t\": 99 is not a reduction (enum ronde_reduction)");
	REFUSED(ronde_reducescatter_async("t", in, out, shape, 1, NO_TYPE, RONDE_SUM, NULL,
					  &handle),
		"ronde_reducescatter_async: tensor \"t\": 99 is not a type (enum ronde_dtype)");
	REFUSED(ronde_reducescatter_async("t", in, out, shape, 1, RONDE_FLOAT32, NO_REDUCTION, NULL,
					  &handle),
		"ronde_reducescatter_async: tensor \"t\": 99 is not a reduction (enum "
		"ronde_reduction)");
	REFUSED(ronde_reducescatter_async("t", in, out, shape, 1, RONDE_FLOAT32, RONDE_SUM, UNSIZED,
					  &handle),
		"ronde_reducescatter_async: tensor \"t\": the options' size is 1; start from "
		"RONDE_OPTIONS_INIT");
	REFUSED(ronde_reducescatter_async("t", in, out, shape, 1, RONDE_FLOAT32, RONDE_SUM, NULL,
					  NULL),
		"ronde_reducescatter_async: handle is NULL");
	REFUSED(ronde_reducescatter_rows(5, 2, 0, NULL, &rows),
		"ronde_reducescatter_rows: first is NULL");
	REFUSED(ronde_reducescatter_rows(5, 2, 0, &rows, NULL),
		"ronde_reducescatter_rows: count is NULL");
	REFUSED(ronde_reducescatter_rows(-1, 2, 0, &rows, &rows),
		"ronde_reducescatter_rows: -1 rows have no share of member 0 of 2");
	REFUSED(ronde_barrier_async(NULL, NULL), "ronde_barrier_async: handle is NULL");
	REFUSED(ronde_barrier_async(UNSIZED, &handle),
		"ronde_barrier_async: the options' size is 1; start from RONDE_OPTIONS_INIT");
}

static void groups(void)
{
	ronde_gathered gathered = {0};
	const ronde_group_tensor tensor = TENSOR(RONDE_FLOAT32, NULL);
	REFUSED(ronde_grouped_allreduce("g", NULL, 1, RONDE_SUM),
		"ronde_grouped_allreduce: tensors is NULL");
	REFUSED(ronde_grouped_allreduce("g", &tensor, 0, RONDE_SUM),
		"ronde_grouped_allreduce: a group has 1 to 1048575 tensors, and this has 0");
	REFUSED(ronde_grouped_allreduce("g", &tensor, 1, NO_REDUCTION),
		"ronde_grouped_allreduce: tensor \"g_1of1\": 99 is not a reduction (enum "
		"ronde_reduction)");
	REFUSED(ronde_grouped_allreduce("g", NO_TYPE_TENSOR, 1, RONDE_SUM),
		"ronde_grouped_allreduce: tensor \"g_1of1\": 99 is not a type (enum ronde_dtype)");
	REFUSED(ronde_grouped_allreduce_async("g", NULL, 1, RONDE_SUM, NULL, &handle),
		"ronde_grouped_allreduce_async: tensors is NULL");
	REFUSED(ronde_grouped_allreduce_async("g", &tensor, 1, NO_REDUCTION, NULL, &handle),
		"ronde_grouped_allreduce_async: tensor \"g_1of1\": 99 is not a reduction (enum "
		"ronde_reduction)");
	REFUSED(ronde_grouped_allreduce_async("g", &tensor, 1, RONDE_SUM, UNSIZED, &handle),
		"ronde_grouped_allreduce_async: the options' size is 1; start from "
		"RONDE_OPTIONS_INIT");
	REFUSED(ronde_grouped_allreduce_async("g", &tensor, 1, RONDE_SUM, NULL, NULL),
		"ronde_grouped_allreduce_async: handle is NULL");
	REFUSED(ronde_grouped_allgather("g", NULL, 1), "ronde_grouped_allgather: tensors is NULL");
	REFUSED(ronde_grouped_allgather("g", NO_TYPE_TENSOR, 1),
		"ronde_grouped_allgather: tensor \"g_1of1\": 99 is not a type (enum ronde_dtype)");
	REFUSED(ronde_grouped_allgather("g", &tensor, 1),
		"ronde_grouped_allgather: tensor \"g_1of1\": output is NULL");
	REFUSED(ronde_grouped_allgather_async("g", NULL, 1, NULL, &handle),
		"ronde_grouped_allgather_async: tensors is NULL");
	REFUSED(ronde_grouped_allgather_async("g", &tensor, 1, UNSIZED, &handle),
		"ronde_grouped_allgather_async: the options' size is 1; start from "
		"RONDE_OPTIONS_INIT");
	REFUSED(ronde_grouped_allgather_async("g", &tensor, 1, NULL, NULL),
		"ronde_grouped_allgather_async: handle is NULL");
	REFUSED(ronde_grouped_reducescatter("g", NULL, 1, RONDE_SUM),
		"ronde_grouped_reducescatter: tensors is NULL");
	REFUSED(ronde_grouped_reducescatter("g", &tensor, 1, NO_REDUCTION),
		"ronde_grouped_reducescatter: tensor \"g_1of1\": 99 is not a reduction (enum "
		"ronde_reduction)");
	REFUSED(ronde_grouped_reducescatter("g", NO_TYPE_TENSOR, 1, RONDE_SUM),
		"ronde_grouped_reducescatter: tensor \"g_1of1\": 99 is not a type (enum "
		"ronde_dtype)");
	REFUSED(ronde_grouped_reducescatter_async("g", NULL, 1, RONDE_SUM, NULL, &handle),
		"ronde_grouped_reducescatter_async: tensors is NULL");
	REFUSED(ronde_grouped_reducescatter_async("g", &tensor, 1, NO_REDUCTION, NULL, &handle),
		"ronde_grouped_reducescatter_async: tensor \"g_1of1\": 99 is not a reduction (enum "
		"ronde_reduction)");
	REFUSED(ronde_grouped_reducescatter_async("g", &tensor, 1, RONDE_SUM, UNSIZED, &handle),
		"ronde_grouped_reducescatter_async: the options' size is 1; start from "
		"RONDE_OPTIONS_INIT");
	REFUSED(ronde_grouped_reducescatter_async("g", &tensor, 1, RONDE_SUM, NULL, NULL),
		"ronde_grouped_reducescatter_async: handle is NULL");
}

static void state(void)
{
	const ronde_parameter parameter = {"p", in, out, 1, RONDE_FLOAT32};
	ronde_bytes object = {in, 1};
	void *memory = in, *nothing = NULL;
	size_t bytes = 1;
	int64_t rows = 1;
	REFUSED(ronde_broadcast_parameters(NULL, 1, 0),
		"the list of parameters is NULL, its count 1");
	REFUSED(ronde_broadcast_parameters(NO_DATA, 1, 0),
		"parameter 0, \"p\", of 1 elements has no data (NULL)");
	REFUSED(ronde_broadcast_parameters(NO_NAME, 1, 0),
		"parameter 0 has no name (name is NULL): every parameter needs one, the same on "
		"all ranks");
	REFUSED(ronde_broadcast_parameters(NO_TYPE_PARAMETER, 1, 0),
		"parameter 0, \"p\", has the dtype 99, which is no ronde_dtype");
	REFUSED(ronde_broadcast_parameters_on(NULL, 1, 0, 0),
		"the list of parameters is NULL, its count 1");
	REFUSED(ronde_broadcast_parameters_on(&parameter, 1, 0, 77),
		"ronde_broadcast_async: tensor \"p\": process set 77 does not exist; 0 is the set "
		"of all ranks");
	REFUSED(ronde_broadcast_bytes("b", NULL, &bytes, 0),
		"ronde_broadcast_bytes() needs a place for both data and bytes; data is NULL");
	REFUSED(ronde_broadcast_bytes("b", &memory, NULL, 0),
		"ronde_broadcast_bytes() needs a place for both data and bytes; bytes is NULL");
	REFUSED(ronde_broadcast_bytes("b", &nothing, &bytes, 0),
		"ronde_broadcast_bytes() was given 1 bytes, but data is NULL");
	REFUSED(ronde_broadcast_objects("b", NULL, 1, 0, 0),
		"ronde_broadcast_objects: the list of 1 objects is NULL");
	REFUSED(ronde_broadcast_objects("b", NO_OBJECT, 1, 0, 0),
		"ronde_broadcast_objects() was given 3 bytes, but data is NULL");
	REFUSED(ronde_broadcast_objects("b", &object, 1, 0, 77),
		"ronde_broadcast_async: tensor \"b.length\": process set 77 does not exist; 0 is "
		"the set of all ranks");
	REFUSED(ronde_broadcast_state("s", NULL, 1, 0, NULL),
		"the list of state is NULL, its count 1");
	REFUSED(ronde_broadcast_state("s", ITEM(NULL, RONDE_FLOAT32, &memory, &rows), 1, 0, NULL),
		"item 0 of the state has no name (NULL)");
	REFUSED(ronde_broadcast_state("s", ITEM("i", NO_TYPE, &memory, &rows), 1, 0, NULL),
		"item 0 of the state, \"i\", has the dtype 99, which is no ronde_dtype");
	REFUSED(ronde_broadcast_state("s", ITEM("i", RONDE_FLOAT32, NULL, &rows), 1, 0, NULL),
		"item 0 of the state has no place for its data (NULL)");
	REFUSED(ronde_broadcast_state("s", ITEM("i", RONDE_FLOAT32, &memory, NULL), 1, 0, NULL),
		"item 0 of the state has no place for its count (NULL)");
	REFUSED(ronde_broadcast_state("s", NULL, 0, 0, &(ronde_state_options){.size = 1}),
		"ronde_broadcast_state: the options' size is 1; start from "
		"RONDE_STATE_OPTIONS_INIT");
}

static void sparse_rows(void)
{
	ronde_sparse sparse = {0};
	REFUSED(ronde_sparse_allreduce("s", NULL, RONDE_SUM, NULL, &sparse),
		"ronde_sparse_allreduce() needs rows and a place for the result; input is NULL");
	REFUSED(ronde_sparse_allreduce("s", SPARSE(NULL, in, RONDE_FLOAT32), RONDE_SUM, NULL,
				       &sparse),
		"\"s\": there are 1 rows, but their indices are NULL");
	REFUSED(ronde_sparse_allreduce("s", SPARSE(shape, NULL, RONDE_FLOAT32), RONDE_SUM, NULL,
				       &sparse),
		"\"s\": there are 1 rows, but their values are NULL");
	REFUSED(ronde_sparse_allreduce("s", SPARSE(shape, in, NO_TYPE), RONDE_SUM, NULL, &sparse),
		"\"s\": the rows have the dtype 99, which is no ronde_dtype");
	REFUSED(ronde_sparse_allreduce("s", SPARSE(shape, in, RONDE_FLOAT32), NO_REDUCTION, NULL,
				       &sparse),
		"\"s\": the reduction of a sparse allreduce is ? (99): it must be RONDE_SUM or "
		"RONDE_AVERAGE");
	REFUSED(ronde_sparse_allreduce("s", SPARSE(shape, in, RONDE_FLOAT32), RONDE_SUM, UNSIZED,
				       &sparse),
		"ronde_sparse_allreduce: tensor \"s\": the options' size is 1; start from "
		"RONDE_OPTIONS_INIT");
	REFUSED(ronde_sparse_allreduce("s", SPARSE(shape, in, RONDE_FLOAT32), RONDE_SUM, NULL,
				       NULL),
		"ronde_sparse_allreduce() needs rows and a place for the result; sparse is NULL");
	REFUSED(ronde_sparse_allreduce_async("s", NULL, RONDE_SUM, NULL, &sparse),
		"ronde_sparse_allreduce() needs rows and a place for the result; input is NULL");
	REFUSED(ronde_sparse_allreduce_async("s", SPARSE(shape, in, RONDE_FLOAT32), NO_REDUCTION,
					     NULL, &sparse),
		"\"s\": the reduction of a sparse allreduce is ? (99): it must be RONDE_SUM or "
		"RONDE_AVERAGE");
	REFUSED(ronde_sparse_allreduce_async("s", SPARSE(shape, in, RONDE_FLOAT32), RONDE_SUM,
					     UNSIZED, &sparse),
		"ronde_sparse_allreduce_async: tensor \"s\": the options' size is 1; start from "
		"RONDE_OPTIONS_INIT");
	REFUSED(ronde_sparse_allreduce_async("s", SPARSE(shape, in, RONDE_FLOAT32), RONDE_SUM, NULL,
					     NULL),
		"ronde_sparse_allreduce() needs rows and a place for the result; sparse is NULL");
	REFUSED(ronde_sparse_wait(NULL), "ronde_sparse_wait: sparse is NULL");
	require_error(ronde_sparse_wait(&sparse), RONDE_ERR_UNKNOWN_HANDLE,
		      NOT_IN_FLIGHT("ronde_wait", "0"));
	REFUSED(ronde_sparse_add(NULL, 1, SPARSE(shape, in, RONDE_FLOAT32)),
		"ronde_sparse_add: dense is NULL");
	REFUSED(ronde_sparse_add(out, 1, NULL), "ronde_sparse_add: rows is NULL");
	REFUSED(ronde_sparse_add(out, 4, SPARSE(NULL, in, RONDE_FLOAT32)),
		"\"ronde_sparse_add\": there are 1 rows, but their indices are NULL");
	REFUSED(ronde_sparse_add(out, 4, SPARSE(shape, NULL, RONDE_FLOAT32)),
		"\"ronde_sparse_add\": there are 1 rows, but their values are NULL");
	REFUSED(ronde_sparse_add(out, 4, SPARSE(shape, in, NO_TYPE)),
		"\"ronde_sparse_add\": the rows have the dtype 99, which is no ronde_dtype");
}

static void optimizers(void)
{
	const ronde_parameter parameter = {"p", in, out, 1, RONDE_FLOAT32};
	ronde_distributed_optimizer *made = NULL, *optimizer = NULL;
	ronde_optimizer_counters counters = {.size = sizeof counters};
	ronde_sparse_rows result;
	double norm = 0;
	require_ok(ronde_distributed_optimizer_create(&optimizer, step, NULL, &parameter, 1, NULL));
	REFUSED(ronde_distributed_optimizer_create(NULL, step, NULL, &parameter, 1, NULL),
		"ronde_distributed_optimizer_create() needs a place for the optimizer, not NULL");
	REFUSED(ronde_distributed_optimizer_create(&made, NULL, NULL, &parameter, 1, NULL),
		"ronde_distributed_optimizer_create() needs a step function, not NULL");
	REFUSED(ronde_distributed_optimizer_create(&made, step, NULL, NULL, 1, NULL),
		"the list of parameters is NULL, its count 1");
	REFUSED(ronde_distributed_optimizer_create(&made, step, NULL, NO_NAME, 1, NULL),
		"parameter 0 has no name (name is NULL): every parameter needs one, the same on "
		"all ranks");
	REFUSED(ronde_distributed_optimizer_create(&made, step, NULL, NO_GRADIENT, 1, NULL),
		"parameter 0, \"p\", of 1 elements has no gradient (NULL)");
	REFUSED(ronde_distributed_optimizer_create(&made, step, NULL, NO_TYPE_PARAMETER, 1, NULL),
		"parameter 0, \"p\", has the dtype 99, which is no ronde_dtype");
	REFUSED(ronde_distributed_optimizer_create(
			&made, step, NULL, &parameter, 1,
			&(ronde_distributed_optimizer_options){.size = 1}),
		"the size of the optimizer's options is 1: start from "
		"RONDE_DISTRIBUTED_OPTIMIZER_OPTIONS_INIT");
	REFUSED(ronde_distributed_optimizer_step(NULL), "the optimizer is NULL");
	REFUSED(ronde_distributed_optimizer_synchronize(NULL), "the optimizer is NULL");
	REFUSED(ronde_distributed_optimizer_get_counters(NULL, &counters), "the optimizer is NULL");
	REFUSED(ronde_distributed_optimizer_get_counters(optimizer, NULL),
		"the optimizer's counters: counters is NULL");
	REFUSED(ronde_distributed_optimizer_get_counters(optimizer,
							 &(ronde_optimizer_counters){.size = 0}),
		"the optimizer's counters: the struct's size is not set");
	REFUSED(ronde_gradient_ready(NULL, 0), "the optimizer is NULL");
	REFUSED(ronde_gradient_ready(optimizer, 1),
		"ronde_gradient_ready() was called for gradient 1, but the optimizer has 1 "
		"parameters");
	REFUSED(ronde_gradient_absent(NULL, 0), "the optimizer is NULL");
	REFUSED(ronde_gradient_absent(optimizer, 1),
		"ronde_gradient_absent() was called for gradient 1, but the optimizer has 1 "
		"parameters");
	REFUSED(ronde_gradient_ready_sparse(NULL, 0, SPARSE(shape, in, RONDE_FLOAT32)),
		"the optimizer is NULL");
	REFUSED(ronde_gradient_ready_sparse(optimizer, 1, SPARSE(shape, in, RONDE_FLOAT32)),
		"ronde_gradient_ready_sparse() was called for gradient 1, but the optimizer has 1 "
		"parameters");
	REFUSED(ronde_gradient_ready_sparse(optimizer, 0, NULL),
		"\"gradient.p\": the rows are NULL");
	REFUSED(ronde_sparse_gradient(NULL, 0, &result), "the optimizer is NULL");
	REFUSED(ronde_sparse_gradient(optimizer, 1, &result),
		"ronde_sparse_gradient() was called for gradient 1, but the optimizer has 1 "
		"parameters");
	REFUSED(ronde_sparse_gradient(optimizer, 0, NULL),
		"\"gradient.p\" (parameter 0): the place for its rows is NULL");
	REFUSED(ronde_sparse_gradient(optimizer, 0, &result),
		"\"gradient.p\" (parameter 0): its gradient is dense");
	REFUSED(ronde_clip_by_global_norm(NULL, 1, 1.0, 0, &norm),
		"the list of parameters is NULL, its count 1");
	REFUSED(ronde_clip_by_global_norm(NO_GRADIENT, 1, 1.0, 0, &norm),
		"parameter 0, \"p\", of 1 elements has no gradient (NULL)");
	REFUSED(ronde_clip_by_global_norm(NO_TYPE_PARAMETER, 1, 1.0, 0, &norm),
		"parameter 0, \"p\", has the dtype 99, which is no ronde_dtype");
	require(!made, "an optimizer was made");
	require_ok(ronde_distributed_optimizer_step(optimizer));
	ronde_distributed_optimizer_destroy(optimizer);
}

static void all_of_them(int rank, int size, const void *arg)
{
	(void)rank, (void)arg;
	reports();
	process_sets();
	handles();
	operations();
	groups();
	state();
	sparse_rows();
	optimizers();
	require(handle == 0, "a handle was given out");
	for (int i = 0; i < 4; i++)
		in[i] = (float)i;
	require_ok(ronde_allreduce("t", in, out, 4, RONDE_FLOAT32, RONDE_SUM));
	for (int i = 0; i < 4; i++)
		require(out[i] == (float)(size * i), "element %d is %g", i, (double)out[i]);
}

START_TEST(refused)
{
	ck_assert_int_eq(fork_ranks(_i, all_of_them, NULL), 0);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{refused, 1, 2},
	};
	return SUITE_RUN("arguments", 120, tests);
}

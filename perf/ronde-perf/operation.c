/* SPDX-License-Identifier: Apache-2.0 */
#include "perf/ronde-perf/operation.h"
#include "perf/ronde-perf/commands.h"

#include <string.h>

static const struct perf_operation operations[] = {
	{.kind = PERF_ALLREDUCE,
	 .name = "allreduce",
	 .reduces = true,
	 .in_place = true,
	 .has_data = true},
	{.kind = PERF_BROADCAST,
	 .name = "broadcast",
	 .rooted = true,
	 .in_place = true,
	 .has_data = true},
	{.kind = PERF_ALLGATHER, .name = "allgather", .gathers = true, .has_data = true},
	{.kind = PERF_REDUCE_SCATTER,
	 .name = "reduce_scatter",
	 .reduces = true,
	 .scatters = true,
	 .in_place = true,
	 .has_data = true},
	{.kind = PERF_ALLTOALL, .name = "alltoall", .scatters = true, .has_data = true},
	{.kind = PERF_BARRIER, .name = "barrier"},
};

const struct perf_operation *perf_operation_find(const char *name)
{
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		if (strcmp(operations[i].name, name) == 0)
			return &operations[i];
	return NULL;
}

double perf_operation_bus_factor(const struct perf_operation *operation, int size)
{
	switch (operation->kind) {
	case PERF_ALLREDUCE:
		return 2.0 * (size - 1) / size;
	case PERF_ALLGATHER:
	case PERF_REDUCE_SCATTER:
	case PERF_ALLTOALL:
		return 1.0 * (size - 1) / size;
	default:
		return 1;
	}
}

void perf_call_fill(void *arg, int round)
{
	struct perf_call *call = arg;

	if (call->kind != PERF_BARRIER)
		perf_data_fill(call->data, call->input, (size_t)call->count, call->world->rank,
			       round);
}

/* Elements of one rank's part. */
static int64_t part(const struct perf_call *call)
{
	return call->count / call->world->size;
}

/* Where this rank's part of a reduce_scatter goes; in place it stays where it is. */
static char *scattered(const struct perf_call *call)
{
	size_t bytes = (size_t)part(call) * perf_dtype_bytes(call->data->dtype);

	return (char *)call->output +
	       (call->input == call->output ? bytes * (size_t)call->world->rank : 0);
}

void perf_call_ronde(void *arg)
{
	struct perf_call *call = arg;
	ronde_gathered gathered = {.data = call->output};
	int status = RONDE_OK;

	switch (call->kind) {
	case PERF_ALLREDUCE:
		status = ronde_allreduce(call->name, call->input, call->output, call->count,
					 call->data->dtype, call->data->reduction);
		break;
	case PERF_BROADCAST:
		status = ronde_broadcast(call->name, call->input, call->output, call->count,
					 call->data->dtype, call->root);
		break;
	case PERF_ALLGATHER:
		gathered.capacity_bytes = (size_t)call->count * (size_t)call->world->size *
					  perf_dtype_bytes(call->data->dtype);
		status = ronde_allgather(call->name, call->input, &call->count, 1,
					 call->data->dtype, &gathered);
		break;
	case PERF_REDUCE_SCATTER:
		status = ronde_reducescatter(call->name, call->input, scattered(call), &call->count,
					     1, call->data->dtype, call->data->reduction);
		break;
	case PERF_ALLTOALL:
		gathered.capacity_bytes = (size_t)call->count * perf_dtype_bytes(call->data->dtype);
		status = ronde_alltoall(call->name, call->input, &call->count, 1, call->data->dtype,
					NULL, 0, &gathered);
		break;
	case PERF_BARRIER:
		status = ronde_barrier();
		break;
	}
	perf_check(call->world, status, call->name);
}

void perf_call_memcpy(void *arg)
{
	struct perf_call *call = arg;
	size_t bytes = (size_t)call->count * perf_dtype_bytes(call->data->dtype);
	int times = call->kind == PERF_ALLGATHER ? call->world->size : 1;

	for (int i = 0; i < times; i++)
		memcpy((char *)call->output + (size_t)i * bytes, call->input, bytes);
	/* The bytes are wanted. */
	__asm__ volatile("" : : "r"(call->output) : "memory");
}

size_t perf_call_wrong(const struct perf_call *call, int round)
{
	size_t bytes = (size_t)call->count * perf_dtype_bytes(call->data->dtype), wrong = 0;
	size_t mine = (size_t)(part(call) * call->world->rank);

	switch (call->kind) {
	case PERF_ALLREDUCE:
		return perf_data_wrong_reduced(call->data, call->output, 0, (size_t)call->count,
					       round);
	case PERF_BROADCAST:
		return perf_data_wrong_copy(call->data, call->output, 0, (size_t)call->count,
					    call->root, round);
	case PERF_ALLGATHER:
		for (int rank = 0; rank < call->world->size; rank++)
			wrong += perf_data_wrong_copy(
				call->data, (const char *)call->output + (size_t)rank * bytes, 0,
				(size_t)call->count, rank, round);
		return wrong;
	case PERF_REDUCE_SCATTER:
		return perf_data_wrong_reduced(call->data, scattered(call), mine,
					       (size_t)part(call), round);
	case PERF_ALLTOALL:
		bytes /= (size_t)call->world->size;
		for (int rank = 0; rank < call->world->size; rank++)
			wrong += perf_data_wrong_copy(
				call->data, (const char *)call->output + (size_t)rank * bytes, mine,
				(size_t)part(call), rank, round);
		return wrong;
	case PERF_BARRIER:
		break;
	}
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "perf/ronde-perf/mpi-baseline.h"

#include <limits.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool perf_mpi_start(void)
{
	static const char *const launchers[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_SIZE"};
	bool launched = false;
	int level;

	for (size_t i = 0; i < sizeof(launchers) / sizeof(launchers[0]); i++)
		launched |= getenv(launchers[i]) != NULL;
	if (!launched || getenv("RONDE_RANK"))
		return false;
	return MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level) == MPI_SUCCESS;
}

void perf_mpi_finish(void)
{
	MPI_Finalize();
}

void perf_mpi_version(char *text, size_t bytes)
{
	char full[MPI_MAX_LIBRARY_VERSION_STRING];
	int length;

	MPI_Get_library_version(full, &length);
	/* "Open MPI v4.1.4, package: …"; "MPICH Version:\t4.0.2\nMPICH Release date …" */
	full[strcspn(full, ",\n")] = '\0';
	for (char *c = full; *c; c++)
		if (*c == '\t')
			*c = ' ';
	snprintf(text, bytes, "%s", full);
}

int perf_mpi_rank(void)
{
	int rank;

	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	return rank;
}

int perf_mpi_size(void)
{
	int size;

	MPI_Comm_size(MPI_COMM_WORLD, &size);
	return size;
}

static void mpi_broadcast(const struct perf_world *world, void *data, size_t bytes)
{
	(void)world;
	MPI_Bcast(data, (int)bytes, MPI_BYTE, 0, MPI_COMM_WORLD);
}

static void mpi_max(const struct perf_world *world, double *values, size_t count)
{
	(void)world;
	MPI_Allreduce(MPI_IN_PLACE, values, (int)count, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
}

static void mpi_sum(const struct perf_world *world, double *values, size_t count)
{
	(void)world;
	MPI_Allreduce(MPI_IN_PLACE, values, (int)count, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
}

static void mpi_barrier(const struct perf_world *world)
{
	(void)world;
	MPI_Barrier(MPI_COMM_WORLD);
}

const struct perf_transport perf_mpi_transport = {
	.broadcast = mpi_broadcast,
	.max = mpi_max,
	.sum = mpi_sum,
	.barrier = mpi_barrier,
};

static MPI_Datatype type_of(ronde_dtype dtype)
{
	switch (dtype) {
	case RONDE_UINT8:
		return MPI_UINT8_T;
	case RONDE_INT8:
		return MPI_INT8_T;
	case RONDE_UINT16:
		return MPI_UINT16_T;
	case RONDE_INT16:
		return MPI_INT16_T;
	case RONDE_UINT32:
		return MPI_UINT32_T;
	case RONDE_INT32:
		return MPI_INT32_T;
	case RONDE_UINT64:
		return MPI_UINT64_T;
	case RONDE_INT64:
		return MPI_INT64_T;
	case RONDE_FLOAT32:
		return MPI_FLOAT;
	case RONDE_FLOAT64:
		return MPI_DOUBLE;
	case RONDE_BOOL:
		return MPI_C_BOOL;
	default:
		return MPI_DATATYPE_NULL;
	}
}

static MPI_Op op_of(ronde_dtype dtype, ronde_reduction reduction)
{
	bool is_bool = dtype == RONDE_BOOL;

	switch (reduction) {
	case RONDE_MIN:
		return is_bool ? MPI_LAND : MPI_MIN;
	case RONDE_MAX:
		return is_bool ? MPI_LOR : MPI_MAX;
	case RONDE_PRODUCT:
		return is_bool ? MPI_LAND : MPI_PROD;
	default:
		return is_bool ? MPI_LOR : MPI_SUM;
	}
}

bool perf_mpi_can(const struct perf_call *call)
{
	return call->kind == PERF_BARRIER ||
	       (call->count <= INT_MAX && type_of(call->data->dtype) != MPI_DATATYPE_NULL);
}

void perf_call_mpi(void *arg)
{
	struct perf_call *call = arg;
	bool in_place = call->input == call->output;
	MPI_Datatype type = MPI_DATATYPE_NULL;
	int count = (int)call->count;

	if (call->kind != PERF_BARRIER)
		type = type_of(call->data->dtype);
	switch (call->kind) {
	case PERF_ALLREDUCE:
		MPI_Allreduce(in_place ? MPI_IN_PLACE : call->input, call->output, count, type,
			      op_of(call->data->dtype, call->data->reduction), MPI_COMM_WORLD);
		break;
	case PERF_BROADCAST:
		/* MPI broadcasts in place only. */
		MPI_Bcast(call->world->rank == call->root ? call->input : call->output, count, type,
			  call->root, MPI_COMM_WORLD);
		break;
	case PERF_ALLGATHER:
		MPI_Allgather(call->input, count, type, call->output, count, type, MPI_COMM_WORLD);
		break;
	case PERF_REDUCE_SCATTER:
		MPI_Reduce_scatter_block(in_place ? MPI_IN_PLACE : call->input, call->output,
					 count / call->world->size, type,
					 op_of(call->data->dtype, call->data->reduction),
					 MPI_COMM_WORLD);
		break;
	case PERF_ALLTOALL:
		MPI_Alltoall(call->input, count / call->world->size, type, call->output,
			     count / call->world->size, type, MPI_COMM_WORLD);
		break;
	case PERF_BARRIER:
		MPI_Barrier(MPI_COMM_WORLD);
		break;
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The algorithms, one file each; select.c has the table that picks one. */
#ifndef RONDE_ALGORITHMS_ALGORITHMS_H
#define RONDE_ALGORITHMS_ALGORITHMS_H

#include "collectives/operation.h"

/* The operation's state as the algorithm's own struct; start() finds it undefined. */
#define RONDE_STATE(operation, type) ((struct type *)(void *)(operation)->state)
#define RONDE_STATE_FITS(type)                                                                     \
	_Static_assert(sizeof(struct type) <= sizeof(((struct ronde_operation *)0)->state),        \
		       "the state of an operation is too small for it")

void ronde_allreduce_zero_copy_start(struct ronde_operation *operation);
enum ronde_progress ronde_allreduce_zero_copy_step(struct ronde_operation *operation);

void ronde_allreduce_direct_start(struct ronde_operation *operation);
enum ronde_progress ronde_allreduce_direct_step(struct ronde_operation *operation);

void ronde_allreduce_staged_start(struct ronde_operation *operation);
enum ronde_progress ronde_allreduce_staged_step(struct ronde_operation *operation);

bool ronde_allreduce_two_level_fits(const struct ronde_plan *plan);
void ronde_allreduce_two_level_start(struct ronde_operation *operation);
enum ronde_progress ronde_allreduce_two_level_step(struct ronde_operation *operation);

bool ronde_allreduce_nodes_fits(const struct ronde_plan *plan);
bool ronde_allreduce_nodes_direct_fits(const struct ronde_plan *plan);
void ronde_allreduce_nodes_direct_start(struct ronde_operation *operation);
void ronde_allreduce_nodes_start(struct ronde_operation *operation);
enum ronde_progress ronde_allreduce_nodes_step(struct ronde_operation *operation);

void ronde_adasum_zero_copy_start(struct ronde_operation *operation);
enum ronde_progress ronde_adasum_zero_copy_step(struct ronde_operation *operation);

void ronde_adasum_staged_start(struct ronde_operation *operation);
enum ronde_progress ronde_adasum_staged_step(struct ronde_operation *operation);

void ronde_broadcast_zero_copy_start(struct ronde_operation *operation);
enum ronde_progress ronde_broadcast_zero_copy_step(struct ronde_operation *operation);

void ronde_broadcast_staged_start(struct ronde_operation *operation);
enum ronde_progress ronde_broadcast_staged_step(struct ronde_operation *operation);

void ronde_allgather_zero_copy_start(struct ronde_operation *operation);
enum ronde_progress ronde_allgather_zero_copy_step(struct ronde_operation *operation);

void ronde_allgather_staged_start(struct ronde_operation *operation);
enum ronde_progress ronde_allgather_staged_step(struct ronde_operation *operation);

void ronde_reducescatter_zero_copy_start(struct ronde_operation *operation);
enum ronde_progress ronde_reducescatter_zero_copy_step(struct ronde_operation *operation);

void ronde_reducescatter_staged_start(struct ronde_operation *operation);
enum ronde_progress ronde_reducescatter_staged_step(struct ronde_operation *operation);

void ronde_alltoall_zero_copy_start(struct ronde_operation *operation);
enum ronde_progress ronde_alltoall_zero_copy_step(struct ronde_operation *operation);

void ronde_alltoall_staged_start(struct ronde_operation *operation);
enum ronde_progress ronde_alltoall_staged_step(struct ronde_operation *operation);

void ronde_broadcast_nodes_start(struct ronde_operation *operation);
enum ronde_progress ronde_broadcast_nodes_step(struct ronde_operation *operation);

bool ronde_allgather_nodes_fits(const struct ronde_plan *plan);
void ronde_allgather_nodes_start(struct ronde_operation *operation);
enum ronde_progress ronde_allgather_nodes_step(struct ronde_operation *operation);

bool ronde_reducescatter_nodes_fits(const struct ronde_plan *plan);
void ronde_reducescatter_nodes_start(struct ronde_operation *operation);
enum ronde_progress ronde_reducescatter_nodes_step(struct ronde_operation *operation);

bool ronde_alltoall_nodes_fits(const struct ronde_plan *plan);
void ronde_alltoall_nodes_start(struct ronde_operation *operation);
enum ronde_progress ronde_alltoall_nodes_step(struct ronde_operation *operation);

void ronde_barrier_nodes_start(struct ronde_operation *operation);
enum ronde_progress ronde_barrier_nodes_step(struct ronde_operation *operation);

void ronde_barrier_start(struct ronde_operation *operation);
enum ronde_progress ronde_barrier_step(struct ronde_operation *operation);

#endif

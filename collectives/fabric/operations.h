/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all fabrics do alike: the pool of operations, what is refused, how an operation becomes
 * done. The MPI module has a copy of its own, since it does not link to libronde.
 */
#ifndef RONDE_FABRIC_OPERATIONS_H
#define RONDE_FABRIC_OPERATIONS_H

#include "collectives/fabric.h"

/*
 * Sets the head up; ops, rank, size and error are set already. operation_bytes: of the
 * implementation's operation, which starts with a ronde_fabric_operation. OUT_OF_MEMORY, described.
 */
int ronde_fabric_init(struct ronde_fabric *fabric, size_t operation_bytes);
/* Frees what the head holds, operations included. */
void ronde_fabric_free(struct ronde_fabric *fabric);

/*
 * An operation for a message, in flight from now on; its memory comes from the pool, which grows by
 * slabs. The implementation's part is zero the first time, and then what it was left as. Errors:
 * those of ops.post_send.
 */
int ronde_fabric_take(struct ronde_fabric *fabric, int peer, uint32_t tag, size_t bytes,
		      bool receives, struct ronde_fabric_operation **operation);
/* Takes it back: it could not be started. */
void ronde_fabric_untake(struct ronde_fabric_operation *operation);

/* It is done: OK, with its bytes. */
void ronde_fabric_complete(struct ronde_fabric_operation *operation, size_t bytes);
/* It is done, and has failed; the text says why. */
void ronde_fabric_fail(struct ronde_fabric_operation *operation, int status, const char *format,
		       ...) __attribute__((format(printf, 3, 4)));

/* Remembers why a rank is lost; false: it was already. */
bool ronde_fabric_note_lost(struct ronde_fabric *fabric, int peer, const char *why);

/* OK, or BUSY if an operation is not finished. */
int ronde_fabric_check_idle(struct ronde_fabric *fabric);

#endif

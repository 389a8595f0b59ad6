/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control requests: what a rank submits that concerns no tensor. They are announced, queued, waited
 * for and ended like any other request; no slot and no directory is involved, because a rank's
 * requests of one sort are answered in the order in which it made them.
 */
#ifndef RONDE_CONTROL_H
#define RONDE_CONTROL_H

#include "coordinator/entry.h"
#include "coordinator/submit.h"

/*
 * Asks for a change of the process sets; n ranks for ADD, a set for REMOVE. *result (ADD; may be
 * NULL) is set to the new set's number when the request completes. The ranks are copied. Errors:
 * OUT_OF_MEMORY, and what ended the runtime.
 */
int ronde_control_change_sets(struct ronde_context *context, enum ronde_set_change change,
			      const int *ranks, size_t n, uint32_t set, int *result,
			      ronde_handle *handle);

/*
 * This rank submits nothing more until all have joined. *last (may be NULL) is set to the last rank
 * to join when the request completes. Errors: INVALID_ARGUMENT (it has joined), OUT_OF_MEMORY, and
 * what ended the runtime.
 */
int ronde_control_join(struct ronde_context *context, int *last, ronde_handle *handle);

/* Writes the request into the announce ring; false: no room. Under the submit lock. */
bool ronde_control_say(struct ronde_context *context, struct ronde_request *request);

/*
 * Does what an entry of the log says about process sets, and completes the request. Under the
 * engine lock; takes the submit lock. Errors: OUT_OF_MEMORY; INTERNAL for an entry that no leader
 * writes.
 */
int ronde_control_take(struct ronde_context *context, const struct ronde_entry_view *entry);

/* All ranks have joined, `last` as the last. Likewise. */
int ronde_control_end_join(struct ronde_context *context, int last);

#endif

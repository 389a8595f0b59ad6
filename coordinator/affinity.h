/* SPDX-License-Identifier: Apache-2.0 */
/* RONDE_THREAD_AFFINITY: which processor a rank's coordinator thread is bound to. */
#ifndef RONDE_AFFINITY_H
#define RONDE_AFFINITY_H

#include <pthread.h>

#include "coordinator/log.h"

/*
 * Binds the thread to the processor of its local rank in a list such as "0,2,4", which has one for
 * each of them; empty: to none. It goes on unbound, with a warning, where the list is too short or
 * the processor is none that the process may use.
 */
void ronde_affinity_bind(pthread_t thread, const char *list, int local_rank, struct ronde_log *log);

#endif

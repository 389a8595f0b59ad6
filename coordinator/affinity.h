/* SPDX-License-Identifier: Apache-2.0 */
/* Which processors a rank's coordinator thread is bound to: RONDE_THREAD_AFFINITY, or near its
 * rank. */
#ifndef RONDE_AFFINITY_H
#define RONDE_AFFINITY_H

#include <pthread.h>
#include <sched.h>

#include "coordinator/log.h"

/*
 * Binds the thread to the processor of its local rank in a list such as "0,2,4", which has one for
 * each of them; empty: to none. It goes on unbound, with a warning, where the list is too short or
 * the processor is none that the process may use.
 */
void ronde_affinity_bind(pthread_t thread, const char *list, int local_rank, struct ronde_log *log);

/*
 * Binds the thread, where no list says where, to those processors of its rank's NUMA domain that
 * the process may use: to more than the calling thread if that has bound itself closer (a
 * framework's first thread to one core), and never to one that no thread of the process may use.
 * Leaves it where it is if the domain is not known or has none of them.
 */
void ronde_affinity_near(pthread_t thread, const cpu_set_t *domain, struct ronde_log *log);

#endif

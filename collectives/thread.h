/* SPDX-License-Identifier: Apache-2.0 */
/* Ronde's own threads. */
#ifndef RONDE_THREAD_H
#define RONDE_THREAD_H

#include <pthread.h>

/*
 * Starts a thread that blocks all signals: the application's signals are the business of the
 * application's threads. name: at most 15 bytes, for debuggers. Returns 0 or an errno.
 */
int ronde_thread_create(pthread_t *thread, const char *name, void *(*body)(void *), void *arg);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether this thread is inside a function of the application that Ronde has called: a completion
 * function, an allgather's alloc, a log function. What waits for other ranks is refused there, for
 * the thread may be the one that makes all progress.
 */
#ifndef RONDE_APPLICATION_H
#define RONDE_APPLICATION_H

#include <stdbool.h>

/* Around such a call; leave takes what enter returned. */
bool ronde_application_enter(void);
void ronde_application_leave(bool before);

bool ronde_application_is_called(void);

/* Describes that this function may not be called there. Returns INVALID_ARGUMENT. */
int ronde_application_refuse(const char *function);

#endif

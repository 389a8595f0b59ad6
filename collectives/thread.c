/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/thread.h"

#include <signal.h>

int ronde_thread_create(pthread_t *thread, const char *name, void *(*body)(void *), void *arg)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(thread, NULL, body, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!error)
		pthread_setname_np(*thread, name);
	return error;
}

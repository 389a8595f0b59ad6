/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "collectives/node_private.h"
#include "collectives/status.h"
#include "collectives/thread.h"

struct ronde_watcher {
	struct ronde_node *node;
	void (*lost)(int global_rank, void *arg);
	void *arg;
	bool running;
	pthread_t thread;
	int stop; /* eventfd */
	struct pollfd
		*polls; /* `stop`, then one per local rank; fd -1: not, or no longer, watched */
};

/* One process is gone. Leaving after a shutdown is no loss: it had told so before. */
static void gone(struct ronde_watcher *w, int local)
{
	struct ronde_arena *arena = &w->node->arena;
	w->polls[1 + local].fd = -1;
	if (atomic_load_explicit(&arena->ranks[local].life, memory_order_acquire) ==
	    RONDE_LIFE_DOWN)
		return;
	int rank = w->node->ranks[local];
	uint32_t nobody = 0;
	atomic_compare_exchange_strong_explicit(&arena->header->lost, &nobody, (uint32_t)rank + 1,
						memory_order_seq_cst, memory_order_seq_cst);
	w->lost(rank, w->arg);
}

static void *watch(void *arg)
{
	struct ronde_watcher *w = arg;
	int n = w->node->local_size;
	for (;;) {
		if (poll(w->polls, (nfds_t)n + 1, -1) < 0)
			continue; /* EINTR: a debugger */
		if (w->polls[0].revents)
			return NULL;
		for (int l = 0; l < n; l++)
			if (w->polls[1 + l].fd >= 0 && w->polls[1 + l].revents)
				gone(w, l);
	}
}

static int start_thread(struct ronde_watcher *w)
{
	int error = ronde_thread_create(&w->thread, "ronde-watcher", watch, w);
	if (error)
		return ronde_error(RONDE_ERR_SYSTEM,
				   "no thread for noticing the death of other ranks: %s",
				   strerror(error));
	w->running = true;
	return RONDE_OK;
}

int ronde_watcher_start(struct ronde_watcher **watcher, struct ronde_node *node,
			void (*lost)(int global_rank, void *arg), void *arg)
{
	struct ronde_watcher *w = calloc(1, sizeof *w);
	struct pollfd *polls = calloc((size_t)node->local_size + 1, sizeof *polls);
	if (!w || !polls) {
		free(w);
		free(polls);
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for the watcher");
	}
	*w = (struct ronde_watcher){
		.node = node, .lost = lost, .arg = arg, .stop = -1, .polls = polls};
	bool anybody = false;
	for (int l = 0; l < node->local_size; l++) {
		polls[1 + l] = (struct pollfd){.fd = node->priv->life_fds[l], .events = POLLIN};
		anybody = anybody || polls[1 + l].fd >= 0;
	}
	int status = RONDE_OK;
	if (anybody) {
		w->stop = eventfd(0, EFD_CLOEXEC);
		polls[0] = (struct pollfd){.fd = w->stop, .events = POLLIN};
		status = w->stop >= 0
				 ? start_thread(w)
				 : ronde_error(RONDE_ERR_SYSTEM, "eventfd: %s", strerror(errno));
	}
	if (status != RONDE_OK) {
		ronde_watcher_stop(w);
		return status;
	}
	*watcher = w;
	return RONDE_OK;
}

void ronde_watcher_stop(struct ronde_watcher *w)
{
	if (!w)
		return;
	if (w->running) {
		eventfd_write(w->stop, 1);
		pthread_join(w->thread, NULL);
	}
	if (w->stop >= 0)
		close(w->stop);
	free(w->polls);
	free(w);
}

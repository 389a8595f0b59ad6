/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "collectives/bootstrap/wait.h"
#include "collectives/node_pass.h"
#include "collectives/status.h"

/* ---- everybody comes ---- */

/* Connections that have not said who they are: anybody on this machine may try. */
#define STRANGERS 16

struct door {
	struct pollfd *polls; /* the listening socket, then connections */
	int npolls, most;
	int missing; /* ranks that have not come */
};

static void turn_away(struct door *d, int i)
{
	close(d->polls[i].fd);
	d->polls[i] = d->polls[--d->npolls];
}

static int let_in(struct ronde_pass *p, struct door *d)
{
	int fd = accept4(p->socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	uid_t uid;
	if (fd < 0 && (errno == EMFILE || errno == ENFILE))
		return ronde_error(RONDE_ERR_SYSTEM,
				   "no descriptors left to share memory with %d ranks: %s; raise "
				   "`ulimit -n` (this takes up to four for each rank of the node)",
				   p->node->local_size, strerror(errno));
	if (fd < 0)
		return RONDE_OK; /* whoever it was has gone again */
	if (!ronde_pass_same_user(fd, &uid)) {
		close(fd);
		return RONDE_OK;
	}
	if (d->npolls == d->most)
		turn_away(d, 1); /* the one that has been silent longest, or nearly */
	d->polls[d->npolls++] = (struct pollfd){.fd = fd, .events = POLLIN};
	return RONDE_OK;
}

/* The local rank a greeting is from; -1: none that is expected. */
static int recognise(const struct ronde_pass *p, const struct ronde_greeting *g)
{
	const struct ronde_node *node = p->node;
	if (memcmp(g->token, p->meeting.token, sizeof g->token) != 0 || g->rank < 0 ||
	    g->rank >= node->size || node->node_of_rank[g->rank] != node->node)
		return -1;
	int local = node->local_of_rank[g->rank];
	return local > 0 && p->peers[local] < 0 ? local : -1;
}

/* Whoever says something else than a rank would is shown out; only running out of descriptors is an
 * error. */
static int hear(struct ronde_pass *p, struct door *d, int i)
{
	struct ronde_greeting g;
	int fds[2], fd = d->polls[i].fd;
	int status = ronde_descriptors_receive(fd, &g, sizeof g, fds, 2, ronde_seconds(), "a rank");
	if (status != RONDE_OK) {
		turn_away(d, i);
		return status == RONDE_ERR_SYSTEM ? status : RONDE_OK;
	}
	int local = recognise(p, &g);
	if (local < 0) {
		close(fds[0]);
		close(fds[1]);
		turn_away(d, i);
		return RONDE_OK;
	}
	p->node->priv->life_fds[local] = fds[0];
	p->heap_fds[local] = fds[1];
	p->peers[local] = fd;
	d->polls[i] = d->polls[--d->npolls];
	d->missing--;
	return RONDE_OK;
}

static int missing_error(const struct ronde_pass *p)
{
	const struct ronde_node *node = p->node;
	bool *missing = calloc((size_t)node->size, sizeof *missing);
	char names[256] = "some ranks";
	for (int l = 1; missing && l < node->local_size; l++)
		missing[node->ranks[l]] = p->peers[l] < 0;
	if (missing)
		ronde_ranks_text(names, sizeof names, missing, node->size);
	free(missing);
	return ronde_error(RONDE_ERR_PEER_LOST,
			   "%s did not come within %g s to share memory with rank %d on the same "
			   "machine: stopped, very slow, or gone; RONDE_INIT_TIMEOUT_SECONDS sets "
			   "how long to wait",
			   names, p->timeout, node->rank);
}

static int open_door(struct ronde_pass *p)
{
	struct door d = {.npolls = 1, .missing = p->node->local_size - 1};
	d.most = p->node->local_size + STRANGERS;
	d.polls = calloc((size_t)d.most, sizeof *d.polls);
	if (!d.polls)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for opening the node");
	d.polls[0] = (struct pollfd){.fd = p->socket, .events = POLLIN};
	int status = RONDE_OK;
	while (d.missing > 0 && status == RONDE_OK) {
		double left = p->deadline - ronde_seconds();
		int n = poll(d.polls, (nfds_t)d.npolls, left > 0 ? (int)(left * 1e3) + 1 : 0);
		if (n < 0 && errno != EINTR)
			status = ronde_error(RONDE_ERR_SYSTEM, "poll: %s", strerror(errno));
		else if (n == 0 && left <= 0)
			status = missing_error(p);
		if (n <= 0)
			continue;
		bool knock = d.polls[0].revents != 0;
		for (int i = d.npolls; i-- > 1 && status == RONDE_OK;)
			if (d.polls[i].revents)
				status = hear(p, &d, i);
		if (knock && status == RONDE_OK)
			status = let_in(p, &d);
	}
	while (d.npolls > 1)
		turn_away(&d, 1);
	free(d.polls);
	return status;
}

/* ---- everybody gets everything ---- */

static int give_batch(struct ronde_pass *p, int peer, int first, int life, const char *who)
{
	struct ronde_batch batch = {0};
	int fds[RONDE_DESCRIPTORS_MAX], n = 0;
	for (int l = first; l < p->node->local_size && n < RONDE_DESCRIPTORS_MAX; l++) {
		fds[n++] = l == 0 ? life : p->node->priv->life_fds[l];
		fds[n++] = p->heap_fds[l];
	}
	int status = ronde_descriptors_send(peer, &batch, sizeof batch, fds, n, p->deadline, who);
	unsigned char ack;
	if (status == RONDE_OK)
		status = ronde_descriptors_receive(peer, &ack, 1, NULL, 0, p->deadline, who);
	return status;
}

static int give(struct ronde_pass *p, int local, int arena_fd)
{
	char who[32];
	ronde_pass_name(who, p->node->ranks[local]);
	struct ronde_batch batch = {.arena_bytes = p->node->priv->arena_bytes};
	int status = ronde_descriptors_send(p->peers[local], &batch, sizeof batch, &arena_fd, 1,
					    p->deadline, who);
	for (int first = 0; status == RONDE_OK && first < p->node->local_size;
	     first += RONDE_BATCH_RANKS)
		status = give_batch(p, p->peers[local], first, p->node->priv->lifeline.give, who);
	return status;
}

int ronde_pass_lead(struct ronde_pass *p, int arena_fd, int heap_fd, struct ronde_verdict *verdict)
{
	struct ronde_node *node = p->node;
	int own = heap_fd >= 0 ? heap_fd : node->priv->lifeline.give;
	p->heap_fds[0] = fcntl(own, F_DUPFD_CLOEXEC, 0);
	if (p->heap_fds[0] < 0)
		return ronde_error(RONDE_ERR_SYSTEM, "no descriptor for sharing the heap: %s",
				   strerror(errno));
	int status = open_door(p);
	for (int l = 1; status == RONDE_OK && l < node->local_size; l++) {
		status = give(p, l, arena_fd);
		if (status == RONDE_OK && node->heap_bytes[l] && !verdict->apart)
			ronde_pass_map_heap(node, l, p->heap_fds[l], verdict);
	}
	return status;
}
